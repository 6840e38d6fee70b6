"""The arrays of an ``.npz`` file: which there are, from their headers alone."""

from __future__ import annotations

import io
import tokenize
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.gzip_bytes import COPY_AGAIN, check_claim
from napari_hirescam.io.zip_member import open_member

_SUFFIX = ".npy"
_LONGEST_HEADER = 10_000  # what numpy itself takes from strangers
_LONGEST_LIST = 100_000
_MOST_ARRAYS = 10_000


@dataclass(frozen=True)
class StoredArray:
    """One array in the file.

    Parameters
    ----------
    name
        As numpy would list it.
    info
        Its member of the zip.
    shape, dtype, is_fortran
        From its header.
    header_bytes
        Length of that header; the numbers follow.
    """

    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool
    header_bytes: int

    @property
    def volume_shape(self) -> tuple[int, int, int] | None:
        """Its three lengths without axes of length 1, or None if it is no volume of numbers."""
        lengths = tuple(n for n in self.shape if n > 1)
        if len(lengths) != 3 or self.dtype.kind not in "biuf" or self.dtype.itemsize > 8:
            return None
        return lengths[0], lengths[1], lengths[2]

    @property
    def n_bytes(self) -> int:
        """Bytes of its numbers."""
        return prod(self.shape) * self.dtype.itemsize


def stored_arrays(path: Path) -> tuple[StoredArray, ...]:
    """List the arrays of an ``.npz`` file.

    Raises
    ------
    VolumeError
        If the file is no sound zip, or an array's header makes no sense.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(_SUFFIX)]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as exc:
        raise VolumeError(
            path, f"the file is incomplete or damaged: it has no sound list of arrays ({exc})",
            COPY_AGAIN,
        ) from exc  # fmt: skip
    if len(members) > _MOST_ARRAYS:
        raise VolumeError(
            path,
            f"it holds more than {_MOST_ARRAYS:,} arrays",
            "Save the volume in a file of its own",
        )
    if len({info.filename for info in members}) < len(members):
        raise VolumeError(path, "two of its arrays have one name", "Save it again")
    return tuple(_header(path, info) for info in members)


def read_numbers(path: Path, array: StoredArray) -> np.ndarray[Any, Any] | None:
    """Read a short list of numbers that describes a volume; None if it is anything else."""
    if array.dtype.kind not in "iuf" or not 0 < prod(array.shape) <= _LONGEST_LIST:
        return None
    with open_member(path, array.info) as stream:
        content = stream.read(array.header_bytes + array.n_bytes + 1)
    numbers = np.frombuffer(content[array.header_bytes :], array.dtype)
    return numbers.astype(np.float64)


def _header(path: Path, info: zipfile.ZipInfo) -> StoredArray:
    name = info.filename.removesuffix(_SUFFIX)
    with open_member(path, info) as stream:
        block = _header_block(path, name, stream)
    parse: Any = (
        np.lib.format.read_array_header_1_0
        if block[6] == 1
        else np.lib.format.read_array_header_2_0
    )
    try:
        with io.BytesIO(block[8:]) as text:
            shape, is_fortran, dtype = parse(text, max_header_size=_LONGEST_HEADER)
    except (ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError) as exc:
        raise _damaged(path, name) from exc
    lengths = tuple(int(n) for n in shape)
    if any(n < 0 for n in lengths):
        raise _damaged(path, name)
    if dtype.hasobject:
        # Pickled Python, which could run code: named, never read.
        return StoredArray(name, info, lengths, dtype, bool(is_fortran), len(block))
    n_bytes = len(block) + prod(lengths) * dtype.itemsize
    if n_bytes != info.file_size:
        raise VolumeError(
            path,
            f"its array {name} announces {n_bytes:,} bytes where {info.file_size:,} are",
            COPY_AGAIN,
        )
    packed = info.compress_type == zipfile.ZIP_DEFLATED
    check_claim(path, n_bytes, info.compress_size, compressed=packed)
    return StoredArray(name, info, lengths, dtype, bool(is_fortran), len(block))


def _header_block(path: Path, name: str, stream: BinaryIO) -> bytes:
    start = stream.read(8)
    if len(start) < 8 or not start.startswith(b"\x93NUMPY") or start[6] not in {1, 2}:
        raise _damaged(path, name)
    length_field = stream.read(2 if start[6] == 1 else 4)
    length = int.from_bytes(length_field, "little")
    if length > _LONGEST_HEADER:
        raise _damaged(path, name)
    return start + length_field + stream.read(length)


def _damaged(path: Path, name: str) -> VolumeError:
    return VolumeError(path, f"the header of its array {name} makes no sense", COPY_AGAIN)
