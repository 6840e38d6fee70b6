"""The one volume type of the package and the arithmetic of its voxel grid.

World coordinates are millimetres in the patient frame **(I, P, L)**: the axes grow towards
inferior, posterior and left. Conversion from and to RAS (NIfTI) and LPS (DICOM) happens in
:mod:`napari_hirescam.io` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.axis_sampling import can_sample_by_axis, sample_by_axis
from napari_hirescam.source import Segment, Source

#: Slices of the result that :func:`resample` makes at a time.
_SLAB = 16
#: How far a volume reaches beyond its outermost voxel centres, in voxels. A hair more than half:
#: rounding must not decide whether a point on the very border lies inside.
_REACH = 0.5 + 1e-6

FloatArray = npt.NDArray[np.float64]
Shape3D = tuple[int, int, int]


class Quantity(StrEnum):
    """What the numbers in a volume are."""

    HU = "HU"
    LABELS = "labels"
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of points in the patient.

    Parameters
    ----------
    shape
        Number of points along each index axis.
    affine
        4x4; maps an index (the centre of a voxel) to (I, P, L) mm.

    Raises
    ------
    ValueError
        If the affine is not a finite, invertible 4x4 matrix or the shape is not three
        positive numbers.
    """

    shape: Shape3D
    affine: FloatArray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError("a grid's affine must be a finite 4x4 matrix")
        if np.linalg.matrix_rank(affine[:3, :3]) < 3:
            raise ValueError("a grid's affine must be invertible")
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"a grid needs three positive lengths, not {self.shape}")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", shape)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring points along each index axis, in mm."""
        a, b, c = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(a), float(b), float(c)

    @property
    def is_axis_aligned(self) -> bool:
        """True if index axes run exactly along (I, P, L), in that order and direction."""
        linear = self.affine[:3, :3]
        off_diagonal = linear - np.diag(np.diag(linear))
        return bool((off_diagonal == 0).all() and (np.diag(linear) > 0).all())

    def to_world(self, index: npt.ArrayLike) -> FloatArray:
        """Map indices [..., 3] to (I, P, L) mm."""
        points = np.asarray(index, dtype=np.float64)
        return points @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world_mm: npt.ArrayLike) -> FloatArray:
        """Map (I, P, L) mm [..., 3] to (fractional) indices."""
        points = np.asarray(world_mm, dtype=np.float64) - self.affine[:3, 3]
        return points @ np.linalg.inv(self.affine[:3, :3]).T

    def corners_mm(self) -> FloatArray:
        """The (I, P, L) mm of the eight outermost voxel centres, [8, 3]."""
        ends = [(0, n - 1) for n in self.shape]
        return self.to_world(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))

    def same_place_as(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """True if both grids have the same shape and put each voxel at the same place."""
        return self.shape == other.shape and bool(
            np.abs(self.corners_mm() - other.corners_mm()).max() <= tolerance_mm
        )


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and their place in the patient.

    Parameters
    ----------
    voxels
        [slice, row, column] along (I, P, L), in the stored integer type where there is one.
    affine
        4x4, voxel index to (I, P, L) mm; axis-aligned.
    name
        Short name for layers and file names.
    quantity
        What the numbers are; a CT is in HU.
    source
        Where it came from, if from a file.
    segments
        Of a mask: what its values stand for, as far as the file says.
    invalid
        [slice, row, column], True where the number is not a measurement: padding outside the
        scanner's field of view, slices that were inserted or interpolated. None if all are
        measured.

    Raises
    ------
    ValueError
        If the voxels are not three-dimensional, the affine is not axis-aligned or `invalid`
        has another shape than the voxels.
    """

    voxels: npt.NDArray[Any]
    affine: FloatArray
    name: str = "volume"
    quantity: Quantity = Quantity.HU
    source: Source | None = None
    segments: tuple[Segment, ...] = ()
    invalid: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3:
            raise ValueError(f"a volume has three axes, not {self.voxels.ndim}")
        grid = Grid(self.voxels.shape, self.affine)
        if not grid.is_axis_aligned:
            raise ValueError("a volume's axes must run along (I, P, L); resample it first")
        if self.invalid is not None and self.invalid.shape != self.voxels.shape:
            raise ValueError("the mask of invalid voxels must have the shape of the voxels")
        object.__setattr__(self, "affine", grid.affine)

    @property
    def grid(self) -> Grid:
        """The grid of the voxels as they are held here."""
        return Grid(self.voxels.shape, self.affine)

    @property
    def export_grid(self) -> Grid:
        """The grid results are written on: the file's own, or this one if there is no file."""
        return self.source.grid if self.source else self.grid

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Slice, row and column spacing in mm."""
        return self.grid.spacing_mm


def translation(offset: npt.ArrayLike) -> FloatArray:
    """Build the 4x4 affine that adds `offset` (index steps or mm) to each coordinate."""
    affine = np.eye(4)
    affine[:3, 3] = offset
    return affine


def scaling(factors: npt.ArrayLike) -> FloatArray:
    """Build the 4x4 affine that multiplies each coordinate by its factor."""
    return np.diag(np.append(np.asarray(factors, dtype=np.float64), 1.0))


def resample(
    values: npt.NDArray[Any],
    affine: FloatArray,
    target: Grid,
    *,
    order: Literal[0, 1] = 1,
    outside: float | None = 0.0,
    before_slab: Callable[[], None] = lambda: None,
) -> npt.NDArray[Any]:
    """Sample a volume at the points of another grid.

    The volume ends half a voxel beyond its outermost voxel centres: up to there the border
    value is repeated, further out lies `outside`.

    Parameters
    ----------
    values
        [n0, n1, n2].
    affine
        4x4, index of `values` to (I, P, L) mm; need not be axis-aligned.
    target
        Where to sample.
    order
        0 nearest (masks), 1 linear.
    outside
        Value for points that lie outside the volume; None repeats the border for ever.
    before_slab
        Called every few slices; raises to give up.

    Returns
    -------
    Array of `target.shape` in the type of `values` (integers are rounded, not truncated).
    """
    to_index = np.linalg.inv(affine) @ target.affine
    linear, offset = to_index[:3, :3], to_index[:3, 3]
    off_diagonal = linear - np.diag(np.diag(linear))
    aligned = bool(np.abs(off_diagonal).max() < 1e-12)
    rounds = np.issubdtype(values.dtype, np.integer) and order > 0
    sample: Callable[[FloatArray, Shape3D], npt.NDArray[Any]]
    if aligned and can_sample_by_axis(values, order):

        def sample(start: FloatArray, shape: Shape3D) -> npt.NDArray[Any]:
            return sample_by_axis(values, np.diag(linear), start, shape, order)
    else:
        from scipy import ndimage

        work = values.astype(np.float32) if rounds or values.dtype == np.float16 else values

        def sample(start: FloatArray, shape: Shape3D) -> npt.NDArray[Any]:
            # scipy interpolates several times faster given the diagonal alone.
            matrix = np.diag(linear) if aligned else linear
            slab: npt.NDArray[Any] = ndimage.affine_transform(
                work, matrix, start, shape, order=order, mode="nearest"
            )
            return slab

    result = np.empty(target.shape, dtype=values.dtype)
    # Slab by slab: what is held besides the result stays small, and somebody who waits for an
    # end is heard.
    for first in range(0, target.shape[0], _SLAB):
        before_slab()
        last = min(first + _SLAB, target.shape[0])
        start = offset + linear[:, 0] * first
        slab = sample(start, (last - first, target.shape[1], target.shape[2]))
        if outside is not None:
            _fill_outside(slab, linear, start, values.shape, outside, aligned=aligned)
        if rounds:
            limits = np.iinfo(values.dtype)
            np.rint(slab, out=slab)
            np.clip(slab, limits.min, limits.max, out=slab)
        result[first:last] = slab
    return result


def _fill_outside(
    slab: npt.NDArray[Any],
    linear: FloatArray,
    start: FloatArray,
    shape: tuple[int, ...],
    outside: float,
    *,
    aligned: bool,
) -> None:
    for axis, n in enumerate(shape):
        position: FloatArray = start[axis] + linear[axis, axis] * _along(axis, slab.shape)
        if aligned:
            position = position.ravel()
        else:
            for other in {0, 1, 2} - {axis}:
                position = position + linear[axis, other] * _along(other, slab.shape)
        beyond = (position < -_REACH) | (position > n - 1 + _REACH)
        if beyond.any():
            slab[(slice(None),) * axis + (beyond,) if aligned else beyond] = outside


def _along(axis: int, shape: tuple[int, ...]) -> FloatArray:
    """Indices along one axis, shaped to broadcast over the others."""
    return np.arange(shape[axis], dtype=np.float64).reshape(
        [-1 if k == axis else 1 for k in range(3)]
    )
