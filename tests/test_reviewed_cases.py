"""Decisions of readers reach training and evaluation: who leaves, what is put in whose place."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from napari_hirescam.cases import CaseTable, FileCase, phantom_table, read_case_table
from napari_hirescam.errors import CaseTableError, OrganError, ReviewError
from napari_hirescam.io import read_volume, write_volume
from napari_hirescam.organs import OrganMap
from napari_hirescam.review import review_file
from napari_hirescam.review.decided import decided
from napari_hirescam.review.edited_masks import write_edit
from napari_hirescam.review.event import Edit
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item
from napari_hirescam.review.loading import mask_sha256
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.review.reviewed_case import ReviewedCase
from napari_hirescam.review.reviewed_cases import reviewed_cases
from napari_hirescam.source import Segment
from napari_hirescam.volume import Grid

SHAPE = (6, 7, 8)
AFFINE = np.array([[3.0, 0, 0, -40], [0, 2, 0, -7], [0, 0, 2, 12], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)
#: A voxel that only the corrected heart has, and where it lies in the patient: (I, P, L) mm.
CORRECTED = (5, 1, 6)
PLACE_MM = (-25.0, -5.0, 24.0)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four cases, each with a right lung, a left lung and a heart of a voxel or two."""
    names = ((1, "right_lung"), (2, "left_lung"), (3, "heart"))
    rows = ["case,ct,masks,split,nodule"]
    for case in ("a", "b", "c", "d"):
        labels = np.zeros(SHAPE, np.uint8)
        labels[2, 3, 1:3], labels[2, 3, 5], labels[3, 4, 3:5] = 1, 2, 3
        ct = np.full(SHAPE, -900, np.int16)
        write_volume(tmp_path / f"{case}.nii.gz", ct, GRID)
        segments = tuple(Segment(value, name) for value, name in names)
        write_volume(tmp_path / f"{case}_seg.nii.gz", labels, GRID, segments=segments)
        rows.append(f"{case},{case}.nii.gz,{case}_seg.nii.gz,train,1")
    (tmp_path / "cohort.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


@pytest.fixture
def table(folder) -> CaseTable:
    return read_case_table(folder / "cohort.csv", ["nodule"])


def items(folder: Path, cases: str = "abcd", organs: tuple[str, ...] = ("heart",)) -> list[Item]:
    return [
        Item(
            number=len(organs) * n + k + 1,
            case=case,
            patient=case,
            kind="mask",
            target=organ,
            ct=folder / f"{case}.nii.gz",
            mask=folder / f"{case}_seg.nii.gz",
        )
        for n, case in enumerate(cases)
        for k, organ in enumerate(organs)
    ]


def make(folder: Path, found: list[Item], name: str = "review", **plan) -> ReviewFile:
    return ReviewFile.create(folder / f"{name}.db", Plan(name, **plan), found)


def say(review: ReviewFile, reader: str, number: int, decision: str | None, *, done: bool = True):
    seen = mask_sha256(review.item(number))
    if decision is not None:
        review.record(reader, number, "decision", decision, mask_sha256=seen)
    if done:
        review.record(reader, number, "done", value=True, mask_sha256=seen)


def correct(review: ReviewFile, reader: str, number: int, voxel=CORRECTED) -> Edit:
    mask = np.zeros(SHAPE, np.uint8)
    mask[voxel] = 1
    item = review.item(number)
    ct = read_volume(item.ct)
    return write_edit(review, item, reader, mask, ct, base_sha256=mask_sha256(item))


def names(table: CaseTable) -> list[str]:
    return [case.name for case in table.cases]


# --- one decision of several --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "rule", "decision"),
    [
        ({"ann": "use"}, "strictest", "use"),
        ({"ann": "use", "bob": "exclude", "cyd": "use"}, "strictest", "exclude"),
        ({"ann": "rough", "bob": "resegment"}, "strictest", "resegment"),
        ({"ann": "use", "bob": "exclude", "cyd": "use"}, "majority", "use"),
        ({"ann": "use", "bob": "rough"}, "majority", "rough"),  # as many: the stricter
        ({"ann": "use", "bob": "exclude"}, "ann", "use"),
        ({"ann": "use", "bob": None}, "bob", None),
        ({"ann": None}, "strictest", None),
    ],
)
def test_rules(folder, said, rule, decision):
    with make(folder, items(folder, "a")) as review:
        for reader, one in said.items():
            say(review, reader, 1, one)
        found = decided(review, rule=rule)
    assert found["a", "heart"].decision == decision


