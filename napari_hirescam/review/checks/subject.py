"""The mask that is checked: its box, a coarse copy of large ones, and places in mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.checks.anatomy import Anatomy
from napari_hirescam.review.checks.scan import Scan
from napari_hirescam.review.item import CheckFinding

Box = tuple[slice, slice, slice]
Floats = npt.NDArray[np.float32]
Place = tuple[float, float, float]

#: So many voxels are looked at one by one; a larger mask is averaged over blocks first.
_MANY = 1_500_000


@dataclass(frozen=True, eq=False)
class Subject:
    """A mask that is not empty, and where it lies.

    Parameters
    ----------
    scan
        Its CT.
    mask
        [slice, row, column] on the CT's grid.
    organ
        Its name here.
    anatomy
        What is usual for it; None if that is not known.
    tick
        Called now and then; raises to give up.
    """

    scan: Scan
    mask: BoolArray
    organ: str
    anatomy: Anatomy | None
    tick: Callable[[], None] = field(default=lambda: None)

    @cached_property
    def box(self) -> Box:
        """The tightest box around the mask, in voxels of the CT."""
        spans = []
        planes = self.mask.any(axis=(1, 2))
        first, last = np.flatnonzero(planes)[[0, -1]]
        spans.append(slice(int(first), int(last) + 1))
        flat = np.zeros(self.mask.shape[1:], bool)
        for plane in self.mask[spans[0]]:
            flat |= plane
        for axis in (1, 0):
            at = np.flatnonzero(flat.any(axis=axis))
            spans.append(slice(int(at[0]), int(at[-1]) + 1))
        return spans[0], spans[1], spans[2]

    @cached_property
    def spacing_mm(self) -> Place:
        """Of the CT."""
        return self.scan.ct.spacing_mm

    @cached_property
    def inner(self) -> BoolArray:
        """The mask in its box."""
        return self.mask[self.box]

    @cached_property
    def voxel_ml(self) -> float:
        """Of one voxel of the CT."""
        return float(np.prod(self.spacing_mm)) / 1000

    @cached_property
    def volume_ml(self) -> float:
        """Of the mask."""
        return float(np.count_nonzero(self.inner)) * self.voxel_ml

    @cached_property
    def hu(self) -> npt.NDArray[np.generic]:
        """What the CT shows under the mask, [voxels]; without what was not measured."""
        voxels = self.scan.ct.voxels[self.box]
        inside = self.inner
        if self.scan.ct.invalid is not None:
            inside = inside & ~self.scan.ct.invalid[self.box]
        found = voxels[inside]
        return found[np.isfinite(found)] if found.dtype.kind == "f" else found

    @cached_property
    def step(self) -> tuple[int, int, int]:
        """Voxels of the CT in a block of the coarse copy, per axis."""
        step = [1, 1, 1]
        shape = self.inner.shape
        while np.prod([n / k for n, k in zip(shape, step, strict=True)]) > _MANY:
            finest = int(np.argmin([s * k for s, k in zip(self.spacing_mm, step, strict=True)]))
            step[finest] += 1
        return step[0], step[1], step[2]

    @cached_property
    def share(self) -> Floats:
        """Share of each coarse block that is marked, with a margin of two empty blocks."""
        return np.pad(block_share(self.inner, self.step), 2)

    @cached_property
    def coarse(self) -> BoolArray:
        """The coarse copy, with a margin of two empty blocks."""
        marked: BoolArray = self.share >= 0.5
        # What is thinner than a block must not vanish wholly.
        return marked if marked.any() else self.share > 0

    @cached_property
    def coarse_mm(self) -> Place:
        """Spacing of the coarse copy."""
        a, b, c = (s * k for s, k in zip(self.spacing_mm, self.step, strict=True))
        return a, b, c

    @cached_property
    def coarse_ml(self) -> float:
        """Of one block of the coarse copy."""
        return float(np.prod(self.coarse_mm)) / 1000

    @cached_property
    def depth_mm(self) -> Floats:
        """Distance to the outside of the mask, on the coarse copy."""
        from scipy import ndimage

        depth: Floats = ndimage.distance_transform_edt(self.coarse, sampling=self.coarse_mm).astype(
            np.float32
        )
        return depth

    @cached_property
    def cut_ends(self) -> tuple[tuple[int, bool], ...]:
        """Faces of the scan that the mask touches: (axis, True for its far end)."""
        found = []
        for axis, (span, n) in enumerate(zip(self.box, self.mask.shape, strict=True)):
            if span.start == 0:
                found.append((axis, False))
            if span.stop == n:
                found.append((axis, True))
        return tuple(found)

    def place_of(self, index: npt.ArrayLike) -> Place:
        """An index of the CT in (I, P, L) mm."""
        i, p, left = self.scan.ct.grid.to_world(index)
        return float(i), float(p), float(left)

    def place_of_block(self, index: npt.ArrayLike) -> Place:
        """An index of the coarse copy in (I, P, L) mm."""
        first = np.array([span.start for span in self.box])
        step = np.array(self.step)
        return self.place_of(first + (np.asarray(index) - 2 + 0.5) * step - 0.5)

    def place_on_grid(self, index: npt.ArrayLike) -> Place:
        """An index of the scan's work grid in (I, P, L) mm."""
        if self.scan.grid is None:
            raise ValueError("this scan has no work grid")
        step = np.array(self.scan.grid.step)
        return self.place_of((np.asarray(index) + 0.5) * step - 0.5)

    @cached_property
    def on_grid(self) -> tuple[Box, Floats]:
        """Box of the scan's work grid, and how much of each block there is marked."""
        grid = self.scan.grid
        if grid is None:
            raise ValueError("this scan has no work grid")
        blocks, voxels = [], []
        for span, k, n in zip(self.box, grid.step, grid.hu.shape, strict=True):
            first, last = min(span.start // k, n - 1), min((span.stop - 1) // k, n - 1)
            blocks.append(slice(first, last + 1))
            voxels.append(slice(first * k, (last + 1) * k))
        part = self.mask[voxels[0], voxels[1], voxels[2]]
        return (blocks[0], blocks[1], blocks[2]), block_share(part, grid.step)


def block_share(mask: BoolArray, step: tuple[int, int, int]) -> Floats:
    """Share of each block that is marked; blocks at the far ends may be smaller."""
    if step == (1, 1, 1):
        return mask.astype(np.float32)
    count = mask.view(np.uint8)
    for axis, k in ((2, step[2]), (1, step[1]), (0, step[0])):
        if k > 1:
            count = np.add.reduceat(
                count, np.arange(0, count.shape[axis], k), axis=axis, dtype=np.uint16
            )
    # A last block that is not full counts as if the rest were empty.
    share: Floats = count.astype(np.float32) / np.float32(np.prod(step))
    return share


def spot(mask: BoolArray) -> npt.NDArray[np.intp]:
    """The voxel of a mask's largest piece that lies nearest to the piece's middle."""
    from scipy import ndimage

    labels, n = ndimage.label(mask, np.ones((3, 3, 3)))
    if n > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        mask = labels == sizes.argmax()
    at = np.argwhere(mask)
    nearest: npt.NDArray[np.intp] = at[((at - at.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return nearest


def finding(check: str, words: str, severity: float, place_mm: Place | None = None) -> CheckFinding:
    """Make a finding, its severity held between 0 and 1."""
    return CheckFinding(check, words, round(min(1.0, max(0.0, float(severity))), 3), place_mm)


def ml_text(ml: float) -> str:
    """Write a volume."""
    return f"{ml:.0f} mL" if ml >= 10 else f"{ml:.1f} mL"
