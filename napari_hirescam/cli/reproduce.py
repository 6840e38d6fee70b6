"""``reproduce``: the paper's experiments, each a command that writes a report page."""

from __future__ import annotations

import typer

from napari_hirescam.cli.app import app

reproduce = typer.Typer(
    name="reproduce",
    help="Repeat the paper's experiments; each writes a report page with its figures.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(reproduce)
