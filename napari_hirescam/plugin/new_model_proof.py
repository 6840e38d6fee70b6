"""Last step of "New model folder...": the proof, and the folder."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.jobs import Progress, ShouldStop
from napari_hirescam.plugin.new_model_layer import spec_of
from napari_hirescam.plugin.new_model_step import ModelDraft, Remark, Step

if TYPE_CHECKING:
    from torch import nn

    from napari_hirescam.models import ModelSpec
    from napari_hirescam.models.proving import Proof
    from napari_hirescam.models.weights_facts import WeightsFacts

#: Labels whose scores the proof shows.
_SHOWN = 5
#: The step at which a problem of the proof can be mended.
STEP_OF = {"labels": "Labels", "input": "Input", "output": "Input", "target_layer": "Target layer"}


class ProofStep(Step):
    """One real forward pass; the folder can be written once it holds."""

    saved = Signal(Path)
    #: Titles of the steps at which something is to be mended.
    blamed = Signal(set)

    def __init__(self, draft: ModelDraft) -> None:
        super().__init__(
            draft,
            "Proof",
            "The network runs once, as the model file will say. Nothing is written before.",
        )
        self._spec: ModelSpec | None = None
        self._network: nn.Module | None = None
        self._named_after: WeightsFacts | None = None
        self._suggested = ("", "")
        self.name, self.description = QLineEdit(), QLineEdit()
        self.name.setPlaceholderText("What the model is called")
        self.description.setPlaceholderText("What it was trained for and on (may stay empty)")
        form = QFormLayout()
        form.addRow("Name:", self.name)
        form.addRow("Description:", self.description)
        self.prove_button = QPushButton()
        self.prove_button.clicked.connect(self._on_prove_clicked)
        self.save_button = QPushButton("Save model folder…")
        self.save_button.clicked.connect(self._ask_folder)
        row = QHBoxLayout()
        row.addWidget(self.prove_button, 1)
        row.addWidget(self.save_button, 1)
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.outcome = Remark()
        self.scores = QLabel()
        self.scores.setWordWrap(True)
        self.body.addLayout(form)
        self.body.addWidget(self.summary)
        self.body.addSpacing(6)
        self.body.addLayout(row)
        self.body.addWidget(self.outcome)
        self.body.addWidget(self.scores)
        self.body.addStretch(1)
        self.name.textChanged.connect(self._forget)
        self.description.textChanged.connect(self._forget)
        self.busy_changed.connect(self._update_buttons)
        self._update_buttons()

    def enter(self) -> None:
        """Sum up what will be proven; an earlier proof holds only for the same model."""
        if self.draft.facts is not None and self.draft.facts is not self._named_after:
            self._suggest_names(self.draft.facts)
        try:
            spec = self._draft_spec()
        except HirescamError as error:
            self.fault.fault(str(error))
            self._forget()
            return
        # The user's Python may have changed, and makes another network of the same description.
        if self.proven and (spec != self._spec or self.draft.network is not self._network):
            self._forget()
        architecture = spec.architecture.name or f"{spec.architecture.callable} (your Python)"
        labels = ", ".join(spec.labels[:_SHOWN]) + (", …" if len(spec.labels) > _SHOWN else "")
        self.summary.setText(
            f"<b>{escape(architecture)}</b>, {len(spec.labels)} labels ({escape(labels)}), "
            f"explained at <b>{escape(spec.target_layer)}</b>."
        )
        self._update_buttons()

    def _suggest_names(self, facts: WeightsFacts) -> None:
        """Name the model after its weights, where the user has not named it."""
        bundle = facts.bundle
        new = (bundle and bundle.name) or facts.file.stem, (bundle and bundle.description) or ""
        for field, old, text in zip(
            (self.name, self.description), self._suggested, new, strict=True
        ):
            if field.text().strip() in ("", old):
                field.setText(text)
        self._named_after, self._suggested = facts, new

    @property
    def proven(self) -> bool:
        """True if the draft as it is has been proven."""
        return self._spec is not None

    def prove(self) -> None:
        """Run the network in a thread."""
        self._forget()
        network, volume = self.draft.network, self.draft.volume
        try:
            spec = self._draft_spec()
        except HirescamError as error:
            self.fault.fault(str(error))
            return
        if network is None:
            return

        def work(progress: Progress, should_stop: ShouldStop) -> Proof:
            from napari_hirescam.models.proving import prove

            return prove(spec, network, volume, progress=progress, should_stop=should_stop)

        def done(proof: Proof) -> None:
            if proof.holds:
                self._spec, self._network = spec, network
            self._show(proof, spec)

        self.work(work, spec.name, "Running the network", done)

    def save_to(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write the proven model in a thread."""
        spec, network, code = self._spec, self._network, self.draft.code
        if spec is None or network is None:
            self.fault.fault("Prove the model first.")
            return

        def work(_progress: Progress, _should_stop: ShouldStop) -> Path:
            from napari_hirescam.models.draft import save_draft

            return save_draft(folder, spec, network, code, overwrite=overwrite)

        self.work(work, str(folder), "Writing", self.saved.emit)

    def _draft_spec(self) -> ModelSpec:
        name = self.name.text().strip() or "model"
        description = self.description.text().strip()
        return spec_of(self.draft, self.draft.target_layer, name=name, description=description)

    def _show(self, proof: Proof, spec: ModelSpec) -> None:
        if not proof.holds:
            faults = [f"{STEP_OF[p.field]}: {p.text}" for p in proof.problems]
            self.outcome.fault("\n".join(faults))
            self.blamed.emit({STEP_OF[p.field] for p in proof.problems})
            return
        words = (
            f"Proven on {proof.given}: {len(proof.logits)} scores in {proof.seconds:.2f} s from "
            f"a tensor {list(proof.input_shape or ())}."
        )
        self.outcome.good("\n".join([words, *proof.notes]))
        scored = zip(proof.probabilities, proof.logits, spec.labels, strict=True)
        ranked = sorted(scored, reverse=True)
        rows = [
            f"<tr><td>{escape(label)}</td><td align='right'>&nbsp;&nbsp;{p:.4f}</td>"
            f"<td align='right'>&nbsp;&nbsp;{logit:.4g}</td></tr>"
            for p, logit, label in ranked[:_SHOWN]
        ]
        more = f"<br>and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
        titles = ("label", "&nbsp;&nbsp;p", "&nbsp;&nbsp;logit")
        head = f"<tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"
        meaning = "" if proof.on_ct else "<br>Scores of noise mean nothing."
        self.scores.setText(f"<table>{head}{''.join(rows)}</table>{more}{meaning}")

    def _forget(self) -> None:
        self._spec = self._network = None
        self.outcome.clear_text()
        self.scores.setText("")
        self.blamed.emit(set())
        self._update_buttons()

    def _update_buttons(self) -> None:
        on = "this CT" if self.draft.volume is not None else "noise (no CT is open)"
        self.prove_button.setText("Cancel" if self.busy else f"Prove on {on}")
        self.save_button.setEnabled(self.proven and not self.busy)
        # The proof and the folder are of what was written here when they were begun.
        for field in (self.name, self.description):
            field.setEnabled(not self.busy)
        self.save_button.setToolTip(
            "" if self.proven else "Prove the model first: nothing is written before."
        )

    def _on_prove_clicked(self) -> None:
        if self.busy:
            self.stop()
        else:
            self.prove()

    def _ask_folder(self) -> None:
        parent = self.draft.facts.file.parent if self.draft.facts else Path.cwd()
        name, _ = QFileDialog.getSaveFileName(
            self,
            "Save model folder",
            str(parent / f"{self.name.text().strip()} model"),
            "Folder (*)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not name:
            return
        folder = Path(name)
        overwrite = folder.is_dir() and any(folder.iterdir())
        if overwrite:
            answer = QMessageBox.question(
                self,
                "Overwrite?",
                f"{folder} is there already and not empty. Write the model into it?",
                QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
                QMessageBox.StandardButton.No,
            )
            if answer != QMessageBox.StandardButton.Yes:
                return
        self.save_to(folder, overwrite=overwrite)
