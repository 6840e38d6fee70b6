"""Measures of one CT's maps, on maps drawn by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from cohort_cases import AFFINE, SHAPE, bright_and_dark, case, explanation, organ_map
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_hirescam.attention import explain
from napari_hirescam.errors import OrganError
from napari_hirescam.evaluation.case_measures import measure_case
from napari_hirescam.evaluation.lesion_overlap import count_overlap
from napari_hirescam.evaluation.organ_iou import THRESHOLDS
from napari_hirescam.organs import OrganMap
from napari_hirescam.volume import Grid

ALLOWED = {"bright": ("left",), "dark": ("right",)}
#: In the left organ 1.0 and 0.5; in the right one 0.5 and, against the label, -0.25.
DRAWN = {(0, 1, 2): 1.0, (1, 2, 3): 0.5, (0, 0, 0): 0.5, (1, 0, 1): -0.25}


@pytest.fixture(scope="module")
def measured():
    patient = case("one", "test", DRAWN, bright=True)
    maps = explain(patient.ct(), bright_and_dark(), methods=("hirescam", "gradcam"))
    rows = measure_case(
        maps, organ_map(), ALLOWED, present={"bright": True, "dark": False}, thresholds=0.1
    )
    return {(row.label, row.method): row for row in rows}


def test_a_drawn_map_has_the_measures_that_were_counted_by_hand(measured):
    row = measured["bright", "hirescam"]
    assert row.logit == pytest.approx(1.75)
    assert row.residual == pytest.approx(0, abs=1e-6)
    assert row.verified
    assert row.positive_sum == pytest.approx(2.0)
    assert row.organs == ("left",)
    assert row.organ_iou == pytest.approx(2 / 3)
    assert row.organ_iou_reference == pytest.approx(2 / 3)
    assert row.share_inside == pytest.approx(1.5 / 2.0)
    assert (row.hit, row.chance_cells, row.chance_share) == (1.0, 0.5, 0.5)


def test_where_it_does_not_leak_only_the_reference_gives_nothing():
    maps = explanation({"hirescam": np.eye(4, dtype=np.float32)[3].reshape(1, 1, 1, 4)})
    organs = OrganMap.from_masks({"left": np.array([[[0, 0, 1, 1]]], dtype=bool)}, AFFINE, "hand")
    (row,) = measure_case(maps, organs, ALLOWED, thresholds=0.5)
    assert (row.organ_iou, row.organ_iou_reference, row.share_inside) == (1.0, 0.0, 1.0)


def test_a_label_that_is_absent_is_judged_by_the_strength_of_its_map_alone(measured):
    row = measured["dark", "hirescam"]
    assert row.present is False
    assert row.positive_sum == pytest.approx(0.25)
    assert row.organs == ()
    assert np.isnan([row.organ_iou, row.share_inside, row.hit, row.chance_cells]).all()


def test_a_map_without_a_positive_cell_points_nowhere():
    maps = explanation({"hirescam": np.full((1, *SHAPE), -1.0)})
    (row,) = measure_case(maps, organ_map(), ALLOWED, thresholds=0.5)
    assert row.silent
    assert np.isnan([row.organ_iou, row.hit, row.share_inside]).all()
    assert (row.organ_iou_reference, row.chance_cells) == (0.0, 0.5)


def test_where_no_cell_is_allowed_no_map_can_be_right_or_wrong():
    """The organ lies outside the maps, or fills half of no cell: nothing to be measured by."""
    maps = explanation({"hirescam": np.ones((1, *SHAPE))})
    nowhere = OrganMap.from_masks({"left": np.zeros(SHAPE, dtype=bool)}, AFFINE, "hand")
    (row,) = measure_case(maps, nowhere, ALLOWED, thresholds=0.5)
    assert np.isnan([row.organ_iou, row.hit, row.share_inside]).all()
    assert (row.chance_cells, row.organ_iou_reference) == (0.0, 0.0)
    assert np.isnan(row.curve("corrected")).all()
    assert (row.curve("reference") == 0).all()


def test_cells_that_tie_for_the_strongest_share_the_hit():
    """An even map is a hit as often as chance, wherever the first of its cells lies."""
    maps = explanation({"hirescam": np.ones((1, *SHAPE))})
    (row,) = measure_case(maps, organ_map(), ALLOWED, labels=["bright"], thresholds=0.5)
    assert row.hit == row.chance_cells == 0.5


def test_without_thresholds_or_organs_the_rest_is_measured():
    maps = explanation({"hirescam": np.ones((1, *SHAPE))})
    (row,) = measure_case(maps, organ_map(), ALLOWED)
    assert np.isnan(row.organ_iou)
    assert row.share_inside == 0.5
    (row,) = measure_case(maps, None, ALLOWED, thresholds=0.5)
    assert np.isnan([row.organ_iou, row.share_inside]).all()
    assert row.positive_sum == 24.0


def test_a_lesion_is_measured_by_volume():
    # One cell of four and a half of the next are lesion; the map marks the first and the last.
    maps = explanation({"hirescam": np.array([1.0, 0.0, 0.0, 0.6]).reshape(1, 1, 1, 4)})
    fine = np.diag([6.0, 4.0, 2.5, 1.0])
    fine[2, 3] = -1.25  # two voxels to a cell
    lesion = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool).reshape(1, 1, 8)
    (row,) = measure_case(
        maps, None, ALLOWED, lesions={"bright": lesion}, ct_affine=fine, thresholds=0.5
    )
    assert row.lesion_share == pytest.approx(1.0 / 1.6)
    assert row.lesion_chance_share == pytest.approx(1.5 / 4)
    assert (row.lesion_hit, row.lesion_chance_hit) == (1.0, 0.5)
    assert row.lesion_iou == pytest.approx(1.0 / (2 + 1.5 - 1))
    # Both cells would have 1.5 in common of 2; the first alone 1 of 1.5.
    assert row.lesion_iou_best == pytest.approx(0.75)


def test_a_lesion_beyond_the_map_counts_in_the_union():
    counts = count_overlap(np.array([[[1.0, 0.0]]]), np.array([[[1.0, 0.0]]]), lesion=3.0)
    assert counts.iou()[0] == pytest.approx(1 / 3)
    assert counts.best == pytest.approx(1 / 3)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, (2, 2, 3), elements=st.floats(-1, 1, width=32)),
    arrays(bool, (2, 2, 3)),
    arrays(bool, (2, 2, 3)),
    st.sampled_from(THRESHOLDS),
)
def test_every_measure_agrees_with_counting_cell_by_cell(values, organ, lesion, threshold):
    maps = explanation({"hirescam": values[None]})
    organs = OrganMap.from_masks({"left": organ}, AFFINE, "hand")
    (row,) = measure_case(maps, organs, ALLOWED, lesions={"bright": lesion}, thresholds=threshold)
    positive = np.maximum(values, 0).astype(float)
    assert row.silent == (positive.max() == 0)
    assert row.chance_cells == pytest.approx(organ.mean())
    if row.silent:
        assert np.isnan(row.share_inside)
        return
    above = np.maximum(values, np.float32(0)) / values.max() > np.float32(threshold)
    leaks, hits = (above & ~organ).any(), (above & organ).any()
    if organ.any():
        assert row.organ_iou == pytest.approx(organ[above].mean())
        assert row.share_inside == pytest.approx(positive[organ].sum() / positive.sum())
        assert row.hit == organ[values == values.max()].mean()
    else:
        assert np.isnan([row.organ_iou, row.share_inside, row.hit]).all()
    assert row.organ_iou_reference == (row.organ_iou if leaks and hits else 0.0)
    if lesion.any():
        assert row.lesion_iou == pytest.approx((above & lesion).sum() / (above | lesion).sum())
        assert row.lesion_iou_best == pytest.approx(1.0)
    else:
        assert np.isnan(row.lesion_iou)


def axes(order, backwards, shape):
    """The grid of a network's input whose axes run along these of (I, P, L)."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for index_axis, axis in enumerate(order):
        affine[axis, index_axis] = -1.0 if axis in backwards else 1.0
        if axis in backwards:
            affine[axis, 3] = shape[axis] - 1
    return Grid(tuple(shape[axis] for axis in order), affine)


