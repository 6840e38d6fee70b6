"""Read a CT series stored as single-slice DICOM files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import Item, Picture, single_item
from napari_hirescam.io.dicom_header import SliceHeader, is_dicom
from napari_hirescam.io.dicom_series import choose_series, holds_dicom
from napari_hirescam.io.dicom_stack import Stack, stack
from napari_hirescam.io.frame import patient_letters, to_volume_axes
from napari_hirescam.io.pictures import middle_picture
from napari_hirescam.io.quantity import AIR_HU
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.source import Source
from napari_hirescam.volume import Grid, Quantity, Volume

_DECODERS = {
    "1.2.840.10008.1.2.4.50": "pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.51": "pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.57": "pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.70": "pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg-openjpeg",
}
"""Transfer syntax to the package that decodes it; uncompressed and RLE need none."""


def sniff(path: Path, head: bytes) -> bool:
    """Say whether a path is a DICOM file or a folder with one in it."""
    return holds_dicom(path) if path.is_dir() else is_dicom(head)


def read(path: Path, reading: Reading) -> Volume:
    """Read the CT series in a folder, or the one a file belongs to.

    Parameters
    ----------
    path
        A folder, searched at any depth, or one file of the series.
    reading
        May name the series; progress is reported in slices.

    Raises
    ------
    VolumeError
        If there is no complete, evenly spaced stack of CT slices, or it cannot be decoded.
    Cancelled
        If the caller asked to stop.
    """
    series, other_series = choose_series(path, reading)
    for header in series.slices:
        _check_decoder(header)

    def same_image(one: SliceHeader, other: SliceHeader) -> bool:
        reading.check_stop()
        return one.rescale == other.rescale and np.array_equal(_pixels(one), _pixels(other))

    ordered = stack(path, series.slices, same_image)
    first = ordered.slices[0]
    quantity, remark = _quantity(ordered.slices)
    voxels, padded = _read_slices(path, ordered, quantity, reading)
    # As (column, row, slice), the order in which the affine counts.
    stored = voxels.transpose(2, 1, 0)
    grid = Grid(stored.shape, ordered.affine)
    straight, affine, resampled = to_volume_axes(
        stored, grid.affine, quantity=quantity, subject=path
    )
    details = {"description": first.description, "number": first.series_number, **first.extra}
    return Volume(
        straight,
        affine,
        name=first.description or (path.name if path.is_dir() else path.parent.name),
        quantity=quantity,
        source=Source(
            path,
            "DICOM",
            grid,
            patient_letters(grid.affine),
            ordered.notes + remark + padded + resampled + other_series,
            {"slices": len(ordered.slices), **{k: v for k, v in details.items() if v}},
        ),
    )


def items(path: Path, reading: Reading) -> tuple[Item, ...]:
    """List what the path holds."""
    reading.check_stop()
    return single_item(path)


def picture(path: Path, key: str, reading: Reading) -> Picture:
    """Make a picture of the middle slice."""
    return middle_picture(read(path, replace(reading, series=key or None)))


def _check_decoder(header: SliceHeader) -> None:
    syntax = header.transfer_syntax
    # Files from before the header named it are plain little-endian.
    if not syntax or _can_decode(syntax):
        return
    package = _DECODERS.get(syntax)
    raise VolumeError(
        header.path,
        f"its pixels are compressed in a way that cannot be decoded here ({_syntax_name(syntax)})",
        f"Install {package}" if package else "Export the series uncompressed",
    )


def _can_decode(syntax: str) -> bool:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:  # not even known
        return False


def _syntax_name(syntax: str) -> str:
    from pydicom.uid import UID

    return f"{UID(syntax).name}, {syntax}" if UID(syntax).name != syntax else syntax


def _quantity(slices: tuple[SliceHeader, ...]) -> tuple[Quantity, tuple[str, ...]]:
    without = [header for header in slices if header.rescale is None]
    if len(without) == len(slices):
        note = (
            "The files do not say how stored numbers become HU (no rescale slope and "
            "intercept); the numbers are shown as stored."
        )
        return Quantity.UNKNOWN, (note,)
    if without:
        raise VolumeError(
            without[0].path,
            "the slice does not say how its numbers become HU, while others of the series do",
            "Copy or export the series again",
        )
    kinds = {header.rescale_type for header in slices} - {"", "HU"}
    if kinds:
        named = ", ".join(sorted(kinds))
        return Quantity.UNKNOWN, (f"The files call their numbers {named!r}, not HU.",)
    return Quantity.HU, ()


def _read_slices(
    path: Path, ordered: Stack, quantity: Quantity, reading: Reading
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Decode and rescale each slice by its own tags, [slice, row, column]."""
    slices = ordered.slices
    if slices[0].size is None:
        raise VolumeError(slices[0].path, "it holds no image", "Choose a CT series")
    shape = (len(slices), *slices[0].size)
    whole = all(x.is_integer() for header in slices for x in header.rescale or ())
    # Most CT fit 16 bits; where a slice does not, the whole is widened when it is met.
    volume: npt.NDArray[Any] = np.empty(shape, np.int16 if whole else np.float32)
    check_memory(path, volume.nbytes + 8 * int(np.prod(slices[0].size)))
    n_padded = 0
    for k, header in enumerate(slices):
        reading.step(k, len(slices))
        pixels = _pixels(header)
        slope, intercept = header.rescale or (1.0, 0.0)
        # Widened first: uint16 - 1024 would wrap around to 64512 and more.
        values: npt.NDArray[Any] = (
            pixels.astype(np.int64) * int(slope) + int(intercept)
            if whole
            else pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        )
        if header.padding is not None and quantity is Quantity.HU:
            low, high = header.padding
            is_padding = (pixels >= low) & (pixels <= high)
            n_padded += int((values[is_padding] != AIR_HU).sum())
            values[is_padding] = AIR_HU
        if volume.dtype == np.int16 and _exceeds_int16(values):
            check_memory(path, 2 * volume.nbytes)
            volume = volume.astype(np.int32)
        volume[k] = values
    reading.step(len(slices), len(slices))
    if not n_padded:
        return volume, ()
    note = (
        f"{n_padded} padding voxels, outside the scanner's field of view, were set to "
        f"{AIR_HU} HU (air)."
    )
    return volume, (note,)


def _exceeds_int16(values: npt.NDArray[Any]) -> bool:
    limits = np.iinfo(np.int16)
    return bool(values.min() < limits.min or values.max() > limits.max)


def _pixels(header: SliceHeader) -> npt.NDArray[Any]:
    """The stored numbers of a slice, [row, column]; the display's inversion is not applied."""
    import pydicom

    try:
        dataset = pydicom.dcmread(header.path, force=True)
        if not header.transfer_syntax:
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        pixels = np.asarray(dataset.pixel_array)
    except Exception as exc:  # decoders raise anything on damaged data, bare OSError too
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise VolumeError(
            header.path,
            f"its pixels cannot be decoded ({exc})",
            "The file is probably incomplete: copy or export it again",
        ) from exc
    if pixels.shape != header.size:
        raise VolumeError(
            header.path,
            f"its pixels have the shape {pixels.shape}, its header says {header.size}",
            "Copy or export it again",
        )
    return pixels
