"""The stored numbers of one DICOM slice, from the bytes of its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.elements import DEFLATED, inflated_file
from napari_hirescam.io.dicom.packed_check import packed_problem
from napari_hirescam.io.dicom.pixel_layout import slice_bytes
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.reading import check_memory

_DECODER_COPIES = 4  # of a slice's pixels; decoders count in 32 bits and copy
_OURS = 'pip install "napari-hirescam[jpeg]"'
_REQUIRED = "pip install pylibjpeg pylibjpeg-openjpeg pyjpegls"
_DECODERS = {
    "1.2.840.10008.1.2.4.50": _OURS,
    "1.2.840.10008.1.2.4.51": _OURS,
    "1.2.840.10008.1.2.4.57": _OURS,
    "1.2.840.10008.1.2.4.70": _OURS,
    "1.2.840.10008.1.2.4.80": _REQUIRED,
    "1.2.840.10008.1.2.4.81": _REQUIRED,
    "1.2.840.10008.1.2.4.90": _REQUIRED,
    "1.2.840.10008.1.2.4.91": _REQUIRED,
    "1.2.840.10008.1.2.4.201": _REQUIRED,
    "1.2.840.10008.1.2.4.202": _REQUIRED,
    "1.2.840.10008.1.2.4.203": _REQUIRED,
}
"""Transfer syntax to the command that installs its decoder."""


class SpareBits(Enum):
    """What was found in the bits above the stored ones."""

    EMPTY = "nothing"
    CLEARED = "something that is no part of the number"
    NEEDED = "the upper end of the number"


class BadSliceError(VolumeError):
    """A slice's pixels cannot be read; `header` is the slice."""

    def __init__(self, header: SliceHeader, reason: str, remedy: str) -> None:
        super().__init__(header.path, reason, remedy)
        self.header = header

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.header, self.reason, self.remedy)


