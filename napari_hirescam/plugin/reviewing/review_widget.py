"""The dock widget "Mask review": start, work, finish; it only wires its pages together."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.reviewing.finish_page import FinishPage
from napari_hirescam.plugin.reviewing.start_page import StartPage
from napari_hirescam.plugin.viewer_events import without_proxy

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.desk import Desk
    from napari_hirescam.review.review_file import ReviewFile

_WIDTH = 380
#: A window must not stand still for long because another writer does.
_PATIENCE_S = 2.0


class ReviewWidget(QWidget):
    """Open or make a review, judge its items, finish.

    Parameters
    ----------
    napari_viewer
        The viewer items are shown in. Layers of others are left alone.
    """

    # napari knows what to pass by the argument's name; it does not read the annotation.
    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = without_proxy(napari_viewer)
        self.start = StartPage()
        self.finish = FinishPage()
        self.desk: Desk | None = None
        # Weakly: a widget that Python still holds must not keep a closed window.
        self._watched: weakref.ref[QWidget] | None = None
        self._docked = False
        self._last_things = _LastThings()
        self.destroyed.connect(self._last_things.do)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.start)
        self._pages.addWidget(self.finish)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self._pages)
        self.setMinimumWidth(_WIDTH)
        # Else napari pushes it up and leaves the lower half of the dock empty.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.start.open_asked.connect(self.open)
        self.start.new_asked.connect(self.make)
        self.finish.back_asked.connect(self._go_back)
        self.finish.leave_asked.connect(self.leave)
        self.finish.open_asked.connect(self._open_other)

    def open(self, path: str | Path, reader: str) -> None:
        """Open a review where a reader left it; a failure is said on the page."""
        from napari_hirescam.plugin.reviewing.desk import Desk
        from napari_hirescam.plugin.reviewing.sitting import Sitting
        from napari_hirescam.review.review_file import ReviewFile

        try:
            review = ReviewFile.open(path, patience_s=_PATIENCE_S)
            self._last_things.add(review.close)
            sitting = Sitting(review, _as_known(reader, review))
        except HirescamError as error:
            self._last_things.do()
            self._pages.setCurrentWidget(self.start)
            self.start.notice.say(str(error), trouble=True)
            return
        self.start.notice.clear()
        self.start.remember(review.path, sitting.reader)
        self.desk = Desk(self._viewer, sitting)
        self._last_things.add(self.desk.views.abandon)
        self.desk.finish_asked.connect(self._show_finish)
        self._pages.addWidget(self.desk)
        self._pages.setCurrentWidget(self.desk)
        self.desk.begin(self._watch_window())

    def make(self, reader: str) -> None:
        """Ask for all that a new review needs, make it, and open it."""
        from napari_hirescam.plugin.reviewing.new_review_dialog import NewReviewDialog

        dialog = NewReviewDialog(self)
        dialog.exec()
        path = dialog.made
        dialog.deleteLater()
        if path is None:
            return
        self.start.path.setText(str(path))
        if reader:
            self.open(path, reader)
        else:
            self.start.notice.say("The review is made. Say who you are, then open it.")
            self.start.reader.setFocus()

    def leave(self) -> bool:
        """Put the review away and show the first page; False if the reader stays."""
        if self.desk is None:
            return True
        if not self._may_leave():
            return False
        desk, self.desk = self.desk, None
        desk.leave()
        self._last_things.do()
        self._pages.setCurrentWidget(self.start)
        self._pages.removeWidget(desk)
        desk.deleteLater()
        return True

    # -- pages -------------------------------------------------------------------------------

    def _show_finish(self) -> None:
        if self.desk is not None:
            self.desk.set_keys_enabled(False)
            self.finish.show_sitting(self.desk.sitting)
            self._pages.setCurrentWidget(self.finish)
            self.finish.take_focus()

    def _go_back(self) -> None:
        if self.desk is not None:
            self._pages.setCurrentWidget(self.desk)
            self.desk.set_keys_enabled(True)

    def _open_other(self, path: Path) -> None:
        """Leave this review for one that settles its differences."""
        reader = self.start.reader.text().strip()
        if self.leave():
            self.open(path, reader)

    # -- closing -----------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Put everything away when napari takes the widget out of its dock for good."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked and self.desk is not None:
                self.desk.pause()
                self._tell_lost()
                desk, self.desk = self.desk, None
                desk.leave()
                self._last_things.do()
        return bool(super().event(event))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: D102, N802
        if (
            event.type() == QEvent.Type.Close
            and self._watched is not None
            and watched is self._watched()
            and self.desk is not None
            and not self._may_leave()
        ):
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))

    def _watch_window(self) -> QWidget:
        """Hear of the window's closing before it closes."""
        window = self._main_window()
        before = self._watched() if self._watched is not None else None
        if window is not before:
            if before is not None:
                before.removeEventFilter(self)
            self._watched = weakref.ref(window)
            window.installEventFilter(self)
        return window

    def _main_window(self) -> QWidget:
        """Find the window of the viewer; a dock that floats is one of its children."""
        window: QWidget = self.window()
        while (parent := window.parentWidget()) is not None:
            window = parent.window()
        return window

    def _may_leave(self) -> bool:
        """Save what is being written or painted; ask if something cannot be saved."""
        if self.desk is None:
            return True
        strokes_kept = self.desk.pause()
        unsaved = self.desk.sitting.unsaved
        if strokes_kept and not unsaved:
            return True
        words = [] if strokes_kept else ["The correction of the mask is not on the disk yet."]
        if unsaved:
            words.append(f"{len(unsaved)} answers are not on the disk. {unsaved[0].why}")
        answer = QMessageBox.warning(
            self,
            "Not saved",
            "\n".join([*words, "", "Leave nevertheless?"]),
            QMessageBox.StandardButton.Discard | QMessageBox.StandardButton.Cancel,
            QMessageBox.StandardButton.Cancel,
        )
        return bool(answer == QMessageBox.StandardButton.Discard)

    def _tell_lost(self) -> None:
        if self.desk is not None and self.desk.sitting.unsaved:
            from napari.utils.notifications import show_error

            unsaved = self.desk.sitting.unsaved
            said = ", ".join(f"item {one.item}: {one.kind} {one.value}" for one in unsaved)
            show_error(f"These answers could not be saved: {said}. {unsaved[0].why}")


class _LastThings:
    """What must be done even where Qt has deleted the widget already: the window closes."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], None]] = []

    def add(self, step: Callable[[], None]) -> None:
        self._steps.append(step)

    def do(self) -> None:
        steps, self._steps = self._steps, []
        for step in steps:
            step()


def _as_known(reader: str, review: ReviewFile) -> str:
    """Take the spelling under which the reader has answered before: "ann" is "Ann"."""
    known = {name.casefold(): name for name in review.readers}
    return reader if reader in review.readers else known.get(reader.casefold(), reader)
