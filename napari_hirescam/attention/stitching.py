"""Maps of many windows on one grid, each at its own strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_hirescam.attention.result import AttentionMap, Float32Array
from napari_hirescam.volume import FloatArray, Grid, Shape3D

#: Into how many parts a cell is divided at most, to meet the cells of the other windows.
_MOST_PARTS = 8
_PARTS_WHERE_NONE_FIT = 4
#: Points of the common grid at most; it is made coarser until it fits.
_MOST_POINTS = 2**24
_ALIGNED = 1e-3


@dataclass(frozen=True, eq=False)
class StitchedMap:
    """The maps of many windows, put together.

    With m(w, c) the value of cell c of window w, a voxel x of the common grid holds ::

        value(x)    = sum over w, c of  m(w, c) |c and x| / |x|   divided by coverage(x)
        coverage(x) = sum over w, c of          |c and x| / |x|

    where |c and x| is the volume that cell and voxel share. So where one window covers a
    voxel it has that window's own value, where several do it has their mean, and nothing is
    ever scaled. Values stay those of whole cells: the sum of value x coverage over all voxels,
    times the volume of a voxel, is the sum of all cells of all windows times the volume of a
    cell; for HiResCAM with an exact guarantee that is the sum of (logit - bias) over windows.

    Parameters
    ----------
    attention
        Raw and signed, 0 where no window lies; logit and probability are the best window's.
    coverage
        float32, of the same shape: how many windows cover a voxel.
    windows
        How many maps were put together.
    """

    attention: AttentionMap
    coverage: Float32Array
    windows: int


def stitch(maps: Sequence[AttentionMap]) -> StitchedMap:
    """Put maps of one label by one method together, the best window's first.

    Parameters
    ----------
    maps
        At least one; all of the same shape and the same spacing of cells.
    """
    grid = common_grid(maps)
    total = np.zeros(grid.shape, np.float32)
    coverage = np.zeros(grid.shape, np.float32)
    for attention in maps:
        weights = [_overlaps(attention, grid, axis) for axis in range(3)]
        where = tuple(part for part, _ in weights)
        a, b, c = (matrix for _, matrix in weights)
        total[where] += np.einsum("xi,yj,zk,ijk->xyz", a, b, c, attention.values, optimize=True)
        coverage[where] += np.einsum("x,y,z->xyz", a.sum(1), b.sum(1), c.sum(1))
    seen = coverage > 0
    values = np.zeros_like(total)
    np.divide(total, coverage, out=values, where=seen)
    best = maps[0]
    stitched = AttentionMap(
        values=values,
        affine=grid.affine,
        label=best.label,
        method=best.method,
        logit=best.logit,
        probability=best.probability,
        provenance={
            **{key: best.provenance[key] for key in _OF_ALL if key in best.provenance},
            "stitched_from_windows": len(maps),
            "rule": "mean of the windows that cover a voxel, each at its own strength",
        },
    )
    return StitchedMap(stitched, coverage, len(maps))


# What a window's map says of itself that holds for all windows of a sweep.
_OF_ALL = (
    "software",
    "torch",
    "model",
    "weights_sha256",
    "ct",
    "item",
    "repairs",
    "device",
    "label",
    "method",
    "method_formula",
    "method_source",
    "placement",
    "target_layer",
    "guarantee",
    "guarantee_reason",
)


def common_grid(maps: Sequence[AttentionMap]) -> Grid:
    """Make the grid on which maps are put together.

    Its voxels are the largest equal parts of a cell such that every cell of every map is a
    whole number of them; where there is no such part of at least an eighth, they are quarters,
    and cells are shared out by volume.
    """
    pitch = np.asarray(maps[0].grid.spacing_mm)
    first = np.array([attention.affine[:3, 3] for attention in maps]) - pitch / 2
    last = first + pitch * maps[0].values.shape
    step = np.array([_step(first[:, axis], float(pitch[axis])) for axis in range(3)])
    low, high = first.min(axis=0), last.max(axis=0)
    while np.prod(np.ceil((high - low) / step)) > _MOST_POINTS:
        step *= 2
    a, b, c = (int(n) for n in np.ceil((high - low) / step - _ALIGNED))
    affine = np.diag([*step, 1.0])
    affine[:3, 3] = low + step / 2
    return Grid((a, b, c), affine)


def _step(starts: FloatArray, pitch: float) -> float:
    offsets = (starts - starts.min()) / pitch
    for parts in range(1, _MOST_PARTS + 1):
        in_steps = offsets * parts
        if np.abs(in_steps - np.round(in_steps)).max() < _ALIGNED:
            return pitch / parts
    return pitch / _PARTS_WHERE_NONE_FIT


def _overlaps(attention: AttentionMap, grid: Grid, axis: int) -> tuple[slice, FloatArray]:
    """Find the voxels a map touches along an axis, and the share of each that a cell takes."""
    cells: Shape3D = attention.grid.shape
    pitch, step = float(attention.affine[axis, axis]), float(grid.affine[axis, axis])
    # In voxels of the common grid, from its first face.
    start = (attention.affine[axis, 3] - pitch / 2 - grid.affine[axis, 3]) / step + 0.5
    edges = start + np.arange(cells[axis] + 1) * pitch / step
    low = max(int(np.floor(edges[0] + _ALIGNED)), 0)
    high = min(int(np.ceil(edges[-1] - _ALIGNED)), grid.shape[axis])
    voxels = np.arange(low, high)[:, None]
    shared = np.minimum(edges[1:], voxels + 1) - np.maximum(edges[:-1], voxels)
    return slice(low, high), np.clip(shared, 0.0, 1.0)
