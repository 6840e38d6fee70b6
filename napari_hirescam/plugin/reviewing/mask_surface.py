"""The surface of a mask as a mesh in mm, coarse enough to be turned without a graphics card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import Cancelled
from napari_hirescam.volume import FloatArray

#: Cells of the mesh along the longest edge of the organ, at most; and their smallest edge in mm.
MOST_CELLS, FINEST_MM = 110, 1.0


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface of triangles.

    Parameters
    ----------
    vertices_mm
        [n, 3] along (I, P, L).
    faces
        [m, 3] vertices of each triangle, counter-clockwise as seen from outside.
    """

    vertices_mm: FloatArray
    faces: npt.NDArray[np.intp]


def surface_of(
    mask: npt.NDArray[Any],
    affine: FloatArray,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> Mesh | None:
    """Find the surface of a mask by marching cubes (Lewiner, as scikit-image has it).

    Voxels are first averaged to cells of about a hundredth of the organ's length, so that the
    mesh of a lung has some ten thousands of triangles whatever the CT's matrix; the surface runs
    where a cell is half full, which keeps the volume; of what fills no cell so far, where one is
    half as full as the fullest.

    Parameters
    ----------
    mask
        [slice, row, column], not 0 inside.
    affine
        4x4, index to (I, P, L) mm; axis-aligned.
    should_stop
        Asked between the steps.

    Returns
    -------
    The mesh; None if the mask is empty.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    from skimage.measure import marching_cubes

    box = _box_of(mask, should_stop)
    if box is None:
        return None
    spacing = np.diag(affine)[:3]
    part = mask[box] != 0
    longest = float((np.array(part.shape) * spacing).max())
    cell = max(longest / MOST_CELLS, FINEST_MM)
    factors = tuple(max(1, round(cell / step)) for step in spacing)
    cells, cell_mm, first_mm = _averaged(part, factors, spacing)
    _stop_if(should_stop)
    # What is thinner than half a cell everywhere fills none by half.
    level = min(0.5, float(cells.max()) / 2)
    # (I, P, L) is a right-handed frame; in one, scikit-image has triangles run counter-clockwise
    # about the side of the higher values, unless it is told that those are outside.
    vertices, faces, _normals, _values = marching_cubes(  # type: ignore[no-untyped-call]
        cells, level, gradient_direction="ascent", allow_degenerate=False
    )
    _stop_if(should_stop)
    low = affine[:3, 3] + np.array([edge.start for edge in box]) * spacing
    return Mesh(vertices.astype(np.float64) * cell_mm + (low + first_mm), faces.astype(np.intp))


def _box_of(
    mask: npt.NDArray[Any], should_stop: Callable[[], bool] | None
) -> tuple[slice, slice, slice] | None:
    """Find the box around what is not 0."""
    slices = np.flatnonzero([np.count_nonzero(one) for one in mask])
    _stop_if(should_stop)
    if not slices.size:
        return None
    first, last = int(slices[0]), int(slices[-1]) + 1
    flat = np.zeros(mask.shape[1:], dtype=bool)
    for one in mask[first:last]:
        flat |= one != 0
    rows, columns = np.flatnonzero(flat.any(1)), np.flatnonzero(flat.any(0))
    return (
        slice(first, last),
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def _averaged(
    part: npt.NDArray[np.bool_], factors: tuple[int, ...], spacing: FloatArray
) -> tuple[npt.NDArray[np.float32], FloatArray, FloatArray]:
    """Average blocks of voxels, with two empty cells around them.

    Returns
    -------
    The cells, their edges in mm, and where the centre of the first lies from that of the part's
    first voxel, in mm.
    """
    from skimage.measure import block_reduce

    margin = [
        (2 * factor, 2 * factor + -n % factor)
        for n, factor in zip(part.shape, factors, strict=True)
    ]
    blocks = block_reduce(np.pad(part, margin), factors, np.mean)  # type: ignore[no-untyped-call]
    cells = blocks.astype(np.float32)
    edges = np.array(factors) * spacing
    first = (-2 * np.array(factors) + (np.array(factors) - 1) / 2) * spacing
    return cells, edges, first


def _stop_if(should_stop: Callable[[], bool] | None) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled("finding the surface of a mask was stopped")
