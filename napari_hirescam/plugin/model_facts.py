"""What a model is, in a few lines a radiologist can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hirescam.attention import TargetReport
    from napari_hirescam.models import Classifier

_TIMES = " × "  # noqa: RUF001 - between lengths, the sign and not the letter
GOOD_COLOUR = "#4caf7d"
DOUBT_COLOUR = "#e0a030"


@dataclass(frozen=True)
class ModelFacts:
    """Texts about a model.

    Parameters
    ----------
    name, description
        As the model file gives them.
    html
        The lines shown in the panel.
    details
        The longer text of the tool tip.
    """

    name: str
    description: str
    html: str
    details: str


def describe_model(classifier: Classifier, report: TargetReport) -> ModelFacts:
    """Put labels, expected input, target layer and guarantee into words."""
    spec = classifier.spec
    asked = spec.input
    if asked.spacing_mm is None:
        spacing = "the CT's own spacing"
    elif len(set(asked.spacing_mm)) == 1:
        spacing = f"{asked.spacing_mm[0]:.3g} mm"
    else:
        spacing = millimetres(asked.spacing_mm)
    slices, rows, columns = asked.shape
    plane = f"{rows}{_TIMES}{columns}"
    size = f"{plane} in each slice," if slices is None else f"{slices}{_TIMES}{plane}"
    fit = "a window of " if asked.fit == "window" else ""
    low, high = asked.window_hu
    cells = _TIMES.join(map(str, report.cells))
    window = f"{low:.0f} to {high:.0f} HU"
    labels = _count(len(spec.labels), "label")
    lines = [
        *([f"<i>{escape(spec.description)}</i>"] if spec.description else []),
        f"<b>{labels}</b>; sees {fit}{size} voxels of {spacing}, {window}",
        f"<b>{escape(spec.target_layer)}</b>: {_what_cells_see(report)}",
        _guarantee_line(report),
    ]
    details = (
        f"Labels: {', '.join(spec.labels)}\n"
        f"Target layer: {report.channels} feature maps of {cells} cells\n"
        f"{report.placement_note or 'Cells are placed at the centre of what they see.'}\n"
        f"Weights: {spec.weights} (SHA-256 {classifier.weights_sha256[:16]}…)\n"
        f"Computed on: {classifier.device}"
    )
    return ModelFacts(spec.name, spec.description, f"<small>{'<br>'.join(lines)}</small>", details)


def millimetres(lengths: Sequence[float]) -> str:
    """Write three lengths, "3 x 2.5 x 2.5 mm" say."""
    return _TIMES.join(f"{length:.3g}" for length in lengths) + " mm"


def _what_cells_see(report: TargetReport) -> str:
    if report.cell_mm is None or report.receptive_field_mm is None:
        why = report.placement_note or "the model keeps each CT's spacing"
        return f"size of a cell not known ({escape(why)})"
    return (
        f"cells of {millimetres(report.cell_mm)}, each sees "
        f"{millimetres(report.receptive_field_mm)}"
    )


def _guarantee_line(report: TargetReport) -> str:
    guarantee = report.guarantee
    reason = escape(guarantee.reason)
    if guarantee.holds:
        return f'<span style="color:{GOOD_COLOUR}">✔ Faithful:</span> {reason}'
    return f'<span style="color:{DOUBT_COLOUR}">⚠ Faithfulness not guaranteed:</span> {reason}'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
