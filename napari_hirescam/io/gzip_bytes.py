"""Stored bytes straight into an array: plain, gzip, or a member of a zip, read to their end.

Only who reads a compressed stream to its end has its checksum compared. Most readers stop at
the last voxel they need, and so return other voxels for one flipped bit without a word.
"""

from __future__ import annotations

import gzip
import io
import struct
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
_BUFFER_BYTES = 512 << 10
COPY_AGAIN = "Copy or export it again"

# No deflate stream expands further than this, so a larger claim is false before a byte is read.
_DEFLATE_BEST_RATIO = 1032
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_GZIP_HEADER = GZIP_MAGIC + b"\x08" + bytes(6) + b"\xff"
_ENCRYPTED = 1


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
            with _as_volume_error(path), _unpacked(file) as stream:
                yield stream
        else:
            yield file


@contextmanager
def open_member(path: Path, info: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    """Open a member of a zip file, stored or deflated.

    Reading it to its end compares length and checksum with those in the zip's directory.

    Parameters
    ----------
    path
        The zip file.
    info
        The member, from the zip's directory.

    Raises
    ------
    VolumeError
        Also from within the block, if the member is damaged, encrypted or packed in a way
        that is not understood.
    """
    if info.flag_bits & _ENCRYPTED:
        raise VolumeError(path, f"{info.filename} in it is encrypted", "Save it without password")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise VolumeError(
            path,
            f"{info.filename} in it is packed by a method that is not supported",
            "Pack it again with the usual one, deflate",
        )
    with path.open("rb") as file:
        start = _start_of_member(path, file, info)
        if start + info.compress_size > path.stat().st_size:
            raise VolumeError(
                path, f"the file is incomplete: {info.filename} in it breaks off", COPY_AGAIN
            )
        file.seek(start)
        with _as_volume_error(path):
            if info.compress_type == zipfile.ZIP_STORED:
                stored: Any = _Stored(file, info)
                yield stored
            else:
                # A deflated member lacks but a gzip file's first and last bytes; with them the
                # gzip reader unpacks it and compares length and checksum on the way.
                with _unpacked(io.BufferedReader(_AsGzip(file, info), _BUFFER_BYTES)) as stream:
                    yield stream


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
        From :func:`open_stream` or :func:`open_member`, at the first byte of the array.
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


def _unpacked(file: BinaryIO) -> Any:
    from isal import igzip, isal_zlib

    # What IGzipFile itself reads from; through IGzipFile each piece is copied once more.
    reader: Any = getattr(isal_zlib, "_GzipReader", None)
    if reader is not None:
        return io.BufferedReader(reader(file, _BUFFER_BYTES), _BUFFER_BYTES)
    unpack: Any = igzip.IGzipFile
    return unpack(fileobj=file, mode="rb")


@contextmanager
def _as_volume_error(path: Path) -> Iterator[None]:
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


def _start_of_member(path: Path, file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: the lengths in its own header decide, not the directory's."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise VolumeError(
            path,
            f"the file is damaged: {info.filename} is not where it should be",
            COPY_AGAIN,
        )
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    return info.header_offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length)


class _AsGzip(io.RawIOBase):
    """The packed bytes of a zip member, between the first and last bytes of a gzip file."""

    def __init__(self, file: BinaryIO, info: zipfile.ZipInfo) -> None:
        self._file = file
        self._left = info.compress_size
        self._head = _GZIP_HEADER
        self._tail = struct.pack("<2I", info.CRC, info.file_size & 0xFFFFFFFF)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if self._head:
            part, self._head = self._head[: len(view)], self._head[len(view) :]
        elif self._left:
            part = self._file.read(min(self._left, len(view)))
            self._left = self._left - len(part) if part else 0
        else:
            part, self._tail = self._tail[: len(view)], self._tail[len(view) :]
        view[: len(part)] = part
        return len(part)


class _Stored(io.RawIOBase):
    """The bytes of a member that is not packed, its checksum compared once it has ended."""

    def __init__(self, file: BinaryIO, info: zipfile.ZipInfo) -> None:
        if info.compress_size != info.file_size:
            raise zipfile.BadZipFile("two lengths of a stored member differ")
        self._file = file
        self._left = info.file_size
        self._wanted = info.CRC
        self._crc = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from isal import isal_zlib

        view = memoryview(buffer)[: self._left]
        count: int = self._file.readinto(view)  # type: ignore[attr-defined]
        checksum: Any = isal_zlib.crc32
        self._crc = checksum(view[:count], self._crc)
        self._left -= count
        if self._left == 0 and self._crc != self._wanted:
            raise zipfile.BadZipFile("its checksum differs")
        return count
