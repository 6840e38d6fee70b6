"""The voxels of a NIfTI file: complete, with checksum verified, and read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.ends import Ends
from napari_hirescam.io.gzip_bytes import (
    check_end,
    fill_part,
    open_stream,
    pass_over,
)
from napari_hirescam.io.nifti.header import Header, read_header
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.io.scaling import needs_second_array

_SCRATCH_BYTES = 64 << 20


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
    """Read header and voxels of a file that holds one volume.

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
    header = read_header(path)
    if header.n_volumes > 1:
        raise VolumeError(path, f"it holds {header.n_volumes} volumes", "Say which of them to read")
    return StoredImage(header.fields, read_voxels(path, header, 0, reading or Reading()))


def read_voxels(
    path: Path,
    header: Header,
    volume: int,
    reading: Reading,
    *,
    half_way: Callable[[npt.NDArray[Any]], None] | None = None,
    ends: Ends | None = None,
) -> npt.NDArray[Any]:
    """Read the voxels of one volume, as stored, in native byte order.

    Of a compressed file the other volumes are unpacked as well, to verify the checksum, but
    not kept.

    Parameters
    ----------
    path
        The file, for messages.
    header
        Its header.
    volume
        Which of its volumes, from 0.
    reading
        Progress in bytes of what must be gone through, and the wish to stop.
    half_way
        Called with the stored plane [i, j] in the middle of the last axis as soon as it is
        there.
    ends
        Is shown the stored numbers.

    Returns
    -------
    [i, j, k], the first axis fastest.

    Raises
    ------
    VolumeError
        If the file is damaged, incomplete or does not fit into memory.
    Cancelled
        If the caller asked to stop.
    """
    n_bytes = header.volume_bytes
    # Numbers that are not kept as they are need a second array, at most as large.
    check_memory(path, n_bytes * (2 if needs_second_array(header) else 1) + _SCRATCH_BYTES)
    before, total = volume * n_bytes, header.n_volumes * n_bytes
    voxels = np.empty(header.shape, header.dtype, order="F")
    flat = voxels.reshape(-1, order="F")
    middle = header.shape[2] // 2
    first = flat.size // header.shape[2] * (middle + 1) if half_way is not None else 0
    rest = before + first * voxels.itemsize
    with open_stream(header.image, compressed=header.is_compressed) as stream:
        if header.is_compressed:
            pass_over(path, stream, header.offset, Reading(should_stop=reading.should_stop))
            pass_over(path, stream, before, reading, total=total)
        else:
            stream.seek(header.offset + before)
        fill_part(path, stream, flat[:first], reading, before=before, total=total, ends=ends)
        if half_way is not None:
            half_way(voxels[:, :, middle])
        fill_part(path, stream, flat[first:], reading, before=rest, total=total, ends=ends)
        if header.is_compressed:
            left = total - before - n_bytes
            pass_over(path, stream, left, reading, before=total - left, total=total)
        else:
            stream.seek(header.offset + total)
        check_end(path, stream)
    reading.step(total, total)
    if voxels.dtype.isnative:
        return voxels
    return voxels.byteswap(inplace=True).view(voxels.dtype.newbyteorder("="))
