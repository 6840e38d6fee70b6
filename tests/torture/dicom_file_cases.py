"""DICOM series whose files are encoded, packed, named or damaged in awkward ways."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
from pydicom.uid import (
    generate_uid,
)

from torture.cases import Catalogue
from torture.dicom_series import save_datasets, series
from torture.judge import Made, Verdict

files = Catalogue()
case = files.case
ASKED, REPAIRED, REFUSED = Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
RIGHT = Verdict.RIGHT
LEAVE_OUT, INSERT = "leave-out-odd", "insert-missing"
LONG = "Röntgen Untersuchung 胸部 CT " + "sehr langer Name " * 6


@case("one file named, its whole series meant")
def one_file(folder: Path) -> Made:
    made = series()
    other = series(number=8, origin=(0, 0, 300.0))
    save_datasets(other.slices, folder, prefix="other")
    return Made(save_datasets(made.slices, folder)[3], (made.scan,))


@case("file names without suffix")
def no_suffix(folder: Path) -> Made:
    return series().save(folder, suffix="")


@case("file names of other programs")
def odd_suffix(folder: Path) -> Made:
    made = series()
    names = ("CT.1.2.840.1.ima", "I10", "slice.4.jpg", "x.tmp", "2019-12-24 08.30.00.bin")
    for dataset, name in zip(made.slices, names, strict=True):
        dataset.save_as(folder / name, enforce_file_format=True)
    return Made(folder, (made.scan,))


@case("long names in other alphabets")
def long_names(folder: Path) -> Made:
    return series().save(folder / LONG[:90] / "Ärzte für Löß", prefix="切片 ")


@case("junk beside the slices")
def junk(folder: Path) -> Made:
    made = series().save(folder)
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    (folder / "._IM00001.dcm").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X" + b"\0" * 4000)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + b"\0" * 300)
    (folder / "report.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "preview.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 99)
    (folder / "notes.txt").write_text("Thorax", encoding="utf-8")
    (folder / "VERSION").write_bytes(b"")
    return made


@case("an empty file beside the slices")
def empty_file(folder: Path) -> Made:
    made = series().save(folder)
    (folder / "IM99999.dcm").write_bytes(b"")
    return made


@case(
    "one slice is an empty file",
    {REPAIRED, REFUSED},
    repairs=(INSERT, LEAVE_OUT),
    because="(?i)missing|empty|damag",
)
def emptied_slice(folder: Path) -> Made:
    made = series(7)
    save_datasets(made.slices, folder)[3].write_bytes(b"")
    return Made(folder, (made.scan.without(3),))


@case(
    "one slice cut in its pixels",
    {REPAIRED, REFUSED},
    repairs=(LEAVE_OUT, INSERT),
    because="(?i)pixel|cut|short|incomplete|end|damag",
)
def cut_pixels(folder: Path) -> Made:
    made = series(7)
    path = save_datasets(made.slices, folder)[3]
    path.write_bytes(path.read_bytes()[:-40])
    return Made(folder, (made.scan.without(3),))


@case(
    "one slice cut in its header",
    {REPAIRED, REFUSED},
    repairs=(LEAVE_OUT, INSERT),
    because=".",
)
def cut_header(folder: Path) -> Made:
    made = series(7)
    path = save_datasets(made.slices, folder)[3]
    path.write_bytes(path.read_bytes()[:700])
    return Made(folder, (made.scan.without(3),))


@case(
    "one slice a byte too short",
    {REPAIRED, REFUSED},
    repairs=(LEAVE_OUT, INSERT),
    because="(?i)pixel|cut|short|incomplete|end|damag",
)
def byte_short(folder: Path) -> Made:
    made = series(7)
    path = save_datasets(made.slices, folder)[3]
    path.write_bytes(path.read_bytes()[:-1])
    return Made(folder, (made.scan.without(3),))


@case("all slices cut in their pixels", REFUSED, because="(?i)pixel|cut|short|incomplete|end")
def all_cut(folder: Path) -> Made:
    made = series().save(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-40])
    return made


@case("pixel data two bytes longer than the picture")
def padded_pixels(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.PixelData = dataset.PixelData + b"\0\0"
    return made.save(folder)


@case("bytes after the end of the data set", {RIGHT, REFUSED}, because=".")
def trailing_bytes(folder: Path) -> Made:
    made = series().save(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes() + b"\0" * 512)
    return made


@case("DataSetTrailingPadding")
def trailing_padding(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.add_new(0xFFFCFFFC, "OB", b"\0" * 300)
    return made.save(folder)


@case("header says more rows than there are pixels", REFUSED, because="(?i)pixel|rows|short|end")
def too_many_rows(folder: Path) -> Made:
    return series().set(Rows=64).save(folder)


@case("every slice twice, the copies in a folder of their own", remark="(?i)twice|duplicate|cop")
def doubled(folder: Path) -> Made:
    made = series()
    save_datasets(made.slices, folder / "copy")
    return Made(folder, made.save(folder).scans)


@case("one slice twice", remark="(?i)twice|duplicate|cop")
def one_twice(folder: Path) -> Made:
    made = series()
    made.slices[2].save_as(folder / "again.dcm", enforce_file_format=True)
    return made.save(folder)


@case("one slice twice, the copy with a UID of its own", remark="(?i)twice|duplicate|cop")
def one_twice_renamed(folder: Path) -> Made:
    made = series()
    paths = save_datasets(made.slices, folder)
    copy = pydicom.dcmread(paths[2])
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    copy.InstanceNumber = 99
    copy.save_as(folder / "again.dcm", enforce_file_format=True)
    return Made(folder, (made.scan,))


@case("one series over several folders")
def scattered(folder: Path) -> Made:
    made = series(6)
    for k, dataset in enumerate(made.slices):
        (folder / f"part{k % 3}" / "deep").mkdir(parents=True, exist_ok=True)
        dataset.save_as(folder / f"part{k % 3}" / "deep" / f"{k}.dcm", enforce_file_format=True)
    return Made(folder, (made.scan,))


@case("a text file that calls itself DICOM", REFUSED, because=".")
def not_dicom(folder: Path) -> Made:
    path = folder / "slice.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + io.BytesIO(b"hello " * 100).getvalue())
    return Made(path)
