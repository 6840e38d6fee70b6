"""Grey windows: the usual ones, the file's, by key, by drag, and shared by all CTs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.settings import get_plugin_settings
from napari.utils.key_bindings import KeymapProvider
from napari.utils.shortcuts import default_shortcuts
from plugin_cases import make_volume
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_hirescam.ct_windows import PRESETS
from napari_hirescam.plugin.ct_layers import layer_from_volume
from napari_hirescam.plugin.grey_windows import (
    CHEST,
    ends_of,
    first_window,
    usable_windows,
    window_between,
    words,
)
from napari_hirescam.plugin.linked_windows import LinkedWindows
from napari_hirescam.plugin.patient_layers import PatientLayers
from napari_hirescam.plugin.view_panel import ViewPanel
from napari_hirescam.plugin.view_tools import COPY_KEY, FILE_KEY, PRESET_KEYS, view_tools_of
from napari_hirescam.plugin.widget import HiResCAMWidget
from napari_hirescam.plugin.window_drag import dragged
from napari_hirescam.source import DisplayWindow, Source
from napari_hirescam.volume import Quantity, Volume

KIDNEY = DisplayWindow("KIDNEY", 35, 380)
UNNAMED = DisplayWindow("", -500, 1400)


def _chest() -> Volume:
    volume = make_volume()
    volume.voxels[8:16, 10:30, 10:30] = -850
    return volume


def _asking(*windows: DisplayWindow) -> Volume:
    volume = make_volume()
    source = Source(Path("ct"), "DICOM", volume.grid, "LPS", windows=windows)
    return replace(volume, source=source)


# -- which window a CT opens in --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("lung", -1350, 150),
        ("mediastinum", -125, 225),
        ("soft_tissue", -160, 240),
        ("bone", -500, 1300),
        ("liver", -45, 105),
        ("brain", 0, 80),
    ],
)
def test_presets_are_those_of_the_textbooks(name, low, high):
    assert ends_of(PRESETS[name]) == (low, high)
    assert window_between(low, high).name == PRESETS[name].name


def test_a_chest_opens_in_a_window_that_saturates_neither_lung_nor_mediastinum():
    window = first_window(_chest())
    assert window == CHEST
    low, high = ends_of(window)
    for hu in (-900, -700, 40, 300):  # emphysema, lung, muscle, vessels full of contrast medium
        assert 0.05 < (hu - low) / (high - low) < 0.95


def test_what_is_no_chest_opens_in_the_window_of_soft_tissue():
    assert first_window(make_volume()) == PRESETS["soft_tissue"]


def test_air_around_the_patient_makes_no_chest():
    volume = make_volume()
    volume.voxels[:1] = -940  # foam and clothes, of the density of lung
    assert first_window(volume) == PRESETS["soft_tissue"]


def test_the_file_is_asked_before_the_content_and_the_user_before_the_file():
    volume = _asking(KIDNEY, UNNAMED)
    assert first_window(volume) == KIDNEY
    assert first_window(volume, "bone") == PRESETS["bone"]
    assert first_window(volume, "automatic") == KIDNEY


def test_windows_that_show_nothing_are_not_taken_from_a_file():
    nothing = [DisplayWindow("", 40, 0), DisplayWindow("", float("nan"), 400)]
    assert usable_windows([*nothing, KIDNEY, KIDNEY]) == (KIDNEY,)
    assert first_window(_asking(*nothing)) == PRESETS["soft_tissue"]


def test_values_that_are_not_hu_get_a_window_of_their_own_whatever_is_preferred():
    values = np.linspace(0, 1, 1000).reshape(10, 10, 10)
    volume = Volume(values, np.eye(4), quantity=Quantity.UNKNOWN)
    low, high = ends_of(first_window(volume, "lung"))
    assert 0 <= low < high <= 1
    flat = Volume(np.zeros((3, 3, 3)), np.eye(4), quantity=Quantity.UNKNOWN)
    assert ends_of(first_window(flat)) == (0, 1)


def test_a_window_is_written_as_radiologists_do():
    assert words(PRESETS["lung"]) == "W 1500 L -600  Lung"
    assert words(window_between(-10, 91)) == "W 101 L 40.5"


# -- linked CTs --------------------------------------------------------------------------------


@pytest.fixture
def model(qapp) -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def windows(model) -> LinkedWindows:
    return LinkedWindows(model, PatientLayers(model))


def _add(viewer, volume: Volume, **changes) -> Image:
    voxels, options, _ = layer_from_volume(volume)
    return viewer.add_layer(Image(voxels, **{**options, **changes}))


def test_a_window_set_on_one_ct_by_whatever_means_is_set_on_all(model, windows):
    first, second = _add(model, make_volume()), _add(model, make_volume())
    second.contrast_limits = (-70, 30)  # napari's own slider, say
    assert first.contrast_limits == [-70, 30]
    assert windows.window == DisplayWindow("", -20, 100)
    first.contrast_limits = (0, 80)
    assert second.contrast_limits == [0, 80]
    assert windows.window == PRESETS["brain"]


def test_a_ct_that_joins_linked_ones_takes_their_window(model, windows):
    first = _add(model, make_volume())
    first.contrast_limits = (-70, 30)
    assert _add(model, _asking(KIDNEY)).contrast_limits == [-70, 30]


def test_unlinked_cts_keep_their_windows_until_they_are_linked_again(model, windows):
    first, second = _add(model, make_volume()), _add(model, make_volume())
    windows.linked = False
    windows.choose(PRESETS["bone"])
    assert second.contrast_limits == list(ends_of(PRESETS["bone"]))
    assert first.contrast_limits == list(ends_of(PRESETS["soft_tissue"]))
    windows.linked = True
    assert first.contrast_limits == second.contrast_limits


def test_layers_that_are_no_ct_of_ours_are_never_touched(model, windows):
    foreign = model.add_image(make_volume().voxels, contrast_limits=(-1, 1))
    mr = _add(model, replace(make_volume(), quantity=Quantity.UNKNOWN))
    before = list(mr.contrast_limits)
    _add(model, make_volume())
    windows.choose(PRESETS["lung"])
    assert foreign.contrast_limits == [-1, 1]
    assert mr.contrast_limits == before


def test_the_selected_ct_is_the_one_that_is_told_and_set(model, windows):
    windows.linked = False
    first, second = _add(model, make_volume()), _add(model, make_volume())
    model.layers.selection.active = first
    windows.choose(PRESETS["bone"])
    assert first.contrast_limits == [-500, 1300]
    assert second.contrast_limits == [-160, 240]
    first.visible = False
    assert windows.window == PRESETS["soft_tissue"]


def test_a_window_wider_than_the_slider_is_not_cut_off(model, windows):
    ct = _add(model, make_volume())
    windows.choose(DisplayWindow("", 0, 20000))
    assert ct.contrast_limits == [-10000, 10000]


def test_without_a_ct_there_is_nothing_to_set(model, windows):
    assert windows.window is None
    assert not windows.choose_preset("lung")


def test_the_windows_of_the_file_follow_each_other(model, windows):
    _add(model, _asking(KIDNEY, UNNAMED))
    seen = []
    for _ in range(3):
        assert windows.choose_next_of_file()
        seen.append(windows.window)
    assert seen == [UNNAMED, KIDNEY, UNNAMED]  # it opened in the first


def test_a_drag_to_the_right_widens_and_downwards_raises_the_centre():
    lung = PRESETS["lung"]
    assert dragged(lung, 300, 0) == DisplayWindow("", -600, 3000)
    assert dragged(lung, 0, 30) == DisplayWindow("", -450, 1500)
    assert dragged(lung, -10_000, 0).width == 1.0


# -- keys, mouse, panel --------------------------------------------------------------------------


def test_no_key_of_ours_is_one_of_naparis():
    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    assert not taken & {*PRESET_KEYS, FILE_KEY, COPY_KEY}
    # Nor of any layer's, which come after the viewer's own.
    for provider in KeymapProvider.__subclasses__():
        assert not {str(key) for key in provider.class_keymap} & set(PRESET_KEYS)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer, plugin_settings) -> HiResCAMWidget:
    widget = HiResCAMWidget(viewer)
    viewer.window.add_dock_widget(widget, name="HiResCAM")
    return widget


def _canvas(widget: QWidget) -> QWidget:
    (canvas,) = (
        child
        for child in widget.window().findChildren(QWidget)
        if type(child).__name__ == "CanvasBackendDesktop"
    )
    return canvas


def test_keys_choose_presets_wherever_the_focus_is(viewer, widget, qtbot):
    ct = _add(viewer, _asking(KIDNEY))
    for focused in (_canvas(widget), widget.ct):
        for key, name in PRESET_KEYS.items():
            QTest.keyClick(focused, getattr(Qt.Key, f"Key_{key}"))
            assert ct.contrast_limits == list(ends_of(PRESETS[name]))
    QTest.keyClick(_canvas(widget), Qt.Key.Key_F8)
    assert widget.tools.windows.window == KIDNEY
    assert widget.sections["view"].header.text().endswith("W 380 L 35  KIDNEY")


DRAGS = {
    "ctrl+left": (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier, True),
    "middle": (Qt.MouseButton.MiddleButton, Qt.KeyboardModifier.NoModifier, True),
    "left, which pans": (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, False),
}


def test_a_drag_over_the_canvas_sets_the_window_and_leaves_the_camera(viewer, widget, qtbot):
    ct = _add(viewer, make_volume())
    viewer.fit_to_view()
    viewer.screenshot(flash=False)
    canvas, camera = _canvas(widget), viewer.scene.camera
    start, end = QPoint(150, 150), QPoint(210, 135)
    for name, (button, modifier, ours) in DRAGS.items():
        widget.tools.windows.choose(PRESETS["soft_tissue"])
        before = (camera.center, camera.zoom)
        QTest.mousePress(canvas, button, modifier, start)
        for k in range(1, 4):
            qtbot.wait(15)  # what comes quicker is not heard
            _move(canvas, start + (end - start) * k / 3, button, modifier)
        QTest.mouseRelease(canvas, button, modifier, end)
        # 400 wide: a fifth wider, 20 lower.
        set_to = DisplayWindow("", 20, 480) if ours else PRESETS["soft_tissue"]
        assert ct.contrast_limits == list(ends_of(set_to)), name
        assert ((camera.center, camera.zoom) != before) is not ours, name


def _move(canvas: QWidget, at: QPoint, button, modifier) -> None:
    """Qt's own test helper moves the mouse without its buttons."""
    spot = QPointF(at)
    where = QPointF(canvas.mapToGlobal(at))
    event = QMouseEvent(
        QEvent.Type.MouseMove, spot, where, Qt.MouseButton.NoButton, button, modifier
    )
    QApplication.sendEvent(canvas, event)


