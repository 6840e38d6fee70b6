"""``layers``, and what ``info`` says of a model: what its maps can be trusted for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hirescam.cli.app import app
from napari_hirescam.cli.common import (
    Trust,
    errors_in_one_line,
    in_words,
    load_classifier,
    wide_console,
)

if TYPE_CHECKING:
    from napari_hirescam.attention import TargetReport
    from napari_hirescam.models import Classifier
    from napari_hirescam.models.spec import InputSpec


@app.command()
def layers(
    model: Annotated[Path, typer.Argument(help="model folder, or its zip", show_default=False)],
    trust: Trust = False,
) -> None:
    """List the layers that can be explained, and what is guaranteed at each."""
    with errors_in_one_line():
        from rich.box import SIMPLE_HEAD
        from rich.table import Column, Table
        from rich.text import Text

        from napari_hirescam.attention import target_layers

        classifier = load_classifier(model, trust=trust, device="cpu")
        # Names are there to be copied into --target-layer: never shortened.
        headers = ("layer", "kind", "maps", "grid", "cell mm", "sees mm", "guarantee")
        table = Table(*(Column(header, overflow="fold") for header in headers), box=SIMPLE_HEAD)
        table.columns[0].no_wrap = True
        for row in target_layers(classifier):
            table.add_row(
                Text(row.name),
                Text(row.kind),
                str(row.channels),
                _times(row.cells),
                _times(row.cell_mm),
                _times(row.receptive_field_mm),
                f"{row.guarantee.state.value}{', suggested' if row.preferred else ''}",
            )
        wide_console().print(table)


def _times(values: tuple[float, ...] | None) -> str:
    return "?" if values is None else " x ".join(f"{value:.4g}" for value in values)


def describe_model(classifier: Classifier, report: TargetReport) -> list[str]:
    """Say in lines what a model is, what it expects and what its maps can be trusted for."""
    spec = classifier.spec
    given = spec.input
    size = " x ".join("any" if n is None else str(n) for n in given.shape)
    spacing = (
        f"at {' x '.join(f'{s:g}' for s in given.spacing_mm)} mm"
        if given.spacing_mm
        else "at the CT's own spacing"
    )
    low, high = given.window_hu
    cells = " x ".join(map(str, report.cells))
    lines = [f"Model:        {spec.name}"]
    if spec.description:
        lines.append(f"              {spec.description}")
    lines += [
        f"Labels:       {len(spec.labels)}: {', '.join(spec.labels)}",
        f"Input:        {size} voxels {spacing}, axes {given.orientation}",
        f"Window:       {low:g} to {high:g} HU",
        f"Target layer: {spec.target_layer}: {report.channels} feature maps of {cells} cells",
    ]
    cell = _cell(report, given)
    if cell:
        lines.append(f"A cell:       {cell}")
    lines += [
        f"Guarantee:    {in_words(report.guarantee)}",
        f"Weights:      SHA-256 {classifier.weights_sha256}",
    ]
    for name, value in spec.metrics.items():
        lines.append(f"Metric:       {name}: {value}")
    return lines


def _cell(report: TargetReport, given: InputSpec) -> str:
    """Say how far apart cells are and what each sees; "" if neither is known without a CT."""
    from napari_hirescam.attention.share_seen import seen_in_words

    seen = seen_in_words(report.share_seen, given)
    if report.cell_mm is None or report.receptive_field_mm is None:
        return f"sees {seen}" if seen else ""
    field = f"{_times(report.receptive_field_mm)} mm"
    what = f"{seen} (receptive field {field})" if seen else field
    return f"every {_times(report.cell_mm)} mm, sees {what}"
