"""AUROC, average precision and their intervals, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from napari_hirescam.evaluation.discrimination import ONE_CLASS, bootstrap_auroc, discrimination
from napari_hirescam.evaluation.intervals import (
    SAME_IN_EVERY_DRAW,
    bootstrap_mean,
    estimate,
    resample,
    weighted_means,
)


def plain(present, scores):
    auroc, ap = discrimination(present, scores, np.ones((1, len(present))))
    return auroc[0], ap[0]


def test_one_pair_in_the_wrong_order_costs_its_share_of_all_pairs():
    # Scores 4 > 3 > 2 > 1, present are 4 and 2: three of the four pairs are in order.
    auroc, ap = plain([1, 0, 1, 0], [4, 3, 2, 1])
    assert auroc == pytest.approx(3 / 4)
    # Precision 1 at the first finding, 2/3 at the second, each half of the sensitivity.
    assert ap == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_equal_scores_are_as_good_as_guessing():
    auroc, ap = plain([1, 0, 0, 0], [5, 5, 5, 5])
    assert (auroc, ap) == (0.5, 0.25)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=2, max_size=25
    )
)
def test_every_replicate_is_what_scikit_learn_computes_with_weights(cases):
    present, scores, weights = (np.array(column) for column in zip(*cases, strict=True))
    auroc, ap = discrimination(present, scores, weights[None].astype(float))
    drawn = weights > 0
    if len(set(present[drawn])) < 2:
        assert np.isnan(auroc[0])
        assert np.isnan(ap[0])
        return
    assert auroc[0] == pytest.approx(roc_auc_score(present, scores, sample_weight=weights))
    expected = average_precision_score(present, scores, sample_weight=weights)
    assert ap[0] == pytest.approx(expected)


def test_one_class_has_no_area_and_says_why():
    result = bootstrap_auroc([1, 1, 1], [0.1, 0.5, 0.2], ["a", "b", "c"], n_replicates=20)
    assert np.isnan([result.value, result.low, result.high]).all()
    assert (result.n, result.note) == (3, ONE_CLASS)


def test_replicates_of_one_class_are_left_out_and_counted():
    result = bootstrap_auroc([1, 0, 0], [3, 2, 1], ["a", "b", "c"], n_replicates=300)
    assert result.value == 1.0
    # The one patient with the finding is missed with probability (2/3)^3, or all three are she.
    left_out = int(result.note.split()[0])
    assert left_out / 300 == pytest.approx((2 / 3) ** 3 + (1 / 3) ** 3, abs=0.08)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        plain([1, 0], [np.nan, 1])
    with pytest.raises(ValueError, match=r"\(3,\) labels, \(2,\) scores"):
        plain([1, 0, 1], [0.0, 1.0])


def test_cases_of_one_patient_are_drawn_together():
    weights = resample(["a", "b", "a", "c"], n_replicates=200, seed=3)
    assert weights.shape == (201, 4)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    # As many patients as there are, however many cases they bring.
    assert (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert (resample(["a", "b", "a", "c"], 200, seed=3) == weights).all()
    assert (resample(["a", "b", "a", "c"], 200, seed=4) != weights).any()


def test_an_interval_is_about_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(5, 2, 400)
    result = bootstrap_mean(values, range(400), n_replicates=2000)
    assert result.value == pytest.approx(values.mean())
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert result.high - result.value == pytest.approx(half_width, rel=0.12)
    assert result.value - result.low == pytest.approx(half_width, rel=0.12)


def test_repeated_patients_widen_the_interval():
    rng = np.random.default_rng(1)
    of_patient = rng.normal(size=50).repeat(8)
    patients = np.arange(50).repeat(8)
    right = bootstrap_mean(of_patient, patients.tolist())
    wrong = bootstrap_mean(of_patient, range(400))
    # Eight copies hold no more than one: the naive interval is sqrt(8) too narrow.
    assert (right.high - right.low) / (wrong.high - wrong.low) == pytest.approx(8**0.5, rel=0.15)


def test_values_that_are_not_defined_do_not_count():
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0], [3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    means = weighted_means([4.0, np.nan, 1.0], weights)
    assert means[:3].tolist() == [2.5, 1.0, 4.0]
    assert np.isnan(means[3])
    result = estimate(means, 2, level=1.0)
    assert (result.value, result.low, result.high) == (2.5, 1.0, 4.0)
    assert result.note == "1 of 3 replicates had no figure and are left out"


@pytest.mark.parametrize(
    "result",
    [
        bootstrap_auroc([0, 0, 0, 1, 1, 1], range(6), range(6), n_replicates=200),
        bootstrap_mean([0.2, 0.4], ["one patient"] * 2, n_replicates=200),
        bootstrap_mean([1.0, 1.0, 1.0], range(3), n_replicates=200),
    ],
)
def test_what_every_draw_gives_alike_is_not_sold_as_certain(result):
    """AUROC 1, or a single patient: the interval would have no width, and would mean nothing."""
    assert np.isfinite(result.value)
    assert np.isnan([result.low, result.high]).all()
    assert SAME_IN_EVERY_DRAW in result.note
