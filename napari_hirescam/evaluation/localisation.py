"""How much of an attention map lies where it may.

The measure is *relevance mass accuracy*: the sum of the positive attention inside a region over
the sum of all positive attention. It needs no threshold, and a map that spends everything
inside scores 1. Beside it stands what a map without knowledge would score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_hirescam.volume import FloatArray, Grid

FractionArray = npt.NDArray[np.float64]


def covered_fraction(mask: npt.NDArray[np.bool_], affine: FloatArray, cells: Grid) -> FractionArray:
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
    covered: FractionArray = mask.astype(np.float64)
    for axis in range(3):
        overlap = _overlap_along(axis, voxels, cells)
        covered = np.moveaxis(np.tensordot(overlap, covered, axes=(1, axis)), 0, axis)
    # Sums of many overlaps round to a hair above 1.
    return np.clip(covered, 0.0, 1.0)


def _overlap_along(axis: int, voxels: Grid, cells: Grid) -> FractionArray:
    """Share of each cell's length that each voxel covers, [cells, voxels]."""
    step, pitch = voxels.spacing_mm[axis], cells.spacing_mm[axis]
    voxel = voxels.affine[axis, 3] + step * np.arange(voxels.shape[axis])
    cell = (cells.affine[axis, 3] + pitch * np.arange(cells.shape[axis]))[:, None]
    upper = np.minimum(cell + pitch / 2, voxel + step / 2)
    lower = np.maximum(cell - pitch / 2, voxel - step / 2)
    return np.asarray(np.maximum(upper - lower, 0.0) / pitch)


def share_inside(values: npt.NDArray[np.floating], inside: npt.NDArray[np.floating]) -> float:
    """Share of a map's positive attention that lies inside a region.

    ``sum(max(v, 0) * f) / sum(max(v, 0))`` over the cells, with the map's value v of a cell and
    the fraction f of its box inside the region: a cell's attention is taken to be spread evenly
    over its box.

    Parameters
    ----------
    values
        Raw signed map, [d, h, w].
    inside
        Fraction of each cell inside, of the same shape; see :func:`covered_fraction`.

    Returns
    -------
    0 to 1, or NaN for a map without a positive cell.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if values.shape != inside.shape:
        raise ValueError(f"a map of {values.shape} cells and a region of {inside.shape}")
    positive = np.maximum(values.astype(np.float64), 0.0)
    total = positive.sum()
    return float((positive * inside).sum() / total) if total > 0 else float("nan")


def chance_share(
    inside: npt.NDArray[np.floating], among: npt.NDArray[np.floating] | None = None
) -> float:
    """Share inside that a map of equal values everywhere would have.

    Without `among` it is the mean of `inside` over all cells of the map. With `among` it is the
    mean over the cells that lie at least half in that region. With the patient's body it is the
    stricter chance, for most of a map's cells hold nothing but air.

    Parameters
    ----------
    inside
        Fraction of each cell inside the region.
    among
        Fraction of each cell inside the region that even a blind guess would keep to.

    Returns
    -------
    0 to 1, or NaN if no cell lies in `among`.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if among is None:
        return float(inside.mean())
    if among.shape != inside.shape:
        raise ValueError(f"regions of {inside.shape} and {among.shape} cells")
    kept = among >= 0.5
    return float(inside[kept].mean()) if kept.any() else float("nan")
