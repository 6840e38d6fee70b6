"""Organs that take the place of others on one grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_tables import PARTITION
from napari_hirescam.organs.replacing import with_organs

SHAPE = (2, 3, 4)
MASKS = arrays(bool, SHAPE)


def partition(labels: np.ndarray) -> OrganMap:
    return OrganMap(labels.astype(np.uint8), np.eye(4), PARTITION, "PARTITION")


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({"a": MASKS, "b": MASKS, "c": MASKS}), MASKS, MASKS)
def test_a_new_mask_takes_the_organs_place_and_leaves_the_others(drawn, new_b, new_d):
    before = OrganMap.from_masks(drawn, np.eye(4), "test")
    after = with_organs(before, {"b": new_b, "d": new_d})
    # Two organs of exactly the same voxels are one region under two names.
    for organ in ("a", "c"):
        same = (drawn[organ] == drawn["b"]).all() and drawn[organ].any()
        np.testing.assert_array_equal(after.mask([organ]), new_b if same else drawn[organ])
    np.testing.assert_array_equal(after.mask(["b"]), new_b)
    np.testing.assert_array_equal(after.mask(["d"]), new_d)
    np.testing.assert_array_equal(before.mask(["b"]), drawn["b"])


def test_one_region_under_several_names_is_replaced_under_all():
    labels = np.zeros(SHAPE)
    labels[0, 0] = (1, 2, 3, 0)
    heart = np.zeros(SHAPE, bool)
    heart[1, 2, 3] = True
    after = with_organs(partition(labels), {"heart": heart})
    for name in ("heart", "mediastinum", "great_vessel"):
        np.testing.assert_array_equal(after.mask([name]), heart)
    assert np.argwhere(after.mask(["lungs"])).tolist() == [[0, 0, 0], [0, 0, 2]]


def test_what_was_made_of_an_organ_is_made_of_it_anew():
    labels = np.zeros(SHAPE)
    labels[0, 0] = (1, 1, 3, 3)
    left = np.zeros(SHAPE, bool)
    left[1, 1, 1] = True
    after = with_organs(partition(labels), {"left_lung": left})
    assert np.argwhere(after.mask(["lungs"])).tolist() == [[0, 0, 0], [0, 0, 1], [1, 1, 1]]
    assert np.argwhere(after.mask(["right_lung"])).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_parts_keep_what_lies_in_a_corrected_whole():
    labels = np.zeros(SHAPE)
    labels[0, 0] = (1, 1, 3, 3)
    lungs = np.zeros(SHAPE, bool)
    lungs[0, 0, 1:3] = True
    after = with_organs(partition(labels), {"lungs": lungs})
    np.testing.assert_array_equal(after.mask(["lungs"]), lungs)
    assert np.argwhere(after.mask(["right_lung"])).tolist() == [[0, 0, 1]]
    assert np.argwhere(after.mask(["left_lung"])).tolist() == [[0, 0, 2]]


def test_lungs_drawn_by_themselves_are_not_made_of_two():
    drawn = {name: np.zeros(SHAPE, bool) for name in ("right_lung", "left_lung", "lungs")}
    drawn["right_lung"][0, 0, 0] = drawn["left_lung"][0, 0, 1] = True
    drawn["lungs"][0, 0] = True
    before = OrganMap.from_masks(drawn, np.eye(4), "test")
    after = with_organs(before, {"left_lung": np.zeros(SHAPE, bool)})
    np.testing.assert_array_equal(after.mask(["lungs"]), drawn["lungs"])
    assert not after.mask(["left_lung"]).any()


def test_values_that_no_voxel_has_are_never_taken_for_new_ones():
    labels = np.zeros(SHAPE, np.uint8)
    labels[0, 0, 0] = 1
    before = OrganMap(labels, np.eye(4), {"a": (1,), "b": (2, 3)}, "test")
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, :2] = True
    after = with_organs(before, {"c": mask})
    assert not after.mask(["b"]).any()
    np.testing.assert_array_equal(after.mask(["c"]), mask)


def test_masks_of_another_shape_are_refused():
    before = partition(np.zeros(SHAPE))
    with pytest.raises(ValueError, match="one shape"):
        with_organs(before, {"heart": np.zeros((1, 1, 1), bool)})
