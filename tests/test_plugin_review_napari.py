"""The reviewer's view in a real napari window: what is drawn, and what is left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.qt.threading import FunctionWorker
from plugin_cases import make_volume

from napari_hirescam.plugin.reviewing.views import ReviewViews
from napari_hirescam.review.item import Item
from napari_hirescam.review.loading import LoadedItem

VOXEL = (15, 12, 29)
PLACE = (-300.0 + 15 * 6, -80.0 + 12 * 4, -70.0 + 29 * 4)


@pytest.fixture
def viewer(make_napari_viewer):
    yield make_napari_viewer(show=True)  # hidden, its canvas would stay black
    FunctionWorker.await_workers(10000)


@pytest.fixture
def loaded() -> LoadedItem:
    ct = make_volume()
    ct.voxels[ct.voxels > -500] = 0
    ct.voxels[VOXEL] = 3000
    mask = np.zeros(ct.voxels.shape, bool)
    mask[8:20, 10:30, 12:34] = True
    item = Item(1, "c", "p", "mask", "heart", Path("/ct.nii"), mask=Path("/mask.nii"))
    return LoadedItem(item, ct, mask, None, "ab", (), ("/ct.nii", ""))


def seen(viewer) -> np.ndarray:
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def pixel_of(viewer, place) -> tuple[int, int]:
    camera, size = viewer.scene.camera, np.array(viewer.canvas.size)
    inside = np.array([place[axis] for axis in viewer.dims.displayed])
    row, column = (inside - camera.center[-2:]) * camera.zoom + size / 2
    return int(row), int(column)


def test_a_point_of_known_place_is_drawn_at_it_in_all_planes(viewer, loaded, qtbot):
    views = ReviewViews(viewer)
    views.show(loaded)
    views.go_to(PLACE)
    beside = np.array(PLACE)

    for normal in (0, 1, 2):
        views.planes.take(normal)
        picture = seen(viewer)
        row, column = pixel_of(viewer, PLACE)
        assert picture[row, column].min() > 200, normal
        step = int(14 * viewer.scene.camera.zoom)
        assert picture[row - step, column - step].max() < 180, normal
        for view in views.planes.views:
            if view.plane.normal != normal:
                drawn, pixel = view.grab().toImage(), view.pixel_of(beside)
                assert drawn.pixelColor(int(pixel.x()), int(pixel.y())).red() > 200
    views.toggle_mask()
    without = seen(viewer)
    views.toggle_mask()
    outline = (seen(viewer) != without).any(axis=-1)
    assert 50 < outline.sum() < outline.size / 4

    # The window as a whole closes with the item on the screen: make_napari_viewer looks for
    # what is left of it.
    planes = views.planes
    viewer.close()
    qtbot.wait(150)  # longer than any timer of the views
    assert planes.events._connected == []
    views.abandon()


def test_the_surface_is_drawn_in_3d_and_leaving_gives_the_window_back(viewer, loaded, qtbot):
    views = ReviewViews(viewer)
    docks = set(viewer.window.dock_widgets)
    views.show(loaded)

    views.toggle_3d()
    qtbot.waitUntil(lambda: "surface: heart" in viewer.layers, timeout=15000)

    picture = seen(viewer)
    red, blue = picture[..., 0], picture[..., 2]
    golden = red > 2 * blue + 40
    assert golden.mean() > 0.05
    middle = picture.shape[1] // 2
    assert golden[:, middle - 20 : middle + 20].any()

    views.leave()
    qtbot.wait(150)
    assert len(viewer.layers) == 0
    assert viewer.dims.ndisplay == 2
    assert set(viewer.window.dock_widgets) == docks
