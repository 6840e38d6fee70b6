"""The order of a work list, its hidden repeats, its checks, and what readers are asked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam.errors import Cancelled, ReviewError
from napari_hirescam.io import write_volume
from napari_hirescam.review import new_review
from napari_hirescam.review.form import Form, Plan
from napari_hirescam.review.form_file import read_form
from napari_hirescam.review.item import CheckFinding, Item, MaskFacts
from napari_hirescam.review.new_review import check_all, create_review
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.review.work_list import WorkList
from napari_hirescam.review.work_order import LEAST_APART, arrange
from napari_hirescam.volume import Grid


def items(n_cases: int, organs: tuple[str, ...] = ("heart",), folder: Path = Path("/x")):
    return tuple(
        Item(
            number=len(organs) * case + k + 1,
            case=f"c{case}",
            patient=f"c{case}",
            kind="mask",
            target=organ,
            ct=folder / f"c{case}.nii.gz",
            mask=folder / f"c{case}_seg.nii.gz",
        )
        for case in range(n_cases)
        for k, organ in enumerate(organs)
    )


def shown(arranged) -> list[tuple[str, str]]:
    return [(item.case, item.target) for item in arranged]


def worst(severity: float) -> MaskFacts:
    return MaskFacts(1.0, 1.0, 0.0, (CheckFinding("leak", "it leaks", severity),))


def test_as_given():
    arranged, notes = arrange(items(3, ("heart", "aorta")), Plan("p"))
    assert arranged == items(3, ("heart", "aorta"))
    assert notes == ()


def test_a_random_order_is_that_of_its_seed_and_keeps_cases_together():
    given_items = items(30, ("heart", "aorta"))
    first, _ = arrange(given_items, Plan("p", order="random", seed=3))
    again, _ = arrange(given_items, Plan("p", order="random", seed=3))
    other, _ = arrange(given_items, Plan("p", order="random", seed=4))
    assert first == again
    assert shown(first) != shown(other)
    assert shown(first) != shown(given_items)
    assert sorted(shown(first)) == sorted(shown(given_items))
    assert [item.number for item in first] == list(range(1, 61))
    cases = [item.case for item in first]
    assert cases[::2] == cases[1::2]
    assert [item.target for item in first] == ["heart", "aorta"] * 30


def test_the_worst_come_first_and_equals_stay_as_given():
    facts = {1: worst(0.2), 2: worst(0.9), 3: MaskFacts(1.0, 1.0, 0.0), 4: worst(0.9)}
    arranged, _ = arrange(items(4), Plan("p", order="worst_first"), facts)
    assert [item.case for item in arranged] == ["c1", "c3", "c0", "c2"]
    with pytest.raises(ReviewError, match="before the checks have run"):
        arrange(items(4), Plan("p", order="worst_first"))


@settings(deadline=None, max_examples=60)
@given(
    n_cases=st.integers(1, 60),
    n_organs=st.integers(1, 3),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    order=st.sampled_from(["given", "random"]),
)
def test_repeats_come_later_and_are_told_from_others_by_their_number_alone(
    n_cases, n_organs, share, seed, order
):
    given_items = items(n_cases, ("heart", "aorta", "liver")[:n_organs])
    plan = Plan("p", order=order, seed=seed, repeat_share=share)
    arranged, notes = arrange(given_items, plan)
    originals = {item.number: item for item in arranged if item.repeat_of is None}
    repeats = [item for item in arranged if item.repeat_of is not None]
    assert [item.number for item in arranged] == list(range(1, len(arranged) + 1))
    assert sorted(shown(originals.values())) == sorted(shown(given_items))
    assert len({item.repeat_of for item in repeats}) == len(repeats)  # once each
    for item in repeats:
        original = originals[item.repeat_of]
        assert item.number - original.number >= LEAST_APART
        assert (item.case, item.target, item.ct, item.mask, item.about) == (
            original.case, original.target, original.ct, original.mask, original.about,
        )  # fmt: skip
    able = max(len(given_items) - LEAST_APART + 1, 0)
    wanted = max(round(share * len(given_items)), 1) if share else 0
    assert len(repeats) == min(wanted, able)
    assert bool(notes) == (wanted > able)


def test_repeats_do_not_part_what_is_judged_in_one_case():
    arranged, _ = arrange(items(40, ("heart", "aorta")), Plan("p", repeat_share=0.2, seed=1))
    originals = [item for item in arranged if item.repeat_of is None]
    places = [k for k, item in enumerate(arranged) if item.repeat_of is not None]
    assert len(places) == 16
    for one, other in zip(originals[::2], originals[1::2], strict=True):
        assert other.number == one.number + 1


@pytest.mark.parametrize("share", [-0.1, 1.5, math.nan])
def test_a_share_must_be_one(share):
    with pytest.raises(ReviewError, match="is no share"):
        arrange(items(2), Plan("p", repeat_share=share))


# --- the file -----------------------------------------------------------------------------------


@pytest.fixture
def cohort(tmp_path) -> WorkList:
    """Three CTs of noise with a mask each; the second is empty, the third lies elsewhere."""
    rng = np.random.default_rng(0)
    for case in range(3):
        grid = Grid((12, 12, 12), np.diag([5.0, 5.0, 5.0, 1.0]))
        ct = rng.integers(-50, 50, grid.shape).astype(np.int16)
        mask = np.zeros(grid.shape, np.uint8)
        if case != 1:
            mask[4:8, 4:8, 4:8] = 1
        affine = grid.affine.copy()
        affine[0, 3] = 500.0 if case == 2 else 0.0
        write_volume(tmp_path / f"c{case}.nii.gz", ct, grid)
        write_volume(tmp_path / f"c{case}_seg.nii.gz", mask, Grid(grid.shape, affine))
    return WorkList(items(3, folder=tmp_path))


def test_a_review_is_made_with_its_checks_and_repeats_share_them(cohort, tmp_path, monkeypatch):
    # Two items later will do: the list has three.
    monkeypatch.setattr("napari_hirescam.review.work_order.LEAST_APART", 2)
    told: list[tuple[int, int]] = []
    plan = Plan("three", order="worst_first", repeat_share=0.3)
    with create_review(
        tmp_path / "review.db", plan, cohort, workers=1, progress=lambda *n: told.append(n)
    ) as review:
        arranged = review.items()
        # Both have a finding of severity 1 and stay as given; then comes the rest.
        originals = [item.case for item in arranged if item.repeat_of is None]
        assert originals == ["c1", "c2", "c0"]
        assert len(arranged) == 4
        for item in arranged:
            facts = review.facts(item.number)
            if item.case != "c0":
                assert facts.findings[0].severity == 1
            if item.repeat_of is not None:
                assert repr(facts) == repr(review.facts(item.repeat_of))
    assert told[-1] == (3, 3)


def test_processes_find_the_same_as_one(cohort):
    alone = check_all(cohort.items, workers=1)
    shared = check_all(cohort.items, workers=2)
    assert repr(sorted(alone.items())) == repr(sorted(shared.items()))


def test_a_stop_leaves_nothing_behind(cohort, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Cancelled):
        create_review(
            tmp_path / "review.db", Plan("p"), cohort, check=True, workers=1,
            should_stop=lambda: True,
        )  # fmt: skip
    assert sorted(tmp_path.iterdir()) == before


def test_a_failure_while_the_checks_are_kept_leaves_no_half_review(cohort, tmp_path, monkeypatch):
    def fail(*_):
        raise ReviewError("review.db", "the disk is full", "Make room")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(ReviewFile, "put_facts", fail)
    with pytest.raises(ReviewError, match="the disk is full"):
        create_review(tmp_path / "review.db", Plan("p"), cohort, check=True, workers=1)
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_made_is_refused_before_the_checks(cohort, tmp_path, monkeypatch):
    def check(*_, **__):
        raise AssertionError("too early")

    monkeypatch.setattr(new_review, "check_all", check)
    (tmp_path / "there.db").touch()
    for name, plan, reason in (
        ("there.db", Plan("p"), "there is a file of this name"),
        ("no/where.db", Plan("p"), "its folder is not there"),
        ("new.db", Plan(" "), "has no name"),
        ("new.db", Plan("p", repeat_share=2), "cannot be repeated"),
    ):
        with pytest.raises(ReviewError, match=reason):
            create_review(tmp_path / name, plan, cohort, check=True)


# --- what is asked ------------------------------------------------------------------------------


def test_a_form_from_a_file(tmp_path):
    path = tmp_path / "form.yaml"
    path.write_text(
        """
