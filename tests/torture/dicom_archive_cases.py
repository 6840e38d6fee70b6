"""What an archive hands out with a CT, around a CT, or instead of one."""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000Lossless, generate_uid

from torture.cases import Catalogue
from torture.dicom_enhanced_cases import multi_frame
from torture.dicom_packing_cases import dicomdir
from torture.dicom_series import new_dataset, put_pixels, put_raw, save_datasets, series
from torture.judge import Made, Verdict, hu_at, later_hu_at
from torture.nifti_file import save_nifti

archive = Catalogue()
case = archive.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED


def _image(sop_class: str, modality: str, pixels: np.ndarray) -> FileDataset:
    dataset = new_dataset(sop_class)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = modality, 12, 1
    put_pixels(dataset, pixels)
    return dataset


def _alone(folder: Path, dataset: FileDataset) -> Made:
    dataset.save_as(folder / "one.dcm", enforce_file_format=True)
    return Made(folder)


def _dose() -> FileDataset:
    dataset = _image("1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE", np.ones((4, 6, 7), "<u4"))
    dataset.NumberOfFrames, dataset.GridFrameOffsetVector = 4, [0, 3, 6, 9]
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.DoseGridScaling, dataset.DoseUnits = [3, 3], 1e-4, "GY"
    return dataset


@case("a dose grid (RTDOSE) beside the CT")
def dose_beside(folder: Path) -> Made:
    _dose().save_as(folder / "dose.dcm", enforce_file_format=True)
    return series().save(folder)


@case("a dose grid alone", REFUSED, because="(?i)RTDOSE|dose", is_volume=False)
def dose_alone(folder: Path) -> Made:
    return _alone(folder, _dose())


@case("an ultrasound film", REFUSED, because="(?i)frame|US|where|ultrasound", is_volume=False)
def film(folder: Path) -> Made:
    dataset = _image("1.2.840.10008.5.1.4.1.1.3.1", "US", np.ones((5, 6, 7), "u1"))
    dataset.NumberOfFrames = 5
    return _alone(folder, dataset)


@case("a chest X-ray", REFUSED, because=".", is_volume=False)
def x_ray(folder: Path) -> Made:
    dataset = _image("1.2.840.10008.5.1.4.1.1.1.1", "DX", np.ones((30, 40), "<u2"))
    dataset.ImagerPixelSpacing = [0.14, 0.14]
    return _alone(folder, dataset)


@case("a CT painted with a palette", REFUSED, because="(?i)colou?r|palette", is_volume=False)
def palette(folder: Path) -> Made:
    made = series().set(PhotometricInterpretation="PALETTE COLOR")
    for dataset in made.slices:
        for tag in (0x00281101, 0x00281102, 0x00281103):
            dataset.add_new(tag, "US", [256, 0, 16])
        for tag in (0x00281201, 0x00281202, 0x00281203):
            dataset.add_new(tag, "OW", bytes(512))
    return made.save(folder)


