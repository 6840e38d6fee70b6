"""The labels' table with, under it, the proof of the map that is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_hirescam.plugin.label_table import LabelTable
from napari_hirescam.plugin.proof import proof_html

if TYPE_CHECKING:
    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.plugin.label_model import LabelTableModel


class LabelsPanel(QWidget):
    """Ticks, scores and the check of the guarantee.

    Parameters
    ----------
    model
        The labels.
    """

    #: Whose labels these are, in words, for a title.
    named = Signal(str)

    def __init__(self, model: LabelTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.table = LabelTable(model)
        self.proof = QLabel()
        self.proof.setWordWrap(True)
        self.proof.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.proof.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.proof)

    def name_ct(self, name: str) -> None:
        """Say in the title whose scores these are; "" if nobody's."""
        self.named.emit(f"Labels of {name}" if name else "Labels")

    def current_label(self, explanation: Explanation) -> str | None:
        """Name the selected label if it is scored, else the one ticked first."""
        selected, ticked = self.table.current_label(), self._model.ticked
        if selected in explanation.labels:
            return selected
        return ticked[0] if ticked else None

    def follow_ticks(self, added: Sequence[str]) -> None:
        """Select the label ticked last, so that the proof speaks of a map that is shown."""
        ticked = self._model.ticked
        if added:
            self.table.select(added[-1])
        elif ticked and self.table.current_label() not in ticked:
            self.table.select(ticked[-1])

    def show_proof(
        self,
        explanation: Explanation | None,
        methods: Sequence[str],
        minus: str = "",
        *,
        of_layer: str = "",
    ) -> None:
        """Write the proof of the current label's maps; nothing without an explanation.

        `of_layer` names the layer the maps belong to where it is no longer the chosen one.
        """
        label = self.current_label(explanation) if explanation is not None else None
        if explanation is None or label is None:
            self.proof.hide()
            return
        text, why = proof_html(explanation, label, methods, minus)
        if of_layer:
            text += f"<br><i>All of this is of the layer {of_layer}.</i>"
        if label not in self._model.ticked:
            text += "<br><i>Its map is not shown.</i>"
        self.proof.setText(text)
        self.proof.setToolTip(why)
        self.proof.show()
