"""Letters at the edges of the canvas say where the patient's sides are, in every view."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import Camera, Dims, ViewerModel
from napari.layers import Image
from plugin_cases import make_volume

from napari_hirescam.plugin.ct_layers import METADATA_KEY, layer_from_volume
from napari_hirescam.plugin.orientation_letters import (
    EdgeLetters,
    OrientationLetters,
    edge_letters,
    letters_of,
)
from napari_hirescam.plugin.patient_layers import PatientLayers

OPPOSITE = str.maketrans("LRAPIS", "RLPASI")


def _dims(order, ndisplay=2) -> Dims:
    return Dims(ndim=len(order), order=order, ndisplay=ndisplay)


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        ((0, 0, 1), "L"),
        ((0, 0, -2), "R"),
        ((0, 1, 0), "P"),
        ((0, -1, 0), "A"),
        ((1, 0, 0), "I"),
        ((-1, 0, 0), "S"),
        ((0, -0.6, -0.8), "RA"),
        ((-0.3, 0.9, 0.1), "PS"),
        ((0, 0.15, 1), "L"),
        ((-1, -1.1, 1.2), "LAS"),
        ((0, 0, 0), ""),
    ],
)
def test_a_direction_is_named_by_falling_share_and_slight_leaning_is_left_out(direction, letters):
    assert letters_of(direction) == letters


@pytest.mark.parametrize(
    ("order", "letters"),
    [
        ((0, 1, 2), EdgeLetters("R", "L", "A", "P")),  # axial: the right edge is the left side
        ((1, 0, 2), EdgeLetters("R", "L", "S", "I")),  # coronal, head up
        ((2, 0, 1), EdgeLetters("A", "P", "S", "I")),  # sagittal
        ((0, 2, 1), EdgeLetters("A", "P", "R", "L")),  # axial, transposed
        ((0, 1, 2, 3), EdgeLetters("R", "L", "A", "P")),  # phases before the patient's axes
        ((1, 2, 0, 3), EdgeLetters("R", "L", "", "")),  # phases along the vertical edge
    ],
)
def test_slices_have_the_letters_radiology_expects(order, letters):
    assert edge_letters(_dims(order), Camera()) == letters


def test_a_camera_whose_axes_are_flipped_has_its_letters_flipped():
    flipped = Camera(orientation=("towards", "up", "left"))
    assert edge_letters(_dims((0, 1, 2)), flipped) == EdgeLetters("L", "R", "P", "A")


def test_a_picture_without_three_axes_has_no_letters():
    assert edge_letters(_dims((0, 1)), Camera()) == EdgeLetters()


def test_in_3d_the_letters_follow_the_camera():
    camera = Camera()
    camera.set_view_direction(view_direction=(0, 1, 0), up_direction=(-1, 0, 0))
    # From the front, head up, as if the patient stood before us.
    assert edge_letters(_dims((0, 1, 2), 3), camera) == EdgeLetters("R", "L", "S", "I")
    camera.set_view_direction(view_direction=(0, 1, -0.5), up_direction=(-1, 0, 0))
    assert edge_letters(_dims((0, 1, 2), 3), camera) == EdgeLetters("RA", "LP", "S", "I")


angles = st.floats(-180, 180, allow_nan=False)
flips = st.tuples(
    st.sampled_from(["towards", "away"]),
    st.sampled_from(["up", "down"]),
    st.sampled_from(["left", "right"]),
)


@given(
    order=st.permutations([0, 1, 2]),
    ndisplay=st.sampled_from([2, 3]),
    turn=st.tuples(angles, angles, angles),
    orientation=flips,
)
def test_opposite_edges_always_have_opposite_letters(order, ndisplay, turn, orientation):
    letters = edge_letters(
        _dims(tuple(order), ndisplay), Camera(angles=turn, orientation=orientation)
    )
    assert all(letters)
    assert letters.left.translate(OPPOSITE) == letters.right
    assert letters.top.translate(OPPOSITE) == letters.bottom


@pytest.fixture
def model(qapp) -> ViewerModel:
    return ViewerModel()


def _add_ct(viewer, **changes):
    voxels, options, _ = layer_from_volume(make_volume())
    return viewer.add_layer(Image(voxels, **{**options, **changes}))


def test_letters_come_with_a_ct_of_ours_and_go_with_it(model):
    letters = OrientationLetters(model, PatientLayers(model))
    assert letters.shown == EdgeLetters()
    ct = _add_ct(model)
    assert letters.shown.right == "L"
    ct.visible = False
    assert letters.shown == EdgeLetters()
    ct.visible = True
    letters.on = False
    assert letters.shown == EdgeLetters()
    letters.on = True
    model.layers.remove(ct)
    assert letters.shown == EdgeLetters()


def test_a_layer_of_another_reader_gets_no_letters(model):
    letters = OrientationLetters(model, PatientLayers(model))
    model.add_image(make_volume().voxels)
    assert letters.shown == EdgeLetters()


@pytest.mark.parametrize("turned", [{"scale": (6, 4, -4)}, {"rotate": 15}])
def test_a_ct_that_was_turned_since_it_was_read_says_nothing_of_sides(model, turned):
    letters = OrientationLetters(model, PatientLayers(model))
    ct = _add_ct(model)
    assert letters.shown.right == "L"
    for name, value in turned.items():
        setattr(ct, name, value)
    assert letters.shown == EdgeLetters()


def test_the_texts_are_gone_and_nothing_listens_after_the_letters_were_removed(model):
    before = set(model.canvas.overlays)
    layers = PatientLayers(model)
    letters = OrientationLetters(model, layers)
    _add_ct(model)
    assert len(set(model.canvas.overlays) - before) == 4
    layers.leave()
    letters.leave()
    letters.remove()
    assert set(model.canvas.overlays) == before
    model.dims.order = (1, 0, 2)
    assert set(model.canvas.overlays) == before


# -- by rendering ------------------------------------------------------------------------

SIDES = {"I": (0, -1), "S": (0, 0), "P": (1, -1), "A": (1, 0), "L": (2, -1), "R": (2, 0)}


def _ball(side: str) -> np.ndarray:
    """A cube at one side of an empty patient, in the middle of the other axes."""
    voxels = np.zeros((21, 21, 21), np.int16)
    axis, end = SIDES[side]
    where = [slice(9, 12)] * 3
    where[axis] = slice(18, 21) if end else slice(0, 3)
    voxels[tuple(where)] = 1000
    return voxels


VIEWS = [
    ((0, 1, 2), 2, None, None),
    ((1, 0, 2), 2, None, None),
    ((2, 0, 1), 2, None, None),
    ((0, 2, 1), 2, None, None),
    ((0, 1, 2), 2, ("towards", "up", "left"), None),
    ((0, 1, 2), 3, None, (0.3, 0.8, -0.5)),
    ((2, 1, 0), 3, None, (0.2, -0.9, 0.4)),
    ((0, 1, 2), 3, ("away", "down", "right"), (0.3, 0.8, -0.5)),
]
EDGES = (("left", 1, -1), ("right", 1, 1), ("top", 0, -1), ("bottom", 0, 1))


def test_what_lies_at_a_patients_side_is_drawn_towards_its_letter(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(
        np.zeros((21, 21, 21), np.int16),
        colormap="red",
        contrast_limits=(0, 1000),
        metadata={METADATA_KEY: {"kind": "volume", "quantity": "HU"}},
    )
    layers = PatientLayers(viewer)
    letters = OrientationLetters(viewer, layers)
    camera = viewer.scene.camera
    usual = camera.orientation
    for order, ndisplay, orientation, view in VIEWS:
        viewer.dims.order, viewer.dims.ndisplay = order, ndisplay
        camera.orientation = orientation or usual
        viewer.dims.set_point((0, 1, 2), (10, 10, 10))
        viewer.fit_to_view()
        if view is not None:
            camera.set_view_direction(view, (-1, 0.1, 0))
        shown = letters.shown
        for edge, axis, sign in EDGES:
            letter = getattr(shown, edge)
            layer.data = _ball(letter[0])
            picture = viewer.screenshot(flash=False)[..., :3].astype(int)
            red = (picture[..., 0] > 100) & (picture[..., 1] < 60)
            assert red.any(), (order, ndisplay, edge, letter)
            offset = np.argwhere(red).mean(axis=0) - np.array(red.shape) / 2
            assert sign * offset[axis] > 5, (order, ndisplay, edge, letter, offset)
    layers.leave()
    letters.leave()


def test_letters_are_in_the_screenshot(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    letters = OrientationLetters(viewer, PatientLayers(viewer))
    _add_ct(viewer, visible=False)
    viewer.layers[0].visible = True
    viewer.layers[0].opacity = 0.0
    letters.on = False
    without = viewer.screenshot(flash=False).astype(int)
    letters.on = True
    changed = np.abs(viewer.screenshot(flash=False) - without).sum(axis=2) > 50
    rows, columns = np.argwhere(changed).T
    height, width = changed.shape
    right = changed[:, int(0.9 * width) :]
    middle = np.argwhere(right)[:, 0].mean()
    assert abs(middle - height / 2) < 0.05 * height  # at half height of the right edge
    assert changed[: int(0.1 * height)].any()
    assert columns.min() < 0.1 * width
    assert rows.max() > 0.9 * height
