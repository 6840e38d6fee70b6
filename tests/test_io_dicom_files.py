"""Where DICOM files are found, and what of them is read."""

from __future__ import annotations

import os
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from dicom_factory import make_series, make_slice, save_all
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io.dicom import files as dicom_files
from napari_hirescam.io.dicom import zip as dicom_zip
from napari_hirescam.io.dicom.files import find_slices, holds_dicom, is_dicom_source
from napari_hirescam.io.reading import Reading


def found_names(path: Path) -> list[str]:
    return [header.path.name for header in find_slices(path, Reading()).headers]


def is_source(path: Path) -> bool:
    return is_dicom_source(path, b"" if path.is_dir() else path.read_bytes()[:4096])


@pytest.fixture
def series_folder(tmp_path: Path) -> Path:
    return save_all(make_series(4, series_uid="1.2.3"), tmp_path / "series")


# Folders.


def test_a_folder_is_searched_at_any_depth_in_the_order_of_names(tmp_path):
    save_all(make_series(2, series_uid="1.2.3"), tmp_path / "b" / "deep")
    save_all(make_series(2, series_uid="1.2.4"), tmp_path / "a")
    places = [header.path.relative_to(tmp_path) for header in
              find_slices(tmp_path, Reading()).headers]  # fmt: skip
    assert places == sorted(places)
    assert [place.parts[0] for place in places] == ["a", "a", "b", "b"]


def test_other_files_are_passed_over_and_damaged_ones_listed_with_the_reason(series_folder):
    (series_folder / "notes.txt").write_text("not DICOM")
    (series_folder / "empty").write_bytes(b"")
    (series_folder / "cut.dcm").write_bytes(bytes(128) + b"DICM")
    found = find_slices(series_folder, Reading())
    assert (len(found.headers), found.n_other) == (4, 2)
    (error,) = found.damaged
    assert error.subject.endswith("cut.dcm")
    assert "cannot be understood" in error.reason


def test_one_file_means_its_own_folder_and_none_below(series_folder):
    save_all(make_series(3, series_uid="1.2.4"), series_folder / "below")
    one = min(series_folder.glob("*.dcm"))
    assert len(found_names(one)) == 4
    assert found_names(one) == sorted(found_names(one))


def test_a_named_file_that_is_damaged_is_refused_itself(series_folder):
    bad = series_folder / "bad.dcm"
    bad.write_bytes(bytes(128) + b"DICM")
    with pytest.raises(VolumeError, match="cannot be understood") as caught:
        find_slices(bad, Reading())
    assert caught.value.subject == str(bad)


def test_each_file_is_opened_once(series_folder, monkeypatch):
    (series_folder / "notes.txt").write_text("not DICOM")
    opened: list[str] = []
    plain_open = Path.open

    def counting(self, *args, **options):
        opened.append(self.name)
        return plain_open(self, *args, **options)

    monkeypatch.setattr(Path, "open", counting)
    find_slices(series_folder, Reading())
    assert sorted(opened) == sorted(file.name for file in series_folder.iterdir())


