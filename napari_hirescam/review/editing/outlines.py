"""Moving the outline of a mask by millimetres, and taking the jags off it.

Nothing is known beyond the border of the scan: a mask that is cut there neither shrinks from it
nor is rounded at it.
"""

from __future__ import annotations

import numpy as np

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.editing.change import (
    Edited,
    Mask,
    Spacing,
    StopCallback,
    as_bool,
    box_around,
    check_stop,
    edited,
    margin_voxels,
    millilitres,
)

# Slices whose distances are found at a time: bounds memory, and lets a wish to stop be heard.
_SLAB = 24
# Spacings in files are rounded: what is as far as asked for, but for that, is not farther.
_ROUNDING = 1 + 1e-6
# Beyond so many widths a Gaussian is cut off.
_REACH = 4.0


def smooth(
    mask: Mask,
    spacing_mm: Spacing,
    *,
    width_mm: float = 2.0,
    should_stop: StopCallback | None = None,
) -> Edited:
    """Smooth the outline and keep the volume.

    The mask is blurred by a Gaussian and cut where as many voxels lie inside as before, as far
    as the blurred values tell them apart. The whole keeps its volume, its pieces need not: what
    is thinner than the width gets lost, and the rest makes up for it.

    Parameters
    ----------
    mask
        [slice, row, column].
    spacing_mm
        Of its voxels.
    width_mm
        Standard deviation of the Gaussian.
    should_stop
        Asked between steps.

    Raises
    ------
    ValueError
        The width is not positive.
    Cancelled
        If `should_stop` answered True.
    """
    from scipy import ndimage

    if not width_mm > 0:
        raise ValueError(f"a mask cannot be smoothed by {width_mm:g} mm")
    before = as_bool(mask)
    result = np.zeros_like(before)
    box = box_around(before, margin_voxels(_REACH * width_mm, spacing_mm))
    blurred = before[box].astype(np.float32)
    for axis, step in enumerate(spacing_mm):
        check_stop(should_stop)
        ndimage.gaussian_filter1d(
            blurred, width_mm / step, axis, output=blurred, mode="nearest", truncate=_REACH
        )
    check_stop(should_stop)
    count = int(np.count_nonzero(before))
    if count:
        level = float(np.partition(blurred, blurred.size - count, axis=None)[-count])
        # Of many voxels with one and the same value all or none are taken: whichever leaves the
        # volume nearer to what it was.
        with_ties, without = blurred >= level, blurred > level
        fewer = count - np.count_nonzero(without) < np.count_nonzero(with_ties) - count
        result[box] = without if fewer else with_ties
    change = millilitres(int(np.count_nonzero(result)) - count, spacing_mm)
    what = f"Smoothed by {width_mm:g} mm (volume {change:+.2f} mL)"
    return edited(mask, result, spacing_mm, what)


def grow(
    mask: Mask, spacing_mm: Spacing, *, by_mm: float, should_stop: StopCallback | None = None
) -> Edited:
    """Add all voxels whose centre is no farther than `by_mm` from that of one of the mask.

    Raises
    ------
    ValueError
        The distance is negative.
    Cancelled
        If `should_stop` answered True.
    """
    grown = _within(as_bool(mask), spacing_mm, by_mm, should_stop)
    return edited(mask, grown, spacing_mm, f"Grew by {by_mm:g} mm")


def shrink(
    mask: Mask, spacing_mm: Spacing, *, by_mm: float, should_stop: StopCallback | None = None
) -> Edited:
    """Remove all voxels whose centre is no farther than `by_mm` from that of one outside.

    Raises
    ------
    ValueError
        The distance is negative.
    Cancelled
        If `should_stop` answered True.
    """
    inside = as_bool(mask)
    left = np.zeros_like(inside)
    box = box_around(inside, (1, 1, 1))
    left[box] = ~_within(~inside[box], spacing_mm, by_mm, should_stop)
    return edited(mask, left, spacing_mm, f"Shrank by {by_mm:g} mm")


def _within(
    mask: BoolArray, spacing_mm: Spacing, by_mm: float, should_stop: StopCallback | None
) -> BoolArray:
    """All voxels of the grid that lie no farther than a distance from a mask."""
    from scipy import ndimage

    if not by_mm >= 0:
        raise ValueError(f"a mask cannot be moved by {by_mm:g} mm; grow and shrink have a sign")
    limit = by_mm * _ROUNDING
    margin = margin_voxels(limit, spacing_mm)
    result = mask.copy()
    for first in range(0, mask.shape[0], _SLAB):
        check_stop(should_stop)
        last = min(first + _SLAB, mask.shape[0])
        start = max(first - margin[0], 0)
        near = mask[start : last + margin[0]]
        box = box_around(near, margin)
        block = near[box]
        if not block.size or block.all():
            continue
        distance = ndimage.distance_transform_edt(~block, sampling=spacing_mm)
        kept = slice(max(first - start - box[0].start, 0), max(last - start - box[0].start, 0))
        at = box[0].start + start
        target = result[at : at + block.shape[0], box[1], box[2]]
        target[kept] |= distance[kept] <= limit
    return result
