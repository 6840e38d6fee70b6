"""``sweep``: a patch network over a whole CT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import (
    Allow,
    AssumeHU,
    CTPath,
    Device,
    ModelPath,
    Series,
    TargetLayer,
    Trust,
    errors_in_one_line,
    load_classifier,
    progress_bar,
    read_ct,
    require_known,
)
from napari_hirescam.errors import InputError

if TYPE_CHECKING:
    from napari_hirescam.attention.sweep import SweepResult


@app.command("sweep")
def sweep_command(
    ct: CTPath,
    model: ModelPath,
    label: Annotated[str, typer.Option("--label", help="label to look for", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="folder for the table and the maps")],
    stride: Annotated[
        float | None,
        typer.Option(help="mm between neighbouring windows; default: half a window"),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="how many places to print")] = 10,
    maps: Annotated[
        int, typer.Option(min=0, help="how many windows, from the best down, to map and stitch")
    ] = 64,
    method: Annotated[str, typer.Option(help="of the stitched map")] = "hirescam",
    series: Series = None,
    allow: Allow = None,
    target_layer: TargetLayer = None,
    device: Device = None,
    trust: Trust = False,
    assume_hu: AssumeHU = False,
    air_too: Annotated[
        bool, typer.Option("--air-too", help="score windows that hold hardly anything but air")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace files in --out")] = False,
) -> None:
    """Search a CT with a patch model: a ranked list of places, a score map, a stitched map."""
    with errors_in_one_line() as console:
        from napari_hirescam.attention import METHODS
        from napari_hirescam.attention.sweep import sweep
        from napari_hirescam.attention.sweep_export import (
            refuse_existing_search,
            save_sweep,
            sweep_file_names,
        )

        require_known("--method", [method], METHODS)
        if stride is not None and not stride > 0:
            raise InputError("--stride", f"{stride:g} mm is no distance", "Give mm above 0")
        classifier = load_classifier(model, trust=trust, device=device, target_layer=target_layer)
        require_known("--label", [label], classifier.labels)
        volume = read_ct(console, ct, series=series, allow=allow, assume_hu=assume_hu)
        if not overwrite:
            # An earlier search is met before the work, not after.
            refuse_existing_search(out, sweep_file_names(volume.name, label, method))
        with progress_bar(console, "Searching") as tell:
            result = sweep(
                volume,
                classifier,
                label,
                method=method,
                stride_mm=stride,
                maps_for_top=maps,
                inside_body=not air_too,
                progress=tell,
            )
        files = save_sweep(result, volume, out, overwrite=overwrite)
        _print_hits(result, top)
        print(f"Wrote {len(files)} files to {out}")  # noqa: T201 - the command's answer


def _print_hits(result: SweepResult, top: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("rank", "p", "logit", "L mm", "P mm", "S mm")
    for hit in result.hits[:top]:
        inferior, posterior, left = hit.centre_mm
        table.add_row(
            str(hit.rank),
            f"{hit.probability:.4f}",
            f"{hit.logit:.3f}",
            f"{left:.1f}",
            f"{posterior:.1f}",
            f"{-inferior:.1f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"{result.scored} windows scored, {result.skipped} skipped as air; "
        f"{len(result.hits)} places are apart by more than half a window.",
        highlight=False,
    )
