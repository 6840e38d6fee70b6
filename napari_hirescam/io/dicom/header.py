"""What DICOM files say about their slices before their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.element_values import WANTED, Values
from napari_hirescam.io.dicom.elements import read_elements
from napari_hirescam.io.dicom.pixel_layout import Layout, image_problem, plain_pixels
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.source import DisplayWindow

if TYPE_CHECKING:
    from napari_hirescam.io.dicom.elements import Elements

HEAD_BYTES = 132
"""How much of a file :func:`is_dicom` wants to see."""

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR."""

_WITHOUT_SLICES = {
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
    "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
}
"""Multi-frame objects whose frames are no slices of a scan; they have readers of their own."""

_LOSSY_SYNTAXES = {
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203",
}  # fmt: skip
"""JPEG Baseline and Extended, near-lossless JPEG-LS, general JPEG 2000 and HTJ2K."""

_OLD_STARTS = {b"\0\0", b"\5\0", b"\x08\0", b"\x16\0", b"\x18\0"}
"""Elements of group 8 that files without a preamble begin with."""


def is_dicom(head: bytes) -> bool:
    """Say whether a file's first bytes are those of DICOM, with or without the preamble."""
    if head[128:132] == b"DICM":
        return True
    # Without a preamble a file begins at once with the meta information or with group 8.
    if head[:4] == b"\x02\0\0\0":
        return head[4:6] == b"UL"
    if head[:2] == b"\x08\0" and head[2:4] in _OLD_STARTS:
        return True
    return head[:2] == b"\0\x08" and head[3:4] + head[2:3] in _OLD_STARTS and head[4:6].isalpha()


def read_headers(path: Path, *, must_be_dicom: bool = False) -> tuple[SliceHeader, ...]:
    """Read the headers of a file's slices, without their pixels.

    Parameters
    ----------
    path
        The file.
    must_be_dicom
        Read nothing where the first bytes are not those of DICOM.

    Returns
    -------
    One for a file with one slice or with none, one for each frame of an enhanced CT, MR or PET;
    one for a segmentation, a parametric map or a dose, whose frames are no slices. None at all
    for a file that `must_be_dicom` and is not.

    Raises
    ------
    VolumeError
        If the file cannot be understood.
    """
    try:
        with path.open("rb") as stream:
            elements = read_elements(stream, WANTED, is_dicom if must_be_dicom else None)
        if elements is None:
            return ()
        values = Values(elements)
        header = _parse(path, elements, values)
        if "PerFrameFunctionalGroupsSequence" in values and (
            header.sop_class_uid not in _WITHOUT_SLICES
        ):
            from napari_hirescam.io.dicom.enhanced import frame_headers

            return frame_headers(header, elements.pixels_at)
    except Exception as exc:  # a damaged file makes pydicom raise anything, bare OSError too
        if isinstance(exc, VolumeError) or (isinstance(exc, OSError) and exc.errno is not None):
            raise
        raise _damaged(path, str(exc) or type(exc).__name__) from exc
    if (
        header.size is None
        and header.modality in {"", "CT"}
        and header.sop_class_uid != DIRECTORY_CLASS
    ):
        raise _damaged(path, "its header ends before the image")
    return (header,)


def _damaged(path: Path, reason: str) -> VolumeError:
    return VolumeError(
        path,
        f"the DICOM file cannot be understood ({reason})",
        "Copy or export it again, or remove it from the folder",
    )


