"""Agreement of readers: published worked examples, the libraries, and what is not defined."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_reviews import Said, mask_items, new_review, say

from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.intervals import SAME_IN_EVERY_DRAW
from napari_hirescam.review import agreement as agreement_module
from napari_hirescam.review.agreement import (
    COEFFICIENTS,
    NO_VARIANCE,
    ONE_CATEGORY,
    ONE_CATEGORY_AC,
    TOO_FEW_ITEMS,
    TOO_FEW_READERS,
    coefficient,
)
from napari_hirescam.review.agreement_intervals import agreement, ordinal_weights, replicates
from napari_hirescam.review.report_tables import interval_words
from napari_hirescam.review.results import results

_NO = np.nan
#: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers,
#: twelve units, five values. Gwet uses it, too: irrCAC's data set cac.raw4raters.
_FOUR_OBSERVERS = (
    np.array(
        [
            [1, 1, _NO, 1],
            [2, 2, 3, 2],
            [3, 3, 3, 3],
            [3, 3, 3, 3],
            [2, 2, 2, 2],
            [1, 2, 3, 4],
            [4, 4, 4, 4],
            [1, 1, 2, 1],
            [2, 2, 2, 2],
            [_NO, 5, 5, 5],
            [_NO, _NO, 1, 1],
            [_NO, _NO, 3, _NO],
        ]
    )
    - 1
)
#: Gwet's abstractors: two readers, a hundred patients, three kinds of pregnancy (irrCAC's data
#: set cont3x3abstractors); rows are the first reader's answers.
_ABSTRACTORS = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
#: Fleiss' example as the literature repeats it: 14 readers, 10 items, 5 categories.
_FOURTEEN_READERS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
#: Shrout and Fleiss, Psychological Bulletin 86 (1979), table 2: six targets, four judges.
_SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    dtype=float,
)


def _two_readers(table: np.ndarray) -> np.ndarray:
    first, second = np.indices(table.shape)
    return np.column_stack(
        [np.repeat(first.ravel(), table.ravel()), np.repeat(second.ravel(), table.ravel())]
    ).astype(float)


def _from_counts(table: list[list[int]]) -> np.ndarray:
    return np.array([np.repeat(np.arange(len(row)), row) for row in table], dtype=float)


@pytest.mark.parametrize(
    ("key", "published"),
    [
        # irrCAC's vignettes "overview" and "weighting" (Gwet 2019) for the abstractors
        ("kappa", 0.7964094),
        ("kappa_quadratic", 0.8921569),
        ("ac1", 0.8493305),
        ("percent", 0.89),
    ],
)
def test_two_readers_equal_the_published_example(key, published):
    value, note = coefficient(key, _two_readers(_ABSTRACTORS), 3)
    assert value == pytest.approx(published, abs=1e-6)
    assert note == ""


def test_the_weighted_kappas_of_a_table_worked_by_hand():
    # 2 x 2 of Wikipedia's "Cohen's kappa": 20 yes/yes, 5, 10, 15 no/no: p 0.7, chance 0.5.
    value, _ = coefficient("kappa", _two_readers(np.array([[20, 5], [10, 15]])), 2)
    assert value == pytest.approx(0.4, abs=1e-12)
    # Linear, three steps: observed cost 7 + 4 of 100, expected by the margins 13/27/60, 13/24/63.
    expected = 13 * 24 + 2 * 13 * 63 + 27 * 13 + 27 * 63 + 2 * 60 * 13 + 60 * 24
    value, _ = coefficient("kappa_linear", _two_readers(_ABSTRACTORS), 3)
    assert value == pytest.approx(1 - 11 * 100 / expected, abs=1e-12)


@pytest.mark.parametrize(
    ("key", "published"),
    [
        ("percent", 0.8181818),  # irrCAC's vignette: pa; AC1 with pe 0.1903212
        ("ac1", (0.8181818 - 0.1903212) / (1 - 0.1903212)),
        # pa 0.968, pe 0.685, AC2 0.899 in irrCAC's own tests; by fractions, below
        ("ac2", 0.8989398),
        ("alpha_nominal", 113 / 152),  # Krippendorff writes .743
    ],
)
def test_four_readers_with_gaps_equal_the_published_example(key, published):
    value, note = coefficient(key, _FOUR_OBSERVERS, 5)
    assert value == pytest.approx(published, abs=1e-6)
    assert note == ""


def test_ordinal_alpha_equals_krippendorffs_three_digits():
    assert round(coefficient("alpha_ordinal", _FOUR_OBSERVERS, 5)[0], 3) == 0.815


def test_fleiss_kappa_equals_the_example_of_fourteen_readers():
    value, _ = coefficient("fleiss", _from_counts(_FOURTEEN_READERS), 5)
    assert value == pytest.approx((0.378022 - 0.212755) / (1 - 0.212755), abs=1e-6)


def test_icc_equals_shrout_and_fleiss():
    value, _ = coefficient("icc", _SHROUT_FLEISS, 11)
    assert round(value, 2) == 0.29
    # Mean squares of their table 3: 11.24 between targets, 32.49 judges, 1.02 residual, exact.
    targets, judges, rest = 56.2083333333 / 5, 97.4583333333 / 3, 15.2916666667 / 15
    assert value == pytest.approx(
        (targets - rest) / (targets + 3 * rest + 4 * (judges - rest) / 6), abs=1e-9
    )
    assert value == pytest.approx(0.289764, abs=1e-6)  # pingouin 0.7


def test_gwets_coefficients_equal_their_formula_written_as_loops():
    for key, similar in (("ac1", np.eye(5)), ("ac2", ordinal_weights(5))):
        agree, share, n_pairs, n_any = [], np.zeros(5), 0, 0
        for row in _FOUR_OBSERVERS:
            given = [int(answer) for answer in row if np.isfinite(answer)]
            n_any += 1
            for answer in given:
                share[answer] += 1 / len(given)
            if len(given) > 1:
                n_pairs += 1
                pairs = [
                    similar[given[i], given[j]]
                    for i in range(len(given))
                    for j in range(len(given))
                    if i != j
                ]
                agree.append(sum(pairs) / len(pairs))
        share /= n_any
        chance = similar.sum() * sum(p * (1 - p) for p in share) / (5 * 4)
        observed = sum(agree) / n_pairs
        value, _ = coefficient(key, _FOUR_OBSERVERS, 5)
        assert value == pytest.approx((observed - chance) / (1 - chance), abs=1e-12)


def test_ordinal_weights_are_gwets():
    assert np.allclose(ordinal_weights(3), [[1, 2 / 3, 0], [2 / 3, 1, 2 / 3], [0, 2 / 3, 1]])


def test_a_step_that_nobody_chose_still_lies_between_its_neighbours():
    # The third and the fourth step are never used; all disagreement is between the first two.
    answers = np.array([[0, 0], [4, 4], [4, 4], [1, 1], [0, 1], [1, 0.0]])
    squeezed = np.where(answers == 4, 2, answers)
    whole, _ = coefficient("kappa_linear", answers, 5)
    assert whole > coefficient("kappa_linear", squeezed, 3)[0] + 0.05


_TABLES = st.integers(2, 4).flatmap(
    lambda readers: st.lists(
        st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=readers, max_size=readers),
        min_size=2,
        max_size=12,
    )
)


@settings(max_examples=40, deadline=None)
@given(rows=_TABLES, seed=st.integers(0, 10_000))
def test_a_draw_gives_what_the_library_says_of_the_items_so_repeated(rows, seed):
    answers = np.array([[_NO if a is None else a for a in row] for row in rows], dtype=float)
    times = np.random.default_rng(seed).integers(0, 3, len(answers))
    for key, described in COEFFICIENTS.items():
        table = answers[:, :2] if described.pair else answers
        repeated = np.repeat(table, times, axis=0)
        value, _ = (
            coefficient(key, repeated, 5) if len(repeated) else (float("nan"), "nothing drawn")
        )
        if np.isnan(value):
            continue  # its draw is held to be NaN by the tests of each reason
        drawn = replicates(key, table, 5, np.vstack([np.ones(len(table)), times]))
        assert drawn[1] == pytest.approx(value, abs=1e-9), key


@pytest.mark.parametrize("key", COEFFICIENTS)
def test_without_a_second_reader_there_is_no_figure(key):
    alone = np.array([[0.0], [3.0], [4.0]])
    value, note = coefficient(key, alone, 5)
    assert np.isnan(value)
    assert note == TOO_FEW_READERS
    apart = np.array([[0.0, _NO], [_NO, 3.0]])  # two readers, no item in common
    assert np.isnan(coefficient(key, apart, 5)[0])
    found = agreement([key], apart, 5, ["a", "b"])[key]
    assert (found.n, found.note) == (0, TOO_FEW_READERS)
    assert np.isnan(found.low)


@pytest.mark.parametrize("key", COEFFICIENTS)
def test_one_answer_everywhere_is_never_a_made_up_one(key):
    value, note = coefficient(key, np.full((6, 2), 4.0), 5)
    if key == "percent":
        assert (value, note) == (1.0, "")
    elif key in ("ac1", "ac2"):  # Gwet: no chance agreement where nothing is hard to judge
        assert (value, note) == (1.0, ONE_CATEGORY_AC)
    else:
        assert np.isnan(value)
        assert note == (NO_VARIANCE if key == "icc" else ONE_CATEGORY)


def test_full_agreement_over_several_answers_is_one():
    answers = np.repeat([[0.0], [1], [4], [2]], 3, axis=1)
    for key, described in COEFFICIENTS.items():
        table = answers[:, :2] if described.pair else answers
        assert coefficient(key, table, 5)[0] == pytest.approx(1.0), key


def test_the_kappa_paradox_that_ac1_is_for():
    # 96 of 100 agree, nearly all "good": kappa falls to nothing, AC1 does not.
    answers = _two_readers(np.array([[96, 2], [2, 0]]))
    assert coefficient("kappa", answers, 2)[0] < 0
    assert coefficient("ac1", answers, 2)[0] > 0.95


def test_items_that_not_all_answered_are_left_out_and_said():
    value, note = coefficient("fleiss", _FOUR_OBSERVERS, 5)
    complete = _FOUR_OBSERVERS[np.isfinite(_FOUR_OBSERVERS).all(axis=1)]
    assert value == pytest.approx(coefficient("fleiss", complete, 5)[0])
    assert note == "3 items that not all answered are left out"
    few = np.array([[1, 2, 3.0], [1, 2, _NO]])
    assert coefficient("icc", few, 5)[1] == TOO_FEW_ITEMS


def test_a_figure_counts_the_items_it_rests_on():
    answers = np.array([[0, 0, 0], [1, 1, 0], [2, 2, 2], [0, 1, _NO], [2, _NO, _NO]])
    found = agreement(["alpha_nominal", "fleiss", "icc"], answers, 3, "abcde", n_replicates=20)
    assert {key: one.n for key, one in found.items()} == {"alpha_nominal": 4, "fleiss": 3, "icc": 3}


def test_intervals_say_how_many_scans_were_judged(tmp_path):
    with new_review(tmp_path / "review.db", mask_items("abcdef", ["heart", "aorta"])) as review:
        for reader in ("ann", "bob"):
            said = {number: Said(rating=number % 5 + 1) for number in (1, 2, 5, 7)}
            say(review, reader, {**said, 9: Said(rating=3, done=False)})
        words = interval_words(results(review, n_replicates=20))
    assert "20 draws of the 3 judged scans (of 6)" in words


def test_answers_outside_the_question_are_refused():
    with pytest.raises(ValueError, match="not all among 2"):
        coefficient("kappa", np.array([[0.0, 2.0]]), 2)
    with pytest.raises(ValueError, match="two readers, not 3"):
        coefficient("kappa", np.zeros((2, 3)), 2)


def test_scans_are_drawn_and_not_their_organs():
    rng = np.random.default_rng(5)
    by_scan = rng.integers(0, 5, (12, 1)).repeat(6, axis=0)
    second = np.where(rng.random(12) < 0.5, 0, 1).repeat(6)[:, None]
    answers = np.hstack([by_scan, np.clip(by_scan + second, 0, 4)]).astype(float)
    scans = np.arange(12).repeat(6)
    honest = agreement(["kappa"], answers, 5, scans.tolist())["kappa"]
    naive = agreement(["kappa"], answers, 5, list(range(len(answers))))["kappa"]
    assert honest.value == naive.value
    assert honest.high - honest.low > 1.5 * (naive.high - naive.low)
    assert honest.low < honest.value < honest.high


def test_one_scan_gives_a_figure_and_no_interval():
    answers = np.array([[0, 0], [1, 2], [4, 4.0]])
    found = agreement(["kappa_quadratic"], answers, 5, ["only"] * 3)["kappa_quadratic"]
    assert np.isfinite(found.value)
    assert np.isnan(found.low)
    assert SAME_IN_EVERY_DRAW in found.note


def test_a_thousand_draws_of_every_coefficient_take_seconds_at_most():
    rng = np.random.default_rng(0)
    answers = rng.integers(0, 5, (2000, 2)).astype(float)
    began = time.process_time()
    found = agreement(list(COEFFICIENTS), answers, 5, [i // 5 for i in range(2000)])
    assert time.process_time() - began < 4
    assert all(np.isfinite(estimate.low) for estimate in found.values())


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(agreement_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        coefficient("kappa", np.array([[0.0, 1], [1, 1]]), 2)
    assert "krippendorff" in caught.value.subject
    assert 'pip install "napari-hirescam[review]"' in caught.value.remedy
