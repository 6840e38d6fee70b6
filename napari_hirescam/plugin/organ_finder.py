"""Finding organs in a CT, in a thread, and showing them as a Labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.ct_layers import volume_from_layer
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.opening import add_layer
from napari_hirescam.plugin.organ_layers import layer_from_organs

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.organs import OrganMap
    from napari_hirescam.volume import Volume


class OrganFinder(QObject):
    """Looks for organs in one CT after another.

    Parameters
    ----------
    viewer
        Gets the regions that are found, right above their CT.
    """

    #: Carries (done, total).
    progressed = Signal(int, int)
    #: Carries the new Labels layer.
    found = Signal(object)
    #: Carries a HirescamError.
    failed = Signal(object)
    busy_changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._current = CurrentJob()
        self._ct: Image | None = None
        self._volume: Volume | None = None
        self.destroyed.connect(self._current.abandon)

    @property
    def job(self) -> Job | None:
        """The search that is going on."""
        return self._current.job

    @property
    def ct(self) -> Image | None:
        """The CT that is searched."""
        return self._ct

    def start(self, ct: Image, *, rough: bool = False) -> None:
        """Look for the organs of a CT; `rough` takes rough regions where none are found."""
        if self._current.job is not None:
            return
        try:
            volume = volume_from_layer(ct)
        except HirescamError as error:
            self.failed.emit(error)
            return

        def work(progress: Progress, should_stop: ShouldStop) -> OrganMap:
            from napari_hirescam.organs import find_organs

            return find_organs(volume, rough=rough, progress=progress, should_stop=should_stop)

        self._ct, self._volume = ct, volume
        job = self._current.job = Job(
            work, subject=volume.name, doing=f"finding the organs of {volume.name}"
        )
        job.progressed.connect(self.progressed)
        job.succeeded.connect(self._on_succeeded)
        job.failed.connect(self.failed)
        job.ended.connect(self._on_ended)
        self.busy_changed.emit()
        job.start()

    def stop(self) -> None:
        """Ask the search to stop."""
        if self._current.job is not None:
            self._current.job.stop()

    def abandon(self) -> None:
        """Stop the search and report nothing of it any more."""
        if self._current.job is not None:
            self._current.abandon()
            self._on_ended()

    def _on_succeeded(self, organs: OrganMap) -> None:
        ct, volume = self._ct, self._volume
        if volume is None:
            return
        layers = self._viewer.layers
        chosen = layers.selection.active
        layer = add_layer(self._viewer, layer_from_organs(organs, volume))
        if ct in layers:  # right above it: maps stay on top
            layers.move(layers.index(layer), layers.index(ct) + 1)
        if chosen in layers:
            layers.selection.active = chosen
        self.found.emit(layer)

    def _on_ended(self) -> None:
        self._current.job = None
        self._ct = self._volume = None
        self.busy_changed.emit()
