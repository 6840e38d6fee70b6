"""First step of "New model folder...": the weights file and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QWidget,
)

from napari_hirescam.plugin.jobs import Progress, ShouldStop
from napari_hirescam.plugin.new_model_step import ModelDraft, Remark, Step

if TYPE_CHECKING:
    from napari_hirescam.models.guess import Guess
    from napari_hirescam.models.weights_facts import WeightsFacts

_FILES = (
    "Weights and zipped bundles (*.safetensors *.pt *.pth *.ckpt *.bin *.state *.pkl *.zip);;"
    "All files (*)"
)
#: Guesses of the same kind that are named.
_SHOWN = 3


class WeightsStep(Step):
    """Choose a file; it is read weights-only in a thread, and its architecture looked for."""

    #: Other weights are being read: nothing of the later steps holds any more.
    begun_anew = Signal()

    def __init__(self, draft: ModelDraft) -> None:
        super().__init__(
            draft,
            "Weights",
            "The file your training wrote: .safetensors, a .pt/.pth checkpoint, or a MONAI "
            "bundle. It is read as numbers only; nothing in it can run.",
        )
        self._path: Path | None = None
        self.file = QLineEdit()
        self.file.setPlaceholderText("Weights file")
        self.file.editingFinished.connect(self._on_file_edited)
        browse = QPushButton("Browse…")
        menu = QMenu(browse)
        menu.addAction("Weights file…", self._ask_file)
        menu.addAction("MONAI bundle folder…", self._ask_bundle)
        browse.setMenu(menu)
        row = QHBoxLayout()
        row.addWidget(self.file, 1)
        row.addWidget(browse)
        self.entry = QComboBox()
        self.entry.setToolTip("Which entry of the checkpoint holds the weights.")
        self.entry.activated.connect(self._on_entry_chosen)
        self._entry_row = QWidget()
        entry_layout = QHBoxLayout(self._entry_row)
        entry_layout.setContentsMargins(0, 0, 0, 0)
        entry_layout.addWidget(QLabel("Entry of the checkpoint"))
        entry_layout.addWidget(self.entry, 1)
        self._entry_row.hide()
        self._facts = QFormLayout()
        self.match = Remark()
        self.body.addLayout(row)
        self.body.addWidget(self._entry_row)
        self.body.addSpacing(8)
        self.body.addLayout(self._facts)
        self.body.addSpacing(8)
        self.body.addWidget(self.match)
        self.body.addStretch(1)

    def load(self, file: Path, entry: str | None = None) -> None:
        """Read a weights file in a thread."""
        self.file.setText(str(file))
        self._path = file
        self._forget()
        self.begun_anew.emit()

        def work(
            _progress: Progress, should_stop: ShouldStop
        ) -> tuple[WeightsFacts, tuple[Guess, ...], tuple[str, ...]]:
            from napari_hirescam.models.architectures import architecture_names
            from napari_hirescam.models.guess import guess_architectures
            from napari_hirescam.models.weights_facts import inspect_weights

            facts = inspect_weights(file, entry)
            # Everything that takes its time is done here, and not when it is first asked for:
            # the digest of a large file, and the import of MONAI.
            _ = facts.sha256
            return facts, guess_architectures(facts, should_stop), architecture_names()

        self.work(work, file.name, "Reading the weights", self._on_read)

    def submit(self) -> None:
        """Go on once a file was read."""
        if self.draft.facts is not None:
            super().submit()
        elif not self.busy:
            self.fault.fault(self.fault.plain or "Choose a weights file first.")

    def _forget(self) -> None:
        self.draft.facts, self.draft.guesses = None, ()
        # A network built from other weights must not be taken for these.
        self.draft.network = self.draft.architecture = self.draft.code = None
        while self._facts.rowCount():
            self._facts.removeRow(0)
        self.match.clear_text()

    def _on_read(self, found: tuple[WeightsFacts, tuple[Guess, ...], tuple[str, ...]]) -> None:
        facts, guesses, self.draft.known_names = found
        self.draft.facts, self.draft.guesses = facts, guesses
        self._entry_row.setVisible(len(facts.entries) > 1)
        self.entry.clear()
        self.entry.addItems(list(facts.entries))
        self.entry.setCurrentText(facts.entry or "")
        for title, text in _described(facts):
            label = QLabel(text)
            label.setWordWrap(True)
            self._facts.addRow(f"{title}:", label)
        exact = [guess for guess in guesses if guess.exact]
        if exact:
            best = exact[0]
            others = [g.name for g in exact[1:] if g.name != best.name and not best.said]
            also = f" The same weights fit {', '.join(others[:_SHOWN])} too." if others else ""
            self.match.good(
                f"This is {best.name}: all {best.total} tensors have its names and shapes.{also}"
            )
        elif guesses:
            best = guesses[0]
            self.match.doubt(
                f"Nearest is {best.name}: {best.matched} of {best.total} tensors fit. Choose the "
                "architecture in the next step, or bring your own Python."
            )
        else:
            self.match.doubt(
                "No registered architecture has these weights: bring the Python of your network "
                "in the next step."
            )

    def _on_file_edited(self) -> None:
        text = self.file.text().strip()
        read = self._path if self.draft.facts is not None else None
        if text and Path(text) != read and not self.busy:
            self.load(Path(text))

    def _on_entry_chosen(self, _index: int) -> None:
        facts = self.draft.facts
        if facts is not None and self.entry.currentText() != facts.entry:
            self.load(self._path or facts.file, self.entry.currentText())

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open weights", "", _FILES)
        if name:
            self.load(Path(name))

    def _ask_bundle(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a MONAI bundle")
        if name:
            self.load(Path(name))


def _described(facts: WeightsFacts) -> list[tuple[str, str]]:
    rows = [("Size", f"{facts.parameters:,} parameters in {len(facts.shapes)} tensors")]
    if facts.spatial_rank is not None:
        channels = f"{facts.in_channels} input channel{'s' if facts.in_channels != 1 else ''}"
        rows.append(("Convolutions", f"{facts.spatial_rank}-D, {channels}"))
    if facts.output_width is not None:
        rows.append(("Outputs", f"probably {facts.output_width}"))
    if facts.entry:
        rows.append(("Read from", f"entry {facts.entry!r} of the checkpoint"))
    if facts.bundle is not None:
        rows.append(("Bundle", facts.bundle.name or str(facts.bundle.folder)))
    if facts.prefix:
        rows.append(("Names", f"all begin with {facts.prefix!r}, which is taken off"))
    if facts.left_out:
        rows.append(("Left out", f"{', '.join(facts.left_out)}: of the loss, not of the network"))
    return rows
