"""Drawing some slices and having those between them drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_hirescam.review.editing.change import Edited, Mask, Spacing

StopCallback = Callable[[], bool]


def empty_gaps(mask: Mask, axis: int = 0) -> tuple[tuple[int, int], ...]:
    """Find runs of empty planes between drawn ones: (last drawn before, first drawn after)."""
    raise NotImplementedError


def interpolate(
    mask: Mask,
    spacing_mm: Spacing,
    *,
    axis: int = 0,
    between: Sequence[int] | None = None,
    should_stop: StopCallback | None = None,
) -> Edited:
    """Draw the planes between drawn ones by their shape.

    `between`: planes that the user marked; what lies between each two is drawn anew. None fills
    the empty gaps only.
    """
    raise NotImplementedError
