"""DICOM series whose pixels and headers are encoded in each way there is, or lie about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragmented_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)

from torture.cases import Catalogue
from torture.dicom_series import Series, put_raw, save_datasets, series
from torture.jpeg_lossless import encode_jpeg_lossless
from torture.judge import Made, Verdict

encodings = Catalogue()
case = encodings.case
ASKED, REPAIRED, REFUSED = Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
RIGHT = Verdict.RIGHT
LEAVE_OUT, INSERT = "leave-out-odd", "insert-missing"
LONG = "Röntgen Untersuchung 胸部 CT " + "sehr langer Name " * 6


def _as_syntax(made: Series, syntax: str) -> Series:
    for dataset in made.slices:
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return made


def _strip(folder: Path, n_bytes: int) -> None:
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[n_bytes:])


def _compressed(made: Series, syntax: str, **options: object) -> Series:
    for dataset in made.slices:
        dataset.compress(UID(syntax), generate_instance_uid=False, **options)
    return made


@case("implicit VR little-endian")
def implicit(folder: Path) -> Made:
    return _as_syntax(series(), ImplicitVRLittleEndian).save(folder)


@case("explicit VR big-endian")
def big_endian(folder: Path) -> Made:
    made = series(dtype=">u2")
    for dataset, path in zip(
        made.slices, (folder / f"{k}.dcm" for k in (3, 1, 4, 0, 2)), strict=True
    ):
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        pydicom.dcmwrite(
            path, dataset, enforce_file_format=True, little_endian=False, implicit_vr=False
        )
    return Made(folder, (made.scan,))


@case("deflated")
def deflated(folder: Path) -> Made:
    return _as_syntax(series(), DeflatedExplicitVRLittleEndian).save(folder)


@case("RLE")
def run_length(folder: Path) -> Made:
    return _compressed(series(), RLELossless).save(folder)


@case("RLE, signed with padding bits", remark="")
def run_length_signed(folder: Path) -> Made:
    return _compressed(series(dtype="<i2", intercept=0), RLELossless).save(folder)


@case("JPEG-LS lossless")
def jpeg_ls(folder: Path) -> Made:
    return _compressed(series(), JPEGLSLossless).save(folder)


@case("JPEG-LS near-lossless", remark="(?i)loss")
def jpeg_ls_lossy(folder: Path) -> Made:
    made = _compressed(series(), JPEGLSNearLossless, jls_error=2)
    made.set(LossyImageCompression="01")
    made.scan = replace(made.scan, within=2.6)
    return made.save(folder)


@case("JPEG 2000 lossless")
def jpeg_2000(folder: Path) -> Made:
    return _compressed(series(size=(40, 40)), JPEG2000Lossless).save(folder)


@case("JPEG 2000 lossy, not declared so", remark="(?i)loss")
def jpeg_2000_lossy(folder: Path) -> Made:
    made = _compressed(series(size=(40, 40)), JPEG2000, j2k_cr=[4])
    made.scan = replace(made.scan, within=12)
    return made.save(folder)


@case("JPEG lossless")
def jpeg_lossless(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        frame = encode_jpeg_lossless(dataset.pixel_array)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].is_undefined_length = True
    return _as_syntax(made, JPEGLosslessSV1).save(folder)


@case("compressed pixels in many fragments, no offset table")
def fragments(folder: Path) -> Made:
    made = _compressed(series(size=(40, 40)), JPEG2000Lossless)
    for dataset in made.slices:
        parts = next(iter(generate_fragmented_frames(dataset.PixelData, number_of_frames=1)))
        code = b"".join(parts)
        dataset.PixelData = encapsulate([code], fragments_per_frame=4, has_bot=False)
        dataset["PixelData"].is_undefined_length = True
    return made.save(folder)


@case("compressed differently from slice to slice")
def mixed_syntax(folder: Path) -> Made:
    made = series()
    made.slices[1].compress(RLELossless, generate_instance_uid=False)
    made.slices[2].compress(JPEGLSLossless, generate_instance_uid=False)
    made.slices[3].file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return made.save(folder)


@case("a private transfer syntax", REFUSED, because="(?i)syntax|compress|decod")
def private_syntax(folder: Path) -> Made:
    made = series()
    paths = save_datasets(made.slices, folder)
    for path in paths:
        # The same length, so that nothing else in the file moves.
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"1.2.840.10008.1.2.1\0", b"1.3.6.1.4.1.9999.7.1"))
    return Made(folder, (made.scan,))


@case(
    "damage in the lengths of an RLE slice",
    {REPAIRED, REFUSED},
    repairs=(LEAVE_OUT, INSERT),
    because=".",
)
def run_length_damaged(folder: Path) -> Made:
    made = _compressed(series(), RLELossless)
    paths = save_datasets(made.slices, folder)
    whole = paths[2].read_bytes()
    start = whole.index(b"\xfe\xff\x00\xe0", whole.index(b"\xe0\x7f\x10\x00") + 20) + 8
    header = np.frombuffer(whole[start : start + 64], "<u4").copy()
    header[2] += 4000  # the second segment now begins beyond the end
    paths[2].write_bytes(whole[:start] + header.tobytes() + whole[start + 64 :])
    return Made(folder, (made.scan.without(2),))


@case("no preamble")
def no_preamble(folder: Path) -> Made:
    made = series().save(folder)
    _strip(folder, 132)
    return made


@case("neither preamble nor file meta, implicit VR")
def no_meta(folder: Path) -> Made:
    made = _as_syntax(series(), ImplicitVRLittleEndian)
    for k, dataset in enumerate(made.slices):
        body = Dataset()
        body.update({element.tag: element for element in dataset})
        body.save_as(folder / f"{5 - k}.dcm", implicit_vr=True, little_endian=True)
    return Made(folder, (made.scan,))


@case("junk in the preamble")
def junk_preamble(folder: Path) -> Made:
    made = series().save(folder)
    for path in folder.iterdir():
        path.write_bytes(b"II*\0" + b"\xa5" * 124 + path.read_bytes()[128:])
    return made


@case("names of patients in other character sets")
def character_sets(folder: Path) -> Made:
    made = series()
    for dataset, charset in zip(
        made.slices,
        (["", "ISO 2022 IR 87"], "GB18030", "ISO_IR 144", "ISO_IR 100", "ISO_IR 192"),
        strict=True,
    ):
        dataset.SpecificCharacterSet = charset
    return made.save(folder)


@case("a character set that does not exist, and bytes that fit none")
def wrong_character_set(folder: Path) -> Made:
    made = series().set(SpecificCharacterSet="ISO_IR 192", SeriesDescription="ThorabcX")
    for path in save_datasets(made.slices, folder):
        whole = path.read_bytes().replace(b"ISO_IR 192", b"ISO_IR 999")
        path.write_bytes(whole.replace(b"ThorabcX", b"Th\xc3\xf8\xff\x80\x1bX"))
    return Made(folder, (made.scan,))


@case("private tags, nested sequences of undefined length, an icon with pixels of its own")
def deep_header(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        icon = Dataset()
        icon.Rows = icon.Columns = 4
        icon.SamplesPerPixel, icon.PhotometricInterpretation = 1, "MONOCHROME2"
        icon.BitsAllocated = icon.BitsStored = 8
        icon.HighBit, icon.PixelRepresentation = 7, 0
        icon.add_new(0x7FE00010, "OB", b"\1\2\3\4" * 4)
        dataset.IconImageSequence = [icon]
        reference, inner = Dataset(), Dataset()
        inner.ReferencedSOPInstanceUID = generate_uid()
        inner.ImagePositionPatient = [1, 2, 3]
        inner.RescaleIntercept = 77
        reference.SourceImageSequence = [inner]
        dataset.ReferencedImageSequence = [reference]
        for element in (dataset["IconImageSequence"], dataset["ReferencedImageSequence"]):
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
        dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(
            0x10, "OB", b"SV10\4\3\2\1" + bytes(range(256)) * 8
        )
    return made.save(folder)


@case("overlay planes before the pixels, group lengths in the header")
def overlays(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.add_new(0x60000010, "US", 8)
        dataset.add_new(0x60000011, "US", 9)
        dataset.add_new(0x60000040, "CS", "G")
        dataset.add_new(0x60000050, "SS", [1, 1])
        dataset.add_new(0x60000100, "US", 1)
        dataset.add_new(0x60000102, "US", 0)
        dataset.add_new(0x60003000, "OW", b"\xaa" * 10)
        dataset.add_new(0x00080000, "UL", 17)
        dataset.add_new(0x00280000, "UL", 999)
    return made.save(folder)


@case("file meta without a transfer syntax", {RIGHT, REFUSED}, because="(?i)syntax|encod|damag")
def no_syntax(folder: Path) -> Made:
    made = _as_syntax(series(), ImplicitVRLittleEndian)
    for path in save_datasets(made.slices, folder):
        whole = path.read_bytes()
        at = whole.index(b"\x02\x00\x10\x00UI")
        length = 8 + int.from_bytes(whole[at + 6 : at + 8], "little")
        path.write_bytes(whole[:at] + whole[at + length :])
    return Made(folder, (made.scan,))


@case("explicit VR declared, implicit written", {RIGHT, REFUSED}, because=".")
def lying_syntax(folder: Path) -> Made:
    made = _as_syntax(series(), ImplicitVRLittleEndian)
    for path in save_datasets(made.slices, folder):
        whole = path.read_bytes()
        at = whole.index(b"1.2.840.10008.1.2\0")
        assert whole[at - 2 : at] == b"\x12\x00"
        spelt = whole[: at - 2] + b"\x14\x00" + b"1.2.840.10008.1.2.1\0" + whole[at + 18 :]
        size = int.from_bytes(spelt[140:144], "little") + 2
        path.write_bytes(spelt[:140] + size.to_bytes(4, "little") + spelt[144:])
    return Made(folder, (made.scan,))


@case("implicit VR declared, explicit written", {RIGHT, REFUSED}, because=".")
def lying_syntax_back(folder: Path) -> Made:
    made = series()
    for path in save_datasets(made.slices, folder):
        whole = path.read_bytes()
        at = whole.index(b"1.2.840.10008.1.2.1\0")
        spelt = whole[: at - 2] + b"\x12\x00" + b"1.2.840.10008.1.2\0" + whole[at + 20 :]
        size = int.from_bytes(spelt[140:144], "little") - 2
        path.write_bytes(spelt[:140] + size.to_bytes(4, "little") + spelt[144:])
    return Made(folder, (made.scan,))


@case("NumberOfFrames is 1")
def one_frame(folder: Path) -> Made:
    return series().set(NumberOfFrames=1).save(folder)


@case("numbers as text with zero bytes behind")
def zero_padded(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        put_raw(dataset, "PixelSpacing", b"0.8\\0.6\0")
    return made.save(folder)
