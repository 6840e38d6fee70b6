"""Third step of "New model folder...": a name for each output."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QMenu,
    QPlainTextEdit,
    QPushButton,
)

from napari_hirescam.errors import HirescamError, InputError
from napari_hirescam.plugin.new_model_step import ModelDraft, Remark, Step

_ACTIVATIONS = {
    "Each label for itself (sigmoid)": "sigmoid",
    "One of them is true (softmax)": "softmax",
}


class LabelsStep(Step):
    """Typed, pasted or from a file; counted against the outputs as they are written."""

    def __init__(self, draft: ModelDraft) -> None:
        super().__init__(
            draft,
            "Labels",
            "The names of the outputs, in their order: one per line, separated by commas, or "
            "pasted as a Python list.",
        )
        self._seen: object = None
        self._suggested = ""
        self.text = QPlainTextEdit()
        self.text.setPlaceholderText("nodule\nmass\neffusion")
        # napari's theme draws no edge around a field of several lines.
        self.text.setStyleSheet("QPlainTextEdit { border: 1px solid rgba(128, 128, 128, 120); }")
        self.text.textChanged.connect(self._count)
        self.count = Remark()
        from_file = QPushButton("From file…")
        from_file.setToolTip("A text file, or a CSV table with a column 'label'.")
        from_file.clicked.connect(self._ask_file)
        shipped = QPushButton("Published list")
        self.lists = QMenu(shipped)
        self.lists.triggered.connect(self._on_list_chosen)
        shipped.setMenu(self.lists)
        row = QHBoxLayout()
        row.addWidget(from_file)
        row.addWidget(shipped)
        row.addWidget(self.count, 1)
        self.activation = QComboBox()
        self.activation.addItems(list(_ACTIVATIONS))
        form = QFormLayout()
        form.addRow("Probabilities:", self.activation)
        self.body.addWidget(self.text, 1)
        self.body.addLayout(row)
        self.body.addLayout(form)

    def enter(self) -> None:
        """Count against the network's outputs; suggest how logits become probabilities."""
        now = (self.draft.facts, self.draft.n_outputs)
        if now != self._seen:
            from napari_hirescam.models.draft import suggest_activation
            from napari_hirescam.models.label_lists import label_list_names

            self._seen = now
            bundle = self.draft.facts.bundle if self.draft.facts else None
            if self.text.toPlainText().strip() == self._suggested:
                # Nobody wrote them: the labels of another bundle are not these.
                self._suggested = "\n".join(bundle.labels) if bundle is not None else ""
                self.text.setPlainText(self._suggested)
            self._set_activation(suggest_activation(self.draft.n_outputs or 1))
            self.lists.clear()
            for name in label_list_names():
                self.lists.addAction(name)
        self._count()

    def submit(self) -> None:
        """Take the labels if there is one for each output."""
        try:
            labels = self._labels()
        except HirescamError as error:
            self.fault.fault(f"{error.reason}. {error.remedy}.")
            return
        outputs = self.draft.n_outputs
        if outputs is not None and len(labels) != outputs:
            self.fault.fault(
                f"Labels given: {len(labels)}; outputs of the network: {outputs}. Give one label "
                "per output."
            )
            return
        self.draft.labels = labels
        self.draft.activation = _ACTIVATIONS[self.activation.currentText()]
        self.submitted.emit()

    def read_file(self, file: Path) -> None:
        """Put the labels of a file into the field."""
        from napari_hirescam.models.label_text import read_labels

        try:
            self.text.setPlainText("\n".join(read_labels(file)))
        except HirescamError as error:
            self.fault.fault(str(error))

    def _labels(self) -> tuple[str, ...]:
        from napari_hirescam.models.label_text import read_labels

        return read_labels(self.text.toPlainText())

    def _count(self) -> None:
        self.fault.clear_text()
        outputs = self.draft.n_outputs
        try:
            labels = self._labels()
        except InputError as error:
            if self.text.toPlainText().strip():
                self.count.fault(f"{error.reason}.")
            else:
                self.count.doubt(f"0 of {outputs} outputs have a name")
            return
        words = f"{len(labels)} of {outputs} outputs have a name"
        if outputs is None or len(labels) == outputs:
            self.count.good(words)
        elif len(labels) < outputs:
            self.count.doubt(words)
        else:
            self.count.fault(f"{len(labels)} labels for {outputs} outputs")

    def _on_list_chosen(self, action: QAction) -> None:
        from napari_hirescam.models.label_lists import read_label_list

        self.text.setPlainText("\n".join(read_label_list(action.text())))

    def _set_activation(self, activation: str) -> None:
        for text, value in _ACTIVATIONS.items():
            if value == activation:
                self.activation.setCurrentText(text)

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Open labels", "", "Text and tables (*.txt *.csv *.tsv);;All files (*)"
        )
        if name:
            self.read_file(Path(name))
