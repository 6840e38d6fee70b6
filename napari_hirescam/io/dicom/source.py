"""The slices of a DICOM series as the source of what is written over it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.planes import plane_grid, regular_step
from napari_hirescam.io.dicom.sampling import sample_planes
from napari_hirescam.io.writing import as_json, put
from napari_hirescam.safe_write import Section
from napari_hirescam.source import Frame, Source
from napari_hirescam.volume import Grid

PRIVATE_GROUP = 0x0099
PRIVATE_CREATOR = "NAPARI-HIRESCAM"
PROVENANCE_ELEMENT = 0x01
LABEL_ELEMENT = 0x02
"""Elements of our private block: provenance as JSON; a segment's value in the mask."""

_TOLD_AS_UNKNOWN = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime",
)  # fmt: skip
_REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID")
_OF_A_SLICE = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient",
    "PixelSpacing", "SliceThickness", "Modality",
]  # fmt: skip
_PLACES = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_SEXES = {"M", "F", "O", ""}
_LONG_STRING = 64


@dataclass(frozen=True, eq=False)
class SourceSlices:
    """The files of a series, and where each of its slices lies.

    Parameters
    ----------
    datasets
        Their headers, one for each slice, or a single one for a multi-frame file.
    planes
        The pixels of each slice: [1, row, column] to (I, P, L) mm.
    positions_lps_mm
        Centre of each slice's first pixel.
    patient_name
        Taken out of the headers: highdicom warns of unusual names, and with the warning the
        name would reach the console and napari's messages.
    """

    datasets: tuple[Any, ...]
    planes: tuple[Grid, ...]
    positions_lps_mm: tuple[tuple[float, ...], ...]
    patient_name: Any = ""

    @property
    def is_multiframe(self) -> bool:
        """True if all slices are in one file."""
        return "NumberOfFrames" in self.datasets[0]

    def sample(
        self, values: npt.NDArray[Any], grid: Grid, order: Literal[0, 1]
    ) -> npt.NDArray[Any]:
        """Sample values at the pixels of each slice.

        Returns
        -------
        [slice, row, column] in the type of `values`; 0 outside of `grid`.
        """
        return sample_planes(self.planes, values, grid, order)


def source_slices(path: Path, like: Source | None) -> SourceSlices:
    """Read the headers of the series that a mask or map lies on.

    Parameters
    ----------
    path
        The file to be written, for messages.
    like
        Where the mask's or map's CT came from.

    Raises
    ------
    VolumeError
        If it did not come from DICOM, or its files are gone, changed or lack what a file that
        refers to them must repeat.
    """
    frames = [frame for frame in like.frames if frame is not None] if like is not None else []
    if not frames:
        raise VolumeError(
            path,
            "it cannot be written as DICOM, since the CT it lies on was not read from a DICOM "
            "series",
            "Save it as NIfTI (.nii.gz) or NRRD (.nrrd)",
        )
    files = list(dict.fromkeys(frame.path for frame in frames))
    # Of the patient and the study the first slice tells; of the others only the place counts.
    headers = {file: _header(file, None if file == files[0] else _OF_A_SLICE) for file in files}
    name = _complete(headers[files[0]])
    for frame in frames:
        if str(headers[frame.path].get("SOPInstanceUID", "")) != frame.sop_instance_uid:
            raise _changed(frame.path)
    if frames[0].number is None:
        return replace(_single_frames(frames, headers), patient_name=name)
    if len(files) > 1:
        raise VolumeError(
            path,
            f"its CT is spread over {len(files)} multi-frame files, and DICOM can refer to one",
            "Save it as NIfTI (.nii.gz) or NRRD (.nrrd)",
        )
    return replace(_multi_frame(frames, headers[files[0]]), patient_name=name)


def put_dataset(
    path: Path,
    slices: SourceSlices,
    make: Callable[[], Any],
    provenance: dict[str, Any] | None,
    *,
    overwrite: bool,
) -> Path:
    """Have highdicom make a data set, and write it with its provenance, whole or not at all.

    Raises
    ------
    VolumeError
        If highdicom finds the source's headers wanting, or the place cannot be written to.
    """
    buffer = BytesIO()
    try:
        dataset = make()
        dataset.PatientName = slices.patient_name
        if provenance is not None:
            block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
            block.add_new(PROVENANCE_ELEMENT, "UT", as_json(provenance))
        dataset.save_as(buffer, enforce_file_format=True)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as exc:
        # Its message may quote a header, and with it the patient; the cause is chained.
        raise VolumeError(
            path,
            "the headers of its CT series do not allow a DICOM file that refers to it "
            f"({type(exc).__name__})",
            "Save it as NIfTI (.nii.gz) or NRRD (.nrrd)",
        ) from exc
    content = buffer.getbuffer()
    return put(path, [Section(lambda: [content])], overwrite=overwrite)


