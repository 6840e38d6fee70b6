"""Fourth step of "New model folder...": how a CT is fed to the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QScrollArea

from napari_hirescam.errors import HirescamError, InputError
from napari_hirescam.models.spec import INPUT_PRESETS, InputSpec, OutputSpec
from napari_hirescam.plugin.input_form import InputForm
from napari_hirescam.plugin.jobs import Progress, ShouldStop
from napari_hirescam.plugin.new_model_step import ModelDraft, Step

if TYPE_CHECKING:
    from napari_hirescam.models.input_guess import InputGuess

_SUGGESTED = "Suggested from the weights"
_OVER_SLICES = {"their mean": "mean", "their maximum": "max"}


class InputStep(Step):
    """Size, window, spacing, channels; what is only guessed is marked, field by field."""

    def __init__(self, draft: ModelDraft) -> None:
        super().__init__(
            draft,
            "Input",
            "How the network was fed in training. Another window or spacing gives other scores.",
        )
        self._seen: object = None
        self._suggestion: InputGuess | None = None
        self.preset = QComboBox()
        self.preset.addItems([_SUGGESTED, *INPUT_PRESETS])
        self.preset.activated.connect(self._on_preset_chosen)
        top = QHBoxLayout()
        top.addWidget(QLabel("Begin with"))
        top.addWidget(self.preset, 1)
        self.form = InputForm()
        self.form.edited.connect(self._on_edited)
        self.over_slices = QComboBox()
        self.over_slices.addItems(list(_OVER_SLICES))
        self.entry, self.layer = QLineEdit(), QLineEdit()
        self.entry.setPlaceholderText("the one tensor it returns")
        self.entry.setToolTip("Key or position, if the network returns a dict or a tuple.")
        self.layer.setPlaceholderText("the network's output")
        self.layer.setToolTip(
            "Layer whose output is the logits, if the network applies its sigmoid itself."
        )
        outputs = QFormLayout()
        outputs.addRow("Score of the CT from its slices:", self.over_slices)
        outputs.addRow("Logits in entry:", self.entry)
        outputs.addRow("Logits are the output of layer:", self.layer)
        self.form.add_below(outputs)
        scroll = QScrollArea()
        scroll.setWidget(self.form)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self.given = QLabel()
        self.given.setWordWrap(True)
        self.body.addLayout(top)
        self.body.addWidget(scroll, 1)
        self.body.addWidget(self.given)

    def enter(self) -> None:
        """Suggest an input from the network, once for each network."""
        draft = self.draft
        facts, architecture, network = draft.facts, draft.architecture, draft.network
        if network is None or facts is None or architecture is None:
            return
        # Built again from the same weights, it leaves the form as the user filled it.
        if (facts, architecture) == self._seen:
            return
        self._seen = (facts, architecture)

        def work(_progress: Progress, _should_stop: ShouldStop) -> InputGuess:
            from napari_hirescam.models.input_guess import suggest_input

            return suggest_input(facts, architecture, network)

        self.work(work, facts.file.name, "Trying the usual sizes", self._on_suggested)

    def submit(self) -> None:
        """Validate the fields together."""
        if self.busy:
            return
        self.form.clear_remarks()
        try:
            spec, output = self._specs()
        except InputError as error:
            self._blame(error)
            return
        self.draft.input, self.draft.output = spec, output
        self.submitted.emit()

    def _specs(self) -> tuple[InputSpec, OutputSpec]:
        from napari_hirescam.models.draft import validated

        spec = validated(InputSpec, self.form.fields())
        entry: Any = self.entry.text().strip() or None
        if entry is not None and entry.lstrip("-").isdecimal():
            entry = int(entry)
        output = {
            "entry": entry,
            "layer": self.layer.text().strip() or None,
            "over_slices": _OVER_SLICES[self.over_slices.currentText()]
            if spec.layout == "slices"
            else None,
        }
        return spec, validated(OutputSpec, output)

    def _blame(self, error: InputError) -> None:
        text = f"{error.reason}. {error.remedy}."
        remark = self.form.remarks.get(error.subject.partition(".")[0])
        (remark or self.fault).fault(text[:1].upper() + text[1:])

    def _on_suggested(self, suggestion: InputGuess) -> None:
        self._suggestion = suggestion
        self.preset.setCurrentIndex(0)
        self._show_suggestion()

    def _show_suggestion(self) -> None:
        if self._suggestion is None:
            return
        self.form.show_spec(self._suggestion.input)
        for name, preset in INPUT_PRESETS.items():
            if preset == self._suggestion.input:
                self.preset.setCurrentText(name)
        for field, words in self._suggestion.guessed.items():
            remark = self.form.remarks.get(field)
            if remark is not None:
                remark.doubt(f"Guessed: {words}.")
        if "shape" in self._suggestion.unknown:
            self.form.ask_for_shape(
                "The weights do not tell: give the size the network was trained with."
            )

    def _on_preset_chosen(self, _index: int) -> None:
        self.form.clear_remarks()
        name = self.preset.currentText()
        if name == _SUGGESTED:
            self._show_suggestion()
        else:
            self.form.show_spec(INPUT_PRESETS[name])

    def _on_edited(self) -> None:
        self.fault.clear_text()
        try:
            spec, _ = self._specs()
        except HirescamError:
            # Half a number is no fault yet: `submit` says what is wrong.
            self.given.setText(
                "<small>Fill in the fields to see what the network is given.</small>"
            )
            self.over_slices.setEnabled(False)
            return
        self.over_slices.setEnabled(spec.layout == "slices")
        self.given.setText(f"<small>{_in_words(spec, self.draft)}</small>")


def _in_words(spec: InputSpec, draft: ModelDraft) -> str:
    slices, rows, columns = spec.shape
    depth = "any number of" if slices is None else str(slices)
    shape = {
        "volume": f"[1, {spec.channels}, {slices or 'slices'}, {rows}, {columns}]",
        "slice": f"[1, {spec.channels}, {rows}, {columns}]",
        "slices": f"[{slices or 'slices'}, {spec.channels}, {rows}, {columns}]",
        "axial_triples": f"[1, {slices // 3 if slices else 'slices / 3'}, 3, {rows}, {columns}]",
    }[spec.layout]
    words = f"The network is given a tensor {shape}: {depth} slices of {rows} by {columns}."
    if draft.volume is not None:
        size = " by ".join(map(str, draft.volume.voxels.shape))
        spacing = " by ".join(f"{mm:.3g}" for mm in draft.volume.grid.spacing_mm)
        words += f" The open CT has {size} voxels of {spacing} mm."
    return words
