"""One slice as its DICOM file describes it, its pixels left aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from napari_hirescam.io.dicom.pixel_layout import Layout
from napari_hirescam.source import DisplayWindow


@dataclass(frozen=True)
class SliceHeader:
    """What the reader needs to know of one slice before its pixels.

    Parameters
    ----------
    path
        The file.
    series_uid, series_number, description, modality
        Of its series.
    transfer_syntax
        UID that says how the pixels are encoded; "" if the file does not say.
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
        Lowest and highest stored number that mean "no pixel here", as `bits_allocated` bits.
    extra
        Further facts for the volume's details.
    sop_class_uid, sop_instance_uid, study_uid, frame_of_reference_uid
        Of the object it is (in).
    frame
        Number within a multi-frame file, from 1; None in a file with one slice.
    instance_number, acquisition_number, temporal_position, trigger_time, b_value, stack_id
        What can tell apart slices that lie at one place; None or "" if not given.
    acquisition_time
        Time of day, HHMMSS; for telling phases apart only, never shown.
    thickness_mm, spacing_between_mm, slice_location, gantry_tilt_deg, kvp
        As stated; nothing is computed from them.
    windows
        Grey-scale windows, in rescaled numbers.
    photometric, image_type, patient_position, kernel, body_part, contrast, manufacturer
        As stated.
    bits_allocated, bits_stored, high_bit, is_signed
        How a stored number is made up; signed or not is None if the file does not say.
    float_bits
        32 or 64 if the pixels are floating point, else 0.
    lossy
        The pixels were, or may have been, compressed with a loss.
    has_modality_lut
        Stored numbers become HU by a table and not by `rescale`.
    pixels_at
        Offset and length in bytes of this slice's pixels in the file, if they are plain
        numbers; within the inflated content of a deflated file.
    packed_at
        Offset of the compressed pixels of the file's first frame, with their item headers.
    is_big_endian
        Of plain numbers.
    problem
        Why the image cannot be used, as a clause; "" if nothing is known against it.
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
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_uid: str = ""
    frame_of_reference_uid: str = ""
    frame: int | None = None
    instance_number: int | None = None
    acquisition_number: str = ""
    acquisition_time: str = ""
    temporal_position: str = ""
    trigger_time: float | None = None
    b_value: float | None = None
    stack_id: str = ""
    thickness_mm: float | None = None
    spacing_between_mm: float | None = None
    slice_location: float | None = None
    gantry_tilt_deg: float | None = None
    kvp: float | None = None
    windows: tuple[DisplayWindow, ...] = ()
    photometric: str = ""
    image_type: tuple[str, ...] = ()
    patient_position: str = ""
    kernel: str = ""
    body_part: str = ""
    contrast: str = ""
    manufacturer: str = ""
    bits_allocated: int = 16
    bits_stored: int = 16
    high_bit: int = 15
    is_signed: bool | None = False
    float_bits: int = 0
    lossy: bool = False
    has_modality_lut: bool = False
    pixels_at: tuple[int, int] | None = None
    packed_at: int | None = None
    is_big_endian: bool = False
    problem: str = ""

    @property
    def layout(self) -> Layout:
        """What says how the pixels lie in the file."""
        return Layout(
            self.size,
            self.frames,
            self.samples,
            self.photometric,
            self.bits_allocated,
            self.bits_stored,
            self.high_bit,
            self.is_signed,
            self.float_bits,
            self.transfer_syntax,
        )