def test_only_what_is_finished_counts(folder):
    with make(folder, items(folder, "a")) as review:
        say(review, "ann", 1, "exclude", done=False)
        assert decided(review)["a", "heart"].decision is None
        review.record("ann", 1, "done", value=True)
        assert decided(review)["a", "heart"].decision == "exclude"
        review.record("ann", 1, "reopened", value=None)
        assert decided(review)["a", "heart"].decision is None


def test_hidden_repeats_decide_nothing(folder):
    first, *_ = items(folder, "a")
    again = Item(**{**vars(first), "number": 2, "repeat_of": 1})
    with make(folder, [first, again]) as review:
        say(review, "ann", 1, "use")
        say(review, "ann", 2, "exclude")
        assert decided(review)["a", "heart"].decision == "use"


def test_the_last_corrected_copy_of_those_who_say_use_counts(folder):
    with make(folder, items(folder, "a")) as review:
        correct(review, "ann", 1, (0, 0, 0))
        say(review, "ann", 1, "use")
        last = correct(review, "bob", 1)
        say(review, "bob", 1, "use")
        assert decided(review)["a", "heart"].edit == last
        correct(review, "cyd", 1, (1, 1, 1))
        say(review, "cyd", 1, "rough")
        found = decided(review)["a", "heart"]
        assert (found.decision, found.edit, found.readers) == ("rough", None, ("ann", "bob", "cyd"))


def test_the_last_copy_is_the_last_whatever_the_clock_of_its_readers_machine_says(
    folder, monkeypatch
):
    class Slow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=1)

    with make(folder, items(folder, "a")) as review:
        correct(review, "ann", 1, (0, 0, 0))
        say(review, "ann", 1, "use")
        monkeypatch.setattr(review_file, "datetime", Slow)
        last = correct(review, "bob", 1)
        say(review, "bob", 1, "use")
        assert review.verdict("bob", 1).last < review.verdict("ann", 1).last
        assert decided(review)["a", "heart"].edit == last


def test_who_looks_in_again_changes_neither_the_copy_nor_the_mask_that_was_judged(folder, table):
    with make(folder, items(folder, "ab")) as review:
        correct(review, "ann", 1, (0, 0, 0))
        say(review, "ann", 1, "use")
        last = correct(review, "bob", 1)
        say(review, "bob", 1, "use")
        say(review, "ann", 2, "use")
        write_volume(folder / "b_seg.nii.gz", np.ones(SHAPE, np.uint8), GRID, overwrite=True)
        for number in (1, 2):
            seen = mask_sha256(review.item(number))
            review.record("ann", number, "opened", None, mask_sha256=seen)
        assert decided(review)["a", "heart"].edit == last
    _, b, *_ = reviewed_cases(table, review.path).cases
    with pytest.raises(OrganError, match="is not the one that was reviewed"):
        b.organs()


def test_who_adjudicates_wins(folder):
    with make(folder, items(folder, "ab"), "first") as first:
        for number in (1, 2):
            say(first, "ann", number, "use")
            say(first, "bob", number, "exclude")
        with make(folder, items(folder, "a"), "second", adjudicates="first") as second:
            # What is not settled yet stays as the readers left it.
            assert decided(first, second)["a", "heart"].decision == "exclude"
            say(second, "eve", 1, "use")
            for rule in ("strictest", "majority", "bob"):
                found = decided(second, first, rule=rule)
                assert found["a", "heart"].decision == "use"
                assert found["a", "heart"].adjudicated
                assert found["b", "heart"].decision == "exclude"
            with pytest.raises(ReviewError, match="disagreements of the review 'first'"):
                decided(second)


def test_a_reader_nobody_knows_is_refused(folder):
    with make(folder, items(folder, "a")) as review:
        say(review, "ann", 1, "use")
        with pytest.raises(ReviewError, match="no reader 'Ann'"):
            decided(review, rule="Ann")


# --- who leaves ---------------------------------------------------------------------------------


def test_rejected_masks_never_enter(folder, table):
    with make(folder, items(folder, organs=("heart", "left_lung"))) as review:
        for number, decision in enumerate(
            ["use", "use", "use", "exclude", "resegment", "use", "use", None], start=1
        ):
            say(review, "ann", number, decision)
    kept = reviewed_cases(table, review.path)
    assert names(kept) == ["a", "d"]
    (leaving, staying) = kept.notes[-2:]
    assert leaving == (
        "By the review 'review', 2 of 4 cases leave: 1 excluded (b); 1 to be segmented anew (c)."
    )
    assert staying == "A mask that nobody finished deciding on stays as drawn."


def test_what_nobody_decided_on_leaves_if_so_wanted(folder, table):
    with make(folder, items(folder, "abc")) as review:
        say(review, "ann", 1, "use")
        review.record("ann", 2, "unreadable", "its CT is not there")
    assert names(reviewed_cases(table, review.path)) == ["a", "b", "c", "d"]
    kept = reviewed_cases(table, review.path, unreviewed="leave")
    assert names(kept) == ["a"]
    assert "3 not decided on (b, c, d)" in kept.notes[-1]


