"""A file is the old one or the new one, whatever the disk does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from napari_hirescam import safe_write
from napari_hirescam.safe_write import (
    Section,
    remove_leftovers,
    replace_file,
    require_writable,
    write_file,
)

OLD, NEW = b"the old file", b"the new file, which is longer"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "result.bin"
    path.write_bytes(OLD)
    return path


def write(path: Path, *, gzipped: bool = False, overwrite: bool = True) -> None:
    sections = [Section(lambda: [NEW[:10], NEW[10:]]), Section(lambda: [NEW] * 3, gzipped=gzipped)]
    write_file(path, sections, overwrite=overwrite)


def assert_untouched(file: Path) -> None:
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]


def test_sections_follow_each_other_and_only_the_name_that_was_asked_for_remains(file):
    write(file)
    assert file.read_bytes() == NEW * 4
    assert list(file.parent.iterdir()) == [file]


def test_a_file_is_for_whoever_may_read_the_folder(file):
    before = os.umask(0o022)
    try:
        replace_file(file, NEW)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o644


def test_an_existing_file_stays_unless_it_may_go(file):
    with pytest.raises(FileExistsError, match="file of this name"):
        write(file, overwrite=False)
    assert_untouched(file)


def test_a_file_that_appears_while_one_is_written_stays_too(tmp_path, monkeypatch):
    path = tmp_path / "result.bin"
    fsync = os.fsync

    def another_writer(handle: int) -> None:
        fsync(handle)
        path.write_bytes(OLD)

    monkeypatch.setattr("os.fsync", another_writer)
    with pytest.raises(FileExistsError):
        write(path, overwrite=False)
    assert_untouched(path)


def test_where_the_disk_knows_no_links_a_new_file_is_renamed(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    write(tmp_path / "result.bin", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["result.bin"]


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_full_disk_leaves_the_old_file(file, monkeypatch, gzipped):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(file, gzipped=gzipped)
    assert_untouched(file)


def test_a_folder_is_made_and_stays_empty(tmp_path):
    require_writable(tmp_path / "new" / "folder")
    require_writable(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    def full(_file: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        require_writable(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failing_rename_leaves_the_old_file(file, monkeypatch):
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="Input/output"):
        write(file)
    assert_untouched(file)


def test_a_write_that_takes_only_a_part_is_a_failure(file, monkeypatch):
    class Short:
        def __init__(self, stream) -> None:
            self.stream = stream

        def write(self, chunk: bytes) -> int:
            return self.stream.write(chunk[:-1])

    whole = safe_write._write
    monkeypatch.setattr(safe_write, "_write", lambda stream, part: whole(Short(stream), part))
    with pytest.raises(OSError, match="No space left"):
        write(file)
    assert_untouched(file)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("damage", ["bit", "cut", "longer"])
def test_a_disk_that_gives_back_something_else_is_caught(file, monkeypatch, gzipped, damage):
    fsync = os.fsync

    def treacherous(handle: int) -> None:
        fsync(handle)
        (part,) = (path for path in file.parent.iterdir() if path != file)
        content = bytearray(part.read_bytes())
        if damage == "bit":
            content[-20] ^= 4
        part.write_bytes(content[:-9] if damage == "cut" else content + b"?" * (damage == "longer"))

    monkeypatch.setattr("os.fsync", treacherous)
    with pytest.raises(OSError, match="reads back differently"):
        write(file, gzipped=gzipped)
    assert_untouched(file)


def test_a_program_that_is_killed_half_way_leaves_nothing_under_the_name(tmp_path):
    path = tmp_path / "result.bin"

    def dies_after_the_first_piece():
        yield NEW
        os._exit(9)

    child = os.fork()
    if child == 0:
        write_file(path, [Section(dies_after_the_first_piece)], overwrite=False)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    assert not path.exists()


def test_what_a_killed_program_left_goes_after_a_day_and_nothing_else(tmp_path):
    names = (".mask.nii.gz.0a1b.part", ".mask.nii.gz.2c3d.part", "mask.part", ".hidden")
    for name in names:
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (0, 0))
    os.utime(tmp_path / names[1])  # somebody is writing it now
    (tmp_path / ".folder.part").mkdir()  # cannot be removed, and stops nobody
    os.utime(tmp_path / ".folder.part", (0, 0))
    remove_leftovers(tmp_path)
    (tmp_path / ".folder.part").rmdir()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names[1:])
