"""The measures of the shown maps, each with the chance level beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_hirescam.attention.methods import METHODS
from napari_hirescam.plugin.headed_table import HeadedTableModel, Index

if TYPE_CHECKING:
    from napari_hirescam.evaluation.case_measures import MapMeasures

MAP, ORGAN_IOU, INSIDE, HIT = range(4)
_WIDTHS = {ORGAN_IOU: 78, INSIDE: 78, HIT: 72}
# A label and its method do not fit beside each other into a narrow dock.
_ROW, _HEADER = 36, 26
_MOST_ROWS = 6
_UNKNOWN = "–"  # noqa: RUF001 - an en dash stands for no value


class MeasuresModel(HeadedTableModel):
    """One row for each label and method."""

    headings = ("Map", "OrganIoU", "Inside", "Hit")
    tips = (
        "A label whose map is shown, and the method that made the map.",
        "Share of the cells above the threshold that lie inside the label's organs (by chance).",
        "Share of the positive attention that lies inside those organs (of an even map).",
        "Whether the strongest cell lies inside them (share of all cells that do).",
    )

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[MapMeasures, ...] = ()

    @property
    def rows(self) -> tuple[MapMeasures, ...]:
        """What is shown."""
        return self._rows

    def set_rows(self, rows: Sequence[MapMeasures]) -> None:
        """Show other maps."""
        self.beginResetModel()
        self._rows = tuple(rows)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        row, column = self._rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(row)
        if role == Qt.ItemDataRole.TextAlignmentRole and column >= ORGAN_IOU:
            return Qt.AlignmentFlag.AlignCenter
        return None


def _text(row: MapMeasures, column: int) -> str:
    hit = {0.0: "no", 1.0: "yes"}.get(row.hit, _number(row.hit))
    return (
        f"{row.label}\n{METHODS[row.method].title}",
        _beside_chance(_number(row.organ_iou), row.chance_cells),
        _beside_chance(_number(row.share_inside), row.chance_share),
        _beside_chance(hit, row.chance_cells),
    )[column]


def _beside_chance(value: str, chance: float) -> str:
    return value if value == _UNKNOWN else f"{value} ({_number(chance)})"


def _number(value: float) -> str:
    return _UNKNOWN if math.isnan(value) else f"{value:.2f}"


def _tip(row: MapMeasures) -> str:
    where = ", ".join(row.organs)
    if row.silent:
        return f"{row.label} may lie in: {where}.\nNo cell of this map is positive."
    lines = [f"{row.label} may lie in: {where}."]
    if not math.isnan(row.threshold):
        lines.append(f"Cut at {row.threshold:g} of the map's maximum.")
    if math.isnan(row.organ_iou):
        if row.chance_cells == 0:
            why = "no cell of the map lies in these organs"
        else:
            why = "no threshold was tuned, or no cell is above it"
        lines.append(f"OrganIoU is not defined: {why}.")
    else:
        lines.append(
            f"OrganIoU {row.organ_iou:.4f}; {row.organ_iou_reference:.4f} as the paper's code "
            "counts, which gives 0 where nothing leaks."
        )
    lines.append(f"Inside: {row.share_inside:.4f}; an even map: {row.chance_share:.4f}.")
    return "\n".join(lines)


class MeasuresTable(QTableView):
    """The table, as high as its rows."""

    def __init__(self, model: MeasuresModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(MAP, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        model.modelReset.connect(self._fit)
        self._fit()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for the height of the rows there are."""
        return QSize(360, self.maximumHeight())

    def _fit(self) -> None:
        rows = min(max(self.model().rowCount(), 1), _MOST_ROWS)
        self.setFixedHeight(rows * _ROW + _HEADER + 4)