def _parse(path: Path, elements: Elements, values: Values) -> SliceHeader:
    text = values.text
    slope, intercept = values.number("RescaleSlope"), values.number("RescaleIntercept")
    rows, columns = values.integer("Rows"), values.integer("Columns")
    image_type = tuple(kind.upper() for kind in values.texts("ImageType"))
    allocated = values.integer("BitsAllocated") or 0
    stored = values.integer("BitsStored") or allocated
    high_bit = values.integer("HighBit")
    sign = values.integer("PixelRepresentation")
    is_signed = None if sign is None else sign == 1
    loss = text("LossyImageCompression")
    kernel = "\\".join(values.texts("ConvolutionKernel"))
    extra = {
        "kernel": kernel,
        "manufacturer": text("Manufacturer"),
        "series_uid": text("SeriesInstanceUID"),
        "study_uid": text("StudyInstanceUID"),
        "frame_of_reference_uid": text("FrameOfReferenceUID"),
    }
    layout = Layout(
        size=(rows, columns) if rows and columns else None,
        frames=values.integer("NumberOfFrames") or 1,
        samples=values.integer("SamplesPerPixel") or 1,
        photometric=text("PhotometricInterpretation").upper(),
        bits_allocated=allocated or 16,
        bits_stored=stored or 16,
        high_bit=(stored or 16) - 1 if high_bit is None else high_bit,
        is_signed=is_signed,
        float_bits=elements.float_bits,
        transfer_syntax=elements.transfer_syntax,
    )
    plain = plain_pixels(layout, elements.pixels_at)
    class_uid = text("SOPClassUID") or elements.storage_class
    return SliceHeader(
        path=path,
        series_uid=text("SeriesInstanceUID"),
        series_number=text("SeriesNumber"),
        description=text("SeriesDescription"),
        modality=text("Modality").upper(),
        transfer_syntax=layout.transfer_syntax,
        size=layout.size,
        frames=layout.frames,
        samples=layout.samples,
        is_localizer=bool({"LOCALIZER", "SCOUT"} & set(image_type)),
        position_mm=values.numbers("ImagePositionPatient", 3),
        orientation=values.numbers("ImageOrientationPatient", 6),
        spacing_mm=values.numbers("PixelSpacing", 2),
        rescale=None if slope is None or intercept is None else (slope, intercept),
        rescale_type=text("RescaleType"),
        padding=stored_padding(
            values.integer("PixelPaddingValue"),
            values.integer("PixelPaddingRangeLimit"),
            allocated,
            is_signed=bool(is_signed),
        ),
        extra={name: value for name, value in extra.items() if value},
        sop_class_uid=class_uid,
        sop_instance_uid=text("SOPInstanceUID"),
        study_uid=text("StudyInstanceUID"),
        frame_of_reference_uid=text("FrameOfReferenceUID"),
        instance_number=values.lenient_integer("InstanceNumber"),
        acquisition_number=text("AcquisitionNumber"),
        acquisition_time=text("AcquisitionTime"),
        temporal_position=text("TemporalPositionIdentifier"),
        trigger_time=values.lenient("TriggerTime"),
        b_value=values.lenient("DiffusionBValue"),
        stack_id=text("StackID"),
        thickness_mm=values.lenient("SliceThickness"),
        spacing_between_mm=values.lenient("SpacingBetweenSlices"),
        slice_location=values.lenient("SliceLocation"),
        gantry_tilt_deg=values.lenient("GantryDetectorTilt"),
        kvp=values.lenient("KVP"),
        windows=display_windows(
            values.lenient_list("WindowCenter"),
            values.lenient_list("WindowWidth"),
            values.texts("WindowCenterWidthExplanation"),
        ),
        photometric=layout.photometric,
        image_type=image_type,
        patient_position=text("PatientPosition").upper(),
        kernel=kernel,
        body_part=text("BodyPartExamined"),
        contrast=text("ContrastBolusAgent"),
        manufacturer=text("Manufacturer"),
        bits_allocated=layout.bits_allocated,
        bits_stored=layout.bits_stored,
        high_bit=layout.high_bit,
        is_signed=is_signed,
        float_bits=layout.float_bits,
        lossy=loss == "01" or (loss != "00" and elements.transfer_syntax in _LOSSY_SYNTAXES),
        has_modality_lut="ModalityLUTSequence" in values,
        is_big_endian=elements.is_big_endian,
        pixels_at=plain,
        packed_at=elements.pixels_at[0] if elements.pixels_at and plain is None else None,
        problem=(
            "its frames are no slices of a scan"
            if class_uid in _WITHOUT_SLICES
            else image_problem(layout, elements.pixels_at)
        ),
    )


def stored_padding(
    low: int | None, high: int | None, bits_allocated: int, *, is_signed: bool
) -> tuple[int, int] | None:
    """Bring the padding value and its limit to the sign of the stored numbers.

    Writers often store them with the other one: 63536 for -2000 in signed pixels.
    """
    if low is None or not bits_allocated:
        return None
    modulus = 1 << bits_allocated
    ends = []
    for value in (low, low if high is None else high):
        wrapped = value % modulus
        ends.append(wrapped - modulus if is_signed and wrapped >= modulus // 2 else wrapped)
    return min(ends), max(ends)


def display_windows(
    centres: tuple[float, ...], widths: tuple[float, ...], names: tuple[str, ...]
) -> tuple[DisplayWindow, ...]:
    """Put together the windows a header lists; those without a width are left out."""
    padded = (*names, *[""] * len(centres))
    return tuple(
        DisplayWindow(name, centre, width)
        for centre, width, name in zip(centres, widths, padded, strict=False)
        if width > 0
    )
