"""The table of series: pictures, what can be chosen, what cannot and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.qt.threading import FunctionWorker
from qtpy.QtCore import Qt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io import Item, Picture
from napari_hirescam.plugin.opening_window import pixmap_of
from napari_hirescam.plugin.series_chooser import SeriesChooser
from napari_hirescam.source import Repair

ITEMS = (
    Item("bad", "scout", "localizer", 1, problem="one picture is not a volume"),
    Item("a", "Thorax B70f", "CT", 99, (3.0, 0.56, 0.56), (512, 512), "B70f", "4"),
    Item("b", "Thorax <b>", "CT", 99, (3.0, 0.56, 0.56), (512, 512), "B30f", "5"),
    Item(
        "gap",
        "with a gap",
        "CT",
        97,
        needs=(Repair.INSERT_MISSING, Repair.EVEN_SPACING),
        problem="2 slices are missing",
    ),
)


@pytest.fixture
def chooser(qtbot, monkeypatch):
    def picture_of(path, key, **_options):
        if key == "gap":
            raise VolumeError(path, "cannot be drawn", "None")
        return Picture(np.arange(12, dtype=np.uint8).reshape(3, 4))

    monkeypatch.setattr("napari_hirescam.io.picture_of", picture_of)
    chooser = SeriesChooser(Path("study"), ITEMS)
    qtbot.addWidget(chooser)
    chooser.show()
    yield chooser
    chooser.reject()
    FunctionWorker.await_workers(5000)


def words_of(chooser, row) -> str:
    cells = (chooser.table.item(row, c) for c in range(chooser.table.columnCount()))
    return " | ".join(cell.text() for cell in cells)


def test_each_row_says_what_tells_the_series_apart(chooser):
    row = words_of(chooser, 1)
    for words in ("4", "Thorax B70f", "CT", "99", "512 x 512", "3 x 0.56 x 0.56", "B70f"):
        assert words in row
    assert "2 slices are missing" in words_of(chooser, 3)
    assert "insert blank slices or even out the spacing" in words_of(chooser, 3)


def test_what_cannot_be_read_is_shown_with_the_reason_and_cannot_be_chosen(chooser):
    assert "one picture is not a volume" in words_of(chooser, 0)
    chooser.choose("bad")
    assert chooser.keys == ()
    assert not chooser._open.isEnabled()
    chooser.accept()
    assert chooser.isVisible()
    chooser.table.selectAll()
    assert chooser.keys == ("a", "b", "gap")


def test_the_first_that_can_be_read_is_chosen_and_return_opens_it(qtbot, chooser):
    assert chooser.keys == ("a",)
    qtbot.keyClick(chooser.table, Qt.Key.Key_Down)
    assert chooser.keys == ("b",)
    qtbot.keyClick(chooser, Qt.Key.Key_Return)
    assert chooser.result() == SeriesChooser.DialogCode.Accepted


def test_a_double_click_opens_one(chooser):
    chooser.choose("b")
    chooser.table.cellDoubleClicked.emit(2, 2)
    assert chooser.result() == SeriesChooser.DialogCode.Accepted
    assert chooser.keys == ("b",)


def test_pictures_come_one_by_one_and_a_missing_one_is_said(qtbot, chooser):
    qtbot.waitUntil(lambda: chooser.table.item(3, 0).text() == "no picture", timeout=5000)
    assert not chooser.table.item(1, 0).icon().isNull()
    assert not chooser.table.item(2, 0).icon().isNull()
    assert "cannot be drawn" in chooser.table.item(3, 0).toolTip()


def test_a_time_axis_is_offered_to_volumes_of_one_grid_only(chooser):
    chooser.choose("a", "b")
    assert chooser._time.isEnabled()
    chooser.choose("a", "gap")
    assert not chooser._time.isEnabled()
    chooser.choose("a")  # of all, then; and they differ
    assert not chooser._time.isEnabled()
    chooser.choose("b", "a")
    chooser._time.click()
    assert chooser.as_time
    assert chooser.keys == ("a", "b")


def test_a_picture_keeps_the_proportions_of_the_body(qtbot):
    pixmap = pixmap_of(Picture(np.zeros((10, 10), np.uint8), pixel_mm=(3.0, 1.0)), 90)
    assert (pixmap.height(), pixmap.width()) == (90, 30)
