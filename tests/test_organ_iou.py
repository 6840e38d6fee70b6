"""OrganIoU by hand, by brute force, and as the reference computes it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_hirescam.evaluation.organ_iou import THRESHOLDS, count_cells, organ_iou

#: Four cells: two in the organ, two outside.
ORGAN = np.array([[[True, True, False, False]]])


def score(values, threshold=0.1, definition="corrected"):
    return organ_iou(np.array([[values]], dtype=np.float32), ORGAN, threshold, definition)


def by_brute_force(values, allowed, threshold, definition):
    """Count cell by cell, as the formula says."""
    inside = outside = 0
    for index in np.ndindex(values.shape):
        if values[index] > threshold:
            inside += bool(allowed[index])
            outside += not allowed[index]
    if definition == "reference":
        return inside / (inside + outside) if inside and outside else 0.0
    return inside / (inside + outside) if inside + outside else float("nan")


def test_a_map_that_leaks_scores_its_share_inside_by_both_definitions():
    assert score([1.0, 0.5, 0.5, 0.0]) == pytest.approx(2 / 3)
    assert score([1.0, 0.5, 0.5, 0.0], definition="reference") == pytest.approx(2 / 3)


def test_a_map_that_never_leaks_is_perfect_and_nothing_to_the_reference():
    assert score([1.0, 0.5, 0.0, 0.0]) == 1.0
    assert score([1.0, 0.5, 0.0, 0.0], definition="reference") == 0.0


def test_a_map_wholly_outside_scores_nothing():
    assert score([0.0, 0.0, 1.0, 0.3]) == 0.0
    assert score([0.0, 0.0, 1.0, 0.3], definition="reference") == 0.0


def test_a_map_without_a_positive_cell_has_no_corrected_score():
    assert np.isnan(score([0.0, 0.0, 0.0, 0.0]))
    assert score([0.0, 0.0, 0.0, 0.0], definition="reference") == 0.0


def test_a_cell_at_the_threshold_is_not_above_it():
    # 0.3 in single precision is a hair more than 0.3 in double; it must not count for that.
    assert score([1.0, 0.0, 0.3, 0.0], threshold=0.3) == 1.0


def test_an_organ_that_is_not_covered_costs_nothing():
    assert score([1.0, 0.0, 0.0, 0.0]) == 1.0


def test_there_are_the_53_thresholds_of_the_paper():
    assert len(THRESHOLDS) == 53
    assert THRESHOLDS[:6] == (0.004, 0.008, 0.012, 0.016, 0.02, 0.04)
    assert THRESHOLDS[-1] == 0.98
    assert np.allclose(np.diff(THRESHOLDS[4:]), 0.02)


@given(
    arrays(np.float32, (2, 3, 4), elements=st.floats(0, 1, width=32)),
    arrays(bool, (2, 3, 4)),
    st.sampled_from(["corrected", "reference"]),
)
def test_all_thresholds_at_once_agree_with_brute_force(values, allowed, definition):
    at_once = count_cells(values, allowed).organ_iou(definition)
    one_by_one = [by_brute_force(values, allowed, t, definition) for t in THRESHOLDS]
    np.testing.assert_array_equal(at_once, one_by_one)


@given(arrays(np.float32, 24, elements=st.floats(0, 1, width=32)), st.randoms())
def test_on_random_cells_the_mean_score_is_the_organs_share_of_the_cells(values, random):
    # The chance level beside every figure: all placements of the organ, one cell wide.
    if values.max() == 0:
        values[random.randrange(24)] = 1
    scores = [
        organ_iou(values.reshape(2, 3, 4), (np.arange(24) == k).reshape(2, 3, 4), 0.0)
        for k in range(24)
    ]
    assert np.mean(scores) == pytest.approx(1 / 24)


def test_what_is_no_map_or_no_region_is_refused():
    with pytest.raises(ValueError, match="region of"):
        organ_iou(np.ones((1, 1, 3)), ORGAN, 0.5)
    with pytest.raises(ValueError, match="true or false"):
        organ_iou(np.ones((1, 1, 4)), np.full((1, 1, 4), 0.5), 0.5)
    with pytest.raises(ValueError, match="NaN"):
        organ_iou(np.full((1, 1, 4), np.nan), ORGAN, 0.5)
    with pytest.raises(ValueError, match="no definition 'precise'"):
        score([1.0, 0.0, 0.0, 0.0], definition="precise")
