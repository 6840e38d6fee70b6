"""Where the voxels go: turning, resampling and cutting, with the affine carried along.

Each step takes and returns voxels with the 4x4 affine of their grid, so that at the end a cell
of the network's feature map can be mapped back to patient mm. What a step does to the grid
alone is a function of its own, so that a place can be drawn before any voxel is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.volume import FloatArray, Grid, Shape3D, resample, scaling, translation

Placed = tuple[npt.NDArray[Any], FloatArray]
Point = tuple[float, float, float]
BeforeSlab = Callable[[], None]

_IPL = "IPL"
_OPPOSITE = {"S": "I", "A": "P", "R": "L"}
#: Slices (or rows) that are smoothed at a time.
_SLAB = 16
#: Spacings that differ by less than this share are one.
_SAME_SPACING = 1e-4


@dataclass(frozen=True)
class Box:
    """A box of voxels on a grid, which may reach beyond it.

    Parameters
    ----------
    starts
        First index of the box along each axis; negative where it begins before the grid.
    shape
        Its length along each axis.
    """

    starts: Shape3D
    shape: Shape3D

    def margins(self, grid_shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """How many voxels of the box lie before and behind a grid of this shape, per axis."""
        return tuple(
            (min(max(-start, 0), length), min(max(start + length - n, 0), length))
            for start, length, n in zip(self.starts, self.shape, grid_shape, strict=True)
        )

    def inside(self, grid_shape: tuple[int, ...]) -> tuple[slice, ...]:
        """The part of the grid that the box covers."""
        return tuple(
            slice(min(max(start, 0), n), max(min(start + length, n), 0))
            for start, length, n in zip(self.starts, self.shape, grid_shape, strict=True)
        )

    def on(self, grid: Grid) -> Grid:
        """The grid of the box's own voxels."""
        return Grid(self.shape, grid.affine @ translation(self.starts))


def box_ends_mm(grid: Grid) -> tuple[Point, Point]:
    """Find the lowest and highest (I, P, L) mm of a grid, at the outer faces of its voxels."""
    ends = grid.to_world([(-0.5,) * 3, tuple(n - 0.5 for n in grid.shape)])
    low, high = ends.min(axis=0), ends.max(axis=0)
    return (float(low[0]), float(low[1]), float(low[2])), (
        float(high[0]),
        float(high[1]),
        float(high[2]),
    )


def reorient(voxels: npt.NDArray[Any], affine: FloatArray, orientation: str) -> Placed:
    """Turn (I, P, L) voxels so that their axes grow towards the letters of `orientation`."""
    order, backwards = _turn(orientation)
    turned = np.flip(voxels.transpose(order), tuple(axis for axis in range(3) if backwards[axis]))
    return turned, reoriented_grid(Grid(voxels.shape, affine), orientation).affine


def reoriented_grid(grid: Grid, orientation: str) -> Grid:
    """Make the grid of voxels turned by :func:`reorient`."""
    order, backwards = _turn(orientation)
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1.0
    for new_axis, (old_axis, flipped) in enumerate(zip(order, backwards, strict=True)):
        to_old[old_axis, new_axis] = -1.0 if flipped else 1.0
        to_old[old_axis, 3] = grid.shape[old_axis] - 1 if flipped else 0.0
    a, b, c = (grid.shape[axis] for axis in order)
    return Grid((a, b, c), grid.affine @ to_old)


def resample_to_spacing(
    voxels: npt.NDArray[Any],
    affine: FloatArray,
    spacing_mm: tuple[float, float, float],
    before_slab: BeforeSlab = lambda: None,
) -> Placed:
    """Resample linearly to a spacing, keeping the first voxel's centre in place.

    The output has round(n * spacing / new spacing) voxels per axis, as in the reference
    preprocessing. Where more than two voxels fall on one, linear interpolation would skip some
    of them, so a Gaussian of sigma (factor - 1) / 2 comes first.
    """
    here = Grid(voxels.shape, affine)
    target = grid_at_spacing(here, spacing_mm)
    if target is here:
        return voxels, affine
    return _resample_smoothly(voxels, here, target, before_slab), target.affine


