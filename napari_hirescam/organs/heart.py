"""The region of heart, mediastinum and great vessels: what lies between the lungs.

As PARTITION has it (Draelos & Carin, arXiv 2011.08891): within the box around both lungs, all of
the body that is no lung, from a quarter of the box's width after its right side to an eighth of it
before its left side, as the heart lies more to the left.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.work_grid import WorkGrid

_FROM_RIGHT, _FROM_LEFT = 1 / 4, 1 / 8

Labels = npt.NDArray[np.uint8]


def mark_heart(
    labels: Labels,
    value: int,
    grid: WorkGrid,
    body: BoolArray,
    middle: float,
    missing: str | None,
    tick: Callable[[], None],
) -> None:
    """Write the region into a label map that holds the lungs, on the CT's own grid.

    Parameters
    ----------
    labels
        [slice, row, column]; changed in place where it is 0.
    body
        On the work grid.
    middle
        Column of the body's middle on the work grid.
    missing
        The lung that is missing, "right" or "left": the box is then as wide on its side as on
        the other.
    tick
        Called every few slices; may raise to give up.
    """
    box = _box(labels, tick)
    if box is None:
        return
    slices, rows, (right, left) = box
    if missing is not None:
        here = (middle + grid.first[2] + 0.5) * grid.step[2]
        if missing == "left":
            left = min(labels.shape[2], round(2 * here - right))
        else:
            right = max(0, round(2 * here - left))
    width = left - right
    first, last = right + int(width * _FROM_RIGHT), left - int(width * _FROM_LEFT)
    inside = _blocks(grid, 1, range(rows[0], rows[1]), body.shape[1])
    across = _blocks(grid, 2, range(first, last), body.shape[2])
    height = _blocks(grid, 0, range(slices[0], slices[1]), body.shape[0])
    for k, plane in zip(range(*slices), height, strict=True):
        tick()
        part = labels[k, rows[0] : rows[1], first:last]
        part[(part == 0) & body[plane][np.ix_(inside, across)]] = value


def _box(
    labels: Labels, tick: Callable[[], None]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None:
    """First and last index, plus one, along each axis; None if there is nothing."""
    rows = np.zeros(labels.shape[1], bool)
    columns = np.zeros(labels.shape[2], bool)
    slices = np.zeros(labels.shape[0], bool)
    for k, plane in enumerate(labels):
        tick()
        slices[k] = plane.any()
        if slices[k]:
            rows |= plane.any(axis=1)
            columns |= plane.any(axis=0)
    if not slices.any():
        return None
    a, b, c = (np.flatnonzero(hit)[[0, -1]] + (0, 1) for hit in (slices, rows, columns))
    return (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), (int(c[0]), int(c[1]))


def _blocks(grid: WorkGrid, axis: int, indices: range, n: int) -> npt.NDArray[np.intp]:
    """Block of the work grid in which each index of the CT lies."""
    block = np.array(indices, dtype=np.intp) // grid.step[axis] - grid.first[axis]
    return np.clip(block, 0, n - 1)
