"""The keys of an edit; they belong to it alone while it is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeySequence, QShortcut

from napari_hirescam.plugin.reviewing.mask_operations import OPERATIONS
from napari_hirescam.plugin.reviewing.paint_tools import TOOLS

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.edit_controls import EditControls

#: What each key does, for the list of all keys.
EDIT_KEYS: dict[str, str] = {
    **{letter: text for text, letter in TOOLS.values()},
    "[ ]": "smaller and larger brush",
    "T": "brush in the slice or in 3-D",
    "H": "HU range on and off",
    **{operation.key: operation.text for operation in OPERATIONS},
    "M": "mark the slice",
    "D": "difference in colour",
    "Space": "edited mask on and off",
    "Ctrl+Z": "undo",
    "Ctrl+Shift+Z": "redo",
    "E": "save the edit",
    "Esc": "give up a lasso; end, keeping the strokes for later",
}


class EditKeys(QObject):
    """Shortcuts of the window that the controls lie in.

    Qt asks shortcuts before any widget, so that napari's keys of a Labels layer do not win; text
    fields still get the letters typed in them.

    Parameters
    ----------
    controls
        Whose buttons the keys press.
    """

    def __init__(self, controls: EditControls) -> None:
        super().__init__(controls)
        self._controls = controls
        tools = controls.tools
        self._painting = [
            *(self._key(letter, _chooser(tools.choose, key)) for key, (_, letter) in TOOLS.items()),
            self._key("[", lambda: tools.change_brush(-1)),
            self._key("]", lambda: tools.change_brush(+1)),
            self._key("T", tools.toggle_dimensions),
            self._key("H", tools.toggle_limit),
            *(
                self._key(operation.key, controls.operations.buttons[operation.text].click)
                for operation in OPERATIONS
            ),
            self._key("M", controls.marks.toggle),
            self._key("D", controls.difference.button.click),
            self._key("Space", controls.toggle_visible),
            self._key("Ctrl+Z", controls.undo.click),
            self._key("Ctrl+Shift+Z", controls.redo.click),
            self._key("E", controls.save.click),
            self._key("Ctrl+Return", controls.save.click),
        ]
        self._asking = [
            self._key("Y", controls.rescue.yes.click),
            self._key("N", controls.rescue.no.click),
        ]
        self._leaving = self._key("Esc", controls.escape)
        self.update()

    def update(self) -> None:
        """Let the keys work that can be used now, and no others."""
        asking = self._controls.rescue.asking
        for shortcut in self._painting:
            shortcut.setEnabled(self._controls.painting)
        for shortcut in self._asking:
            shortcut.setEnabled(asking)
        self._leaving.setEnabled(self._controls.later.isEnabled())

    def _key(self, key: str, press: Callable[[], object]) -> QShortcut:
        shortcut = QShortcut(QKeySequence(key), self._controls)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.setAutoRepeat(key in {"[", "]", "Ctrl+Z", "Ctrl+Shift+Z"})
        shortcut.activated.connect(press)
        return shortcut


def _chooser(choose: Callable[[str], None], key: str) -> Callable[[], None]:
    return lambda: choose(key)
