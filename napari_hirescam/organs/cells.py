"""From masks to the cells of an attention map: which of them lie in an organ.

Two ways. By place: a cell is a box in the patient, and a mask covers a part of it. As the
paper's code does it (arXiv 2011.08891v2): the mask, brought to the network's input, is resized
to the number of cells.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import FloatArray, Grid, Shape3D

FractionArray = npt.NDArray[np.float64]

#: When a cell counts as inside: half of its box, any part of it, or its centre.
PlaceRule = Literal["half", "touch", "centre"]
PLACE_RULES: tuple[PlaceRule, ...] = ("half", "touch", "centre")
#: How the paper's code makes a mask small; "nearest" is what its results were made with.
ResizeMode = Literal["nearest", "area", "trilinear"]
RESIZE_MODES: tuple[ResizeMode, ...] = ("nearest", "area", "trilinear")

# Fractions are sums of many overlaps: half a box may come out a hair below a half, and a box
# that only shares a face with the mask a hair above nothing.
_HAIR = 1e-9


def covered_fraction(mask: BoolArray, affine: FloatArray, cells: Grid) -> FractionArray:
    """Say how much of each cell's box a mask covers.

    A cell's box reaches half a pitch from its centre along each axis, so the boxes of a map fill
    its space without gaps. The part of a box that lies outside the mask's volume counts as
    not covered. The fractions are exact: voxels are boxes too, and volumes of overlap are added.

    Parameters
    ----------
    mask
        [slice, row, column].
    affine
        4x4, index of `mask` to (I, P, L) mm.
    cells
        The map's grid.

    Returns
    -------
    float64 of `cells.shape`, from 0 to 1.

    Raises
    ------
    ValueError
        If either grid is not axis-aligned.
    """
    voxels = Grid((mask.shape[0], mask.shape[1], mask.shape[2]), affine)
    if not (voxels.is_axis_aligned and cells.is_axis_aligned):
        raise ValueError("covered fractions need grids whose axes run along (I, P, L)")
    # Only the part that has something in it: a CT in double precision takes half a gigabyte.
    box = _bounding_box(mask)
    covered: FractionArray = mask[box].astype(np.float64)
    for axis in range(3):
        overlap = _overlap_along(axis, voxels, cells)[:, box[axis]]
        covered = np.moveaxis(np.tensordot(overlap, covered, axes=(1, axis)), 0, axis)
    # Sums of many overlaps round to a hair above 1.
    return np.clip(covered, 0.0, 1.0)


def _bounding_box(mask: BoolArray) -> tuple[slice, slice, slice]:
    """Smallest box that holds all of a mask; empty if there is nothing to hold."""
    ends = []
    for axis in range(3):
        there = np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis)))
        ends.append(slice(there[0], there[-1] + 1) if len(there) else slice(0, 0))
    return ends[0], ends[1], ends[2]


def _overlap_along(axis: int, voxels: Grid, cells: Grid) -> FractionArray:
    """Share of each cell's length that each voxel covers, [cells, voxels]."""
    step, pitch = voxels.spacing_mm[axis], cells.spacing_mm[axis]
    voxel = voxels.affine[axis, 3] + step * np.arange(voxels.shape[axis])
    cell = (cells.affine[axis, 3] + pitch * np.arange(cells.shape[axis]))[:, None]
    upper = np.minimum(cell + pitch / 2, voxel + step / 2)
    lower = np.maximum(cell - pitch / 2, voxel - step / 2)
    return np.asarray(np.maximum(upper - lower, 0.0) / pitch)


def cells_inside(
    mask: BoolArray, affine: FloatArray, cells: Grid, rule: PlaceRule = "half"
) -> BoolArray:
    """Say which cells lie in a mask.

    Parameters
    ----------
    mask
        [slice, row, column].
    affine
        4x4, index of `mask` to (I, P, L) mm.
    cells
        The map's grid, in the patient's axes; cells outside the mask's volume are not inside.
    rule
        "half": at least half of the cell's box is covered. "touch": any part of it is.
        "centre": the voxel that holds the cell's centre is in the mask.

    Returns
    -------
    bool of `cells.shape`.

    Raises
    ------
    ValueError
        If either grid is not axis-aligned, or the rule is unknown.
    """
    if rule == "centre":
        return _at_centres(mask, affine, cells)
    if rule not in PLACE_RULES:
        raise ValueError(f"unknown rule {rule!r}; known are {', '.join(PLACE_RULES)}")
    covered = covered_fraction(mask, affine, cells)
    return covered > _HAIR if rule == "touch" else covered >= 0.5 - _HAIR


def _at_centres(mask: BoolArray, affine: FloatArray, cells: Grid) -> BoolArray:
    voxels = Grid((mask.shape[0], mask.shape[1], mask.shape[2]), affine)
    if not (voxels.is_axis_aligned and cells.is_axis_aligned):
        raise ValueError("cells at their centres need grids whose axes run along (I, P, L)")
    found = mask
    for axis in range(3):
        centres = cells.affine[axis, 3] + cells.spacing_mm[axis] * np.arange(cells.shape[axis])
        index = (centres - affine[axis, 3]) / voxels.spacing_mm[axis]
        # On the face between two voxels a centre belongs to the one behind it.
        nearest = np.floor(index + 0.5 + _HAIR).astype(np.intp)
        there = (nearest >= 0) & (nearest < mask.shape[axis])
        found = np.take(found, np.where(there, nearest, 0), axis=axis)
        found = found & there.reshape([-1 if k == axis else 1 for k in range(3)])
    return found


def reference_cells(
    mask: BoolArray, cells: Shape3D, mode: ResizeMode = "nearest", *, dilate: bool = False
) -> BoolArray:
    """Make a mask as small as an attention map in the way of the paper's code.

    The mask is resized by torch's `interpolate`, and whatever is not zero counts as inside.
    "nearest" takes the voxel at the first corner of each cell's block, not at its centre: of 420
    rows in 6 cells, rows 0, 70, 140, ... (the published results were made with it, without
    dilation).

    Parameters
    ----------
    mask
        bool [d, h, w] on the grid of the network's input, before slices are grouped.
    cells
        Number of cells along the same axes.
    mode
        "nearest", "area" (a cell is inside if any voxel of its block is) or "trilinear".
    dilate
        Widen the result by one cell in all directions, diagonals included.

    Returns
    -------
    bool [cells].

    Raises
    ------
    ValueError
        If the mode is unknown or the mask is not three-dimensional.
    """
    import torch
    from torch.nn import functional

    if mode not in RESIZE_MODES:
        raise ValueError(f"unknown mode {mode!r}; known are {', '.join(RESIZE_MODES)}")
    if mask.ndim != 3:
        raise ValueError(f"a mask has three axes, not {mask.ndim}")
    values = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None, None]
    small = functional.interpolate(values, size=cells, mode=mode) != 0
    if dilate:
        small = functional.max_pool3d(small.float(), 3, stride=1, padding=1) > 0
    return cast("BoolArray", small[0, 0].numpy())
