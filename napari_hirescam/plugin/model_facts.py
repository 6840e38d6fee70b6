"""What a model is, in a few lines a radiologist can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from napari_hirescam.attention.share_seen import seen_in_words, share_seen_in_run
from napari_hirescam.plugin.verdict import IDENTICAL, verdict_of

if TYPE_CHECKING:
    from napari_hirescam.attention import Explanation, TargetReport
    from napari_hirescam.models import Classifier
    from napari_hirescam.models.spec import InputSpec

_TIMES = " × "  # noqa: RUF001 - between lengths, the sign and not the letter
_FITS = {"centre": "", "window": "a window of ", "resize": "the whole CT, resized to "}

# Identical to what? The words of the verdict alone do not say.
_SAME_MAP = "; Grad-CAM is the same map"


@dataclass(frozen=True)
class ModelFacts:
    """Texts about a model.

    Parameters
    ----------
    name, description
        As the model file gives them.
    sees
        Labels and input, one line.
    cells
        Size of a cell and of what it sees.
    guarantee, why
        What holds at the target layer, and the tool tip to it.
    details
        The longer text of the tool tip.
    """

    name: str
    description: str
    sees: str
    cells: str
    guarantee: str
    why: str
    details: str


def describe_model(
    classifier: Classifier, report: TargetReport, explanation: Explanation | None = None
) -> ModelFacts:
    """Put labels, expected input, target layer and guarantee into words.

    Parameters
    ----------
    classifier, report
        The model, and what can be said of its target layer before any CT is scored.
    explanation
        A run at this target layer: it knows the size of a cell also where the model keeps each
        CT's own spacing, and whether the guarantee was found to hold.
    """
    spec = classifier.spec
    low, high = spec.input.window_hu
    guarantee = explanation.guarantee if explanation is not None else report.guarantee
    verdict = verdict_of(guarantee)
    details = (
        f"{spec.description}\n\n"
        f"Labels: {', '.join(spec.labels)}\n"
        f"Target layer: {report.channels} feature maps of {_TIMES.join(map(str, report.cells))} "
        f"cells{_field(report)}\n"
        f"{report.placement_note or 'Cells are placed at the centre of what they see.'}\n"
        f"Weights: {spec.weights} (SHA-256 {classifier.weights_sha256[:16]}…)\n"
        f"On: {classifier.device}"
    ).strip()
    return ModelFacts(
        name=spec.name,
        description=spec.description,
        sees=f"<b>{_count(len(spec.labels), 'label')}</b>; sees {_input(classifier)}, "
        f"{low:.0f} to {high:.0f} HU",
        cells=_cells(classifier, report)
        if explanation is None
        else _cells_of_run(explanation, spec.input),
        guarantee=f"{verdict.html()}: {escape(guarantee.reason)}"
        f"{_SAME_MAP if verdict is IDENTICAL else ''}{_largest_residual(explanation)}",
        why=verdict.why,
        details=details,
    )


def _largest_residual(explanation: Explanation | None) -> str:
    """Say how far the sums of a run are from the scores they must be."""
    if explanation is None or not explanation.guarantee.holds:
        return ""
    largest = max(abs(explanation.residual(label)) for label in explanation.labels)
    return f"; largest residual of all labels {largest:.0e}"


def lengths(values: Sequence[float]) -> str:
    """Write three lengths or counts, "3 x 2.5 x 2.5" say."""
    return _TIMES.join(f"{value:.3g}" for value in values)


def millimetres(values: Sequence[float]) -> str:
    """Write three lengths in mm."""
    return f"{lengths(values)} mm"


def _input(classifier: Classifier) -> str:
    asked = classifier.spec.input
    if asked.spacing_mm is None:
        spacing = "the CT's own spacing"
    elif len(set(asked.spacing_mm)) == 1:
        spacing = f"{asked.spacing_mm[0]:.3g} mm"
    else:
        spacing = millimetres(asked.spacing_mm)
    slices, rows, columns = asked.shape
    plane = f"{rows}{_TIMES}{columns}"
    size = f"{plane} in each slice," if slices is None else f"{slices}{_TIMES}{plane}"
    if asked.layout == "slice":
        size = f"one slice of {plane}"
    of_spacing = "" if asked.fit == "resize" else f" of {spacing}"
    return f"{_FITS[asked.fit]}{size} voxels{of_spacing}"


def _cells(classifier: Classifier, report: TargetReport) -> str:
    # How many cells there are along the slices is the CT's to say where any number will do.
    free = classifier.spec.input.shape[0] is None
    cells = _TIMES.join(map(str, ("n", *report.cells[1:]) if free else report.cells))
    seen = seen_in_words(report.share_seen, classifier.spec.input)
    if report.cell_mm is None or report.receptive_field_mm is None:
        why = report.placement_note or "their size in mm follows from the CT's own spacing"
        return f"{cells} cells{f', each sees {seen}' if seen else ''}; {escape(why)}"
    return (
        f"{cells} cells of {millimetres(report.cell_mm)}, each sees "
        f"{seen or millimetres(report.receptive_field_mm)}"
    )


def _field(report: TargetReport) -> str:
    if report.receptive_field_mm is None:
        return ""
    return f", receptive field {millimetres(report.receptive_field_mm)}"


def _cells_of_run(explanation: Explanation, asked: InputSpec) -> str:
    """Sizes along the patient's axes, as they are in the CT that was explained."""
    shape = next(iter(explanation.maps.values())).shape[1:]
    text = f"{_TIMES.join(map(str, shape))} cells of {millimetres(explanation.cell_mm())}"
    if explanation.receptive_field_mm is not None:
        seen = seen_in_words(share_seen_in_run(explanation), asked)
        return f"{text}, each sees {seen or millimetres(explanation.receptive_field_mm)}"
    return f"{text}; {escape(explanation.placement_note)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
