"""A small copy of a CT to search in: voxels of some 2.5 mm, and what of them was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import Volume

FloatVoxels = npt.NDArray[np.float32]

#: Fine enough for the wall between a lung and the bowel, coarse enough for a search in seconds.
_WANTED_MM = 2.5
#: No tissue, and no noise in air, lies below; scanners pad with -2000 or less.
_PADDING_HU = -1500
_AIR_HU = -1024.0
_BRIGHTEST_HU = 1500.0


@dataclass(frozen=True, eq=False)
class WorkGrid:
    """A CT averaged over blocks of voxels.

    Parameters
    ----------
    hu
        [slice, row, column]; air where nothing was measured.
    void
        True where nothing was measured, or the scanner's field of view had ended.
    step
        Voxels of the CT in a block, per axis. Voxels that fill no block at an axis' end are left
        out: less than a block.
    spacing_mm
        Of the blocks.
    first
        Block of the whole CT that this grid begins with, per axis.
    """

    hu: FloatVoxels
    void: BoolArray
    step: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    first: tuple[int, int, int] = (0, 0, 0)

    @property
    def voxel_ml(self) -> float:
        """Volume of one block."""
        a, b, c = self.spacing_mm
        return a * b * c / 1000

    def voxels(self, mm: float, axis: int = 1) -> int:
        """A length in blocks along an axis, at least one."""
        return max(1, round(mm / self.spacing_mm[axis]))

    def around(self, mask: BoolArray, margin_mm: float) -> tuple[slice, slice, slice]:
        """The box that holds a mask, and a margin where there is room; all if it is empty."""
        if not mask.any():
            mask = np.ones_like(mask)
        spans = []
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            at = np.flatnonzero(mask.any(axis=others))
            margin = round(margin_mm / self.spacing_mm[axis])
            spans.append(slice(max(0, int(at[0]) - margin), int(at[-1]) + margin + 1))
        return spans[0], spans[1], spans[2]

    def in_ct(
        self, box: tuple[slice, slice, slice], shape: tuple[int, ...]
    ) -> tuple[slice, slice, slice]:
        """A box of blocks in voxels of the CT, whose shape is given."""
        spans = []
        for span, first, k, n in zip(box, self.first, self.step, shape, strict=True):
            begin, end = first + span.start, first + span.stop
            # What fills no block at the end goes with the last one.
            spans.append(slice(begin * k, n if end >= n // k else end * k))
        return spans[0], spans[1], spans[2]

    def cropped(self, box: tuple[slice, slice, slice]) -> WorkGrid:
        """The part of it in a box."""
        a, b, c = (have + span.start for have, span in zip(self.first, box, strict=True))
        return WorkGrid(self.hu[box], self.void[box], self.step, self.spacing_mm, (a, b, c))


def make_work_grid(volume: Volume, tick: Callable[[], None]) -> WorkGrid:
    """Average a CT over blocks; `tick` is called every few slices and may raise to give up."""
    voxels, spacing = volume.voxels, volume.spacing_mm
    wanted = [max(1, round(_WANTED_MM / mm)) for mm in spacing]
    step = tuple(min(k, n) for k, n in zip(wanted, voxels.shape, strict=True))
    shape = tuple(n // k for n, k in zip(voxels.shape, step, strict=True))
    lowest = _lowest(voxels, tick)
    hu = np.empty(shape, np.float32)
    void = np.empty(shape, bool)
    for k in range(shape[0]):
        tick()
        here = slice(k * step[0], (k + 1) * step[0])
        part = voxels[here, : shape[1] * step[1], : shape[2] * step[2]]
        unknown = part <= _PADDING_HU
        if part.dtype.kind == "f":
            unknown |= ~np.isfinite(part)
        if volume.invalid is not None:
            unknown |= volume.invalid[here, : part.shape[1], : part.shape[2]]
        clipped = np.clip(part, _AIR_HU, _BRIGHTEST_HU)
        clipped[unknown] = _AIR_HU
        hu[k] = _block_mean(clipped, step)
        # What is as low as nothing else in the whole scan was put there by the scanner.
        void[k] = _block_mean(unknown | (part == lowest), step) > 0.999
        void[k] |= _block_mean(unknown, step) > 0.5
    # A slice that was put in for a missing one is taken to look like its neighbour.
    measured = ~void.all(axis=(1, 2))
    if measured.any() and not measured.all():
        at = np.flatnonzero(measured)
        nearest = at[np.abs(np.arange(shape[0])[:, None] - at).argmin(axis=1)]
        hu, void = hu[nearest], void[nearest]
    mm = tuple(float(s * k) for s, k in zip(spacing, step, strict=True))
    return WorkGrid(hu, void, (step[0], step[1], step[2]), (mm[0], mm[1], mm[2]))


def _lowest(voxels: npt.NDArray[np.generic], tick: Callable[[], None]) -> float:
    """The least value of all, if it is one that padding or clipped air may have."""
    found = np.inf
    for plane in voxels:
        tick()
        low = float(np.nanmin(plane)) if np.isfinite(plane).any() else np.inf
        found = min(found, low)
    return found if found <= -1000 else -np.inf


def _block_mean(slab: npt.NDArray[np.generic], step: tuple[int, ...]) -> FloatVoxels:
    """Mean over blocks of a slab one block high, [rows, columns]."""
    plane = slab.astype(np.float32).mean(axis=0)
    rows, columns = plane.shape[0] // step[1], plane.shape[1] // step[2]
    mean: FloatVoxels = plane.reshape(rows, step[1], columns, step[2]).mean(axis=(1, 3))
    return mean
