"""What the reviewer sees: planes, outline, surface, attention; and how the viewer is left.

A viewer without a canvas stands in for napari's: nothing here depends on what is drawn there.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.qt.threading import FunctionWorker
from plugin_cases import make_explanation, make_model, make_volume
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_hirescam.io import write_volume
from napari_hirescam.organs import OrganMap
from napari_hirescam.plugin.orientation_letters import EdgeLetters
from napari_hirescam.plugin.reviewing.planes_dock import NAME
from napari_hirescam.plugin.reviewing.views import ReviewViews
from napari_hirescam.plugin.view_tools import view_tools_of
from napari_hirescam.review.item import Item
from napari_hirescam.review.loading import LoadedItem
from napari_hirescam.volume import Volume

#: Index of a bright voxel of the CT, and its (I, P, L) mm.
VOXEL = (15, 12, 29)
PLACE = (-300.0 + 15 * 6, -80.0 + 12 * 4, -70.0 + 29 * 4)


def loaded_item(
    number: int = 1,
    target: str = "heart",
    *,
    mask: bool = True,
    others: bool = False,
    case: str = "Mustermann",
    ct: Volume | None = None,
    shape: tuple[int, int, int] = (24, 40, 40),
    **item,
) -> LoadedItem:
    if ct is None:
        ct = make_volume(number, shape)
        ct.voxels[VOXEL] = 3000
    organ = np.zeros(ct.voxels.shape, bool)
    organ[8:20, 10:30, 12:34] = True
    organ[14, 5:35, 6:36] = True  # the largest slice
    labels = organ.astype(np.uint8)
    labels[2:6, 8:20, 8:20] = 2
    organs = OrganMap(labels, ct.affine, {target: (1,), "liver": (2,)}, "a file")
    return LoadedItem(
        Item(number, case, "p", item.pop("kind", "mask"), target, Path(f"/{case}.nii"), **item),
        ct,
        organ if mask else None,
        organs if others else None,
        "ab",
        (),
        (f"/{case}.nii", ""),
    )


class _Window:
    """The part of napari's window that docks widgets."""

    def __init__(self) -> None:
        self.main = QMainWindow()
        self.dock_widgets: dict[str, QDockWidget] = {}

    def add_dock_widget(self, widget, *, name, area, add_vertical_stretch):
        assert area == "bottom"
        assert not add_vertical_stretch
        dock = self.dock_widgets[name] = QDockWidget(name, self.main)
        dock.setWidget(widget)
        self.main.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
        return dock

    def remove_dock_widget(self, dock) -> None:
        dock.widget().setParent(None)
        self.main.removeDockWidget(dock)
        del self.dock_widgets[dock.windowTitle()]
        dock.deleteLater()


class _Viewer(ViewerModel):
    _window: Any = None

    def __init__(self) -> None:
        super().__init__()
        self._window = _Window()

    @property
    def window(self) -> _Window:
        return self._window


@pytest.fixture
def viewer(qtbot):
    viewer = _Viewer()
    qtbot.addWidget(viewer.window.main)
    yield viewer
    FunctionWorker.await_workers(10000)


@pytest.fixture
def views(viewer):
    views = ReviewViews(viewer)
    yield views
    views.abandon()


@pytest.fixture
def told(views):
    heard = []
    views.told.connect(heard.append)
    return heard


def dock_of(viewer) -> QDockWidget | None:
    return viewer.window.dock_widgets.get(NAME)


def own_layers(viewer) -> list:
    return [one for one in viewer.layers if one.metadata.get("napari_hirescam", {}).get("review")]


def pixel_of(viewer, place) -> tuple[int, int]:
    """Where a place is drawn on napari's canvas: row and column."""
    camera, size = viewer.scene.camera, np.array(viewer.canvas.size)
    inside = np.array([place[axis] for axis in viewer.dims.displayed])
    row, column = (inside - camera.center[-2:]) * camera.zoom + size / 2
    return int(row), int(column)


def wait_for_attention(qtbot, views) -> None:
    qtbot.waitUntil(lambda: not views._here.attention.busy, timeout=120000)


def wait_for_surface(qtbot, views) -> None:
    qtbot.waitUntil(lambda: views._here.surface.layer is not None, timeout=60000)


# -- an item on the screen ----------------------------------------------------------------


