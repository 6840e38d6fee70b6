"""What the readers said whose difference is to be settled, and taking over a correction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_hirescam.plugin.reviewing.rows import Rows
from napari_hirescam.plugin.section import let_cut

if TYPE_CHECKING:
    from napari_hirescam.review.event import Edit


class SettlePanel(Rows):
    """A line for each reader, with a button to take over their corrected mask."""

    #: Carries the Edit.
    taken = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.grid.setColumnStretch(0, 1)
        self._edits: list[Edit] = []

    def show_answers(self, answers: Mapping[str, str], edits: Mapping[str, Edit]) -> None:
        """Show what readers said, in words, by the names they have here."""
        self.clear()
        self._edits = list(edits.values())
        for row, (reader, words) in enumerate(answers.items()):
            line = QLabel(f"{reader}: {words}")
            line.setTextFormat(Qt.TextFormat.PlainText)
            line.setWordWrap(True)
            let_cut(line)
            self.grid.addWidget(line, row, 0)
            if reader in edits:
                place = self._edits.index(edits[reader])
                button = QPushButton("Take its mask  " + ("T" if place == 0 else "⇧T"))
                button.setToolTip("This reader's corrected mask becomes yours; E goes on from it.")
                button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
                button.clicked.connect(lambda _down, place=place: self.take(place))
                self.grid.addWidget(button, row, 1, Qt.AlignmentFlag.AlignTop)
        self.setVisible(bool(answers))

    def take(self, place: int) -> None:
        """Take over a corrected mask, by its place from 0; nothing if there is none."""
        if place < len(self._edits):
            self.taken.emit(self._edits[place])
