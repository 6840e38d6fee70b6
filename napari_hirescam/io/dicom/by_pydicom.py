"""The elements in front of the pixels, as pydicom finds them in files out of the ordinary."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection
from typing import Any, BinaryIO

from napari_hirescam.io.dicom.elements import (
    DEFLATED,
    LONG_VRS,
    PIXEL_TAGS,
    SHORT_VRS,
    Element,
    Elements,
)

_MOST_READS = 1_000_000
_MOST_BLANKS = 16
_BLANK = bytes(8)


class Clipped:
    """A file for pydicom that never promises more bytes than there are, and comes to an end.

    A damaged length would otherwise make Python reserve gigabytes before it reads. Zeros, as a
    copy that broke off leaves them, are to pydicom one empty element of eight bytes after the
    other, and take it minutes.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size
        self.seek, self.tell = stream.seek, stream.tell
        self._n_reads = self._n_blanks = 0

    def read(self, count: int = -1) -> bytes:
        """Read at most what is there.

        Raises
        ------
        ValueError
            If elements are endless or nothing but zeros.
        """
        left = max(self._size - self._stream.tell(), 0)
        found = self._stream.read(left if count < 0 else min(count, left))
        self._n_reads += 1
        self._n_blanks = self._n_blanks + 1 if found == _BLANK else 0
        if self._n_blanks > _MOST_BLANKS:
            raise ValueError("a part of it is filled with zeros")
        if self._n_reads > _MOST_READS:
            raise ValueError("its header has no end")
        return found

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _encoded(value: Any) -> bytes:
    if value is None or isinstance(value, bytes):
        return value or b""
    texts = [value] if isinstance(value, str) else list(value)
    return "\\".join(map(str, texts)).encode("ascii", "replace")


def by_pydicom(stream: Clipped, wanted: Collection[int]) -> Elements:
    """Read the elements of a whole file, from its beginning."""
    import pydicom

    dataset = pydicom.dcmread(
        stream, stop_before_pixels=True, force=True, specific_tags=sorted(wanted)
    )
    _, is_little = dataset.original_encoding
    return _collected(
        dataset,
        str(dataset.file_meta.get("TransferSyntaxUID", "")),
        str(dataset.file_meta.get("MediaStorageSOPClassUID", "")),
        stream,
        is_big_endian=not is_little,
    )


def inflated_by_pydicom(data: bytes, storage_class: str, wanted: Collection[int]) -> Elements:
    """Read the elements of the inflated data set of a deflated file."""
    from pydicom.filereader import read_dataset

    stream: Any = Clipped(io.BytesIO(data), len(data))
    dataset = read_dataset(stream, False, True, stop_when=_at_pixels, specific_tags=sorted(wanted))
    return _collected(dataset, DEFLATED, storage_class, stream, is_big_endian=False)


def _at_pixels(tag: int, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's way
    return tag in PIXEL_TAGS


def _collected(
    dataset: Any,
    syntax: str,
    storage_class: str,
    stream: Any,
    *,
    is_big_endian: bool,
) -> Elements:
    """Take the raw elements out of a data set that was read up to its pixels."""
    from pydicom.dataelem import RawDataElement

    values: dict[int, Element] = {}
    sequences: set[int] = set()
    for tag in dataset.keys():  # noqa: SIM118 - iterating itself would convert the values
        element = dataset.get_item(tag)
        if element.VR == "SQ":
            sequences.add(int(tag))
        if not isinstance(element, RawDataElement):
            # Sequences of undefined length, the character set and empty text come converted.
            if element.VR != "SQ":
                values[int(tag)] = Element(element.VR, _encoded(element.value))
        elif element.value is not None:
            values[int(tag)] = Element(element.VR or "", element.value)
    order = ">" if is_big_endian else "<"
    start = stream.tell()
    head = stream.read(12)
    pixels_at, float_bits = None, 0
    if len(head) >= 8:
        group, number = struct.unpack_from(order + "HH", head)
        tag = (group << 16) | number
        if tag in PIXEL_TAGS:
            # As it is written, not as it is declared: pydicom follows a file that says one and
            # does the other. Two letters are no length, for it would be odd.
            if head[4:6] in LONG_VRS:
                width, (length,) = 12, struct.unpack_from(order + "I", head, 8)
            elif head[4:6] in SHORT_VRS:
                width, (length,) = 8, struct.unpack_from(order + "H", head, 6)
            else:
                width, (length,) = 8, struct.unpack_from(order + "I", head, 4)
            pixels_at, float_bits = (start + width, length), PIXEL_TAGS[tag]
    return Elements(
        syntax, storage_class, is_big_endian, values, frozenset(sequences), pixels_at, float_bits
    )
