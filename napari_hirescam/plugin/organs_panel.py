"""Organs: found in the CT or taken from any Labels layer, and the measures of the maps in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_hirescam.errors import Cancelled, HirescamError, OrganError
from napari_hirescam.organs import read_organ_table
from napari_hirescam.organs.organ_tables import BUILT_IN
from napari_hirescam.organs.placed_masks import organs_from_labels
from napari_hirescam.plugin.ct_layers import is_review_layer
from napari_hirescam.plugin.jobs import Progress, ShouldStop, tell_error
from napari_hirescam.plugin.latest_job import LatestJob
from napari_hirescam.plugin.measuring import Measured, measure, needed_organs
from napari_hirescam.plugin.organ_controls import FILE, OrganControls
from napari_hirescam.plugin.organ_finder import OrganFinder
from napari_hirescam.plugin.organ_layers import (
    BY_NAMES,
    doubts_of,
    for_organs,
    mask_from_layer,
    named_values,
)
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.attention.result import Explanation, PlacementName
    from napari_hirescam.models import Classifier
    from napari_hirescam.organs import OrganTable
    from napari_hirescam.plugin.run_record import RunRecord

#: Methods that are always compared, where the maps are there.
_COMPARED = ("hirescam", "gradcam")
_NO_RUN = "Run the model to measure how much of its maps lies in these organs."
_TABLES = "Tables of organs (*.csv *.yaml *.yml);;All files (*)"


class OrgansPanel(OrganControls):
    """A button that finds organs, a choice of masks, and a small table of measures.

    The host says by :meth:`set_ct`, :meth:`set_subject` and :meth:`set_shown` what is there.

    Parameters
    ----------
    viewer
        Gets the regions as a Labels layer; its Labels layers can be chosen.
    """

    #: A search for organs or a measurement has begun or ended.
    busy_changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(lambda _combo: labels_layers(viewer), parent)
        self._viewer = viewer
        self._ct: Image | None = None
        self._classifier: Classifier | None = None
        self._record: RunRecord | None = None
        self._explanation: Explanation | None = None
        self._placement: PlacementName | None = None
        self._shown: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self._table: OrganTable = {}
        self._note = self._refusal = self._fault = ""
        self._measured: Measured | None = None
        self.finder = OrganFinder(viewer, self)
        self.measuring = LatestJob(self)
        self.events = ViewerEvents()
        self._of_mask = ViewerEvents()
        self._connect()
        self.masks.reset_choices()
        self._update_ready()

    # -- what the host says ------------------------------------------------------------------

    def set_ct(self, layer: Image | None) -> None:
        """Say in which CT organs would be looked for."""
        if layer is not self._ct:
            self._refusal = ""
        self._ct = layer
        self._update_ready()

    def set_subject(
        self,
        classifier: Classifier | None,
        record: RunRecord | None,
        explanation: Explanation | None,
        placement: PlacementName | None,
    ) -> None:
        """Say which model there is, and which maps can be measured; None where there are none."""
        other_model = classifier is not self._classifier
        # The record is written anew when the network moves to another device; its maps stay.
        other_maps = explanation is not self._explanation or placement != self._placement
        self._classifier, self._record = classifier, record
        self._explanation, self._placement = explanation, placement
        if other_model:
            self._show_values()
        if other_model or other_maps:
            self._measure()

    def set_shown(self, labels: Sequence[str], methods: Sequence[str]) -> None:
        """Say whose maps are looked at."""
        self._shown = tuple(labels), tuple(methods)
        self._show_measures()

    @property
    def mask_layer(self) -> Labels | None:
        """The chosen masks."""
        layer: Labels | None = self.masks.value
        return layer

    @property
    def measured(self) -> Measured | None:
        """What was measured in them."""
        return self._measured

    def choose(self, layer: Labels) -> None:
        """Choose masks."""
        self.masks.reset_choices()
        self.masks.value = layer

    def abandon(self) -> None:
        """Stop everything and report nothing any more."""
        self.measuring.abandon()
        self.finder.abandon()
        self._of_mask.disconnect()

    # -- finding organs ------------------------------------------------------------------------

    def _on_find_clicked(self) -> None:
        if self.finder.job is not None:
            self.finder.stop()
            self.show_stopping()
        else:
            self._find(rough=False)

    def _on_rough_clicked(self) -> None:
        self._find(rough=True)

    def _find(self, *, rough: bool) -> None:
        if self._ct is not None:
            self._refusal = ""
            self.finder.start(self._ct, rough=rough)

    def _on_refused(self, error: HirescamError) -> None:
        if isinstance(error, OrganError):
            self._refusal = f"No organs were found: {error.reason}."
        else:
            tell_error(error)

    def _on_finder_busy(self) -> None:
        self.show_busy(on=self.finder.job is not None)
        self._update_ready()
        self.busy_changed.emit()

    def _update_ready(self) -> None:
        busy = self.finder.job is not None
        self.find_button.setEnabled(busy or self._ct is not None)
        self.rough.setVisible(bool(self._refusal) and not busy)
        layer = self.mask_layer
        doubts = [f"{doubt[:1].upper()}{doubt[1:]}." for doubt in doubts_of(layer)] if layer else []
        self.say([self._refusal] if self._refusal else doubts, [self._note] if self._note else [])

    # -- masks and their values ------------------------------------------------------------------

    def _connect(self) -> None:
        self.find_button.clicked.connect(self._on_find_clicked)
        self.rough.clicked.connect(self._on_rough_clicked)
        self.finder.progressed.connect(self.show_progress)
        self.finder.found.connect(self.choose)
        self.finder.failed.connect(self._on_refused)
        self.finder.busy_changed.connect(self._on_finder_busy)
        self.masks.changed.connect(self._on_masks_chosen)
        self.source.activated.connect(self._on_source_chosen)
        self.values.edited.connect(self._on_values_edited)
        self.measuring.succeeded.connect(self._on_measured)
        self.measuring.failed.connect(self._on_measuring_failed)
        self.measuring.busy_changed.connect(self._show_measures)
        self.measuring.busy_changed.connect(self.busy_changed)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            self.events.connect(emitter, self._on_layers_changed)
        self.destroyed.connect(self.events.disconnect)
        self.destroyed.connect(self._of_mask.disconnect)

    def _on_layers_changed(self, event: Event) -> None:
        chosen = self.mask_layer
        self.masks.reset_choices()
        # The combo box finds its choice again by name, and so loses a layer that was renamed.
        if chosen is not None and chosen is not self.mask_layer and chosen in self._viewer.layers:
            self.masks.value = chosen
        searched = self.finder.ct
        if event.type == "removed" and searched is not None and event.value is searched:
            self.finder.abandon()
            self.say([f"{searched.name} was removed; the search for its organs was stopped."])

    def _on_masks_chosen(self, layer: Labels | None) -> None:
        self._of_mask.disconnect()
        self._refusal = ""
        self._table, self._note = {}, ""
        if layer is not None:
            named = named_values(layer)
            self._table = named.table
            self.source.setCurrentIndex(self.source.findData(named.by))
            if named.guessed:
                words = self.source.currentText()
                self._note = f"Guessed from its values: numbered as by {words}. Check it."
            elif not named.table:
                self._note = "Nothing says which of its values is which organ: fill in the table."
            changes = layer.events
            for emitter in (changes.paint, changes.data, changes.scale, changes.translate):
                self._of_mask.connect(emitter, self._on_mask_changed)
        self._update_ready()
        self._show_values()
        self._measure()

    def _on_mask_changed(self, _event: Event) -> None:
        self._measure()

    def _on_source_chosen(self, _index: int) -> None:
        layer, source = self.mask_layer, self.source.currentData()
        if layer is None:
            return
        if source == FILE:
            name, _ = QFileDialog.getOpenFileName(self, "Open a table of organs", "", _TABLES)
            if not name:
                return
            try:
                self._table = read_organ_table(name)
            except HirescamError as error:
                tell_error(error)
                return
        elif source == BY_NAMES:
            named = named_values(layer)
            self._table = {} if named.guessed else named.table
        else:
            self._table = BUILT_IN[source]
        self._take_table()

    def _on_values_edited(self) -> None:
        known = dict(self._table)
        for organ in needed_organs(self._classifier):
            known.pop(organ, None)  # taken out by the user, perhaps
        self._table = known | self.values.table
        self._note = ""
        self._update_ready()
        self._measure()

    def _take_table(self) -> None:
        self._note = ""
        self._update_ready()
        self._show_values()
        self._measure()

    def _show_values(self) -> None:
        """Show the organs the model asks for, or without a model those the masks have."""
        needed = needed_organs(self._classifier) or tuple(self._table)
        self.values.set_table(for_organs(self._table, needed))
        self.values_box.setVisible(self.mask_layer is not None and bool(needed))

    # -- measures ----------------------------------------------------------------------------------

    def _measure(self) -> None:
        """Measure the maps in the chosen masks, soon and in a thread."""
        self._measured, self._fault = None, ""
        layer, record, explanation = self.mask_layer, self._record, self._explanation
        placement, table = self._placement, self.values.table
        if layer is None or record is None or explanation is None or placement is None:
            self.measuring.abandon()
            self._show_measures()
            return
        name = layer.name
        try:
            mask = mask_from_layer(layer)
        except HirescamError as error:
            self.measuring.abandon()
            self._on_measuring_failed(error)
            return

        def work(_progress: Progress, should_stop: ShouldStop) -> Measured:
            def check_stop() -> None:
                if should_stop():
                    raise Cancelled("something else is to be measured")

            # The painting may go on.
            drawn = replace(mask, voxels=np.array(mask.voxels))
            check_stop()
            organs = organs_from_labels(drawn, table, record.volume, origin=name)
            check_stop()
            return measure(
                record, explanation, organs, tuple(explanation.maps), placement, check_stop
            )

        self.measuring.ask(work, record.volume.name)

    def _on_measured(self, measured: Measured) -> None:
        self._measured = measured
        self._show_measures()

    def _on_measuring_failed(self, error: HirescamError) -> None:
        self._fault = f"⚠ {error}"
        self._show_measures()

    def _show_measures(self) -> None:
        labels, methods = self._shown
        measured = self._measured
        rows = []
        if measured is not None:
            wanted = tuple(dict.fromkeys((*methods, *_COMPARED)))
            known = {(row.label, row.method): row for row in measured.rows}
            pairs = [(label, method) for label in labels for method in wanted]
            rows = [known[pair] for pair in pairs if pair in known]
        self.measures.set_rows(rows)
        self.measures_table.setVisible(bool(rows))
        words = self._words(measured)
        self.words.setText(words)
        self.words.setVisible(bool(words))

    def _words(self, measured: Measured | None) -> str:
        if self.mask_layer is None:
            return ""
        if self.measuring.busy:
            return "Measuring…"
        if self._explanation is None:
            return _NO_RUN
        if measured is None:
            return self._fault
        doubts = [f"⚠ {doubt[:1].upper()}{doubt[1:]}." for doubt in measured.organs.doubts]
        return " ".join((*doubts, *measured.words))


def labels_layers(viewer: ViewerModel) -> list[Labels]:
    """Return the layers of a viewer that can be masks."""
    return [
        layer for layer in viewer.layers if isinstance(layer, Labels) and not is_review_layer(layer)
    ]
