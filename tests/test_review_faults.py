"""What may befall a review's file: another writer, a full disk, no right to write, damage."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from stored_reviews import PLAN, items_in, make_review

from napari_hirescam.errors import ReviewError
from napari_hirescam.review import database, network_drive
from napari_hirescam.review.blank_review import write_blank
from napari_hirescam.review.review_file import ReviewFile


@pytest.fixture
def file(tmp_path):
    """Return the path of a review in which Ann has rated."""
    with make_review(tmp_path, 40) as review:
        for number in range(1, 41):
            review.record("Ann", number, "comment", f"number {number} " * 20)
    return tmp_path / "review.db"


@pytest.fixture
def another_writer(file):
    """Return a connection that holds the file for writing."""
    raw = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    raw.execute("BEGIN IMMEDIATE")
    yield raw
    raw.close()


def test_another_writer_is_waited_for(file, another_writer):
    release = threading.Timer(0.3, another_writer.execute, ["COMMIT"])
    with ReviewFile.open(file) as review:
        begun = time.monotonic()
        release.start()
        review.record("Ben", 1, "rating", 4)
        assert 0.2 < time.monotonic() - begun < database.PATIENCE_S
        assert review.verdict("Ben", 1).rating == 4
    release.join()


def test_who_waits_too_long_is_told_who_saved_last_and_can_save_later(file, another_writer):
    with ReviewFile.open(file, patience_s=0.1) as review:
        with pytest.raises(ReviewError, match="another program holds this file") as caught:
            review.record("Ben", 1, "rating", 4)
        assert "the last to save was Ann, at " in caught.value.reason
        assert review.verdict("Ann", 1).comment  # readers never wait
        another_writer.execute("ROLLBACK")
        review.record("Ben", 1, "rating", 4)
        assert review.verdict("Ben", 1).rating == 4


def test_who_begins_to_change_holds_the_file_before_looking_at_it(file):
    """Else two could look, and the later would build on what the earlier has changed."""
    with ReviewFile.open(file) as review, ReviewFile.open(file, patience_s=0.1) as other:
        with database.transaction(review._connection):
            review.verdict("Ann", 1)
            with pytest.raises(ReviewError, match="another program holds this file"):
                other.record("Ben", 1, "rating", 4)
        other.record("Ben", 1, "rating", 4)


def test_two_threads_of_one_window_take_turns(file):
    with ReviewFile.open(file) as review:
        second = threading.Thread(target=review.record, args=("Ben", 1, "rating", 4))
        with review._changing():
            second.start()
            second.join(0.1)
            assert second.is_alive()  # it would have spoilt the other's transaction
        second.join()
        assert review.verdict("Ben", 1).rating == 4


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps open files where they are")
def test_what_would_go_into_a_file_that_was_replaced_is_refused(file):
    with ReviewFile.open(file) as review:
        file.rename(file.with_name("moved.db"))
        with pytest.raises(ReviewError, match="moved, removed or replaced"):
            review.record("Ben", 1, "rating", 4)
        file.write_bytes(b"what a cloud drive has put there")
        with pytest.raises(ReviewError, match="moved, removed or replaced"):
            review.record("Ben", 1, "rating", 4)
    file.with_name("moved.db").replace(file)
    with ReviewFile.open(file) as review:
        review.record("Ben", 1, "rating", 4)


def fill(review: ReviewFile) -> int:
    """Comment until the disk is full; give how many were acknowledged."""
    for count in range(10_000):
        try:
            review.record("Ben", 1 + count % 40, "comment", f"{count} " * 1500)
        except ReviewError as exc:
            assert "the disk is full" in str(exc)  # noqa: PT017 - how often is not known
            return count
    pytest.fail("this disk has no end")


def test_a_full_disk_loses_nothing_that_was_acknowledged(file):
    with ReviewFile.open(file) as review:
        pages = review._connection.execute("PRAGMA page_count").fetchone()[0]
        review._connection.execute(f"PRAGMA max_page_count={pages + 20}")
        saved = fill(review)
        assert saved > 3
        review.verify()
        told = [event for n in range(1, 41) for event in review.history(n, "Ben")]
        assert len(told) == saved
        review._connection.execute(f"PRAGMA max_page_count={pages + 1000}")
        review.record("Ben", 1, "rating", 4)


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a disk of one MiB of its own; skip who may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        sys.platform != "linux"
        or os.geteuid()
        or not mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", disk)
    ):
        pytest.skip("a disk of its own needs the rights of root")
    yield disk
    subprocess.run(["/bin/umount", "-l", disk], check=True)  # noqa: S603


def mounted(*options: str | Path) -> bool:
    return not subprocess.run(["/bin/mount", *options], check=False, stderr=-3).returncode  # noqa: S603


def test_a_disk_that_is_really_full_loses_nothing_either(small_disk):
    with make_review(small_disk, 40) as review:
        saved = fill(review)
        assert saved > 3
    with ReviewFile.open(small_disk / "review.db") as review:
        review.verify()
        assert sum(len(review.history(n)) for n in range(1, 41)) == saved


def test_a_review_is_not_made_on_a_full_disk_and_leaves_no_part(small_disk):
    (small_disk / "rest").write_bytes(bytes(2**20 - 40_000))
    with pytest.raises(ReviewError, match=r"disk is full|No space left"):
        make_review(small_disk, 400)
    assert [file.name for file in small_disk.iterdir()] == ["rest"]


def test_a_folder_that_may_only_be_read_says_so_and_can_be_read(small_disk):
    make_review(small_disk).close()
    assert mounted("-o", "remount,ro", small_disk)
    file = small_disk / "review.db"
    with pytest.raises(ReviewError, match="cannot be written") as caught:
        ReviewFile.open(file)
    assert "open it only to read" in caught.value.remedy
    with pytest.raises(ReviewError, match="cannot be written"):
        ReviewFile.create(small_disk / "other.db", PLAN, items_in(small_disk))
    with ReviewFile.open(file, read_only=True) as review:
        assert len(review.items()) == 4


def test_what_is_said_while_the_file_is_verified_is_no_damage(file):
    with ReviewFile.open(file) as review, ReviewFile.open(file) as other:

        def meanwhile(statement: str) -> None:
            if statement.startswith("SELECT EXISTS"):  # after the events were read
                other.record("Ben", 1, "rating", 4)

        review._connection.set_trace_callback(meanwhile)
        review.verify()
        review._connection.set_trace_callback(None)
        assert review.verdict("Ben", 1).rating == 4


def test_who_opened_only_to_read_leaves_nothing_behind(file):
    with ReviewFile.open(file, read_only=True) as review:
        assert review.progress("Ann").total == 41
        review.verify()
        with pytest.raises(ReviewError, match="cannot be written"):
            review.record("Ann", 1, "rating", 5)
    assert list(file.parent.iterdir()) == [file]


def test_who_opens_only_to_read_sees_what_others_write_and_writes_nothing(file):
    with ReviewFile.open(file, read_only=True) as reading, ReviewFile.open(file) as writing:
        writing.record("Ben", 1, "rating", 4)
        assert reading.verdict("Ben", 1).rating == 4
        with pytest.raises(ReviewError, match="cannot be written"):
            reading.record("Ben", 1, "rating", 5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "this is not a review"),
        (b"case,mask\n1,1.nii\n" * 500, "this is not a review"),
        (b"SQLite format 3\0" + bytes(4080), "this is not a review"),
    ],
)
def test_another_file_is_told_from_a_review(tmp_path, content, words):
    (tmp_path / "review.db").write_bytes(content)
    with pytest.raises(ReviewError, match=words):
        ReviewFile.open(tmp_path / "review.db")
    assert (tmp_path / "review.db").read_bytes() == content


def test_a_database_of_another_program_is_told_from_a_review(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE events (number INTEGER)")
    with pytest.raises(ReviewError, match="this is not a review"):
        ReviewFile.open(tmp_path / "other.db")


def test_a_review_that_is_missing_is_not_made(tmp_path):
    with pytest.raises(ReviewError, match="there is no such file"):
        ReviewFile.open(tmp_path / "review.db")
    assert list(tmp_path.iterdir()) == []


def page_of(file: Path, table: str) -> int:
    raw = sqlite3.connect(file)
    (page,) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    raw.close()
    return int(page)


def damage(file: Path, page: int) -> None:
    with file.open("r+b") as stream:
        stream.seek((page - 1) * 4096)
        stream.write(b"\xa5" * 4096)


@pytest.mark.parametrize("table", ["plan", "items", "listed", "verdicts"])
def test_damage_to_what_every_answer_needs_is_seen_on_opening(file, table):
    damage(file, page_of(file, table))
    with pytest.raises(ReviewError, match="damaged") as caught:
        ReviewFile.open(file)
    assert "restore it from a copy" in caught.value.remedy


def test_damage_to_the_events_is_seen_when_the_whole_file_is_read(file):
    damage(file, page_of(file, "events"))
    with ReviewFile.open(file) as review, pytest.raises(ReviewError, match="damaged"):
        review.verify()


def test_damage_that_sqlite_quotes_is_damage(file):
    content = file.read_bytes()
    file.write_bytes(content.replace(b"CREATE TABLE facts", b"CREATE TABL\x9e facts"))
    with pytest.raises(ReviewError, match="damaged"):
        ReviewFile.open(file)


def test_a_name_that_no_system_takes_is_refused(tmp_path):
    with pytest.raises(ReviewError, match="cannot be looked for"):
        ReviewFile.open(tmp_path / ("a" * 300))
    with pytest.raises(ReviewError, match="cannot be looked for"):
        write_blank(tmp_path / ("a" * 300), PLAN, items_in(tmp_path))


def test_a_file_that_was_cut_off_is_damaged(file):
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(ReviewError, match="damaged"):
        ReviewFile.open(file)


def test_a_line_that_makes_no_sense_is_damage(file):
    raw = sqlite3.connect(file)
    raw.execute("UPDATE verdicts SET last_time = 'yesterday'")
    raw.commit()
    raw.close()
    with ReviewFile.open(file) as review, pytest.raises(ReviewError, match="makes no sense"):
        review.verdicts()


@pytest.mark.parametrize("content", ["{}", '{"form": {"mask": 5}}', "[1]"])
def test_a_plan_that_makes_no_sense_is_damage(file, content):
    raw = sqlite3.connect(file)
    raw.execute("DROP TRIGGER plan_never_UPDATE")
    raw.execute("UPDATE plan SET content = ?", (content,))
    raw.commit()
    raw.close()
    with pytest.raises(ReviewError, match="plan cannot be read"):
        ReviewFile.open(file)


@pytest.fixture
def on_nfs(monkeypatch):
    monkeypatch.setattr(database, "network_drive", lambda folder: "nfs4")


def journal_mode(file: Path) -> str:
    raw = sqlite3.connect(file)
    (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
    raw.close()
    return str(mode)


def test_on_a_network_drive_there_is_no_log_and_the_user_is_told(tmp_path, on_nfs):
    with make_review(tmp_path) as review, ReviewFile.open(tmp_path / "review.db") as other:
        assert "network drive (nfs4)" in review.notes[0]
        assert review._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        for number in (1, 2, 3):
            review.record("Ann", number, "rating", 4)
            other.record("Ben", number, "rating", 2)
        assert [v.rating for v in review.verdicts()] == [4, 2] * 3
        assert not (tmp_path / "review.db-wal").exists()
    assert journal_mode(tmp_path / "review.db") == "delete"


def test_on_a_network_drive_it_never_has_had_a_log(tmp_path, on_nfs):
    write_blank(tmp_path / "review.db", PLAN, items_in(tmp_path))
    assert journal_mode(tmp_path / "review.db") == "delete"


def test_a_review_that_is_copied_onto_a_network_drive_goes_on_without_the_log(file, on_nfs):
    assert journal_mode(file) == "wal"
    with ReviewFile.open(file) as review:
        review.record("Ann", 1, "rating", 4)
    assert journal_mode(file) == "delete"


def test_without_the_log_others_have_it_open_elsewhere_and_it_stays_so(file, on_nfs, monkeypatch):
    ReviewFile.open(file).close()
    monkeypatch.undo()
    with ReviewFile.open(file) as review:
        assert "saving is slower" in review.notes[0]
    assert journal_mode(file) == "delete"


def test_a_log_that_others_hold_open_is_not_taken_from_them(file, monkeypatch):
    with ReviewFile.open(file) as here:
        here.record("Ann", 1, "rating", 4)
        monkeypatch.setattr(database, "network_drive", lambda folder: "nfs4")
        with pytest.raises(ReviewError, match="another program holds this file"):
            ReviewFile.open(file, patience_s=0.1)
        here.record("Ann", 1, "rating", 5)
    assert journal_mode(file) == "wal"


MOUNTINFO = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:28 / /mnt/study\040group rw,relatime - nfs4 server:/export rw,vers=4.2
31 22 0:29 / /mnt/study\040group/scratch rw shared:5 master:2 - xfs /dev/sdb1 rw
32 22 0:30 / /mnt/ct rw - cifs //server/ct rw
33 22 0:31 / /mnt/ct rw - ext4 /dev/sdc1 rw
34 22 0:32 / /home/ann/remote rw - fuse.sshfs ann@server: rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/data/reviews", "ext4"),
        ("/mnt/study group/lungs", "nfs4"),
        ("/mnt/study group", "nfs4"),
        ("/mnt/study group/scratch/lungs", "xfs"),
        ("/mnt/study group 2", "ext4"),
        ("/mnt/ct", "ext4"),  # mounted over
        ("/home/ann/remote/reviews", "fuse.sshfs"),
    ],
)
def test_linux_tells_what_a_folder_lies_on(folder, kind):
    assert network_drive.kind_by_mountinfo(MOUNTINFO, Path(folder)) == kind


MOUNTS = """
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//ann@server/ct on /Volumes/ct (smbfs, nodev, nosuid, mounted by ann)
server:/export on /Volumes/study (2) (nfs)
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/Users/ann", "apfs"), ("/Volumes/ct/a", "smbfs"), ("/Volumes/study (2)/a", "nfs")],
)
def test_macos_tells_what_a_folder_lies_on(folder, kind):
    assert network_drive.kind_by_mount(MOUNTS, Path(folder)) == kind


def test_a_drive_of_this_machine_is_no_network_drive(tmp_path, monkeypatch):
    assert network_drive.network_drive(tmp_path) == ""
    monkeypatch.setattr(network_drive, "kind_by_mountinfo", lambda told, folder: "nfs4")
    monkeypatch.setattr(network_drive, "kind_by_mount", lambda told, folder: "nfs4")
    assert network_drive.network_drive(tmp_path) == "nfs4"
