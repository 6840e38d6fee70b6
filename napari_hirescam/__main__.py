"""``python -m napari_hirescam`` is the command line."""

from napari_hirescam.cli import app

app()