def test_a_review_of_other_cases_is_refused(folder, table):
    other = [Item(**{**vars(items(folder, "a")[0]), "case": "x"})]
    with make(folder, other) as review:
        say(review, "ann", 1, "use")
    with pytest.raises(ReviewError, match=r"masks of no case of cohort\.csv"):
        reviewed_cases(table, review.path)
    with pytest.raises(ReviewError, match="no such file"):
        reviewed_cases(table, folder / "nowhere.db")


def test_a_review_that_leaves_nothing_is_refused(folder, table):
    with make(folder, items(folder)) as review:
        for number in range(1, 5):
            say(review, "ann", number, "exclude")
    with pytest.raises(ReviewError, match="it leaves no case"):
        reviewed_cases(table, review.path)


def test_several_reviews_of_parts_of_a_table(folder, table):
    with (
        make(folder, items(folder, "ab"), "one") as one,
        make(folder, items(folder, "cd"), "two") as two,
    ):
        say(one, "ann", 1, "exclude")
        say(two, "bob", 2, "exclude")
    assert names(reviewed_cases(table, [one.path, two.path])) == ["b", "c"]


# --- what takes whose place ---------------------------------------------------------------------


def test_a_corrected_mask_takes_the_organs_place_at_its_place_in_the_patient(folder, table):
    with make(folder, items(folder, "a")) as review:
        correct(review, "ann", 1)
        say(review, "ann", 1, "use")
    case = reviewed_cases(table, review.path).cases[0]
    organs = case.organs()
    assert np.argwhere(organs.mask(["heart"])).tolist() == [list(CORRECTED)]
    np.testing.assert_allclose(organs.grid.to_world(CORRECTED), PLACE_MM)
    assert np.argwhere(organs.mask(["left_lung"])).tolist() == [[2, 3, 5]]
    assert any("corrected mask" in note for note in organs.notes)
    # The file that was judged is what it was.
    before = table.cases[0].organs()
    assert np.argwhere(before.mask(["heart"])).tolist() == [[3, 4, 3], [3, 4, 4]]


def test_a_reviewed_case_is_told_from_the_case_it_was(folder, table):
    with make(folder, items(folder, "ab")) as review:
        correct(review, "ann", 1)
        say(review, "ann", 1, "use")
        say(review, "ann", 2, "use")
        (a, b, *_) = reviewed_cases(table, review.path).cases
        assert a.fingerprint() != table.cases[0].fingerprint()
        assert b.fingerprint() == table.cases[1].fingerprint()  # nothing in it was changed
        correct(review, "ann", 1, (0, 0, 1))
    (again, *_) = reviewed_cases(table, review.path).cases
    assert again.fingerprint() != a.fingerprint()
    assert pickle.loads(pickle.dumps(again)) == again  # noqa: S301 - our own
    assert (a.name, a.patient, a.split, a.labels) == ("a", "a", "train", {"nodule": True})


def test_a_corrected_mask_that_was_changed_is_refused(folder, table):
    with make(folder, items(folder, "a")) as review:
        edit = correct(review, "ann", 1)
        say(review, "ann", 1, "use")
    case = reviewed_cases(table, review.path).cases[0]
    case.check(["heart", "left_lung"])
    write_volume(edit.file, np.ones(SHAPE, np.uint8), GRID, overwrite=True)
    with pytest.raises(CaseTableError, match="was changed since"):
        case.check()
    with pytest.raises(ReviewError):
        case.organs()
    edit.file.unlink()
    with pytest.raises(CaseTableError, match="cannot be read"):
        case.check()


def test_a_mask_that_came_after_the_review_is_refused(folder, table):
    with make(folder, items(folder, "ab")) as review:
        say(review, "ann", 1, "use")
    a, b, *_ = reviewed_cases(table, review.path).cases
    for name in ("a", "b"):
        write_volume(
            folder / f"{name}_seg.nii.gz", np.ones(SHAPE, np.uint8), GRID, overwrite=True,
            segments=(Segment(1, "heart"),),
        )  # fmt: skip
    with pytest.raises(OrganError, match=r"a_seg\.nii\.gz, is not the one that was reviewed"):
        a.organs()
    with pytest.raises(CaseTableError, match="is not the one that was reviewed"):
        a.check(["heart"])  # before a training begins
    a.check()  # who asks for no organ need not know
    assert b.organs().mask(["heart"]).all()  # which nobody has judged


