"""Frames of a DICOM segmentation or parametric map: what each shows, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.channels import (
    EXPORT_AGAIN,
    Channel,
    group,
    maps_of,
    segments_of,
)
from napari_hirescam.io.dicom.identity import names_patient
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.volume import FloatArray

SEG_KINDS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",
    "1.2.840.10008.5.1.4.1.1.30": "PM",
}
"""SOP class to what is read here: segmentations (frames for each segment, and label maps) and
parametric maps."""


@dataclass(frozen=True)
class About:
    """What a file says of itself as a whole.

    Parameters
    ----------
    uid
        Its own, the beginning of its items' keys.
    description, number, manufacturer, series_uid, study_uid, frame_of_reference_uid
        Of its series; "" where it says nothing.
    overlap
        "YES", "NO", "UNDEFINED" or "": whether it says that its segments overlap.
    full_fraction
        The stored number that means 1 in a fractional segmentation.
    background
        The stored number that means nothing in a label map.
    highest
        The highest number its pixels can hold.
    on_series, on_instances
        UIDs of what it was drawn on.
    """

    uid: str
    description: str
    number: str
    manufacturer: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    overlap: str
    full_fraction: float
    background: int
    highest: int
    on_series: frozenset[str]
    on_instances: frozenset[str]


@dataclass(frozen=True, eq=False)
class FrameSet:
    """The headers of all frames of one file.

    Parameters
    ----------
    path, dataset
        The file, and pydicom's reading of it, for its pixels.
    about
        What holds for all frames.
    kind
        "BINARY", "FRACTIONAL", "LABELMAP" or "MAP".
    size
        (rows, columns).
    orientation, spacing_mm
        As DICOM has them, shared by all frames.
    hint_mm
        Distance between slices by the file's word; None if it says nothing.
    positions_lps_mm
        [frame, 3].
    channel_of
        For each frame the number of what it shows; 0 in a label map, which shows all.
    channels
        All there are, also those without a frame.
    rescale
        For each frame of a map (slope, intercept).
    """

    path: Path
    dataset: Any
    about: About
    kind: str
    size: tuple[int, int]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]
    hint_mm: float | None
    positions_lps_mm: FloatArray
    channel_of: tuple[int, ...]
    channels: tuple[Channel, ...]
    rescale: tuple[tuple[float, float], ...] = field(default=())

    def frames(self, reading: Reading) -> Iterator[npt.NDArray[Any]]:
        """The stored numbers of one frame after the other, [row, column].

        Raises
        ------
        VolumeError
            If they are not all there or cannot be decoded.
        """
        count = len(self.channel_of)
        done = 0
        try:
            for done, pixels in enumerate(_pixels(self.dataset, (count, *self.size))):
                reading.step(done, count)
                yield pixels
        except (VolumeError, OSError):
            raise
        except Exception as exc:  # decoders raise anything on damaged data
            if type(exc).__module__.startswith("napari_hirescam"):
                raise  # a wish to stop
            raise VolumeError(
                self.path, f"frame {done + 1} cannot be decoded ({exc})", "Copy or export it again"
            ) from exc
        reading.step(count, count)


def load(path: Path) -> FrameSet:
    """Read a segmentation or parametric map, without unpacking its pixels.

    Raises
    ------
    VolumeError
        If it is damaged or incomplete, or does not say where it lies in the patient.
    """
    import pydicom

    check_memory(path, 2 * path.stat().st_size)
    try:
        dataset = pydicom.dcmread(path, force=True)
        return _parse(path, dataset)
    except VolumeError:
        raise
    except Exception as exc:  # a damaged file makes pydicom raise anything, bare OSError too
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise VolumeError(
            path,
            f"the DICOM file cannot be understood ({_plain(exc)})",
            EXPORT_AGAIN,
        ) from exc


def _plain(exc: Exception) -> str:
    return str(exc) if isinstance(exc, ValueError) and str(exc) else type(exc).__name__


def _parse(path: Path, dataset: Any) -> FrameSet:
    kind = SEG_KINDS.get(str(dataset.get("SOPClassUID", "")))
    if kind is None:
        raise VolumeError(path, "it is no segmentation and no parametric map", "Give a CT series")
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    count = int(dataset.get("NumberOfFrames") or 1)
    if not per_frame or len(per_frame) != count:
        raise VolumeError(
            path,
            f"it announces {count} frames and describes {len(per_frame)}",
            EXPORT_AGAIN,
        )
    orientations, spacings, positions, hints = [], [], [], []
    for number, item in enumerate(per_frame, start=1):
        place = group(item, shared, "PlanePositionSequence")
        plane = group(item, shared, "PlaneOrientationSequence")
        measures = group(item, shared, "PixelMeasuresSequence")
        if place is None or plane is None or measures is None:
            raise VolumeError(
                path,
                f"its frame {number} does not say where it lies in the patient",
                EXPORT_AGAIN,
            )
        orientations.append([float(x) for x in plane.ImageOrientationPatient])
        spacings.append([float(x) for x in measures.PixelSpacing])
        positions.append([float(x) for x in place.ImagePositionPatient])
        hints.append(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness"))
    for name, values in (("direction", orientations), ("pixel spacing", spacings)):
        if np.ptp(np.array(values), axis=0).max() > 1e-3:
            raise VolumeError(path, f"its frames differ in {name}", "Export them one by one")
    if not (np.isfinite(positions).all() and np.array(spacings).min() > 0):
        raise VolumeError(path, "its positions or pixel spacings are not valid", EXPORT_AGAIN)
    channels, channel_of, rescale = (
        maps_of(path, per_frame, shared) if kind == "PM" else segments_of(path, dataset, shared)
    )
    return FrameSet(
        path,
        dataset,
        _about(path, dataset),
        "MAP" if kind == "PM" else str(dataset.get("SegmentationType", "")),
        (int(dataset.Rows), int(dataset.Columns)),
        tuple(orientations[0]),
        (spacings[0][0], spacings[0][1]),
        float(hints[0]) if hints[0] else None,
        np.array(positions),
        channel_of,
        channels,
        rescale,
    )


def _about(path: Path, dataset: Any) -> About:
    def text(name: str) -> str:
        value = dataset.get(name)
        return "" if value is None else str(value).strip()

    on = list(dataset.get("ReferencedSeriesSequence") or [])
    description = text("SeriesDescription")
    return About(
        uid=text("SOPInstanceUID"),
        description="" if names_patient(description, path) else description,
        number=text("SeriesNumber"),
        manufacturer=text("Manufacturer"),
        series_uid=text("SeriesInstanceUID"),
        study_uid=text("StudyInstanceUID"),
        frame_of_reference_uid=text("FrameOfReferenceUID"),
        overlap=text("SegmentsOverlap"),
        full_fraction=float(text("MaximumFractionalValue") or 255) or 255.0,
        background=int(text("PixelPaddingValue") or 0),
        highest=(1 << int(text("BitsAllocated") or 8)) - 1,
        on_series=frozenset(str(item.get("SeriesInstanceUID", "")) for item in on) - {""},
        on_instances=frozenset(
            str(instance.get("ReferencedSOPInstanceUID", ""))
            for item in on
            for instance in item.get("ReferencedInstanceSequence") or []
        ),
    )


def _pixels(dataset: Any, shape: tuple[int, int, int]) -> Iterator[npt.NDArray[Any]]:
    for keyword, kind in (("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")):
        if keyword in dataset:
            stored = dataset[keyword].value
            needed = int(np.prod(shape, dtype=object)) * int(kind[-1])
            if len(stored) < needed:
                raise ValueError(f"{len(stored):,} of {needed:,} bytes are there")
            yield from np.frombuffer(stored[:needed], kind).reshape(shape)
            return
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if int(dataset.BitsAllocated) == 1 and (syntax is None or not syntax.is_compressed):
        yield from _bits(dataset, shape)
        return
    from pydicom.pixels.utils import iter_pixels

    for pixels in iter_pixels(dataset, raw=True):
        if pixels.shape != shape[1:]:
            raise ValueError(f"its pixels have the shape {pixels.shape}")
        yield pixels


def _bits(dataset: Any, shape: tuple[int, int, int]) -> Iterator[npt.NDArray[Any]]:
    """Unpack frames of one bit a pixel; a frame may begin within a byte.

    pydicom cannot, where the number of pixels in a frame is no multiple of eight.
    """
    if not dataset.original_encoding[1]:
        raise ValueError("single bits in big-endian order are not understood")
    stored = np.frombuffer(dataset.PixelData, np.uint8)
    count, rows, columns = shape
    pixels = rows * columns
    if 8 * len(stored) < count * pixels:
        raise ValueError(f"{len(stored):,} of {-(-count * pixels // 8):,} bytes are there")
    for k in range(count):
        first = k * pixels
        packed = stored[first // 8 : -(-(first + pixels) // 8)]
        bits = np.unpackbits(packed, bitorder="little")
        yield bits[first % 8 : first % 8 + pixels].reshape(rows, columns)
