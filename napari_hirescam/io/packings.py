"""Ways to pack samples besides gzip: zlib, bzip2, and numbers written out."""

from __future__ import annotations

import bz2
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.gzip_bytes import COPY_AGAIN

_PIECE_BYTES = 1 << 16  # larger ones cost more: what is not used at once is copied again


class Inflated(io.RawIOBase):
    """What a zlib stream holds, as a stream to read.

    Parameters
    ----------
    path
        Its file, for messages.
    file
        At the stream's first byte; nothing may follow the stream.
    packed_bytes
        The stream's length, if somebody announced it.

    Raises
    ------
    VolumeError
        While reading, if the stream is damaged, breaks off, has another length than announced,
        or something follows it.
    """

    def __init__(self, path: Path, file: BinaryIO, packed_bytes: int | None = None) -> None:
        from isal import igzip_lib

        self._path = path
        self._file = file
        self._announced = packed_bytes
        self._seen = 0
        self._damage: Any = igzip_lib.IsalError
        unpack: Any = igzip_lib.IgzipDecompressor
        self._unpacker = unpack(flag=igzip_lib.DECOMP_ZLIB)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpack as many bytes as there is room for, fewer at the end."""
        view = memoryview(buffer)
        done = 0
        while done < len(view) and not self._unpacker.eof:
            part = self._unpack(min(len(view) - done, _PIECE_BYTES))
            view[done : done + len(part)] = part
            done += len(part)
        if not done and len(view):
            self._check_end()
        return done

    def _unpack(self, most: int) -> bytes:
        packed = b""
        if self._unpacker.needs_input:
            packed = self._file.read(_PIECE_BYTES)
            self._seen += len(packed)
            if not packed:
                raise VolumeError(
                    self._path, "the file is incomplete: its compressed data break off", COPY_AGAIN
                )
        try:
            part: bytes = self._unpacker.decompress(packed, max_length=most)
        except self._damage as exc:
            raise VolumeError(
                self._path,
                f"the file is damaged: its compressed data are not sound ({exc})",
                COPY_AGAIN,
            ) from exc
        return part

    def _check_end(self) -> None:
        if self._unpacker.unused_data or self._file.read(1):
            raise VolumeError(
                self._path,
                "more data follow its compressed voxels than its header announces",
                COPY_AGAIN,
            )
        if self._announced is not None and self._seen != self._announced:
            raise VolumeError(
                self._path,
                f"its header announces {self._announced:,} bytes of compressed voxels, and "
                f"there are {self._seen:,}",
                COPY_AGAIN,
            )


@contextmanager
def unpacked_bzip2(path: Path, file: BinaryIO) -> Iterator[BinaryIO]:
    """Open a bzip2 stream, whose checksums are compared on the way.

    Raises
    ------
    VolumeError
        From within the block, if it is damaged or breaks off.
    """
    try:
        with bz2.open(file, "rb") as stream:
            yield cast("BinaryIO", stream)
    except EOFError as exc:
        raise VolumeError(
            path, "the file is incomplete: its compressed data break off", COPY_AGAIN
        ) from exc
    except (OSError, ValueError) as exc:
        if getattr(exc, "errno", None) is not None:
            raise  # the disk's fault, not the file's
        raise VolumeError(
            path, f"the file is damaged: its compressed data are not sound ({exc})", COPY_AGAIN
        ) from exc


def from_text(path: Path, dtype: np.dtype[Any], written: bytes) -> bytes:
    """Turn numbers that are written out, parted by blanks or commas, into their bytes.

    Raises
    ------
    VolumeError
        If there is anything but numbers, or one that its type cannot hold.
    """
    is_integer = dtype.kind in "iu"
    try:
        words = written.decode("ascii").replace(",", " ").split()
        numbers = np.array(words, dtype=np.int64 if is_integer else np.float64)
        if is_integer and numbers.size:
            limits = np.iinfo(dtype)
            if numbers.min() < limits.min or numbers.max() > limits.max:
                raise _not_numbers(path, "one is too large for its type")
        with np.errstate(over="raise"):
            return numbers.astype(dtype).tobytes()
    except (ValueError, ArithmeticError) as exc:
        raise _not_numbers(path, str(exc)) from exc


def from_hex(path: Path, written: bytes) -> bytes:
    """Turn hexadecimal digits into bytes.

    Raises
    ------
    VolumeError
        If there is anything else.
    """
    try:
        return bytes.fromhex(written.decode("ascii"))
    except ValueError as exc:
        raise _not_numbers(path, "not all are hexadecimal digits") from exc


def _not_numbers(path: Path, why: str) -> VolumeError:
    return VolumeError(path, f"its voxels are not all written as numbers ({why})", COPY_AGAIN)
