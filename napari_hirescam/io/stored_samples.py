"""The samples that a text header announces: in its own file or beside it, packed or not.

NRRD and MetaImage share this. Nothing is allocated before the files are known to be able to
hold what is announced, and packed samples are read to their end, so that the checksum tells
damage.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.gzip_bytes import (
    COPY_AGAIN,
    STEP_BYTES,
    check_claim,
    check_end,
    fill,
    fill_part,
    open_stream,
    pass_over,
)
from napari_hirescam.io.packings import Inflated, from_hex, from_text, unpacked_bzip2
from napari_hirescam.io.reading import Reading, check_memory

_LONGEST_LINE = 1 << 16
_MEMORY_PER_TEXT_SAMPLE = 100  # a word as Python holds it, the number read from it, the copy


class Packing(Enum):
    """How samples lie in a file."""

    RAW = "raw"
    GZIP = "gzip"
    ZLIB = "zlib"
    BZIP2 = "bzip2"
    TEXT = "text"
    HEX = "hex"


@dataclass(frozen=True)
class Part:
    """One file with samples.

    Parameters
    ----------
    path
        The file.
    offset
        Bytes before the samples, or before the packed stream.
    n_lines
        Lines to leave out after these, still before the packed stream.
    n_bytes
        Bytes to leave out after these; of the unpacked ones, if packed.
    from_end
        Raw only: the samples are the last bytes of the file.
    """

    path: Path
    offset: int = 0
    n_lines: int = 0
    n_bytes: int = 0
    from_end: bool = False


@dataclass(frozen=True)
class Samples:
    """What a header says of its samples.

    Parameters
    ----------
    header
        The file that says so; errors are about this one, or about a part.
    parts
        Files that hold equal shares of the samples, one after the other.
    packing
        The same in each.
    dtype
        As stored, with its byte order.
    shape
        Lengths of all axes, the fastest first.
    packed_bytes
        Length of the packed stream, if the header gives it.
    """

    header: Path
    parts: tuple[Part, ...]
    packing: Packing
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    packed_bytes: int | None = None

    @property
    def n_bytes(self) -> int:
        """Length of all samples, unpacked."""
        return prod(self.shape) * self.dtype.itemsize


def read_samples(
    samples: Samples, reading: Reading, *, pick: tuple[int, int] | None = None
) -> npt.NDArray[Any]:
    """Read all samples, or those at one index of one axis.

    Parameters
    ----------
    samples
        What there is.
    reading
        Progress in bytes, and the wish to stop.
    pick
        An axis and an index along it; the axis is left out of the result.

    Returns
    -------
    Axes in stored order, in native byte order.

    Raises
    ------
    VolumeError
        If the files cannot hold what is announced, are incomplete or damaged, hold more, or
        there is not enough memory.
    Cancelled
        If the caller asked to stop.
    """
    _check_sizes(samples)
    shape = samples.shape if pick is None else tuple(np.delete(samples.shape, pick[0]).tolist())
    # Judging and straightening take a second copy, never wider than float32.
    check_memory(samples.header, prod(shape) * (samples.dtype.itemsize + 4))
    result = np.empty(shape, samples.dtype, order="F")
    with _Joined(samples) as joined:
        stream = cast("BinaryIO", joined)
        if pick is None:
            fill(samples.header, stream, result, reading)
        else:
            _fill_picked(samples, stream, result, pick, reading)
    if not result.dtype.isnative:
        result = result.byteswap(inplace=True).view(result.dtype.newbyteorder("="))
    return result


def _check_sizes(samples: Samples) -> None:
    share = samples.n_bytes // len(samples.parts)
    for part in samples.parts:
        size = part.path.stat().st_size - part.offset
        if samples.packing in {Packing.GZIP, Packing.ZLIB}:
            check_claim(part.path, share, size, compressed=True)
        elif samples.packing is Packing.RAW:
            check_claim(part.path, share + part.n_bytes, size, compressed=False)
        elif samples.packing is Packing.HEX:
            check_claim(part.path, 2 * share, size, compressed=False)
            check_memory(part.path, 3 * size)
        elif samples.packing is Packing.TEXT:
            check_claim(
                part.path, 2 * (share // samples.dtype.itemsize) - 1, size, compressed=False
            )
            check_memory(part.path, size + _MEMORY_PER_TEXT_SAMPLE * (size // 2))


def _fill_picked(
    samples: Samples,
    stream: BinaryIO,
    result: npt.NDArray[Any],
    pick: tuple[int, int],
    reading: Reading,
) -> None:
    axis, index = pick
    n = samples.shape[axis]
    run = prod(samples.shape[:axis])  # samples that lie together
    rounds = prod(samples.shape[axis + 1 :])
    flat = result.reshape(-1, order="F")
    path, itemsize = samples.header, samples.dtype.itemsize
    quiet = Reading(should_stop=reading.should_stop)
    if run * n * itemsize <= STEP_BYTES:
        at_once = min(rounds, STEP_BYTES // (run * n * itemsize))
        scratch = np.empty((at_once, n, run), samples.dtype)
        for first in range(0, rounds, at_once):
            reading.step(first, rounds)
            block = scratch[: min(at_once, rounds - first)]
            fill_part(path, stream, block, quiet)
            flat[first * run : first * run + len(block) * run] = block[:, index].ravel()
    else:
        for k in range(rounds):
            reading.step(k, rounds)
            pass_over(path, stream, index * run * itemsize, quiet)
            fill_part(path, stream, flat[k * run : (k + 1) * run], quiet)
            pass_over(path, stream, (n - 1 - index) * run * itemsize, quiet)
    check_end(path, stream)
    reading.step(rounds, rounds)


class _Joined(io.RawIOBase):
    """The shares of all parts as one stream; each part must end where its share does."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._share = samples.n_bytes // len(samples.parts)
        self._left = 0
        self._coming = iter(samples.parts)
        self._part: Part | None = None
        self._stream: BinaryIO | None = None
        self._open = ExitStack()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._open.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        if not self._left and not self._advance():
            return 0
        assert self._stream is not None  # noqa: S101 - for the type checker: `_advance` opened it
        assert self._part is not None  # noqa: S101
        view = memoryview(buffer)[: self._left]
        with self._as_the_part_says():
            count: int = self._stream.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise VolumeError(
                self._part.path,
                f"the file is incomplete: {self._left:,} announced bytes are missing",
                COPY_AGAIN,
            )
        self._left -= count
        return count

    @contextmanager
    def _as_the_part_says(self) -> Iterator[None]:
        """Let the part's own context turn damage into words: it is left with the exception."""
        try:
            yield
        except Exception as exc:
            self._open.__exit__(type(exc), exc, exc.__traceback__)
            raise

    def _advance(self) -> bool:
        """End the part at hand, and open the next."""
        if self._part is not None and self._stream is not None:
            with self._as_the_part_says():
                check_end(self._part.path, self._stream)
        self._open.close()
        self._part = next(self._coming, None)
        if self._part is None:
            self._stream = None
            return False
        self._stream = self._open.enter_context(_opened(self._samples, self._part, self._share))
        self._left = self._share
        return True


