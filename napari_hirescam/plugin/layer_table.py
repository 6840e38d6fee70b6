"""The layers of a network that can be explained, as a table to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.attention.share_seen import seen_in_words
from napari_hirescam.plugin.headed_table import SORT_ROLE, HeadedTableModel, Index
from napari_hirescam.plugin.model_facts import lengths
from napari_hirescam.plugin.verdict import verdict_of

if TYPE_CHECKING:
    from napari_hirescam.attention.layers import LayerCandidate

NAME, KIND, CHANNELS, CELLS, CELL_MM, FIELD_MM, GUARANTEE = range(7)
_HEADINGS = ("Layer", "Kind", "Channels", "Cells", "Cell (mm)", "Sees (mm)", "Guarantee")
_TIPS = (
    "Dotted name of the module whose output is explained. ★ marks the one to prefer.",
    "Class of the module.",
    "Number of feature maps.",
    "Cells of the map along the network's three axes.",
    "Distance from one cell to the next.",
    "Receptive field: what one cell sees of the CT.",
    "Whether the cells of a HiResCAM map add up to the score at this layer.",
)
_UNKNOWN = "–"  # noqa: RUF001 - an en dash stands for no value
# Pixels between columns, and the widest one.
_ROOM, _WIDEST = 12, 300


class LayerTableModel(HeadedTableModel):
    """One row for each layer.

    Parameters
    ----------
    candidates
        In the order the data meets them.
    """

    headings = _HEADINGS
    tips = _TIPS

    def __init__(self, candidates: Sequence[LayerCandidate] = ()) -> None:
        super().__init__()
        self._candidates = tuple(candidates)
        self._any_slices = False

    def set_candidates(
        self, candidates: Sequence[LayerCandidate], *, any_slices: bool = False
    ) -> None:
        """Show other layers."""
        self.beginResetModel()
        self._candidates, self._any_slices = tuple(candidates), any_slices
        self.endResetModel()

    def candidate(self, row: int) -> LayerCandidate:
        """Take the layer of a row."""
        return self._candidates[row]

    def row_of(self, name: str) -> int | None:
        """Find a layer's row."""
        names = [candidate.name for candidate in self._candidates]
        return names.index(name) if name in names else None

    def preferred(self) -> str | None:
        """Name the layer that should be explained, if one is preferred."""
        return next((c.name for c in self._candidates if c.preferred), None)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self._candidates)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        layer, column = self._candidates[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(layer, column, any_slices=self._any_slices)
        if role == SORT_ROLE:
            return _sorted_by(layer, column, index.row())
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(layer, column)
        if role == Qt.ItemDataRole.ForegroundRole and column == GUARANTEE:
            return QColor(verdict_of(layer.guarantee).colour)
        if role == Qt.ItemDataRole.FontRole and layer.preferred:
            bold = QFont()
            bold.setBold(True)
            return bold
        if role == Qt.ItemDataRole.TextAlignmentRole and CHANNELS <= column <= FIELD_MM:
            return Qt.AlignmentFlag.AlignCenter
        return None


def _text(layer: LayerCandidate, column: int, *, any_slices: bool) -> str:
    cells = lengths(layer.cells)
    if any_slices:
        cells = f"n{cells[cells.index(' ') :]}"
    verdict = verdict_of(layer.guarantee)
    return (
        f"★ {layer.name}" if layer.preferred else layer.name,
        layer.kind,
        str(layer.channels),
        cells,
        lengths(layer.cell_mm) if layer.cell_mm else _UNKNOWN,
        lengths(layer.receptive_field_mm) if layer.receptive_field_mm else _UNKNOWN,
        f"{verdict.symbol} {verdict.words}",
    )[column]


def _sorted_by(layer: LayerCandidate, column: int, row: int) -> float | str:
    """Give the value a column is sorted by: the name's is the order in the network."""

    def volume(size: Sequence[float] | None) -> float:
        product = 1.0
        for length in size or (0.0,):
            product *= length
        return product

    return (
        float(row),
        layer.kind,
        float(layer.channels),
        volume(layer.cells),
        volume(layer.cell_mm),
        volume(layer.receptive_field_mm),
        verdict_of(layer.guarantee).words,
    )[column]


def _tip(layer: LayerCandidate, column: int) -> str:
    if column == GUARANTEE:
        return f"{layer.guarantee.reason}.\n\n{verdict_of(layer.guarantee).why}"
    seen = seen_in_words(layer.share_seen)
    if column == FIELD_MM and seen and not layer.placement_note:
        return f"Each cell sees {seen}."
    if column in {CELL_MM, FIELD_MM} and layer.placement_note:
        return layer.placement_note
    if column in {CELL_MM, FIELD_MM} and layer.cell_mm is None:
        return "The model keeps each CT's own spacing: open a CT to know."
    return layer.name


class LayerTable(QWidget):
    """The table with a line to find a layer."""

    #: Another layer is selected; carries its name.
    chosen_changed = Signal(str)
    #: A layer was double-clicked; carries its name.
    accepted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = LayerTableModel()
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.model)
        self._proxy.setSortRole(SORT_ROLE)
        self._proxy.setFilterKeyColumn(-1)
        self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.filter_line = QLineEdit()
        self.filter_line.setPlaceholderText("Find a layer, a kind, 'exact' ...")
        self.filter_line.setClearButtonEnabled(True)
        self.filter_line.textChanged.connect(self._proxy.setFilterFixedString)
        self.view = QTableView()
        self.view.setModel(self._proxy)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setShowGrid(False)
        # The end of a dotted name tells layers apart.
        self.view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.view.setTabKeyNavigation(False)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(24)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(NAME, Qt.SortOrder.AscendingOrder)
        header = self.view.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        # What names are cut by is the kind of the layer, never the guarantee.
        header.setSectionResizeMode(KIND, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(80)
        self.view.selectionModel().currentRowChanged.connect(self._on_row_changed)
        self.view.doubleClicked.connect(self._on_double_click)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.filter_line)
        layout.addWidget(self.view, 1)

    def set_candidates(
        self,
        candidates: Sequence[LayerCandidate],
        chosen: str = "",
        *,
        any_slices: bool = False,
    ) -> None:
        """Show layers; `chosen` is selected, the preferred one where it is not among them.

        With `any_slices`, how many cells there are along the slices is the CT's to say.
        """
        self.model.set_candidates(candidates, any_slices=any_slices)
        self.view.resizeColumnsToContents()
        for column in range(len(_HEADINGS)):
            if column != KIND:
                width = self.view.columnWidth(column) + _ROOM
                self.view.setColumnWidth(column, min(width, _WIDEST))
        self.select(chosen if self.model.row_of(chosen) is not None else self.model.preferred())

    @property
    def chosen(self) -> str | None:
        """Name of the selected layer."""
        index = self.view.currentIndex()
        if not index.isValid():
            return None
        return self.model.candidate(self._proxy.mapToSource(index).row()).name

    def candidate(self, name: str) -> LayerCandidate | None:
        """Look a layer up by its name."""
        row = self.model.row_of(name)
        return None if row is None else self.model.candidate(row)

    def select(self, name: str | None) -> None:
        """Select a layer and scroll to it; nothing if it is unknown or filtered out."""
        row = self.model.row_of(name) if name else None
        if row is None:
            return
        index = self._proxy.mapFromSource(self.model.index(row, NAME))
        if index.isValid():
            self.view.setCurrentIndex(index)
            self.view.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)

    def _on_row_changed(self, _current: QModelIndex, _previous: QModelIndex) -> None:
        name = self.chosen
        if name is not None:
            self.chosen_changed.emit(name)

    def _on_double_click(self, _index: QModelIndex) -> None:
        name = self.chosen
        if name is not None:
            self.accepted.emit(name)
