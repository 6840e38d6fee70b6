"""Grids and resampling: where a voxel lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_hirescam.volume import Grid, Volume, resample

spacings = st.tuples(*[st.floats(0.3, 5.0)] * 3)
offsets = st.tuples(*[st.floats(-400, 400)] * 3)


def affine_of(spacing: tuple[float, ...], offset: tuple[float, ...]) -> np.ndarray:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = offset
    return affine


@given(spacings, offsets, st.tuples(*[st.floats(-50, 50)] * 3))
def test_to_index_undoes_to_world(spacing, offset, index) -> None:
    grid = Grid((4, 5, 6), affine_of(spacing, offset))
    assert np.allclose(grid.to_index(grid.to_world(index)), index, atol=1e-8)


def test_spacing_is_the_length_of_the_columns() -> None:
    assert Grid((2, 2, 2), affine_of((5.0, 0.7, 0.8), (1, 2, 3))).spacing_mm == (5.0, 0.7, 0.8)


@pytest.mark.parametrize(
    "affine", [np.eye(3), np.diag([1.0, 0.0, 1.0, 1.0]), np.full((4, 4), np.nan)]
)
def test_a_grid_refuses_an_affine_it_cannot_invert(affine) -> None:
    with pytest.raises(ValueError, match="affine"):
        Grid((2, 2, 2), affine)


def test_a_volume_refuses_axes_that_do_not_run_along_the_patient() -> None:
    flipped = np.diag([1.0, -1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"\(I, P, L\)"):
        Volume(np.zeros((2, 2, 2), np.int16), flipped)


def test_the_affine_of_a_grid_cannot_be_changed_by_accident() -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 7.0


@given(spacings, offsets, spacings)
def test_resampling_keeps_a_linear_field_where_it_is(spacing, offset, target_spacing) -> None:
    """A field that is linear in mm has the same value at the same mm on any grid."""
    grid = Grid((7, 8, 9), affine_of(spacing, offset))
    slope = np.array([0.5, -0.25, 0.125])
    field = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) @ slope
    inner = grid.to_world((1.0, 1.0, 1.0))
    target = Grid((3, 3, 3), affine_of(target_spacing, tuple(inner)))
    sampled = resample(field, grid.affine, target, outside=np.nan)
    places = target.to_world(np.moveaxis(np.indices(target.shape), 0, -1))
    index = grid.to_index(places)
    within = ((index >= 0) & (index <= np.array(grid.shape) - 1)).all(axis=-1)
    assert within[0, 0, 0]
    assert np.allclose(sampled[within], (places @ slope)[within], atol=1e-6)


def test_outside_begins_half_a_voxel_beyond_the_outermost_centre() -> None:
    values = np.full((2, 2, 2), 5.0)
    target = Grid((4, 1, 1), affine_of((0.7, 1, 1), (-0.9, 0, 0)))
    assert resample(values, np.eye(4), target, outside=-1.0)[:, 0, 0].tolist() == [-1, 5, 5, 5]


def test_integers_are_rounded_and_keep_their_type() -> None:
    values = np.array([-1000, -999], np.int16).reshape(2, 1, 1)
    target = Grid((1, 1, 1), affine_of((1, 1, 1), (0.75, 0, 0)))
    sampled = resample(values, np.eye(4), target)
    assert sampled.dtype == np.int16
    assert sampled.item() == -999


def test_an_oblique_grid_is_sampled_at_its_own_points() -> None:
    angle = np.deg2rad(30)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, 3] = (0.0, 20.0, 20.0)
    target = Grid((3, 5, 5), affine)
    values = np.indices((3, 60, 60))[2].astype(float)
    assert np.allclose(
        resample(values, np.eye(4), target),
        target.to_world(np.moveaxis(np.indices(target.shape), 0, -1))[..., 2],
        atol=1e-9,
    )


shapes = st.tuples(*[st.integers(1, 7)] * 3)


@given(shapes, shapes, spacings, st.tuples(*[st.floats(-9, 9)] * 3), st.sampled_from("fd"))
def test_aligned_grids_give_what_a_point_by_point_sampler_gives(
    shape, target_shape, spacing, offset, kind
) -> None:
    values = np.random.default_rng(sum(shape)).normal(size=shape).astype(kind)
    target = Grid(target_shape, affine_of(spacing, offset))
    index = target.to_world(np.moveaxis(np.indices(target.shape), 0, -1))
    expected = ndimage.map_coordinates(
        values.astype(float), np.moveaxis(index, -1, 0), order=1, mode="nearest"
    )
    beyond = ((index < -0.5) | (index > np.array(shape) - 0.5)).any(axis=-1)
    sampled = resample(values, np.eye(4), target, outside=None)
    assert sampled.dtype == values.dtype
    assert np.allclose(sampled, expected, atol=1e-6 if kind == "f" else 1e-12)
    expected[beyond] = -7.0
    sampled = resample(values, np.eye(4), target, outside=-7.0)
    assert np.allclose(sampled, expected, atol=1e-6 if kind == "f" else 1e-12)


@given(shapes, shapes, spacings, st.tuples(*[st.floats(-9, 9)] * 3))
def test_the_nearest_voxel_is_the_nearest(shape, target_shape, spacing, offset) -> None:
    """Each voxel holds its own number, so the sample tells which one was taken."""
    values = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    target = Grid(target_shape, affine_of(spacing, offset))
    sampled = resample(values, np.eye(4), target, order=0, outside=None)
    wanted = target.to_world(np.moveaxis(np.indices(target.shape), 0, -1))
    wanted = np.clip(wanted, 0, np.array(shape) - 1)
    taken = np.stack(np.unravel_index(sampled, shape), axis=-1)
    assert np.abs(taken - wanted).max() <= 0.5 + 1e-9


def test_a_voxel_that_is_not_a_number_spoils_its_neighbours_only() -> None:
    values = np.ones((4, 4, 4), np.float32)
    values[0, 0, 0] = np.nan
    target = Grid((6, 6, 6), affine_of((0.6, 0.6, 0.6), (0, 0, 0)))
    sampled = resample(values, np.eye(4), target)
    assert np.isnan(sampled[1, 1, 1])
    assert (sampled[2:, 2:, 2:] == 1).all()


@pytest.mark.parametrize("order", [0, 1])
def test_whoever_waits_for_a_large_grid_is_heard_every_few_slices(order) -> None:
    class EnoughError(Exception):
        pass

    asked = []

    def give_up() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise EnoughError

    target = Grid((200, 4, 4), np.diag([0.02, 1, 1, 1]))
    with pytest.raises(EnoughError):
        resample(
            np.ones((4, 4, 4), np.float32), np.eye(4), target, order=order, before_slab=give_up
        )
    assert len(asked) == 3