@case("slices that are compressed files", REFUSED, because="(?i)no DICOM")
def gzipped(folder: Path) -> Made:
    made = series()
    for path in save_datasets(made.slices, folder):
        path.with_suffix(".dcm.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return Made(folder, (made.scan,))


@case("zip in a zip", {RIGHT, REFUSED}, because="(?i)zip|DICOM|begin")
def zip_in_zip(folder: Path) -> Made:
    made = series()
    with zipfile.ZipFile(folder / "inner.zip", "w") as inner:
        for path in save_datasets(made.slices, folder / "s"):
            inner.write(path, path.name)
            path.unlink()
    (folder / "s").rmdir()
    with zipfile.ZipFile(folder / "outer.zip", "w") as outer:
        outer.write(folder / "inner.zip", "inner.zip")
    return Made(folder / "outer.zip", (made.scan,))


@case("zip with a password", REFUSED, because="(?i)password|encrypt")
def zip_locked(folder: Path) -> Made:
    made = series()
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w") as inner:
        for one in save_datasets(made.slices, folder / "s"):
            inner.write(one, one.name)
            one.unlink()
    (folder / "s").rmdir()
    whole = bytearray(path.read_bytes())
    for magic, at_flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = whole.find(magic)
        while at >= 0:
            whole[at + at_flags] |= 1
            at = whole.find(magic, at + 4)
    path.write_bytes(whole)
    return Made(path, (made.scan,))


@case("zip with a NIfTI file", {RIGHT, REFUSED}, because="(?i)DICOM|begin|unpack")
def zip_of_nifti(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii.gz")
    with zipfile.ZipFile(folder / "ct.zip", "w") as outer:
        outer.write(made.path, "ct.nii.gz")
    made.path.unlink()
    return Made(folder / "ct.zip", made.scans)


@case("DICOMDIR that points out of its folder", REFUSED, because="(?i)outside|not there")
def dicomdir_climbing(folder: Path) -> Made:
    inside = folder / "disc"
    inside.mkdir()
    made = dicomdir(inside)
    records = pydicom.dcmread(made.path)
    for record in records.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            climbing = "\\".join(["..", *record.ReferencedFileID])
            even = climbing.encode() + b" " * (len(climbing) % 2)
            put_raw(record, "ReferencedFileID", even, "CS")
    records.save_as(made.path)
    return made


@case("one file of the second phase named, that phase meant")
def one_file_of_phase(folder: Path) -> Made:
    first, second = series(), series(value=later_hu_at)
    second.set(SeriesInstanceUID=first.uid, AcquisitionNumber=2)
    save_datasets(first.slices, folder, prefix="a")
    return Made(save_datasets(second.slices, folder, prefix="b")[2], (second.scan,))


@case("perfusion with a table that swings between two places", {ASKED, REFUSED}, because=".")
def shuttle(folder: Path) -> Made:
    parts = []
    for time in range(4):
        origin = (-21, -32, 40 if time % 2 == 0 else 48)
        part = series(4, origin=origin, value=lambda p, time=time: hu_at(p) + 30 * time)
        part.set(TemporalPositionIdentifier=time + 1, AcquisitionNumber=time + 1)
        part.set(SeriesInstanceUID=(parts or [part])[0].uid)
        save_datasets(part.slices, folder, prefix=f"{time}")
        parts.append(part)
    return Made(folder, tuple(part.scan for part in parts))


@case("a scan that was split over two series", ASKED)
def split_scan(folder: Path) -> Made:
    made = series(8)
    uid = generate_uid()
    for dataset in made.slices[4:]:
        dataset.SeriesInstanceUID, dataset.SeriesNumber = uid, 4
    halves = [replace(made.scan, levels=made.scan.levels[k : k + 4]) for k in (0, 4)]
    return Made(made.save(folder).path, tuple(halves))


def _enhanced(folder: Path, dataset: FileDataset, *scans: object) -> Made:
    dataset.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return Made(folder, scans)  # type: ignore[arg-type]


@case("enhanced multi-frame without pixel spacing", REFUSED, because="(?i)spacing|where it lies")
def no_measures(folder: Path) -> Made:
    made = series()
    dataset = multi_frame(made.slices)
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    return _enhanced(folder, dataset, made.scan)


@case(
    "enhanced multi-frame, a frame without a position",
    {REPAIRED, REFUSED},
    repairs=("leave-out-odd", "insert-missing"),
    because="(?i)position|where",
)
def frame_without_position(folder: Path) -> Made:
    made = series(7)
    dataset = multi_frame(made.slices)
    del dataset.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    return _enhanced(folder, dataset, replace(made.scan, levels=(0, 1, 2, 4, 5, 6)))


@case("enhanced multi-frame without rescale", quantity="unknown", remark="(?i)rescale|HU")
def enhanced_without_rescale(folder: Path) -> Made:
    made = series(dtype="<i2", intercept=0)
    dataset = multi_frame(made.slices)
    del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    return _enhanced(folder, dataset, made.scan)


@case("enhanced multi-frame, JPEG 2000")
def enhanced_jpeg(folder: Path) -> Made:
    made = series(size=(40, 40))
    dataset = multi_frame(made.slices[::-1])
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    return _enhanced(folder, dataset, made.scan)


@case("enhanced multi-frame beside a classic series", ASKED)
def enhanced_beside(folder: Path) -> Made:
    one, other = series(), series(value=later_hu_at)
    dataset = multi_frame(other.slices)
    dataset.SeriesNumber = 9
    made = _enhanced(folder, dataset, one.scan, other.scan)
    one.save(folder)
    return made
