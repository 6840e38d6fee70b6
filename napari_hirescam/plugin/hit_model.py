"""The places a search has found, as a Qt table model."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QModelIndex, Qt

from napari_hirescam.attention.sweep import SweepHit, SweepResult
from napari_hirescam.plugin.headed_table import SORT_ROLE, HeadedTableModel, Index
from napari_hirescam.volume import Grid

RANK, PROBABILITY, LOGIT, LEFT, POSTERIOR, SUPERIOR, SLICE = range(7)
_HEADINGS = ("#", "p", "Logit", "L mm", "P mm", "S mm", "Slice")
_TIPS = (
    "Rank by the model's score; a click or Enter goes there.",
    "Probability of the label in the window around this place.",
    "The score before the sigmoid or softmax.",
    "Position of the window's centre towards the patient's left; negative to the right.",
    "Towards the back; negative to the front.",
    "Towards the head; negative to the feet.",
    "Slice of the CT, counted from 0 at the head, as on napari's slider.",
)
#: Rows shown at most; the rest is in the saved table.
MOST_ROWS = 200


class HitTableModel(HeadedTableModel):
    """One row for each place, the best first."""

    headings = _HEADINGS
    tips = _TIPS

    def __init__(self) -> None:
        super().__init__()
        self._hits: tuple[SweepHit, ...] = ()
        self._grid: Grid | None = None

    def set_result(self, result: SweepResult | None, grid: Grid | None) -> None:
        """Show the hits of a search of the CT that lies on `grid`; None shows nothing."""
        self.beginResetModel()
        self._hits = () if result is None else result.hits[:MOST_ROWS]
        self._grid = grid
        self.endResetModel()

    def hit_at(self, index: Index) -> SweepHit:
        """Give the hit of a row."""
        return self._hits[index.row()]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802
        return 0 if parent.isValid() else len(self._hits)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role not in (Qt.ItemDataRole.DisplayRole, SORT_ROLE):
            return None
        hit = self.hit_at(index)
        inferior, posterior, left = hit.centre_mm
        values: tuple[float, ...] = (
            hit.rank,
            hit.probability,
            hit.logit,
            left,
            posterior,
            -inferior,
            self._slice_of(hit),
        )
        value = values[index.column()]
        if role == SORT_ROLE:
            return value
        shapes = ("{:.0f}", "{:.3f}", "{:+.2f}", "{:.1f}", "{:.1f}", "{:.1f}", "{:.0f}")
        return shapes[index.column()].format(value)

    def _slice_of(self, hit: SweepHit) -> int:
        if self._grid is None:
            return 0
        return int(np.rint(self._grid.to_index(hit.centre_mm)[0]))
