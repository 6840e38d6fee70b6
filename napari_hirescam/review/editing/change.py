"""What an edit changed, small enough to keep, and the way back."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import Cancelled
from napari_hirescam.organs.organ_map import BoolArray

StopCallback = Callable[[], bool]
Box = tuple[slice, slice, slice]
"""A block of voxels: half-open ranges of slices, rows and columns."""
Mask = npt.NDArray[Any]
"""Bool, or whole numbers of which all but 0 are inside; [slice, row, column]."""
Spacing = tuple[float, float, float]
"""Distance of slices, rows and columns in mm."""

_NOWHERE: Box = (slice(0, 0), slice(0, 0), slice(0, 0))


@dataclass(frozen=True, eq=False)
class _Packed:
    """A block of bits in little memory."""

    content: bytes
    shape: tuple[int, ...]

    @classmethod
    def of(cls, block: BoolArray) -> _Packed:
        return cls(zlib.compress(np.packbits(block).tobytes(), 1), block.shape)

    def unpacked(self) -> BoolArray:
        bits = np.frombuffer(zlib.decompress(self.content), dtype=np.uint8)
        count = int(np.prod(self.shape))
        found: BoolArray = np.unpackbits(bits, count=count).view(bool).reshape(self.shape)
        return found


@dataclass(frozen=True, eq=False)
class Change:
    """A difference between two masks of one grid.

    Parameters
    ----------
    shape
        Of the masks.
    box
        The smallest block that holds all voxels that differ; empty if none does.
    added, removed
        Voxels.
    """

    shape: tuple[int, int, int]
    box: Box
    added: int
    removed: int
    _before: _Packed
    _after: _Packed

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    @property
    def before(self) -> BoolArray:
        """The mask inside `box` as it was."""
        return self._before.unpacked()

    @property
    def after(self) -> BoolArray:
        """The mask inside `box` as it became."""
        return self._after.unpacked()

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return len(self._before.content) + len(self._after.content)

    def indices(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Slices, rows and columns of the voxels that differ, as numpy's indices."""
        slices, rows, columns = np.nonzero(self.before != self.after)
        first = [part.start for part in self.box]
        return slices + first[0], rows + first[1], columns + first[2]

    def redo(self, mask: Mask) -> None:
        """Lead a mask from before to after, in place; voxels outside of the box stay.

        Raises
        ------
        ValueError
            The mask has another shape.
        """
        self._put(mask, self.after)

    def undo(self, mask: Mask) -> None:
        """Lead a mask from after back to before, in place; see :meth:`redo`."""
        self._put(mask, self.before)

    def _put(self, mask: Mask, block: BoolArray) -> None:
        if mask.shape != self.shape:
            raise ValueError(f"a change of a mask of {self.shape} does not fit {mask.shape}")
        mask[self.box] = block


@dataclass(frozen=True, eq=False)
class Edited:
    """The result of an operation.

    Parameters
    ----------
    mask
        Bool, a new array.
    change
        From the mask that was given to this one.
    words
        What was done, one sentence with its figures.
    """

    mask: BoolArray
    change: Change
    words: str


def change_between(before: Mask, after: Mask) -> Change:
    """Take the difference of two masks.

    Raises
    ------
    ValueError
        Their shapes differ, or are not of three axes.
    """
    if before.shape != after.shape or before.ndim != 3:
        raise ValueError(f"masks of {before.shape} and {after.shape} are not of one grid")
    old, new = as_bool(before), as_bool(after)
    shape = (old.shape[0], old.shape[1], old.shape[2])
    box = box_around(old != new)
    was, became = old[box], new[box]
    added, removed = np.count_nonzero(became & ~was), np.count_nonzero(was & ~became)
    return Change(shape, box, int(added), int(removed), _Packed.of(was), _Packed.of(became))


def edited(before: Mask, after: BoolArray, spacing_mm: Spacing, what: str) -> Edited:
    """Put together what an operation returns.

    Parameters
    ----------
    before, after
        The masks.
    spacing_mm
        Of their voxels.
    what
        What was done, a clause that begins the sentence.
    """
    change = change_between(before, after)
    told = [
        f"{millilitres(count, spacing_mm):.2f} mL {word}"
        for count, word in ((change.added, "added"), (change.removed, "removed"))
        if count
    ]
    return Edited(after, change, f"{what}: {', '.join(told) or 'nothing changed'}.")


def as_bool(mask: Mask) -> BoolArray:
    """Take a mask's voxels as inside or not."""
    return mask if mask.dtype == np.bool_ else mask != 0


def millilitres(voxels: float, spacing_mm: Spacing) -> float:
    """Volume of some voxels."""
    return float(voxels) * float(np.prod(spacing_mm)) / 1000


def box_around(mask: BoolArray, margin: tuple[int, int, int] = (0, 0, 0)) -> Box:
    """Find the smallest block around a mask, and some voxels more on each side where there are.

    Returns
    -------
    An empty block at the origin if the mask is empty.
    """
    found: list[slice] = []
    inner = mask
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        lit = np.flatnonzero(inner.any(axis=others))
        if not lit.size:
            return _NOWHERE
        exact = slice(int(lit[0]), int(lit[-1]) + 1)
        inner = inner[(slice(None),) * axis + (exact,)]
        last = min(exact.stop + margin[axis], mask.shape[axis])
        found.append(slice(max(exact.start - margin[axis], 0), last))
    return found[0], found[1], found[2]


def margin_voxels(mm: float, spacing_mm: Spacing) -> tuple[int, int, int]:
    """Whole voxels along each axis that a distance reaches over."""
    a, b, c = (int(np.ceil(mm / step)) for step in spacing_mm)
    return a, b, c


def check_stop(should_stop: StopCallback | None) -> None:
    """Raise :class:`Cancelled` if the caller no longer wants the result."""
    if should_stop is not None and should_stop():
        raise Cancelled("editing was stopped")
