"""Operations on the whole mask: what the panel offers, and what each works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_hirescam.errors import ReviewError
from napari_hirescam.plugin.jobs import ShouldStop

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.hu_range import HuRange
    from napari_hirescam.review.editing import Edited
    from napari_hirescam.review.loading import LoadedItem


@dataclass(frozen=True, eq=False)
class OperationInput:
    """What an operation works on.

    Parameters
    ----------
    mask
        As painted so far.
    loaded
        The item.
    hu_range
        As set in the panel, whether it limits the brush or not.
    width_mm, volume_ml
        As set in the panel.
    axis
        Across which the shown slices lie.
    marked
        Indices of the slices across `axis` that were marked.
    """

    mask: npt.NDArray[Any]
    loaded: LoadedItem
    hu_range: HuRange
    width_mm: float
    volume_ml: float
    axis: int
    marked: tuple[int, ...]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Of the voxels."""
        return self.loaded.ct.spacing_mm


Run = Callable[[OperationInput, ShouldStop], "Edited"]


@dataclass(frozen=True)
class Operation:
    """One button.

    Parameters
    ----------
    text, key, tip
        What it says, its key while editing, and what it does.
    run
        Makes the new mask.
    """

    text: str
    key: str
    tip: str
    run: Run


def _largest(given: OperationInput, stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import keep_largest

    return keep_largest(given.mask, given.spacing_mm, should_stop=stop)


def _small(given: OperationInput, stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import remove_small

    return remove_small(
        given.mask, given.spacing_mm, smaller_than_ml=given.volume_ml, should_stop=stop
    )


def _holes(given: OperationInput, stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import fill_holes

    return fill_holes(given.mask, given.spacing_mm, should_stop=stop)


def _holes_by_slice(given: OperationInput, stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import fill_holes

    return fill_holes(given.mask, given.spacing_mm, axis=given.axis, should_stop=stop)


def _interpolate(given: OperationInput, stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import interpolate

    for index in given.marked if len(given.marked) > 1 else ():
        if not given.mask.take(index, given.axis).any():
            raise ReviewError(
                "Between slices",
                f"nothing is drawn in slice {index + 1}, which is marked",
                "Draw in it, or take its mark off",
            )
    return interpolate(
        given.mask,
        given.spacing_mm,
        axis=given.axis,
        between=given.marked if len(given.marked) > 1 else None,
        should_stop=stop,
    )


def _smooth(given: OperationInput, stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import smooth

    return smooth(given.mask, given.spacing_mm, width_mm=given.width_mm, should_stop=stop)


def _grow(given: OperationInput, stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import grow

    return grow(given.mask, given.spacing_mm, by_mm=given.width_mm, should_stop=stop)


def _shrink(given: OperationInput, stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import shrink

    return shrink(given.mask, given.spacing_mm, by_mm=given.width_mm, should_stop=stop)


def _within(given: OperationInput, _stop: ShouldStop) -> Edited:
    from napari_hirescam.review.editing import within_hu

    return within_hu(
        given.mask,
        given.spacing_mm,
        given.loaded.ct.voxels,
        given.hu_range.low,
        given.hu_range.high,
    )


def _as_made(given: OperationInput, _stop: ShouldStop) -> Edited:
    import numpy as np

    from napari_hirescam.review.editing import Edited, change_between

    made = given.loaded.mask
    made = np.zeros(given.mask.shape, bool) if made is None else made.astype(bool)
    return Edited(made, change_between(given.mask, made), "The mask is as it was made.")


OPERATIONS: tuple[Operation, ...] = (
    Operation("Largest piece", "K", "Keep the largest piece that hangs together", _largest),
    Operation("No small pieces", "N", "Remove all pieces below the volume given here", _small),
    Operation("Fill holes", "J", "Fill what the mask encloses on all sides", _holes),
    Operation(
        "Holes in slices", "Shift+J", "Fill what is enclosed within a shown slice", _holes_by_slice
    ),
    Operation(
        "Between slices",
        "I",
        "Draw empty slices between drawn ones by their shape; with two or more slices marked, "
        "draw anew all that lies between them",
        _interpolate,
    ),
    Operation("Smooth", "S", "Smooth the outline by the width given here", _smooth),
    Operation("Grow", "+", "Move the outline outwards by the width given here", _grow),
    Operation("Shrink", "-", "Move the outline inwards by the width given here", _shrink),
    Operation("Only this HU", "R", "Keep the voxels that lie in the HU range set above", _within),
    Operation("As it was made", "Shift+R", "Go back to the mask that is judged", _as_made),
)
