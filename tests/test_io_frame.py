"""What lies where in the patient must not depend on the order a file stores its voxels in."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam.errors import VolumeError
from napari_hirescam.io import frame, reading
from napari_hirescam.volume import Grid, Quantity

FILE = Path("scan.nii.gz")
ALL_48 = list(product(permutations(range(3)), product((1, -1), repeat=3)))
spacings = st.tuples(*[st.floats(0.3, 7.0)] * 3)
offsets = st.tuples(*[st.floats(-400, 400)] * 3)
shapes = st.tuples(*[st.integers(2, 7)] * 3)


def rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def brightest_mm(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    index = np.unravel_index(int(np.argmax(voxels)), voxels.shape)
    return Grid(voxels.shape, affine).to_world(index)


@pytest.mark.parametrize(("order", "signs"), ALL_48)
@settings(max_examples=15, deadline=None)
@given(spacing=spacings, offset=offsets, shape=shapes, data=st.data())
def test_a_marked_voxel_stays_where_it_is_in_the_patient(
    order, signs, spacing, offset, shape, data
):
    marker = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    stored = np.zeros(shape, np.int16)
    stored[marker] = 1
    affine = np.eye(4)
    affine[:3, :3] = 0
    for index_axis in range(3):
        affine[order[index_axis], index_axis] = signs[index_axis] * spacing[index_axis]
    affine[:3, 3] = offset
    place = Grid(shape, affine).to_world(marker)

    voxels, straight, notes = frame.to_volume_axes(
        stored, affine, quantity=Quantity.UNKNOWN, subject=FILE
    )

    assert np.shares_memory(voxels, stored)
    assert Grid(voxels.shape, straight).is_axis_aligned
    assert np.abs(brightest_mm(voxels, straight) - place).max() < 1e-3
    assert notes == ()


@settings(max_examples=40, deadline=None)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
    degrees=st.floats(2, 60),
    spacing=st.tuples(*[st.floats(0.8, 2.5)] * 3),
    offset=offsets,
)
def test_an_oblique_volume_is_resampled_once_and_keeps_its_places(axis, degrees, spacing, offset):
    shape = (17, 18, 19)
    affine = np.eye(4)
    affine[:3, :3] = rotation(np.array(axis), degrees) @ np.diag(spacing)
    affine[:3, 3] = offset
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    ball = 1000 * np.exp(-(((index - (8, 9, 7)) * spacing) ** 2).sum(-1) / (2 * 3.0**2))
    stored = ball.astype(np.float32)
    place = Grid(shape, affine).to_world((8, 9, 7))

    voxels, straight, notes = frame.to_volume_axes(
        stored, affine, quantity=Quantity.UNKNOWN, subject=FILE
    )

    grid = Grid(voxels.shape, straight)
    assert grid.is_axis_aligned
    # The centre of gravity has no grain of a voxel, so half a voxel is a wide margin.
    weights = voxels.astype(float)
    where = np.stack(np.meshgrid(*map(np.arange, voxels.shape), indexing="ij"), -1)
    centre = (where * weights[..., None]).sum((0, 1, 2)) / weights.sum()
    off = (grid.to_world(centre) - place) / grid.spacing_mm
    assert np.abs(off).max() < 0.5
    # Every stored voxel centre lies within the straight grid.
    corners = grid.to_index(Grid(shape, affine).corners_mm())
    assert corners.min() > -0.51
    assert (corners < np.array(voxels.shape) - 0.49).all()
    assert "resampled once" in notes[0]


@pytest.mark.parametrize(
    ("quantity", "fill"), [(Quantity.HU, -1024), (Quantity.LABELS, 0), (Quantity.UNKNOWN, 7)]
)
def test_outside_an_oblique_volume_lies_air_or_no_label_or_the_minimum(quantity, fill):
    affine = np.eye(4)
    affine[:3, :3] = rotation(np.array([1.0, 0, 0]), 30)
    stored = np.full((12, 12, 12), 7, np.int16)

    voxels, _, _ = frame.to_volume_axes(stored, affine, quantity=quantity, subject=FILE)

    assert voxels[6, 0, 0] == fill
    assert set(np.unique(voxels)) <= {7, fill}


def test_labels_are_never_mixed_by_resampling():
    affine = np.eye(4)
    affine[:3, :3] = rotation(np.array([1.0, 2, 3]), 20)
    stored = np.random.default_rng(0).choice(np.array([0, 10, 52], np.uint8), (12, 12, 12))

    voxels, _, _ = frame.to_volume_axes(stored, affine, quantity=Quantity.LABELS, subject=FILE)

    assert voxels.dtype == np.uint8
    assert set(np.unique(voxels)) == {0, 10, 52}


@pytest.mark.parametrize(("degrees", "is_straight"), [(0.02, True), (0.2, False)])
def test_only_what_no_voxel_would_notice_is_called_straight(degrees, is_straight):
    # 0.02 degrees over 100 voxels from the centre are 0.035 voxels, 0.2 degrees are 0.35.
    affine = np.eye(4)
    affine[:3, :3] = rotation(np.array([0.0, 0, 1]), degrees)
    stored = np.zeros((201, 201, 3), np.int16)

    voxels, straight, notes = frame.to_volume_axes(
        stored, affine, quantity=Quantity.UNKNOWN, subject=FILE
    )

    assert Grid(voxels.shape, straight).is_axis_aligned
    assert np.shares_memory(voxels, stored) == is_straight
    assert bool(notes) != is_straight


@pytest.mark.parametrize(("order", "signs"), ALL_48)
def test_letters_name_the_directions_axes_grow_to_as_nibabel_does(order, signs):
    ras = np.eye(4)
    ras[:3, :3] = (np.diag(signs) @ np.eye(3)[list(order)]) + 0.01
    letters = frame.patient_letters(frame.RAS_TO_IPL @ ras)
    assert letters == "".join(nib.aff2axcodes(ras))


def test_frames_agree_on_one_point_of_the_patient():
    ras = np.array([-10.0, -20.0, 30.0, 1.0])  # 10 mm left, 20 mm behind, 30 mm above
    lps = np.array([10.0, 20.0, 30.0, 1.0])
    ipl = np.array([-30.0, 20.0, 10.0, 1.0])
    np.testing.assert_array_equal(frame.RAS_TO_IPL @ ras, ipl)
    np.testing.assert_array_equal(frame.LPS_TO_IPL @ lps, ipl)
    np.testing.assert_array_equal(frame.IPL_TO_RAS @ ipl, ras)
    np.testing.assert_array_equal(frame.IPL_TO_LPS @ ipl, lps)
    assert np.linalg.det(frame.RAS_TO_IPL) == pytest.approx(1)
    assert np.linalg.det(frame.LPS_TO_IPL) == pytest.approx(1)


def test_an_oblique_volume_whose_straight_grid_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(reading, "available_memory", lambda: 1000)
    affine = np.eye(4)
    affine[:3, :3] = rotation(np.array([1.0, 0, 0]), 45)
    with pytest.raises(VolumeError, match=r"scan\.nii\.gz: reading it takes .* of memory"):
        frame.to_volume_axes(
            np.zeros((20, 20, 20), np.int16), affine, quantity=Quantity.HU, subject=FILE
        )


def test_axial_slices_that_step_aside_stay_slices_of_their_own():
    stored = np.arange(6, dtype=np.int16)[None, None] * np.ones((5, 8, 1), np.int16)
    affine = np.eye(4)
    # (column, row, slice) to (I, P, L): each slice 3 mm lower and 0.8 mm further back.
    affine[:3, :3] = [[0, 0, 3.0], [0, 0.7, 0.8], [0.7, 0, 0]]

    voxels, straight, notes = frame.to_volume_axes(
        stored, affine, quantity=Quantity.UNKNOWN, subject=FILE
    )

    assert notes
    assert Grid(voxels.shape, straight).spacing_mm == pytest.approx((3.0, 0.7, 0.7))
    assert straight[0, 3] == pytest.approx(0)
    for k in range(6):
        inside = Grid(voxels.shape, straight).to_index((3.0 * k, 0.8 * k + 2.8, 1.4))
        assert voxels[tuple(np.rint(inside).astype(int))] == k
        # Neither blurred nor lost: a slice holds its own number and the padding, no other.
        assert set(np.unique(voxels[k])) <= {0, k}
