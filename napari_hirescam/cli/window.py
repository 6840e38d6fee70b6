"""``view`` and ``demo``: the commands that open napari."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import Allow, CTPath, Series, errors_in_one_line


@app.command()
def view(
    ct: CTPath,
    model: Annotated[Path | None, typer.Option("--model", help="model folder, or its zip")] = None,
    series: Series = None,
    allow: Allow = None,
) -> None:
    """Open napari with a CT, and with a model's attention over it."""
    with errors_in_one_line():
        from napari_hirescam.plugin.view import open_viewer

        open_viewer(ct, model, series=series, allow=allow or ())


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(help="write screenshots, maps and scores here and quit; default: stay open"),
    ] = None,
) -> None:
    """Run the sample model on the sample CT and show where it looked."""
    with errors_in_one_line():
        from napari_hirescam.plugin.demo import run_demo

        run_demo(out)
