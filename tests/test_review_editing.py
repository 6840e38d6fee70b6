"""Operations on a mask, each beside brute force, and the way back from each."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_hirescam.errors import Cancelled
from napari_hirescam.review.editing import (
    Change,
    add,
    empty_gaps,
    fill_holes,
    grow,
    interpolate,
    keep_common,
    keep_largest,
    remove_small,
    shrink,
    smooth,
    subtract,
    within_hu,
)

SPACING = (3.0, 1.0, 2.0)
ML = 6 / 1000  # of one voxel

masks = arrays(bool, st.tuples(*[st.integers(1, 6)] * 3))
quickly = settings(max_examples=25, deadline=None)


def neighbours(place, shape, *, corners: bool):
    for step in product((-1, 0, 1), repeat=3):
        if any(step) and (corners or np.abs(step).sum() == 1):
            at = tuple(np.add(place, step))
            if all(0 <= k < n for k, n in zip(at, shape, strict=True)):
                yield at


def flood(mask, start, *, corners: bool) -> set:
    found, todo = {start}, [start]
    while todo:
        for at in neighbours(todo.pop(), mask.shape, corners=corners):
            if mask[at] and at not in found:
                found.add(at)
                todo.append(at)
    return found


def pieces_of(mask) -> list[set]:
    left, found = set(zip(*np.nonzero(mask), strict=True)), []
    while left:
        found.append(flood(mask, min(left), corners=True))
        left -= found[-1]
    return sorted(found, key=lambda piece: (-len(piece), min(piece)))


def mask_of(places, shape) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def disc(shape, centre, radius) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


# -- islands and holes -----------------------------------------------------------------------------


@quickly
@given(masks, st.integers(1, 3))
def test_the_largest_pieces_are_kept(mask, count) -> None:
    result = keep_largest(mask, SPACING, count=count)
    expected = pieces_of(mask)[:count]
    assert np.array_equal(result.mask, mask_of(set().union(*expected), mask.shape))
    assert result.change.removed == mask.sum() - result.mask.sum()


@quickly
@given(masks, st.integers(0, 6))
def test_pieces_below_a_volume_go_and_those_of_it_stay(mask, voxels) -> None:
    result = remove_small(mask, SPACING, smaller_than_ml=voxels * ML)
    expected = [piece for piece in pieces_of(mask) if len(piece) >= voxels]
    assert np.array_equal(result.mask, mask_of(set().union(*expected), mask.shape))


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros((4, 4, 6), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 5] = 1
    result = keep_largest(mask, SPACING)
    assert list(zip(*np.nonzero(result.mask), strict=True)) == [(0, 0, 0), (1, 1, 1)]
    assert result.words == "Kept the largest piece of 2: 0.01 mL removed."
    assert mask[3, 3, 5], "what was given stays untouched"


def enclosed(mask, axis) -> np.ndarray:
    """By brute force: what cannot reach the border through faces."""
    if axis is not None:
        planes = [flat_enclosed(plane[None]) for plane in np.moveaxis(mask, axis, 0)]
        return np.moveaxis(np.concatenate(planes), 0, axis)
    rimmed = np.pad(mask, 1)
    outside = mask_of(flood(~rimmed, (0, 0, 0), corners=False), rimmed.shape)
    return ~(outside | rimmed)[1:-1, 1:-1, 1:-1]


def flat_enclosed(plane) -> np.ndarray:
    rimmed = np.pad(plane, [(0, 0), (1, 1), (1, 1)])
    outside = mask_of(flood(~rimmed, (0, 0, 0), corners=False), rimmed.shape)
    return ~(outside | rimmed)[:, 1:-1, 1:-1]


@quickly
@given(arrays(bool, st.tuples(*[st.integers(2, 6)] * 3), fill=st.just(value=True)))
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_what_is_enclosed_is_filled(axis, mask) -> None:
    result = fill_holes(mask, SPACING, axis=axis)
    assert np.array_equal(result.mask, mask | enclosed(mask, axis))
    assert not result.change.removed


def test_a_tunnel_is_a_hole_in_its_planes_only_and_large_holes_may_stay() -> None:
    mask = np.zeros((5, 9, 9), bool)
    mask[:, 1:8, 1:8] = True
    mask[:, 2, 2] = False  # a tunnel along the slices
    mask[1:4, 5:7, 5:7] = False  # twelve voxels inside
    assert not fill_holes(mask, SPACING).mask[2, 2, 2]
    assert fill_holes(mask, SPACING).mask[2, 5, 5]
    assert fill_holes(mask, SPACING, axis=0).mask[2, 2, 2]
    assert not fill_holes(mask, SPACING, at_most_ml=11 * ML).change
    kept = fill_holes(mask, SPACING, at_most_ml=12 * ML)
    assert kept.words == "Filled 1 hole: 0.07 mL added."
    assert not fill_holes(mask, SPACING, axis=0, at_most_ml=ML).mask[2, 5, 5]


# -- between slices --------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_between_two_discs_the_radius_goes_evenly(axis) -> None:
    """A cone of which every sixth plane is drawn."""
    mask = np.zeros((13, 40, 44), bool)
    for plane in (0, 6, 12):
        mask[plane] = disc((40, 44), (20, 22), 15 - plane)
    mask = np.moveaxis(mask, 0, axis)
    assert empty_gaps(mask, axis) == ((0, 6), (6, 12))
    result = interpolate(mask, (1, 1, 1), axis=axis)
    for plane in range(13):
        radius = np.sqrt(np.take(result.mask, plane, axis).sum() / np.pi)
        assert radius == pytest.approx(15 - plane, abs=0.35)
    assert not result.change.removed
    assert result.words.startswith("Drew 10 planes between others: ")


def test_a_tube_that_runs_askew_is_not_lost_between_slices() -> None:
    mask = np.zeros((11, 60, 60), bool)
    mask[0], mask[10] = disc((60, 60), (12, 15), 5), disc((60, 60), (47, 35), 5)
    result = interpolate(mask, (2, 0.7, 0.7)).mask
    for plane in range(11):
        centre = np.argwhere(result[plane]).mean(axis=0)
        assert np.allclose(centre, (12 + 3.5 * plane, 15 + 2 * plane), atol=0.51)
        assert result[plane].sum() == mask[0].sum()


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_shape_that_widens_on_its_way_stays_round(mirrored) -> None:
    """A cone that leans: small at one side, large at the other."""
    mask = np.zeros((5, 80, 140), bool)
    mask[0], mask[4] = disc((80, 140), (40, 10), 6), disc((80, 140), (40, 100), 30)
    mask = mask[:, :, ::-1] if mirrored else mask
    result = interpolate(mask, (1, 1, 1)).mask
    for plane in (1, 2, 3):
        centre, radius = 10 + 22.5 * plane, 6 + 6 * plane
        column = 139 - centre if mirrored else centre
        rows, columns = np.nonzero(result[plane])
        away = np.hypot(rows - 40, columns - column)
        assert away.max() < radius + 1.5
        assert np.sqrt(len(rows) / np.pi) == pytest.approx(radius, abs=0.7)


def test_pieces_that_stay_in_place_do_not_wander_when_one_comes_to_them() -> None:
    mask = np.zeros((5, 30, 60), bool)
    mask[0] = disc((30, 60), (15, 12), 6)
    mask[4] = disc((30, 60), (15, 12), 6) | disc((30, 60), (15, 45), 6)
    middle = interpolate(mask, (1, 1, 1)).mask[2]
    assert np.array_equal(middle[:, :25], mask[0][:, :25])


def test_spacing_within_the_plane_counts() -> None:
    """Rows are 5 mm: few as they are, their border is farther than that of the columns."""
    mask = np.zeros((3, 40, 40), bool)
    mask[0, 16:24, 5:36] = True
    mask[2, 16:24, 15:26] = True
    middle = interpolate(mask, (1, 5.0, 1.0)).mask[1, 20]
    assert np.flatnonzero(middle)[[0, -1]].tolist() == [10, 30]


def test_only_between_marked_planes_is_drawn_anew() -> None:
    mask = np.zeros((9, 20, 20), bool)
    for plane in range(9):
        mask[plane] = disc((20, 20), (10, 10), 6)
    mask[2:6] = False
    mask[3, 0, 0] = True  # a slip of the brush
    mask[7] = False
    marked = interpolate(mask, (1, 1, 1), between=[6, 1]).mask
    assert not marked[7].any()
    assert np.array_equal(marked[3], mask[1])
    gaps = interpolate(mask, (1, 1, 1)).mask
    assert gaps[3, 0, 0]
    assert np.array_equal(gaps[7], mask[8])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"between": [2]}, "fewer than two"),
        ({"between": [0, 99]}, "planes run from 0 to 4"),
        ({"between": [-1, 2]}, "planes run from 0 to 4"),
        ({"between": [0, 3]}, "nothing is drawn in plane 3"),
        ({"axis": 3}, "no axis 3"),
    ],
)
def test_planes_that_cannot_be_meant_are_refused(options, words) -> None:
    mask = np.zeros((5, 4, 4), bool)
    mask[[0, 2]] = True
    with pytest.raises(ValueError, match=words):
        interpolate(mask, SPACING, **options)


# -- with another ----------------------------------------------------------------------------------


@quickly
@given(masks, st.data())
def test_masks_combine_as_sets(mask, data) -> None:
    other = data.draw(arrays(np.uint8, mask.shape, elements=st.integers(0, 2)))
    assert np.array_equal(add(mask, SPACING, other).mask, mask | (other > 0))
    assert np.array_equal(subtract(mask, SPACING, other).mask, mask & (other == 0))
    assert np.array_equal(keep_common(mask, SPACING, other).mask, mask & (other > 0))


def test_a_range_of_hu_holds_both_its_ends() -> None:
    ct = np.array([-1000, -950, -700, -300, 40, 300], np.int16).reshape(1, 1, 6)
    result = within_hu(np.ones((1, 1, 6), np.uint8), SPACING, ct, -950, -300)
    assert result.mask.ravel().tolist() == [False, True, True, True, False, False]
    assert result.words == "Restricted to -950 to -300 HU: 0.02 mL removed."
    outside = np.array([np.nan, 0.0]).reshape(1, 1, 2)
    assert within_hu(np.ones((1, 1, 2), bool), SPACING, outside, -5, 5).mask.sum() == 1


# -- manners ---------------------------------------------------------------------------------------

OPERATIONS = {
    "keep_largest": keep_largest,
    "remove_small": lambda *a, **k: remove_small(*a, smaller_than_ml=1, **k),
    "fill_holes": fill_holes,
    "interpolate": interpolate,
    "smooth": smooth,
    "grow": lambda *a, **k: grow(*a, by_mm=2, **k),
    "shrink": lambda *a, **k: shrink(*a, by_mm=2, **k),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_changes_in_an_empty_mask_and_what_was_given_stays(name) -> None:
    empty = np.zeros((4, 5, 6), np.uint8)
    result = OPERATIONS[name](empty, SPACING)
    assert not result.mask.any()
    assert not result.change
    assert result.words.endswith(": nothing changed.")
    given = np.pad(np.ones((1, 2, 2), np.uint8), [(0, 3), (2, 2), (2, 2)])
    given[3, 3, 3] = 1
    kept = given.copy()
    made = OPERATIONS[name](given, SPACING)
    assert np.array_equal(given, kept)
    assert made.mask.dtype == bool
    assert isinstance(made.change, Change)
    made.change.redo(kept)
    assert np.array_equal(kept, made.mask)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_can_be_stopped(name) -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[[1, 3]] = True
    with pytest.raises(Cancelled):
        OPERATIONS[name](mask, SPACING, should_stop=lambda: True)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: keep_largest(m, SPACING, count=0),
        lambda m: remove_small(m, SPACING, smaller_than_ml=-1),
        lambda m: remove_small(m, SPACING, smaller_than_ml=float("nan")),
        lambda m: fill_holes(m, SPACING, axis=3),
        lambda m: smooth(m, SPACING, width_mm=0),
        lambda m: grow(m, SPACING, by_mm=-1),
        lambda m: shrink(m, SPACING, by_mm=float("nan")),
        lambda m: within_hu(m, SPACING, m, 5, 4),
        lambda m: add(m, SPACING, m[:1]),
    ],
)
def test_what_makes_no_sense_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        wrong(np.ones((3, 3, 3), bool))
