"""An edit from its first stroke to the file: opened, painted, rescued, written, and undone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from review_cases import BOX, ORIGIN_MM, SHAPE, SPACING_MM, make_items, make_review
from review_edit_process import PATH, READER

from napari_hirescam import read_volume
from napari_hirescam.errors import ReviewError, VolumeError
from napari_hirescam.plugin.reviewing.edit_keys import EDIT_KEYS
from napari_hirescam.plugin.reviewing.edit_panel import EditPanel
from napari_hirescam.plugin.reviewing.mask_operations import OPERATIONS, Operation
from napari_hirescam.plugin.reviewing.rescue_bar import RescueBar
from napari_hirescam.review.item import Item
from napari_hirescam.review.loading import load_item
from napari_hirescam.review.review_file import ReviewFile

#: A voxel of the body outside of the organ, and its place in the patient (I, P, L).
OUTSIDE = (4, 8, 30)
OUTSIDE_MM = tuple(o + s * k for o, s, k in zip(ORIGIN_MM, SPACING_MM, OUTSIDE, strict=True))
WHERE_EDITED = "napari_hirescam.review.edited_masks.write_edit"


@pytest.fixture(scope="session")
def items(tmp_path_factory) -> list[Item]:
    """One lung whose mask is the block `BOX`; written once."""
    import monai.metrics  # noqa: F401 - its first import takes longer than a test waits

    return make_items(tmp_path_factory.mktemp("cases"), 1)


@pytest.fixture
def review(tmp_path, items) -> Path:
    return make_review(tmp_path / "review.db", items)


@pytest.fixture
def loaded(review):
    with ReviewFile.open(review) as open_review:
        return load_item(open_review.item(1))


@pytest.fixture
def viewer():
    """Layers without a window, which takes seconds to open."""
    yield ViewerModel()
    FunctionWorker.await_workers(60000)


def make_panel(qtbot, viewer) -> EditPanel:
    panel = EditPanel(viewer)
    qtbot.addWidget(panel, before_close_func=lambda widget: widget.suspend())
    return panel


@pytest.fixture
def panel(qtbot, viewer) -> EditPanel:
    return make_panel(qtbot, viewer)


@pytest.fixture
def told(panel) -> list[str]:
    sentences: list[str] = []
    panel.told.connect(sentences.append)
    return sentences


def begin(qtbot, panel, loaded, review, reader="ann"):
    with qtbot.waitSignal(panel.ready, timeout=60000):
        panel.begin(loaded, review, reader)
    return panel.layer


@pytest.fixture
def layer(qtbot, panel, told, loaded, review):
    """The layer of an edit that was begun."""
    return begin(qtbot, panel, loaded, review)


def paint(layer, voxel=OUTSIDE, size=1, value=1) -> None:
    layer.brush_size = size
    layer.paint(voxel, value)


def finish(qtbot, panel):
    """Save the edit; what was said to be saved."""
    saved = []
    panel.saved.connect(saved.append)
    with qtbot.waitSignal(panel.ended, timeout=60000):
        panel.finish(save=True)
    qtbot.waitUntil(lambda: not panel._after.busy, timeout=60000)
    return saved


def edits_of(review: Path, reader: str = "ann") -> list:
    with ReviewFile.open(review) as open_review:
        return [e for e in open_review.history(1, reader) if e.kind == "edit"]


def organ() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[BOX] = True
    return mask


def test_an_edit_begins_on_a_copy_of_the_mask_over_the_ct(panel, layer, loaded, viewer):
    assert panel.editing
    assert np.array_equal(layer.data == 1, organ())
    assert not np.shares_memory(layer.data, loaded.mask)
    assert np.allclose(layer.data_to_world(OUTSIDE), OUTSIDE_MM)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert viewer.layers.selection.active is layer
    assert layer.mode == "paint"
    assert panel.controls.tools.hu_range.name == "Aerated lung"


def test_a_painted_point_is_at_its_place_in_the_written_mask(qtbot, panel, layer, review, loaded):
    paint(layer)
    (edit,) = finish(qtbot, panel)
    mask = read_volume(edit.file)
    index = np.round(mask.grid.to_index(OUTSIDE_MM)).astype(int)
    assert mask.voxels[tuple(index)] == 1
    assert int((mask.voxels != 0).sum()) == organ().sum() + 1
    assert np.allclose(mask.affine, loaded.ct.affine)
    (event,) = edits_of(review)
    assert event.mask_sha256 == loaded.mask_sha256
    assert not panel.editing


def test_saving_ends_the_edit_and_takes_its_layers_away(qtbot, panel, layer, told, viewer):
    others = viewer.add_image(np.zeros(SHAPE), name="somebody's")
    paint(layer)
    panel.controls.difference.button.click()
    finish(qtbot, panel)
    assert list(viewer.layers) == [others]
    # One voxel more: 0.096 mL, and Dice is 2 * 1920 / (1920 + 1921).
    assert told[-1].startswith("The edit was saved. Dice 1.000, surface Dice (2 mm)")
    assert "(0.1 mL added, 0.0 mL removed)" in told[-1]


def test_the_next_edit_goes_on_from_the_last_one(qtbot, panel, layer, loaded, review):
    paint(layer)
    finish(qtbot, panel)
    again = begin(qtbot, panel, loaded, review)
    assert not panel.controls.rescue.asking
    assert again.data[OUTSIDE] == 1
    assert "your last edit" in panel.controls.state.text()
    panel.controls.operations.buttons["As it was made"].click()
    qtbot.waitUntil(lambda: not panel.controls.operations.busy, timeout=60000)
    assert np.array_equal(again.data == 1, organ())


def test_nothing_changed_is_nothing_written(qtbot, panel, layer, told, review):
    paint(layer)
    layer.undo()
    assert finish(qtbot, panel) == []
    assert edits_of(review) == []
    assert told == ["Nothing was changed, so nothing was written."]


def test_strokes_are_saved_by_themselves_and_rescued_after_a_crash(
    qtbot, panel, layer, loaded, review, viewer
):
    paint(layer)
    with qtbot.waitSignal(panel._autosave.saved, timeout=20000):
        pass
    # Nobody says good-bye: another panel, as after a crash.
    other = make_panel(qtbot, ViewerModel())
    rescued = begin(qtbot, other, loaded, review)
    assert other.controls.rescue.asking
    clock = datetime.now(UTC).astimezone().strftime("%H:")
    assert f"Strokes of {clock}" in other.controls.rescue.words.text()
    paint(rescued, (5, 5, 30))
    assert np.array_equal(rescued.data == 1, organ())  # nothing is painted before the answer
    other.controls.rescue.yes.click()
    assert np.array_equal(rescued.data, layer.data)
    rescued.undo()
    assert np.array_equal(rescued.data == 1, organ())
    rescued.redo()
    (edit,) = finish(qtbot, other)
    assert read_volume(edit.file).voxels[OUTSIDE] != 0
    panel.suspend()


def test_rescued_strokes_can_be_forgotten(qtbot, panel, layer, loaded, review):
    paint(layer)
    assert panel.suspend()
    again = begin(qtbot, panel, loaded, review)
    panel.controls.rescue.no.click()
    assert np.array_equal(again.data == 1, organ())
    panel.suspend()
    begin(qtbot, panel, loaded, review)
    assert not panel.controls.rescue.asking


def test_an_unanswered_question_is_asked_again(qtbot, panel, layer, loaded, review):
    paint(layer)
    panel.suspend()
    begin(qtbot, panel, loaded, review)
    panel.finish(save=True)
    assert "rescued" in panel.controls.state.text()
    panel.suspend()
    begin(qtbot, panel, loaded, review)
    assert panel.controls.rescue.asking


def test_strokes_of_another_reader_are_not_offered(qtbot, panel, layer, loaded, review):
    paint(layer)
    panel.suspend()
    other = begin(qtbot, panel, loaded, review, reader="ben")
    assert not panel.controls.rescue.asking
    assert np.array_equal(other.data == 1, organ())


def test_strokes_on_another_mask_are_refused_in_words(qtbot, panel, layer, loaded, review):
    paint(layer)
    panel.suspend()
    other = replace(loaded, mask_sha256="f" * 64)
    begin(qtbot, panel, other, review)
    assert panel.controls.rescue.asking
    assert "cannot be used" in panel.controls.rescue.words.text()
    assert not panel.controls.rescue.yes.isEnabled()
    panel.controls.rescue.no.click()
    assert panel.controls.painting


def test_a_deleted_panel_brings_its_strokes_to_the_disk(qtbot, viewer, loaded, review):
    panel = EditPanel(viewer)
    paint(begin(qtbot, panel, loaded, review))
    panel.deleteLater()
    QApplication.sendPostedEvents(panel, QEvent.Type.DeferredDelete)
    other = make_panel(qtbot, ViewerModel())
    begin(qtbot, other, loaded, review)
    other.controls.rescue.yes.click()
    assert other.layer.data[OUTSIDE] == 1


def test_a_layer_that_is_removed_keeps_its_strokes(
    qtbot, panel, layer, told, viewer, loaded, review
):
    paint(layer)
    panel._viewer.layers.remove(layer)
    assert not panel.editing
    assert told == ["The strokes are kept; the next edit of this item offers them."]
    begin(qtbot, panel, loaded, review)
    assert panel.controls.rescue.asking


def test_a_saving_that_lags_behind_leaves_no_strokes_of_a_finished_edit(
    qtbot, panel, layer, loaded, review, monkeypatch
):
    journal = panel._edit.opened.journal
    entered, through, let_go = threading.Event(), threading.Event(), threading.Event()
    save, clear, in_order = journal.save, journal.clear, []

    def slow_save(labels):
        entered.set()
        let_go.wait(2)  # nobody may let go of the strokes meanwhile
        written = save(labels)
        through.set()
        return written

    def watched_clear():
        in_order.append(through.is_set())
        let_go.set()
        clear()

    monkeypatch.setattr(journal, "save", slow_save)
    monkeypatch.setattr(journal, "clear", watched_clear)
    paint(layer)
    panel._autosave.save()
    assert entered.wait(20)
    saved = []
    panel.saved.connect(saved.append)
    with qtbot.waitSignal(panel.ended, timeout=60000):
        panel.finish(save=True)
        paint(layer, (5, 5, 30))  # too late
    assert in_order == [True]
    assert int((read_volume(saved[0].file).voxels != 0).sum()) == organ().sum() + 1
    begin(qtbot, panel, loaded, review)
    assert not panel.controls.rescue.asking


def test_a_full_disk_keeps_the_edit_open_and_its_strokes(
    qtbot, panel, layer, told, review, loaded, monkeypatch
):
    def full(*_args, **_kwargs):
        raise VolumeError("the edited mask", "the disk is full", "Make room and save again")

    paint(layer)
    with monkeypatch.context() as patched, qtbot.waitSignal(panel.told, timeout=60000):
        patched.setattr(WHERE_EDITED, full)
        panel.finish(save=True)
    assert told == ["the edited mask: the disk is full. Make room and save again."]
    assert "still open" in panel.controls.state.text()
    assert edits_of(review) == []
    layer.undo()  # the history is whole
    assert not layer.data[OUTSIDE]
    layer.redo()
    paint(layer, (5, 5, 30))
    (edit,) = finish(qtbot, panel)
    assert read_volume(edit.file).voxels[5, 5, 30] != 0


def test_strokes_that_cannot_be_saved_keep_the_edit_open(
    qtbot, panel, layer, told, loaded, review, monkeypatch
):
    def full(*_args):
        raise ReviewError("review.db.strokes", "the disk is full", "Make room")

    journal = panel._edit.opened.journal
    with monkeypatch.context() as patched:
        patched.setattr(type(journal), "save", full)
        paint(layer)
        with qtbot.waitSignal(panel.told, timeout=20000):
            pass
        assert "not on the disk: the disk is full. Make room." in told[0]
        assert not panel.suspend()
        assert panel.editing
        assert layer.data[OUTSIDE] == 1
    with qtbot.waitSignal(panel._autosave.saved, timeout=20000):
        pass
    assert panel.suspend()
    begin(qtbot, panel, loaded, review)
    assert panel.controls.rescue.asking


def test_an_edit_that_cannot_be_opened_says_why_and_ends(qtbot, panel, told, loaded, tmp_path):
    with qtbot.waitSignal(panel.ended, timeout=60000):
        panel.begin(loaded, tmp_path / "gone.db", "ann")
    qtbot.waitUntil(lambda: bool(told))
    assert "gone.db" in told[0]
    assert not panel.editing


def test_an_edit_that_is_left_before_it_is_open_leaves_nothing(
    qtbot, panel, viewer, loaded, review
):
    panel.begin(loaded, review, "ann")
    assert panel.suspend()
    FunctionWorker.await_workers(60000)
    qtbot.wait(20)
    assert len(viewer.layers) == 0
    assert not panel.editing


def test_strokes_and_operations_are_undone_in_their_order(qtbot, panel, layer):
    states = [layer.data.copy()]
    paint(layer)
    states.append(layer.data.copy())
    panel.controls.operations.buttons["Largest piece"].click()
    qtbot.waitUntil(lambda: not panel.controls.operations.busy, timeout=60000)
    assert np.array_equal(layer.data == 1, organ())
    states.append(layer.data.copy())
    paint(layer, (5, 5, 30), size=5)
    for state in reversed(states):
        panel.controls.undo.click()
        assert np.array_equal(layer.data, state)
    for state in states[1:]:
        panel.controls.redo.click()
        assert np.array_equal(layer.data, state)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.text)
def test_each_operation_works_on_the_mask_as_painted(qtbot, panel, layer, operation):
    before = layer.data.copy()
    layer.data[10] = 0  # an empty slice,
    layer.data[8, 18, 14] = 0  # a hole,
    layer.data[20, 5, 5] = 1  # a speck outside
    broken = layer.data.copy()
    panel.controls.operations.width_mm.setValue(8)
    panel.controls.operations.run(operation)
    qtbot.waitUntil(lambda: not panel.controls.operations.busy, timeout=60000)
    mended = {
        "Largest piece": layer.data[20, 5, 5] == 0,
        "No small pieces": layer.data[20, 5, 5] == 0,
        "Fill holes": layer.data[8, 18, 14] == 1,
        "Holes in slices": layer.data[8, 18, 14] == 1,
        "Between slices": layer.data[10].sum() > 0.9 * before[10].sum(),
        "Smooth": layer.data[20, 5, 5] == 0,
        "Grow": layer.data[20, 5, 7] == 1 and layer.data[8, 16, 6] == 1,
        "Shrink": layer.data[8, 16, 9] == 0 and layer.data[8, 21, 17] == 1,
        "Only this HU": layer.data[20, 5, 5] == 0 and layer.data[8].sum() == broken[8].sum(),
        "As it was made": np.array_equal(layer.data, before),
    }
    assert mended[operation.text], panel.controls.state.text()
    assert panel.controls.state.text()
    layer.undo()
    assert np.array_equal(layer.data, broken)


def test_slices_between_marked_ones_are_drawn_anew(qtbot, panel, layer, viewer):
    for index in (7, 11):
        viewer.dims.set_point(0, ORIGIN_MM[0] + SPACING_MM[0] * index)
        panel.controls.marks.button.click()
    assert panel.controls.marks.listed.text() == "Marked: 8, 12"
    layer.data[8] = 1  # a slice that went wrong
    panel.controls.operations.buttons["Between slices"].click()
    qtbot.waitUntil(lambda: not panel.controls.operations.busy, timeout=60000)
    assert np.array_equal(layer.data == 1, organ())
    panel.controls.marks.button.click()
    assert panel.controls.marks.listed.text() == "Marked: 8"


def test_a_marked_slice_without_a_voxel_is_named_as_the_planes_number_it(
    qtbot, panel, layer, viewer
):
    before = layer.data.copy()
    for index in (8, 9):
        viewer.dims.set_point(0, ORIGIN_MM[0] + SPACING_MM[0] * index)
        panel.controls.marks.button.click()
    layer.data[8] = 0
    panel.controls.operations.buttons["Between slices"].click()
    qtbot.waitUntil(lambda: not panel.controls.operations.busy, timeout=60000)
    assert panel.controls.state.text() == (
        "Between slices: nothing is drawn in slice 9, which is marked. "
        "Draw in it, or take its mark off."
    )
    assert np.array_equal(layer.data[9:], before[9:])


def test_esc_gives_up_an_outline_before_it_ends_the_edit(panel, layer):
    before = layer.data.copy()
    layer._overlays["polygon"].points = [[4, 8, 30], [4, 8, 32]]
    panel.controls.escape()
    assert not layer._overlays["polygon"].points
    # napari's encircling stroke of the right button, as its canvas begins it
    layer._overlays["brush_stroke"].active = True
    layer._begin_stroke()
    paint(layer)
    panel.controls.escape()
    assert not layer._overlays["brush_stroke"].active
    assert np.array_equal(layer.data, before)
    assert panel.editing
    panel.controls.escape()
    assert not panel.editing


def test_an_operation_that_is_stopped_leaves_the_mask(qtbot, panel, layer):
    from napari_hirescam.errors import Cancelled

    began = threading.Event()

    def endless(given, should_stop):
        began.set()
        while not should_stop():
            threading.Event().wait(0.005)
        raise Cancelled("stopped")

    before = layer.data.copy()
    panel.controls.operations.run(Operation("Endless", "", "", endless))
    began.wait(5)
    assert not panel.controls.painting
    paint(layer)
    assert np.array_equal(layer.data, before)
    panel.finish(save=True)
    assert "still runs" in panel.controls.state.text()
    panel.controls.operations.cancel.click()
    qtbot.waitUntil(lambda: not panel.controls.operations.busy, timeout=60000)
    assert panel.controls.painting
    assert np.array_equal(layer.data, before)
    assert panel.controls.state.text() == "Stopped; the mask is as it was."


def test_an_operation_that_fails_says_so_and_leaves_the_mask(qtbot, panel, layer):
    def failing(_given, _should_stop):
        raise MemoryError

    panel.controls.operations.run(Operation("Failing", "", "", failing))
    qtbot.waitUntil(lambda: not panel.controls.operations.busy, timeout=60000)
    assert "memory ran out" in panel.controls.state.text()
    assert np.array_equal(layer.data == 1, organ())
    assert panel.controls.painting


def test_the_difference_is_coloured_and_measured(qtbot, panel, layer, viewer):
    paint(layer)
    paint(layer, (10, 15, 12), value=0)
    view = panel.controls.difference
    view.button.click()
    qtbot.waitUntil(lambda: "Dice" in view.figures.text(), timeout=60000)
    expected = organ() * 3
    expected[OUTSIDE] = 2
    expected[10, 15, 12] = 1
    assert np.array_equal(view.layer.data, expected)
    assert np.allclose(view.layer.data_to_world(OUTSIDE), OUTSIDE_MM)
    assert "removed" in view.legend.text()
    n = organ().sum()
    assert f"Dice {2 * (n - 1) / (2 * n):.3f}" in view.figures.text()
    assert viewer.layers.selection.active is layer
    paint(layer, (5, 5, 30))  # its colours would no longer be true
    assert view.layer is None
    assert not view.button.isChecked()
    assert list(viewer.layers) == [layer]


def test_an_item_without_a_mask_is_drawn_from_nothing(qtbot, panel, loaded, review):
    layer = begin(qtbot, panel, replace(loaded, mask=None, mask_sha256=""), review)
    assert not layer.data.any()
    paint(layer)
    (edit,) = finish(qtbot, panel)
    assert int((read_volume(edit.file).voxels != 0).sum()) == 1


def test_rescued_strokes_of_another_day_are_told_with_the_day(qtbot):
    bar = RescueBar()
    qtbot.addWidget(bar)
    bar.ask(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    assert "Strokes of 2026-03-01 " in bar.words.text()


#: Whoever looks at what a killed process left must find all but the last strokes.
LOST_SECONDS = 2.0


def test_a_killed_window_leaves_all_strokes_but_the_last_seconds(qtbot, panel, loaded, review):
    script = Path(__file__).with_name("review_edit_process.py")
    root = script.parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{script.parent}"}
    command = [sys.executable, str(script), str(review)]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, env=environment, text=True
    ) as child:
        try:
            painted = []  # when each was heard of
            for _ in child.stdout:
                painted.append(time.monotonic())
                if painted[-1] - painted[0] > LOST_SECONDS + 1.0:
                    break
        finally:
            os.kill(child.pid, signal.SIGKILL)
            killed = time.monotonic()
    begin(qtbot, panel, loaded, review, READER)
    assert panel.controls.rescue.asking, "nothing was rescued"
    panel.controls.rescue.yes.click()
    sure = PATH[: sum(killed - when > LOST_SECONDS for when in painted)]
    assert sure
    assert all(panel.layer.data[voxel] == 1 for voxel in sure)
    drawn = (panel.layer.data == 1) & ~organ()
    # What is there was painted, from the first stroke on without a gap.
    assert all(drawn[voxel] for voxel in PATH[: int(drawn.sum())])


class Window:
    """A window with an edit in it, and the reader's hands."""

    def __init__(self, qtbot, viewer, loaded, review) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.panel = EditPanel(viewer)
        viewer.window.add_dock_widget(self.panel, name="Edit")
        self.main = viewer.window._qt_window
        self.layer = begin(qtbot, self.panel, loaded, review)
        self.main.activateWindow()
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.canvas.setFocus()
        qtbot.waitUntil(self.main.isActiveWindow, timeout=20000)

    def press(self, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.canvas, key, modifier)

    def at(self, voxel) -> QPoint:
        """Where a voxel of the slice on show is drawn."""
        qt_viewer = self.viewer.window._qt_viewer
        visual = qt_viewer.canvas.layer_to_visual[self.layer].node
        transform = visual.get_transform("visual", "canvas")
        x, y = transform.map([voxel[2], voxel[1]])[:2]
        return QPoint(round(x), round(y))

    def drag(self, *voxels) -> None:
        """Draw with the left button down."""
        points = [self.at(voxel) for voxel in voxels]
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        _move(self.canvas, points[0], Qt.MouseButton.NoButton)
        QTest.mousePress(self.canvas, left, none, points[0])
        for point in points[1:]:
            self.qtbot.wait(15)  # what comes quicker is not heard
            _move(self.canvas, point, left)
        QTest.mouseRelease(self.canvas, left, none, points[-1])


