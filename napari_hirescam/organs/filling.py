"""Lung where it holds no air: vessels and small disease inside it, and the layer along its wall.

Fluid, consolidation and tumours hide the border of a lung from a threshold. What air surrounds
is taken in by closing. What lies between the air and the ribs is found along rays: from the
middle of each half of the chest outwards, the first bone that is met is a rib.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.sides import Sides
from napari_hirescam.organs.work_grid import FloatVoxels, WorkGrid

Floats = npt.NDArray[np.float64]

_CLOSE_MM = 8.0
_BONE_HU = 180
#: Directions from the middle of a half chest: 0 points to the side, 90 to the back. In front
#: there are no ribs but cartilage, and towards the middle there is the heart.
_ANGLES = np.deg2rad(np.arange(-30.0, 124.0, 3.0))
#: On the left the descending aorta lies before the spine.
_LEFT_END = np.deg2rad(106.0)
_RAY_MM = np.arange(0.0, 170.0, 2.0)
_FIRST_MM = 12.0
#: Inner surface of a rib to the pleura.
_PLEURA_MM = 2.0
#: A wall is thinner.
_LEAST_LAYER_MM = 8.0
_LEAST_LAYER_ML = 25.0
#: What a layer may be made of: between fat and enhanced tissue; and where no air lies above it
#: along the ray, fluid alone.
_LAYER_HU = (-60.0, 120.0)
_LAYER_SHARE = 0.6
_FLUID_HU = (-25.0, 40.0)
#: A layer of fluid goes on below the last air by no more than this.
_BELOW_AIR_MM = 90.0


@dataclass(frozen=True, eq=False)
class FilledLung:
    """A lung with what of it holds no air.

    Parameters
    ----------
    mask
        All of it.
    layer
        The part along the wall that was guessed from the ribs.
    """

    mask: BoolArray
    layer: BoolArray


def fill_lung(grid: WorkGrid, sides: Sides, outward: int, tick: Callable[[], None]) -> FilledLung:
    """Take in what disease and vessels fill of the right lung (`outward` -1) or the left (1).

    `tick` may raise to give up.
    """
    air, other = (sides.right, sides.left)[::-outward]
    closed = close_holes(grid, air, tick) & ~other
    layer = find_wall_layer(grid, closed, closed | other, sides.middle, outward, tick)
    layer &= ~(closed | other)
    if not layer.any():
        return FilledLung(closed, layer)
    return FilledLung(close_holes(grid, closed | layer, tick) & ~other, layer)


def close_holes(grid: WorkGrid, air: BoolArray, tick: Callable[[], None]) -> BoolArray:
    """Take in what air surrounds: closing by a ball, then holes of each axial slice."""
    from scipy import ndimage

    if not air.any():
        return air
    where = ndimage.find_objects(air.astype(np.int8))[0]
    pad = [grid.voxels(_CLOSE_MM, axis) + 1 for axis in range(3)]
    # A lung that the scan cuts goes on beyond it.
    part = np.pad(air[where], [(p, p) for p in pad])
    for axis, span in enumerate(where):
        ends = (span.start == 0, span.stop == air.shape[axis])
        for at_end, first in zip(ends, (True, False), strict=True):
            if at_end:
                _repeat_border(part, axis, pad[axis], first=first)
    near = ndimage.distance_transform_edt(~part, sampling=grid.spacing_mm) <= _CLOSE_MM
    tick()
    closed = ndimage.distance_transform_edt(near, sampling=grid.spacing_mm) > _CLOSE_MM
    tick()
    inner = tuple(slice(p, -p) for p in pad)
    whole = closed[inner] | part[inner]
    for plane in whole:
        plane[:] = ndimage.binary_fill_holes(plane)
    result = np.zeros_like(air)
    result[where] = whole
    return result


def _repeat_border(part: BoolArray, axis: int, width: int, *, first: bool) -> None:
    part = np.moveaxis(part, axis, 0)
    if first:
        part[:width] = part[width]
    else:
        part[-width:] = part[-width - 1]


@dataclass(frozen=True, eq=False)
class _Rays:
    """Rays from the middle of a half chest in each slice; distances are in mm.

    Parameters
    ----------
    rows, columns
        Of the middle in each slice.
    outward
        -1 on the patient's right, 1 on the left.
    hu
        [slice, angle, step] along the rays.
    air
        The same, True in the lung.
    """

    rows: Floats
    columns: Floats
    outward: int
    hu: FloatVoxels
    air: BoolArray


def find_wall_layer(
    grid: WorkGrid,
    lung: BoolArray,
    both: BoolArray,
    middle: float,
    outward: int,
    tick: Callable[[], None],
) -> BoolArray:
    """Find what lies between a lung's air and the ribs, where it is more than the chest wall.

    Parameters
    ----------
    lung
        Air of one lung, closed.
    both
        Air of both, which tell how wide the chest is.
    middle
        Column of the body's middle.
    outward
        -1 for the right lung, 1 for the left one.
    """
    from scipy import ndimage

    if not lung.any():
        return lung
    rays = _cast(grid, lung, both, middle, outward)
    tick()
    wall = _rib_cage(grid, rays)
    tick()
    thickness = _layer(grid, rays, wall)
    tick()
    if outward > 0:
        thickness[:, _ANGLES > _LEFT_END] = 0
    size = (2 * grid.voxels(4.0, axis=0) + 1, 5)
    thickness = ndimage.median_filter(thickness, size, mode="nearest")
    layer = _in_voxels(grid, rays, wall, thickness, lung.shape)
    labels, n = ndimage.label(layer)
    large = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_ml >= _LEAST_LAYER_ML
    large[0] = False
    found: BoolArray = large[labels]
    return found


def _cast(grid: WorkGrid, lung: BoolArray, both: BoolArray, middle: float, outward: int) -> _Rays:
    from scipy import ndimage

    depth_mm, height_mm = grid.spacing_mm[2], grid.spacing_mm[1]
    occupied = both.any(axis=(1, 2))
    at = np.flatnonzero(occupied)
    reach, front, back = [], [], []
    for plane in both[at]:
        across = np.flatnonzero(plane.any(axis=0))
        along_body = np.flatnonzero(plane.any(axis=1))
        reach.append(float(np.abs(across - middle).max()))
        front.append(float(along_body[0]))
        back.append(float(along_body[-1]))
    every = np.arange(len(both))
    smooth = 2 * grid.voxels(12.0, axis=0) + 1

    def in_every_slice(values: list[float]) -> Floats:
        level = ndimage.median_filter(np.asarray(values, np.float64), smooth, mode="nearest")
        return np.asarray(np.interp(every, at, level))

    columns = middle + outward * 0.5 * in_every_slice(reach)
    rows = (in_every_slice(front) + in_every_slice(back)) / 2
    steps = _RAY_MM
    to_row = rows[:, None, None] + np.sin(_ANGLES)[:, None] * steps / height_mm
    to_column = columns[:, None, None] + outward * np.cos(_ANGLES)[:, None] * steps / depth_mm
    k = np.broadcast_to(every[:, None, None], to_row.shape)
    i, j = np.rint(to_row).astype(int), np.rint(to_column).astype(int)
    inside = (i >= 0) & (i < lung.shape[1]) & (j >= 0) & (j < lung.shape[2])
    i, j = np.clip(i, 0, lung.shape[1] - 1), np.clip(j, 0, lung.shape[2] - 1)
    hu = np.where(inside, grid.hu[k, i, j], np.float32(-1024))
    return _Rays(rows, columns, outward, hu, inside & lung[k, i, j])


def _rib_cage(grid: WorkGrid, rays: _Rays) -> Floats:
    """Distance of the pleura from the middle of the half chest, [slice, angle] mm; or NaN."""
    from scipy import ndimage

    bone = (rays.hu > _BONE_HU) & (_RAY_MM >= _FIRST_MM)
    first = np.where(bone.any(axis=2), _RAY_MM[bone.argmax(axis=2)], 999.0)
    # Between two ribs a ray meets the shoulder blade or nothing; ribs cover less than half.
    size = (2 * grid.voxels(16.0, axis=0) + 1, 7)
    level = ndimage.percentile_filter(first, 25, size=size, mode="nearest")
    known = level < _RAY_MM[-1]
    sigma = (grid.voxels(5.0, axis=0), 1.5)
    weight = ndimage.gaussian_filter(known.astype(np.float64), sigma, mode="nearest")
    level = ndimage.gaussian_filter(np.where(known, level, 0), sigma, mode="nearest")
    # Where the ribs end, nothing tells how far out the wall lies.
    smooth = level / np.maximum(weight, 0.1)
    return np.where(known & (weight > 0.7), smooth - _PLEURA_MM, np.nan)


def _layer(grid: WorkGrid, rays: _Rays, wall: Floats) -> Floats:
    """Thickness of the layer along the wall, [slice, angle] mm; 0 for none."""
    from scipy import ndimage

    within = wall[..., None] > _RAY_MM
    step = _RAY_MM[1] - _RAY_MM[0]
    air: BoolArray = rays.air & within
    has_air: BoolArray = np.asarray(air.any(axis=2))
    last_air = np.where(has_air, _RAY_MM[air.shape[2] - 1 - air[..., ::-1].argmax(axis=2)], np.nan)
    beyond = within & (last_air[..., None] < _RAY_MM)
    fits = (rays.hu > _LAYER_HU[0]) & (rays.hu < _LAYER_HU[1])
    gap = np.nan_to_num(wall - last_air - step)
    solid = (beyond & fits).sum(axis=2) > _LAYER_SHARE * beyond.sum(axis=2)
    thickness = np.where(has_air & solid & (gap >= _LEAST_LAYER_MM), gap, 0.0)
    # Below the last air, fluid is told from liver and spleen by its density, and is no thicker
    # than above.
    smooth = ndimage.uniform_filter(rays.hu, 3, mode="nearest")
    fluid = (smooth > _FLUID_HU[0]) & (smooth < _FLUID_HU[1])
    from_wall = within & (np.nan_to_num(wall)[..., None] - _RAY_MM > 0)
    broken = np.cumsum((from_wall & ~fluid)[..., ::-1], axis=2)[..., ::-1] > 0
    run = step * (from_wall & ~broken).sum(axis=2)
    below = np.zeros(thickness.shape[1])
    for k in range(1, len(thickness)):
        below = np.where(has_air[k], 0.0, below + grid.spacing_mm[0])
        most = thickness[k - 1] + grid.spacing_mm[0]
        goes_on = ~has_air[k] & (thickness[k - 1] > 0) & (below <= _BELOW_AIR_MM)
        here = np.minimum(run[k], most)
        thickness[k] = np.where(goes_on & (here >= 4.0), here, thickness[k])
    return thickness


def _in_voxels(
    grid: WorkGrid, rays: _Rays, wall: Floats, thickness: Floats, shape: tuple[int, int, int]
) -> BoolArray:
    found = np.zeros(shape, bool)
    spread = _ANGLES[1] - _ANGLES[0]
    rows, columns = np.arange(shape[1]), np.arange(shape[2])
    for k in np.flatnonzero((thickness > 0).any(axis=1)):
        y = (rows - rays.rows[k])[:, None] * grid.spacing_mm[1]
        x = (columns - rays.columns[k]) * rays.outward * grid.spacing_mm[2]
        away = np.hypot(y, x)
        position = (np.arctan2(y, x) - _ANGLES[0]) / spread
        bin_ = np.clip(np.rint(position), 0, len(_ANGLES) - 1).astype(int)
        aimed = (position > -0.5) & (position < len(_ANGLES) - 0.5)
        outer = wall[k][bin_]
        inner = outer - thickness[k][bin_]
        layer = aimed & (thickness[k][bin_] > 0) & (away < outer) & (away > inner - 1.0)
        found[k] = layer & (grid.hu[k] > -500) & (grid.hu[k] < _BONE_HU)
    return found
