"""What an edit changed, small enough to keep, and the way back."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray

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
        Their shapes differ.
    """
    raise NotImplementedError


@dataclass(eq=False)
class UndoStack:
    """Changes that can be taken back and made again, in bounded memory.

    Parameters
    ----------
    most_bytes
        When more is held, the oldest changes are forgotten; the last one is always kept.
    """

    most_bytes: int = 256 * 2**20
    _done: deque[Change] = field(default_factory=deque, init=False, repr=False)
    _undone: list[Change] = field(default_factory=list, init=False, repr=False)
