"""A reader at work: items come to the screen one after the other, answers go to the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from napari_hirescam.plugin.reviewing.desk_checks import DeskChecks
from napari_hirescam.plugin.reviewing.desk_keys import actions_of
from napari_hirescam.plugin.reviewing.item_loader import ItemLoader
from napari_hirescam.plugin.reviewing.item_page import ItemPage
from napari_hirescam.plugin.reviewing.keys import ReviewKeys
from napari_hirescam.plugin.reviewing.list_panel import ListPanel
from napari_hirescam.review.words import fault_words

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.errors import HirescamError
    from napari_hirescam.plugin.reviewing.sitting import Sitting
    from napari_hirescam.review.event import Edit
    from napari_hirescam.review.item import Item
    from napari_hirescam.review.loading import LoadedItem

#: After so many unreadable items in a row it is rather the drive that is missing.
_TOO_MANY_UNREADABLE = 3
_DRAWN_MS = 200


class Desk(QWidget):
    """Item and work list in two tabs, and all that a key or click sets going.

    Parameters
    ----------
    viewer
        Where items are shown.
    sitting
        Whose answers these are.
    """

    #: The reader wants to see how far they are, or is through with the list.
    finish_asked = Signal()

    def __init__(self, viewer: ViewerModel, sitting: Sitting) -> None:
        # Heavy: only who reviews needs them.
        from napari_hirescam.plugin.reviewing.edit_panel import EditPanel
        from napari_hirescam.plugin.reviewing.views import ReviewViews

        super().__init__()
        self._viewer = viewer
        self.sitting = sitting
        self.page = ItemPage()
        self.list = ListPanel()
        self.views = ReviewViews(viewer)
        self.edit_panel = EditPanel(viewer)
        self.loader = ItemLoader(self)
        self.checks = DeskChecks(sitting, self.page.checks, self)
        self.loaded: LoadedItem | None = None
        self.keys: ReviewKeys | None = None
        self._unreadable_in_a_row = 0
        # Whether an unreadable item is skipped: not if it was asked for by itself.
        self._skips = True
        self._words = ""
        # The item is drawn first: threads that read and check would take half of the time.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_DRAWN_MS)
        self._soon.timeout.connect(self._work_ahead)

        self.tabs = QTabWidget()
        self.tabs.addTab(self.page, "Item")
        self.tabs.addTab(self.list, "Work list")
        self._pages = QStackedWidget()
        self._pages.addWidget(self.tabs)
        self._pages.addWidget(self.edit_panel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._pages)
        self.list.set_sitting(sitting)
        self._connect()

    def _connect(self) -> None:
        page = self.page
        page.form.answered.connect(self.answer)
        page.previous_asked.connect(self.previous)
        page.next_asked.connect(self.next)
        page.edit_asked.connect(self.edit)
        page.attention_asked.connect(self.toggle_attention)
        page.finish_asked.connect(self.finish)
        page.checks.jumped.connect(self.views.go_to)
        page.settling.taken.connect(lambda edit: self.answer("edit", edit))
        page.unsaved.acted.connect(self._save_again)
        self.list.chosen.connect(self._on_chosen)
        self.loader.loaded.connect(self._on_loaded)
        self.loader.failed.connect(self._on_unreadable)
        self.loader.progressed.connect(page.show_loading)
        self.checks.told.connect(self._tell)
        self.views.told.connect(self._tell)
        self.views.attention_busy.connect(self._on_attention_busy)
        self.edit_panel.told.connect(self._tell)
        self.edit_panel.saved.connect(self._on_edit_saved)
        self.edit_panel.ended.connect(self._on_edit_ended)

    # -- beginning and leaving --------------------------------------------------------------

    def begin(self, window: QWidget) -> None:
        """Take the keys of a window, and show where the reader was."""
        self.keys = ReviewKeys(window, actions_of(self))
        self._clear_focus()
        number = self.sitting.first()
        notes = " ".join(self.sitting.review.notes)
        if number is None:
            self._go(self._last_resort(), f"All items are final. {notes}".strip(), skips=False)
        else:
            self._go(number, notes)

    def pause(self) -> bool:
        """Keep what is being written or painted: the window may close.

        Returns
        -------
        bool
            False if strokes could not be saved, or are being written just now.
        """
        self.page.form.commit_comment()
        if self.sitting.unsaved:
            self.sitting.save_again()
        return not self.edit_panel.editing or bool(self.edit_panel.suspend())

    def leave(self) -> None:
        """Put everything away that came with the review; the file stays open."""
        self.pause()
        self.checks.forget()
        self.loader.forget()
        if self.keys is not None:
            self.keys.remove()
            self.keys = None
        self.views.leave()

    def set_keys_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - as Qt's setEnabled
        """Let the keys hold while the item or the list is in front."""
        if self.keys is not None:
            self.keys.set_enabled(enabled)

    # -- going through the list --------------------------------------------------------------

    def next(self) -> None:
        """Make the item final if it is complete, and go to the next open one."""
        if self._busy_editing():
            return
        words = ""
        if self.loaded is not None and self.sitting.item is not None:
            self.page.form.commit_comment()
            missing = self.sitting.finish_item()
            said = self.sitting.verdict()
            if missing and (said.rating is not None or said.decision is not None):
                words = f"Left open: {' and '.join(missing)} of the item before is missing."
        here = self.sitting.item.number if self.sitting.item is not None else None
        number = self.sitting.next_open(here)
        if number is None:
            self.page.show_answers(self.sitting)
            self.finish()
        elif number == here:
            self._tell(f"This is the last open item. {self._still_missing()}")
            self.page.show_answers(self.sitting)
        else:
            self._go(number, words)

    def previous(self) -> None:
        """Go to the item before in the list, final or not."""
        self._step(-1)

    def following(self) -> None:
        """Go to the item behind in the list, final or not."""
        self._step(1)

    def _step(self, step: int) -> None:
        if self._busy_editing():
            return
        self.page.form.commit_comment()
        number = self.sitting.neighbour(step)
        if number is None:
            self._tell("This is the first item." if step < 0 else "This is the last item.")
        else:
            self._go(number, skips=False)

    def _on_chosen(self, number: int) -> None:
        self.tabs.setCurrentWidget(self.page)
        self._clear_focus()
        here = self.sitting.item
        if not self._busy_editing() and (here is None or here.number != number):
            self.page.form.commit_comment()
            self._go(number, skips=False)

    def _go(self, number: int, words: str = "", *, skips: bool = True) -> None:
        self._skips, self._words = skips, words
        self.tabs.setCurrentWidget(self.page)
        self.loaded = None
        self.checks.clear()
        item = self.sitting.go(number)
        self.page.show_item(self.sitting)
        self.page.form.setEnabled(False)
        if self.loader.has(number):
            self.loader.load(item)
            return
        # Reading begins first: clearing the screen takes a while too.
        self.loader.load(item)
        # What was there must not be taken for what is asked about now.
        self.views.clear()
        self.page.show_loading(0, 0)

    def _on_loaded(self, loaded: LoadedItem) -> None:
        if self.sitting.item is None or loaded.item.number != self.sitting.item.number:
            return
        self.loaded = loaded
        self._unreadable_in_a_row = 0
        self.views.show(loaded)
        self.views.show_attention(loaded.item.kind == "attention")
        self.page.attention.setChecked(self.views.attention_on)
        self.sitting.seen(loaded.mask_sha256)
        self.page.form.setEnabled(True)
        notes = loaded.notes if self.sitting.shows_names() else ()
        self.page.notice.say(" ".join(part for part in (self._words, *notes) if part))
        self.page.show_answers(self.sitting)
        self.list.refresh()
        self.checks.show(loaded)
        self._soon.start()

    def _on_unreadable(self, item: Item, error: HirescamError) -> None:
        if self.sitting.item is None or item.number != self.sitting.item.number:
            return
        self.views.clear()
        kept = fault_words(item, error)
        reason = str(error) if self.sitting.shows_names() else kept
        self._unreadable_in_a_row += 1
        self.sitting.say("unreadable", kept)
        sentence = f"Item {item.number} cannot be read and was skipped. {reason}"
        number = self.sitting.next_open(item.number)
        if self._skips and number is not None:
            if self._unreadable_in_a_row < _TOO_MANY_UNREADABLE:
                self._go(number, f"{self._words} {sentence}".strip())
                return
            sentence += " Several in a row: is the drive with the scans there? N tries the next."
        self.page.show_answers(self.sitting)
        self.page.notice.say(sentence, trouble=True)
        self.list.refresh()

    def _work_ahead(self) -> None:
        if self.loaded is not None:
            self.checks.look()
            self._prefetch()

    def _prefetch(self) -> None:
        item = self.sitting.item
        if item is None:
            return
        number = self.sitting.next_open(item.number)
        ahead = number if number != item.number else None
        self.loader.prefetch(None if ahead is None else self.sitting.review.item(ahead))

    # -- answers -------------------------------------------------------------------------------

    def answer(self, kind: str, value: object, about: str = "") -> None:
        """Keep an answer at once."""
        if self.loaded is None:
            return
        self.sitting.say(kind, value, about)  # type: ignore[arg-type]
        self.page.show_answers(self.sitting)

    def _save_again(self) -> None:
        self.sitting.save_again()
        self.page.show_answers(self.sitting)

    def _still_missing(self) -> str:
        missing = self.sitting.missing()
        return f"Missing: {' and '.join(missing)}." if missing else ""

    def brought_to_front(self) -> bool:
        """Bring the item that a key would answer to the front; True if it was there before."""
        if self.tabs.currentWidget() is self.page:
            return True
        self.tabs.setCurrentWidget(self.page)
        self._clear_focus()
        self._tell("This is the item that keys answer. Press the key once more for it.")
        return False

    # -- what is seen --------------------------------------------------------------------------

    def toggle_attention(self) -> None:
        """Show or hide the map of attention."""
        if self.loaded is not None and not self.page.attention.isHidden():
            self.views.show_attention(not self.views.attention_on)
            self.page.attention.setChecked(self.views.attention_on)

    def _on_attention_busy(self, busy: bool) -> None:  # noqa: FBT001 - Qt's slot
        if busy:
            self._tell("Making the map of attention …")
        elif self.page.notice.text.startswith("Making the map"):
            self.page.notice.clear()

    def step_slice(self, step: int) -> None:
        """Turn over slices of the plane on the canvas."""
        # In slices of the CT: napari's own steps are those of the finest layer, whosever it is.
        planes = self.views.planes
        if self.loaded is not None and planes is not None and planes.on_canvas is not None:
            planes.turn_over(planes.on_canvas, step)

    def _tell(self, words: str) -> None:
        self.page.notice.say(words)

    # -- correcting ----------------------------------------------------------------------------

    def edit(self) -> None:
        """Hand the mask, and the keys, to the editor."""
        loaded = self.loaded
        if loaded is None or loaded.item.kind != "mask" or self.edit_panel.editing:
            return
        self.page.form.commit_comment()
        # What was said of an edit before, that its strokes wait say, would outlive this one.
        self.page.notice.clear()
        self.set_keys_enabled(False)
        self._pages.setCurrentWidget(self.edit_panel)
        self.edit_panel.begin(
            loaded, self.sitting.review.path, self.sitting.reader, views=self.views
        )

    def _on_edit_saved(self, _edit: Edit) -> None:
        self.sitting.reopen()

    def _on_edit_ended(self) -> None:
        self._pages.setCurrentWidget(self.tabs)
        self._clear_focus()
        self.set_keys_enabled(True)
        self.page.show_answers(self.sitting)
        self.list.refresh()

    def _busy_editing(self) -> bool:
        return bool(self.edit_panel.editing)

    def finish(self) -> None:
        """Ask for the last page."""
        if not self._busy_editing():
            self.page.form.commit_comment()
            self.finish_asked.emit()

    def _clear_focus(self) -> None:
        focus = QApplication.focusWidget()
        if focus is not None and self.window().isAncestorOf(focus):
            focus.clearFocus()

    def _last_resort(self) -> int:
        last = self.sitting.review.last_item(self.sitting.reader)
        return last if last is not None else 1
