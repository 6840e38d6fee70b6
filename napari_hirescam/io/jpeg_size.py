"""How large the picture in a JPEG, JPEG-LS or JPEG 2000 codestream is, before it is decoded."""

from __future__ import annotations

import struct

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG = b"\xff\xd8\xff"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_LOOK_FOR_BYTES = 512

_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Second bytes of the markers that begin a frame: JPEG T.81 table B.1, JPEG-LS T.87 C.1.1."""


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
