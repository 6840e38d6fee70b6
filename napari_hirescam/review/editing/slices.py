"""Drawing some slices and having those between them drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.editing.change import (
    Edited,
    Mask,
    Spacing,
    StopCallback,
    as_bool,
    check_stop,
    edited,
)

FloatPlane = npt.NDArray[np.float64]


def empty_gaps(mask: Mask, axis: int = 0) -> tuple[tuple[int, int], ...]:
    """Find runs of empty planes between drawn ones.

    Returns
    -------
    For each the last drawn plane before it and the first one after it.
    """
    inside = as_bool(mask)
    drawn = np.flatnonzero(inside.any(axis=tuple(k for k in range(3) if k != axis)))
    return tuple((int(a), int(b)) for a, b in pairwise(drawn) if b - a > 1)


def interpolate(
    mask: Mask,
    spacing_mm: Spacing,
    *,
    axis: int = 0,
    between: Sequence[int] | None = None,
    should_stop: StopCallback | None = None,
) -> Edited:
    """Draw the planes between drawn ones by their shape.

    The signed distance to the outline is interpolated between two planes (Raya & Udupa, IEEE
    Trans Med Imaging 1990; 9:32-42). Where each of the two holds one piece, they are first laid
    over one another by their centres, so that a vessel which runs askew is not lost between them.

    Parameters
    ----------
    mask
        [slice, row, column].
    spacing_mm
        Of its voxels.
    axis
        Across which the planes lie: 0 axial, 1 coronal, 2 sagittal.
    between
        Planes that the user drew, at least two, none empty: all that lies between two that
        follow each other is drawn anew. None draws in the empty gaps alone.
    should_stop
        Asked for each pair of planes.

    Raises
    ------
    ValueError
        There is no such axis or plane, fewer than two are given, or one of them is empty.
    Cancelled
        If `should_stop` answered True.
    """
    if axis not in (0, 1, 2):
        raise ValueError(f"a mask has no axis {axis}")
    before = as_bool(mask)
    pairs = empty_gaps(before, axis) if between is None else _pairs(before, axis, between)
    after = before.copy()
    planes = np.moveaxis(after, axis, 0)
    spacing = [step for k, step in enumerate(spacing_mm) if k != axis]
    drawn = 0
    for first, last in pairs:
        check_stop(should_stop)
        for plane, shape in zip(
            range(first + 1, last),
            _between(planes[first], planes[last], spacing, last - first - 1),
            strict=True,
        ):
            planes[plane] = shape
            drawn += 1
    what = f"Drew {drawn} plane{'s' * (drawn != 1)} between others"
    return edited(mask, after, spacing_mm, what)


def _pairs(mask: BoolArray, axis: int, between: Sequence[int]) -> list[tuple[int, int]]:
    planes = sorted(set(between))
    if len(planes) < 2:
        raise ValueError("there is nothing between fewer than two planes")
    if planes[0] < 0 or planes[-1] >= mask.shape[axis]:
        raise ValueError(f"planes run from 0 to {mask.shape[axis] - 1}")
    empty = [plane for plane in planes if not np.take(mask, plane, axis).any()]
    if empty:
        raise ValueError(f"nothing is drawn in plane {empty[0]}")
    return list(pairwise(planes))


def _between(
    first: BoolArray, last: BoolArray, spacing_mm: Sequence[float], count: int
) -> Iterator[BoolArray]:
    """Shapes on the way from one plane to another, evenly spaced."""
    from scipy import ndimage

    whole = first.shape
    lit = first | last
    rows, columns = (np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0)))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    shapes = [plane[box] for plane in (first, last)]
    one_each = all(ndimage.label(shape, np.ones((3, 3)))[1] == 1 for shape in shapes)
    centres = [np.array(ndimage.center_of_mass(shape)) for shape in shapes]
    # Whole voxels: between them the outline would be blurred, and thin shapes lose by it.
    way = np.rint(centres[1] - centres[0]) if one_each else np.zeros(2)
    # So wide a rim that true distances, not copies of the last one, move into the box.
    rim = [(1 + int(abs(voxels)),) * 2 for voxels in way]
    ends = [_signed_distance(np.pad(shape, rim), spacing_mm) for shape in shapes]
    inner = tuple(slice(before, -after) for before, after in rim)
    for step in range(1, count + 1):
        share = step / (count + 1)
        gone = np.rint(share * way)
        distance = (1 - share) * _moved(ends[0], gone) + share * _moved(ends[1], gone - way)
        shape = np.zeros(whole, dtype=bool)
        shape[box] = distance[inner] > 0
        yield shape


def _moved(distance: FloatPlane, voxels: npt.NDArray[np.float64]) -> FloatPlane:
    from scipy import ndimage

    moved: FloatPlane = ndimage.shift(distance, voxels, order=0, mode="nearest")
    return moved


def _signed_distance(shape: BoolArray, spacing_mm: Sequence[float]) -> FloatPlane:
    """Distance to the outline in mm, positive inside."""
    from scipy import ndimage

    inside = ndimage.distance_transform_edt(shape, sampling=spacing_mm)
    outside = ndimage.distance_transform_edt(~shape, sampling=spacing_mm)
    found: FloatPlane = inside - outside
    return found
