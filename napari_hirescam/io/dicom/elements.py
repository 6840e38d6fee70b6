"""The data elements of a DICOM file before its pixels, as bytes.

Most files are walked through directly, which is several times faster than building a data set;
whatever is out of the ordinary is left to pydicom. Both give the same bytes.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from napari_hirescam.io.reading import available_memory

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

UNDEFINED = 0xFFFFFFFF
_FIRST_READ = 32 << 10
_LONGEST_WALK = 8 << 20
_DEEPEST = 8
_INFLATED_AT_MOST = 1 << 31
_HARMLESS, _MOST_DEFLATED = 256 << 20, 200
"""Bytes that may be inflated from however few; beyond, times the deflated ones."""

_STORAGE_CLASS, _TRANSFER_SYNTAX = 0x00020002, 0x00020010
_PIXEL_GROUP = 0x7FE0
PIXEL_TAGS = {0x7FE00008: 32, 0x7FE00009: 64, 0x7FE00010: 0}
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class Element(NamedTuple):
    """One data element: its VR ("" where the file leaves it to the dictionary) and its bytes."""

    vr: str
    value: bytes


@dataclass(frozen=True)
class Elements:
    """What a DICOM file holds before its pixels.

    Parameters
    ----------
    transfer_syntax
        As the file states it; "" if it does not.
    storage_class
        SOP class by the meta information, "" without one; a DICOMDIR has no other.
    is_big_endian
        Of the data set's numbers.
    values
        The elements asked for, by tag.
    sequences
        Tags of those that are sequences, asked for and there.
    pixels_at
        Offset and length of the pixels; the length is `UNDEFINED` for encapsulated ones, which
        are compressed. In the inflated data set if the file is deflated. None without pixels.
    float_bits
        32 or 64 if the pixels are floating point, else 0.
    """

    transfer_syntax: str
    storage_class: str
    is_big_endian: bool
    values: Mapping[int, Element]
    sequences: frozenset[int]
    pixels_at: tuple[int, int] | None
    float_bits: int


def read_elements(
    stream: BinaryIO, wanted: Collection[int], is_right: Callable[[bytes], bool] | None = None
) -> Elements | None:
    """Read the wanted elements in front of the pixels.

    Parameters
    ----------
    stream
        The open file, at its beginning.
    wanted
        Tags, of the data set's top level.
    is_right
        Judges the first bytes, so that a file of another kind is opened but once.

    Returns
    -------
    None if `is_right` says no.

    Raises
    ------
    ValueError, EOFError, and whatever pydicom raises on a damaged file.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    length = _FIRST_READ
    head = stream.read(length)
    if is_right is not None and not is_right(head):
        return None
    while True:
        is_whole = len(head) >= size
        try:
            meta, start = _walk_meta(head)
            syntax = meta.get(_TRANSFER_SYNTAX, "")
            if syntax == DEFLATED:
                stream.seek(start)
                return _inflated_elements(inflate(stream.read()), meta, wanted)
            return _walk(head, start, meta, wanted, is_whole=is_whole)
        except _UnusualError:
            break
        except (struct.error, IndexError):  # goes on behind what was read
            if is_whole or length >= _LONGEST_WALK:
                break
            length *= 16
            head += stream.read(length - len(head))
    stream.seek(0)
    from napari_hirescam.io.dicom.by_pydicom import Clipped, by_pydicom

    return by_pydicom(Clipped(stream, size), wanted)


