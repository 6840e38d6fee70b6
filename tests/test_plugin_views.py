"""Side by side and 3-D: what they show, and that leaving them restores what was there."""

from __future__ import annotations

import numpy as np
import pytest
from plugin_cases import make_explanation, make_volume

from napari_hirescam.plugin.ct_layers import layer_from_volume
from napari_hirescam.plugin.map_layers import MapLayers
from napari_hirescam.plugin.map_style import MapKey, MapStyle
from napari_hirescam.plugin.side_by_side import SideBySide
from napari_hirescam.plugin.view_3d import View3D

STYLE = MapStyle()


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def ct(viewer):
    voxels, options, _ = layer_from_volume(make_volume())
    return viewer.add_image(voxels, **options)


@pytest.fixture
def maps(viewer):
    return MapLayers(viewer)


@pytest.fixture
def pair(viewer, maps):
    def right():
        return [layer for key, layer in maps.layers.items() if key.method == "gradcam"]

    return SideBySide(viewer, right)


def _show_both(maps, labels=("nodule",)):
    wanted = [MapKey(label, method) for method in ("hirescam", "gradcam") for label in labels]
    maps.show(make_explanation(), wanted, STYLE)


def _cells(viewer) -> dict[str, list[str]]:
    grid = viewer.canvas.grid
    found: dict[str, list[str]] = {"left": [], "right": []}
    for index, layer in enumerate(viewer.layers):
        row, column = grid.position(index, viewer.layers)
        assert row == 0
        found[("left", "right")[column]].append(layer.name.split(" (")[0])
    return found


def test_each_method_stands_over_a_ct_of_its_own(viewer, ct, maps, pair):
    _show_both(maps, ("nodule", "mass"))
    pair.enter(ct)
    assert viewer.canvas.grid.enabled
    assert _cells(viewer) == {
        "left": ["chest", "HiResCAM: nodule", "HiResCAM: mass"],
        "right": ["chest", "Grad-CAM: nodule", "Grad-CAM: mass"],
    }


def test_other_layers_stay_in_the_left_view_even_if_they_come_later(viewer, ct, maps, pair, qtbot):
    viewer.add_points([[0, 0, 0]], name="my points")
    _show_both(maps)
    pair.enter(ct)
    viewer.add_labels(np.zeros((4, 4, 4), int), name="my labels")
    qtbot.waitUntil(lambda: "my labels" in _cells(viewer)["left"])
    assert _cells(viewer)["right"] == ["chest", "Grad-CAM: nodule"]
    assert "my points" in _cells(viewer)["left"]


def test_a_window_set_on_one_ct_is_set_on_the_other(viewer, ct, maps, pair):
    _show_both(maps)
    pair.enter(ct)
    second = next(layer for layer in viewer.layers if "second view" in layer.name)
    assert second.data is ct.data
    ct.contrast_limits = (-100, 100)
    assert second.contrast_limits == [-100, 100]


def test_leaving_restores_one_view_and_the_users_grid(viewer, ct, maps, pair):
    viewer.canvas.grid.stride = 3
    _show_both(maps)
    pair.enter(ct)
    pair.leave()
    grid = viewer.canvas.grid
    assert (grid.enabled, grid.stride, grid.shape) == (False, 3, (-1, -1))
    (second,) = (layer for layer in viewer.layers if "second view" in layer.name)
    assert not second.visible
    limits = second.contrast_limits
    ct.contrast_limits = (-5, 5)  # the link is gone, too
    assert second.contrast_limits == limits
    assert not pair.active
    # The hidden copy serves the next time, and follows its CT again.
    pair.enter(ct)
    assert second.visible
    assert second.contrast_limits == ct.contrast_limits
    assert sum("second view" in layer.name for layer in viewer.layers) == 1


@pytest.mark.parametrize("which", ["chest", "chest (second view)"])
def test_deleting_either_ct_leaves_the_two_views(viewer, ct, maps, pair, which):
    _show_both(maps)
    pair.enter(ct)
    viewer.layers.remove(which)
    assert not pair.active
    assert not viewer.canvas.grid.enabled
    second = [layer for layer in viewer.layers if "second view" in layer.name]
    # Left hidden when its CT goes, without the CT's voxels.
    assert [(layer.visible, layer.data.size) for layer in second] in ([], [(False, 8)])


def test_titles_fit_their_half_of_the_window(viewer, ct, maps, pair, qtbot):
    long_name = "pulmonary_edema_with_effusion_on_both_sides"
    explanation = make_explanation({long_name: (2, 1, 5)})
    wanted = [MapKey(long_name, method) for method in ("hirescam", "gradcam")]
    maps.show(explanation, wanted, STYLE)
    pair.enter(ct)
    viewer.canvas.size = (600, 2400)
    titles = [layer.name_overlay for layer in maps.layers.values()]
    qtbot.waitUntil(lambda: [title.font_size for title in titles] == [10, 10])
    viewer.canvas.size = (600, 1000)
    qtbot.waitUntil(lambda: all(6 < title.font_size < 10 for title in titles))
    viewer.canvas.size = (600, 300)
    qtbot.waitUntil(lambda: [title.font_size for title in titles] == [6, 6])


def test_3d_looks_from_the_front_with_the_head_up_and_goes_back(viewer, ct):
    before = {
        name: getattr(ct, name)
        for name in ("rendering", "attenuation", "contrast_limits", "opacity")
    }
    viewer.scene.camera.zoom = 2.5
    view = View3D(viewer)
    view.enter([ct])
    camera = viewer.scene.camera
    assert viewer.dims.ndisplay == 3
    # Towards posterior, and up is against inferior.
    assert np.argmax(np.abs(camera.view_direction)) == 1
    assert camera.view_direction[1] > 0
    assert camera.up_direction[0] < -0.9
    view.leave()
    assert viewer.dims.ndisplay == 2
    assert viewer.scene.camera.zoom == pytest.approx(2.5)
    assert {name: getattr(ct, name) for name in before} == before
    assert not view.active


def test_leaving_3d_does_not_mind_a_ct_that_was_deleted(viewer, ct):
    view = View3D(viewer)
    view.enter([ct])
    viewer.layers.remove(ct)
    view.leave()
    assert viewer.dims.ndisplay == 2