@pytest.mark.parametrize(
    ("order", "backwards", "corner"),
    [
        ((0, 1, 2), (), 4),  # of columns 0 to 7 the second cell begins at 4
        ((0, 1, 2), (2,), 7),  # from the left, the first cell begins at 7
        ((2, 1, 0), (), 4),
        ((1, 2, 0), (0, 2), 7),
    ],
)
def test_the_papers_rule_samples_corners_along_the_networks_own_axes(order, backwards, corner):
    # Eight columns of the input to two cells of the map; the left cell is the one that counts.
    shape = (4, 3, 8)
    cells = np.diag([2.0, 1.0, 4.0, 1.0])
    cells[:3, 3] = 0.5, 0.0, 1.5
    values = np.zeros((1, 2, 3, 2))
    values[0, :, :, 1] = 1.0
    maps = explanation({"hirescam": values}, cells, input_grid=axes(order, backwards, shape))
    for column in range(4, 8):
        mask = np.zeros(shape, dtype=bool)
        mask[..., column] = True
        (row,) = measure_case(
            maps, OrganMap.from_masks({"left": mask}, np.eye(4), "hand"), ALLOWED,
            thresholds=0.5, placement="stretch", rule="nearest",
        )  # fmt: skip
        assert row.chance_cells == (0.5 if column == corner else 0.0)
        assert row.organ_iou == 1.0 or column != corner


def test_what_cannot_be_measured_is_refused():
    maps = explanation({"hirescam": np.ones((1, *SHAPE))})
    with pytest.raises(OrganError, match="no liver"):
        measure_case(maps, organ_map(), {"bright": ("liver",)})
    with pytest.raises(ValueError, match="belongs to placement 'stretch'"):
        measure_case(maps, organ_map(), ALLOWED, rule="nearest")
    with pytest.raises(ValueError, match="unknown rule"):
        measure_case(maps, organ_map(), ALLOWED, rule="all")
    with pytest.raises(ValueError, match="lesions need the affine"):
        measure_case(maps, None, ALLOWED, lesions={"bright": np.ones(SHAPE, dtype=bool)})


def test_a_row_holds_what_every_threshold_gives(measured):
    row = measured["bright", "hirescam"]
    plain = row.as_row()
    assert plain["organs"] == "left"
    above, inside = plain["cells_above"], plain["cells_above_inside"]
    assert (above[0], inside[0], above[-1], inside[-1]) == (3, 2, 1, 1)
    assert len(above) == len(THRESHOLDS)
