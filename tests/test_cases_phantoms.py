"""Studies of phantoms, and splitting a table by patient."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam.cases import CaseTable, PhantomCase, check_cases, phantom_table
from napari_hirescam.cases.splits import split_by_patient
from napari_hirescam.errors import CaseTableError
from napari_hirescam.phantom import FINDING_ORGAN, make_phantom

COARSE = (10.0, 8.0, 8.0)


def plain(name, patient, split=None):
    return PhantomCase(name=name, patient=patient, split=split, labels={"mass": True})


# --- Phantoms ------------------------------------------------------------------------------


def test_a_study_is_the_same_each_time_and_another_for_another_seed():
    table = phantom_table(5, 3, 2, seed=4)
    assert table == phantom_table(5, 3, 2, seed=4)
    assert table.labels == tuple(FINDING_ORGAN)
    assert [case.split for case in table.cases] == ["train"] * 5 + ["valid"] * 3 + ["test"] * 2
    other = phantom_table(5, 3, 2, seed=5)
    assert not {c.seed for c in table.cases} & {c.seed for c in other.cases}
    assert min(case.seed for case in phantom_table(9, 0, 0).cases) > 99_999  # the sample CT's
    assert pickle.loads(pickle.dumps(table)) == table  # noqa: S301 - for worker processes


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.01, 0.99), st.integers(0, 9))
def test_each_split_has_its_share_of_each_label_and_never_none_or_all(train, test, share, seed):
    if train + test == 0:
        return
    table = phantom_table(train, 0, test, seed=seed, prevalence=share)
    for split, count in {"train": train, "test": test}.items():
        for label in table.labels:
            found = sum(case.labels[label] for case in table.cases if case.split == split)
            if count >= 2:
                assert 0 < found < count
                assert abs(found - share * count) <= 0.5 or found in {1, count - 1}


def test_a_case_has_the_findings_of_its_labels_and_they_lie_in_their_organs():
    labels = ("mass", "cardiomegaly")
    table = phantom_table(4, 0, 0, spacing_mm=COARSE, labels=labels, seed=1)
    for case in table.cases:
        ct = case.ct()
        organs = case.organs(ct)
        lesions = case.lesions(ct)
        assert ct.name == case.name
        assert set(lesions) == {label for label, there in case.labels.items() if there}
        assert organs.grid.same_place_as(ct.grid)
        for label, lesion in lesions.items():
            assert lesion.any()
            inside = organs.mask(case.organs_of(label, {}))
            assert inside[lesion].all()
        expected = make_phantom(case.seed, list(lesions), spacing_mm=COARSE)
        np.testing.assert_array_equal(ct.voxels, expected.volume.voxels)
        np.testing.assert_array_equal(organs.mask(["heart"]), expected.organs["heart"])


def test_what_a_user_does_to_a_ct_does_not_come_back():
    (case,) = phantom_table(1, 0, 0, spacing_mm=COARSE).cases
    before = case.ct().voxels.copy()
    case.ct().voxels[:] = 0
    np.testing.assert_array_equal(case.ct().voxels, before)


def test_left_and_right_are_the_patients():
    (case,) = phantom_table(1, 0, 0, spacing_mm=COARSE).cases
    organs = case.organs()
    masks = [organs.mask([f"{side}_lung"]) for side in ("left", "right")]
    left, right = (np.nonzero(mask)[2].mean() for mask in masks)
    assert left > right  # columns grow to the patient's left


def test_a_fingerprint_tells_phantoms_apart_but_not_by_their_labels():
    one, two = phantom_table(2, 0, 0, labels=["mass"]).cases
    assert one.fingerprint() == one.fingerprint() != two.fingerprint()
    finer = phantom_table(2, 0, 0, labels=["mass"], spacing_mm=COARSE).cases[0]
    assert finer.fingerprint() != one.fingerprint()
    same = phantom_table(2, 0, 0, labels=["mass"], prevalence=0.4).cases[0]
    assert (same.findings == one.findings) == (same.fingerprint() == one.fingerprint())


def test_phantoms_are_checked_for_the_organs_they_have():
    table = phantom_table(2, 0, 0)
    check_cases(table, need_organs=True)
    with pytest.raises(CaseTableError, match="no organ pancreas"):
        table.cases[0].check(["lungs", "pancreas"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"labels": ["mass", "hiccups"]}, "no finding hiccups"),
        ({"labels": []}, "no label"),
        ({"train": 0, "valid": 0, "test": 0}, "cannot be made"),
        ({"train": -1}, "cannot be made"),
        ({"train": 100_000}, "cannot be made"),
        ({"seed": -1}, "cannot be made"),
        ({"prevalence": 0}, "nothing to tell apart"),
        ({"prevalence": 1}, "nothing to tell apart"),
    ],
)
def test_studies_that_cannot_be_are_refused(options, reason):
    with pytest.raises(CaseTableError, match=reason):
        phantom_table(**options)


# --- Progress, and splits ------------------------------------------------------------------


def test_the_check_reports_progress_and_stops_when_asked():
    from napari_hirescam.errors import Cancelled

    table = phantom_table(3, 0, 0)
    seen = []
    check_cases(table, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with pytest.raises(Cancelled):
        check_cases(table, should_stop=lambda: True)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=60),
    st.tuples(*[st.floats(0, 1)] * 3).filter(lambda shares: sum(shares) > 0.01),
    st.integers(0, 5),
)
def test_a_split_never_parts_a_patient(patients, shares, seed):
    cases = tuple(plain(f"c{k}", f"p{patient}") for k, patient in enumerate(patients))
    try:
        table = split_by_patient(CaseTable("t", ("mass",), cases), *shares, seed=seed)
    except CaseTableError as error:
        assert "too few" in str(error)  # noqa: PT017 - it may also succeed
        return
    splits = {}
    for case in table.cases:
        splits.setdefault(case.patient, set()).add(case.split)
    assert all(len(found) == 1 for found in splits.values())
    assert [case.name for case in table.cases] == [case.name for case in cases]
    total = len(splits)
    for split, share in zip(("train", "valid", "test"), shares, strict=True):
        count = sum(found == {split} for found in splits.values())
        assert abs(count - total * share / sum(shares)) <= 1
        assert (count > 0) or share == 0


def test_a_split_is_drawn_by_its_seed_and_not_by_the_order_of_the_cases():
    cases = tuple(plain(f"c{k:02d}", f"p{k // 2}") for k in range(20))
    table = CaseTable("t", ("mass",), cases)
    turned = CaseTable("t", ("mass",), cases[::-1])
    one = {case.name: case.split for case in split_by_patient(table, seed=1).cases}
    assert {case.name: case.split for case in split_by_patient(turned, seed=1).cases} == one
    assert {case.name: case.split for case in split_by_patient(table, seed=2).cases} != one
    assert "seed 1" in split_by_patient(table, seed=1).notes[-1]


@pytest.mark.parametrize(
    ("split", "shares", "reason"),
    [
        ("train", (1, 1, 1), "c0 is in a split already"),
        (None, (0, 0, 0), "cannot be split 0 : 0 : 0"),
        (None, (1, -1, 1), "cannot be split"),
        (None, (0.98, 0.01, 0.01), "2 patients are too few for a split 'valid'"),
    ],
)
def test_splits_that_cannot_be_are_refused(split, shares, reason):
    table = CaseTable("t", ("mass",), tuple(plain(f"c{k}", f"p{k}", split) for k in range(2)))
    with pytest.raises(CaseTableError, match=reason):
        split_by_patient(table, *shares)
