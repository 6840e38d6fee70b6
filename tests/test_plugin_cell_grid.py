"""The borders of the cells: where they are in the patient, and when they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Vectors

from napari_hirescam.plugin.cell_grid import CellGrid, border_lines
from napari_hirescam.plugin.ct_layers import UNITS
from napari_hirescam.volume import Grid

SPACING = (12.0, 20.0, 10.0)
ORIGIN = np.array([-290.0, -70.0, -60.0])


@pytest.fixture
def cells() -> Grid:
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = ORIGIN
    return Grid((7, 6, 8), affine)


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(
        np.zeros((60, 60, 60), np.int16),
        scale=(2, 3, 3),
        translate=tuple(ORIGIN - 20),
        units=UNITS,
        name="CT",
    )
    return viewer


def _drawn_mm(layer: Vectors) -> np.ndarray:
    """Both ends of each drawn line in mm, [n, 2, 3]."""
    starts = np.array([layer.data_to_world(start) for start in layer.data[:, 0]])
    ends = np.array([layer.data_to_world(start + step) for start, step in layer.data])
    return np.stack([starts, ends], axis=1)


@pytest.mark.parametrize("normal", [0, 1, 2])
def test_each_border_lies_half_a_cell_from_the_centres_on_either_side(cells, normal):
    lines = border_lines(cells, normal)
    plane = [axis for axis in range(3) if axis != normal]
    assert len(lines) == sum(cells.shape[axis] + 1 for axis in plane)
    ends = lines[:, 0] + lines[:, 1]
    low = ORIGIN - np.array(SPACING) / 2
    high = low + np.array(SPACING) * cells.shape
    for axis in plane:
        np.testing.assert_allclose(lines[:, 0, axis].min(), low[axis])
        np.testing.assert_allclose(ends[:, axis].max(), high[axis])
        across = np.unique(lines[lines[:, 1, axis] == 0][:, 0, axis])
        np.testing.assert_allclose(across, low[axis] + SPACING[axis] * np.arange(len(across)))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_the_layer_puts_them_there_in_mm_for_each_way_of_slicing(viewer, cells, order):
    viewer.dims.order = order
    grid = CellGrid(viewer)
    grid.show(cells)
    drawn, expected = _drawn_mm(grid.layer), border_lines(cells, order[0])
    plane = list(order[1:])
    np.testing.assert_allclose(drawn[:, 0][:, plane], expected[:, 0][:, plane], atol=1e-6)
    np.testing.assert_allclose(drawn[:, 1][:, plane], expected.sum(axis=1)[:, plane], atol=1e-6)


def test_lines_are_seen_in_each_slice_of_the_map_and_in_no_other(viewer, cells):
    grid = CellGrid(viewer)
    grid.show(cells)
    first = ORIGIN[0] - SPACING[0] / 2
    last = first + SPACING[0] * cells.shape[0]

    def seen_at(inferior: float) -> int:
        viewer.dims.set_point(0, inferior)
        return len(grid.layer._view_indices)

    n = len(grid.layer.data)
    assert [seen_at(x) for x in (first + 1, ORIGIN[0] + 30, last - 1)] == [n, n, n]
    assert [seen_at(x) for x in (first - 3, last + 3)] == [0, 0]


def test_turning_the_view_draws_the_other_plane(viewer, cells):
    grid = CellGrid(viewer)
    grid.show(cells)
    layer = grid.layer
    viewer.dims.order = (1, 0, 2)
    assert grid.layer is layer
    assert len(layer.data) == (7 + 1) + (8 + 1)


def test_lines_leave_the_three_dimensional_view_and_come_back(viewer, cells):
    grid = CellGrid(viewer)
    grid.show(cells)
    viewer.dims.ndisplay = 3
    assert not grid.layer.visible
    viewer.dims.ndisplay = 2
    assert grid.layer.visible


def test_the_sliders_keep_the_steps_of_the_ct(viewer, cells):
    before = [r.step for r in viewer.dims.range]
    CellGrid(viewer).show(cells)
    assert [r.step for r in viewer.dims.range] == before


def test_hiding_keeps_one_layer_for_the_next_map(viewer, cells):
    grid = CellGrid(viewer)
    viewer.layers.selection.active = viewer.layers["CT"]
    grid.show(cells)
    assert viewer.layers.selection.active.name == "CT"
    grid.hide()
    assert not grid.layer.visible
    finer = Grid((14, 12, 16), cells.affine @ np.diag([0.5, 0.5, 0.5, 1]))
    grid.show(finer)
    assert [layer.name for layer in viewer.layers] == ["CT", "cells of the map"]
    assert len(grid.layer.data) == 13 + 17


def test_lines_are_one_pixel_wide_however_near_the_camera(viewer, cells, qtbot):
    grid = CellGrid(viewer)
    grid.show(cells)

    def pixels() -> float:
        layer = grid.layer
        return layer.edge_width * min(layer.scale) * viewer.scene.camera.zoom

    wide = pixels()
    viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: abs(pixels() - wide) < 0.1 * wide)


def test_a_grid_the_user_deletes_is_told_and_can_be_asked_for_again(viewer, cells, qtbot):
    grid = CellGrid(viewer)
    grid.show(cells)
    with qtbot.waitSignal(grid.removed):
        viewer.layers.remove(grid.layer)
    assert grid.layer is None
    grid.show(cells)
    assert grid.layer in viewer.layers
