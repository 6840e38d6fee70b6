"""What the frames of a DICOM segmentation or parametric map show: segments, or maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.source import LABEL_ELEMENT, PRIVATE_CREATOR, PRIVATE_GROUP
from napari_hirescam.source import Segment

EXPORT_AGAIN = "Export it again from the program that made it"
"""What helps against most that is wrong with such a file."""

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


Parsed = tuple[tuple[Channel, ...], tuple[int, ...], tuple[tuple[float, float], ...]]
"""All channels, the number of each frame's, and (slope, intercept) of each frame of a map."""


def group(item: Any, shared: Any, name: str) -> Any:
    """One functional group of a frame, its own or the one all share."""
    for holder in (item, shared):
        if holder is not None and holder.get(name):
            return holder[name].value[0]
    return None


def segments_of(path: Path, dataset: Any, shared: Any) -> Parsed:
    """Read what a segmentation says of its segments and frames.

    Raises
    ------
    VolumeError
        If segments share a number, or a frame shows one that is not described.
    """
    items = list(dataset.get("SegmentSequence") or [])
    numbers = [int(item.SegmentNumber) for item in items]
    if len(set(numbers)) < len(numbers):
        raise VolumeError(path, "two of its segments have one number", EXPORT_AGAIN)
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
        raise VolumeError(path, f"its kind of segmentation ({kind!r}) is unknown", EXPORT_AGAIN)
    if kind == "LABELMAP":
        return channels, (0,) * len(dataset.PerFrameFunctionalGroupsSequence), ()
    shown = []
    for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        named = group(item, shared, "SegmentIdentificationSequence")
        which = int(named.ReferencedSegmentNumber) if named is not None else 0
        if which not in numbers:
            raise VolumeError(
                path, f"its frame {number} shows a segment that is not described", EXPORT_AGAIN
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


def maps_of(path: Path, per_frame: Any, shared: Any) -> Parsed:
    """Read how the stored numbers of a parametric map become values.

    Raises
    ------
    VolumeError
        If that takes a table.
    """
    names: list[str] = []
    shown, rescale = [], []
    for item in per_frame:
        mapping = group(item, shared, "RealWorldValueMappingSequence")
        if mapping is not None and "RealWorldValueLUTData" in mapping:
            raise VolumeError(
                path, "its numbers become values by a table, not by a slope", EXPORT_AGAIN
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
