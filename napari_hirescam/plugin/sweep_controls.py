"""What a search is asked and answers with: the widgets of the search panel."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.hit_model import HitTableModel
from napari_hirescam.plugin.hit_table import HitTable

#: Widest step that can be asked for.
_MOST_MM = 200.0


class SweepControls(QWidget):
    """Label, step, button and progress; the list of places, and what of the result is shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hits = HitTableModel()
        self._make_controls()
        self._lay_out()

    def _make_controls(self) -> None:
        self.label = QComboBox()
        self.label.setToolTip("What to look for.")
        self.label.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.stride = QDoubleSpinBox()
        self.stride.setRange(0.0, _MOST_MM)
        self.stride.setDecimals(1)
        self.stride.setSuffix(" mm")
        self.stride.setSpecialValueText("half a window")
        self.stride.setToolTip(
            "Distance between neighbouring windows. Smaller steps find more and take longer: "
            "half the step takes about eight times as long."
        )
        self.button = QPushButton("Search the whole CT")
        self.button.setToolTip(
            "Score the model's window at every place in the CT and list the best places."
        )
        self._bar = QProgressBar()
        self._bar.hide()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self.table = HitTable(self.hits)
        self.table.hide()
        self.show_scores = QCheckBox("Scores")
        self.show_scores.setToolTip(
            "Each block is the probability of the window centred in it, not an attention map."
        )
        self.show_map = QCheckBox("Stitched map")
        self.show_map.setToolTip(
            "The attention maps of the best windows on one grid, raw and signed, each at its own "
            "strength; where windows overlap, their mean."
        )

    def _lay_out(self) -> None:
        form = QGridLayout()
        form.setColumnStretch(1, 1)
        form.addWidget(QLabel("Look for"), 0, 0)
        form.addWidget(self.label, 0, 1)
        form.addWidget(QLabel("Step"), 1, 0)
        form.addWidget(self.stride, 1, 1)
        self._boxes = QWidget()
        row = QHBoxLayout(self._boxes)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Show"))
        row.addWidget(self.show_scores)
        row.addWidget(self.show_map)
        row.addStretch(1)
        self._boxes.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(form)
        for widget in (self.button, self._bar, self._text, self.table, self._boxes):
            column.addWidget(widget)
        column.addStretch(1)
