"""The table of places a search has found; a click or Enter goes to one."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QSize, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_hirescam.plugin.headed_table import SORT_ROLE
from napari_hirescam.plugin.hit_model import PROBABILITY, RANK, SLICE, HitTableModel
from napari_hirescam.plugin.label_table import ProbabilityBar

_ROW = 24
_WIDTHS = (28, 54, 47, 47, 47, 49)


class HitTable(QTableView):
    """Whole rows, one at a time, sortable.

    Parameters
    ----------
    model
        The hits.
    """

    #: Carries the SweepHit to go to.
    chosen = Signal(object)

    def __init__(self, model: HitTableModel) -> None:
        super().__init__()
        self._model = model
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(model)
        self._proxy.setSortRole(SORT_ROLE)
        self.setModel(self._proxy)
        self.setItemDelegateForColumn(PROBABILITY, ProbabilityBar(self))
        self.setSortingEnabled(True)
        self.sortByColumn(RANK, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setMinimumSize(sum(_WIDTHS) + 58, 6 * _ROW + 28)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(24)
        for column, width in enumerate(_WIDTHS):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setSectionResizeMode(SLICE, QHeaderView.ResizeMode.Stretch)
        self.clicked.connect(self._choose)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for eight rows."""
        return QSize(360, 8 * _ROW + 28)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Go to the row's place on Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self._choose(self.currentIndex())
            return
        super().keyPressEvent(event)

    def _choose(self, index: QModelIndex) -> None:
        self.chosen.emit(self._model.hit_at(self._proxy.mapToSource(index)))
