"""From HU to the network's input, with the place of every voxel carried along."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import plain_input, random_ct

from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.models import INPUT_PRESETS, InputSpec
from napari_hirescam.models.placing import Box, cut, reorient, resample_to_spacing
from napari_hirescam.models.preprocess import prepare, scale_intensities
from napari_hirescam.volume import Grid, Quantity, Volume

#: Patient axis of (I, P, L) and sense of each letter.
DIRECTIONS = {"I": (0, 1), "S": (0, -1), "P": (1, 1), "A": (1, -1), "L": (2, 1), "R": (2, -1)}
ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("IS", "PA", "LR"))
    for letters in itertools.product(*axes)
]


def test_the_published_demo_window() -> None:
    """HU and results as in the author's own test of the CT-Net preprocessing."""
    hu = np.array([500, 3000, -150, -1000, -1500, 130]).reshape(6, 1, 1)
    spec = INPUT_PRESETS["ct-net"].model_copy(update={"subtract": 0.0})
    expected = [1, 1, 0.708333, 0, 0, 0.941667]
    assert scale_intensities(hu, spec).ravel() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("name", "top", "images"), [("ct-net", 200, 134), ("axialnet", 800, 135)])
def test_the_published_presets(name, top, images) -> None:
    """CT-Net: 402 slices to 200 HU; AxialNet: 405 slices to 800 HU; both centred by 0.449."""
    spec = INPUT_PRESETS[name]
    assert spec.window_hu == (-1000, top)
    full = Volume(np.full((20, 21, 21), top, np.int16), np.diag([16.08, 16, 16, 1.0]))
    given_to_network = prepare(full, spec)
    assert given_to_network.tensor.shape == (1, images, 3, 420, 420)
    assert float(given_to_network.tensor.max()) == pytest.approx(1 - 0.449)


def test_padding_puts_the_odd_slice_last_and_fills_with_the_minimum() -> None:
    ct = Volume(np.arange(5, dtype=np.int16).reshape(5, 1, 1) - 900, np.eye(4))
    padded = prepare(ct, plain_input((6, 1, 1)))
    assert padded.tensor.ravel().tolist() == [-900, -899, -898, -897, -896, -900]


def test_cropping_takes_the_middle() -> None:
    ct = Volume(np.arange(7, dtype=np.int16).reshape(7, 1, 1), np.eye(4))
    assert prepare(ct, plain_input((4, 1, 1))).tensor.ravel().tolist() == [1, 2, 3, 4]


def test_three_consecutive_slices_become_the_channels_of_one_image() -> None:
    ct = Volume(np.arange(9, dtype=np.int16).reshape(9, 1, 1), np.diag([2.0, 1, 1, 1]))
    triples = prepare(ct, plain_input((9, 1, 1), layout="axial_triples"))
    assert triples.tensor[0, 1, :, 0, 0].tolist() == [3, 4, 5]
    # The middle of image 1 is slice 4, at 8 mm.
    assert Grid((3, 1, 1), triples.affine).to_world((1, 0, 0))[0] == 8.0


def test_any_number_of_slices_is_filled_up_to_whole_triples() -> None:
    ct = Volume(np.zeros((7, 1, 1), np.int16), np.eye(4))
    spec = plain_input((None, 1, 1), layout="axial_triples")
    assert prepare(ct, spec).tensor.shape[:3] == (1, 3, 3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_reorienting_moves_voxels_and_affine_together(orientation) -> None:
    ct = random_ct((3, 4, 5), (2.0, 0.5, 0.7))
    turned, affine = reorient(ct.voxels, ct.affine, orientation)
    grid = Grid(turned.shape, affine)
    for index in ((0, 0, 0), tuple(n - 1 for n in turned.shape)):
        home = np.rint(ct.grid.to_index(grid.to_world(index))).astype(int)
        assert turned[index] == ct.voxels[tuple(home)]
    for axis, letter in enumerate(orientation):
        patient_axis, sign = DIRECTIONS[letter]
        assert affine[patient_axis, axis] * sign > 0


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(ORIENTATIONS),
    st.tuples(*[st.floats(0.6, 4.0)] * 3),
    st.tuples(*[st.floats(0.8, 3.0)] * 3),
    st.tuples(*[st.integers(20, 60)] * 3),
)
def test_a_point_of_known_place_keeps_its_place_through_every_step(
    orientation, spacing, model_spacing, shape
) -> None:
    """Reorient, resample, pad or crop: the bright blob's centroid stays within half a voxel."""
    size = (30, 32, 34)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-100.0, 40.0, 7.0)
    grid = Grid(size, affine)
    centre = grid.to_world(np.array(size) / 2)
    places = grid.to_world(np.moveaxis(np.indices(size), 0, -1))
    sigma = 2.0 * max(*spacing, *model_spacing)
    blob = 1000 * np.exp(-((places - centre) ** 2).sum(-1) / (2 * sigma**2))
    ct = Volume(blob.astype(np.float32), affine)
    spec = plain_input(shape, orientation=orientation, spacing_mm=model_spacing, padding=0.0)
    result = prepare(ct, spec)
    weights = result.tensor[0, 0].numpy().astype(float)
    peak = np.unravel_index(weights.argmax(), weights.shape)
    found = Grid(weights.shape, result.affine).to_world(peak)
    # The argmax can be off by rounding to the nearest sample, not by more.
    assert np.abs(found - centre).max() <= 0.5 * max(*model_spacing) + 0.5 * max(*spacing) + 1e-6


