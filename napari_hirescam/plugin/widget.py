"""The HiResCAM dock widget: it only wires its panels together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from napari.layers import Image, Points
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.ct_layers import volume_from_layer
from napari_hirescam.plugin.ct_panel import CtPanel
from napari_hirescam.plugin.display_panel import DisplayPanel
from napari_hirescam.plugin.jobs import tell_error
from napari_hirescam.plugin.label_model import LabelTableModel
from napari_hirescam.plugin.labels_panel import LabelsPanel
from napari_hirescam.plugin.map_layers import MapLayers, peak_mm
from napari_hirescam.plugin.model_panel import ModelPanel
from napari_hirescam.plugin.run_panel import RunPanel
from napari_hirescam.plugin.saving import MapSaver
from napari_hirescam.plugin.side_by_side import SideBySide
from napari_hirescam.plugin.view_3d import View3D
from napari_hirescam.plugin.viewer_events import ViewerEvents, without_proxy
from napari_hirescam.plugin.window_centre import WindowCentre, window_centre

if TYPE_CHECKING:
    from napari.utils.events import Event

    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.volume import Volume

_WIDTH = 390
_N_SLICE_AXES = 2


class HiResCAMWidget(QWidget):
    """Choose a CT and a model, run, and look at what the model used for its scores.

    Parameters
    ----------
    napari_viewer
        The viewer CTs are taken from and maps are shown in.
    """

    # napari knows what to pass by the argument's name; it does not read the annotation.
    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = viewer = without_proxy(napari_viewer)
        self._events, self._points_events = ViewerEvents(), ViewerEvents()
        self._explanation: Explanation | None = None
        self._volume: Volume | None = None
        self._run_layer: Image | None = None
        self._explained_layer: Image | None = None
        self._run_centre: WindowCentre | None = None
        self._shown: tuple[str, ...] = ()
        self._docked = False

        # Not at once: a run may end while napari is still telling of a layer's removal.
        self._tidy_soon = QTimer(self)
        self._tidy_soon.setSingleShot(True)
        self._tidy_soon.setInterval(0)
        self._tidy_soon.timeout.connect(self._tidy)

        # Nor here: where the window itself closes, this is gone before its time comes.
        self._leave_soon = QTimer(self)
        self._leave_soon.setSingleShot(True)
        self._leave_soon.setInterval(0)
        self._leave_soon.timeout.connect(self._leave_views)

        self.maps = MapLayers(viewer, self._on_map_deleted)
        self.labels = LabelTableModel(self.maps.colour_of)
        self.ct = CtPanel(viewer)
        self.model = ModelPanel()
        self.run_panel = RunPanel()
        self.labels_panel = LabelsPanel(self.labels)
        self.display = DisplayPanel()
        self.saver = MapSaver(self)
        self.side_by_side = SideBySide(viewer, self._right_maps, self)
        self.view_3d = View3D(viewer)
        self._lay_out()
        self._connect()
        self._update_ready()

    @property
    def explanation(self) -> Explanation | None:
        """What is shown."""
        return self._explanation

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for a width in which nothing is cut."""
        return QSize(_WIDTH, 720)

    def run(self) -> None:
        """Explain the chosen CT with the loaded model."""
        layer, classifier = self.ct.layer, self.model.classifier
        if layer is None or classifier is None:
            return
        try:
            volume = volume_from_layer(layer)
        except HirescamError as error:
            tell_error(error)
            return
        self.ct.show_doubt()
        self._run_centre = None
        if classifier.spec.input.fit == "window":
            self._run_centre = window_centre(self._viewer)
        at_mm = self._run_centre.at_mm if self._run_centre is not None else None
        self._run_layer = layer
        self.run_panel.start(volume, classifier, at_mm)
        selection = self._viewer.layers.selection
        chosen = selection.active
        self.maps.warm_up(layer)
        selection.active = chosen

    def go_to_peak(self, label: str | None = None) -> None:
        """Move the slices to the strongest cell of a label, the current one by default."""
        if self._explanation is None:
            return
        label = label or self.labels_panel.current_label(self._explanation)
        if label is None:
            return
        method, placement = self.display.methods[0], self.display.style_of_maps().placement
        ct = self._volume.grid if self._volume is not None else None
        peak = peak_mm(self._explanation.map(label, method, placement), ct)
        self._viewer.dims.set_point((-3, -2, -1), peak)

    def event(self, event: QEvent) -> bool:
        """Stop working when napari takes the widget out of its dock for good."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._abandon_work()
        return bool(super().event(event))

    def _lay_out(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(4, 4, 4, 4)
        column.setSpacing(4)
        for panel in (self.ct, self.model, self.run_panel):
            column.addWidget(panel)
        column.addWidget(self.labels_panel, 1)
        column.addWidget(self.display)

        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scroll)
        self.setMinimumWidth(330)

    def _connect(self) -> None:
        self.ct.changed.connect(self._update_ready)
        self.ct.progressed.connect(self.run_panel.show_progress)
        self.ct.busy_changed.connect(self._on_busy_changed)
        self.model.loaded.connect(self._on_model_loaded)
        self.model.busy_changed.connect(self._update_ready)
        self.run_panel.run_requested.connect(self.run)
        self.run_panel.explained.connect(self._on_explained)
        self.run_panel.busy_changed.connect(self._tidy_soon.start)
        self.labels.ticks_changed.connect(self._on_ticks_changed)
        self.labels_panel.table.current_changed.connect(self._update_proof)
        self.display.maps_changed.connect(self._show_maps)
        self.display.style_changed.connect(self._restyle)
        self.display.three_d_toggled.connect(self._toggle_3d)
        self.display.peak_requested.connect(self.go_to_peak)
        self.display.save_requested.connect(self._save)
        self.side_by_side.ended.connect(self._on_side_by_side_ended)
        self.saver.progressed.connect(self.run_panel.show_progress)
        self.saver.busy_changed.connect(self._on_busy_changed)
        viewer, events = self._viewer, self._events
        events.connect(viewer.layers.events.removed, self._on_layer_removed)
        events.connect(viewer.layers.selection.events.active, self._on_active_changed)
        events.connect(viewer.dims.events.point, self._on_position_changed)
        events.connect(viewer.dims.events.ndisplay, self._on_ndisplay_changed)
        for connections in self._all_events():
            self.destroyed.connect(connections.disconnect)

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
            if classifier.spec.input.fit == "window":
                centre = window_centre(self._viewer)
                hint = centre.sentence() if centre is not None else ""
        self.run_panel.set_ready(ready=ready, hint=hint)

    def _on_busy_changed(self) -> None:
        if not self.ct.busy and self.saver.job is None:
            self.run_panel.hide_progress()
        self._update_ready()

    def _on_active_changed(self, event: Event) -> None:
        self._points_events.disconnect()
        if isinstance(event.value, Points):
            chosen = event.value.selected_data.events.items_changed
            self._points_events.connect(chosen, self._on_position_changed)
        self._on_position_changed()

    def _on_position_changed(self, *_event: object) -> None:
        classifier = self.model.classifier
        if classifier is not None and classifier.spec.input.fit == "window":
            self._update_ready()

    def _on_model_loaded(self) -> None:
        classifier = self.model.classifier
        if classifier is None:
            return
        # Scores and maps of another model must not stand beside this one's name.
        self.run_panel.abandon()
        self._explanation = self._volume = None
        self.labels.set_labels(classifier.labels)
        self.labels_panel.name_ct("")
        self._show_maps()
        self.display.setEnabled(False)
        self._update_ready()

    def _on_explained(self, volume: Volume, explanation: Explanation) -> None:
        self._explanation, self._volume = explanation, volume
        # Ticks are for a CT, and for a place in it where the model sees only a window.
        same = self._run_layer is self._explained_layer and self._run_centre is None
        self._explained_layer, self._run_layer = self._run_layer, None
        self._shown = ()
        place = f" at {self._run_centre.place()}" if self._run_centre is not None else ""
        self.labels_panel.name_ct(f"{volume.name}{place}")
        self.display.offer(explanation)
        self.labels.set_explanation(explanation, keep_ticks=same)
        known = volume.source.notes if volume.source else ()
        for note in explanation.provenance.get("notes", ()):
            if note not in known:
                show_info(note)

    def _tidy(self) -> None:
        """After a run that came to nothing, leave no layer that waits for its maps."""
        if self.run_panel.job is None and self._explanation is None:
            self.maps.clear()

    def _on_layer_removed(self, event: Event) -> None:
        if self._run_layer is not None and event.value is self._run_layer:
            self._run_layer = None
            if self.run_panel.job is not None:
                self.run_panel.abandon()
                show_warning(
                    f"{event.value.name} was removed while it was being explained; the run was "
                    "stopped and nothing of it is kept."
                )

    # -- what is shown -------------------------------------------------------------------

    def _on_ticks_changed(self) -> None:
        self._show_maps()

    def _show_maps(self) -> None:
        explanation, ticked = self._explanation, self.labels.ticked
        if explanation is None:
            self.maps.clear()
            self._update_proof()
            return
        # Method by method, so that in the list of layers the right view's maps come last.
        wanted = [(label, method) for method in self.display.methods for label in ticked]
        style = self.display.style_of_maps()
        self.maps.show(explanation, wanted, style, above=self._explained_layer)
        self._show_grid()
        selection = self._viewer.layers.selection
        if self.maps.layers and (selection.active is None or not selection.active.visible):
            # The controls of the map that was last shown, rather than none.
            selection.active = list(self.maps.layers.values())[-1]
        self.labels.refresh()
        added = [label for label in ticked if label not in self._shown]
        self._shown = ticked
        self.labels_panel.follow_ticks(added)
        if added and self._run_centre is None:
            # A window's place is where the slices stand: a jump would move the next run's.
            self.go_to_peak(added[-1])
        self._update_proof()

    def _layer_shown(self) -> Image | None:
        """The CT that the maps belong to; the chosen one as long as there are none."""
        explained = self._explained_layer
        return explained if explained in self._viewer.layers else self.ct.layer

    def _show_grid(self) -> None:
        layer = self._layer_shown()
        if self.display.side_by_side and layer is not None:
            self.side_by_side.enter(layer)
        else:
            self.side_by_side.leave()

    def _on_side_by_side_ended(self) -> None:
        if self.display.side_by_side:
            # One view cannot show two methods over each other.
            self.display.method.value = self.display.methods[0]

    def _on_ndisplay_changed(self, event: Event) -> None:
        if event.value == _N_SLICE_AXES:
            self.display.three_d.setChecked(False)

    def _right_maps(self) -> list[Image]:
        return [layer for (_, method), layer in self.maps.layers.items() if method == "gradcam"]

    def _restyle(self) -> None:
        style = self.display.style_of_maps()
        self.maps.restyle(style.threshold, style.opacity)

    def _on_map_deleted(self, label: str, _method: str) -> None:
        self.labels.untick(label)

    def _toggle_3d(self, on: bool) -> None:  # noqa: FBT001 - Qt's slot
        layer = self._layer_shown()
        if on:
            others = [other for other in self.ct.choices() if other is not layer and other.visible]
            self.view_3d.enter([layer] if layer is not None else [], others)
        else:
            self.view_3d.leave()

    def _update_proof(self) -> None:
        self.labels_panel.show_proof(self._explanation, self.display.methods)

    # -- saving and stopping ---------------------------------------------------------------

    def _save(self) -> None:
        if self._explanation is None or self._volume is None:
            return
        if not self.labels.ticked:
            show_info("Tick the labels whose maps are to be saved.")
            return
        placement = self.display.style_of_maps().placement
        self.saver.ask_and_save(
            self._explanation,
            self._volume,
            self.labels.ticked,
            self.display.methods,
            placement or self._explanation.default_placement,
        )

    def _abandon_work(self) -> None:
        for panel in (self.ct, self.model, self.run_panel, self.saver):
            panel.abandon()
        self._tidy_soon.stop()
        self._leave_soon.start()
        for connections in self._all_events():
            connections.disconnect()

    def _leave_views(self) -> None:
        """Without its panel, leave the viewer as it was: one view, slices, no maps."""
        self.view_3d.leave()
        self.side_by_side.leave()
        self.maps.clear()

    def _all_events(self) -> list[ViewerEvents]:
        return [self._events, self._points_events, self.maps.events, self.ct.events]
