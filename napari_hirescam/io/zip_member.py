"""The bytes of a member of a zip file, with length and checksum compared at their end."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.gzip_bytes import (
    BUFFER_BYTES,
    COPY_AGAIN,
    GZIP_MAGIC,
    damage_in_words,
    unpacked_gzip,
)

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_GZIP_HEADER = GZIP_MAGIC + b"\x08" + bytes(6) + b"\xff"
_ENCRYPTED = 1


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
        with damage_in_words(path):
            if info.compress_type == zipfile.ZIP_STORED:
                stored: Any = _Stored(file, info)
                yield stored
            else:
                # A deflated member lacks but a gzip file's first and last bytes; with them the
                # gzip reader unpacks it and compares length and checksum on the way.
                with unpacked_gzip(io.BufferedReader(_AsGzip(file, info), BUFFER_BYTES)) as stream:
                    yield stream


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
