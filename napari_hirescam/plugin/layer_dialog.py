"""Choosing which layer of the model is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.layer_table import LayerTable
from napari_hirescam.plugin.verdict import verdict_of

if TYPE_CHECKING:
    from napari_hirescam.attention.layers import LayerCandidate
    from napari_hirescam.models import Classifier
    from napari_hirescam.volume import Volume

_INTRO = (
    "The map has one value for each cell of this layer. Late layers are coarse, and exact where "
    "only linear steps follow; earlier ones are finer, and approximate."
)


class LayerDialog(QDialog):
    """A table of the layers, found by one traced pass in a thread; any name may be typed.

    Parameters
    ----------
    classifier
        The model; its present target layer is selected.
    volume
        The open CT, whose spacing gives the cells their size if the model keeps it.
    """

    def __init__(
        self,
        classifier: Classifier,
        volume: Volume | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Target layer of {classifier.spec.name}")
        self.resize(1060, 560)
        self._present = classifier.spec.target_layer
        self._any_slices = classifier.spec.input.shape[0] is None
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)

        intro = QLabel(_INTRO)
        intro.setWordWrap(True)
        self.table = LayerTable()
        self.name = QLineEdit(self._present)
        self.name.setToolTip("Any module of the network, by its dotted name.")
        self._verdict = QLabel()
        self._verdict.setWordWrap(True)
        self._verdict.setMinimumHeight(48)
        self._bar = QProgressBar()
        self._bar.setRange(0, 0)
        self._bar.setFormat("Looking at the network")
        buttons = QDialogButtonBox()
        self.use = buttons.addButton("Explain this layer", QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        form = QFormLayout()
        form.addRow("Layer", self.name)
        layout = QVBoxLayout(self)
        layout.addWidget(intro)
        layout.addWidget(self.table, 1)
        layout.addWidget(self._bar)
        layout.addLayout(form)
        layout.addWidget(self._verdict)
        layout.addWidget(buttons)

        self.table.chosen_changed.connect(self.name.setText)
        self.table.accepted.connect(self._on_accepted)
        self.name.textChanged.connect(self._on_name_changed)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self._search(classifier, volume)

    @property
    def chosen(self) -> str:
        """The layer's name, chosen or typed."""
        text: str = self.name.text()
        return text.strip()

    @property
    def busy(self) -> bool:
        """True while the network is looked at."""
        return self._current.job is not None

    def done(self, result: int) -> None:
        """Stop looking when the dialog closes."""
        self._current.abandon()
        super().done(result)

    def _search(self, classifier: Classifier, volume: Volume | None) -> None:
        def work(_progress: Progress, should_stop: ShouldStop) -> tuple[LayerCandidate, ...]:
            from napari_hirescam.attention.layers import target_layers

            return target_layers(classifier, volume, should_stop)

        self._current.job = Job(work, subject=classifier.spec.name)
        self._current.job.succeeded.connect(self._on_found)
        self._current.job.failed.connect(self._on_failed)
        self._current.job.ended.connect(self._on_ended)
        self._current.job.start()

    def _on_found(self, candidates: tuple[LayerCandidate, ...]) -> None:
        self.table.set_candidates(candidates, self._present, any_slices=self._any_slices)
        self._on_name_changed(self.chosen)

    def _on_failed(self, error: HirescamError) -> None:
        # Here rather than as a notification, which the dialog would hide; a name can be typed.
        self._verdict.setText(str(error))

    def _on_ended(self) -> None:
        self._current.job = None
        self._bar.hide()

    def _on_accepted(self, name: str) -> None:
        self.name.setText(name)
        self.accept()

    def _on_name_changed(self, _text: str) -> None:
        self.use.setEnabled(bool(self.chosen))
        found = self.table.candidate(self.chosen)
        if found is not None:
            verdict = verdict_of(found.guarantee)
            self._verdict.setText(f"{verdict.html()}: {found.guarantee.reason}. {verdict.why}")
        elif not self.busy:
            self._verdict.setText(
                "Not in the list: it is tried, and refused in one sentence if it cannot be used."
            )
