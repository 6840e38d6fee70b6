"""The HiResCAM dock widget: it only wires its panels together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_info
from qtpy.QtCore import QEvent, Qt, QTimer

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.ct_layers import volume_from_layer
from napari_hirescam.plugin.panels import Panels
from napari_hirescam.plugin.run_record import (
    RunRecord,
    layer_of_old_maps,
    notes_of_run,
    outdated_by,
)
from napari_hirescam.plugin.runs import Runs
from napari_hirescam.plugin.viewer_events import ViewerEvents, without_proxy

if TYPE_CHECKING:
    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.volume import Volume


class HiResCAMWidget(Panels):
    """Choose a CT and a model, run, and look at what the model used for its scores.

    Parameters
    ----------
    napari_viewer
        The viewer CTs are taken from and maps are shown in.
    """

    # napari knows what to pass by the argument's name; it does not read the annotation.
    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self._viewer = without_proxy(napari_viewer)
        super().__init__(self._viewer)
        self.runs = Runs(self._viewer, self)
        self._shown: tuple[str, ...] = ()
        self._docked = False

        # Not at once: where the window itself closes, this is gone before its time comes.
        self._leave_soon = self._at_once_after(self._leave_views)
        # Nor here: a layer that is being inserted is not in the picture yet.
        self._look_soon = self._at_once_after(self._look_at_new_ct)
        self._new_ct: Image | None = None

        self._connect()
        self._update_ready()

    def run(self) -> None:
        """Explain the chosen CT with the loaded model."""
        self.runs.start()

    def go_to_peak(self, label: str | None = None) -> None:
        """Move the slices to the strongest cell of a label, the current one by default."""
        if self.explanation is None:
            return
        label = label or self.labels_panel.current_label(self.explanation)
        if label is not None:
            self.view.go_to_peak(label)

    def event(self, event: QEvent) -> bool:
        """Stop working when napari takes the widget out of its dock for good."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._abandon_work()
        return bool(super().event(event))

    def _at_once_after(self, slot: object) -> QTimer:
        """Make a timer that calls a slot when the present event has been dealt with."""
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(0)
        timer.timeout.connect(slot)
        return timer

    def _connect(self) -> None:
        self.ct.changed.connect(self._update_ready)
        self.ct.opened.connect(self._on_ct_opened)
        self.ct.busy_changed.connect(self._on_busy_changed)
        self.model.loaded.connect(self._on_model_loaded)
        self.model.layer_changed.connect(self._on_layer_changed)
        self.model.layer_requested.connect(self._ask_layer)
        self.model.new_requested.connect(self._make_model)
        self.model.busy_changed.connect(self._update_ready)
        self.run_panel.run_requested.connect(self.run)
        self.runs.explained.connect(self._on_explained)
        self.labels.ticks_changed.connect(self._show_maps)
        self.labels_panel.table.current_changed.connect(self._update_proof)
        self.display.maps_changed.connect(self._show_maps)
        self.display.three_d_toggled.connect(self._toggle_3d)
        self.display.peak_requested.connect(self.go_to_peak)
        self.display.save_requested.connect(self._save)
        self.view.ct_moved.connect(self._update_notices)
        self.window_panel.changed.connect(self._update_notices)
        self.window_panel.follow.toggled.connect(self._update_notices)
        self.view.ct_moved.connect(self.window_panel.refresh)
        self.saver.progressed.connect(self.run_panel.show_progress)
        self.saver.busy_changed.connect(self._on_busy_changed)
        for connections in self._all_events():
            self.destroyed.connect(connections.disconnect)
        tools, user = self.tools, id(self)
        self.destroyed.connect(lambda _widget=None: tools.release(user, erase=False))

    # -- a model, a CT, a run ------------------------------------------------------------

    def _update_ready(self) -> None:
        classifier = self.model.classifier
        hint = ""
        if self.ct.busy or self.model.busy:
            ready = False
        elif self.ct.layer is None:
            ready, hint = False, "Open a CT, or choose one of the viewer's images."
        elif classifier is None:
            ready, hint = False, "Open a model."
        else:
            ready = True
        self.run_panel.set_ready(ready=ready, hint=hint)
        self.organs.set_ct(None if self.ct.busy else self.ct.layer)
        self._update_organs()
        self.summarise()
        self._update_window()

    def _on_busy_changed(self) -> None:
        if not self.ct.busy and self.saver.job is None:
            self.run_panel.hide_progress()
        self._update_ready()

    def _update_window(self) -> None:
        """Show the window where the model needs one, and name to the search what it has."""
        layer, classifier = self.ct.layer, self.model.classifier
        spec = classifier.spec.input if classifier is not None else None
        self.show_window(needed=spec is not None and spec.needs_point)
        self.window_panel.set_subject(layer, spec)
        self.sweep.set_subject(layer, classifier)

    def _on_ct_opened(self, layer: Image) -> None:
        self._new_ct = layer
        self._look_soon.start()

    def _look_at_new_ct(self) -> None:
        """Go to a CT that was opened beside others; napari stays where it is."""
        layer, self._new_ct = self._new_ct, None
        if layer is None or layer not in self._viewer.layers:
            return
        middle = layer.data_to_world((np.array(layer.data.shape) - 1) // 2)
        self._viewer.dims.set_point((-3, -2, -1), middle)
        self._viewer.fit_to_view(layers=[layer], margin=0)

    def _on_model_loaded(self) -> None:
        classifier = self.model.classifier
        if classifier is None:
            return
        # Scores and maps of another model must not stand beside this one's name.
        self.run_panel.abandon()
        self.view.take(None)
        self.labels.set_labels(classifier.labels)
        self.labels_panel.name_ct("")
        self._show_maps()
        self.display.setEnabled(False)
        self._update_notices()
        self._update_ready()

    def _open_volume(self) -> Volume | None:
        """Take the chosen CT as a volume; None if there is none, or it is not fit to be one."""
        if self.ct.layer is None:
            return None
        try:
            return volume_from_layer(self.ct.layer)
        except HirescamError:
            return None  # told when it is run

    def _ask_layer(self) -> None:
        self.model.ask_layer(self._open_volume())

    def _on_layer_changed(self) -> None:
        # The scores stay, being those of the same network; the maps are another layer's now.
        self.run_panel.abandon()
        self._update_notices()
        self._update_proof()
        self._update_ready()

    def _on_explained(
        self, record: RunRecord | None, volume: Volume, explanation: Explanation
    ) -> None:
        same = record is not None and record.same_subject_as(self.record)
        self.view.take(explanation, record)
        self._shown = ()
        centre = record.centre if record is not None else None
        place = f" at {centre.place()}" if centre is not None else ""
        self.labels_panel.name_ct(f"{volume.name}{place}")
        self.model.show_run(explanation)
        self.display.offer(explanation)
        self.labels.set_explanation(explanation, keep_ticks=same)
        self._update_notices()

    # -- what is shown -------------------------------------------------------------------

    def _show_maps(self) -> None:
        ticked = self.labels.ticked
        self.view.show(self.ct.layer)
        if self.explanation is None:
            self._update_proof()
            return
        self.labels.refresh()
        added = [label for label in ticked if label not in self._shown]
        self._shown = ticked
        self.labels_panel.follow_ticks(added)
        if added and (self.record is None or self.record.centre is None):
            # A window is looked at where it was put, and while it is moved nothing may jump.
            self.go_to_peak(added[-1])
        self._update_proof()

    def _toggle_3d(self, on: bool) -> None:  # noqa: FBT001 - Qt's slot
        self.view.toggle_3d(on=on, idle_ct=self.ct.layer, others=self.ct.choices())

    def _layer_of_old_maps(self) -> str:
        return layer_of_old_maps(self.explanation, self.model.classifier)

    def _update_proof(self) -> None:
        self._update_subject()
        self._update_organs()
        self.labels_panel.show_proof(
            self.explanation,
            self.display.methods,
            self.display.minus,
            of_layer=self._layer_of_old_maps(),
        )

    def _update_subject(self) -> None:
        """Name to the tests the map that is looked at."""
        explanation, record = self.explanation, self.record
        if explanation is None or record is None:
            self.test.set_subject(None, None, None, None, None)
            return
        centre = record.centre
        self.test.set_subject(
            record.volume,
            record.classifier,
            explanation,
            self.labels_panel.current_label(explanation),
            self.display.methods[0],
            centre.at_mm if centre is not None else None,
        )

    def _update_organs(self) -> None:
        """Name to the measures what they are of."""
        explanation, record = self.explanation, self.record
        placement = None
        labels = self.labels.ticked
        if explanation is not None:
            placement = self.display.style_of_maps().placement or explanation.default_placement
            current = self.labels_panel.current_label(explanation)
            labels = labels or ((current,) if current is not None else ())
        self.organs.set_subject(self.model.classifier, record, explanation, placement)
        self.organs.set_shown(labels, self.display.methods)

    def _update_notices(self, _value: object = None) -> None:
        """Say what makes the shown maps outdated, and what happened while they were made."""
        explanation, record, old = self.explanation, self.record, self._layer_of_old_maps()
        self.maps.mark(f" [of {old}]" if old else "")
        # Where the model runs along with its window, the maps will be there in a moment.
        along = self.window_panel.follow.isChecked()
        centre = None if along else self.window_panel.centre
        self.run_panel.set_notices(
            outdated_by(explanation, record, self.model.classifier, centre),
            notes_of_run(explanation, record),
        )

    # -- saving, making a model, stopping --------------------------------------------------

    def _save(self) -> None:
        explanation, record = self.explanation, self.record
        if explanation is None or record is None:
            return
        if not self.labels.ticked:
            show_info("Tick the labels whose maps are to be saved.")
            return
        placement = self.display.style_of_maps().placement
        both = (*self.display.methods, *([self.display.minus] if self.display.minus else []))
        self.saver.ask_and_save(
            explanation,
            record.volume,
            self.labels.ticked,
            both,
            placement or explanation.default_placement,
        )

    def _make_model(self) -> None:
        from napari_hirescam.plugin.new_model_dialog import NewModelDialog

        dialog = NewModelDialog(self._open_volume(), self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.saved.connect(self.model.load)
        # Not exec(): the CT can be looked at while the model is described.
        dialog.show()

    def _abandon_work(self) -> None:
        panels = (self.ct, self.model, self.run_panel, self.saver, self.organs, self.test)
        for panel in (*panels, self.sweep):
            panel.abandon()
        self.runs.stop()
        self._look_soon.stop()
        self._leave_soon.start()
        for connections in self._all_events():
            connections.disconnect()

    def _leave_views(self) -> None:
        self.view.leave()
        self.window_panel.set_subject(None, None)
        self.sweep.clear()
        self.tools.release(id(self))

    def _all_events(self) -> list[ViewerEvents]:
        return [self.runs.events, *self.viewer_events()]