@contextmanager
def _opened(samples: Samples, part: Part, share: int) -> Iterator[BinaryIO]:
    """The samples of one part as a stream of their bytes, unpacked."""
    offset = part.offset
    if part.from_end:
        offset = part.path.stat().st_size - share
    if part.n_lines:
        offset = _after_lines(part, offset)
    packing = samples.packing
    with ExitStack() as stack:
        if packing in {Packing.TEXT, Packing.HEX}:
            written = part.path.read_bytes()[offset:]
            stream: BinaryIO = io.BytesIO(
                from_text(part.path, samples.dtype, written)
                if packing is Packing.TEXT
                else from_hex(part.path, written)
            )
        else:
            compressed = packing is Packing.GZIP
            stream = stack.enter_context(
                open_stream(part.path, offset=offset, compressed=compressed)
            )
        if packing is Packing.ZLIB:
            stream = cast("BinaryIO", Inflated(part.path, stream, samples.packed_bytes))
        elif packing is Packing.BZIP2:
            stream = stack.enter_context(unpacked_bzip2(part.path, stream))
        if part.n_bytes:
            pass_over(part.path, stream, part.n_bytes, Reading())
        yield stream


def _after_lines(part: Part, offset: int) -> int:
    with part.path.open("rb") as file:
        file.seek(offset)
        for _ in range(part.n_lines):
            if not file.readline(_LONGEST_LINE).endswith(b"\n"):
                raise VolumeError(
                    part.path, f"it has no {part.n_lines:,} lines to leave out", COPY_AGAIN
                )
        return file.tell()
