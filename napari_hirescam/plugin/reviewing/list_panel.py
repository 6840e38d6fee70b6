"""The work list of a reader: filter, search, and a way back to any item."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, Qt, QTimer, Signal
from qtpy.QtGui import QFont
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.headed_table import HeadedTableModel, Index
from napari_hirescam.plugin.reviewing.form_panel import DECISIONS, CommentLine

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.sitting import Sitting
    from napari_hirescam.review.review_file import Row, Status

NUMBER, CASE, TARGET, RATING, DECISION, STATE, CHECK = range(7)
FILTERS: dict[str, Status] = {
    "All": "all",
    "Open": "open",
    "Done": "done",
    "Flagged": "flagged",
    "Rejected": "rejected",
    "Corrected": "edited",
    "Unreadable": "unreadable",
}
# Typing asks many times a second.
_PATIENCE_MS = 120


class WorkListModel(HeadedTableModel):
    """One row for each item."""

    headings = ("No.", "Case", "Organ or label", "Rated", "Decided", "", "Check")
    tips = (
        "Place in the work list.",
        "Name of the scan.",
        "What is judged.",
        "Your rating.",
        "Your decision.",
        "✓ final, ⚑ flagged, ✗ cannot be read.",
        "How grave the worst finding of the automatic checks is, from 0 to 1.",
    )

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[Row] = ()
        self._current = 0

    def set_rows(self, rows: Sequence[Row], current: int) -> None:
        """Show other rows."""
        self.beginResetModel()
        self._rows, self._current = rows, current
        self.endResetModel()

    def number(self, row: int) -> int:
        """Give the item of a row."""
        return self._rows[row].number

    def place(self, number: int) -> int | None:
        """Find an item's row."""
        return next((k for k, row in enumerate(self._rows) if row.number == number), None)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        row, column = self._rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(row, column)
        if role == Qt.ItemDataRole.FontRole and row.number == self._current:
            bold = QFont()
            bold.setBold(True)
            return bold
        if role == Qt.ItemDataRole.TextAlignmentRole and column in {RATING, STATE, CHECK}:
            return Qt.AlignmentFlag.AlignCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            return _text(row, column)
        return None


def _text(row: Row, column: int) -> str:
    if column == STATE:
        marks = ("✓" if row.done else "", "⚑" if row.flagged else "", "✗" if row.unreadable else "")
        return "".join(marks)
    if column == DECISION:
        return DECISIONS[row.decision][0] if row.decision in DECISIONS else ""  # type: ignore[index]
    if column == CHECK:
        return "" if isnan(row.worst_check) else f"{row.worst_check:.1f}"
    if column == RATING:
        return "" if row.rating is None else str(row.rating)
    return (str(row.number), row.case, row.target)[column]


class ListPanel(QWidget):
    """The list; it is read anew when it is looked at, not with every answer."""

    #: An item was chosen; carries its number.
    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sitting: Sitting | None = None
        self.model = WorkListModel()
        self.filter = QComboBox()
        self.filter.addItems(list(FILTERS))
        self.filter.currentTextChanged.connect(self.refresh)
        self.search = CommentLine("Search  (L)")
        self.search.setClearButtonEnabled(True)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PATIENCE_MS)
        self._soon.timeout.connect(self.refresh)
        self.search.textChanged.connect(self._soon.start)
        self.search.entered.connect(self._on_entered)
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setShowGrid(False)
        self.view.setTabKeyNavigation(False)
        self.view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(22)
        header = self.view.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(CASE, QHeaderView.ResizeMode.Stretch)
        for column, width in (
            (NUMBER, 40),
            (TARGET, 92),
            (RATING, 42),
            (DECISION, 58),
            (STATE, 34),
            (CHECK, 44),
        ):
            self.view.setColumnWidth(column, width)
        self.view.activated.connect(self._on_activated)
        self.view.clicked.connect(self._on_activated)
        self._count = QLabel()
        row = QHBoxLayout()
        row.addWidget(self.filter)
        row.addWidget(self.search, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.view, 1)
        layout.addWidget(self._count)

    def set_sitting(self, sitting: Sitting | None) -> None:
        """Show the work list of a reader."""
        self._sitting = sitting
        if sitting is not None:
            # Only what the sitting searches: names, and what may tell them, can be hidden.
            found = "case, organ, split, comment" if sitting.shows_names() else "number, organ"
            self.search.setPlaceholderText(f"Search {found}  (L)")
            self.view.setColumnHidden(CASE, not sitting.shows_names())
            self.view.setColumnHidden(CHECK, not sitting.shows_checks())
            header = self.view.horizontalHeader()
            wide = CASE if sitting.shows_names() else TARGET
            header.setSectionResizeMode(wide, QHeaderView.ResizeMode.Stretch)
        self.refresh()

    def refresh(self) -> None:
        """Read the list anew, if it is looked at."""
        if self._sitting is None:
            self.model.set_rows((), 0)
            return
        if not self.isVisible():
            return
        current = self._sitting.item.number if self._sitting.item is not None else 0
        rows = self._sitting.rows(FILTERS[self.filter.currentText()], self.search.text())
        self.model.set_rows(rows, current)
        self._count.setText(f"{len(rows):,} of {self._sitting.total:,}")
        place = self.model.place(current)
        if place is not None:
            index = self.model.index(place, 0)
            self.view.selectRow(place)
            self.view.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)

    def showEvent(self, event: Any) -> None:  # noqa: D102, N802
        super().showEvent(event)
        self.refresh()

    def _on_entered(self) -> None:
        """Choose the first that was found."""
        self._soon.stop()
        self.refresh()
        if self.model.rowCount():
            self.chosen.emit(self.model.number(0))

    def _on_activated(self, index: QModelIndex) -> None:
        self.chosen.emit(self.model.number(index.row()))