def test_resampling_to_the_same_spacing_changes_nothing() -> None:
    ct = random_ct((4, 5, 6), (2.0, 0.8, 0.8))
    voxels, affine = resample_to_spacing(ct.voxels, ct.affine, (2.0, 0.8, 0.8))
    assert voxels is ct.voxels
    assert affine is ct.affine


def test_a_window_may_reach_beyond_the_volume_and_repeats_its_border() -> None:
    voxels = np.arange(4).reshape(4, 1, 1)
    part, affine = cut(voxels, np.eye(4), Box((-2, 0, 0), (8, 1, 1)), None)
    assert part.ravel().tolist() == [0, 0, 0, 1, 2, 3, 3, 3]
    assert affine[0, 3] == -2


def test_the_window_is_cut_around_the_point() -> None:
    ct = random_ct((40, 60, 60), (2.0, 1.0, 1.0))
    spec = plain_input((4, 6, 8), fit="window")
    result = prepare(ct, spec, at_mm=(20.0, 30.0, 30.0))
    assert result.voxel_grid.to_index((20.0, 30.0, 30.0)).tolist() == [2, 3, 4]
    assert np.array_equal(result.tensor[0, 0].numpy(), ct.voxels[8:12, 27:33, 26:34])


def test_bad_input_is_refused_in_one_sentence() -> None:
    ct = random_ct((10, 10, 10))
    window_spec = plain_input((4, 4, 4), fit="window")
    with pytest.raises(InputError, match="nobody said where"):
        prepare(ct, window_spec)
    with pytest.raises(InputError, match="lies outside the CT"):
        prepare(ct, window_spec, at_mm=(100.0, 0.0, 0.0))
    with pytest.raises(InputError, match="10 x 10 x 10 voxels"):
        prepare(ct, plain_input((200, 10, 10)))
    for quantity, words in ((Quantity.LABELS, "label map"), (Quantity.UNKNOWN, "not known")):
        other = Volume(ct.voxels, ct.affine, quantity=quantity)
        with pytest.raises(InputError, match=words):
            prepare(other, plain_input((10, 10, 10)))


def test_the_far_end_of_thick_slices_is_not_turned_into_air() -> None:
    """60 slices of 5 mm at 0.8 mm end within the last slice: tissue, not the minimum."""
    voxels = np.full((60, 3, 3), 40, np.int16)
    voxels[0] = -1000
    ct = Volume(voxels, np.diag([5.0, 1, 1, 1]))
    result, _ = resample_to_spacing(ct.voxels, ct.affine, (0.8, 1.0, 1.0))
    assert result.shape[0] == 375
    assert np.abs(result[7:] - 40).max() < 1e-3


def test_a_long_preparation_can_be_cancelled() -> None:
    ct = random_ct((40, 40, 40))
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        prepare(ct, plain_input((80, 80, 80), spacing_mm=(0.5,) * 3), None, lambda: next(asked))


@pytest.mark.parametrize("length", [1, 2])
def test_a_tiny_window_at_the_border_still_overlaps_the_volume(length) -> None:
    spec = plain_input((length,) * 3, fit="window", padding="edge")
    for corner in (0.0, 8.9):
        assert prepare(random_ct((10, 10, 10)), spec, (corner,) * 3).tensor.shape[2] == length


def test_a_point_for_a_model_that_sees_the_whole_ct_is_refused() -> None:
    with pytest.raises(InputError, match="sees the whole CT"):
        prepare(random_ct((4, 4, 4)), plain_input((4, 4, 4)), (1.0, 1.0, 1.0))
    spec = plain_input((2, 2, 2), fit="window")
    with pytest.raises(InputError, match="outside"):
        prepare(random_ct((4, 4, 4)), spec, (float("nan"), 1.0, 1.0))


def test_a_mostly_padded_input_is_noted() -> None:
    notes = prepare(random_ct((10, 10, 10)), plain_input((40, 10, 10))).notes
    assert notes == (
        "The CT fills only 25% x 100% x 100% of the model's input; the rest is its lowest value.",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("orientation", "IPA"),
        ("orientation", "XYZ"),
        ("window_hu", (100, -100)),
        ("spacing_mm", (0.0, 1.0, 1.0)),
        ("shape", (0, 4, 4)),
    ],
)
def test_a_senseless_input_section_names_its_field(field, value) -> None:
    with pytest.raises(ValueError, match=field):
        InputSpec(**{"shape": (3, 4, 4), field: value})
