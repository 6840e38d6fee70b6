"""Which model is explained: opening it, and what can be said of it before any CT is scored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error
from napari_hirescam.plugin.model_facts import ModelFacts, describe_model
from napari_hirescam.plugin.trust_dialog import TrustQuestion

if TYPE_CHECKING:
    from napari_hirescam.attention import TargetReport
    from napari_hirescam.models import Classifier

    Loaded = tuple[Classifier, TargetReport]

_NO_MODEL = "<small>Open a model folder, or take the sample model.</small>"


class ModelPanel(QGroupBox):
    """'Open model', the model's facts and whether its maps are proven to sum to the score."""

    loaded = Signal()
    failed = Signal(object)
    busy_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self._loaded: Loaded | None = None
        self._question = TrustQuestion(self)

        self._name = QLabel("<i>none</i>")
        self._name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._open = QPushButton()
        self._open.setText("Open model…")
        self._open.setToolTip("Open a folder that holds a model.yaml beside its weights.")
        menu = QMenu(self._open)
        menu.addAction("Model folder…", self._ask_folder)
        menu.addAction("model.yaml…", self._ask_file)
        menu.addSeparator()
        menu.addAction("Sample model", self.load_sample)
        self._open.setMenu(menu)

        self._facts = QLabel(_NO_MODEL)
        self._facts.setWordWrap(True)

        row = QHBoxLayout()
        row.addWidget(self._name, 1)
        row.addWidget(self._open)
        layout = QVBoxLayout(self)
        layout.addLayout(row)
        layout.addWidget(self._facts)

    @property
    def classifier(self) -> Classifier | None:
        """The loaded model."""
        return self._loaded[0] if self._loaded else None

    @property
    def facts_text(self) -> str:
        """What the panel says of the model."""
        text: str = self._facts.text()
        return text

    @property
    def busy(self) -> bool:
        """True while a model is being loaded."""
        return self._current.job is not None

    def load(self, path: Path) -> None:
        """Load a model in a thread; the one before stays until it has succeeded."""
        if self._current.job is not None:
            return

        def work(_progress: Progress, should_stop: ShouldStop) -> Loaded:
            from napari_hirescam.attention import examine_target_layer
            from napari_hirescam.models import load_model

            classifier = load_model(
                path, trust=lambda request: self._question.ask(request, should_stop)
            )
            return classifier, examine_target_layer(classifier)

        self._current.job = Job(work, subject=path.name)
        self._current.job.succeeded.connect(self._on_loaded)
        self._current.job.failed.connect(self._on_failed)
        self._current.job.ended.connect(self._on_ended)
        self._open.setEnabled(False)
        self._open.setText("Loading…")
        self.busy_changed.emit()
        self._current.job.start()

    def load_sample(self) -> None:
        """Load the sample model that comes with the plugin."""
        from napari_hirescam.sample import sample_model_path

        try:
            path = sample_model_path()
        except HirescamError as error:
            tell_error(error)
            return
        self.load(path)

    def abandon(self) -> None:
        """Stop what runs and report nothing any more."""
        self._current.abandon()
        self._reset_button()

    def _on_loaded(self, loaded: Loaded) -> None:
        self._loaded = loaded
        facts: ModelFacts = describe_model(*loaded)
        self._name.setText(f"<b>{facts.name}</b>")
        self._name.setToolTip(facts.description)
        self._facts.setText(facts.html)
        self._facts.setToolTip(facts.details)
        self.loaded.emit()

    def _on_failed(self, error: HirescamError) -> None:
        tell_error(error)
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self._current.job = None
        self._reset_button()
        self.busy_changed.emit()

    def _reset_button(self) -> None:
        self._open.setEnabled(True)
        self._open.setText("Open model…")

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a model folder")
        if name:
            self.load(Path(name))

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Open a model file", "", "Model files (*.yaml *.yml);;All files (*)"
        )
        if name:
            self.load(Path(name))
