"""Fifth step of "New model folder...": the layer that is explained."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit

from napari_hirescam.errors import HirescamError, InputError
from napari_hirescam.plugin.jobs import Progress, ShouldStop
from napari_hirescam.plugin.layer_table import CHANNELS, FIELD_MM, KIND, LayerTable
from napari_hirescam.plugin.new_model_step import ModelDraft, Step
from napari_hirescam.plugin.verdict import verdict_of

if TYPE_CHECKING:
    from napari_hirescam.attention.layers import LayerCandidate
    from napari_hirescam.models import ModelSpec


def spec_of(draft: ModelDraft, target_layer: str, **more: str) -> ModelSpec:
    """Put the draft together.

    Raises
    ------
    InputError
        An earlier step is not done, or a field is wrong.
    """
    from napari_hirescam.models.draft import draft_spec

    if draft.facts is None or draft.architecture is None or draft.input is None:
        raise InputError("New model", "an earlier step is not done", "Go back to it")
    return draft_spec(
        draft.facts,
        draft.architecture,
        draft.labels,
        draft.input,
        target_layer,
        activation=draft.activation,
        output=draft.output,
        **more,
    )


class LayerStep(Step):
    """The layers that can be explained, found by one traced pass."""

    def __init__(self, draft: ModelDraft) -> None:
        super().__init__(
            draft,
            "Target layer",
            "The map has one value for each cell of this layer. The preferred one is selected: "
            "the finest at which the map is exact.",
        )
        self._seen: object = None
        self.table = LayerTable()
        # What decides here is how coarse the map is and whether it is exact.
        for column in (KIND, CHANNELS, FIELD_MM):
            self.table.view.setColumnHidden(column, True)
        self.name = QLineEdit()
        self.name.setToolTip("Any module of the network, by its dotted name.")
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        form = QFormLayout()
        form.addRow("Layer:", self.name)
        self.body.addWidget(self.table, 1)
        self.body.addLayout(form)
        self.body.addWidget(self.verdict)
        self.table.chosen_changed.connect(self.name.setText)
        self.name.textChanged.connect(self._on_name_changed)

    def enter(self) -> None:
        """Look at the network again if it, or what it is given, is another."""
        draft = self.draft
        now = (draft.network, draft.input, draft.output)
        network = draft.network
        if network is None or now == self._seen:
            return
        from napari_hirescam.models.draft import placeholder_layer

        try:
            spec = spec_of(draft, placeholder_layer(network) or "input")
        except HirescamError as error:
            self.fault.fault(str(error))
            return
        self._seen = now
        self.table.set_candidates(())
        self.name.clear()

        def work(_progress: Progress, should_stop: ShouldStop) -> tuple[LayerCandidate, ...]:
            from napari_hirescam.attention.layers import target_layers
            from napari_hirescam.models import Classifier

            return target_layers(Classifier(spec, network), draft.volume, should_stop)

        self.work(work, spec.name, "Looking at the network", self._on_found)

    def submit(self) -> None:
        """Take the chosen layer."""
        name = self.name.text().strip()
        if not name:
            self.fault.fault(self.fault.plain or "Choose a layer, or type its name.")
            return
        self.draft.target_layer = name
        self.submitted.emit()

    def on_failed(self, error: HirescamError) -> None:
        """Say that the input is the likeliest cause."""
        self._seen = None
        super().on_failed(error)
        self.fault.fault(
            f"The layers could not be listed: {error.reason}. Most often the size or the "
            "channels of the step Input do not fit; you can also type a layer and go on."
        )

    def _on_found(self, candidates: tuple[LayerCandidate, ...]) -> None:
        self.table.set_candidates(candidates, self.draft.target_layer)

    def _on_name_changed(self, text: str) -> None:
        self.fault.clear_text()
        found = self.table.candidate(text.strip())
        if found is None:
            self.verdict.setText("")
            return
        verdict = verdict_of(found.guarantee)
        self.verdict.setText(f"{verdict.html()}: {escape(found.guarantee.reason)}.")