def test_two_widgets_share_the_tools_and_the_last_one_takes_them_away(viewer, widget):
    _add(viewer, make_volume())
    texts = set(viewer.canvas.overlays)
    drags, keys = len(viewer.mouse_drag_callbacks), set(viewer.keymap)
    second = HiResCAMWidget(viewer)
    viewer.window.add_dock_widget(second, name="another")
    assert second.tools is widget.tools
    assert set(viewer.canvas.overlays) == texts
    assert len(viewer.mouse_drag_callbacks) == drags
    tools = widget.tools
    tools.release(id(second))
    assert tools.letters.shown.right == "L"
    tools.release(id(widget))
    tools.release(id(widget))  # once more does no harm
    assert not [name for name in viewer.canvas.overlays if name.startswith("hirescam")]
    assert len(viewer.mouse_drag_callbacks) == drags - 1
    assert {str(key) for key in keys - set(viewer.keymap)} == {*PRESET_KEYS, FILE_KEY, COPY_KEY}
    assert view_tools_of(viewer) is not tools
    view_tools_of(viewer).release(0)


def test_closing_the_widget_leaves_the_viewer_without_letters_readout_and_keys(
    viewer, widget, qtbot
):
    ct = _add(viewer, make_volume())
    window = list(ct.contrast_limits)
    assert [name for name in viewer.canvas.overlays if name.startswith("hirescam")]
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(
        lambda: not [name for name in viewer.canvas.overlays if name.startswith("hirescam")]
    )
    assert "F2" not in {str(key) for key in viewer.keymap}
    assert ct.contrast_limits == window
    other = _add(viewer, make_volume())
    other.contrast_limits = (0, 1)
    assert ct.contrast_limits == window


