"""Pieces of a mask that hang together, and holes in it."""

from __future__ import annotations

from collections.abc import Callable

from napari_hirescam.review.editing.change import Edited, Mask, Spacing

StopCallback = Callable[[], bool]


def keep_largest(
    mask: Mask, spacing_mm: Spacing, *, count: int = 1, should_stop: StopCallback | None = None
) -> Edited:
    """Keep the largest piece, or the largest few."""
    raise NotImplementedError


def remove_small(
    mask: Mask,
    spacing_mm: Spacing,
    *,
    smaller_than_ml: float,
    should_stop: StopCallback | None = None,
) -> Edited:
    """Remove all pieces below a volume."""
    raise NotImplementedError


def fill_holes(
    mask: Mask,
    spacing_mm: Spacing,
    *,
    axis: int | None = None,
    at_most_ml: float | None = None,
    should_stop: StopCallback | None = None,
) -> Edited:
    """Fill what is enclosed: in 3-D, or, given an axis, in each plane across it."""
    raise NotImplementedError
