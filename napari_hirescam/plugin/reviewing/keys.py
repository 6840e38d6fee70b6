"""The keys of a review: two hands on the keyboard, and napari's own bindings stand back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)


@dataclass(frozen=True)
class Key:
    """A key and what it does.

    Parameters
    ----------
    action
        Name of the action.
    sequence
        As Qt writes it.
    does
        In words; empty for one of a row that the first of them explains.
    shown
        How the key is written in the list of keys; the sequence if empty.
    """

    action: str
    sequence: str
    does: str = ""
    shown: str = ""


_N_RATINGS = 5
_N_EXTRAS = 9

KEYS: tuple[Key, ...] = (
    Key("rate 1", "1", "rate; what each step means stands beside it", "1 to 5"),
    *(Key(f"rate {step}", str(step)) for step in range(2, _N_RATINGS + 1)),
    Key("use", "A", "use the mask (accept)"),
    Key("rough", "Shift+A", "use the rough region instead"),
    Key("exclude", "R", "exclude the mask (reject)"),
    Key("resegment", "Shift+R", "have it segmented again"),
    Key("reason 1", "Ctrl+1", "what is wrong: tick the first, second ... reason", "Ctrl+1 to 9"),
    *(Key(f"reason {place}", f"Ctrl+{place}") for place in range(2, _N_EXTRAS + 1)),
    Key("question 1", "Alt+1", "first, second ... question: yes, no, unanswered", "Alt+1 to 9"),
    *(Key(f"question {place}", f"Alt+{place}") for place in range(2, _N_EXTRAS + 1)),
    Key("next", "N", "done: next open item; an incomplete one stays open"),
    Key("previous", "P", "previous item of the list"),
    Key("following", "Shift+N", "following item of the list, open or not"),
    Key("take 1", "T", "differences to settle: take over a corrected mask", "T, Shift+T"),
    Key("take 2", "Shift+T"),
    Key("edit", "E", "correct the mask; E once more keeps the correction"),
    Key("flag", "F", "flag"),
    Key("comment", "C", "write a comment; Esc or Enter returns"),
    Key("headwards", "W", "a slice back (axial: towards the head) and, with S, on", "W, S"),
    Key("footwards", "S"),
    Key("mask", "Space", "mask on and off"),
    Key("next place", "]", "next suspicious place"),
    Key("previous place", "[", "previous suspicious place"),
    Key("surface", "V", "the mask's surface in 3-D, and back to the planes"),
    Key("others", "O", "outlines of the other organs of the mask's file, on and off"),
    Key("attention", "M", "map of attention on and off"),
    Key("list", "L", "work list, filter and search; Esc or Enter returns"),
    Key("finish", "Q", "how far you are, results, leave"),
    Key("keys", "?", "these keys"),
)
#: May be held down; the others would rush through the list or flicker.
_REPEATING = frozenset({"next place", "previous place", "headwards", "footwards"})


class ReviewKeys(QObject):
    """Shortcuts of the whole window.

    Qt looks for shortcuts before it hands a key to the canvas, so they win over napari's bindings;
    a text field that has the focus claims what can be typed, so typing never rates.

    Parameters
    ----------
    window
        Where they hold: the main window, whose docks may float.
    actions
        By the names in :data:`KEYS`.
    """

    def __init__(self, window: QWidget, actions: Mapping[str, Callable[[], None]]) -> None:
        super().__init__()
        self._shortcuts: list[QShortcut] = []
        for key in KEYS:
            shortcut = QShortcut(QKeySequence(key.sequence), window)
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.setAutoRepeat(key.action in _REPEATING)
            shortcut.activated.connect(actions[key.action])
            self._shortcuts.append(shortcut)

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - as Qt's setEnabled
        """Let the keys hold, or leave them to whoever wants them: the editor."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(enabled)

    def remove(self) -> None:
        """Give the keys back to napari."""
        shortcuts, self._shortcuts = self._shortcuts, []
        for shortcut in shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()


class KeysDialog(QDialog):
    """All keys: those of an item, and those of a correction."""

    def __init__(self, parent: QWidget | None = None) -> None:
        from napari_hirescam.plugin.reviewing.edit_keys import EDIT_KEYS

        super().__init__(parent)
        self.setWindowTitle("Keys of the review")
        reviewing = {key.shown or key.sequence: key.does for key in KEYS if key.does}
        columns = QHBoxLayout()
        columns.setSpacing(28)
        columns.addLayout(_column("While an item is on the screen", reviewing))
        columns.addLayout(_column("While a mask is corrected", EDIT_KEYS))
        note = QLabel("While a text field has the focus, keys write; Esc or Enter leaves it.")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(columns)
        layout.addWidget(note)
        layout.addWidget(buttons)


def _column(title: str, keys: Mapping[str, str]) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(14)
    grid.setVerticalSpacing(3)
    grid.addWidget(QLabel(f"<b>{title}</b>"), 0, 0, 1, 2)
    for row, (key, does) in enumerate(keys.items(), 1):
        grid.addWidget(QLabel(f"<b>{key}</b>"), row, 0)
        grid.addWidget(QLabel(does), row, 1)
    grid.setRowStretch(len(keys) + 1, 1)
    return grid
