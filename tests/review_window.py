"""A window with the review widget in it, and a reader's hands on the keyboard.

`light` draws nothing and edits nothing: what a reader sees, and corrects, have tests of their own,
and drawing takes seconds without a graphics card. `reader` is the whole of it, in napari.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from napari.components import ViewerModel
from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget
from review_cases import make_items

from napari_hirescam.plugin.reviewing.review_widget import ReviewWidget
from napari_hirescam.review.event import Verdict
from napari_hirescam.review.loading import LoadedItem
from napari_hirescam.review.review_file import ReviewFile

_PATIENCE_MS = 30_000
_NAMED = {
    "Enter": Qt.Key.Key_Return,
    "Esc": Qt.Key.Key_Escape,
    "Space": Qt.Key.Key_Space,
    "Tab": Qt.Key.Key_Tab,
}
_MODIFIERS = {
    "Shift": Qt.KeyboardModifier.ShiftModifier,
    "Ctrl": Qt.KeyboardModifier.ControlModifier,
    "Alt": Qt.KeyboardModifier.AltModifier,
}


class Reader:
    """One pair of hands, in one window."""

    def __init__(self, qtbot, viewer, widget: ReviewWidget) -> None:
        self.qtbot = qtbot
        self.viewer = viewer
        self.widget = widget

    @property
    def window(self) -> QWidget:
        return self.widget.window()

    @property
    def desk(self):
        assert self.widget.desk is not None
        return self.widget.desk

    @property
    def item(self) -> int:
        """Number of the item that is on the screen."""
        assert self.desk.loaded is not None
        return self.desk.loaded.item.number

    def open(self, path: Path, name: str) -> None:
        """Begin, and wait for the first item."""
        self.widget.open(path, name)
        self.activate()
        self.wait_for_item()

    def activate(self) -> None:
        """Bring the window to the front: shortcuts hold in the active window."""

        def in_front() -> bool:
            if not self.window.isActiveWindow():
                self.window.activateWindow()
                self.window.raise_()
            return bool(self.window.isActiveWindow())

        self.qtbot.waitUntil(in_front, timeout=_PATIENCE_MS)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is: "4", "Shift+R", "Enter"."""
        for key in keys:
            # A window of another test process may have come to the front of the same screen.
            if not self.window.isActiveWindow() and QApplication.activeModalWidget() is None:
                self.activate()
            *modifiers, name = key.split("+") if key != "+" else ["+"]
            held = Qt.KeyboardModifier.NoModifier
            for modifier in modifiers:
                held |= _MODIFIERS[modifier]
            focus = QApplication.focusWidget() or self.window
            QTest.keyClick(focus, _NAMED.get(name, name), held)
            QApplication.processEvents()

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        for letter in text:
            QTest.keyClick(QApplication.focusWidget() or self.window, letter)

    def wait_for_item(self, number: int | None = None) -> None:
        """Wait until an item, or this one, is on the screen."""

        def there() -> bool:
            loaded = self.desk.loaded
            return loaded is not None and number in {None, loaded.item.number}

        self.qtbot.waitUntil(there, timeout=_PATIENCE_MS)

    def verdict(self, item: int | None = None) -> Verdict:
        """Read from the disk, by another way than the window's, what was said of an item."""
        sitting = self.desk.sitting
        with ReviewFile.open(sitting.review.path, read_only=True) as review:
            return review.verdict(sitting.reader, item or self.item)


@pytest.fixture(scope="session")
def items(tmp_path_factory):
    """Six cases with a mask each."""
    return make_items(tmp_path_factory.mktemp("cases"), 6)


class NoViews(QObject):
    """Stands in for what draws: remembers what it was told."""

    told = Signal(str)
    attention_busy = Signal(bool)

    def __init__(self, _viewer: object) -> None:
        super().__init__()
        self.shown: list[int] = []
        self.places: list[tuple[float, float, float]] = []
        self.calls: list[str] = []
        self.attention_on = False
        self.planes = None

    def show(self, loaded: LoadedItem) -> None:
        self.shown.append(loaded.item.number)

    def go_to(self, place_mm: tuple[float, float, float]) -> None:
        self.places.append(place_mm)

    def show_attention(self, on: bool) -> None:
        self.attention_on = on

    def clear(self) -> None:
        self.calls.append("clear")

    def toggle_mask(self) -> None:
        self.calls.append("mask")

    def toggle_3d(self) -> None:
        self.calls.append("surface")

    def toggle_others(self) -> None:
        self.calls.append("others")

    def leave(self) -> None:
        self.calls.append("leave")

    def abandon(self) -> None:
        self.calls.append("abandon")


class NoEditor(QWidget):
    """Stands in for what corrects masks: is open until it is told to close."""

    saved = Signal(object)
    ended = Signal()
    told = Signal(str)

    def __init__(self, _viewer: object) -> None:
        super().__init__()
        self.editing = False
        self.keeps = True

    def begin(self, loaded: LoadedItem, review: Path, reader: str, views: object = None) -> None:
        self.editing = True

    def suspend(self) -> bool:
        if self.keeps:
            self.editing = False
            self.ended.emit()
        return self.keeps


@pytest.fixture
def light(qtbot, monkeypatch, plugin_settings):
    """A reader in a window that draws nothing."""
    monkeypatch.setattr("napari_hirescam.plugin.reviewing.views.ReviewViews", NoViews)
    monkeypatch.setattr("napari_hirescam.plugin.reviewing.edit_panel.EditPanel", NoEditor)
    window = QMainWindow()
    widget = ReviewWidget(ViewerModel())
    window.setCentralWidget(widget)
    qtbot.addWidget(window)
    window.show()
    yield Reader(qtbot, None, widget)
    FunctionWorker.await_workers(15_000)


@pytest.fixture
def reader(qtbot, make_napari_viewer, plugin_settings):
    """A reader in napari."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1000, 700)
    yield hands(viewer, qtbot)
    FunctionWorker.await_workers(15_000)


def hands(viewer, qtbot) -> Reader:
    """Dock the widget in a viewer."""
    widget = ReviewWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Mask review", area="right")
    return Reader(qtbot, viewer, widget)
