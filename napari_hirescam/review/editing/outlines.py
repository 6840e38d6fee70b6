"""Moving the outline of a mask by millimetres, and taking the jags off it."""

from __future__ import annotations

from collections.abc import Callable

from napari_hirescam.review.editing.change import Edited, Mask, Spacing

StopCallback = Callable[[], bool]


def smooth(
    mask: Mask,
    spacing_mm: Spacing,
    *,
    width_mm: float = 2.0,
    should_stop: StopCallback | None = None,
) -> Edited:
    """Smooth the outline and keep the volume."""
    raise NotImplementedError


def grow(
    mask: Mask, spacing_mm: Spacing, *, by_mm: float, should_stop: StopCallback | None = None
) -> Edited:
    """Add all voxels no farther than `by_mm` from the mask."""
    raise NotImplementedError


def shrink(
    mask: Mask, spacing_mm: Spacing, *, by_mm: float, should_stop: StopCallback | None = None
) -> Edited:
    """Remove all voxels no farther than `by_mm` from what is outside."""
    raise NotImplementedError
