"""The table of labels the user ticks, with a line to find one among many."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.headed_table import SORT_ROLE, Index
from napari_hirescam.plugin.label_model import (
    LABEL,
    LOGIT,
    PROBABILITY,
    LabelFilter,
    LabelTableModel,
)

_BAR = QColor("#3d7ea6")
_BAR_GROUND = QColor(128, 128, 128, 50)
_ROWS_WITHOUT_FILTER = 8
# Heights in pixels, and the rows that are asked for.
_ROW, _HEADER = 24, 28
_LEAST_ROWS, _MOST_ROWS = 2, 5


class ProbabilityBar(QStyledItemDelegate):
    """Draws a probability as a bar behind its number."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row's ground, the bar on it, and the number on both."""
        own = QStyleOptionViewItem(option)
        self.initStyleOption(own, index)
        text, own.text = own.text, ""
        own.widget.style().drawControl(
            QStyle.ControlElement.CE_ItemViewItem, own, painter, own.widget
        )
        value = index.data(SORT_ROLE)
        whole = own.rect.adjusted(3, 4, -3, -4)
        painter.save()
        if value >= 0:
            part = QRect(whole)
            part.setWidth(max(1, round(whole.width() * min(value, 1.0))))
            painter.fillRect(whole, _BAR_GROUND)
            painter.fillRect(part, _BAR)
        painter.setPen(own.palette.color(own.palette.ColorRole.Text))
        painter.drawText(
            whole.adjusted(0, 0, -5, 0),
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
            text,
        )
        painter.restore()


class LabelTable(QWidget):
    """A filter line over the table.

    Parameters
    ----------
    model
        The labels; ticks are read from there.
    """

    current_changed = Signal()

    def __init__(self, model: LabelTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._proxy = LabelFilter(model)

        self._filter = QLineEdit()
        self._filter.setPlaceholderText("Find a label")
        self._filter.setClearButtonEnabled(True)
        self._filter.setToolTip("Show only the labels that contain this text.")
        self._filter.textChanged.connect(self._proxy.setFilterFixedString)

        self._view = _Rows()
        self._view.setModel(self._proxy)
        self._view.setItemDelegateForColumn(PROBABILITY, ProbabilityBar(self._view))
        self._view.setSortingEnabled(True)
        self._view.sortByColumn(PROBABILITY, Qt.SortOrder.DescendingOrder)
        header = self._view.horizontalHeader()
        header.setSectionResizeMode(LABEL, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(PROBABILITY, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(LOGIT, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(PROBABILITY, 100)
        header.resizeSection(LOGIT, 58)
        self._view.selectionModel().currentChanged.connect(self._on_current_changed)
        model.modelReset.connect(self._on_reset)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._filter)
        layout.addWidget(self._view)
        self._on_reset()

    @property
    def view(self) -> QTableView:
        """The table itself."""
        return self._view

    @property
    def filter_line(self) -> QLineEdit:
        """Where the text to look for is typed."""
        return self._filter

    def current_label(self) -> str | None:
        """Name the label of the selected row, if any."""
        index = self._view.currentIndex()
        if not index.isValid():
            return None
        return self._model.label_at(self._proxy.mapToSource(index))

    def select(self, label: str) -> None:
        """Select and scroll to a label's row; nothing if the filter hides it."""
        index = self._proxy.mapFromSource(self._model.index_of(label))
        if index.isValid():
            self._view.setCurrentIndex(index)

    def _on_current_changed(self, _current: QModelIndex, _previous: QModelIndex) -> None:
        self.current_changed.emit()

    def _on_reset(self) -> None:
        self._view.updateGeometry()
        self._filter.setVisible(self._model.rowCount() > _ROWS_WITHOUT_FILTER)


class _Rows(QTableView):
    """Whole rows, one at a time, no grid, no edit boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setAlternatingRowColors(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.setMinimumHeight(_HEADER + _LEAST_ROWS * _ROW)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setIconSize(QSize(12, 12))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for a row for each of a few labels; the layout gives more where there is room."""
        model = self.model()
        rows = model.rowCount() if model is not None else 0
        return QSize(320, _HEADER + min(max(rows, _LEAST_ROWS), _MOST_ROWS) * _ROW)
