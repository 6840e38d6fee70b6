"""The outline of a mask in one slice, along the borders of its voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.volume import FloatArray


def outline_segments(mask: npt.NDArray[np.bool_]) -> FloatArray:
    """List the straight lines that part a mask from what is not in it.

    The lines run along the voxels' borders, so that a drawing of them shows which voxels belong
    to the mask, at every size, and what lies inside stays free.

    Parameters
    ----------
    mask
        [row, column].

    Returns
    -------
    [n, 4]: row and column of the start, row and column of the end, in indices (a voxel's centre
    has whole numbers). Neighbouring lines of one direction are joined.
    """
    framed = np.pad(mask, 1)
    across = framed[1:, 1:-1] != framed[:-1, 1:-1]  # [row border, column]
    along = framed[1:-1, 1:] != framed[1:-1, :-1]  # [row, column border]
    row, start, end = _runs(across)
    lying = np.column_stack((row, start, row, end)) - 0.5
    column, start, end = _runs(along.T)
    standing = np.column_stack((start, column, end, column)) - 0.5
    return np.concatenate((lying, standing))


def _runs(marked: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], ...]:
    """Find runs of True in each row: the row, the first of each, and one past the last."""
    edges = np.diff(np.pad(marked, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(edges == 1)
    _row, end = np.nonzero(edges == -1)
    return row, start, end
