"""Searching a CT from the window: start, progress, cancel, the list, and going to a place."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.qt.threading import FunctionWorker
from qtpy.QtCore import Qt
from test_sweep import BrightMiddle, searcher, spots

from napari_hirescam.errors import Cancelled, InputError
from napari_hirescam.plugin.ct_layers import is_map_or_copy, layer_from_volume
from napari_hirescam.plugin.hit_model import LEFT, POSTERIOR, RANK, SLICE, SUPERIOR
from napari_hirescam.plugin.sweep_layers import SCORES, STITCHED
from napari_hirescam.plugin.sweep_panel import SweepPanel
from napari_hirescam.plugin.window_box import WindowBox

PLACES = [(8, 25, 5), (2, 5, 25)]
#: (I, P, L) mm of the first.
BEST = (16.0, 25.0, 5.0)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def ct(viewer):
    volume = spots(*PLACES)
    volume.voxels[...] = volume.voxels * 1000
    volume.voxels[0, 0, 0] = -1000
    data, options, _ = layer_from_volume(volume)
    return viewer.add_image(data, **options)


@pytest.fixture
def classifier():
    return searcher(window_hu=(0, 1000), scale_to=(0, 1))


@pytest.fixture
def window(viewer, qtbot):
    window = WindowBox(viewer, interval_ms=1)
    yield window
    window.events.disconnect()


@pytest.fixture
def panel(viewer, ct, classifier, window, qtbot):
    panel = SweepPanel(viewer, window)
    qtbot.addWidget(panel)
    window.show(ct, classifier.spec.input)
    panel.set_subject(ct, classifier)
    panel.stride.setValue(4.0)
    yield panel
    panel.abandon()
    panel.layers.events.disconnect()
    FunctionWorker.await_workers(10000)


def search(qtbot, panel) -> None:
    panel.button.click()
    qtbot.waitUntil(lambda: panel.job is None, timeout=20000)


def cell(panel, row: int, column: int) -> str:
    return panel.hits.data(panel.hits.index(row, column))


def test_a_search_lists_the_places_with_their_position_and_slice(qtbot, panel) -> None:
    found = []
    panel.found.connect(lambda volume, result: found.append((volume, result)))
    search(qtbot, panel)
    inferior, posterior, left = BEST
    assert cell(panel, 0, RANK) == "1"
    assert cell(panel, 0, LEFT) == f"{left:.1f}"
    assert cell(panel, 0, POSTERIOR) == f"{posterior:.1f}"
    assert cell(panel, 0, SUPERIOR) == f"{-inferior:.1f}"
    assert cell(panel, 0, SLICE) == "8"
    assert "windows scored" in panel.text
    ((volume, result),) = found
    assert volume.name == "spots"
    assert result is panel.result
    assert result.hits[0].centre_mm == BEST


@pytest.mark.parametrize("how", ["enter", "click"])
def test_choosing_a_row_brings_slices_camera_and_window_there(qtbot, panel, viewer, how) -> None:
    search(qtbot, panel)
    jumped = []
    panel.jumped.connect(jumped.append)
    index = panel.table.model().index(0, 1)
    if how == "enter":
        panel.table.setCurrentIndex(index)
        qtbot.keyClick(panel.table, Qt.Key.Key_Return)
    else:
        panel.table.clicked.emit(index)
    assert viewer.dims.point == pytest.approx(BEST)
    assert viewer.scene.camera.center[-2:] == pytest.approx(BEST[1:])
    assert panel._window.at_mm == BEST
    assert jumped == [BEST]


@pytest.mark.parametrize(("order", "shown"), [((1, 0, 2), (0, 2)), ((2, 0, 1), (0, 1))])
def test_going_to_a_place_centres_it_in_any_view(qtbot, panel, viewer, order, shown) -> None:
    search(qtbot, panel)
    viewer.dims.order = order
    panel.go_to(panel.result.hits[0])
    assert viewer.scene.camera.center[-2:] == pytest.approx([BEST[axis] for axis in shown])


def test_rows_sort_by_number_not_by_text(qtbot, panel) -> None:
    search(qtbot, panel)
    assert panel.hits.rowCount() > 10
    panel.table.sortByColumn(RANK, Qt.SortOrder.DescendingOrder)
    ranks = [
        int(panel.table.model().index(row, RANK).data()) for row in range(panel.hits.rowCount())
    ]
    assert ranks == sorted(ranks, reverse=True)


def test_the_layers_lie_in_the_cts_frame_above_it_and_are_no_cts(qtbot, panel, viewer, ct) -> None:
    search(qtbot, panel)
    scores, stitched = panel.layers.layers[SCORES], panel.layers.layers[STITCHED]
    best = np.unravel_index(np.nanargmax(scores.data), scores.data.shape)
    assert scores.data_to_world(best) == pytest.approx(BEST)
    assert scores.visible
    assert not stitched.visible
    names = [layer.name for layer in viewer.layers]
    assert names[0] == ct.name
    # The window's own layers stay on top of the search's.
    assert set(names[-2:]) == {"window", "window centre"}
    assert all(is_map_or_copy(layer) for layer in (scores, stitched))
    assert stitched.contrast_limits[0] == -stitched.contrast_limits[1]
    panel.show_map.setChecked(True)
    panel.show_scores.setChecked(False)
    assert stitched.visible
    assert not scores.visible


def test_every_column_fits_into_the_table(qtbot, panel) -> None:
    search(qtbot, panel)
    panel.resize(panel.minimumSizeHint().width(), 600)
    panel.show()
    header = panel.table.horizontalHeader()
    assert header.length() <= panel.table.viewport().width()
    assert header.sectionSize(SLICE) >= 30


def test_a_second_search_reuses_the_layers(qtbot, panel, viewer) -> None:
    search(qtbot, panel)
    before, n = panel.layers.layers, len(viewer.layers)
    panel.label.setCurrentText("label 0")
    search(qtbot, panel)
    assert panel.layers.layers == before
    assert len(viewer.layers) == n
    assert "label 0" in before[SCORES].name


def test_a_layer_the_user_deleted_is_made_again(qtbot, panel, viewer) -> None:
    search(qtbot, panel)
    viewer.layers.remove(panel.layers.layers[SCORES])
    panel.show_scores.setChecked(False)
    panel.show_scores.setChecked(True)
    search(qtbot, panel)
    assert panel.layers.layers[SCORES] in viewer.layers


def test_another_model_clears_what_was_found(qtbot, panel, ct) -> None:
    search(qtbot, panel)
    panel.set_subject(ct, searcher(BrightMiddle()))
    assert panel.result is None
    assert panel.hits.rowCount() == 0
    assert not any(layer.visible for layer in panel.layers.layers.values())


class Waiting:
    """Stands in for `sweep`: searches until it is told to stop."""

    def __init__(self) -> None:
        self.started = threading.Event()

    def __call__(self, _volume, _classifier, _label, *, stride_mm, progress, should_stop):
        progress(3, 10)
        self.started.set()
        patience = threading.Event()
        while not should_stop():
            patience.wait(0.005)
        raise Cancelled("stopped")


def test_a_search_shows_its_progress_and_can_be_cancelled(qtbot, panel, monkeypatch) -> None:
    waiting = Waiting()
    monkeypatch.setattr("napari_hirescam.attention.sweep.sweep", waiting)
    busy = []
    panel.busy_changed.connect(lambda: busy.append(panel.job is not None))
    panel.button.click()
    qtbot.waitUntil(lambda: panel._bar.value() == 3)
    assert panel.button.text() == "Cancel the search"
    assert not panel.label.isEnabled()
    panel.button.click()
    assert not panel.button.isEnabled()
    qtbot.waitUntil(lambda: panel.job is None)
    assert panel.text == "The search was cancelled."
    assert panel.result is None
    assert panel.button.text() == "Search the whole CT"
    assert panel.button.isEnabled()
    assert busy == [True, False]


def test_another_model_ends_a_search_that_is_going_on(qtbot, panel, ct, monkeypatch) -> None:
    waiting = Waiting()
    monkeypatch.setattr("napari_hirescam.attention.sweep.sweep", waiting)
    panel.button.click()
    qtbot.waitUntil(waiting.started.is_set)
    panel.set_subject(ct, searcher())
    assert panel.job is None
    assert panel.button.isEnabled()


def test_a_search_of_a_ct_that_is_deleted_stops_and_says_so(
    qtbot, panel, viewer, ct, monkeypatch
) -> None:
    """Layers added for a CT that was gone have been seen to crash napari's drawing."""
    waiting = Waiting()
    monkeypatch.setattr("napari_hirescam.attention.sweep.sweep", waiting)
    panel.button.click()
    qtbot.waitUntil(waiting.started.is_set)
    layers = len(viewer.layers)
    viewer.layers.remove(ct)
    assert panel.job is None
    assert "removed" in panel._text.text()
    assert panel.button.text() == "Search the whole CT"
    qtbot.wait(50)
    assert len(viewer.layers) == layers - 1


