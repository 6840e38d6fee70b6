"""Where a search puts its windows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.stopping import ShouldStop
from napari_hirescam.errors import Cancelled
from napari_hirescam.models.placing import Point
from napari_hirescam.models.preprocess import PreparedCT
from napari_hirescam.volume import FloatArray, Shape3D, scaling, translation

#: What is less dense than this is air; lung is about -850 HU.
_AIR_HU = -900
#: A window with a smaller share of its voxels above air is skipped.
_LEAST_TISSUE = 0.02


@dataclass(frozen=True, eq=False)
class WindowLattice:
    """The centres of a search's windows, in voxels of the prepared CT.

    Parameters
    ----------
    first, stride, shape
        Of the regular lattice the centres form.
    window
        Voxels of a window.
    affine
        4x4, index on the lattice to (I, P, L) mm.
    """

    first: Shape3D
    stride: Shape3D
    shape: Shape3D
    window: Shape3D
    affine: FloatArray

    @property
    def reach(self) -> FloatArray:
        """Distance along each axis up to which two windows show one spot."""
        return np.maximum(np.asarray(self.window) / 2, self.stride)


@dataclass(frozen=True)
class SweptWindow:
    """One window: its index on the lattice, its middle voxel, and that voxel's (I, P, L) mm."""

    index: Shape3D
    voxel: Shape3D
    place: Point


def lay_lattice(prepared: PreparedCT, stride_mm: float | None) -> WindowLattice:
    """Lay the fewest centres such that each voxel is within half a stride of one."""
    spec, grid = prepared.spec, prepared.grid
    middle = grid.to_world((np.asarray(grid.shape) - 1) / 2)
    window = prepared.box_at(_point(middle)).shape
    first, stride, shape = [0, 0, 0], [1, 1, 1], [1, 1, 1]
    for axis, (n, length) in enumerate(zip(grid.shape, window, strict=True)):
        if spec.fit != "window" and axis > 0:
            # One slice, always whole: it goes up and down only.
            first[axis], stride[axis] = n // 2, n
            continue
        wanted = length / 2 if stride_mm is None else stride_mm / grid.spacing_mm[axis]
        stride[axis] = min(max(1, round(wanted)), n)
        shape[axis] = -(-n // stride[axis])
        first[axis] = (n - 1 - (shape[axis] - 1) * stride[axis]) // 2
    affine = grid.affine @ translation(first) @ scaling(stride)
    return WindowLattice(_three(first), _three(stride), _three(shape), window, affine)


def windows_to_score(
    prepared: PreparedCT, lattice: WindowLattice, *, inside_body: bool, should_stop: ShouldStop
) -> Iterator[SweptWindow]:
    """Go over the lattice; with `inside_body`, windows that hold hardly anything but air are out.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    for index in itertools.product(*(range(n) for n in lattice.shape)):
        if should_stop():
            raise Cancelled("the search was cancelled")
        voxel = np.asarray(lattice.first) + np.asarray(index) * lattice.stride
        place = _point(prepared.grid.to_world(voxel))
        if not (inside_body and _is_air(prepared.inside(place))):
            yield SweptWindow(_three(index), _three(voxel), place)


def _is_air(hu: npt.NDArray[Any]) -> bool:
    return bool(np.count_nonzero(hu > _AIR_HU) <= _LEAST_TISSUE * hu.size)


def _point(mm: FloatArray) -> Point:
    return float(mm[0]), float(mm[1]), float(mm[2])


def _three(numbers: Sequence[int] | npt.NDArray[Any]) -> Shape3D:
    a, b, c = (int(n) for n in numbers)
    return a, b, c