def test_an_item_appears_with_its_outline_in_all_planes_at_the_largest_slice(views, viewer):
    views.show(loaded_item())

    assert [layer.name for layer in viewer.layers] == ["CT", "mask: heart", "crosshair"]
    assert views.mask_layer.contour > 0
    assert not views.mask_layer.editable
    assert viewer.layers.selection.active is views.ct_layer
    assert views.place_mm[0] == pytest.approx(-300.0 + 14 * 6)
    assert tuple(viewer.dims.displayed) == (1, 2)
    shown = [view.plane.name for view in views.planes.views if not view.isHidden()]
    assert shown == ["Coronal", "Sagittal"]
    assert view_tools_of(viewer).letters.shown == EdgeLetters("R", "L", "A", "P")


def test_a_point_of_known_place_is_at_the_same_mm_in_every_plane(views, viewer):
    views.show(loaded_item())

    views.go_to(PLACE)

    assert views.place_mm == pytest.approx(PLACE)
    assert views.ct_layer.get_value(PLACE, world=True) == 3000
    for view in views.planes.views:
        assert view.place_mm == pytest.approx(PLACE)
        drawn = view.grab().toImage()
        pixel = view.pixel_of(PLACE)
        assert drawn.pixelColor(int(pixel.x()), int(pixel.y())).red() > 200


def test_the_canvas_crosshair_stands_at_the_place_with_its_middle_free(views, viewer):
    views.show(loaded_item())
    views.go_to(PLACE)

    lines = views._here.crosshair.layer
    for start, way in lines.data:
        ends = np.array([lines.data_to_world(start), lines.data_to_world(start + way)])
        across = [axis for axis in (1, 2) if abs(ends[0, axis] - ends[1, axis]) < 1e-6]
        assert [ends[0, axis] for axis in across] == pytest.approx([PLACE[axis] for axis in across])
        assert min(np.linalg.norm(ends[:, 1:] - PLACE[1:], axis=1)) > 0


def test_sliders_stop_at_the_slices_of_the_ct_and_nowhere_else(views, viewer):
    item = loaded_item()
    for normal in (0, 1, 2):
        views.show(item)
        views.planes.take(normal)
        for axis, (start, stop, step) in enumerate(viewer.dims.range):
            n, spacing = item.ct.voxels.shape[axis], item.ct.spacing_mm[axis]
            origin = item.ct.affine[axis, 3]
            assert (start, stop, step) == pytest.approx(
                (origin, origin + (n - 1) * spacing, spacing)
            )


def test_the_next_item_takes_over_the_layers(views, viewer):
    views.show(loaded_item())
    ct, mask = views.ct_layer, views.mask_layer
    second = loaded_item(2, "left_lung", case="other", shape=(20, 36, 44))

    views.show(second)

    assert views.ct_layer is ct
    assert views.mask_layer is mask
    assert ct.data is second.ct.voxels
    assert np.array_equal(mask.data, second.mask)
    assert mask.name == "mask: left_lung"
    assert len(own_layers(viewer)) == 3
    assert viewer.dims.range[0].stop == pytest.approx(-300 + 19 * 6)


def test_no_name_of_a_case_or_a_file_is_in_the_viewer(views, viewer):
    views.show(loaded_item(others=True))
    views.toggle_others()

    for layer in own_layers(viewer):
        assert "mustermann" not in f"{layer.name} {layer.metadata}".lower()


def test_an_organ_opens_in_its_window_and_keeps_the_readers(views, viewer):
    lung = loaded_item(1, "left_lung")
    views.show(lung)
    assert views.ct_layer.contrast_limits == [-1350, 150]
    views.ct_layer.contrast_limits = (-1200, 0)

    views.show(loaded_item(2, "heart", ct=lung.ct))
    assert views.ct_layer.contrast_limits == [-125, 225]

    views.show(lung)
    assert views.ct_layer.contrast_limits == [-1200, 0]


def test_the_camera_stays_for_another_organ_of_the_same_scan_only(views, viewer):
    first = loaded_item()
    views.show(first)
    viewer.scene.camera.zoom *= 2
    zoom = viewer.scene.camera.zoom

    views.show(loaded_item(2, "left_lung", ct=first.ct))
    assert viewer.scene.camera.zoom == pytest.approx(zoom)

    views.show(loaded_item(3, case="other"))
    assert viewer.scene.camera.zoom == pytest.approx(zoom / 2, rel=0.2)


