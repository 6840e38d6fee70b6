"""Stored bytes straight into an array, plain or gzip, read to their end.

Only who reads a compressed stream to its end has its checksum compared. Most readers stop at
the last voxel they need, and so return other voxels for one flipped bit without a word.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.ends import Ends
from napari_hirescam.io.reading import Reading

GZIP_MAGIC = b"\x1f\x8b"
STEP_BYTES = 1 << 20  # so that what was unpacked is still in the cache when it is looked at
BUFFER_BYTES = 512 << 10
COPY_AGAIN = "Copy or export it again"

# No deflate stream expands further than this, so a larger claim is false before a byte is read.
_DEFLATE_BEST_RATIO = 1032


@contextmanager
def open_stream(path: Path, *, offset: int = 0, compressed: bool) -> Iterator[BinaryIO]:
    """Open a file, or the gzip stream in it, from a byte offset on.

    Parameters
    ----------
    path
        The file.
    offset
        Where the gzip stream begins, or where reading a plain file starts.
    compressed
        Whether there is a gzip stream (of one member or several) from `offset` to the end.

    Raises
    ------
    VolumeError
        Also from within the block, if the compressed data are damaged or break off.
    """
    with path.open("rb") as file:
        file.seek(offset)
        if compressed:
            with damage_in_words(path), unpacked_gzip(file) as stream:
                yield stream
        else:
            yield file


def fill(
    path: Path,
    stream: BinaryIO,
    array: npt.NDArray[Any],
    reading: Reading,
    *,
    ends: Ends | None = None,
) -> None:
    """Fill an array with the bytes of a stream, which must end with it.

    Parameters
    ----------
    path
        The file, for messages.
    stream
        From :func:`open_stream` or that of a zip's member, at the first byte of the array.
    array
        Contiguous, in either order.
    reading
        Progress in bytes, and the wish to stop, asked every MiB.
    ends
        Is shown each part as soon as it is there.

    Raises
    ------
    VolumeError
        If the stream ends early, goes on after the array, or is damaged.
    Cancelled
        If the caller asked to stop.
    """
    fill_part(path, stream, array, reading, ends=ends)
    check_end(path, stream)
    reading.step(array.nbytes, array.nbytes)


def fill_part(
    path: Path,
    stream: BinaryIO,
    array: npt.NDArray[Any],
    reading: Reading,
    *,
    before: int = 0,
    total: int | None = None,
    ends: Ends | None = None,
) -> None:
    """Fill an array as :func:`fill` does, but leave what follows it in the stream.

    `before` and `total` are for the progress: bytes that were read before these, and of all.
    """
    numbers = array.reshape(-1, order="A")
    flat: Any = numbers.view(np.uint8)
    room = memoryview(flat)
    total = len(room) if total is None else total
    done = seen = 0
    while done < len(room):
        reading.step(before + done, total)
        count = stream.readinto(room[done : done + STEP_BYTES])  # type: ignore[attr-defined]
        if not count:
            raise VolumeError(
                path,
                f"the file is incomplete: {before + done:,} of {total:,} bytes of voxels are there",
                COPY_AGAIN,
            )
        done += count
        whole = done // array.itemsize
        if ends is not None and whole > seen:
            ends.look_at(numbers[seen:whole])
            seen = whole


def pass_over(
    path: Path,
    stream: BinaryIO,
    n_bytes: int,
    reading: Reading,
    *,
    before: int = 0,
    total: int | None = None,
) -> None:
    """Read and forget bytes of a compressed stream, whose checksum needs them.

    With a `total`, progress is reported as by :func:`fill_part`.

    Raises
    ------
    VolumeError
        If the stream ends before.
    Cancelled
        If the caller asked to stop.
    """
    scratch = memoryview(bytearray(min(n_bytes, STEP_BYTES)))
    left = n_bytes
    while left > 0:
        if total is None:
            reading.check_stop()
        else:
            reading.step(before + n_bytes - left, total)
        count = stream.readinto(scratch[: min(left, len(scratch))])  # type: ignore[attr-defined]
        if not count:
            raise VolumeError(
                path, f"the file is incomplete: {left:,} announced bytes are missing", COPY_AGAIN
            )
        left -= count


def check_end(path: Path, stream: BinaryIO) -> None:
    """Make sure that nothing follows; this is also what has the checksum compared.

    Raises
    ------
    VolumeError
        If the stream goes on.
    """
    if stream.read(1):
        raise VolumeError(
            path, "more data follow than its header announces, so one of them is wrong", COPY_AGAIN
        )


def check_claim(path: Path, claimed: int, on_disk: int, *, compressed: bool) -> None:
    """Refuse a header that announces more than the bytes on disk can hold.

    Parameters
    ----------
    path
        The file, for messages.
    claimed
        Bytes the header announces, unpacked.
    on_disk
        Bytes there are, packed or not.
    compressed
        Whether those are packed with deflate (gzip, zip).

    Raises
    ------
    VolumeError
        If the claim cannot be true.
    """
    if claimed > (on_disk * _DEFLATE_BEST_RATIO if compressed else on_disk):
        raise VolumeError(
            path,
            f"the file is incomplete: its header announces {claimed:,} bytes, more than the "
            f"{on_disk:,} bytes on disk can hold",
            COPY_AGAIN,
        )


def first_bytes(content: bytes, most: int) -> bytes:
    """Unpack the beginning of a gzip stream; empty if it is none."""
    try:
        return zlib.decompressobj(wbits=31).decompress(content, most)
    except zlib.error:
        return b""


def unpacked_gzip(file: BinaryIO) -> Any:
    """Unpack the gzip stream that begins here, its checksum compared at its end."""
    from isal import igzip, isal_zlib

    # What IGzipFile itself reads from; through IGzipFile each piece is copied once more.
    reader: Any = getattr(isal_zlib, "_GzipReader", None)
    if reader is not None:
        return io.BufferedReader(reader(file, BUFFER_BYTES), BUFFER_BYTES)
    unpack: Any = igzip.IGzipFile
    return unpack(fileobj=file, mode="rb")


@contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Turn what goes wrong while unpacking into a `VolumeError` of the file."""
    from isal import isal_zlib

    stream_error: Any = isal_zlib.error
    try:
        yield
    except EOFError as exc:
        raise VolumeError(
            path, "the file is incomplete: its compressed data break off", COPY_AGAIN
        ) from exc
    except (gzip.BadGzipFile, zipfile.BadZipFile, stream_error) as exc:
        raise VolumeError(
            path, f"the file is damaged: its compressed data are not sound ({exc})", COPY_AGAIN
        ) from exc
