"""Outlines moved by millimetres, and smoothed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_review_editing import SPACING, masks, quickly

from napari_hirescam.review.editing import grow, shrink, smooth


def ball(shape, centre, radius_mm, spacing=(1, 1, 1)) -> np.ndarray:
    at = np.moveaxis(np.indices(shape), 0, -1)
    return np.linalg.norm((at - centre) * spacing, axis=-1) <= radius_mm


def distances(from_mask, spacing) -> np.ndarray:
    """Of each voxel from the nearest one of a mask, by brute force."""
    at = np.moveaxis(np.indices(from_mask.shape), 0, -1) * spacing
    lit = np.argwhere(from_mask) * spacing
    if not len(lit):
        return np.full(from_mask.shape, np.inf)
    return np.linalg.norm(at[..., None, :] - lit, axis=-1).min(axis=-1)


spacings = st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.5])] * 3)
reaches = st.sampled_from([0.0, 0.6, 1.0, 1.4, 2.5, 3.0])


@quickly
@given(masks, spacings, reaches)
def test_growing_and_shrinking_go_by_millimetres(mask, spacing, by_mm) -> None:
    limit = by_mm + 1e-5
    grown = grow(mask, spacing, by_mm=by_mm)
    assert np.array_equal(grown.mask, distances(mask, spacing) <= limit)
    shrunk = shrink(mask, spacing, by_mm=by_mm)
    assert np.array_equal(shrunk.mask, mask & (distances(~mask, spacing) > limit))


def test_slabs_leave_no_seam(monkeypatch) -> None:
    mask = ball((20, 12, 14), (10, 6, 7), 4, (1, 1.5, 1))
    whole = grow(mask, (1, 1.5, 1), by_mm=4.0).mask, shrink(mask, (1, 1.5, 1), by_mm=4.0).mask
    assert np.array_equal(whole[0], distances(mask, (1, 1.5, 1)) <= 4)
    for slab in (1, 3, 100):
        monkeypatch.setattr("napari_hirescam.review.editing.outlines._SLAB", slab)
        assert np.array_equal(grow(mask, (1, 1.5, 1), by_mm=4.0).mask, whole[0])
        assert np.array_equal(shrink(mask, (1, 1.5, 1), by_mm=4.0).mask, whole[1])


def test_a_mask_that_the_scan_cuts_does_not_shrink_from_the_cut() -> None:
    mask = np.zeros((6, 8, 8), bool)
    mask[3:, 2:6, 2:6] = True
    shrunk = shrink(mask, (1, 1, 1), by_mm=1).mask
    assert np.array_equal(np.flatnonzero(shrunk.any(axis=(1, 2))), [4, 5])
    full = np.ones((3, 3, 3), bool)
    assert shrink(full, (1, 1, 1), by_mm=2).mask.all()
    assert smooth(full, (1, 1, 1), width_mm=2).mask.all()
    through = np.zeros((8, 20, 20), bool)
    through[:, 5:15, 5:15] = True  # cut at both ends
    rounded = smooth(through, (1, 1, 1), width_mm=2).mask
    assert not rounded[4, 5, 5]
    assert (rounded == rounded[4]).all()


def test_smoothing_takes_the_jags_off_and_keeps_the_volume() -> None:
    spacing = (2.0, 1.0, 1.0)
    sound = ball((24, 48, 48), (12, 24, 24), 17, spacing)
    jagged = sound.copy()
    for plane in range(0, 24, 2):  # every other slice is a voxel larger
        jagged[plane] = grow(sound[plane][None], spacing, by_mm=1.5).mask[0]
    result = smooth(jagged, spacing, width_mm=2.5)
    assert result.mask.sum() == pytest.approx(jagged.sum(), rel=0.002)

    def jumps(mask) -> float:
        areas = mask.sum(axis=(1, 2)).astype(float)
        return float(np.abs(np.diff(areas, 2)).sum())

    assert jumps(result.mask) < 0.4 * jumps(jagged)
    change = result.mask.sum() - jagged.sum()
    assert f"(volume {change * 2 / 1000:+.2f} mL)" in result.words


def test_smoothing_by_mm_rounds_all_axes_alike() -> None:
    """A cube in mm stays alike in all three axes though its voxels are not cubes."""
    spacing = (4.0, 1.0, 2.0)
    mask = np.zeros((20, 80, 40), bool)
    mask[6:14, 24:56, 12:28] = True  # 32 mm along each
    result = smooth(mask, spacing, width_mm=4).mask
    lit = [result.any(axis=tuple({0, 1, 2} - {k})).sum() * spacing[k] for k in range(3)]
    assert max(lit) - min(lit) <= 4
    assert not result[6, 24, 12]
    assert result[10, 40, 20]


@quickly
@given(masks, st.sampled_from([0.3, 1.0, 4.0]))
def test_smoothing_changes_the_volume_by_ties_alone(mask, width) -> None:
    result = smooth(mask, SPACING, width_mm=width)
    assert result.change.added - result.change.removed == result.mask.sum() - mask.sum()
    if mask.all() or not mask.any():
        assert not result.change
