"""Sampling a volume at the pixels of slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.volume import FloatArray, Grid, resample

_SAME_VOXEL = 1e-3  # of a voxel


def sample_planes(
    planes: Sequence[Grid], values: npt.NDArray[Any], grid: Grid, order: Literal[0, 1]
) -> npt.NDArray[Any]:
    """Sample values at the pixels of parallel planes, bit for bit where they are voxels.

    Parameters
    ----------
    planes
        [1, row, column] to (I, P, L) mm, all of one size.
    values
        [n0, n1, n2] on `grid`.
    grid
        Index to (I, P, L) mm; need not be axis-aligned.
    order
        0 nearest (masks), 1 linear (maps).

    Returns
    -------
    [plane, row, column] in the type of `values`; 0 outside of `grid`.
    """
    # Axes in the order of the planes', where they run alike, are sampled much faster.
    steps = np.linalg.inv(grid.affine[:3, :3]) @ planes[0].affine[:3, :3]
    axes = np.abs(steps / np.linalg.norm(steps, axis=0)).argmax(axis=0)
    if len(set(axes.tolist())) == 3:
        values = values.transpose(axes)
        grid = Grid(values.shape, grid.affine[:, [*axes, 3]])
    pixels = np.empty((len(planes), *planes[0].shape[1:]), values.dtype)
    for k, plane in enumerate(planes):
        own = _own_slice(values, grid, plane)
        if own is not None:
            pixels[k] = own
            continue
        near, affine = _around(values, grid, plane)
        pixels[k] = resample(near, affine, plane, order=order)[0] if near.size else 0
    return pixels


def _own_slice(values: npt.NDArray[Any], grid: Grid, plane: Grid) -> npt.NDArray[Any] | None:
    """The slice of a volume whose voxels are the plane's very pixels, if there is one."""
    last_pixel = tuple(n - 1 for n in plane.shape)
    ends = grid.to_index(plane.to_world([(0, 0, 0), last_pixel]))
    first, last = np.rint(ends).astype(int)
    if (
        np.abs(ends - (first, last)).max() > _SAME_VOXEL
        or (np.abs(last - first) != last_pixel).any()
        or min(first.min(), last.min()) < 0
        or (np.maximum(first, last) >= grid.shape).any()
    ):
        return None
    k, *low = np.minimum(first, last).tolist()
    rows, columns = plane.shape[1:]
    pixels = values[k, low[0] : low[0] + rows, low[1] : low[1] + columns]
    return np.flip(pixels, tuple(axis for axis in (0, 1) if last[axis + 1] < first[axis + 1]))


def _around(
    values: npt.NDArray[Any], grid: Grid, plane: Grid
) -> tuple[npt.NDArray[Any], FloatArray]:
    """The part of a volume that a plane runs through, and its affine."""
    corners = grid.to_index(plane.corners_mm())
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2, grid.shape)
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_world(low)
    a, b, c = (slice(int(x), int(max(x, y))) for x, y in zip(low, high, strict=True))
    return values[a, b, c], affine
