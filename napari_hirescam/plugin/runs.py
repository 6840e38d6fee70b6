"""Runs of the model: what one is started with, and one after another while a window is moved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.compute_panel import as_placed
from napari_hirescam.plugin.ct_layers import volume_from_layer, world_transform
from napari_hirescam.plugin.jobs import tell_error
from napari_hirescam.plugin.run_record import RunRecord
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.plugin.panels import Panels
    from napari_hirescam.volume import Volume


class Runs(QObject):
    """Starts runs with what the panels say, and hands over what they found.

    Parameters
    ----------
    viewer
        Where the explained CT lives.
    panels
        CT, model, window, device; and the panel that carries runs out.
    """

    #: Carries (RunRecord or None, Volume, Explanation).
    explained = Signal(object, object, object)

    def __init__(self, viewer: ViewerModel, panels: Panels) -> None:
        super().__init__(panels)
        self._viewer, self._panels = viewer, panels
        self._asked: RunRecord | None = None
        self._moved_meanwhile = False
        # Not at once: a run may end while napari is still telling of a layer's removal.
        self._tidy_soon = self._timer(self._tidy)
        # Nor here: the run before it has not said yet what it found.
        self._again_soon = self._timer(self.start_along)
        self.events = ViewerEvents()
        self.events.connect(viewer.layers.events.removed, self._on_layer_removed)
        panels.run_panel.explained.connect(self._on_explained)
        panels.run_panel.busy_changed.connect(self._on_busy_changed)
        panels.window_panel.moved.connect(self.start_along)

    def start(self, *, along: bool = False) -> None:
        """Explain the chosen CT with the loaded model.

        Parameters
        ----------
        along
            Keep quiet about it: it is one of many, while a window is moved.
        """
        panels = self._panels
        layer, classifier = panels.ct.layer, panels.model.classifier
        if layer is None or classifier is None or panels.run_panel.job is not None:
            return
        try:
            volume = volume_from_layer(layer)
        except HirescamError as error:
            tell_error(error)
            return
        panels.ct.show_doubt()
        centre = None
        if classifier.spec.input.needs_point:
            panels.window_panel.refresh()
            centre = panels.window_panel.centre
        self._asked = RunRecord(layer, volume, classifier, centre, world_transform(layer), along)
        selection = self._viewer.layers.selection
        chosen = selection.active
        # Before the thread starts: it would compete for the interpreter.
        panels.maps.warm_up(layer)
        selection.active = chosen
        panels.run_panel.start(
            volume,
            classifier,
            self._methods(),
            centre.at_mm if centre is not None else None,
            panels.compute.settings,
            quiet=along,
        )

    def start_along(self) -> None:
        """Run because the window was moved; only its last place counts, none is queued up."""
        panels = self._panels
        if not panels.window_panel.follow.isChecked() or panels.ct.busy or panels.model.busy:
            return
        if panels.run_panel.job is not None:
            self._moved_meanwhile = True
        else:
            self.start(along=True)

    def stop(self) -> None:
        """Start nothing more."""
        self._tidy_soon.stop()
        self._again_soon.stop()

    def _timer(self, slot: object) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(0)
        timer.timeout.connect(slot)
        return timer

    def _methods(self) -> tuple[str, ...]:
        """Name every method that exists at the target layer."""
        from napari_hirescam.attention import METHODS

        report = self._panels.model.report
        exact = report is not None and report.guarantee.holds
        return tuple(k for k, method in METHODS.items() if exact or not method.constant_gradient)

    def _on_explained(self, volume: Volume, explanation: Explanation) -> None:
        record, self._asked = self._asked, None
        self.explained.emit(record, volume, explanation)

    def _on_busy_changed(self) -> None:
        self._tidy_soon.start()
        panels = self._panels
        if panels.run_panel.job is not None:
            return
        if self._moved_meanwhile:
            self._moved_meanwhile = False
            self._again_soon.start()
        panels.model.note_device()
        record = panels.view.record
        if record is not None:
            panels.view.record = replace(record, classifier=as_placed(record.classifier))

    def _tidy(self) -> None:
        """After a run that came to nothing, leave no layer that waits for its maps."""
        if self._panels.run_panel.job is None and self._panels.explanation is None:
            self._panels.maps.clear()

    def _on_layer_removed(self, event: Event) -> None:
        asked = self._asked
        if asked is None or event.value is not asked.layer:
            return
        self._asked = None
        if self._panels.run_panel.job is not None:
            self._panels.run_panel.abandon()
            show_warning(
                f"{event.value.name} was removed while it was being explained; the run was "
                "stopped and nothing of it is kept."
            )
