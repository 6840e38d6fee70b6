"""The assistant "New model folder...": from a weights file to a proven model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.new_model_input import InputStep
from napari_hirescam.plugin.new_model_labels import LabelsStep
from napari_hirescam.plugin.new_model_layer import LayerStep
from napari_hirescam.plugin.new_model_network import NetworkStep
from napari_hirescam.plugin.new_model_proof import ProofStep
from napari_hirescam.plugin.new_model_step import ModelDraft, Step
from napari_hirescam.plugin.new_model_weights import WeightsStep

if TYPE_CHECKING:
    from napari_hirescam.volume import Volume

_LIST_WIDTH = 140


class NewModelDialog(QDialog):
    """Six steps on one page each; steps already done can be gone back to.

    Parameters
    ----------
    volume
        The open CT, on which the model is proven; None proves it on noise.
    parent
        The window it belongs to.
    """

    #: The folder was written; carries its path.
    saved = Signal(Path)

    def __init__(self, volume: Volume | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New model folder")
        self.resize(820, 620)
        self.draft = ModelDraft(volume)
        self.weights = WeightsStep(self.draft)
        self.network = NetworkStep(self.draft)
        self.labels = LabelsStep(self.draft)
        self.input = InputStep(self.draft)
        self.layer = LayerStep(self.draft)
        self.proof = ProofStep(self.draft)
        self.steps: tuple[Step, ...] = (
            self.weights,
            self.network,
            self.labels,
            self.input,
            self.layer,
            self.proof,
        )
        self._reached = 0
        self._blamed: set[str] = set()
        self._list = QListWidget()
        self._list.setFixedWidth(_LIST_WIDTH)
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._pages = QStackedWidget()
        for step in self.steps:
            self._list.addItem(QListWidgetItem(step.title))
            self._pages.addWidget(step)
            step.submitted.connect(self._on_submitted)
            step.busy_changed.connect(self._update)
        self.weights.begun_anew.connect(self._on_begun_anew)
        self.proof.saved.connect(self._on_saved)
        self.proof.blamed.connect(self._on_blamed)
        self._list.currentRowChanged.connect(self._on_step_clicked)

        self.back, self.next = QPushButton("Back"), QPushButton("Next")
        close = QPushButton("Close")
        for button in (self.back, close):
            button.setAutoDefault(False)
        self.next.setDefault(True)
        self.back.clicked.connect(self._on_back)
        self.next.clicked.connect(self._on_next)
        close.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.addWidget(close)
        buttons.addStretch(1)
        buttons.addWidget(self.back)
        buttons.addWidget(self.next)
        middle = QHBoxLayout()
        middle.addWidget(self._list)
        middle.addWidget(self._pages, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(middle, 1)
        layout.addLayout(buttons)
        self.go_to(0)

    @property
    def current(self) -> int:
        """Number of the step that is shown, from 0."""
        number: int = self._pages.currentIndex()
        return number

    def go_to(self, number: int) -> None:
        """Show a step that was reached."""
        if not 0 <= number <= self._reached:
            return
        self._pages.setCurrentIndex(number)
        self.steps[number].enter()
        self._update()

    def done(self, result: int) -> None:
        """Stop what runs when the dialog closes."""
        for step in self.steps:
            step.abandon()
        super().done(result)

    def _on_back(self) -> None:
        self.go_to(self.current - 1)

    def _on_next(self) -> None:
        step = self.steps[self.current]
        # What comes after it may no longer hold, and is gone through again.
        self._reached = self.current
        step.submit()
        self._update()

    def _on_submitted(self) -> None:
        number = self.current + 1
        if number < len(self.steps) and self.sender() is self.steps[self.current]:
            self._reached = max(self._reached, number)
            self.go_to(number)

    def _on_step_clicked(self, number: int) -> None:
        if number > self.current:
            # What was edited here would be left behind without a word.
            self._on_next()
        elif number < self.current:
            self.go_to(number)

    def _on_begun_anew(self) -> None:
        self._reached = 0
        self._update()

    def _on_blamed(self, titles: set[str]) -> None:
        self._blamed = titles
        self._update()

    def _on_saved(self, folder: Path) -> None:
        self.saved.emit(folder)
        self.accept()

    def _update(self) -> None:
        step, last = self.steps[self.current], self.current == len(self.steps) - 1
        self.back.setEnabled(self.current > 0 and not step.busy)
        self.next.setVisible(not last)
        self.next.setEnabled(not step.busy)
        self._list.blockSignals(True)
        for number, other in enumerate(self.steps):
            item = self._list.item(number)
            sign = "✘" if other.title in self._blamed else "✔" if number < self._reached else "  "
            item.setText(f"{sign} {other.title}")
            flags = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
            item.setFlags(
                flags if number <= self._reached and not step.busy else Qt.ItemFlag.NoItemFlags
            )
        self._list.setCurrentRow(self.current)
        self._list.blockSignals(False)
