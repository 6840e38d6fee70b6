"""Frames of a DICOM segmentation or parametric map: what each shows, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom_source import LABEL_ELEMENT, PRIVATE_CREATOR, PRIVATE_GROUP
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.source import Segment
from napari_hirescam.volume import FloatArray

SEG_KINDS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",
    "1.2.840.10008.5.1.4.1.1.30": "PM",
}
"""SOP class to what is read here: segmentations (frames for each segment, and label maps) and
parametric maps."""

_EXPORT_AGAIN = "Export it again from the program that made it"
_HIGHEST_LABEL = 65535


@dataclass(frozen=True)
class Channel:
    """What some of the frames show together: a segment, or one of several maps.

    Parameters
    ----------
    number
        Of the segment; of the map, from 1.
    name
        For people.
    segment
        Of a segmentation.
    """

    number: int
    name: str
    segment: Segment | None = None


@dataclass(frozen=True, eq=False)
class FrameSet:
    """The headers of all frames of one file.

    Parameters
    ----------
    path, dataset
        The file, and pydicom's reading of it.
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
    kind: str
    size: tuple[int, int]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]
    hint_mm: float | None
    positions_lps_mm: FloatArray
    channel_of: tuple[int, ...]
    channels: tuple[Channel, ...]
    rescale: tuple[tuple[float, float], ...] = field(default=())

    @property
    def uid(self) -> str:
        """The object's own UID, the beginning of its items' keys."""
        return str(self.dataset.SOPInstanceUID)

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
            _EXPORT_AGAIN,
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
            _EXPORT_AGAIN,
        )
    orientations, spacings, positions, hints = [], [], [], []
    for number, item in enumerate(per_frame, start=1):
        place = _group(item, shared, "PlanePositionSequence")
        plane = _group(item, shared, "PlaneOrientationSequence")
        measures = _group(item, shared, "PixelMeasuresSequence")
        if place is None or plane is None or measures is None:
            raise VolumeError(
                path,
                f"its frame {number} does not say where it lies in the patient",
                _EXPORT_AGAIN,
            )
        orientations.append([float(x) for x in plane.ImageOrientationPatient])
        spacings.append([float(x) for x in measures.PixelSpacing])
        positions.append([float(x) for x in place.ImagePositionPatient])
        hints.append(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness"))
    for name, values in (("direction", orientations), ("pixel spacing", spacings)):
        if np.ptp(np.array(values), axis=0).max() > 1e-3:
            raise VolumeError(path, f"its frames differ in {name}", "Export them one by one")
    if not (np.isfinite(positions).all() and np.array(spacings).min() > 0):
        raise VolumeError(path, "its positions or pixel spacings are not valid", _EXPORT_AGAIN)
    channels, channel_of, rescale = (
        _maps(path, per_frame, shared) if kind == "PM" else _segments(path, dataset, shared)
    )
    return FrameSet(
        path,
        dataset,
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


def _group(item: Any, shared: Any, name: str) -> Any:
    """One functional group of a frame, its own or the one all share."""
    for holder in (item, shared):
        if holder is not None and holder.get(name):
            return holder[name].value[0]
    return None


_Parsed = tuple[tuple[Channel, ...], tuple[int, ...], tuple[tuple[float, float], ...]]


def _segments(path: Path, dataset: Any, shared: Any) -> _Parsed:
    items = list(dataset.get("SegmentSequence") or [])
    numbers = [int(item.SegmentNumber) for item in items]
    if len(set(numbers)) < len(numbers):
        raise VolumeError(path, "two of its segments have one number", _EXPORT_AGAIN)
    values = [_own_value(item) for item in items]
    # Our own files keep the values of the mask; segments have to be numbered from 1.
    if None in values or len(set(values)) < len(values):
        values = list(numbers)
    channels = tuple(
        Channel(number, segment.name, segment)
        for item, number, value in zip(items, numbers, values, strict=True)
        if number > 0  # a label map may describe its background
        for segment in [_segment(item, int(value or number))]
    )
    kind = str(dataset.get("SegmentationType", ""))
    if kind not in {"BINARY", "FRACTIONAL", "LABELMAP"}:
        raise VolumeError(path, f"its kind of segmentation ({kind!r}) is unknown", _EXPORT_AGAIN)
    if kind == "LABELMAP":
        return channels, (0,) * len(dataset.PerFrameFunctionalGroupsSequence), ()
    shown = []
    for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        named = _group(item, shared, "SegmentIdentificationSequence")
        which = int(named.ReferencedSegmentNumber) if named is not None else 0
        if which not in numbers:
            raise VolumeError(
                path, f"its frame {number} shows a segment that is not described", _EXPORT_AGAIN
            )
        shown.append(which)
    return channels, tuple(shown), ()


def _own_value(item: Any) -> int | None:
    try:
        value = item.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)[LABEL_ELEMENT].value
    except KeyError:
        return None
    return value if isinstance(value, int) and 0 < value <= _HIGHEST_LABEL else None


def _segment(item: Any, value: int) -> Segment:
    details: dict[str, Any] = {}
    for name, keyword in (
        ("category", "SegmentedPropertyCategoryCodeSequence"),
        ("type", "SegmentedPropertyTypeCodeSequence"),
    ):
        if item.get(keyword):
            details[name] = _code(item[keyword].value[0])
    kind = item.get("SegmentedPropertyTypeCodeSequence")
    if kind and kind[0].get("SegmentedPropertyTypeModifierCodeSequence"):
        details["modifier"] = _code(kind[0].SegmentedPropertyTypeModifierCodeSequence[0])
    for name, keyword in (
        ("algorithm_type", "SegmentAlgorithmType"),
        ("algorithm_name", "SegmentAlgorithmName"),
    ):
        if item.get(keyword):
            details[name] = str(item[keyword].value)
    label = str(item.get("SegmentLabel") or "").strip()
    return Segment(value, label or f"segment {item.SegmentNumber}", _colour(item), details)


def _code(item: Any) -> tuple[str, str, str]:
    """Value, scheme and meaning of a coded concept; "" for what it lacks."""
    value = item.get("CodeValue") or item.get("LongCodeValue") or ""
    scheme, meaning = item.get("CodingSchemeDesignator"), item.get("CodeMeaning")
    return str(value), str(scheme or ""), str(meaning or "")


def _colour(item: Any) -> tuple[float, float, float] | None:
    from highdicom.color import CIELabColor

    stored = item.get("RecommendedDisplayCIELabValue")
    if stored is None or len(stored) != 3:
        return None
    red, green, blue = CIELabColor.from_dicom_value([int(x) for x in stored]).to_rgb(clip=True)
    return red / 255, green / 255, blue / 255


def _maps(path: Path, per_frame: Any, shared: Any) -> _Parsed:
    names: list[str] = []
    shown, rescale = [], []
    for item in per_frame:
        mapping = _group(item, shared, "RealWorldValueMappingSequence")
        if mapping is not None and "RealWorldValueLUTData" in mapping:
            raise VolumeError(
                path, "its numbers become values by a table, not by a slope", _EXPORT_AGAIN
            )
        label = "" if mapping is None else str(mapping.get("LUTExplanation") or "")
        if label not in names:
            names.append(label)
        shown.append(names.index(label) + 1)
        slope = 1.0 if mapping is None else float(mapping.get("RealWorldValueSlope", 1.0))
        shift = 0.0 if mapping is None else float(mapping.get("RealWorldValueIntercept", 0.0))
        rescale.append((slope, shift))
    channels = tuple(Channel(k, name or f"map {k}") for k, name in enumerate(names, start=1))
    return channels, tuple(shown), tuple(rescale)


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