def test_a_key_the_user_has_bound_stays_the_users(model):
    mine = lambda _viewer: None  # noqa: E731 - as a user would in a console
    model.bind_key("F3", mine)
    tools = view_tools_of(model)
    tools.take(1, list)
    assert mine in model.keymap.values()
    tools.release(1)
    assert mine in model.keymap.values()


def test_the_panel_switches_each_thing_off_and_on(model, plugin_settings, qtbot):
    _add(model, make_volume())
    tools = view_tools_of(model)
    tools.take(1, list)
    panel = ViewPanel(tools)
    qtbot.addWidget(panel)
    panel.letters.setChecked(False)
    assert tools.letters.shown.right == ""
    panel.readout.setChecked(False)
    assert not tools.readout.on
    panel.link_windows.setChecked(False)
    assert not tools.windows.linked
    panel.letters.setChecked(True)
    assert tools.letters.shown.right == "L"
    tools.release(1)


def test_what_is_switched_and_preferred_is_remembered(model, plugin_settings, npe2pm, qtbot):
    from npe2 import PluginManifest

    root = Path(__file__).resolve().parents[1]
    npe2pm.register(PluginManifest.from_file(root / "napari.yaml"))
    tools = view_tools_of(model)
    tools.take(1, list)
    panel = ViewPanel(tools)
    qtbot.addWidget(panel)
    panel.letters.setChecked(False)
    panel._prefer("bone")
    again = ViewPanel(tools)
    qtbot.addWidget(again)
    assert not again.letters.isChecked()
    assert again.readout.isChecked()
    assert get_plugin_settings("napari-hirescam").view.grey_window == "bone"
    assert layer_from_volume(_asking(KIDNEY))[1]["contrast_limits"] == (-500, 1300)
    tools.release(1)


def test_a_panel_that_comes_back_leaves_unlinked_cts_as_they_are(
    model, plugin_settings, npe2pm, qtbot
):
    from npe2 import PluginManifest

    root = Path(__file__).resolve().parents[1]
    npe2pm.register(PluginManifest.from_file(root / "napari.yaml"))
    get_plugin_settings("napari-hirescam").view.link_windows = False
    first = _add(model, make_volume(), contrast_limits=(-500, 1300))
    second = _add(model, make_volume(), contrast_limits=(0, 80))
    tools = view_tools_of(model)
    tools.take(1, list)
    panel = ViewPanel(tools)
    qtbot.addWidget(panel)
    assert first.contrast_limits == [-500, 1300]
    assert second.contrast_limits == [0, 80]
    tools.release(1)
