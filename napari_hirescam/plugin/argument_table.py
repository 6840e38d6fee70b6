"""The arguments of a network as an editable table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import InputError
from napari_hirescam.models.draft import plain_value

_NAME, _VALUE, _NOTE = range(3)


class ArgumentTable(QWidget):
    """Name, value (as in model.yaml) and a note on where it comes from."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Argument", "Value", "Where it comes from"])
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        header.resizeSection(_NAME, 150)
        header.resizeSection(_VALUE, 150)
        self.table.setMinimumHeight(120)
        self.table.setWordWrap(True)
        self.table.itemChanged.connect(self._on_item_changed)
        self._filling = False
        add, remove = QPushButton("Add argument"), QPushButton("Remove")
        add.clicked.connect(self._add)
        remove.clicked.connect(self._remove)
        buttons = QHBoxLayout()
        buttons.addWidget(add)
        buttons.addWidget(remove)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)

    def fill(self, arguments: Mapping[str, Any], notes: Mapping[str, str]) -> None:
        """Show arguments; `notes` may name arguments that are left at their default."""
        self._filling = True
        self.table.setRowCount(0)
        for name in [*arguments, *(name for name in notes if name not in arguments)]:
            text = as_text(arguments[name]) if name in arguments else ""
            self._append(name, text, notes.get(name, ""))
        self.table.resizeRowsToContents()
        self._filling = False

    def arguments(self) -> dict[str, Any]:
        """Read the table; rows without a value are left at the network's default.

        Raises
        ------
        InputError
            A name is missing or there twice, or a value is not plain.
        """
        found: dict[str, Any] = {}
        for row in range(self.table.rowCount()):
            name, value = self._text(row, _NAME), self._text(row, _VALUE)
            if not value:
                continue
            if not name.isidentifier() or name in found:
                raise InputError("arguments", f"row {row + 1} needs a name of its own", "Give one")
            found[name] = plain_value(value)
        return found

    def set_value(self, name: str, value: Any) -> None:
        """Set an argument, in a new row if there is none of that name."""
        for row in range(self.table.rowCount()):
            item = self.table.item(row, _VALUE)
            if item is not None and self._text(row, _NAME) == name:
                item.setText(as_text(value))
                return
        self._append(name, as_text(value), "")
        self.edited.emit()

    def _text(self, row: int, column: int) -> str:
        item = self.table.item(row, column)
        return item.text().strip() if item is not None else ""

    def _append(self, name: str, value: str, note: str) -> None:
        row = self.table.rowCount()
        self.table.insertRow(row)
        for column, text in ((_NAME, name), (_VALUE, value), (_NOTE, note)):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            if column == _NOTE:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            self.table.setItem(row, column, item)

    def _add(self) -> None:
        self._filling = True
        self._append("", "", "")
        self._filling = False
        self.table.setCurrentCell(self.table.rowCount() - 1, _NAME)
        self.table.edit(self.table.currentIndex())

    def _remove(self) -> None:
        rows = sorted({index.row() for index in self.table.selectedIndexes()}, reverse=True)
        for row in rows:
            self.table.removeRow(row)
        if rows:
            self.edited.emit()

    def _on_item_changed(self, _item: QTableWidgetItem) -> None:
        if not self._filling:
            self.edited.emit()


def as_text(value: Any) -> str:
    """Write a plain value as :func:`plain_value` reads it."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.strip().removesuffix("...").strip()