def grid_at_spacing(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """Make the grid that :func:`resample_to_spacing` samples; `grid` itself if it is that."""
    factors = np.asarray(spacing_mm) / np.asarray(grid.spacing_mm)
    if np.allclose(factors, 1.0, rtol=_SAME_SPACING):
        return grid
    a, b, c = (
        max(1, int(np.floor(n / factor + 0.5)))
        for n, factor in zip(grid.shape, factors, strict=True)
    )
    return Grid((a, b, c), grid.affine @ scaling(factors))


def resize(
    voxels: npt.NDArray[Any],
    affine: FloatArray,
    shape: tuple[int | None, int, int],
    before_slab: BeforeSlab = lambda: None,
) -> Placed:
    """Resample the whole extent to a number of voxels, outer faces meeting outer faces.

    Smoothed before it shrinks as in :func:`resample_to_spacing`. None leaves an axis alone.
    """
    here = Grid(voxels.shape, affine)
    target = resized_grid(here, shape)
    if target.shape == here.shape:
        return voxels, affine
    return _resample_smoothly(voxels, here, target, before_slab), target.affine


def resized_grid(grid: Grid, shape: tuple[int | None, int, int]) -> Grid:
    """Make the grid of `shape` that fills exactly the extent of another."""
    a, b, c = (n if m is None else m for n, m in zip(grid.shape, shape, strict=True))
    factors = np.asarray(grid.shape) / (a, b, c)
    # New voxel 0 reaches from -1/2 to factor - 1/2: its centre is at (factor - 1) / 2.
    return Grid((a, b, c), grid.affine @ translation((factors - 1) / 2) @ scaling(factors))


def cut(
    voxels: npt.NDArray[Any],
    affine: FloatArray,
    box: Box,
    fill: float | None,
    before_slab: BeforeSlab = lambda: None,
) -> Placed:
    """Take a box, which may reach beyond the volume; None for `fill` repeats the border."""
    part = voxels[box.inside(voxels.shape)]
    margins = box.margins(voxels.shape)
    if any(before or after for before, after in margins):
        inner = part
        part = np.empty(box.shape, _type_that_holds(fill, voxels.dtype))
        if fill is not None:
            part[...] = fill
        (first, _), (top, _), (left, _) = margins
        rows, columns = slice(top, top + inner.shape[1]), slice(left, left + inner.shape[2])
        for at in range(0, len(inner), _SLAB):
            before_slab()
            slab = inner[at : at + _SLAB]
            part[first + at : first + at + len(slab), rows, columns] = slab
        if fill is None:
            _repeat_border(part, margins)
    return part, affine @ translation(box.starts)


def _type_that_holds(fill: float | None, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if fill is None or not np.issubdtype(dtype, np.integer):
        return dtype
    limits = np.iinfo(dtype)
    fits = limits.min <= fill <= limits.max and float(fill).is_integer()
    return dtype if fits else np.dtype(np.float32)


def _repeat_border(part: npt.NDArray[Any], margins: tuple[tuple[int, int], ...]) -> None:
    """Fill the margins of an array, axis by axis, with what lies at their edge."""
    for axis, (before, after) in enumerate(margins):
        turned = np.moveaxis(part, axis, 0)
        n = len(turned)
        turned[:before] = turned[before]
        turned[n - after :] = turned[n - after - 1]


def _turn(orientation: str) -> tuple[list[int], list[bool]]:
    """For each letter: the (I, P, L) axis it lies along, and whether it runs against it."""
    forward = [_OPPOSITE.get(letter, letter) for letter in orientation]
    return [_IPL.index(letter) for letter in forward], [
        letter in _OPPOSITE for letter in orientation
    ]


def _resample_smoothly(
    voxels: npt.NDArray[Any], here: Grid, target: Grid, before_slab: BeforeSlab
) -> npt.NDArray[Any]:
    factors = np.asarray(target.spacing_mm) / np.asarray(here.spacing_mm)
    smooth: npt.NDArray[Any] = np.empty(voxels.shape, np.float32)
    for first in range(0, len(voxels), _SLAB):
        before_slab()
        smooth[first : first + _SLAB] = voxels[first : first + _SLAB]
    for axis, factor in enumerate(factors):
        # Resampled in one step, an axis of one voxel has nothing to be smoothed with.
        if factor > 2.0 and voxels.shape[axis] > 1:
            smooth = _smooth_along(smooth, axis, float(factor - 1.0) / 2.0, before_slab)
    # The last voxel may be centred beyond the last one there was: it repeats it.
    return resample(smooth, here.affine, target, outside=None, before_slab=before_slab)


def _smooth_along(
    voxels: npt.NDArray[Any], axis: int, sigma: float, before_slab: BeforeSlab
) -> npt.NDArray[Any]:
    """Smooth along one axis, slab by slab across another, so that a stop is heard soon."""
    from scipy import ndimage

    across = 1 if axis == 0 else 0
    result = np.empty_like(voxels)
    for first in range(0, voxels.shape[across], _SLAB):
        before_slab()
        slab = (slice(None),) * across + (slice(first, first + _SLAB),)
        ndimage.gaussian_filter1d(voxels[slab], sigma, axis, output=result[slab], mode="nearest")
    return result


def along_patient_axes(values: npt.NDArray[Any], affine: FloatArray) -> Placed:
    """Turn values on any permuted or flipped axes so that they run along (I, P, L)."""
    linear = affine[:3, :3]
    order = [int(np.argmax(np.abs(linear[axis]))) for axis in range(3)]
    flips = [axis for axis in range(3) if linear[axis, order[axis]] < 0]
    placed = np.eye(4)
    placed[:3, 3] = affine[:3, 3]
    for axis, old in enumerate(order):
        step = linear[axis, old]
        placed[axis, axis] = abs(step)
        if axis in flips:
            placed[axis, 3] += step * (values.shape[old] - 1)
    return np.flip(values.transpose(order), tuple(flips)), placed
