"""Turn the stored numbers of DICOM slices into the voxels of a volume."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from math import inf
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.asking import Picture
from napari_hirescam.io.dicom.decode import (
    BadSliceError,
    SpareBits,
    stored_pixels,
    stored_slices,
    within_stored_bits,
)
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.pictures import grey_picture
from napari_hirescam.io.quantity import AIR_HU
from napari_hirescam.io.quiet import be_quiet
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.volume import Quantity

_READERS = 2
_AT_A_TIME = 8  # slices, since handing over each one alone costs as much as reading it
_AHEAD = 4  # batches; more could hold the series in memory once again
_INT16 = np.iinfo(np.int16)
_INT32 = np.iinfo(np.int32)
_TISSUE_HU = (-500.0, 1500.0)


class _Slice(NamedTuple):
    """One slice, rescaled: its numbers, where they are padding, and what was found in it."""

    values: npt.NDArray[Any]
    padding: npt.NDArray[np.bool_] | None
    spare_bits: SpareBits
    low: float
    high: float


class ReadVoxels(NamedTuple):
    """What :func:`read_voxels` returns.

    Parameters
    ----------
    voxels
        [slice, row, column]: int16, int32 where 16 bits are too few, float32 where slopes or
        intercepts are not whole or the pixels are floating point.
    invalid
        [slice, row, column], True where there is padding; None if there is none.
    notes
        On padding, bits beyond the stored ones, and lossy compression.
    low, high
        The least and the greatest number that is no padding.
    """

    voxels: npt.NDArray[Any]
    invalid: npt.NDArray[np.bool_] | None
    notes: tuple[str, ...]
    low: float
    high: float


def read_voxels(
    path: Path, headers: Sequence[SliceHeader], quantity: Quantity, reading: Reading
) -> ReadVoxels:
    """Read slices in the order given, each rescaled by its own header.

    Parameters
    ----------
    path
        File or folder, for messages.
    headers
        Slices of one size.
    quantity
        Padding of a CT in HU is turned to air; of anything else it keeps its number.
    reading
        Progress is reported in slices; `preview` gets the middle slice before the rest is read.

    Raises
    ------
    BadSliceError
        For the first slice that cannot be read.
    VolumeError
        If the volume does not fit into memory.
    Cancelled
        If the caller asked to stop.
    """
    first = headers[0]
    if first.size is None:
        raise BadSliceError(first, "it holds no image", "Choose a CT series")
    whole = all(not header.float_bits and _has_whole_rescale(header) for header in headers)
    shape = (len(headers), *first.size)
    n_voxels = int(np.prod(shape))
    is_wide = not whole or first.bits_allocated > 16
    has_padding = any(header.padding is not None for header in headers)
    check_memory(
        path, n_voxels * ((4 if is_wide else 2) + int(has_padding)) + 32 * n_voxels // len(headers)
    )
    _show_middle(headers, quantity, reading)
    reading.check_stop()
    volume: npt.NDArray[Any] = np.empty(shape, np.int16 if whole else np.float32)
    invalid: npt.NDArray[np.bool_] | None = None
    n_padding = 0
    spare_bits: Counter[SpareBits] = Counter()
    low, high = inf, -inf
    with closing(_slices(headers, quantity, volume)) as slices:
        for k, one in enumerate(slices):
            if volume.dtype == np.int16 and one.values.dtype != np.int16:
                # Most CT fit 16 bits; where a slice does not, all are widened.
                check_memory(path, 2 * volume.nbytes)
                volume = volume.astype(np.int32)
            if not np.may_share_memory(one.values, volume):
                volume[k] = one.values
            if one.padding is not None:
                if invalid is None:
                    invalid = np.zeros(shape, np.bool_)
                invalid[k] = one.padding
                n_padding += int(np.count_nonzero(one.padding))
            spare_bits[one.spare_bits] += 1
            low, high = min(low, one.low), max(high, one.high)
            reading.step(k + 1, len(headers))
    if low > high:  # all of it is padding
        low = high = float(AIR_HU)
    return ReadVoxels(volume, invalid, _notes(headers, quantity, n_padding, spare_bits), low, high)


def rescaled_slice(header: SliceHeader, quantity: Quantity) -> npt.NDArray[Any]:
    """Read one slice and rescale it, [row, column].

    Raises
    ------
    BadSliceError
        If it cannot be read.
    """
    return _rescaled(header, stored_pixels(header), quantity).values


def slice_picture(header: SliceHeader, quantity: Quantity) -> Picture:
    """Make a picture of one slice: head or front up, the patient's left on the right.

    Raises
    ------
    BadSliceError
        If it cannot be read.
    """
    plane = rescaled_slice(header, quantity)
    row_mm, column_mm = header.spacing_mm or (1.0, 1.0)
    if header.orientation is None:
        return grey_picture(plane, (row_mm, column_mm), quantity)
    directions = np.array(header.orientation).reshape(2, 3)[::-1]  # of rows, then of columns
    axes = [int(axis) for axis in np.abs(directions).argmax(axis=1)]
    # Down the picture goes what lies along S, or else along P.
    if axes[1] == 2 or (axes[1] == 1 and axes[0] == 0):
        plane, directions, axes = plane.T, directions[::-1], axes[::-1]
        row_mm, column_mm = column_mm, row_mm
    for k, axis in enumerate(axes):
        grows = directions[k, axis] > 0
        if grows == (axis == 2):  # towards the head, the front or the right
            plane = np.flip(plane, k)
    return grey_picture(plane, (row_mm, column_mm), quantity)


def _show_middle(headers: Sequence[SliceHeader], quantity: Quantity, reading: Reading) -> None:
    if reading.preview is None:
        return
    try:
        picture = slice_picture(headers[len(headers) // 2], quantity)
    except BadSliceError:
        return  # raised again in its turn, after the slices before it
    reading.preview(picture)


def _slices(
    headers: Sequence[SliceHeader], quantity: Quantity, volume: npt.NDArray[Any]
) -> Generator[_Slice]:
    """Read slices in order; those of plain 16-bit numbers right into their place."""
    if headers[0].pixels_at is None and headers[0].frame is not None:
        # One file with compressed frames: its decoder goes through it once.
        for header, pixels in zip(headers, stored_slices(headers), strict=True):
            yield _rescaled(header, pixels, quantity)
        return

    # A decoder takes long enough for each slice.
    at_a_time = _AT_A_TIME if headers[0].pixels_at is not None else 1
    given_up = Event()

    def read(start: int) -> list[_Slice]:
        batch = []
        for k in range(start, min(start + at_a_time, len(headers))):
            if given_up.is_set():
                break
            into = volume[k] if volume.dtype == np.int16 else None
            batch.append(_rescaled(headers[k], stored_pixels(headers[k], into), quantity))
        return batch

    batches: deque[Future[list[_Slice]]] = deque()
    pool = ThreadPoolExecutor(_READERS, initializer=be_quiet)
    try:
        for start in range(0, len(headers), at_a_time):
            batches.append(pool.submit(read, start))
            if len(batches) == _AHEAD:
                yield from batches.popleft().result()
        while batches:
            yield from batches.popleft().result()
    finally:
        given_up.set()
        pool.shutdown(cancel_futures=True)


def _has_whole_rescale(header: SliceHeader) -> bool:
    return all(number.is_integer() for number in header.rescale or ())


def _rescaled(header: SliceHeader, pixels: npt.NDArray[Any], quantity: Quantity) -> _Slice:
    padding = _padding(header, pixels)
    ends = pixels.min(), pixels.max()
    spare_bits = within_stored_bits(header, pixels, ends)
    if spare_bits is SpareBits.CLEARED:
        ends = pixels.min(), pixels.max()
        # The padding value may have been written with all bits or with the stored ones alone.
        again = _padding(header, pixels)
        padding = again if padding is None else padding if again is None else padding | again
    if padding is not None and not _is_outside(header, padding, quantity):
        padding = None
    if padding is not None and quantity is Quantity.HU:
        inside = np.flatnonzero(~padding)
        # Any real number of the slice will do: padding must not decide how wide the volume is.
        stand_in = pixels.flat[inside[0]] if inside.size else 0
        np.copyto(pixels, stand_in, where=padding)
        ends = pixels.min(), pixels.max()
    values, low, high = _to_quantity(header, pixels, ends)
    if padding is not None and quantity is Quantity.HU:
        np.copyto(values, AIR_HU, where=padding)
        if padding.all():
            low, high = inf, -inf
    return _Slice(values, padding, spare_bits, low, high)


def _padding(header: SliceHeader, pixels: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    if header.padding is None or header.float_bits:
        return None
    low, high = header.padding
    found: npt.NDArray[np.bool_] = pixels == low if low == high else (pixels >= low) & (
        pixels <= high
    )  # fmt: skip
    return found if found.any() else None


def _is_outside(header: SliceHeader, padding: npt.NDArray[np.bool_], quantity: Quantity) -> bool:
    """Say whether the pixels with the padding value are outside the field of view.

    Some writers state 0 as padding where 0 HU is water. Real padding fills the corners.
    """
    slope, intercept = header.rescale or (1.0, 0.0)
    low, high = (end * slope + intercept for end in header.padding or (0, 0))
    if quantity is not Quantity.HU or min(low, high) < _TISSUE_HU[0] or max(low, high) > (
        _TISSUE_HU[1]
    ):  # fmt: skip
        return True
    return bool(padding[0, 0] or padding[0, -1] or padding[-1, 0] or padding[-1, -1])


def _to_quantity(
    header: SliceHeader, pixels: npt.NDArray[Any], ends: tuple[Any, Any]
) -> tuple[npt.NDArray[Any], float, float]:
    """Rescale, in place where that is safe; `ends` of the range come in and go out."""
    slope, intercept = header.rescale or (1.0, 0.0)
    if header.float_bits or not _has_whole_rescale(header):
        values: npt.NDArray[Any] = (pixels * np.float64(slope) + intercept).astype(np.float32)
        if not np.isfinite(values).all():
            raise BadSliceError(
                header, "some of its numbers are not finite", "Export the series again"
            )
        return values, float(values.min()), float(values.max())
    # Python's integers: uint16 - 1024 would wrap around to 64512 and more.
    results = [int(end) * int(slope) + int(intercept) for end in ends]
    low, high = min(results), max(results)
    if _INT16.min <= low and high <= _INT16.max and pixels.dtype.itemsize == 2:
        # Modulo 2^16 each step may overflow, since the result is known not to.
        values = pixels.view(np.int16)
        if slope != 1:
            np.multiply(values, _modulo_16_bits(int(slope)), out=values)
        if intercept != 0:
            np.add(values, _modulo_16_bits(int(intercept)), out=values)
        return values, low, high
    if low < _INT32.min or high > _INT32.max:
        raise BadSliceError(
            header, f"its numbers, {low} to {high}, are no CT", "Export the series again"
        )
    values = pixels.astype(np.int64) * int(slope) + int(intercept)
    narrow = values.astype(np.int16 if _INT16.min <= low and high <= _INT16.max else np.int32)
    return narrow, low, high


def _modulo_16_bits(number: int) -> np.int16:
    return np.int16((number + (1 << 15)) % (1 << 16) - (1 << 15))


def _notes(
    headers: Sequence[SliceHeader], quantity: Quantity, n_padding: int, spare: Counter[SpareBits]
) -> tuple[str, ...]:
    notes = []
    if n_padding and quantity is Quantity.HU:
        notes.append(
            f"{n_padding} padding voxels, outside the scanner's field of view, were set to "
            f"{AIR_HU} HU (air)."
        )
    elif n_padding:
        notes.append(f"{n_padding} padding voxels are marked as not measured.")
    if cleared := spare[SpareBits.CLEARED]:
        notes.append(
            f"{_slices_have(cleared)} something in the bits above the "
            f"{headers[0].bits_stored} stored ones (an overlay, perhaps); it was cleared."
        )
    if needed := spare[SpareBits.NEEDED]:
        notes.append(
            f"{_slices_have(needed)} numbers that take more than the {headers[0].bits_stored} "
            "bits their headers speak of; they were read whole."
        )
    if any(header.lossy for header in headers):
        notes.append("The pixels were, or may have been, compressed with a loss of detail.")
    return tuple(notes)


def _slices_have(count: int) -> str:
    return "1 slice has" if count == 1 else f"{count} slices have"