def common_fields(slices: SourceSlices, description: str) -> dict[str, Any]:
    """What highdicom wants to know for every kind of file: equipment, series, description."""
    import highdicom

    number = slices.datasets[0].get("SeriesNumber")
    return {
        "source_images": slices.datasets,
        "series_instance_uid": highdicom.UID(),
        # Apart from the scanner's own series, and next to each other where one is sorted.
        "series_number": 1000 + max(int(number or 0), 0),
        "sop_instance_uid": highdicom.UID(),
        "instance_number": 1,
        "manufacturer": "napari-hirescam",
        "manufacturer_model_name": "napari-hirescam",
        "software_versions": software_version(),
        "device_serial_number": "0",
        "series_description": long_string(description),
        "content_description": long_string(description),
        "specific_character_set": "ISO_IR 192",
        "plane_positions": _plane_positions(slices) if slices.is_multiframe else None,
    }


def software_version() -> str:
    """Our own version, as it was installed."""
    try:
        return version("napari-hirescam")
    except PackageNotFoundError:  # run from its sources
        return "unknown"


def long_string(text: str) -> str:
    """Text as DICOM's type LO takes it: one line, at most 64 letters, no backslash."""
    return re.sub(r"[\\\x00-\x1f]+", " ", text).strip()[:_LONG_STRING]


def _plane_positions(slices: SourceSlices) -> list[Any]:
    import highdicom

    return [
        highdicom.PlanePositionSequence("PATIENT", position) for position in slices.positions_lps_mm
    ]


def _header(file: Path, tags: list[str] | None) -> Any:
    import pydicom

    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
    except FileNotFoundError as exc:
        raise VolumeError(
            file,
            "this slice of the CT series is no longer there, and what is written refers to it",
            "Put it back, or save as NIfTI (.nii.gz) or NRRD (.nrrd)",
        ) from exc
    except Exception as exc:  # a damaged file makes pydicom raise anything
        raise _changed(file) from exc
    places = () if "PerFrameFunctionalGroupsSequence" in dataset else _PLACES
    missing = [name for name in (*_REQUIRED, *places) if not dataset.get(name)]
    if missing:
        raise VolumeError(
            file,
            f"the slice has no {' and no '.join(missing)}, which a DICOM file that refers to it "
            "must repeat",
            "Save as NIfTI (.nii.gz) or NRRD (.nrrd)",
        )
    return dataset


def _complete(dataset: Any) -> Any:
    """Tell as unknown what is missing of the patient and the study, or is not as it must be.

    Returns
    -------
    The patient's name, taken out.
    """
    for name in _TOLD_AS_UNKNOWN:
        if name not in dataset:
            setattr(dataset, name, "")
    # Habits of anonymisers that a new file may not repeat: text where a date or a code belongs.
    for name in ("StudyDate", "PatientBirthDate"):
        if not re.fullmatch(r"(\d{8})?", str(dataset[name].value or "")):
            setattr(dataset, name, "")
    if not re.fullmatch(r"(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?", str(dataset.StudyTime or "")):
        dataset.StudyTime = ""
    if dataset.PatientSex not in _SEXES:
        dataset.PatientSex = ""
    patient_name, dataset.PatientName = dataset.PatientName, ""
    return patient_name


def _changed(file: Path) -> VolumeError:
    return VolumeError(
        file,
        "this file of the CT series is not the one that was read",
        "Open the CT again and repeat what you did",
    )


def _single_frames(frames: Sequence[Frame], headers: dict[Path, Any]) -> SourceSlices:
    datasets = [headers[frame.path] for frame in frames]
    first = datasets[0]
    planes = []
    for dataset in datasets:
        # The slices of a series may differ in the last digits, which highdicom takes for
        # different planes; reading has seen to it that it is no more than that.
        dataset.ImageOrientationPatient = first.ImageOrientationPatient
        dataset.PixelSpacing = first.PixelSpacing
        size = int(dataset.Rows), int(dataset.Columns)
        place = first.ImageOrientationPatient, first.PixelSpacing, dataset.ImagePositionPatient
        planes.append(plane_grid(size, *place))
    positions = tuple(tuple(map(float, d.ImagePositionPatient)) for d in datasets)
    _state_step(first, planes)
    return SourceSlices(tuple(datasets), tuple(planes), positions)


def _multi_frame(frames: Sequence[Frame], dataset: Any) -> SourceSlices:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    per_frame = dataset.PerFrameFunctionalGroupsSequence
    # Equal in each frame, or it would not have been read as one stack; highdicom looks here.
    for name in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        if name not in shared:
            setattr(shared, name, per_frame[0][name].value)
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    positions = tuple(frame.position_lps_mm for frame in frames)
    size = int(dataset.Rows), int(dataset.Columns)
    planes = tuple(plane_grid(size, orientation, spacing, position) for position in positions)
    _state_step(shared.PixelMeasuresSequence[0], planes)
    return SourceSlices((dataset,), planes, positions)


def _state_step(measures: Any, planes: Sequence[Grid]) -> None:
    """Put the true distance between slices where a header may hold a wrong one or none."""
    from pydicom.valuerep import DSfloat

    normal = planes[0].affine[:3, 0]
    positions = np.array([plane.affine[:3, 3] for plane in planes])
    step = regular_step(positions[np.argsort(positions @ normal)], normal)
    if step is not None:
        measures.SpacingBetweenSlices = DSfloat(step, auto_format=True)
    elif "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    if not measures.get("SliceThickness"):
        measures.SliceThickness = DSfloat(step or 1.0, auto_format=True)
