"""What can be wrong with compressed pixels, seen before a decoder gets them.

The decoders do not see all of it: the one for JPEG-LS makes up the end of a picture that is cut
short, without a word, and each makes room for whatever size the codestream claims.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_LOOK_AT_BYTES = 16 << 10
_SEQUENCE_END = b"\xfe\xff\xdd\xe0"
_JPEG_END = b"\xff\xd9"

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG = b"\xff\xd8\xff"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_LOOK_FOR_BYTES = 512
_MOST_RUN_LENGTH = 64
"""Plain bytes for each packed one, at most, in DICOM's run-length coding: PS3.5 G.3."""

_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Second bytes of the markers that begin a frame: JPEG T.81 table B.1, JPEG-LS T.87 C.1.1."""


def packed_problem(path: Path, offset: int, size: tuple[int, int], slice_bytes: int) -> str:
    """Say why compressed pixels should not be decoded; "" if nothing speaks against it.

    Parameters
    ----------
    path
        The file.
    offset
        Where the first item, the offset table, begins.
    size
        (rows, columns) by the file's header.
    slice_bytes
        Length of one slice's plain pixels.
    """
    with path.open("rb") as stream:
        stream.seek(offset)
        found = codestream_size(stream.read(_LOOK_AT_BYTES))
        if found is not None and found != size:
            return f"its compressed picture has the shape {found}, its header says {size}"
        file_size = os.fstat(stream.fileno()).st_size
        if found is None and slice_bytes > _MOST_RUN_LENGTH * (file_size - offset):
            return (
                f"its compressed pixels are too few: {file_size - offset} bytes for "
                f"{slice_bytes:,} bytes of a slice"
            )
        stream.seek(offset)
        return _incomplete(stream, file_size)


def _incomplete(stream: BinaryIO, file_size: int) -> str:
    """Go through the items; each must be whole, and a JPEG must have its end."""
    last = (0, 0)
    n_items = 0
    while True:
        head = stream.read(8)
        if head[:4] == _SEQUENCE_END or len(head) < 8:
            break
        if head[:4] != _ITEM:
            return "its compressed pixels are not divided as they should be"
        (length,) = struct.unpack_from("<I", head, 4)
        start = stream.tell()
        if start + length > file_size:
            return (
                f"its compressed pixels are incomplete: {file_size - start} of {length} bytes of "
                "a part are there"
            )
        n_items += 1
        last = (start, length)
        stream.seek(start + length)
    if n_items < 2:  # the offset table and at least one picture
        return "its compressed pixels are missing"
    start, length = last
    if _is_jpeg(stream, *last):
        stream.seek(max(start, start + length - _LOOK_FOR_BYTES))
        end = stream.read(min(length, _LOOK_FOR_BYTES)).rstrip(b"\0")
        if not end.endswith(_JPEG_END):
            return "its compressed picture is incomplete: it has no end"
    return ""


def _is_jpeg(stream: BinaryIO, start: int, length: int) -> bool:
    """Say whether a fragment begins a JPEG or JPEG-LS picture."""
    stream.seek(start)
    return stream.read(min(length, 3)) == _JPEG


def codestream_size(packed: bytes) -> tuple[int, int] | None:
    """Find (rows, columns) in the first bytes of encapsulated pixel data.

    Parameters
    ----------
    packed
        From the first item (the offset table) on; some kilobytes will do.

    Returns
    -------
    None if there is no such codestream, as in run-length coded pixels, or it does not say.
    """
    if packed[:4] != _ITEM or len(packed) < 16:
        return None
    (table,) = struct.unpack_from("<I", packed, 4)
    data = packed[8 + table + 8 :]
    if data[:3] == _JPEG:
        return _jpeg_size(data)
    start = data[:_LOOK_FOR_BYTES].find(_JPEG_2000)  # behind the boxes of a JP2 file, perhaps
    if start < 0 or len(data) < start + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    return _unless_empty(bottom - top, right - left)


def _unless_empty(rows: int, columns: int) -> tuple[int, int] | None:
    return (rows, columns) if rows > 0 and columns > 0 else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        if data[at + 1] in _FRAME_HEADERS:
            rows, columns = struct.unpack_from(">HH", data, at + 5)
            return _unless_empty(rows, columns)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None
