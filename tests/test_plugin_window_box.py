"""The window of a patch network in the viewer: where it is drawn, and how it is moved."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from networks import plain_input

from napari_hirescam.models.window import WindowExtent, window_extent
from napari_hirescam.plugin.ct_layers import layer_from_volume, volume_from_layer
from napari_hirescam.plugin.window_box import WindowBox
from napari_hirescam.plugin.window_layers import COLOUR, PADDED_COLOUR
from napari_hirescam.plugin.window_lines import outline
from napari_hirescam.volume import Volume

SPEC = plain_input((8, 12, 16), fit="window", orientation="SPL", padding="edge")
SPACING = (2.5, 0.8, 0.8)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def ct(viewer):
    voxels = np.full((20, 50, 60), -1000, np.int16)
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-40.0, 10.0, -5.0)
    data, options, _ = layer_from_volume(Volume(voxels, affine, "chest"))
    return viewer.add_image(data, **options)


@pytest.fixture
def box(viewer, ct, qtbot):
    box = WindowBox(viewer, interval_ms=1)
    box.show(ct, SPEC, (-20.0, 30.0, 20.0))
    viewer.dims.set_point(0, -20.0)
    yield box
    box.events.disconnect()


def lines_mm(layer) -> np.ndarray:
    """Both ends of each line in mm, [n, 2, 3]."""
    data = np.asarray(layer.data)
    ends = np.stack([data[:, 0], data[:, 0] + data[:, 1]], axis=1)
    return ends * np.array(layer.scale) + np.array(layer.translate)


def mouse(kind: str, position, **more: object) -> ReadOnlyWrapper:
    settings = {
        "type": kind,
        "position": tuple(position),
        "button": 1,
        "modifiers": (),
        "dims_displayed": [1, 2],
        "view_direction": None,
        "up_direction": None,
        "is_dragging": kind == "mouse_move",
        "handled": False,
    }
    # As the canvas does: generators are shown later events through this wrapper.
    return ReadOnlyWrapper(SimpleNamespace(**{**settings, **more}), exceptions=("handled",))


def drag(layer, *positions) -> None:
    mouse_press_callbacks(layer, mouse("mouse_press", positions[0]))
    for position in positions[1:]:
        mouse_move_callbacks(layer, mouse("mouse_move", position))
    mouse_release_callbacks(layer, mouse("mouse_release", positions[-1]))


# -- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_in_slices_the_outline_is_where_the_voxels_of_the_window_end(
    viewer, box, ct, order
) -> None:
    viewer.dims.order = order
    extent = window_extent(volume_from_layer(ct).grid, SPEC, box.at_mm, "ct")
    ends = lines_mm(box.box)
    for axis in order[1:]:
        assert ends[..., axis].min() == pytest.approx(extent.low_mm[axis])
        assert ends[..., axis].max() == pytest.approx(extent.high_mm[axis])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_each_slice_through_the_window_shows_the_outline_and_no_other(viewer, box, order) -> None:
    viewer.dims.order = order
    normal = order[0]
    extent = box.extent
    step = SPACING[normal]
    start, stop, _ = viewer.dims.range[normal]
    for place in np.arange(start, stop + step / 2, step):
        viewer.dims.set_point(normal, place)
        box.box.refresh()
        seen = len(box.box._view_data) > 0
        assert seen == (extent.low_mm[normal] < place < extent.high_mm[normal])


def test_in_3d_the_twelve_edges_are_drawn(viewer, box) -> None:
    viewer.dims.ndisplay = 3
    assert len(box.box.data) == 12
    ends = lines_mm(box.box).reshape(-1, 3)
    assert ends.min(axis=0) == pytest.approx(box.extent.low_mm)
    assert ends.max(axis=0) == pytest.approx(box.extent.high_mm)


def test_the_sliders_keep_the_cts_slices(viewer, ct, box) -> None:
    with_window = viewer.dims.range
    box.box.visible = box.points.visible = False
    for axis in range(3):
        start, stop, step = with_window[axis]
        assert step == pytest.approx(SPACING[axis])
        assert (start, stop) == pytest.approx(
            (ct.translate[axis], ct.translate[axis] + step * (ct.data.shape[axis] - 1))
        )


def test_what_lies_outside_the_ct_is_dashed_and_of_another_colour(box) -> None:
    box.move_to((-40.0, 30.0, -5.0))
    colours = {tuple(np.round(c[:3], 2)) for c in box.box.edge_color}
    assert len(colours) == 2
    ends = lines_mm(box.box)
    beyond = ends[..., 2].mean(axis=1) < -5.0 - 0.4
    solid = np.isclose(box.box.edge_color[:, 0:3], _rgb(COLOUR), atol=0.01).all(axis=1)
    assert np.array_equal(solid, ~beyond)
    assert np.isclose(box.box.edge_color[beyond, 0:3], _rgb(PADDED_COLOUR), atol=0.01).all()
    assert beyond.sum() > 4


def _rgb(colour: str) -> list[float]:
    return [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]


def test_dashes_end_where_the_ct_begins() -> None:
    extent = WindowExtent((0, 0, 0), (10, 20, 20), (0, 5, 0), (10, 20, 20), 0.25, "edge")
    found = outline(extent, normal=0)
    along = found.lines[np.abs(found.lines[:, 1, 1]) > 0]
    padded = found.padded[np.abs(found.lines[:, 1, 1]) > 0]
    assert along[padded][:, :, 1].sum(axis=1).max() == pytest.approx(5.0)
    assert set(along[~padded][:, 0, 1]) == {5.0}
    # Dashes cover some of the way, not all of it.
    assert 0 < along[padded][:, 1, 1].sum() < 2 * 5.0


def test_the_sentence_says_size_place_and_padding(box) -> None:
    assert box.sentence() == "Window of 20 x 10 x 13 mm at L 20, P 30, S 20 mm."
    box.move_to((-40.0, 30.0, 20.0))
    above = "lies outside the CT (above or below its slices) and is padded: its border repeated."
    assert above in box.sentence()
    box.move_to((-40.0, 30.0, -5.0))
    assert "lies outside the CT (dashed) and is padded: its border repeated." in box.sentence()


# -- moving it -------------------------------------------------------------------------------


def test_dragging_the_point_moves_the_box_at_once_and_tells_the_last_place(box, qtbot) -> None:
    told = []
    box.moved.connect(told.append)
    drag(box.points, (-20, 30, 20), (-20, 33, 24), (-20, 36, 30))
    assert box.at_mm == pytest.approx((-20.0, 36.0, 30.0))
    assert lines_mm(box.box)[..., 2].max() == pytest.approx(box.extent.high_mm[2])
    qtbot.waitUntil(lambda: len(told) > 0)
    assert told[-1] == box.at_mm


def test_while_the_point_is_dragged_the_box_follows(box) -> None:
    """napari tells of the point only when it is let go; the box does not wait for that."""
    points = box.points
    mouse_press_callbacks(points, mouse("mouse_press", (-20, 30, 20)))
    seen = []
    for place in ((-20, 32, 22), (-20, 34, 26), (-20, 36, 30)):
        mouse_move_callbacks(points, mouse("mouse_move", place))
        seen.append(box.at_mm[2])
    mouse_release_callbacks(points, mouse("mouse_release", (-20, 36, 30)))
    assert seen == sorted(seen)
    assert len(set(seen)) >= 2
    assert seen[-1] > 21


def test_a_drag_beside_the_point_moves_nothing_and_the_point_stays_chosen(box) -> None:
    at = box.at_mm
    drag(box.points, (-20, 45, 40), (-20, 40, 35), (-20, 38, 30))
    assert box.at_mm == at
    assert set(box.points.selected_data) == {0}


def test_many_moves_are_told_of_once(viewer, ct, qtbot) -> None:
    box = WindowBox(viewer, interval_ms=50)
    box.show(ct, SPEC)
    told = []
    box.moved.connect(told.append)
    for k in range(20):
        box.move_to((-20.0, 30.0, 10.0 + k))
    assert told == []
    qtbot.waitUntil(lambda: len(told) > 0)
    assert told == [(-20.0, 30.0, 29.0)]


def test_a_click_places_the_window_only_while_placing(viewer, ct, box) -> None:
    before = box.at_mm
    box.set_placing(on=True)
    assert viewer.layers.selection.active is box.points
    assert not box.points.mouse_pan
    drag(box.points, (-25, 40, 10))
    assert box.at_mm == pytest.approx((-25.0, 40.0, 10.0))
    box.set_placing(on=False)
    assert box.points.mode == "select"
    assert box.at_mm != before
    viewer.layers.selection.active = ct
    box.set_placing(on=True)
    viewer.layers.selection.active = ct
    assert not box.placing


def test_a_drag_while_placing_takes_the_window_along_but_the_right_button_does_not(box) -> None:
    box.set_placing(on=True)
    drag(box.points, (-25, 40, 10), (-25, 35, 12), (-25, 32, 15))
    assert box.at_mm == pytest.approx((-25.0, 32.0, 15.0))
    mouse_press_callbacks(box.points, mouse("mouse_press", (-25, 40, 10), button=2))
    assert box.at_mm == pytest.approx((-25.0, 32.0, 15.0))


def test_a_place_outside_the_ct_is_brought_in(box) -> None:
    box.move_to((-1000.0, 1000.0, 20.0))
    inferior, posterior, _ = box.at_mm
    assert inferior == pytest.approx(-40.0)
    assert posterior == pytest.approx(10.0 + 49 * 0.8)
    assert np.asarray(box.points.data_to_world(box.points.data[0])) == pytest.approx(box.at_mm)


def test_a_deleted_point_comes_back_and_a_second_one_takes_its_place(box) -> None:
    at = box.at_mm
    box.points.data = np.empty((0, 3))
    assert np.asarray(box.points.data_to_world(box.points.data[0])) == pytest.approx(at)
    box.points.add(box.points.world_to_data((-30.0, 25.0, 5.0)))
    assert len(box.points.data) == 1
    assert box.at_mm == pytest.approx((-30.0, 25.0, 5.0))


def test_another_ct_starts_in_its_middle_and_the_same_one_keeps_the_place(viewer, ct, box) -> None:
    box.show(ct, SPEC)
    assert box.at_mm == (-20.0, 30.0, 20.0)
    data, options, _ = layer_from_volume(
        Volume(np.full((30, 40, 40), -1000, np.int16), np.eye(4), "other")
    )
    other = viewer.add_image(data, **options)
    box.show(other, SPEC)
    assert box.at_mm == (14.5, 19.5, 19.5)
    assert tuple(box.points.scale) == (1.0, 1.0, 1.0)
    assert sum(layer.name == "window" for layer in viewer.layers) == 1


def test_a_model_without_a_window_hides_it_and_the_next_one_reuses_its_layers(
    viewer, ct, box
) -> None:
    layers = (box.points, box.box)
    box.show(ct, plain_input((8, 12, 16)))
    assert not box.shown
    assert not any(layer.visible for layer in layers)
    box.show(ct, SPEC)
    assert (box.points, box.box) == layers
    assert all(layer.visible for layer in layers)


@pytest.mark.parametrize("which", ["points", "box", "ct"])
def test_removing_a_layer_ends_the_window_and_it_can_be_shown_again(viewer, ct, box, which) -> None:
    removed = ct if which == "ct" else getattr(box, which)
    viewer.layers.remove(removed)
    assert not box.shown
    box.move_to((-25.0, 40.0, 10.0))  # has nothing to move
    if which == "ct":
        viewer.layers.append(ct)
    box.show(ct, SPEC)
    assert box.shown
    assert box.points in viewer.layers
    assert box.box in viewer.layers


def test_showing_and_moving_leaves_the_chosen_layer_chosen(viewer, ct, box) -> None:
    viewer.layers.selection.active = ct
    box.move_to((-25.0, 40.0, 10.0))
    box.hide()
    box.show(ct, SPEC)
    assert viewer.layers.selection.active is ct
