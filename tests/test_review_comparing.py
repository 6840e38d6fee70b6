"""Two masks compared: overlap, surfaces, volumes, beside brute force and MONAI's own figures."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_review_editing import neighbours
from test_review_outlines import ball

from napari_hirescam.errors import Cancelled
from napari_hirescam.review import surfaces
from napari_hirescam.review.comparing import (
    ADDED,
    BOTH,
    REMOVED,
    Comparison,
    compare_masks,
    difference_labels,
)
from napari_hirescam.review.editing import grow, smooth
from napari_hirescam.review.surfaces import edge_voxels, surface_elements

SPACING = (3.0, 1.0, 2.0)
pairs = st.tuples(*[st.integers(1, 6)] * 3).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)
spacings = st.tuples(*[st.sampled_from([0.7, 1.0, 2.5])] * 3)


def edges_of(mask) -> np.ndarray:
    """By brute force: voxels with a face outside, [n, 3]."""
    found = []
    for place in zip(*np.nonzero(mask), strict=True):
        around = list(neighbours(place, mask.shape, corners=False))
        if len(around) < 6 or not all(mask[at] for at in around):
            found.append(place)
    return np.array(found, dtype=int).reshape(-1, 3)


def percentile_of_distances(a, b, spacing, percent=95) -> float:
    one, two = (edges_of(mask) * spacing for mask in (a, b))
    if not len(one) or not len(two):
        return math.nan if len(one) or len(two) else 0.0
    all_mm = np.linalg.norm(one[:, None] - two[None], axis=-1)
    return max(
        np.percentile(all_mm.min(axis=1), percent), np.percentile(all_mm.min(axis=0), percent)
    )


def same(one: float, other: float) -> bool:
    return one == pytest.approx(other, abs=1e-6, nan_ok=True)


# -- beside brute force ----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(pairs, spacings)
def test_overlap_volumes_and_hd95_are_those_of_brute_force(pair, spacing) -> None:
    a, b = pair
    got = compare_masks(a, b.astype(np.uint8) * 7, spacing)
    total = a.sum() + b.sum()
    assert same(got.dice, 2 * (a & b).sum() / total if total else 1.0)
    assert same(got.hd95_mm, percentile_of_distances(a, b, spacing))
    ml = np.prod(spacing) / 1000
    assert same(got.volume_a_ml, a.sum() * ml)
    assert same(got.volume_b_ml, b.sum() * ml)
    assert same(got.added_ml, (b & ~a).sum() * ml)
    assert same(got.removed_ml, (a & ~b).sum() * ml)


@settings(max_examples=25, deadline=None)
@given(pairs, spacings)
def test_edges_are_voxels_with_a_face_outside(pair, spacing) -> None:
    mask = pair[0]
    expected = np.zeros_like(mask)
    expected[tuple(edges_of(mask).T)] = True
    assert np.array_equal(edge_voxels(mask), expected)


@pytest.mark.parametrize("near_mm", [0.5, 3.0, 1000.0])
def test_what_lies_far_away_is_measured_as_well_as_what_is_near(monkeypatch, near_mm) -> None:
    monkeypatch.setattr(surfaces, "_NEAR_MM", near_mm)
    a = ball((14, 18, 20), (7, 6, 7), 6)
    b = a.copy()
    b[9:] = False
    b[0:2, 15:, 17:] = True
    for one, two in ((a, b), (b, a)):
        found = compare_masks(one, two, SPACING).hd95_mm
        assert same(found, percentile_of_distances(one, two, SPACING))
    assert found > 3


# -- beside MONAI ----------------------------------------------------------------------------------


def by_monai(a, b, spacing, tolerance_mm) -> tuple[float, float]:
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    one, two = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (a, b))
    options = {"include_background": True, "spacing": spacing}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of what it deprecates
        dice = compute_surface_dice(one, two, [tolerance_mm], use_subvoxels=True, **options)
        hd95 = compute_hausdorff_distance(one, two, percentile=95, **options)
    return float(dice), float(hd95)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.7, 0.7), (0.9, 2.1, 1.3)])
@pytest.mark.parametrize("seed", range(2))
def test_surface_dice_and_hd95_are_those_of_monai(spacing, seed) -> None:
    rng = np.random.default_rng(seed)
    sound = ball((16, 22, 24), (8, 11, 12), 12 + seed, spacing)
    ragged = sound ^ (rng.random(sound.shape) < 0.02)
    leaking = grow(sound, spacing, by_mm=2.0).mask
    leaking[:, :11] = sound[:, :11]
    at_border = np.roll(sound, 6, axis=2)
    for other in (ragged, leaking, at_border):
        for tolerance_mm in (0.99, 2.05):
            got = compare_masks(sound, other, spacing, tolerance_mm=tolerance_mm)
            dice, hd95 = by_monai(sound, other, spacing, tolerance_mm)
            assert got.surface_dice == pytest.approx(dice, abs=1e-5)
            assert got.hd95_mm == pytest.approx(hd95, rel=1e-5, abs=1e-5)


# -- known answers ---------------------------------------------------------------------------------


def test_the_area_of_a_block_is_that_of_its_faces_in_mm() -> None:
    """But for its edges and corners, which are cut off by half a voxel."""
    block = np.pad(np.ones((20, 60, 30), bool), 2)
    height, depth, width = 60, 60, 60
    faces = 2 * (height * depth + depth * width + width * height)
    area = surface_elements(block, SPACING).whole_mm2
    assert 0.95 * faces < area < faces
    one_face = surface_elements(np.ones((1, 200, 200), bool), SPACING).whole_mm2
    assert one_face == pytest.approx(2 * 200 * 400, rel=0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_counts_by_its_millimetres_along_each_axis(axis) -> None:
    a = np.zeros((30, 30, 30), bool)
    a[5:20, 5:20, 5:20] = True
    b = np.roll(a, 4, axis)
    shift_mm = 4 * SPACING[axis]
    assert compare_masks(a, b, SPACING).hd95_mm == pytest.approx(shift_mm)
    within = compare_masks(a, b, SPACING, tolerance_mm=shift_mm)
    short = compare_masks(a, b, SPACING, tolerance_mm=shift_mm - 0.1)
    assert within.surface_dice == 1
    sides = [15 * step for step in SPACING]
    moved = math.prod(side for k, side in enumerate(sides) if k != axis)
    around = sum(sides[k] for k in range(3) if k != axis) * 2 * sides[axis]
    # The two faces across the shift are off, and the ends of those along it.
    assert short.surface_dice < (around + moved) / (around + 2 * moved)
    assert short.surface_dice > (around * 0.7) / (around + 2 * moved)
    assert within.dice == short.dice == pytest.approx(11 / 15)


def test_equal_masks_agree_wholly() -> None:
    mask = ball((9, 9, 9), (4, 4, 4), 3)
    got = compare_masks(mask, mask, SPACING)
    assert (got.dice, got.surface_dice, got.hd95_mm, got.added_ml, got.removed_ml) == (
        1,
        1,
        0,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("a", "b", "dice", "surface_dice", "hd95_mm"),
    [(0, 0, 1.0, 1.0, 0.0), (1, 0, 0.0, 0.0, math.nan), (0, 1, 0.0, 0.0, math.nan)],
)
def test_empty_masks_are_defined(a, b, dice, surface_dice, hd95_mm) -> None:
    shape = (3, 4, 5)
    got = compare_masks(np.full(shape, a), np.full(shape, b), SPACING)
    whole = 60 * 6 / 1000
    expected = Comparison(
        dice, surface_dice, hd95_mm, a * whole, b * whole, b * whole, a * whole, 2.0
    )
    assert asdict(got) == pytest.approx(asdict(expected), nan_ok=True)


def test_the_order_turns_added_into_removed_and_empty_space_around_is_nothing() -> None:
    a = ball((12, 14, 16), (6, 6, 6), 5)
    b = smooth(ball((12, 14, 16), (5, 7, 8), 6), SPACING, width_mm=2).mask
    there, back = compare_masks(a, b, SPACING), compare_masks(b, a, SPACING)
    assert (there.added_ml, there.removed_ml) == (back.removed_ml, back.added_ml)
    assert there.surface_dice == pytest.approx(back.surface_dice, abs=1e-12)
    assert (there.dice, there.hd95_mm) == (back.dice, back.hd95_mm)
    wide = compare_masks(np.pad(a, 7), np.pad(b, 7), SPACING)
    assert wide == there


# -- for the eye, and manners ----------------------------------------------------------------------


def test_each_voxel_is_told_removed_added_or_both() -> None:
    before = np.array([0, 1, 0, 1], np.uint8).reshape(1, 2, 2)
    after = np.array([0, 0, 9, 9], np.uint8).reshape(1, 2, 2)
    labels = difference_labels(before, after)
    assert labels.dtype == np.uint8
    assert labels.ravel().tolist() == [0, REMOVED, ADDED, BOTH]
    assert (REMOVED, ADDED, BOTH) == (1, 2, 3)
    with pytest.raises(ValueError, match="not of one grid"):
        difference_labels(before, after[:, :1])


def test_what_cannot_be_compared_is_refused() -> None:
    mask = np.ones((2, 3, 4), bool)
    with pytest.raises(ValueError, match="not of one grid"):
        compare_masks(mask, mask[:1], SPACING)
    with pytest.raises(ValueError, match="no distances"):
        compare_masks(mask, mask, SPACING, tolerance_mm=-1)
    with pytest.raises(ValueError, match="no distances"):
        compare_masks(mask, mask, (1, 0, 1))


def test_comparing_can_be_stopped() -> None:
    a = ball((8, 8, 8), (4, 4, 4), 3)
    with pytest.raises(Cancelled):
        compare_masks(a, np.roll(a, 1, 0), SPACING, should_stop=lambda: True)