def test_what_the_review_cannot_answer_for_is_said(folder, table):
    """Another version of the masks, cases that were never in the work list, and the reverse."""
    with make(folder, items(folder, "ab")) as review:
        say(review, "ann", 1, "use")
        say(review, "ann", 2, "exclude")
    masks = folder / "second_version.nii.gz"
    masks.write_bytes((folder / "a_seg.nii.gz").read_bytes())
    a, _, c, d = table.cases
    found = reviewed_cases(replace(table, cases=(replace(a, masks_path=masks), c, d)), review.path)
    assert found.notes[-3:] == (
        (
            "Masks that were agreed to and are not the files that the table names: 1. Whether "
            "those are the same was not looked at."
        ),
        "Cases of the table that are not in the review, and stay as drawn: 2 (c, d).",
        "Cases of the review that are not in the table: 1 (b).",
    )


def test_a_review_that_another_program_changed_is_not_trained_on(folder, table):
    with make(folder, items(folder, "a")) as review:
        say(review, "ann", 1, "exclude")
    with closing(sqlite3.connect(review.path)) as other, other:
        other.execute("UPDATE verdicts SET decision = 'use'")
    with pytest.raises(ReviewError, match="against the events"):
        reviewed_cases(table, review.path)


def test_a_case_without_masks_gets_the_corrected_one(folder, table):
    with make(folder, items(folder, "a")) as review:
        correct(review, "ann", 1)
        say(review, "ann", 1, "use")
    bare = CaseTable(
        "bare",
        ("nodule",),
        (FileCase("a", "a", "train", {"nodule": True}, ct_path=folder / "a.nii.gz"),),
    )
    organs = reviewed_cases(bare, review.path).cases[0].organs()
    assert organs.organs == ("heart",)
    assert np.argwhere(organs.mask(["heart"])).tolist() == [list(CORRECTED)]


def test_rough_regions_take_the_organs_place(folder, table, monkeypatch):
    rough = np.zeros(SHAPE, np.uint8)
    rough[0, 0, 0], rough[0, 0, 7], rough[1] = 1, 3, 2
    asked = []

    def find(ct, *, rough_=rough, **options):
        asked.append(options)
        values = {"right_lung": (1,), "left_lung": (3,), "lungs": (1, 3), "heart": (2,)}
        return OrganMap(rough_, ct.affine, values, "rough regions", ("they are rough",))

    monkeypatch.setattr("napari_hirescam.review.reviewed_case.find_organs", find)
    with make(folder, items(folder, "ab", ("heart", "lungs"))) as review:
        say(review, "ann", 1, "rough")
        say(review, "ann", 2, "use")
        say(review, "ann", 3, "use")
        say(review, "ann", 4, "rough")
    kept = reviewed_cases(table, review.path)
    assert "2 masks are replaced by rough regions." in kept.notes
    a, b = (case.organs() for case in kept.cases[:2])
    assert asked == [{"rough": True}, {"rough": True}]
    assert a.mask(["heart"]).sum() == rough[1].size
    assert a.mask(["heart"])[1].all()
    assert np.argwhere(a.mask(["left_lung"])).tolist() == [[2, 3, 5]]
    assert np.argwhere(b.mask(["lungs"])).tolist() == [[0, 0, 0], [0, 0, 7]]
    # Its halves are as rough as the whole.
    assert np.argwhere(b.mask(["right_lung"])).tolist() == [[0, 0, 0]]
    assert b.doubts == ("lungs: they are rough",)
    kept.cases[0].check(["heart"])


def test_rough_regions_of_a_phantom():
    """The real ones: where PARTITION finds an organ it is PARTITION's."""
    (base,) = phantom_table(1, 0, 0, spacing_mm=(10, 8, 8)).cases
    about = (base.name, base.patient, base.split, base.labels)
    case = ReviewedCase(*about, base=base, rough=("left_lung",))
    rough, drawn = case.organs(), base.organs()
    lung, painted = (one.mask(["left_lung"]) for one in (rough, drawn))
    assert 0.7 < 2 * (lung & painted).sum() / (lung.sum() + painted.sum()) < 1
    np.testing.assert_array_equal(rough.mask(["heart"]), drawn.mask(["heart"]))
    np.testing.assert_array_equal(rough.mask(["lungs"]), lung | drawn.mask(["right_lung"]))


def test_an_organ_without_a_rough_region_takes_its_case_with_it(folder, table):
    found = [Item(**{**vars(one), "target": "aorta"}) for one in items(folder, "a")]
    with make(folder, found) as review:
        review.record("ann", 1, "decision", "rough")
        review.record("ann", 1, "done", value=True)
    kept = reviewed_cases(table, review.path)
    assert names(kept) == ["b", "c", "d"]
    assert "1 without a region to take for a rough aorta (a)" in kept.notes[-2]