def inflate(data: bytes) -> bytes:
    """Inflate the data set of a deflated file.

    Raises
    ------
    ValueError
        If it is damaged, or would fill the memory.
    """
    limit = min(_INFLATED_AT_MOST, (available_memory() or _INFLATED_AT_MOST) // 2)
    plausible = max(_HARMLESS, _MOST_DEFLATED * len(data))
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = engine.decompress(data, min(limit, plausible))
    except zlib.error as exc:
        raise ValueError(f"its deflated content is damaged: {exc}") from exc
    if engine.unconsumed_tail and plausible < limit:
        raise ValueError(f"its deflated content is more than {_MOST_DEFLATED} times its size")
    if engine.unconsumed_tail:
        raise ValueError("its deflated content is too large for the memory")
    if not engine.eof:
        raise ValueError("its deflated content ends early")
    return inflated


def inflated_file(path: Path) -> bytes:
    """Inflate the data set of a file in the deflated transfer syntax."""
    data = path.read_bytes()
    try:
        meta, start = _walk_meta(data)
    except (_UnusualError, struct.error, IndexError) as exc:
        raise ValueError("it does not say that its content is deflated") from exc
    if meta.get(_TRANSFER_SYNTAX) != DEFLATED:
        raise ValueError("its content is not deflated after all")
    return inflate(data[start:])


class _UnusualError(Exception):
    """The file is written in a way that is better left to pydicom."""


_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_IMPLICIT = struct.Struct("<HHI").unpack_from
_LENGTH = struct.Struct("<I").unpack_from


def _next(data: bytes, at: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
    """Tag, VR, length and beginning of the value of the element at an offset."""
    if explicit:
        group, element, vr, length = _EXPLICIT(data, at)
        if vr in SHORT_VRS:
            return (group << 16) | element, vr, length, at + 8
        if vr in LONG_VRS:
            return (group << 16) | element, vr, _LENGTH(data, at + 8)[0], at + 12
        if group != 0xFFFE:
            raise _UnusualError
    group, element, length = _IMPLICIT(data, at)
    return (group << 16) | element, b"", length, at + 8


def _walk(
    data: bytes, at: int, meta: Mapping[int, str], wanted: Collection[int], *, is_whole: bool
) -> Elements:
    syntax = meta.get(_TRANSFER_SYNTAX, "")
    if not syntax or syntax == EXPLICIT_BIG:
        raise _UnusualError
    # As it is written: some writers declare the one and write the other.
    explicit = _looks_explicit(data, at)
    known = syntax, meta.get(_STORAGE_CLASS, ""), False
    values: dict[int, Element] = {}
    sequences: set[int] = set()
    last, end = 0, len(data)
    while True:
        if at == end and is_whole:
            return Elements(*known, values, frozenset(sequences), None, 0)
        # As in _next, which a call for each element would make a third slower.
        if explicit:
            group, number, vr, length = _EXPLICIT(data, at)
            start = at + 8
            if vr not in SHORT_VRS:
                if vr not in LONG_VRS:
                    raise _UnusualError
                (length,) = _LENGTH(data, start)
                start += 4
        else:
            group, number, length = _IMPLICIT(data, at)
            vr, start = b"", at + 8
            if _looks_explicit(data, at):
                raise _UnusualError
        tag = (group << 16) | number
        if tag <= last:
            raise _UnusualError
        last = tag
        if group == _PIXEL_GROUP:
            if tag not in PIXEL_TAGS:
                raise _UnusualError
            place = (start, length)
            return Elements(*known, values, frozenset(sequences), place, PIXEL_TAGS[tag])
        if length == UNDEFINED:
            if vr not in {b"SQ", b""}:
                raise _UnusualError
            at = _skip_items(data, start, explicit=explicit, depth=0)
            if tag in wanted:
                sequences.add(tag)
            continue
        at = start + length
        if tag in wanted:
            if vr == b"SQ":
                sequences.add(tag)
                continue
            if at > end:
                raise IndexError
            values[tag] = Element(vr.decode("ascii"), data[start:at])


def _looks_explicit(data: bytes, at: int) -> bool:
    return data[at + 4 : at + 6] in SHORT_VRS or data[at + 4 : at + 6] in LONG_VRS


def _walk_meta(data: bytes) -> tuple[dict[int, str], int]:
    """Storage class and transfer syntax, and where the data set begins."""
    if data[128:132] != b"DICM":
        raise _UnusualError
    at = 132
    meta: dict[int, str] = {}
    while data[at : at + 2] == b"\x02\x00":
        tag, _, length, start = _next(data, at, explicit=True)
        if length == UNDEFINED:
            raise _UnusualError
        at = start + length
        if at > len(data):
            raise IndexError
        if tag in {_STORAGE_CLASS, _TRANSFER_SYNTAX}:
            meta[tag] = data[start:at].decode("latin-1").strip("\0 ")
    return meta, at


def _skip_items(data: bytes, at: int, *, explicit: bool, depth: int) -> int:
    """Go to the end of a sequence of undefined length."""
    if depth > _DEEPEST:
        raise _UnusualError
    while True:
        tag, _, length, at = _next(data, at, explicit=False)
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise _UnusualError
        if length != UNDEFINED:
            at += length
            continue
        while True:
            tag, vr, length, start = _next(data, at, explicit=explicit)
            if tag == _ITEM_END:
                at = start
                break
            if length != UNDEFINED:
                at = start + length
            elif vr in {b"SQ", b""}:
                at = _skip_items(data, start, explicit=explicit, depth=depth + 1)
            else:
                raise _UnusualError


def _inflated_elements(data: bytes, meta: Mapping[int, str], wanted: Collection[int]) -> Elements:
    try:
        return _walk(data, 0, meta, wanted, is_whole=True)
    except (_UnusualError, struct.error, IndexError):
        from napari_hirescam.io.dicom.by_pydicom import inflated_by_pydicom

        return inflated_by_pydicom(data, meta.get(_STORAGE_CLASS, ""), wanted)
