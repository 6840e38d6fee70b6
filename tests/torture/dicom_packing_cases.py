"""DICOM series on a disc with a directory, and in zip files."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pydicom
from pydicom.fileset import FileSet

from torture.cases import Catalogue
from torture.dicom_series import series
from torture.judge import Made, Verdict

packings = Catalogue()
case = packings.case
ASKED, REPAIRED, REFUSED = Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
RIGHT = Verdict.RIGHT
LEAVE_OUT, INSERT = "leave-out-odd", "insert-missing"
LONG = "Röntgen Untersuchung 胸部 CT " + "sehr langer Name " * 6


@case("DICOMDIR")
def dicomdir(folder: Path) -> Made:
    made = series()
    file_set = FileSet()
    for dataset in made.slices:
        dataset.StudyTime = "101112"
        file_set.add(dataset)
    file_set.write(folder)
    return Made(folder / "DICOMDIR", (made.scan,))


@case("folder of a DICOMDIR")
def folder_of_dicomdir(folder: Path) -> Made:
    return Made(folder, dicomdir(folder).scans)


@case(
    "DICOMDIR that names a lost file",
    {REPAIRED, REFUSED},
    repairs=(INSERT, LEAVE_OUT),
    because="(?i)missing|not there|no such|lack",
)
def dicomdir_with_loss(folder: Path) -> Made:
    made = dicomdir(folder)
    slices = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "DICOMDIR")
    lost = next(
        p
        for p in slices
        if float(pydicom.dcmread(p, stop_before_pixels=True).ImagePositionPatient[2]) == 44
    )
    lost.unlink()
    return Made(made.path, (made.scans[0].without(2),))


@case("DICOMDIR in capitals, its files in small letters")
def dicomdir_small(folder: Path) -> Made:
    made = dicomdir(folder)
    for entry in sorted(folder.rglob("*"), key=lambda p: -len(p.parts)):
        if entry.name != "DICOMDIR" and entry.name != entry.name.lower():
            entry.rename(entry.with_name(entry.name.lower()))
    return made


def _zip(source: Path, target: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                archive.write(path, inside + str(path.relative_to(source)))
    return target


@case("zip")
def zipped(folder: Path) -> Made:
    made = series().save(folder / "series")
    path = _zip(made.path, folder / "export.zip")
    shutil.rmtree(made.path)
    return Made(path, made.scans)


@case("zip with folders, junk and other alphabets")
def zipped_deep(folder: Path) -> Made:
    made = series().save(folder / "series" / "Müller" / "胸部")
    (folder / "series" / "readme.txt").write_text("Enjoy", encoding="utf-8")
    (folder / "series" / "Müller" / "._IM00001.dcm").write_bytes(b"\0\5\26\7" + b"\0" * 200)
    path = _zip(folder / "series", folder / "export.zip", inside="A/B/C/")
    shutil.rmtree(folder / "series")
    return Made(path, made.scans)


@case("zip with one damaged slice", REFUSED, because="(?i)damag|checksum|crc|corrupt|zip")
def zipped_damaged(folder: Path) -> Made:
    made = series().save(folder / "series")
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for one in sorted(made.path.iterdir()):
            archive.write(one, one.name)
    shutil.rmtree(made.path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 4
    path.write_bytes(whole)
    return Made(path, made.scans)
