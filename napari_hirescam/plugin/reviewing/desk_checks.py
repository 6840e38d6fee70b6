"""The automatic checks of the item on the screen: from the file, or made when the reader looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_hirescam.errors import ReviewError
from napari_hirescam.plugin.reviewing.item_checker import ItemChecker

if TYPE_CHECKING:
    from napari_hirescam.errors import HirescamError
    from napari_hirescam.plugin.reviewing.checks_panel import ChecksPanel
    from napari_hirescam.plugin.reviewing.sitting import Sitting
    from napari_hirescam.review.item import MaskFacts
    from napari_hirescam.review.loading import LoadedItem


class DeskChecks(QObject):
    """Fills the panel with what is known of a mask, and finds out what is not.

    Parameters
    ----------
    sitting
        Whose review it is; its file keeps what was found.
    panel
        Where it is told.
    parent
        Qt's.
    """

    #: Words for the reader.
    told = Signal(str)

    def __init__(self, sitting: Sitting, panel: ChecksPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._sitting = sitting
        self._panel = panel
        self._checker = ItemChecker(self)
        self._checker.checked.connect(self._on_checked)
        self._checker.failed.connect(self._on_failed)
        self._unchecked: LoadedItem | None = None

    def show(self, loaded: LoadedItem) -> None:
        """Show what the file knows of a mask; if it knows nothing, :meth:`look` is wanted."""
        self._unchecked = None
        if not self._sitting.shows_checks() or loaded.item.kind != "mask":
            return
        facts = self._sitting.review.facts(loaded.item.number)
        if facts is not None:
            self._panel.show_facts(facts)
        elif loaded.mask is not None:
            self._panel.show_words("Looking at the mask …")
            self._unchecked = loaded

    def look(self) -> None:
        """Check the mask that was shown, in a thread, if nothing is known of it."""
        if self._unchecked is not None:
            self._checker.check(self._unchecked)
            self._unchecked = None

    def clear(self) -> None:
        """Stop looking, and show nothing."""
        self._unchecked = None
        self._checker.abandon()
        self._panel.show_words("")

    def forget(self) -> None:
        """Stop looking, and keep nothing in memory."""
        self._unchecked = None
        self._checker.forget()

    def _on_checked(self, number: int, facts: MaskFacts) -> None:
        try:
            self._sitting.review.put_facts(number, facts)
        except ReviewError as error:
            # They can be had anew at any time; the answers are what must not be lost.
            self.told.emit(f"What the checks found was not kept. {error}")
        if self._sitting.item is not None and self._sitting.item.number == number:
            self._panel.show_facts(facts)

    def _on_failed(self, error: HirescamError) -> None:
        self._panel.show_words(f"Not checked. {error}")
