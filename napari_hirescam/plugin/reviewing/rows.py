"""Rows of widgets that are filled anew for each item."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QWidget


class Rows(QWidget):
    """A grid without margins that can be emptied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setSpacing(2)

    def clear(self) -> None:
        """Take all widgets out."""
        while self.grid.count():
            item = self.grid.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()
                widget.deleteLater()