def test_what_was_found_goes_with_its_ct(qtbot, panel, viewer, ct) -> None:
    search(qtbot, panel)
    assert panel.hits.rowCount() > 0
    viewer.layers.remove(ct)
    assert panel.hits.rowCount() == 0
    assert not any(layer.visible for layer in panel.layers.layers.values())


def test_a_search_that_fails_says_why_and_can_be_tried_again(qtbot, panel, monkeypatch) -> None:
    def fail(*_args, **_kwargs):
        raise InputError("spots", "is too small", "Use another")

    monkeypatch.setattr("napari_hirescam.attention.sweep.sweep", fail)
    errors = []
    panel.failed.connect(errors.append)
    search(qtbot, panel)
    assert [error.reason for error in errors] == ["is too small"]
    assert panel.button.isEnabled()


@pytest.mark.parametrize(
    ("ct_there", "model", "words"),
    [
        (True, None, "Open a model"),
        (True, "whole", "sees the whole CT"),
        (False, "window", "Open a CT"),
    ],
)
def test_what_is_missing_is_said(panel, ct, classifier, ct_there, model, words) -> None:
    models = {None: None, "window": searcher(), "whole": searcher()}
    if model == "whole":
        spec = models["whole"].spec
        whole = spec.input.model_copy(update={"fit": "centre"})
        models["whole"].spec = spec.model_copy(update={"input": whole})
    panel.set_subject(ct if ct_there else None, models[model])
    assert words in panel.text
    assert not panel.button.isEnabled()
    panel.set_subject(ct, classifier)
    assert panel.text == ""
    assert panel.button.isEnabled()


def test_of_two_labels_the_finding_is_offered_first(panel) -> None:
    assert panel.label.currentText() == "label 1"
    panel.choose_label("label 0")
    assert panel.label.currentText() == "label 0"
