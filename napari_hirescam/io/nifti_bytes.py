"""The stored bytes of a NIfTI file: header and voxels, complete and with checksum verified."""

from __future__ import annotations

import gzip
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.reading import Reading, check_memory

HEADER_SIZES = {348: 1, 540: 2}
"""Length of the header, which is also its first field, to the version of NIfTI."""

_STEP_BYTES = 8 << 20
# No gzip stream expands further than this, so a larger claim is false before a byte is read.
_GZIP_BEST_RATIO = 1032
_COPY_AGAIN = "Copy or export it again"


@dataclass(frozen=True, eq=False)
class StoredImage:
    """What a NIfTI file holds, before anything is made of it.

    Parameters
    ----------
    header
        nibabel's `Nifti1Header` or `Nifti2Header`.
    voxels
        [i, j, k] in native byte order, as stored: slope and intercept not applied.
    """

    header: Any
    voxels: npt.NDArray[Any]


def read_stored(path: Path, reading: Reading | None = None) -> StoredImage:
    """Read header and voxels of a three-dimensional NIfTI file.

    Parameters
    ----------
    path
        The file; whether it is compressed is told from its content.
    reading
        Progress in bytes, and the wish to stop.

    Raises
    ------
    VolumeError
        If the file is damaged, incomplete, not three-dimensional or does not fit into memory.
    Cancelled
        If the caller asked to stop.
    """
    from isal import isal_zlib

    stream_error: Any = isal_zlib.error
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    try:
        with _open(path, compressed=compressed) as stream:
            header = _read_header(path, stream)
            shape = _three_lengths(path, header)
            voxels = _allocate(path, header, shape, compressed=compressed)
            stream.seek(int(header["vox_offset"]))
            _fill(path, stream, voxels, reading or Reading())
    except EOFError as exc:
        raise VolumeError(
            path, "the file is incomplete: its compressed data break off", _COPY_AGAIN
        ) from exc
    except (gzip.BadGzipFile, stream_error) as exc:
        raise VolumeError(
            path, f"the file is damaged: its compressed data are not sound ({exc})", _COPY_AGAIN
        ) from exc
    native = voxels.dtype.newbyteorder("=")
    return StoredImage(header, voxels.astype(native, copy=False))


def _open(path: Path, *, compressed: bool) -> AbstractContextManager[BinaryIO]:
    if not compressed:
        return path.open("rb")
    from isal import igzip

    unpack: Any = igzip.open
    stream: AbstractContextManager[BinaryIO] = unpack(path, "rb")
    return stream


def _read_header(path: Path, stream: BinaryIO) -> Any:
    import nibabel as nib

    size_field = stream.read(4)
    length = int.from_bytes(size_field, "little")
    endianness = "<"
    if length not in HEADER_SIZES:
        length, endianness = int.from_bytes(size_field, "big"), ">"
    if length not in HEADER_SIZES:
        raise VolumeError(path, "it has no NIfTI header", "Give a NIfTI file")
    block = size_field + stream.read(length - 4)
    if len(block) < length:
        raise VolumeError(path, "the file ends within its header", _COPY_AGAIN)
    kind: Any = nib.Nifti1Header if HEADER_SIZES[length] == 1 else nib.Nifti2Header
    # nibabel's own checks print to the console and mend silently; ours follow.
    header = kind(block, endianness=endianness, check=False)
    magic = bytes(header["magic"].item()).rstrip(b"\0")[:3]
    if magic in {b"ni1", b"ni2"}:
        raise VolumeError(
            path,
            "it is one half of a NIfTI pair (.hdr and .img)",
            "Convert the pair to a single .nii.gz file",
        )
    if magic not in {b"n+1", b"n+2"}:
        raise VolumeError(
            path,
            "it is an Analyze file, which cannot tell left from right",
            "Convert the original images to NIfTI",
        )
    return header


def _three_lengths(path: Path, header: Any) -> tuple[int, int, int]:
    n_axes = int(header["dim"][0])
    lengths = [int(n) for n in header["dim"][1 : n_axes + 1]]
    if not 1 <= n_axes <= 7 or min(lengths) < 1:
        raise VolumeError(path, "the image size in its header is not valid", _COPY_AGAIN)
    n_volumes = int(np.prod(lengths[3:], dtype=object)) if n_axes > 3 else 1
    if n_volumes > 1:
        raise VolumeError(
            path,
            f"it holds {n_volumes} volumes, not one",
            "Save the one you want as a file of its own",
        )
    if n_axes < 3 or min(lengths[:3]) < 2:
        raise VolumeError(
            path, "it is a two-dimensional image, not a volume", "Give the whole volume"
        )
    return lengths[0], lengths[1], lengths[2]


def _allocate(
    path: Path, header: Any, shape: tuple[int, int, int], *, compressed: bool
) -> npt.NDArray[Any]:
    """Make room for the voxels, once it is certain that the claim can be true."""
    try:
        dtype = np.dtype(header.get_data_dtype())
    except KeyError as exc:
        raise VolumeError(
            path, f"its number type ({int(header['datatype'])}) is unknown", _COPY_AGAIN
        ) from exc
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        what = "colours" if dtype.kind == "V" else f"numbers of type {dtype.name}"
        raise VolumeError(
            path, f"its voxels are {what}", "Give a volume of plain integers or floats"
        )
    offset = float(header["vox_offset"])
    if not offset >= int(header["sizeof_hdr"]) or offset > 2**40:
        raise VolumeError(path, "its header does not say where the voxels begin", _COPY_AGAIN)
    n_voxels = int(np.prod(shape, dtype=object))
    extent = int(offset) + n_voxels * dtype.itemsize
    size = path.stat().st_size
    if extent > (size * _GZIP_BEST_RATIO if compressed else size):
        raise VolumeError(
            path,
            f"the file is incomplete: its header announces {extent:,} bytes, more than the "
            f"{size:,} bytes on disk can hold",
            _COPY_AGAIN,
        )
    # Swapping bytes, scaling or judging takes a second copy, never wider than float32.
    check_memory(path, n_voxels * (dtype.itemsize + 4))
    return np.empty(shape, dtype, order="F")


def _fill(path: Path, stream: BinaryIO, voxels: npt.NDArray[Any], reading: Reading) -> None:
    flat: Any = voxels.reshape(-1, order="F").view(np.uint8)
    room = memoryview(flat)
    done = 0
    while done < len(room):
        reading.step(done, len(room))
        count = stream.readinto(room[done : done + _STEP_BYTES])  # type: ignore[attr-defined]
        if not count:
            raise VolumeError(
                path,
                f"the file is incomplete: {done:,} of {len(room):,} bytes of voxels are there",
                _COPY_AGAIN,
            )
        done += count
    # Reading on, past the last voxel, is what makes the gzip checksum be compared.
    if stream.read(1):
        raise VolumeError(
            path, "more data follow than its header announces, so one of them is wrong", _COPY_AGAIN
        )
    reading.step(done, len(room))
