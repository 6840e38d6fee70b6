"""What one DICOM file says about itself before its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from napari_hirescam.errors import VolumeError

HEAD_BYTES = 132
"""How much of a file :func:`is_dicom` wants to see."""

_TAGS = [
    "SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality",
    "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PixelRepresentation",
    "BitsAllocated", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "ConvolutionKernel", "Manufacturer", "FrameOfReferenceUID",
    "StudyInstanceUID",
]  # fmt: skip


@dataclass(frozen=True)
class SliceHeader:
    """What the reader needs to know of one file before its pixels.

    Parameters
    ----------
    path
        The file.
    series_uid, series_number, description, modality
        Of its series.
    transfer_syntax
        UID that says how the pixels are encoded.
    size
        (rows, columns); None if it holds no image.
    frames, samples
        Frames in the file; numbers per pixel (3 for colour).
    is_localizer
        A scout view: shows where the slices lie, is none of them.
    position_mm
        LPS mm of the first pixel's centre.
    orientation
        LPS direction of growing column index, then of growing row index.
    spacing_mm
        Distance between rows, then between columns.
    rescale
        (slope, intercept) from stored number to `rescale_type`.
    padding
        Lowest and highest stored number that mean "no pixel here".
    extra
        Further facts for the volume's details.
    """

    path: Path
    series_uid: str
    series_number: str
    description: str
    modality: str
    transfer_syntax: str
    size: tuple[int, int] | None
    frames: int
    samples: int
    is_localizer: bool
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    rescale: tuple[float, float] | None
    rescale_type: str
    padding: tuple[int, int] | None
    extra: dict[str, str] = field(default_factory=dict)


def is_dicom(head: bytes) -> bool:
    """Say whether a file's first bytes are those of DICOM, with or without the preamble."""
    if head[128:132] == b"DICM":
        return True
    # Old files begin at once with an element of group 8: length, character set or image type.
    return head[:4] in {b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00"}


def read_header(path: Path) -> SliceHeader:
    """Read one file's header, without its pixels.

    Raises
    ------
    VolumeError
        If the file cannot be understood.
    """
    import pydicom

    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
        header = _parse(path, dataset)
    except Exception as exc:  # a damaged file makes pydicom raise anything, bare OSError too
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise _damaged(path, str(exc) or type(exc).__name__) from exc
    if header.size is None and header.modality in {"", "CT"}:
        raise _damaged(path, "its header ends before the image")
    return header


def _damaged(path: Path, reason: str) -> VolumeError:
    return VolumeError(
        path,
        f"the DICOM file cannot be understood ({reason})",
        "Copy or export it again, or remove it from the folder",
    )


def _parse(path: Path, dataset: Any) -> SliceHeader:
    def text(name: str) -> str:
        value = dataset.get(name)
        return "" if value is None else str(value).strip()

    def numbers(name: str, count: int) -> tuple[float, ...] | None:
        value = dataset.get(name)
        if value is None or value == "":
            return None
        found = tuple(float(x) for x in value)
        if len(found) != count:
            raise ValueError(f"{name} has {len(found)} numbers, not {count}")
        if not all(isfinite(x) for x in found):
            raise ValueError(f"{name} is not finite")
        return found

    slope, intercept = text("RescaleSlope"), text("RescaleIntercept")
    rows, columns = text("Rows"), text("Columns")
    kinds = {str(kind).upper() for kind in dataset.get("ImageType") or ()}
    kernel = dataset.get("ConvolutionKernel")
    extra = {
        "kernel": kernel if isinstance(kernel, str) else "\\".join(kernel or ()),
        "manufacturer": text("Manufacturer"),
        "series_uid": text("SeriesInstanceUID"),
        "study_uid": text("StudyInstanceUID"),
        "frame_of_reference_uid": text("FrameOfReferenceUID"),
    }
    return SliceHeader(
        path=path,
        series_uid=text("SeriesInstanceUID"),
        series_number=text("SeriesNumber"),
        description=text("SeriesDescription"),
        modality=text("Modality").upper(),
        transfer_syntax=str(dataset.file_meta.get("TransferSyntaxUID", "")),
        size=(int(rows), int(columns)) if rows and columns else None,
        frames=int(text("NumberOfFrames") or 1),
        samples=int(text("SamplesPerPixel") or 1),
        is_localizer=bool(kinds & {"LOCALIZER", "SCOUT"}),
        position_mm=numbers("ImagePositionPatient", 3),
        orientation=numbers("ImageOrientationPatient", 6),
        spacing_mm=numbers("PixelSpacing", 2),
        rescale=(float(slope), float(intercept)) if slope and intercept else None,
        rescale_type=text("RescaleType"),
        padding=_padding(dataset),
        extra={name: value for name, value in extra.items() if value},
    )


def _padding(dataset: Any) -> tuple[int, int] | None:
    low = dataset.get("PixelPaddingValue")
    if low is None:
        return None
    high = dataset.get("PixelPaddingRangeLimit")
    modulus = 1 << int(dataset.BitsAllocated)
    ends = []
    for value in (int(low), int(low if high is None else high)):
        # Writers often store it with the wrong sign: 63536 for -2000 in signed pixels.
        wrapped = value % modulus
        signed = bool(dataset.PixelRepresentation) and wrapped >= modulus // 2
        ends.append(wrapped - modulus if signed else wrapped)
    return min(ends), max(ends)
