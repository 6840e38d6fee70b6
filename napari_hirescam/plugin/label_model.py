"""The labels of a model with their scores and ticks, as a Qt table model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import (
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor

from napari_hirescam.attention.result import Explanation
from napari_hirescam.plugin.headed_table import SORT_ROLE, HeadedTableModel, Index

LABEL, PROBABILITY, LOGIT = range(3)
_HEADINGS = ("Label", "Probability", "Logit")
_TIPS = (
    "Tick a label to see its attention maps.",
    "What the model answers for this label.",
    "The score before the sigmoid or softmax: what the maps explain.",
)
_NO_SCORE = "–"  # noqa: RUF001 - an en dash stands for no value


class LabelTableModel(HeadedTableModel):
    """One row for each label: a tick, the probability and the logit.

    Labels of a model that has not been run yet have no scores and cannot be ticked.

    Parameters
    ----------
    colour_of
        Gives the colour a ticked label's map is drawn in.
    """

    headings = _HEADINGS
    tips = _TIPS

    ticks_changed = Signal()

    def __init__(self, colour_of: Callable[[str], str | None] = lambda _label: None) -> None:
        super().__init__()
        self._colour_of = colour_of
        self._labels: tuple[str, ...] = ()
        self._scores: dict[str, tuple[float, float]] = {}
        self._ticked: list[str] = []

    @property
    def ticked(self) -> tuple[str, ...]:
        """Ticked labels, in the order they were ticked."""
        return tuple(self._ticked)

    def set_labels(self, labels: Sequence[str]) -> None:
        """Show labels that have no scores yet; all ticks go."""
        self._replace(tuple(labels), {})

    def set_explanation(self, explanation: Explanation, *, keep_ticks: bool = True) -> None:
        """Show the scores; labels that were ticked stay ticked, else the most probable is."""
        kept = [k for k in self._ticked if keep_ticks and k in explanation.labels]
        scores = {
            label: (float(p), float(z))
            for label, p, z in zip(
                explanation.labels, explanation.probabilities, explanation.logits, strict=True
            )
        }
        self._replace(explanation.labels, scores)
        self.set_ticked(kept or explanation.ranked()[:1])

    def set_ticked(self, labels: Sequence[str]) -> None:
        """Tick exactly these labels; those without a score are left out."""
        self._ticked = [label for label in labels if label in self._scores]
        self.refresh()
        self.ticks_changed.emit()

    def untick(self, label: str) -> None:
        """Take the tick from one label."""
        self.set_ticked([other for other in self._ticked if other != label])

    def refresh(self) -> None:
        """Repaint ticks and colours."""
        if self._labels:
            last = len(self._labels) - 1
            self.dataChanged.emit(self.index(0, LABEL), self.index(last, LOGIT))

    def label_at(self, index: Index) -> str:
        """Name the label of a row."""
        return self._labels[index.row()]

    def index_of(self, label: str) -> QModelIndex:
        """Find the first cell of a label's row."""
        return self.index(self._labels.index(label), LABEL)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self._labels)

    def flags(self, index: Index) -> Qt.ItemFlag:  # noqa: D102
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == LABEL and self.label_at(index) in self._scores:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        label = self.label_at(index)
        if index.column() == LABEL:
            return self._label_data(label, role)
        score = self._scores.get(label)
        value = None if score is None else score[index.column() - PROBABILITY]
        if role == SORT_ROLE:
            return float("-inf") if value is None else value
        if role == Qt.ItemDataRole.DisplayRole:
            shape = "{:.3f}" if index.column() == PROBABILITY else "{:+.2f}"
            return _NO_SCORE if value is None else shape.format(value)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def setData(  # noqa: D102, N802
        self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        label = self.label_at(index)
        tickable = index.column() == LABEL and label in self._scores
        if role != Qt.ItemDataRole.CheckStateRole or not tickable:
            return False
        others = [other for other in self._ticked if other != label]
        ticked = Qt.CheckState(value) == Qt.CheckState.Checked
        self.set_ticked([*others, label] if ticked else others)
        return True

    def _label_data(self, label: str, role: int) -> Any:
        if role in (Qt.ItemDataRole.DisplayRole, SORT_ROLE, Qt.ItemDataRole.ToolTipRole):
            return label
        if role == Qt.ItemDataRole.CheckStateRole and label in self._scores:
            ticked = label in self._ticked
            return Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.DecorationRole and label in self._ticked:
            colour = self._colour_of(label)
            return QColor(colour) if colour else None
        return None

    def _replace(self, labels: tuple[str, ...], scores: dict[str, tuple[float, float]]) -> None:
        self.beginResetModel()
        self._labels, self._scores = labels, scores
        self._ticked = []
        self.endResetModel()


class LabelFilter(QSortFilterProxyModel):
    """Sorts by value rather than by text, and keeps the labels that contain a text."""

    def __init__(self, model: LabelTableModel) -> None:
        super().__init__()
        self.setSourceModel(model)
        self.setSortRole(SORT_ROLE)
        self.setFilterKeyColumn(LABEL)
        self.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.sort(PROBABILITY, Qt.SortOrder.DescendingOrder)