def test_links_are_followed_once_and_dead_ones_and_pipes_left_alone(series_folder, tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    (top / "linked").symlink_to(series_folder)
    (top / "again").symlink_to(series_folder)
    (top / "loop").symlink_to(top)
    (top / "lost.dcm").symlink_to(top / "nowhere")
    (top / "circle.dcm").symlink_to(top / "circle.dcm")
    os.mkfifo(top / "pipe.dcm")
    found = find_slices(top, Reading())
    assert (len(found.headers), found.damaged) == (4, ())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_may_not_be_read_is_not_taken_for_empty(series_folder):
    series_folder.chmod(0)
    try:
        with pytest.raises(PermissionError):
            find_slices(series_folder.parent, Reading())
    finally:
        series_folder.chmod(0o755)


def test_sniffing_tells_dicom_from_the_rest(series_folder, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.dcm").write_text("no")
    assert is_source(series_folder)
    assert is_source(min(series_folder.iterdir()))
    assert not is_source(tmp_path / "text")
    assert not is_source(tmp_path / "text" / "a.dcm")
    assert not holds_dicom(tmp_path / "text")


# Progress and stopping.


def test_progress_counts_every_file_and_never_goes_back(tmp_path):
    for k in range(5):
        save_all(make_series(8, series_uid=f"1.2.{k}"), tmp_path / str(k))
    seen: list[tuple[int, int]] = []
    find_slices(tmp_path, Reading(progress=lambda done, total: seen.append((done, total))))
    assert seen[0] == (0, 40)
    assert seen[-1] == (40, 40)
    assert seen == sorted(seen)


def test_stopping_is_answered_at_once_while_a_drive_hangs(series_folder, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(
        dicom_files, "read_headers", lambda path, **options: released.wait(20) and ()
    )
    start = time.monotonic()
    try:
        with pytest.raises(Cancelled):
            find_slices(series_folder, Reading(should_stop=lambda: time.monotonic() - start > 0.1))
        assert time.monotonic() - start < 0.6
    finally:
        released.set()


# DICOMDIR.


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A folder with a DICOMDIR and the files it names."""
    files = FileSet()
    for k, one in enumerate(make_series(3, series_uid=generate_uid())):
        for keyword, value in {
            "PatientName": "A", "PatientID": "1", "StudyInstanceUID": "1.2.9", "StudyID": "1",
            "StudyDate": "20000101",
            "StudyTime": "000000", "InstanceNumber": k,
        }.items():  # fmt: skip
            setattr(one.dataset, keyword, value)
        files.add(one.dataset)
    files.write(tmp_path / "disc")
    save_all(make_series(1, series_uid=generate_uid()), tmp_path / "disc" / "unlisted")
    return tmp_path / "disc"


def images_of(disc: Path) -> list[Path]:
    return sorted(p for p in disc.rglob("*") if p.is_file() and "unlisted" not in str(p)
                  and p.name != "DICOMDIR")  # fmt: skip


def test_a_dicomdir_stands_for_the_files_it_names(disc):
    found = find_slices(disc / "DICOMDIR", Reading())
    assert [header.path for header in found.headers] == images_of(disc)
    assert found.damaged == ()
    assert is_source(disc / "DICOMDIR")


def test_a_dicomdir_in_a_folder_is_no_slice_and_no_damage(disc):
    (disc / "DICOMDIR").rename(disc / "index.of.the.disc")
    found = find_slices(disc, Reading())
    assert (len(found.headers), found.damaged, found.n_other) == (4, (), 1)


def test_names_in_another_case_with_version_numbers_are_found(disc):
    for image in images_of(disc):
        image.rename(image.with_name(image.name.lower() + ";1"))
    for folder in sorted((p for p in disc.rglob("*") if p.is_dir()), reverse=True):
        folder.rename(folder.with_name(folder.name.lower()))
    assert len(find_slices(disc / "DICOMDIR", Reading()).headers) == 3


def test_files_a_dicomdir_names_in_vain_are_an_error_that_names_them(disc):
    gone = images_of(disc)[1]
    gone.unlink()
    found = find_slices(disc / "DICOMDIR", Reading())
    assert len(found.headers) == 2
    (error,) = found.damaged
    assert f"1 file that is not there: {gone.relative_to(disc).as_posix()}" in error.reason


@pytest.mark.parametrize("file_id", [["..", "secret"], ["A/../../secret"], ["C:", "X"]])
def test_a_dicomdir_that_leads_out_of_its_folder_is_refused(disc, file_id):
    import pydicom

    directory = pydicom.dcmread(disc / "DICOMDIR")
    for record in directory.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record.ReferencedFileID = file_id
    directory.save_as(disc / "DICOMDIR")
    with pytest.raises(VolumeError, match="outside its folder"):
        find_slices(disc / "DICOMDIR", Reading())


def test_an_empty_dicomdir_is_refused(disc):
    import pydicom

    directory = pydicom.dcmread(disc / "DICOMDIR")
    directory.DirectoryRecordSequence = [Dataset()]
    directory.save_as(disc / "DICOMDIR")
    with pytest.raises(VolumeError, match="names no files"):
        find_slices(disc / "DICOMDIR", Reading())


# Zip.


def zipped(folder: Path, target: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path("study") / file.relative_to(folder))
        for name, content in more.items():
            archive.writestr(name, content)
    return target


@pytest.fixture
def archive(series_folder: Path, tmp_path: Path) -> Path:
    return zipped(series_folder, tmp_path / "series.zip", readme=b"text", numbers=bytes(999))


def test_a_zip_stands_for_the_dicom_files_in_it(archive, series_folder):
    assert is_source(archive)
    headers = find_slices(archive, Reading()).headers
    assert [h.path.name for h in headers] == sorted(p.name for p in series_folder.iterdir())
    assert all(h.path.read_bytes() == (series_folder / h.path.name).read_bytes() for h in headers)


def test_the_same_zip_is_unpacked_once_and_a_changed_one_again(archive, series_folder):
    first = dicom_zip.unpacked(archive, Reading())
    assert dicom_zip.unpacked(archive, Reading()) == first
    before = archive.stat()
    os.utime(archive, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    second = dicom_zip.unpacked(archive, Reading())
    assert second != first
    make_slice((0, 0, 0), series_uid="1.2.9", name="new.dcm").save(series_folder)
    zipped(series_folder, archive)
    os.utime(archive, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    assert dicom_zip.unpacked(archive, Reading()) != second
    assert "new.dcm" in found_names(archive)


def test_one_flipped_bit_in_a_zip_is_refused_by_its_checksum(series_folder, tmp_path):
    stored = tmp_path / "stored.zip"
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as out:
        for file in sorted(series_folder.iterdir()):
            out.write(file, file.name)
    content = bytearray(stored.read_bytes())
    last_pixels = content.rindex(b"\xe0\x7f\x10\x00") + 40
    content[last_pixels] ^= 1
    stored.write_bytes(content)
    with pytest.raises(VolumeError, match=r"the zip is damaged.*CRC"):
        find_slices(stored, Reading())


def test_a_zip_cut_short_is_told_as_damaged(archive):
    archive.write_bytes(archive.read_bytes()[:-300])
    assert is_source(archive)
    with pytest.raises(VolumeError, match="the zip is damaged"):
        find_slices(archive, Reading())


def test_a_zip_of_arrays_is_left_to_its_reader(tmp_path):
    import numpy as np

    np.savez(tmp_path / "a.npz", ct=np.zeros((4, 4)))
    assert not is_source(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    assert not is_source(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["../evil.dcm", "/evil.dcm", "a/../../evil.dcm", "C:\\evil.dcm"])
def test_a_member_that_would_leave_the_folder_is_refused(series_folder, tmp_path, name):
    path = tmp_path / "trick.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(name, min(series_folder.iterdir()).read_bytes())
    with pytest.raises(VolumeError, match="outside of the folder"):
        find_slices(path, Reading())
    assert not list(tmp_path.rglob("evil.dcm"))


def test_a_locked_zip_is_refused_for_its_password(archive):
    content = bytearray(archive.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:  # the flag of each member, in the directory and in front of it
        content[at + 8] |= 1
        local = int.from_bytes(content[at + 42 : at + 46], "little")
        content[local + 6] |= 1
        at = content.find(b"PK\x01\x02", at + 4)
    archive.write_bytes(content)
    assert is_source(archive)
    with pytest.raises(VolumeError, match="password"):
        find_slices(archive, Reading())


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_unpacked(archive, monkeypatch):
    monkeypatch.setattr(dicom_zip.shutil, "disk_usage", lambda _: SimpleNamespace(free=300 << 20))
    monkeypatch.setattr(dicom_zip, "_DISK_RESERVE", (300 << 20) - 1000)
    made: list[Path] = []
    monkeypatch.setattr(dicom_zip.Path, "mkdir", lambda self, **_: made.append(self))
    with pytest.raises(VolumeError, match="unpacking it takes"):
        find_slices(archive, Reading())
    assert made == []


def test_a_stopped_unpacking_leaves_nothing_behind(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_zip.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    asked = iter([False] * 7 + [True] * 99)
    with pytest.raises(Cancelled):
        dicom_zip.unpacked(archive, Reading(should_stop=lambda: next(asked)))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_zip_without_dicom_is_refused(tmp_path):
    path = tmp_path / "texts.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.txt", "text")
    assert not is_source(path)
    with pytest.raises(VolumeError, match="holds no DICOM files"):
        find_slices(path, Reading())


def test_a_zip_of_two_files_of_one_name_is_refused_by_name(series_folder, tmp_path):
    path = tmp_path / "ct.zip"
    file = next(series_folder.iterdir())
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(file, "one")
        archive.write(file, "one/under/it")
    with pytest.raises(
        VolumeError, match=r"cannot be unpacked under its name \(one/under"
    ) as caught:
        find_slices(path, Reading())
    assert caught.value.subject == str(path)


def test_a_zip_that_would_fill_the_disk_from_nothing_is_refused(archive, monkeypatch):
    monkeypatch.setattr(dicom_zip, "_HARMLESS", 1)
    monkeypatch.setattr(dicom_zip, "_MOST_PACKED", 0.1)
    with pytest.raises(VolumeError, match="as no CT does"):
        find_slices(archive, Reading())


def test_dicom_files_are_found_behind_the_viewer_of_a_disc(series_folder, tmp_path):
    path = zipped(series_folder, tmp_path / "disc.zip")
    first = tmp_path / "viewer_first.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(first, "w") as new:
        for k in range(500):
            new.writestr(f"VIEWER/{k}.dll", b"MZ")
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert is_dicom_source(first, first.read_bytes()[:132])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not io.can_read(tmp_path / "pipe")
    with pytest.raises(VolumeError, match="neither a file nor a folder"):
        io.read_volume(tmp_path / "pipe")
