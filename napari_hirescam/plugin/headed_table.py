"""What the Qt tables of this plugin have in common: a row of headings with tips."""

from __future__ import annotations

from typing import Any, ClassVar

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

Index = QModelIndex | QPersistentModelIndex

SORT_ROLE = Qt.ItemDataRole.UserRole
"""Role under which cells give the plain value they are sorted by."""


class HeadedTableModel(QAbstractTableModel):
    """A table whose columns are fixed, with a heading and a tip for each."""

    headings: ClassVar[tuple[str, ...]]
    tips: ClassVar[tuple[str, ...]]

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self.headings)

    def headerData(  # noqa: D102, N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.headings[section]
        return self.tips[section] if role == Qt.ItemDataRole.ToolTipRole else None