mask: {question: "Good enough?", captions: ["no", "yes"]}
reasons: {motion: it moved}
questions:
  contrast: Is there contrast medium?
  tube: {text: "Is the attention on a tube?", about: attention}
""",
        encoding="utf-8",
    )
    form = read_form(path)
    assert (form.mask.question, form.mask.captions) == ("Good enough?", ("no", "yes"))
    assert form.attention == Form().attention
    assert form.reasons == {"motion": "it moved"}
    assert [(one.key, one.about) for one in form.questions] == [
        ("contrast", "mask"),
        ("tube", "attention"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[a]", "the file has no fields"),
        ("quality: 1", "there is no field quality"),
        ("mask: {question: 'Good?'}", "mask needs the fields question and captions"),
        ("mask: {question: 'Good?', captions: [a]}", "no list of 2 to 5 captions"),
        ("mask: {question: 'Good?', captions: [a, 2]}", "captions holds no text"),
        ("mask: {question: Good, captions: [a, b]}", "does not end in a question mark"),
        ("questions: {a b: 'Is it?'}", "no name of letters"),
        ("questions: {a: {text: 'Is it?', about: organ}}", "neither mask nor attention"),
        ("questions: {a: {text: 'Is it?', of: mask}}", "needs a text"),
        ("reasons: {a: ''}", "reasons.a holds no text"),
        ("questions: {a: 'Is it?', a: 'Is it not?'}", "'a' is there twice"),
        ("questions: !!python/object:os.system {}", "not plain YAML"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(tmp_path, text, reason):
    path = tmp_path / "form.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReviewError, match=reason):
        read_form(path)
    with pytest.raises(ReviewError, match="no such file"):
        read_form(tmp_path / "nowhere.yaml")