def _move(canvas, at: QPoint, button) -> None:
    """Qt's own test helper moves the mouse without its buttons."""
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(at),
        QPointF(canvas.mapToGlobal(at)),
        Qt.MouseButton.NoButton,
        button,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(canvas, event)


def test_an_edit_by_mouse_and_keys_in_a_window(qtbot, make_napari_viewer, loaded, review):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(loaded.ct.voxels, scale=SPACING_MM, translate=ORIGIN_MM, name="CT")
    window = Window(qtbot, viewer, loaded, review)
    panel, layer = window.panel, window.layer
    controls, tools = panel.controls, panel.controls.tools
    viewer.dims.set_point(0, OUTSIDE_MM[0])
    viewer.fit_to_view()
    viewer.screenshot(flash=False)
    before = layer.data.copy()

    for key, mode in ((Qt.Key.Key_X, "erase"), (Qt.Key.Key_G, "fill"), (Qt.Key.Key_B, "paint")):
        window.press(key)
        assert layer.mode == mode
    size = layer.brush_size
    window.press(Qt.Key.Key_BracketRight)
    assert layer.brush_size == size + 1
    for _ in range(size + 3):
        window.press(Qt.Key.Key_BracketLeft)
    assert layer.brush_size == 1
    window.press(Qt.Key.Key_H)
    assert layer.hu_range == tools.hu_range
    tools.low.setValue(-100)
    tools.high.setValue(200)

    # Two voxels of tissue with the air around the patient between them: one stroke, one undo.
    window.drag(OUTSIDE, (4, 8, 38), (4, 8, 30))
    row = np.flatnonzero(layer.data[4, 8])
    body = np.flatnonzero(loaded.ct.voxels[4, 8] > -200)
    # The pixel that is pressed on lies within a voxel of the one that was meant.
    assert abs(row.min() - 30) <= 1
    assert row.tolist() == [c for c in body if c >= row.min()]
    assert "were left as they were" in tools.hint.text()
    assert np.array_equal(np.delete(layer.data, 4, axis=0), np.delete(before, 4, axis=0))
    painted = layer.data.copy()
    window.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(layer.data, before)
    ctrl_shift = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    window.press(Qt.Key.Key_Z, ctrl_shift)
    assert np.array_equal(layer.data, painted)

    window.press(Qt.Key.Key_1)  # napari's own tools of a Labels layer have no keys of ours
    window.press(Qt.Key.Key_D)
    qtbot.waitUntil(lambda: "Dice" in controls.difference.figures.text(), timeout=60000)
    assert controls.difference.layer in viewer.layers
    window.press(Qt.Key.Key_D)
    window.press(Qt.Key.Key_T)
    assert layer.n_edit_dimensions == 3
    window.press(Qt.Key.Key_Space)
    assert not layer.visible

    window.press(Qt.Key.Key_Space)
    window.press(Qt.Key.Key_L)
    assert layer.n_edit_dimensions == 2  # as napari's polygon needs it

    # Letters that are typed into a field stay there, until Return.
    tools.low.setFocus()
    QTest.keyClick(tools.low, Qt.Key.Key_E)
    assert panel.editing
    QTest.keyClick(tools.low, Qt.Key.Key_Return)
    assert not tools.low.hasFocus()
    saved = []
    panel.saved.connect(saved.append)
    window.canvas.setFocus()
    with qtbot.waitSignal(panel.ended, timeout=60000):
        window.press(Qt.Key.Key_E)
    qtbot.waitUntil(lambda: not panel._after.busy, timeout=60000)
    mask = read_volume(saved[0].file)
    assert mask.voxels[tuple(np.round(mask.grid.to_index(OUTSIDE_MM)).astype(int))] == 1

    with qtbot.waitSignal(panel.ready, timeout=60000):
        panel.begin(loaded, review, "ann")
    assert tools.hu_range.low == -100  # as it was set for this organ
    paint(panel.layer, (5, 5, 30))
    window.press(Qt.Key.Key_Escape)
    assert not panel.editing
    keys = controls._keys
    assert not any(key.isEnabled() for key in (*keys._painting, *keys._asking, keys._leaving))
    with qtbot.waitSignal(panel.ready, timeout=60000):
        panel.begin(loaded, review, "ann")
    assert not any(key.isEnabled() for key in keys._painting)  # N is an answer now
    window.press(Qt.Key.Key_Y)
    assert panel.layer.data[5, 5, 30] == 1
    panel.suspend()


def test_every_key_is_told_and_means_one_thing(panel):
    keys = [shortcut.key().toString() for shortcut in panel.controls._keys._painting]
    assert len(keys) == len(set(keys))
    told = {key for entry in EDIT_KEYS for key in (entry.split() if entry == "[ ]" else [entry])}
    assert told == {*keys, "Esc"} - {"Ctrl+Return"}


def test_the_parts_of_the_panel_stay_together_in_a_tall_window(qtbot, panel, layer):
    panel.resize(380, 1400)
    panel.show()
    qtbot.waitExposed(panel)
    QApplication.processEvents()
    end = panel.controls.state
    assert end.mapTo(panel, end.rect().bottomLeft()).y() < 700
