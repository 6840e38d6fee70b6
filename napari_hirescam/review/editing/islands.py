"""Pieces of a mask that hang together, and holes in it.

Voxels of a piece may touch at a corner; what surrounds a mask passes through faces only, so that
an outline whose voxels touch at corners encloses its inside.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
    millilitres,
)


def keep_largest(
    mask: Mask, spacing_mm: Spacing, *, count: int = 1, should_stop: StopCallback | None = None
) -> Edited:
    """Keep the largest piece, or the largest few.

    Parameters
    ----------
    mask
        [slice, row, column].
    spacing_mm
        Of its voxels.
    count
        How many; of pieces of one size the first in the array is taken.
    should_stop
        Asked between steps.

    Raises
    ------
    ValueError
        The count is below 1.
    Cancelled
        If `should_stop` answered True.
    """
    if count < 1:
        raise ValueError(f"{count} pieces cannot be kept")
    pieces = _Pieces(as_bool(mask), should_stop)
    kept = np.argsort(-pieces.voxels, kind="stable")[:count]
    what = "Kept the largest piece" if count == 1 else f"Kept the {count} largest pieces"
    return edited(mask, pieces.only(kept), spacing_mm, f"{what} of {len(pieces.voxels)}")


def remove_small(
    mask: Mask,
    spacing_mm: Spacing,
    *,
    smaller_than_ml: float,
    should_stop: StopCallback | None = None,
) -> Edited:
    """Remove all pieces below a volume; that may be all there are.

    Raises
    ------
    ValueError
        The volume is negative.
    Cancelled
        If `should_stop` answered True.
    """
    if not smaller_than_ml >= 0:
        raise ValueError(f"there is no piece smaller than {smaller_than_ml:g} mL")
    pieces = _Pieces(as_bool(mask), should_stop)
    volumes = pieces.voxels * millilitres(1, spacing_mm)
    # What is as large as the limit, but for rounding, is not smaller than it.
    kept = np.flatnonzero(volumes > smaller_than_ml * (1 - 1e-9))
    gone = len(volumes) - len(kept)
    what = f"Removed {gone} of {len(volumes)} pieces, those below {smaller_than_ml:g} mL"
    return edited(mask, pieces.only(kept), spacing_mm, what)


def fill_holes(
    mask: Mask,
    spacing_mm: Spacing,
    *,
    axis: int | None = None,
    at_most_ml: float | None = None,
    should_stop: StopCallback | None = None,
) -> Edited:
    """Fill what a mask encloses.

    Parameters
    ----------
    mask
        [slice, row, column].
    spacing_mm
        Of its voxels.
    axis
        None: what is enclosed from all sides. 0, 1 or 2: in each plane across this axis on its
        own, what is enclosed within the plane. What reaches the border of the scan is open.
    at_most_ml
        Larger holes stay; of a plane, its thickness counts. None fills all.
    should_stop
        Asked between steps.

    Raises
    ------
    ValueError
        There is no such axis.
    Cancelled
        If `should_stop` answered True.
    """
    from scipy import ndimage

    if axis not in (None, 0, 1, 2):
        raise ValueError(f"a mask has no axis {axis}")
    inside = as_bool(mask)
    box = box_around(inside)
    block = inside[box]
    faces = ndimage.generate_binary_structure(3, 1)
    # A rim around it joins all that is open.
    rim = [(1, 1)] * 3
    if axis is not None:
        faces[(slice(None),) * axis + ([0, 2],)] = False
        rim[axis] = (0, 0)
    check_stop(should_stop)
    labels, n = ndimage.label(np.pad(~block, rim, constant_values=True), faces)
    check_stop(should_stop)
    voxels = np.bincount(labels.ravel(), minlength=n + 1)
    hole = np.ones(n + 1, dtype=bool)
    hole[0] = False
    corners = [0 if k != axis else slice(None) for k in range(3)]
    hole[labels[tuple(corners)]] = False
    if at_most_ml is not None:
        hole &= voxels * millilitres(1, spacing_mm) <= at_most_ml * (1 + 1e-9)
    inner = tuple(slice(low, -high or None) for low, high in rim)
    filled = inside.copy()
    filled[box] |= hole[labels[inner]]
    count = int(np.count_nonzero(hole))
    where = "" if axis is None else f" in planes across axis {axis}"
    return edited(mask, filled, spacing_mm, f"Filled {count} hole{'s' * (count != 1)}{where}")


class _Pieces:
    """The pieces of a mask.

    Parameters
    ----------
    mask
        [slice, row, column].
    should_stop
        Asked between steps.
    """

    def __init__(self, mask: BoolArray, should_stop: StopCallback | None) -> None:
        from scipy import ndimage

        self._shape = mask.shape
        self._box = box_around(mask)
        check_stop(should_stop)
        self._labels, n = ndimage.label(mask[self._box], np.ones((3, 3, 3)))
        check_stop(should_stop)
        #: Of each piece.
        self.voxels: npt.NDArray[np.intp] = np.bincount(self._labels.ravel(), minlength=n + 1)[1:]

    def only(self, kept: npt.NDArray[np.intp]) -> BoolArray:
        """Leave out all pieces but some, by their places in `voxels`."""
        chosen = np.zeros(len(self.voxels) + 1, dtype=bool)
        chosen[kept + 1] = True
        whole = np.zeros(self._shape, dtype=bool)
        whole[self._box] = chosen[self._labels]
        return whole