def test_a_place_beyond_the_zoomed_canvas_is_brought_into_it(views, viewer):
    views.show(loaded_item())
    viewer.scene.camera.zoom *= 6
    viewer.scene.camera.center = (0, -60, -50)

    views.go_to(PLACE)

    row, column = pixel_of(viewer, PLACE)
    height, width = viewer.canvas.size
    assert 0 < row < height
    assert 0 < column < width


def test_the_mask_can_be_looked_under_and_cannot_be_painted_on(views):
    item = loaded_item()
    views.show(item)

    views.toggle_mask()
    assert not views.mask_layer.visible
    views.toggle_mask()
    assert views.mask_layer.visible
    with pytest.raises(ValueError, match="read-only"):
        views.mask_layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    assert not item.mask[0, 0, 0]


def test_other_organs_are_outlined_without_the_one_that_is_judged(views, viewer, told):
    views.show(loaded_item(others=True))

    views.toggle_others()

    layer = viewer.layers["other organs"]
    assert layer.colormap.map(2)[3] > 0
    assert layer.colormap.map(1)[3] == 0
    views.show(loaded_item(2, others=False))
    assert "other organs" not in viewer.layers
    views.toggle_others()
    assert told == ["The mask's file holds no other organs."]


def test_an_item_without_a_mask_and_an_empty_one_appear(views, viewer):
    views.show(loaded_item())
    views.show(loaded_item(2, kind="attention", mask=False))
    assert views.mask_layer is None
    assert not viewer.layers["mask: heart"].visible

    empty = loaded_item(3)
    empty.mask[:] = False
    views.show(empty)
    assert views.place_mm[0] == pytest.approx(-300 + 12 * 6, abs=6)


def test_cleared_nothing_of_the_item_is_left_to_see(views, viewer):
    views.show(loaded_item())

    views.clear()

    assert views.ct_layer is None
    assert not any(layer.visible for layer in viewer.layers)
    views.go_to(PLACE)
    views.toggle_mask()
    views.show(loaded_item(2))
    assert views.ct_layer.visible


def test_a_ct_that_is_deleted_in_the_list_is_said_and_comes_back(views, viewer, told):
    item = loaded_item()
    views.show(item)

    viewer.layers.remove(views.ct_layer)

    assert "CT was removed" in told[0]
    views.show(item)
    assert views.ct_layer in viewer.layers


# -- the mouse on napari's canvas ---------------------------------------------------------


class _Event:
    """A mouse event as napari hands it to callbacks."""

    def __init__(self, kind="mouse_press", position=(0, 0, 0), **more):
        self.type, self.position = kind, position
        self.modifiers, self.button, self.pos = (), 1, (50.0, 50.0)
        self.delta, self.handled = (0.0, 0.0), False
        self.native = types.SimpleNamespace(inverted=lambda: False)
        self.__dict__.update(more)


def press_and_release(viewer, event, *moves) -> None:
    (callback,) = (one for one in viewer.mouse_drag_callbacks if "CanvasMouse" in one.__qualname__)
    drag = callback(viewer, event)
    next(drag, None)
    for position, pos in moves:
        event.type, event.position, event.pos = "mouse_move", position, pos
        next(drag, None)
    event.type = "mouse_release"
    next(drag, None)


def test_a_click_on_the_canvas_moves_the_other_planes(views, viewer):
    views.show(loaded_item())

    press_and_release(viewer, _Event(position=(views.place_mm[0], *PLACE[1:])))

    assert views.planes.views[1].place_mm[1:] == pytest.approx(PLACE[1:])


def test_a_drag_pans_and_a_drag_with_shift_points(views, viewer):
    views.show(loaded_item())
    views.go_to(PLACE)
    away = (PLACE[0], PLACE[1] + 40, PLACE[2])

    press_and_release(viewer, _Event(position=PLACE), (away, (90.0, 50.0)))
    assert views.place_mm == pytest.approx(PLACE)

    press_and_release(viewer, _Event(position=PLACE, modifiers=("Shift",)), (away, (90.0, 50.0)))
    assert views.place_mm == pytest.approx(away)


def test_a_click_of_a_layer_that_paints_is_its_own(views, viewer):
    views.show(loaded_item())
    views.go_to(PLACE)
    painted = viewer.add_labels(np.zeros((24, 40, 40), np.uint8))
    painted.mode = "paint"

    press_and_release(viewer, _Event(position=(0, 0, 0)))

    assert views.place_mm == pytest.approx(PLACE)


