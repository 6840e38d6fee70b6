"""The header of a NIfTI file or pair: understood, and checked before anything is believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.gzip_bytes import (
    COPY_AGAIN,
    GZIP_MAGIC,
    check_claim,
    first_bytes,
    open_stream,
)

_VERSIONS = {348: 1, 540: 2}  # length of the header, which is also its first field
_MAGIC_AT = {348: 344, 540: 4}
_LINE_ENDS = b"\r\n\x1a\n"  # in NIfTI-2, there to show that they were tampered with
_LATEST_START = 1 << 28
_LARGEST_EXTENSION = 1 << 24
_HEADER_NAMES = (".hdr", ".HDR", ".hdr.gz", ".HDR.GZ")
_IMAGE_NAMES = (".img", ".IMG", ".img.gz", ".IMG.GZ")
_NO_NUMBERS = {
    0: "of no type",
    1: "single bits",
    128: "colours",
    255: "of no type",
    1536: "128-bit numbers",
    2304: "colours",
}
_GIVE_VOLUME = "Give a volume of plain integers or floats"


@dataclass(frozen=True, eq=False)
class Header:
    """What a NIfTI header says, after it was found to make sense.

    Parameters
    ----------
    fields
        nibabel's `Nifti1Header` or `Nifti2Header`, with its extensions.
    version
        1 or 2.
    image
        The file the voxels are in: the same one, or the ``.img`` of a pair.
    is_compressed
        Whether that file is a gzip stream.
    shape
        Lengths of the three spatial axes.
    n_volumes
        Length of the fourth axis; 1 if there is none.
    dtype
        As stored, with its byte order.
    offset
        Byte at which the voxels begin, in the unpacked file.
    notes
        What is odd about the header and was put up with.
    """

    fields: Any
    version: int
    image: Path
    is_compressed: bool
    shape: tuple[int, int, int]
    n_volumes: int
    dtype: np.dtype[Any]
    offset: int
    notes: tuple[str, ...] = ()

    @property
    def is_pair(self) -> bool:
        """True if header and voxels are in two files."""
        return bytes(self.fields["magic"].item()).startswith(b"ni")

    @property
    def volume_bytes(self) -> int:
        """Bytes of one volume as stored."""
        return prod(self.shape) * self.dtype.itemsize


def header_file(path: Path, head: bytes) -> Path | None:
    """Find the file with the NIfTI (or Analyze) header: the path itself, or its pair's ``.hdr``.

    Parameters
    ----------
    path
        A file.
    head
        Its first bytes.

    Returns
    -------
    None if there is no such header.
    """
    if _begins_like_header(head):
        return path
    if _stem(path, _IMAGE_NAMES) is None or head[128:132] == b"DICM":
        return None
    partner = _partner(path, _IMAGE_NAMES, _HEADER_NAMES)
    if partner is None:
        return None
    with partner.open("rb") as stream:
        return partner if _begins_like_header(stream.read(4096)) else None


def read_header(path: Path) -> Header:
    """Read the header of a NIfTI file, or of a pair of which either half was named.

    Parameters
    ----------
    path
        The file; whether it is compressed is told from its content.

    Raises
    ------
    VolumeError
        If it is no NIfTI header, or announces what is not there or not a volume of numbers.
    """
    with path.open("rb") as stream:
        head = stream.read(4096)
    place = header_file(path, head)
    if place is None:
        raise VolumeError(path, "it has no NIfTI header", "Give a NIfTI file")
    with place.open("rb") as stream:
        compressed = stream.read(2) == GZIP_MAGIC
    with open_stream(place, compressed=compressed) as stream:
        fields, size = _fields(path, stream)
        image = _image_file(path, place, fields)
        notes: list[str] = []
        offset = _offset(path, fields, size, is_pair=image != place, notes=notes)
        end = offset if image == place else place.stat().st_size
        fields.extensions.extend(_extensions(stream, fields.endianness, size, end, notes))
    if image != place:
        with image.open("rb") as stream:
            compressed = stream.read(2) == GZIP_MAGIC
    shape, n_volumes = _lengths(path, fields)
    dtype = _dtype(path, fields)
    extent = offset + prod(shape) * n_volumes * dtype.itemsize
    check_claim(image, extent, image.stat().st_size, compressed=compressed)
    return Header(
        fields, _VERSIONS[size], image, compressed, shape, n_volumes, dtype, offset, tuple(notes)
    )


def _begins_like_header(head: bytes) -> bool:
    if head.startswith(GZIP_MAGIC):
        head = first_bytes(head, 4)
    return any(head[:4] == n.to_bytes(4, end) for n in _VERSIONS for end in ("little", "big"))


def _stem(path: Path, endings: tuple[str, ...]) -> str | None:
    return next((path.name[: -len(end)] for end in endings if path.name.endswith(end)), None)


def _partner(path: Path, own: tuple[str, ...], others: tuple[str, ...]) -> Path | None:
    stem = _stem(path, own)
    if stem is None:
        return None
    places = (path.with_name(stem + ending) for ending in others)
    return next((place for place in places if place.is_file()), None)


def _fields(path: Path, stream: BinaryIO) -> tuple[Any, int]:
    import nibabel as nib

    size_field = stream.read(4)
    size, endianness = int.from_bytes(size_field, "little"), "<"
    if size not in _VERSIONS:
        size, endianness = int.from_bytes(size_field, "big"), ">"
    block = size_field + stream.read(size - 4)
    if len(block) < size:
        raise VolumeError(path, "the file ends within its header", COPY_AGAIN)
    magic = block[_MAGIC_AT[size] :]
    version = str(_VERSIONS[size]).encode()
    if magic[:4] not in {b"n+" + version + b"\0", b"ni" + version + b"\0"}:
        raise VolumeError(
            path,
            "it is an Analyze file, which cannot tell left from right",
            "Convert the original images to NIfTI",
        )
    if size == 540 and magic[4:8] != _LINE_ENDS:
        raise VolumeError(
            path, "the file is damaged: it was transferred as text", "Copy it again, as binary"
        )
    kind: Any = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    # nibabel's own checks print to the console and mend silently; ours follow.
    return kind(block, endianness=endianness, check=False), size


def _image_file(path: Path, place: Path, fields: Any) -> Path:
    if bytes(fields["magic"].item()).startswith(b"n+"):
        if place == path:
            return place
        raise VolumeError(
            path, f"the header beside it, {place.name}, is not that of a pair", f"Open {place.name}"
        )
    partner = _partner(place, _HEADER_NAMES, _IMAGE_NAMES)
    if partner is None:
        raise VolumeError(
            path,
            "it is one half of a NIfTI pair (.hdr and .img) and the other is missing",
            "Put both into one folder, under one name",
        )
    return path if place != path else partner


def _offset(path: Path, fields: Any, size: int, *, is_pair: bool, notes: list[str]) -> int:
    value = float(fields["vox_offset"])
    lowest = 0 if is_pair else size
    if value == 0 and not is_pair:
        notes.append("The header does not say where the voxels begin; they follow it directly.")
        return size + 4
    if not lowest <= value <= 2**40 or value != int(value):
        raise VolumeError(path, "its header does not say where the voxels begin", COPY_AGAIN)
    if int(value) > _LATEST_START:
        raise VolumeError(
            path, "its voxels begin so late in the file that this cannot be meant", COPY_AGAIN
        )
    return int(value)


def _extensions(
    stream: BinaryIO, endianness: str, size: int, end: int, notes: list[str]
) -> Iterator[Any]:
    from nibabel.nifti1 import Nifti1Extension

    room = end - size - 4
    flag = stream.read(4) if room >= 0 else b""
    if not flag[:1].strip(b"\0"):
        return
    integer = np.dtype(f"{endianness}i4")
    while room >= 8:
        start = stream.read(8)
        if len(start) < 8:
            return
        length, code = (int(n) for n in np.frombuffer(start, integer))
        sound = 8 <= length <= min(room, _LARGEST_EXTENSION)
        content = stream.read(length - 8) if sound else b""
        if not sound or len(content) < length - 8:
            notes.append("An extension of the header is damaged or too large; it was left out.")
            return
        yield Nifti1Extension(code, content)
        room -= length


def _lengths(path: Path, fields: Any) -> tuple[tuple[int, int, int], int]:
    n_axes = int(fields["dim"][0])
    if not 1 <= n_axes <= 7:
        raise VolumeError(path, "the image size in its header is not valid", COPY_AGAIN)
    lengths = [int(n) for n in fields["dim"][1 : n_axes + 1]]
    # Some programs count axes that they leave empty.
    lengths[3:] = [n or 1 for n in lengths[3:]]
    if min(lengths) < 1:
        raise VolumeError(path, "the image size in its header is not valid", COPY_AGAIN)
    if n_axes < 3 or min(lengths[:3]) < 2:
        raise VolumeError(
            path, "it is a two-dimensional image, not a volume", "Give the whole volume"
        )
    if prod(lengths[4:]) > 1:
        raise VolumeError(
            path,
            f"each of its voxels holds {prod(lengths[4:])} numbers ({_meaning(fields)})",
            "Save the component you want as a volume of its own",
        )
    return (lengths[0], lengths[1], lengths[2]), prod(lengths[3:])


def _meaning(fields: Any) -> str:
    try:
        intent = str(fields.get_intent()[0])
    except KeyError:
        intent = f"intent {int(fields['intent_code'])}"
    return "a vector, tensor or colour image" if intent == "none" else intent


def _dtype(path: Path, fields: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(fields.get_data_dtype())
    except KeyError as exc:
        raise VolumeError(
            path, f"its number type ({int(fields['datatype'])}) is unknown", COPY_AGAIN
        ) from exc
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or dtype.itemsize == 0:
        what = _NO_NUMBERS.get(int(fields["datatype"]), f"numbers of type {dtype.name}")
        raise VolumeError(path, f"its voxels are {what}", _GIVE_VOLUME)
    return dtype
