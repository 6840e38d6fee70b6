"""The voxels of a NIfTI file: complete, with checksum verified, and read once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.ends import Ends
from napari_hirescam.io.gzip_bytes import (
    check_end,
    fill_part,
    open_stream,
    pass_over,
)
from napari_hirescam.io.nifti.header import Header
from napari_hirescam.io.nifti.numbers import needs_second_array
from napari_hirescam.io.reading import Reading, check_memory

_SCRATCH_BYTES = 64 << 20


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