def test_the_wheel_turns_over_slices_and_zooms_with_ctrl(views, viewer):
    views.show(loaded_item())
    views.go_to(PLACE)
    (wheel,) = viewer.mouse_wheel_callbacks

    event = _Event("mouse_wheel", delta=(0.0, -1.0))
    wheel(viewer, event)
    assert event.handled
    assert views.place_mm == pytest.approx((PLACE[0] + 6, *PLACE[1:]))

    zoom, before = viewer.scene.camera.zoom, pixel_of(viewer, PLACE)
    wheel(viewer, _Event("mouse_wheel", PLACE, delta=(0.0, 2.0), modifiers=("Control",)))
    assert viewer.scene.camera.zoom > zoom
    assert pixel_of(viewer, PLACE) == pytest.approx(before, abs=1)


# -- the surface --------------------------------------------------------------------------


def test_in_3d_only_the_surface_is_drawn_head_up(views, viewer, qtbot):
    views.show(loaded_item())
    views.go_to(PLACE)

    views.toggle_3d()
    wait_for_surface(qtbot, views)

    assert views.in_3d
    assert [layer.name for layer in viewer.layers if layer.visible] == ["surface: heart"]
    surface = viewer.layers["surface: heart"]
    world = surface.scale * surface.data[0] + surface.translate
    assert world.min(0) == pytest.approx((-300 + 7.5 * 6, -80 + 4.5 * 4, -70 + 5.5 * 4), abs=2)
    camera = viewer.scene.camera
    assert str(camera.handedness) == "right"
    assert camera.up_direction[0] < -0.7
    letters = view_tools_of(viewer).letters.shown
    assert letters.top[0] == "S"
    assert "R" in letters.left
    # The planes beside it go on showing CT and mask.
    assert len(views.planes._drawn()) == 2
    viewer.mouse_over_canvas = True  # the readout meets a layer that has no voxels

    views.toggle_3d()

    assert viewer.dims.ndisplay == 2
    assert views.place_mm == pytest.approx(PLACE)
    assert [one.name for one in viewer.layers if one.visible] == ["CT", "mask: heart", "crosshair"]


def test_naparis_own_button_shows_the_surface_too(views, viewer, qtbot):
    views.show(loaded_item())

    viewer.dims.ndisplay = 3
    wait_for_surface(qtbot, views)

    assert not views.mask_layer.visible
    assert not views.ct_layer.visible
    viewer.dims.ndisplay = 2
    assert views.mask_layer.visible


def test_the_next_item_comes_as_slices_and_an_empty_mask_is_said(views, viewer, qtbot, told):
    views.show(loaded_item())
    views.toggle_3d()
    wait_for_surface(qtbot, views)
    empty = loaded_item(2)
    empty.mask[:] = False

    views.show(empty)
    assert not views.in_3d
    views.toggle_3d()
    qtbot.waitUntil(lambda: bool(told), timeout=60000)

    assert told == ["The mask is empty: there is no surface."]
    assert not viewer.layers["surface: heart"].visible


def test_a_mask_that_is_being_corrected_gives_its_own_surface(views, viewer, qtbot):
    views.show(loaded_item())
    edited = np.zeros((24, 40, 40), np.uint8)
    edited[10:14, 10:14, 10:14] = 1
    viewer.add_labels(
        edited,
        scale=(6, 4, 4),
        translate=(-300, -80, -70),
        metadata={"napari_hirescam": {"kind": "review_edit", "review": True}},
    )

    views.toggle_3d()
    wait_for_surface(qtbot, views)

    surface = viewer.layers["surface: heart"]
    assert surface.data[0].max(0) == pytest.approx((13.5, 13.5, 13.5), abs=0.6)


# -- attention ----------------------------------------------------------------------------


