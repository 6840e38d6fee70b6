"""The frames of enhanced (multi-frame) CT, MR and PET, each described like a slice of its own.

What all frames share stands in the shared functional groups, what differs in those of the
frame: DICOM PS3.3 C.7.6.16.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Any

from napari_hirescam.io.dicom.header import display_windows
from napari_hirescam.io.dicom.pixel_layout import image_problem, slice_bytes
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.source import DisplayWindow

_GROUPS = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
_FRAME_TYPES = ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "PETFrameTypeSequence")


def frame_headers(
    header: SliceHeader, pixels_at: tuple[int, int] | None
) -> tuple[SliceHeader, ...]:
    """Describe each frame of a multi-frame file.

    Parameters
    ----------
    header
        Of the file as a whole.
    pixels_at
        Offset and length of the pixels of all frames.

    Raises
    ------
    ValueError
        If the groups and the number of frames contradict each other, or a group is damaged.
    """
    import pydicom

    dataset = pydicom.dcmread(
        header.path, stop_before_pixels=True, force=True, specific_tags=_GROUPS
    )
    shared_items = dataset.get("SharedFunctionalGroupsSequence") or [None]
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(per_frame) != header.frames:
        raise ValueError(f"it describes {len(per_frame)} frames and says it has {header.frames}")
    plain = header.pixels_at
    step = slice_bytes(header.layout)
    # Given a place, a frame is a slice like any other.
    single = replace(header, frames=1)
    problem = image_problem(single.layout, pixels_at)
    shared = _Groups(shared_items[0], None)
    common = replace(single, problem=problem, **_described(shared, single))
    return tuple(
        replace(
            common,
            frame=k + 1,
            pixels_at=None if plain is None else _frame_place(plain, step, k),
            **_described(_Groups(own, shared_items[0]), common),
        )
        for k, own in enumerate(per_frame)
    )


def _frame_place(plain: tuple[int, int], step: int, k: int) -> tuple[int, int]:
    start, length = plain
    return start + k * step, max(0, min(step, length - k * step))


class _Groups:
    """The functional groups of a frame, its own before the shared ones."""

    def __init__(self, own: Any, shared: Any) -> None:
        self._sources = [source for source in (own, shared) if source is not None]

    def get(self, group: str, keyword: str) -> Any:
        """One attribute; None if no group has it, or has it without a value."""
        for source in self._sources:
            items = source.get(group)
            value = items[0].get(keyword) if items else None
            if value is not None and value != "":
                return value
        return None

    def text(self, group: str, keyword: str) -> str:
        value = self.get(group, keyword)
        return "" if value is None else str(value).strip()

    def number(self, group: str, keyword: str) -> float | None:
        value = self.get(group, keyword)
        return None if value is None else _finite(keyword, value)

    def numbers(self, group: str, keyword: str, count: int) -> tuple[float, ...] | None:
        value = self.get(group, keyword)
        if value is None:
            return None
        found = tuple(_finite(keyword, x) for x in value)
        if len(found) != count:
            raise ValueError(f"{keyword} has {len(found)} numbers, not {count}")
        return found

    def texts(self, group: str, keyword: str) -> tuple[str, ...]:
        value = self.get(group, keyword)
        if value is None:
            return ()
        return tuple(str(x).strip() for x in ([value] if isinstance(value, str) else value))


def _finite(keyword: str, value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{keyword} is not finite")
    return number


def _described(groups: _Groups, header: SliceHeader) -> dict[str, Any]:
    """The fields of a frame's header that its groups give; the rest stays as it is."""
    slope = groups.number("PixelValueTransformationSequence", "RescaleSlope")
    intercept = groups.number("PixelValueTransformationSequence", "RescaleIntercept")
    frame_type: tuple[str, ...] = ()
    for group in _FRAME_TYPES:
        frame_type = frame_type or groups.texts(group, "FrameType")
    kernel = "\\".join(groups.texts("CTReconstructionSequence", "ConvolutionKernel"))
    content = "FrameContentSequence"
    found: dict[str, Any] = {
        "position_mm": groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        "orientation": groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        "spacing_mm": groups.numbers("PixelMeasuresSequence", "PixelSpacing", 2),
        "thickness_mm": groups.number("PixelMeasuresSequence", "SliceThickness"),
        "spacing_between_mm": groups.number("PixelMeasuresSequence", "SpacingBetweenSlices"),
        "rescale": None if slope is None or intercept is None else (slope, intercept),
        "rescale_type": groups.text("PixelValueTransformationSequence", "RescaleType"),
        "stack_id": groups.text(content, "StackID"),
        "instance_number": _whole(groups.number(content, "InStackPositionNumber")),
        "temporal_position": groups.text(content, "TemporalPositionIndex"),
        "acquisition_number": groups.text(content, "FrameAcquisitionNumber"),
        "trigger_time": groups.number(
            "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"
        ),
        "b_value": groups.number("MRDiffusionSequence", "DiffusionBValue"),
        "gantry_tilt_deg": groups.number("CTAcquisitionDetailsSequence", "GantryDetectorTilt"),
        "kvp": groups.number("CTXRayDetailsSequence", "KVP"),
        "body_part": groups.text("FrameAnatomySequence", "BodyPartExamined"),
        "windows": _windows(groups),
        "kernel": kernel,
    }
    if frame_type:
        kinds = tuple(kind.upper() for kind in frame_type)
        found["image_type"] = kinds
        found["is_localizer"] = bool({"LOCALIZER", "SCOUT"} & set(kinds))
    if kernel:
        found["extra"] = {**header.extra, "kernel": kernel}
    return {name: value for name, value in found.items() if value not in (None, "", ())}


def _windows(groups: _Groups) -> tuple[DisplayWindow, ...]:
    def numbers(keyword: str) -> tuple[float, ...]:
        value = groups.get("FrameVOILUTSequence", keyword)
        if value is None:
            return ()
        return tuple(float(x) for x in (value if hasattr(value, "__iter__") else [value]))

    names = groups.texts("FrameVOILUTSequence", "WindowCenterWidthExplanation")
    return display_windows(numbers("WindowCenter"), numbers("WindowWidth"), names)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
