"""Which model is explained, at which layer, and what can be said of it before any run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.compute_panel import as_placed
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, Work, tell_error
from napari_hirescam.plugin.layer_dialog import LayerDialog
from napari_hirescam.plugin.model_facts import describe_model
from napari_hirescam.plugin.target_layer import at_layer
from napari_hirescam.plugin.trust_dialog import TrustQuestion

if TYPE_CHECKING:
    from napari_hirescam.attention import Explanation, TargetReport
    from napari_hirescam.models import Classifier
    from napari_hirescam.volume import Volume

    Loaded = tuple[Classifier, TargetReport]

_NO_MODEL = "<small>Open a model folder, or take the sample model.</small>"
_FILES = "Models (*.yaml *.yml *.zip);;All files (*)"


class ModelPanel(QWidget):
    """'Open model', the target layer, and what is proven of the maps there."""

    #: Another model is there.
    loaded = Signal()
    #: The same network is to be explained at another layer.
    layer_changed = Signal()
    #: The user wants to choose among the layers; answer by :meth:`ask_layer`.
    layer_requested = Signal()
    #: A model folder is to be made from weights.
    new_requested = Signal()
    failed = Signal(object)
    busy_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self._loaded: Loaded | None = None
        self._question = TrustQuestion(self)

        self._name = QLabel("<i>none</i>")
        self._name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._open = QPushButton()
        self._open.setText("Open model…")
        self._open.setToolTip(
            "Open a folder that holds a model.yaml beside its weights, or a zip of one."
        )
        menu = QMenu(self._open)
        menu.addAction("Model folder…", self._ask_folder)
        menu.addAction("model.yaml or zip…", self._ask_file)
        menu.addAction("Sample model", self.load_sample)
        menu.addSeparator()
        menu.addAction("New model folder…", self.new_requested.emit)
        self._open.setMenu(menu)

        self._sees = _small_label(_NO_MODEL)
        self.layer = QPushButton()
        self.layer.setToolTip("Choose which layer of the network is explained.")
        self.layer.clicked.connect(self.layer_requested)
        self.layer.hide()
        self._cells = _small_label()
        self._guarantee = _small_label()

        row = QHBoxLayout()
        row.addWidget(self._name, 1)
        row.addWidget(self._open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.setSpacing(3)
        layout.addLayout(row)
        for widget in (self._sees, self.layer, self._cells, self._guarantee):
            layout.addWidget(widget)

    @property
    def classifier(self) -> Classifier | None:
        """The loaded model."""
        return self._loaded[0] if self._loaded else None

    @property
    def report(self) -> TargetReport | None:
        """What is known of the loaded model's target layer."""
        return self._loaded[1] if self._loaded else None

    @property
    def facts_text(self) -> str:
        """The lines that describe the model."""
        lines = (self._sees, self.layer, self._cells, self._guarantee)
        return "\n".join(line.text() for line in lines)

    @property
    def busy(self) -> bool:
        """True while a model is being loaded."""
        return self._current.job is not None

    def load(self, path: Path) -> None:
        """Load a model in a thread; the one before stays until it has succeeded."""

        def work(_progress: Progress, should_stop: ShouldStop) -> Loaded:
            from napari_hirescam.attention import examine_target_layer
            from napari_hirescam.models import load_model

            classifier = load_model(
                path, trust=lambda request: self._question.ask(request, should_stop)
            )
            return classifier, examine_target_layer(classifier)

        self._start(work, path.name, self._on_loaded)

    def load_sample(self) -> None:
        """Load the sample model that comes with the plugin."""
        from napari_hirescam.sample import sample_model_path

        try:
            path = sample_model_path()
        except HirescamError as error:
            tell_error(error)
            return
        self.load(path)

    def ask_layer(self, volume: Volume | None) -> None:
        """Show the table of layers; with a CT, cells have their size there."""
        classifier = self.classifier
        if classifier is None or self.busy:
            return
        dialog = LayerDialog(classifier, volume, self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.choose_layer(dialog.chosen, volume)
        dialog.deleteLater()

    def choose_layer(self, name: str, volume: Volume | None = None) -> None:
        """Explain another layer of the same network; the one before stays if it cannot be."""
        before = self.classifier
        if before is None or name == before.spec.target_layer:
            return

        def work(_progress: Progress, _should_stop: ShouldStop) -> Loaded:
            return at_layer(before, name, volume)

        self._start(work, name, self._on_layer_changed)

    def show_run(self, explanation: Explanation | None) -> None:
        """Say what a run at this layer found out; None goes back to what is known without."""
        if self._loaded is None:
            return
        facts = describe_model(*self._loaded, explanation)
        self._name.setText(f"<b>{facts.name}</b>")
        self._name.setToolTip(facts.details)
        self._sees.setText(f"<small>{facts.sees}</small>")
        self._sees.setToolTip(facts.details)
        self.layer.setText(f"Target layer:  {self._loaded[0].spec.target_layer}   ▸ Choose…")
        self.layer.show()
        self._cells.setText(f"<small>{facts.cells}</small>")
        self._cells.setToolTip(facts.details)
        self._guarantee.setText(f"<small>{facts.guarantee}</small>")
        self._guarantee.setToolTip(facts.why)

    def note_device(self) -> None:
        """Keep up with a run that moved the network to another device."""
        if self._loaded is not None:
            classifier, report = self._loaded
            self._loaded = as_placed(classifier), report

    def abandon(self) -> None:
        """Stop what runs and report nothing any more."""
        self._current.abandon()
        self._reset_button()

    def _start(self, work: Work, subject: str, then: object) -> None:
        if self._current.job is not None:
            return
        self._current.job = Job(work, subject=subject)
        self._current.job.succeeded.connect(then)
        self._current.job.failed.connect(self._on_failed)
        self._current.job.ended.connect(self._on_ended)
        self._open.setEnabled(False)
        self.layer.setEnabled(False)
        self._open.setText("Loading…")
        self.busy_changed.emit()
        self._current.job.start()

    def _on_loaded(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self.show_run(None)
        self.loaded.emit()

    def _on_layer_changed(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self.show_run(None)
        self.layer_changed.emit()

    def _on_failed(self, error: HirescamError) -> None:
        tell_error(error)
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self._current.job = None
        self._reset_button()
        self.busy_changed.emit()

    def _reset_button(self) -> None:
        self._open.setEnabled(True)
        self.layer.setEnabled(True)
        self._open.setText("Open model…")

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a model folder")
        if name:
            self.load(Path(name))

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a model", "", _FILES)
        if name:
            self.load(Path(name))


def _small_label(text: str = "") -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label