def test_a_ready_map_lies_at_its_place(views, viewer, qtbot, tmp_path):
    item = loaded_item()
    values = np.full((24, 40, 40), -0.5, np.float32)
    values[VOXEL] = 2.0
    file = write_volume(tmp_path / "Mustermann.nii.gz", values, item.ct.grid)
    item = loaded_item(kind="attention", target="nodule", attention=file)
    views.show(item)

    views.show_attention(True)
    wait_for_attention(qtbot, views)

    layer = viewer.layers["attention: nodule"]
    views.go_to(PLACE)
    assert layer.get_value(PLACE, world=True) == 2.0
    assert layer.data.min() == 0.0
    assert layer.contrast_limits == [0.0, 2.0]
    # Under the outline, over the CT; and nothing that names the case.
    names = [one.name for one in viewer.layers]
    assert names.index("CT") < names.index("attention: nodule") < names.index("mask: nodule")
    assert "Mustermann" not in f"{layer.name} {layer.metadata}"

    views.show_attention(False)
    assert not layer.visible
    views.show_attention(True)
    assert layer.visible
    views.show(loaded_item(2))
    assert not layer.visible


def test_a_model_is_run_when_asked_and_once_for_a_scan(
    views, viewer, qtbot, tmp_path, monkeypatch, told
):
    ran = []

    def explain(volume, _classifier, **_options):
        ran.append(volume)
        return make_explanation()

    monkeypatch.setattr("napari_hirescam.attention.explain", explain)
    model = make_model(tmp_path / "model")
    first = loaded_item(kind="attention", target="mass", model=model)
    views.show(first)
    assert not ran

    views.show_attention(True)
    wait_for_attention(qtbot, views)

    layer = viewer.layers["attention: mass"]
    strongest = np.unravel_index(layer.data.argmax(), layer.data.shape)
    expected = make_explanation().map("mass").grid.to_world((4, 4, 2))
    assert layer.data_to_world(strongest) == pytest.approx(expected)
    assert "p =" not in layer.name

    views.show(loaded_item(2, "nodule", kind="attention", ct=first.ct, model=model))
    views.show_attention(True)
    wait_for_attention(qtbot, views)
    assert viewer.layers["attention: nodule"] is layer
    assert ran == [first.ct]
    assert told == []


def test_a_mask_gets_the_strongest_label_that_may_lie_in_its_organ(
    views, viewer, qtbot, tmp_path, monkeypatch, told
):
    explanation = make_explanation({"lung_nodule": (2, 1, 5), "lung_mass": (4, 4, 2)})
    monkeypatch.setattr("napari_hirescam.attention.explain", lambda *_args, **_more: explanation)
    model = make_model(tmp_path / "model", ("lung_nodule", "lung_mass"))

    views.show(loaded_item(1, "left_lung", model=model))
    views.show_attention(True)
    wait_for_attention(qtbot, views)
    assert "attention: lung_mass" in viewer.layers
    assert "lung_mass, of 2 labels" in told[0]

    views.show(loaded_item(2, "heart", model=model))
    views.show_attention(True)
    wait_for_attention(qtbot, views)
    assert "no label that may lie in this organ" in told[1]
    assert not views.attention_on


def test_a_map_that_cannot_be_shown_is_said(views, qtbot, tmp_path, told):
    item = loaded_item()
    beside = item.ct.grid.affine.copy()
    beside[:3, 3] += 5000
    far = type(item.ct.grid)(item.ct.grid.shape, beside)
    one = np.ones((24, 40, 40), np.float32)
    cases = {
        "nowhere.nii.gz": None,
        "beside.nii.gz": (one, far),
        "nothing.nii.gz": (-one, item.ct.grid),
    }
    for name, content in cases.items():
        if content is not None:
            write_volume(tmp_path / name, *content)
        views.show(loaded_item(kind="attention", attention=tmp_path / name))
        views.show_attention(True)
        wait_for_attention(qtbot, views)
    views.show(loaded_item())
    views.show_attention(True)
    wait_for_attention(qtbot, views)

    assert len(told) == 4
    assert "beside the CT" in told[1]
    assert "no value above 0" in told[2]
    assert "neither a map nor a model" in told[3]


def test_a_run_whose_item_is_left_shows_nothing(views, viewer, qtbot, tmp_path, monkeypatch):
    import threading

    goes_on = threading.Event()

    def explain(*_args, **_options):
        goes_on.wait(20)
        return make_explanation()

    monkeypatch.setattr("napari_hirescam.attention.explain", explain)
    model = make_model(tmp_path / "model")
    views.show(loaded_item(kind="attention", target="mass", model=model))
    views.show_attention(True)

    views.show(loaded_item(2))
    goes_on.set()
    FunctionWorker.await_workers(10000)
    qtbot.wait(20)

    assert not any(layer.name.startswith("attention") for layer in viewer.layers)


# -- beside others ------------------------------------------------------------------------


