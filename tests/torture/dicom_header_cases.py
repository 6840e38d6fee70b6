"""DICOM series whose headers are empty, odd or at war with their pixels."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from torture.cases import Catalogue
from torture.dicom_series import put_pixels, put_raw, save_datasets, series, stored_numbers
from torture.judge import Made, Verdict, hu_at, later_hu_at

headers = Catalogue()
case = headers.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED


@case(
    "intercept empty in all slices", {RIGHT, REFUSED}, because="(?i)rescale|HU", quantity="unknown"
)
def empty_intercept(folder: Path) -> Made:
    made = series(intercept=0, dtype="<i2")
    for dataset in made.slices:
        put_raw(dataset, "RescaleIntercept", b"")
    return made.save(folder)


@case(
    "slope without an intercept",
    {RIGHT, REFUSED},
    because="(?i)rescale|HU|intercept",
    quantity="unknown",
)
def no_intercept(folder: Path) -> Made:
    made = series(intercept=0, dtype="<i2").set(RescaleIntercept=None)
    return made.save(folder)


@case(
    "two slopes in one slice",
    {REPAIRED, REFUSED},
    repairs=("leave-out-odd", "insert-missing"),
    because="(?i)slope|rescale|number|value|missing",
)
def two_slopes(folder: Path) -> Made:
    made = series()
    put_raw(made.slices[2], "RescaleSlope", b"1\\2 ")
    made.scan = replace(made.scan, levels=(0, 1, 3, 4))
    return made.save(folder)


@case("window presets that are no numbers")
def odd_windows(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        put_raw(dataset, "WindowCenter", b"40\\abc\\")
        put_raw(dataset, "WindowWidth", b"0 ")
    return made.save(folder)


@case("numbers of series, slice and acquisition are empty or no numbers")
def odd_numbers(folder: Path) -> Made:
    made = series().set(InstanceNumber=7777777, AcquisitionNumber=8888888, SliceLocation=999.999)
    for dataset in made.slices:
        put_raw(dataset, "SeriesNumber", b"", "IS")
        put_raw(dataset, "SliceThickness", b"")
    for path in save_datasets(made.slices, folder):
        whole = path.read_bytes().replace(b"7777777", b"x1     ").replace(b"8888888", b"1.5 or2")
        path.write_bytes(whole.replace(b"999.999", b"unknown"))
    return Made(folder, (made.scan,))


@case("pixel spacing with one number", {REPAIRED, REFUSED}, because="(?i)spacing|where it lies")
def one_spacing(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        put_raw(dataset, "PixelSpacing", b"0.8 ")
    return made.save(folder)


@case("pixel spacing 0", REFUSED, because="(?i)spacing")
def zero_spacing(folder: Path) -> Made:
    return series().set(PixelSpacing=[0, 0.6]).save(folder)


@case("pixel spacing negative", REFUSED, because="(?i)spacing")
def negative_spacing(folder: Path) -> Made:
    return series().set(PixelSpacing=[-0.8, 0.6]).save(folder)


@case("position with two numbers", REFUSED, because="(?i)position|where it lies")
def two_coordinates(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        put_raw(dataset, "ImagePositionPatient", b"-21\\-32 ")
    return made.save(folder)


@case("no rows", REFUSED, because="(?i)row|size|pixel|image")
def no_rows(folder: Path) -> Made:
    return series().set(Rows=0).save(folder)


@case("size of the picture not said", REFUSED, because="(?i)row|column|size|image")
def no_size(folder: Path) -> Made:
    return series().set(Rows=None, Columns=None).save(folder)


@case("more bits stored than there are", {RIGHT, REFUSED}, because="(?i)bit")
def too_many_bits(folder: Path) -> Made:
    return series().set(BitsStored=20, HighBit=19).save(folder)


@case("12 bits packed without gaps", REFUSED, because="(?i)bit")
def packed_bits(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 12, 12, 11
        dataset.PixelData = dataset.PixelData[: 72 * 12 // 8]
    return made.save(folder)


@case("number of samples not said", {RIGHT, REFUSED}, because=".")
def no_samples(folder: Path) -> Made:
    return series().set(SamplesPerPixel=None).save(folder)


@case("signedness not said", REFUSED, because="(?i)pixel representation|sign")
def no_sign(folder: Path) -> Made:
    return series(dtype="<i2", intercept=0).set(PixelRepresentation=None).save(folder)


@case("modality not said, the class says CT")
def no_modality(folder: Path) -> Made:
    return series().set(Modality="").save(folder)


@case("CT as secondary capture with geometry")
def secondary_capture(folder: Path) -> Made:
    made = series().set(ImageType=["DERIVED", "SECONDARY"])
    for dataset in made.slices:
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    return made.save(folder)


@case("screenshots of a CT without rescale and geometry", REFUSED, because=".")
def screenshots(folder: Path) -> Made:
    made = series().set(
        ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None,
        RescaleSlope=None, RescaleIntercept=None, SliceThickness=None,
        ImageType=["DERIVED", "SECONDARY"],
    )  # fmt: skip
    return made.save(folder)


@case("a scout that does not call itself one", {RIGHT, REPAIRED}, repairs=("leave-out-odd",))
def unnamed_scout(folder: Path) -> Made:
    made = series()
    scout = series(1, orientation=(1, 0, 0, 0, 0, -1), size=(20, 30), origin=(-60, -30, 90))
    scout.set(SeriesInstanceUID=made.uid)
    save_datasets(scout.slices, folder, prefix="scout")
    return made.save(folder)


@case("JPEG 2000 codes unsigned, the header says signed", {RIGHT, REFUSED}, because="(?i)sign")
def signs_differ(folder: Path) -> Made:
    made = series(dtype="<i2", intercept=0, size=(40, 40))
    for dataset in made.slices:
        dataset.PixelRepresentation = 0
        dataset.compress(UID(JPEG2000Lossless), generate_instance_uid=False)
        dataset.PixelRepresentation = 1
    return made.save(folder)


@case("JPEG-LS of signed pixels")
def jpeg_ls_signed(folder: Path) -> Made:
    made = series(dtype="<i2", intercept=0)
    for dataset in made.slices:
        dataset.compress(UID(JPEGLSLossless), generate_instance_uid=False)
    return made.save(folder)


@case("said to be RLE, pixels are plain", {RIGHT, REFUSED}, because=".")
def plain_called_rle(folder: Path) -> Made:
    made = series()
    for path in save_datasets(made.slices, folder):
        whole = path.read_bytes()
        # One byte shorter, padded as UIDs are.
        path.write_bytes(whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))
    return Made(folder, (made.scan,))


@case("said to be plain, pixels are RLE", {RIGHT, REFUSED}, because=".")
def rle_called_plain(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.compress(RLELossless, generate_instance_uid=False)
    for path in save_datasets(made.slices, folder):
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0"))
    return Made(folder, (made.scan,))


@case("compressed as 12 bits, the header says 16")
def fewer_bits_coded(folder: Path) -> Made:
    made = series(size=(40, 40))
    for dataset in made.slices:
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.compress(UID(JPEG2000Lossless), generate_instance_uid=False)
        dataset.BitsStored, dataset.HighBit = 16, 15
    return made.save(folder)


@case(
    "one slice decodes to another size",
    {REPAIRED, REFUSED},
    repairs=("leave-out-odd", "insert-missing"),
    because="(?i)size|shape|pixel|row",
)
def coded_size(folder: Path) -> Made:
    made = series(7)
    for dataset in made.slices:
        dataset.compress(UID(JPEGLSLossless), generate_instance_uid=False)
    other = series(1, size=(9, 7))
    other.slices[0].compress(UID(JPEGLSLossless), generate_instance_uid=False)
    made.slices[3].PixelData = other.slices[0].PixelData
    made.scan = replace(made.scan, levels=(0, 1, 2, 4, 5, 6))
    return made.save(folder)


@case("two tiles side by side under one UID", {ASKED, REFUSED}, because=".")
def tiles(folder: Path) -> Made:
    left, right = series(), series(origin=(80, -32, 40))
    right.set(SeriesInstanceUID=left.uid)
    save_datasets(left.slices, folder, prefix="a")
    save_datasets(right.slices, folder, prefix="b")
    return Made(folder, (left.scan, right.scan))


@case("two breaths that overlap by a slice and a half", {ASKED, REPAIRED, REFUSED}, because=".")
def two_breaths(folder: Path) -> Made:
    first = series(6)
    second = series(6, origin=(-21, -32, 40 + 2 * 4.5), value=later_hu_at)
    second.set(SeriesInstanceUID=first.uid, AcquisitionNumber=2)
    save_datasets(first.slices, folder, prefix="a")
    save_datasets(second.slices, folder, prefix="b")
    return Made(folder, (first.scan, second.scan))


@case("two breaths that overlap by two whole slices", {ASKED, REFUSED}, because=".")
def two_breaths_even(folder: Path) -> Made:
    first = series(6)
    second = series(6, origin=(-21, -32, 40 + 2 * 4), value=later_hu_at)
    second.set(SeriesInstanceUID=first.uid, AcquisitionNumber=2)
    save_datasets(first.slices, folder, prefix="a")
    save_datasets(second.slices, folder, prefix="b")
    return Made(folder, (first.scan, second.scan))


@case("padding with black and white swapped", remark="(?i)padding")
def padding_swapped(folder: Path) -> Made:
    made = series(dtype="<i2", intercept=0).set(PhotometricInterpretation="MONOCHROME1")
    padded = np.zeros((9, 8, 5), bool)
    padded[:, 7] = True
    for dataset in made.slices:
        pixels = dataset.pixel_array.copy()
        pixels[7] = -2000
        dataset.PixelData = pixels.tobytes()
        dataset.add_new(0x00280120, "SS", -2000)
    made.scan = replace(made.scan, padded=padded)
    return made.save(folder)


@case("padding of another number in each slice", remark="(?i)padding")
def padding_varies(folder: Path) -> Made:
    made = series(dtype="<i2", intercept=0)
    padded = np.zeros((9, 8, 5), bool)
    padded[0] = True
    for k, dataset in enumerate(made.slices):
        pixels = dataset.pixel_array.copy()
        pixels[:, 0] = -2000 - k
        dataset.PixelData = pixels.tobytes()
        dataset.add_new(0x00280120, "SS", -2000 - k)
    made.scan = replace(made.scan, padded=padded)
    return made.save(folder)


@case("signed in one slice, unsigned in the others")
def mixed_signs(folder: Path) -> Made:
    made = series()
    one = made.slices[2]
    stored = stored_numbers(made.scan.points()[:, :, 2], hu_at, 1, 0, "<i2")
    put_pixels(one, stored)
    one.RescaleIntercept = 0
    return made.save(folder)


@case("12 bits in one slice, 16 in the others")
def mixed_bits(folder: Path) -> Made:
    made = series()
    made.slices[1].BitsStored, made.slices[1].HighBit = 12, 11
    return made.save(folder)


@case("a folder called like a file, a pipe and a link to itself beside the slices")
def traps(folder: Path) -> Made:
    made = series().save(folder)
    (folder / "IM77777.dcm").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.dcm")
        (folder / "loop").symlink_to(folder, target_is_directory=True)
        (folder / "lost.dcm").symlink_to(folder / "nowhere.dcm")
    return made


@case("a folder without DICOM", REFUSED, because="(?i)no DICOM")
def nothing(folder: Path) -> Made:
    (folder / "readme.txt").write_text("Nothing here", encoding="ascii")
    return Made(folder)


@case("an empty folder", REFUSED, because="(?i)no DICOM|empty")
def empty(folder: Path) -> Made:
    return Made(folder)


@case("zip with two series", ASKED)
def zip_of_two(folder: Path) -> Made:
    made = series(number=2), series(number=4, value=later_hu_at)
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        for k, one in enumerate(made):
            for path in save_datasets(one.slices, folder / str(k)):
                archive.write(path, f"{k}/{path.name}")
                path.unlink()
            (folder / str(k)).rmdir()
    return Made(folder / "export.zip", tuple(one.scan for one in made))


@case(
    "zip whose members climb out of the folder", {RIGHT, REFUSED}, because="(?i)outside|path|name"
)
def zip_climbing(folder: Path) -> Made:
    made = series()
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        for path in save_datasets(made.slices, folder / "s"):
            archive.write(path, f"../../{path.name}")
            path.unlink()
    (folder / "s").rmdir()
    return Made(folder / "export.zip", (made.scan,))


@case("zip that is cut short", REFUSED, because="(?i)zip|damag|cut|incomplete")
def zip_cut(folder: Path) -> Made:
    made = series()
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for one in save_datasets(made.slices, folder / "s"):
            archive.write(one, one.name)
            one.unlink()
    (folder / "s").rmdir()
    path.write_bytes(path.read_bytes()[:-300])
    return Made(path, (made.scan,))


@case("copies of the series that another program compressed", remark="(?i)twice|duplicate|cop")
def compressed_copies(folder: Path) -> Made:
    made = series()
    for path in save_datasets(made.slices, folder / "plain"):
        copy = pydicom.dcmread(path)
        copy.compress(RLELossless, generate_instance_uid=False)
        copy.save_as(folder / path.name, enforce_file_format=True)
    return Made(folder, (made.scan,))
