"""A review's file: made whole, read back the same, found wherever its folder is mounted."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from stored_reviews import PLAN, SHA, items_in, make_review

from napari_hirescam import __version__
from napari_hirescam.errors import ReviewError
from napari_hirescam.review import blank_review, schema
from napari_hirescam.review.event import Edit, Verdict
from napari_hirescam.review.form import Blinding, Plan
from napari_hirescam.review.item import CheckFinding, MaskFacts
from napari_hirescam.review.review_file import Progress, ReviewFile


@pytest.fixture
def review(tmp_path):
    with make_review(tmp_path) as made:
        yield made


def test_plan_and_items_come_back_as_they_were_given(tmp_path):
    plan = replace(
        PLAN, blinding=Blinding(scores=True), order="random", seed=5, repeat_share=0.25,
        adjudicates="first round",
    )  # fmt: skip
    items = items_in(tmp_path)
    again = replace(items[1], number=5, repeat_of=2, attention=tmp_path / "map.nii.gz", series="3")
    with ReviewFile.create(tmp_path / "review.db", plan, [*items, again]) as made:
        assert made.path == tmp_path / "review.db"
    with ReviewFile.open(tmp_path / "review.db") as review:
        assert review.plan == plan
        assert review.items() == (*items, again)
        assert [review.item(number) for number in range(1, 6)] == [*items, again]
        assert (review.readers, review.notes) == ((), ())


def test_a_closed_review_is_one_file(tmp_path):
    make_review(tmp_path).close()
    with ReviewFile.open(tmp_path / "review.db") as review:
        review.record("Ann", 1, "rating", 4)
    assert [file.name for file in tmp_path.iterdir()] == ["review.db"]


def test_it_is_written_with_a_log_and_every_commit_is_flushed(review):
    asked = {name: review._connection.execute(f"PRAGMA {name}").fetchone()[0]
             for name in ("journal_mode", "synchronous", "foreign_keys")}  # fmt: skip
    assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_folder_may_be_mounted_elsewhere(tmp_path):
    here, there = tmp_path / "here" / "study", tmp_path / "there" / "study"
    (here / "reviews").mkdir(parents=True)
    items = [replace(item, ct=here / "scans" / f"{item.number}.nii") for item in items_in(here, 1)]
    ReviewFile.create(here / "reviews" / "review.db", PLAN, items).close()
    shutil.move(here, there)
    with ReviewFile.open(there / "reviews" / "review.db") as review:
        assert [item.ct for item in review.items()] == [
            there / "scans" / "1.nii",
            there / "scans" / "2.nii",
        ]
        assert review.item(1).mask == there / "masks" / "1.nii.gz"
    # Written so that another system reads it too.
    with sqlite3.connect(there / "reviews" / "review.db") as raw:
        assert raw.execute("SELECT ct FROM items").fetchall()[0] == ("../scans/1.nii",)


def test_a_path_far_from_the_review_is_written_whole(tmp_path):
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    far = tmp_path / "scan.nii"
    near = tmp_path / "a" / "scan.nii"
    items = [replace(items_in(tmp_path, 1)[0], ct=far, mask=near)]
    with ReviewFile.create(deep / "review.db", PLAN, items) as review:
        row = review._connection.execute("SELECT ct, mask FROM items").fetchone()
        assert row == (far.as_posix(), "../../../scan.nii")
        assert (review.item(1).ct, review.item(1).mask) == (far, near)


def test_a_folder_behind_a_link_is_found_through_the_link_and_without_it(tmp_path):
    real = tmp_path / "disk" / "reviews"
    real.mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    scan = tmp_path / "disk" / "scan.nii"
    item = replace(items_in(tmp_path, 1)[0], ct=scan)
    ReviewFile.create(tmp_path / "link" / "review.db", PLAN, [item]).close()
    for folder in (tmp_path / "link", real):
        with ReviewFile.open(folder / "review.db") as review:
            assert review.item(1).ct == scan


def test_a_file_that_is_itself_a_link_keeps_its_name(tmp_path):
    (tmp_path / "annex").mkdir()
    (tmp_path / "annex" / "8f3a").touch()
    (tmp_path / "scan.nii").symlink_to(tmp_path / "annex" / "8f3a")
    item = replace(items_in(tmp_path, 1)[0], ct=tmp_path / "scan.nii")
    with ReviewFile.create(tmp_path / "review.db", PLAN, [item]) as review:
        assert review.item(1).ct == tmp_path / "scan.nii"


def test_a_relative_path_counts_from_where_the_program_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "organs.yaml").touch()
    item = replace(items_in(tmp_path, 1)[0], ct=Path("ct/1.nii"), organ_table="organs.yaml")
    with ReviewFile.create("review.db", PLAN, [item]) as review:
        assert review.item(1).ct == tmp_path / "ct" / "1.nii"
        assert review.item(1).organ_table == str(tmp_path / "organs.yaml")


def test_a_path_of_another_system_stays_as_it_is(tmp_path):
    with make_review(tmp_path) as review:
        assert review._paths.to_path("D:/scans/1.nii") == Path("D:/scans/1.nii")


def test_the_name_of_a_built_in_organ_table_is_no_path(tmp_path):
    item = replace(items_in(tmp_path, 1)[0], organ_table="totalsegmentator")
    with ReviewFile.create(tmp_path / "review.db", PLAN, [item]) as review:
        assert review.item(1).organ_table == "totalsegmentator"


def test_making_never_takes_the_place_of_a_file(tmp_path):
    (tmp_path / "review.db").write_bytes(b"somebody's")
    with pytest.raises(ReviewError, match="there is a file of this name"):
        make_review(tmp_path)
    assert (tmp_path / "review.db").read_bytes() == b"somebody's"
    assert len(list(tmp_path.iterdir())) == 1


def test_of_two_who_make_one_file_at_once_the_later_is_refused(tmp_path, monkeypatch):
    fill = blank_review._fill

    def overtaken(*args) -> None:
        fill(*args)
        (tmp_path / "review.db").write_bytes(b"somebody's")

    monkeypatch.setattr(blank_review, "_fill", overtaken)
    with pytest.raises(ReviewError, match="there is a file of this name"):
        make_review(tmp_path)
    assert (tmp_path / "review.db").read_bytes() == b"somebody's"


def test_the_log_of_a_file_that_is_gone_is_not_replayed_into_a_new_one(tmp_path):
    (tmp_path / "review.db-wal").write_bytes(b"a log")
    with pytest.raises(ReviewError, match="log of an earlier file"):
        make_review(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["review.db-wal"]


def test_making_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args, overwrite: bool) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(blank_review, "rename_file", fail)
    with pytest.raises(ReviewError, match="cannot be written: No space left"):
        make_review(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_not_made(tmp_path):
    with pytest.raises(ReviewError, match="folder is not there"):
        ReviewFile.create(tmp_path / "no" / "review.db", PLAN, items_in(tmp_path))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"number": 7}, "its number is 7"),
        ({"case": ""}, "has no name"),
        ({"target": ""}, "has no name"),
        ({"kind": "sound"}, "no kind 'sound'"),
        ({"mask": None}, "it has no mask"),
        ({"kind": "attention"}, "neither a map nor a model"),
        ({"repeat_of": 2}, "does not come before it"),
        ({"repeat_of": 1}, "which is another"),
    ],
)
def test_a_work_list_with_a_fault_is_refused_by_its_item(tmp_path, changed, words):
    items = items_in(tmp_path)
    items[1] = replace(items[1], **changed)
    with pytest.raises(ReviewError, match=words) as caught:
        ReviewFile.create(tmp_path / "review.db", PLAN, items)
    assert "item 2" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_work_list_is_refused(tmp_path):
    with pytest.raises(ReviewError, match="nothing to review"):
        ReviewFile.create(tmp_path / "review.db", PLAN, [])


def test_an_event_says_who_what_when_how_long_with_what_and_of_which_mask(review):
    before = datetime.now(UTC)
    event = review.record("Ann", 2, "rating", 4, seconds=12.5, mask_sha256=SHA)
    assert (event.number, event.item, event.reader, event.kind) == (1, 2, "Ann", "rating")
    assert (event.about, event.value, event.seconds) == ("", 4, 12.5)
    assert (event.software, event.mask_sha256) == (__version__, SHA)
    assert before <= event.time <= before + timedelta(seconds=30)
    assert event.time.tzinfo is UTC or event.time.utcoffset() == timedelta(0)
    assert review.history(2) == [event]


def test_what_was_recorded_is_there_for_another_who_opens_the_file(review):
    event = review.record("Ann", 1, "comment", "Größe: ¼, naïve 肺\n'; DROP TABLE events; --")
    with ReviewFile.open(review.path) as other:
        assert other.history(1) == [event]
        assert other.verdict("Ann", 1).comment == event.value


def test_history_is_all_that_was_said_in_its_order_and_of_one_reader_if_asked(review):
    said = [("Ann", 1), ("Ben", 2), ("Ann", 3), ("Ann", None)]
    events = [review.record(reader, 1, "rating", value) for reader, value in said]
    review.record("Ann", 2, "rating", 5)
    assert review.history(1) == events
    assert review.history(1, "Ann") == [events[0], *events[2:]]
    assert review.history(3) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET value = '5'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events",
        "UPDATE items SET case_name = 'another'",
        "DELETE FROM items",
        "INSERT OR REPLACE INTO items SELECT * FROM items",
        "UPDATE plan SET content = '{}'",
        "DELETE FROM plan",
        "INSERT OR REPLACE INTO plan VALUES (1, '{}')",
    ],
)
def test_what_was_said_never_changes(review, change):
    review.record("Ann", 1, "rating", 4)
    raw = sqlite3.connect(review.path)
    before = "\n".join(raw.iterdump())
    with pytest.raises(sqlite3.IntegrityError, match="never change"):
        raw.execute(change)
    raw.rollback()
    assert "\n".join(raw.iterdump()) == before
    raw.close()


def test_facts_of_the_checks_come_back_and_may_be_measured_anew(review):
    assert review.facts(1) is None
    found = (
        CheckFinding("leak", "12 mL lie in the trachea", 0.8, (1.5, -2.0, 3.0)),
        CheckFinding("pieces", "3 islands", 0.2),
    )
    review.put_facts(1, MaskFacts(1.0, 2.0, 3.0))
    review.put_facts(1, MaskFacts(2500.0, 310.5, -820.25, found, ("not compared with others",)))
    assert review.facts(1) == MaskFacts(
        2500.0, 310.5, -820.25, found, ("not compared with others",)
    )
    review.put_facts(2, MaskFacts(0.0, 0.0, math.nan))
    empty = review.facts(2)
    assert empty is not None
    assert (empty.volume_ml, empty.findings) == (0.0, ())
    assert math.isnan(empty.mean_hu)
    worst = [row.worst_check for row in review.rows("Ann")]
    assert worst[:2] == [0.8, 0.0]
    assert all(map(math.isnan, worst[2:]))


def test_an_edit_is_found_wherever_the_folder_is_mounted(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "review.edits").mkdir(parents=True)
    file = here / "review.edits" / "1.nii.gz"
    file.write_bytes(b"a mask")
    with make_review(here) as review:
        event = review.record("Ann", 1, "edit", Edit(file, SHA))
        assert event.value == {"file": str(file), "sha256": SHA}
        # As it is written in the file, with a copy in DICOM.
        told = {"file": "review.edits/1.nii.gz", "sha256": SHA, "dicom": "review.edits/1.nii.gz"}
        assert review.record("Ben", 1, "edit", told).value["dicom"] == str(file)
        assert review.verdict("Ben", 1).edit == Edit(file, SHA)
    shutil.move(here, there)
    with ReviewFile.open(there / "review.db") as review:
        assert review.verdict("Ann", 1).edit == Edit(there / "review.edits" / "1.nii.gz", SHA)
        assert review.record("Ann", 1, "edit", None).value is None
        assert review.verdict("Ann", 1).edit is None


def test_an_edit_that_is_not_there_is_not_recorded(review, tmp_path):
    with pytest.raises(ReviewError, match="the edited mask is not there"):
        review.record("Ann", 1, "edit", Edit(tmp_path / "gone.nii.gz", SHA))
    assert review.history(1) == []


@pytest.fixture
def worked_on(review):
    """Return a review in which Ann has done 1, flagged and rejected 2, and not read 4."""
    for number, seconds in ((1, 10.0), (2, 30.0)):
        review.record("Ann", number, "opened", None)
        review.record("Ann", number, "rating", number + 2, seconds=seconds)
    review.record("Ann", 1, "done", None, seconds=12.0)
    review.record("Ann", 2, "flag", True)
    review.record("Ann", 2, "decision", "exclude")
    review.record("Ann", 2, "comment", "the LÍNGULA is missing")
    review.record("Ann", 4, "unreadable", "the CT is not there")
    review.record("Ben", 3, "flag", True)
    return review


@pytest.mark.parametrize(
    ("status", "numbers"),
    [
        ("all", [1, 2, 3, 4]),
        ("open", [2, 3]),
        ("done", [1]),
        ("flagged", [2]),
        ("unreadable", [4]),
        ("rejected", [2]),
        ("edited", []),
    ],
)
def test_a_list_is_filtered_by_what_this_reader_said(worked_on, status, numbers):
    assert [row.number for row in worked_on.rows("Ann", status=status)] == numbers


@pytest.mark.parametrize(
    ("search", "numbers"),
    [
        ("SCAN002", [2]),
        ("heart", [2]),
        ("Lung scan001", [1]),
        ("train", [1, 2]),
        ("língula", [2]),
        ("scan001 língula", []),
        ("%", []),
        ("  ", [1, 2, 3, 4]),
    ],
)
def test_a_search_finds_all_words_in_case_target_split_or_the_readers_comment(
    worked_on, search, numbers
):
    assert [row.number for row in worked_on.rows("Ann", search=search)] == numbers


def test_a_comment_is_found_by_its_reader_alone(worked_on):
    assert worked_on.rows("Ben", search="língula") == []


def test_where_names_are_hidden_a_search_finds_numbers_and_no_names(tmp_path):
    plan = Plan("blind", blinding=Blinding(names=True))
    with make_review(tmp_path, plan=plan) as review:
        assert review.rows("Ann", search="scan002") == []
        assert [row.number for row in review.rows("Ann", search="2")] == [2]


def test_a_row_shows_what_the_reader_said(worked_on):
    row = worked_on.rows("Ann")[1]
    assert row[:10] == (
        2, "scan002", "mask", "heart", "train", 4, "exclude", True, False, False
    )  # fmt: skip
    assert row.flagged is True
    assert row.done is False
    assert worked_on.rows("Ann")[3].unreadable is True
    assert worked_on.rows("Zoe")[1][5:10] == (None, None, False, False, False)


def test_progress_counts_and_gives_the_median_of_the_finished_ones(worked_on):
    assert worked_on.progress("Ann") == Progress(1, 4, 1, 1, 12.0)
    worked_on.record("Ann", 2, "done", None, seconds=31.0)
    assert worked_on.progress("Ann") == Progress(2, 4, 1, 1, 21.5)
    nothing = worked_on.progress("Zoe")
    assert (nothing.done, nothing.total, nothing.flagged, nothing.unreadable) == (0, 4, 0, 0)
    assert math.isnan(nothing.seconds_an_item)


def test_readers_and_where_each_was_last(worked_on):
    assert worked_on.readers == ("Ann", "Ben")
    assert [worked_on.last_item(name) for name in ("Ann", "Ben", "Zoe")] == [4, 3, None]


def test_verdicts_are_by_item_and_reader_and_of_those_asked_for(worked_on):
    worked_on.record("Ben", 1, "rating", 2)
    touched = [(v.item, v.reader) for v in worked_on.verdicts()]
    assert touched == [(1, "Ann"), (1, "Ben"), (2, "Ann"), (3, "Ben"), (4, "Ann")]
    assert worked_on.verdicts(["Ben"]) == [worked_on.verdict("Ben", 1), worked_on.verdict("Ben", 3)]
    assert worked_on.verdict("Ben", 2) == Verdict(2, "Ben")


def test_an_item_that_is_not_in_the_list_is_refused(review):
    for ask in (review.item, review.history, lambda n: review.verdict("Ann", n),
                lambda n: review.record("Ann", n, "rating", 1),
                lambda n: review.put_facts(n, MaskFacts(1, 1, 1))):  # fmt: skip
        with pytest.raises(ReviewError, match="it has no item 99"):
            ask(99)


def test_a_review_of_a_newer_version_is_refused_in_words(review):
    review._connection.execute(f"PRAGMA user_version={schema.REVIEW.version + 1}")
    with pytest.raises(ReviewError, match="format 2, and this program knows up to 1") as caught:
        ReviewFile.open(review.path)
    assert "update" in caught.value.remedy


def test_a_window_that_was_closed_is_a_fault_of_the_program(review):
    review.close()
    with pytest.raises(sqlite3.ProgrammingError):
        review.record("Ann", 1, "rating", 1)
