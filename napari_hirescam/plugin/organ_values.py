"""Which values of a Labels layer are which organ, as a small table that can be edited."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QModelIndex, QSize, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_hirescam.plugin.headed_table import HeadedTableModel, Index

ORGAN, VALUES = range(2)
_ROW, _HEADER = 22, 26
_MOST_ROWS = 6
_HIGHEST = 2**31 - 1


class OrganValuesModel(HeadedTableModel):
    """One row for each organ that is needed; its values are typed with semicolons between."""

    headings = ("Organ", "Values in the layer")
    tips = (
        "Organs that the model's labels may lie in.",
        "Double-click to change: 10; 11 say. Empty where the layer does not show the organ.",
    )

    #: The user has changed the values of an organ.
    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[str, tuple[int, ...]]] = []

    @property
    def table(self) -> dict[str, tuple[int, ...]]:
        """Organ -> values, of the organs that have any."""
        return {organ: values for organ, values in self._rows if values}

    def set_table(self, table: Mapping[str, tuple[int, ...]]) -> None:
        """Show other organs."""
        self.beginResetModel()
        self._rows = [(organ, tuple(values)) for organ, values in table.items()]
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self._rows)

    def flags(self, index: Index) -> Qt.ItemFlag:  # noqa: D102
        plain = super().flags(index)
        return plain | Qt.ItemFlag.ItemIsEditable if index.column() == VALUES else plain

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return None
        organ, values = self._rows[index.row()]
        return organ if index.column() == ORGAN else "; ".join(map(str, values))

    def setData(  # noqa: D102, N802
        self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        if role != Qt.ItemDataRole.EditRole or index.column() != VALUES:
            return False
        values = parse_values(str(value))
        if values is None:
            return False
        organ, before = self._rows[index.row()]
        if values != before:
            self._rows[index.row()] = (organ, values)
            self.dataChanged.emit(index, index)
            self.edited.emit()
        return True


def parse_values(text: str) -> tuple[int, ...] | None:
    """Read label values with semicolons, commas or spaces between; None if they are none."""
    words = [word for word in re.split(r"[;,\s]+", text.strip()) if word]
    if not all(word.isdecimal() and 0 < int(word) <= _HIGHEST for word in words):
        return None
    return tuple(sorted({int(word) for word in words}))


class OrganValuesTable(QTableView):
    """The table, as high as its rows."""

    def __init__(self, model: OrganValuesModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        model.modelReset.connect(self._fit)
        self._fit()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for the height of the rows there are."""
        return QSize(280, self.maximumHeight())

    def _fit(self) -> None:
        rows = min(max(self.model().rowCount(), 1), _MOST_ROWS)
        self.setFixedHeight(rows * _ROW + _HEADER + 4)
