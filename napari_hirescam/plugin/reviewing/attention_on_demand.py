"""The attention of the item on screen, over the CT, when the reader asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_hirescam.plugin.ct_layers import is_review_layer
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.map_layers import rewrite_layer
from napari_hirescam.plugin.reviewing.attention_source import AttentionPicture, AttentionSource
from napari_hirescam.plugin.trust_dialog import TrustQuestion
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.errors import HirescamError
    from napari_hirescam.review.loading import LoadedItem


class AttentionOnDemand(QObject):
    """One image layer that is filled by a worker, and hidden rather than removed.

    Parameters
    ----------
    viewer
        Where the layer lives.
    place
        Gives the (I, P, L) mm of the crosshair, where a patch network looks.
    asking
        What a question for trust in a model's own code stands over.
    """

    #: Carries a sentence for the reader.
    told = Signal(str)
    #: Carries whether a map is being read or computed.
    busy_changed = Signal(bool)
    #: Carries (done, total) of the run of a model.
    progressed = Signal(int, int)

    def __init__(
        self,
        viewer: ViewerModel,
        place: Callable[[], tuple[float, float, float]],
        asking: QWidget,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._place = viewer, place
        self._question = TrustQuestion(asking)
        self._source = AttentionSource()
        self._current = CurrentJob()
        self._loaded: LoadedItem | None = None
        self._layer: Image | None = None
        self._ready = False
        self._wanted = False
        self.events = ViewerEvents()
        self.events.connect(viewer.layers.events.removed, self._on_removed)
        self.destroyed.connect(self._current.abandon)

    @property
    def layer(self) -> Image | None:
        """The layer, if it was made."""
        return self._layer

    @property
    def busy(self) -> bool:
        """True while a map is being read or computed."""
        return self._current.job is not None

    @property
    def on(self) -> bool:
        """Whether the map is wanted on the screen."""
        return self._wanted

    def take(self, loaded: LoadedItem | None) -> None:
        """Turn to another item, without its map until it is asked for."""
        self.show(on=False)
        self._loaded, self._ready = loaded, False

    def show(self, *, on: bool) -> None:
        """Show the map, found first if need be; or hide it, and stop looking for it."""
        self._wanted = on
        if not on:
            self._stop()
            if self._layer is not None:
                self._layer.visible = False
        elif self._ready and self._layer is not None:
            self._layer.visible = True
        elif not self.busy and self._loaded is not None:
            self._start(self._loaded)

    def leave(self) -> None:
        """Stop, and watch nothing any more."""
        self._stop()
        self.events.disconnect()
        self._loaded = None

    def _start(self, loaded: LoadedItem) -> None:
        # A run that was stopped may still be in its last step: it must not share the source.
        source, at_mm, question = self._source, self._place(), self._question

        def work(progress: Progress, should_stop: ShouldStop) -> AttentionPicture:
            return source.picture(
                loaded,
                at_mm,
                trust=lambda request: question.ask(request, should_stop),
                progress=progress,
                should_stop=should_stop,
            )

        job = self._current.job = Job(work, loaded.item.target, doing="finding the attention")
        job.succeeded.connect(self._on_found)
        job.failed.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        job.progressed.connect(self.progressed)
        job.start()
        self.busy_changed.emit(True)

    def _stop(self) -> None:
        if self._current.job is not None:
            self._current.abandon()
            # The thread may live on for half a second, with the source it was given.
            self._source = AttentionSource()
            self.busy_changed.emit(False)

    def _on_found(self, picture: AttentionPicture) -> None:
        selection = self._viewer.layers.selection
        chosen = selection.active
        if self._layer is None:
            self._layer = Image(**picture.options)
            self._viewer.layers.insert(self._under_outlines(), self._layer)
        else:
            rewrite_layer(self._layer, picture.options)
        selection.active = chosen if chosen in self._viewer.layers else None
        self._ready = True
        if picture.note:
            self.told.emit(picture.note)

    def _under_outlines(self) -> int:
        """Find the place in the list of layers that is just below the review's masks."""
        layers = self._viewer.layers
        masks = [one for one in layers if isinstance(one, Labels) and is_review_layer(one)]
        return min((layers.index(one) for one in masks), default=len(layers))

    def _on_failed(self, error: HirescamError) -> None:
        self._wanted = False
        self.told.emit(str(error))

    def _on_ended(self) -> None:
        self._current.job = None
        self.busy_changed.emit(False)

    def _on_removed(self, event: Event) -> None:
        if event.value is self._layer:
            self._layer, self._ready, self._wanted = None, False, False