def test_what_the_user_had_is_hidden_and_comes_back(viewer, qtbot):
    mine = viewer.add_image(np.zeros((10, 20, 30)), name="mine", contrast_limits=(0, 7))
    hidden = viewer.add_image(np.zeros((10, 20, 30)), name="hidden", visible=False)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, 13)
    viewer.layers.selection.active = mine
    before = {
        "wheel": list(viewer.mouse_wheel_callbacks),
        "drag": list(viewer.mouse_drag_callbacks),
        "zoom": viewer.scene.camera.zoom,
        "keys": dict(viewer.keymap),
        "overlays": set(viewer.canvas.overlays),
        "point": tuple(viewer.dims.point),
    }
    views = ReviewViews(viewer)
    views.show(loaded_item())
    assert not mine.visible
    mine.contrast_limits = (0, 3)
    views.toggle_3d()
    wait_for_surface(qtbot, views)

    views.leave()
    views.leave()

    assert list(viewer.layers) == [mine, hidden]
    assert mine.visible
    assert not hidden.visible
    assert mine.contrast_limits == [0, 7]
    assert viewer.dims.order == (1, 0, 2)
    assert viewer.dims.point == pytest.approx(before["point"])
    assert viewer.dims.ndisplay == 2
    assert list(viewer.mouse_wheel_callbacks) == before["wheel"]
    assert list(viewer.mouse_drag_callbacks) == before["drag"]
    assert viewer.scene.camera.zoom == pytest.approx(before["zoom"])
    assert dict(viewer.keymap) == before["keys"]
    assert set(viewer.canvas.overlays) == before["overlays"]
    assert dock_of(viewer) is None
    assert viewer.layers.selection.active is mine
    qtbot.wait(150)  # longer than any timer of the views


def test_a_second_sitting_begins_like_the_first(viewer, qtbot):
    views = ReviewViews(viewer)
    views.show(loaded_item())
    views.leave()

    views.show(loaded_item(2))

    assert views.ct_layer.visible
    assert dock_of(viewer) is not None
    views.leave()
    assert len(viewer.layers) == 0


def test_the_planes_stand_under_the_canvas_only(views, viewer, qtbot):
    views.show(loaded_item())

    main = dock_of(viewer).window()
    assert main.corner(Qt.Corner.BottomRightCorner) == Qt.DockWidgetArea.RightDockWidgetArea
    views.leave()
    assert main.corner(Qt.Corner.BottomRightCorner) == Qt.DockWidgetArea.BottomDockWidgetArea


def test_closing_the_planes_by_their_own_button_ends_nothing_else(views, viewer, qtbot):
    views.show(loaded_item())

    dock = dock_of(viewer)
    with qtbot.waitSignal(dock.destroyed):
        dock.deleteLater()
    views.go_to(PLACE)
    views.show(loaded_item(2))

    assert views.place_mm[0] == pytest.approx(-300 + 14 * 6)


def test_the_planes_step_aside_for_those_of_another_plugin(views, viewer, qtbot, monkeypatch):
    class OrthoViewWidget(QWidget):
        pass

    plugin = types.ModuleType("napari_orthogonal_views")
    plugin.OrthoViewWidget = OrthoViewWidget
    monkeypatch.setitem(sys.modules, "napari_orthogonal_views", plugin)
    views.show(loaded_item())
    dock = dock_of(viewer)
    assert not views._here.dock.aside
    theirs = OrthoViewWidget(dock.window())
    theirs.isVisible = lambda: True

    views.show(loaded_item(2))
    assert views._here.dock.aside
    assert dock.isHidden()
    assert not viewer.layers["crosshair"].visible

    theirs.setParent(None)
    views.show(loaded_item(3))
    assert not dock.isHidden()
    assert viewer.layers["crosshair"].visible


def test_the_other_widget_leaves_the_reviews_layers_alone(views, viewer, qtbot):
    from napari_hirescam.plugin.ct_panel import CtPanel
    from napari_hirescam.plugin.organs_panel import labels_layers

    panel = CtPanel(viewer)
    qtbot.addWidget(panel)
    views.show(loaded_item())

    assert panel.choices() == []
    assert panel.layer is None
    assert labels_layers(viewer) == []
    assert any(isinstance(layer, Labels) for layer in viewer.layers)
    assert any(isinstance(layer, Image) for layer in viewer.layers)
    panel.events.disconnect()