def pixel_problem(header: SliceHeader) -> str:
    """Say, without reading the pixels, why they could not be read; "" if nothing is known.

    Looks at the header, the length of the file and the decoders installed.
    """
    if header.problem:
        return header.problem
    if header.pixels_at is None:
        return "" if _can_decode(header.transfer_syntax) else _undecodable(header)[0]
    start, length = header.pixels_at
    needed = slice_bytes(header.layout)
    if header.transfer_syntax != DEFLATED:
        length = min(length, header.path.stat().st_size - start)
    if length < needed:
        return _short(length, needed)
    # A byte makes the length even, some writers fill a block. As much as a row or a column more
    # speaks of another size, with which the picture would be skewed.
    if length - needed >= max(2, min(header.size or (1, 1)) * header.bits_allocated // 8):
        return f"it has {length} bytes of pixels where its header describes {needed}"
    return ""


def stored_pixels(
    header: SliceHeader, into: npt.NDArray[np.int16] | None = None
) -> npt.NDArray[Any]:
    """Read the stored numbers of a slice, before any rescaling or inversion.

    Parameters
    ----------
    header
        The slice.
    into
        [row, column]; where 16-bit numbers may be put, to spare an allocation.

    Returns
    -------
    [row, column] in the machine's byte order; what lies outside the stored bits is still there
    (see :func:`within_stored_bits`).

    Raises
    ------
    BadSliceError
        If they are missing, cut short or damaged, or there is no decoder.
    """
    _refuse_problem(header)
    if header.pixels_at is not None:
        return _plain(header, into)
    return next(_decoded([header]))


def stored_slices(headers: Sequence[SliceHeader]) -> Iterator[npt.NDArray[Any]]:
    """Read the stored numbers of several slices, opening a multi-frame file but once.

    Raises
    ------
    BadSliceError
        For the first slice that cannot be read.
    """
    for is_plain, run in groupby(headers, lambda header: header.pixels_at is not None):
        if is_plain:
            yield from map(stored_pixels, run)
            continue
        for _, frames in groupby(run, lambda header: header.path):
            listed = list(frames)
            for header in listed:
                _refuse_problem(header)
            yield from _decoded(listed)


def within_stored_bits(
    header: SliceHeader, pixels: npt.NDArray[Any], ends: tuple[Any, Any]
) -> SpareBits:
    """Clear, in place, what lies above the stored bits; sign-extend signed numbers.

    Old writers keep overlays there, which are no part of the number: DICOM PS3.5 8.1.1. Others
    write wider numbers and forget to say so; those stay as they are.

    Parameters
    ----------
    header, pixels
        The slice.
    ends
        Its least and its greatest number.
    """
    spare = pixels.dtype.itemsize * 8 - header.bits_stored
    if spare <= 0 or header.float_bits:
        return SpareBits.EMPTY
    highest = (1 << header.bits_stored) - 1
    low, high = (-(highest // 2) - 1, highest // 2) if header.is_signed else (0, highest)
    if ends[0] >= low and ends[1] <= high:
        return SpareBits.EMPTY
    if header.is_signed and spare > 1 and _are_sign_extended(header, pixels):
        return SpareBits.NEEDED
    np.left_shift(pixels, spare, out=pixels)
    np.right_shift(pixels, spare, out=pixels)
    return SpareBits.CLEARED


def _are_sign_extended(header: SliceHeader, pixels: npt.NDArray[Any]) -> bool:
    """Say whether the spare bits of all negative numbers repeat the sign.

    Who leaves them to overlays, or at zero, does not do that.
    """
    negative = pixels[pixels < 0]
    if header.padding is not None:
        negative = negative[(negative < header.padding[0]) | (negative > header.padding[1])]
    return bool(negative.size and negative.min() >= -(1 << header.bits_stored))


def _refuse_problem(header: SliceHeader) -> None:
    problem = pixel_problem(header)
    if not problem:
        return
    if header.pixels_at is None and not header.problem:
        raise BadSliceError(header, *_undecodable(header))
    raise BadSliceError(header, problem, "Copy or export it again")


def _short(length: int, needed: int) -> str:
    return f"its pixels are incomplete: {max(length, 0)} of {needed} bytes are there"


def _plain_type(header: SliceHeader) -> np.dtype[Any]:
    kind = "f" if header.float_bits else "i" if header.is_signed else "u"
    n_bytes = (header.float_bits or header.bits_allocated) // 8
    return _number_type(f"{'>' if header.is_big_endian else '<'}{kind}{n_bytes}")


@cache  # which numpy parses anew for every slice
def _number_type(code: str) -> np.dtype[Any]:
    return np.dtype(code)


def _plain(header: SliceHeader, into: npt.NDArray[np.int16] | None) -> npt.NDArray[Any]:
    if header.size is None or header.pixels_at is None:
        raise BadSliceError(header, "it holds no image", "Choose a CT series")
    kind = _plain_type(header)
    if into is not None and kind.itemsize == 2 and not header.float_bits:
        pixels = into.view(kind)
    else:
        pixels = np.empty(header.size, kind)
    start, _ = header.pixels_at
    target = pixels.reshape(-1).view(np.uint8).data
    if header.transfer_syntax == DEFLATED:
        try:
            target[:] = memoryview(inflated_file(header.path))[start : start + len(target)]
        except ValueError as exc:
            raise _damaged(header, exc) from exc
    else:
        with header.path.open("rb", buffering=0) as stream:
            stream.seek(start)
            done = 0
            while done < len(target):
                count = stream.readinto(target[done:])
                if not count:
                    raise BadSliceError(
                        header, _short(done, len(target)), "Copy or export it again"
                    )
                done += count
    if not kind.isnative:
        pixels.byteswap(inplace=True)
        pixels = pixels.view(kind.newbyteorder("="))
    return pixels


def _decoded(headers: Sequence[SliceHeader]) -> Iterator[npt.NDArray[Any]]:
    """Decode frames of one file with pydicom's decoders."""
    from pydicom.pixels.utils import iter_pixels

    first = headers[0]
    if first.packed_at is not None and first.size is not None:
        problem = packed_problem(first.path, first.packed_at, first.size, slice_bytes(first.layout))
        if problem:
            raise BadSliceError(first, problem, "Copy or export it again")
    check_memory(first.path, _DECODER_COPIES * slice_bytes(first.layout))
    indices = None if first.frame is None else [(header.frame or 1) - 1 for header in headers]
    decoded = iter_pixels(first.path, indices=indices, raw=True)
    for header in headers:
        try:
            pixels = np.asarray(next(decoded))
        except Exception as exc:  # decoders raise anything on damaged data, bare OSError too
            if isinstance(exc, OSError) and exc.errno is not None:
                raise
            raise _damaged(header, exc) from exc
        if pixels.shape != header.size:
            raise BadSliceError(
                header,
                f"its pixels have the shape {pixels.shape}, its header says {header.size}",
                "Copy or export it again",
            )
        yield np.array(pixels)  # one that may be written to


def _damaged(header: SliceHeader, exc: Exception) -> BadSliceError:
    return BadSliceError(
        header,
        f"its pixels cannot be decoded ({' '.join(str(exc).split()) or type(exc).__name__})",
        "The file is probably incomplete: copy or export it again",
    )


def _can_decode(syntax: str) -> bool:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:  # not even known
        return False


def _undecodable(header: SliceHeader) -> tuple[str, str]:
    from pydicom.uid import UID

    syntax = header.transfer_syntax
    name = UID(syntax).name
    named = f"{name}, {syntax}" if name != syntax else syntax
    command = _DECODERS.get(syntax)
    return (
        f"its pixels are compressed in a way that cannot be decoded here ({named})",
        f"Install its decoder: {command}" if command else "Export the series uncompressed",
    )
