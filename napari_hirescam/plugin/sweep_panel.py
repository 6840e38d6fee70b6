"""Search the whole CT with a patch network: start, progress, and the list of places found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.ct_layers import volume_from_layer
from napari_hirescam.plugin.hit_model import MOST_ROWS
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error
from napari_hirescam.plugin.sweep_controls import SweepControls
from napari_hirescam.plugin.sweep_layers import SCORES, STITCHED, SweepLayers
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.attention.sweep import SweepHit, SweepResult
    from napari_hirescam.models import Classifier
    from napari_hirescam.plugin.window_box import WindowBox
    from napari_hirescam.volume import Volume

_N_SLICE_AXES = 2
_LONGEST_NAME = 36  # characters


class SweepPanel(SweepControls):
    """A button that searches, and a table whose rows go to the places found.

    Parameters
    ----------
    viewer
        Is moved to a place that is chosen, and gets the two layers of a search.
    window
        Moved along, if given.
    """

    #: Carries (Volume, SweepResult); only for searches that came to their end.
    found = Signal(object, object)
    #: Carries the (I, P, L) mm of a place that was gone to.
    jumped = Signal(object)
    failed = Signal(object)
    busy_changed = Signal()

    def __init__(
        self, viewer: ViewerModel, window: WindowBox | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.button.clicked.connect(self._on_clicked)
        self.table.chosen.connect(self.go_to)
        self._viewer, self._window = viewer, window
        self._layer: Image | None = None
        self._searched: Image | None = None
        self._classifier: Classifier | None = None
        self._volume: Volume | None = None
        self._result: SweepResult | None = None
        self._hint = ""
        self._current = CurrentJob()
        self.layers = SweepLayers(viewer)
        for box, which in ((self.show_scores, SCORES), (self.show_map, STITCHED)):
            box.toggled.connect(lambda on, which=which: self.layers.set_visible(which, on=on))
        self._events = ViewerEvents()
        self._events.connect(viewer.layers.events.removed, self._on_layer_removed)
        self.destroyed.connect(self._current.abandon)
        self.destroyed.connect(self.layers.events.disconnect)
        self.destroyed.connect(self._events.disconnect)
        self._update_ready()

    # -- what the host tells ---------------------------------------------------------------------

    def set_subject(self, layer: Image | None, classifier: Classifier | None) -> None:
        """Say which CT would be searched, and with which model.

        Another model, or none, ends a search and clears what was found with the old one.
        """
        if classifier is not self._classifier:
            self.abandon()
            self.clear()
            self._classifier = classifier
            self._offer_labels()
        self._layer = layer
        self._update_ready()

    def choose_label(self, label: str) -> None:
        """Look for this label, if the model has it."""
        self.label.setCurrentIndex(max(self.label.findText(label, Qt.MatchFlag.MatchExactly), 0))

    @property
    def job(self) -> Job | None:
        """The search that is going on."""
        return self._current.job

    @property
    def result(self) -> SweepResult | None:
        """What is listed."""
        return self._result

    @property
    def text(self) -> str:
        """What is said below the button."""
        text: str = self._text.text()
        return text

    def clear(self) -> None:
        """Forget what was found, and hide its layers."""
        self._result = self._searched = None
        self.hits.set_result(None, None)
        self._text.setText("")
        self.layers.hide()
        self.table.hide()
        self._boxes.hide()

    def abandon(self) -> None:
        """Stop a search and report nothing of it any more."""
        if self._current.job is not None:
            self._current.abandon()
            self._on_ended()

    # -- a search ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Search the CT in a thread."""
        layer, classifier = self._layer, self._classifier
        if self._current.job is not None or layer is None or classifier is None:
            return
        try:
            volume = volume_from_layer(layer)
        except HirescamError as error:
            tell_error(error)
            return
        label, stride_mm = self.label.currentText(), self.stride.value() or None

        def work(progress: Progress, should_stop: ShouldStop) -> SweepResult:
            from napari_hirescam.attention.sweep import sweep

            return sweep(
                volume,
                classifier,
                label,
                stride_mm=stride_mm,
                progress=progress,
                should_stop=should_stop,
            )

        self._volume, self._searched = volume, layer
        job = self._current.job = Job(work, subject=volume.name)
        job.progressed.connect(self._on_progress)
        job.succeeded.connect(self._on_found)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        job.ended.connect(self._on_ended)
        self.button.setText("Cancel the search")
        self._text.setText("")
        self._on_progress(0, 0)
        self._bar.show()
        self._set_inputs(on=False)
        self.busy_changed.emit()
        job.start()

    def cancel(self) -> None:
        """Ask the search to stop."""
        if self._current.job is not None:
            self._current.job.stop()
            self.button.setText("Cancelling…")
            self.button.setEnabled(False)

    def go_to(self, hit: SweepHit) -> None:
        """Bring slices, camera and window to a place."""
        place = hit.centre_mm
        self._viewer.dims.set_point((-3, -2, -1), place)
        camera = self._viewer.scene.camera
        shown = [
            place[axis - (self._viewer.dims.ndim - 3)] for axis in self._viewer.dims.order[-3:]
        ]
        if self._viewer.dims.ndisplay == _N_SLICE_AXES:
            shown[0] = camera.center[0]
        camera.center = tuple(shown)
        if self._window is not None and self._window.shown:
            self._window.move_to(place)
        self.jumped.emit(place)

    def _offer_labels(self) -> None:
        self.label.clear()
        if self._classifier is not None:
            self.label.addItems(self._classifier.labels)
            # Of two, the second is the finding: "no nodule", "nodule".
            self.label.setCurrentIndex(1 if len(self._classifier.labels) == 2 else 0)

    def _update_ready(self) -> None:
        classifier, busy = self._classifier, self._current.job is not None
        hint = ""
        if classifier is None:
            hint = "Open a model that sees a window of the CT."
        elif not classifier.spec.input.needs_point:
            hint = "This model sees the whole CT at once: there is nothing to search."
        elif self._layer is None:
            hint = "Open a CT, or choose one of the viewer's images."
        self._set_inputs(on=not hint and not busy)
        self.button.setEnabled(busy or not hint)
        if hint or self._hint:
            self._text.setText(hint)
        self._hint = hint
        self._text.setVisible(bool(self._text.text()))

    def _set_inputs(self, *, on: bool) -> None:
        self.label.setEnabled(on)
        self.stride.setEnabled(on)

    def _on_clicked(self) -> None:
        if self._current.job is None:
            self.start()
        else:
            self.cancel()

    def _on_progress(self, done: int, total: int) -> None:
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self._bar.setFormat("%v of %m windows and maps" if total else "Preparing the CT")

    def _on_found(self, result: SweepResult) -> None:
        volume = self._volume
        if volume is None:
            return
        self._result = result
        self.hits.set_result(result, volume.grid)
        self.table.show()
        self.layers.show(result, above=self._searched)
        self._boxes.show()
        self.show_scores.setChecked(True)
        self.show_map.setChecked(False)
        self.show_map.setEnabled(result.stitched is not None)
        self._text.setText(_summary(result, volume.name))
        self._text.show()
        if result.hits:
            self.table.selectRow(0)
        self.found.emit(volume, result)

    def _on_layer_removed(self, event: Event) -> None:
        searched = self._searched
        if searched is None or event.value is not searched:
            return
        searching = self._current.job is not None
        self.abandon()
        self.clear()
        if searching:
            self._text.setText(f"{searched.name} was removed; the search of it was stopped.")
            self._text.show()

    def _on_cancelled(self) -> None:
        self._text.setText("The search was cancelled.")

    def _on_failed(self, error: HirescamError) -> None:
        tell_error(error)
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self._current.job = None
        self._volume = None
        self._bar.hide()
        self.button.setText("Search the whole CT")
        self._update_ready()
        self.busy_changed.emit()


def _summary(result: SweepResult, name: str) -> str:
    if len(name) > _LONGEST_NAME:  # a DICOM UID has no place where a line could break
        half = _LONGEST_NAME // 2
        name = f"{name[:half]}…{name[-half:]}"
    text = f"{name}: {result.scored} windows scored"
    if result.skipped:
        text += f", {result.skipped} of air skipped"
    text += f"; {len(result.hits)} places more than half a window apart"
    if len(result.hits) > MOST_ROWS:
        text += f", the best {MOST_ROWS} listed"
    if result.stitched is not None:
        text += f"; maps of the best {result.stitched.windows} windows"
    return f"{text}."
