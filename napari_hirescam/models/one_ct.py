"""A classifier that stays with one CT, so that looking at many places in it costs little."""

from __future__ import annotations

from collections.abc import Callable

from napari_hirescam.models.classifier import Classifier
from napari_hirescam.models.placing import Point
from napari_hirescam.models.preprocess import ModelInput, PreparedCT, prepare_ct
from napari_hirescam.volume import Volume


class OneCTClassifier(Classifier):
    """The same network, labels and device as another classifier, bound to a prepared CT.

    Turning and resampling the CT is done once, here; :meth:`prepare` only cuts the window out.

    Parameters
    ----------
    classifier
        Whose network it borrows; nothing of it is copied.
    volume
        The CT. Other volumes are prepared from scratch as ever.
    should_stop
        Asked while the CT is prepared.

    Raises
    ------
    InputError, Cancelled
        As :func:`~napari_hirescam.models.preprocess.prepare_ct`.
    """

    def __init__(
        self,
        classifier: Classifier,
        volume: Volume,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        # What the other one has found out about its network (the dry run) holds here, too.
        vars(self).update(vars(classifier))
        self.volume = volume
        self.prepared: PreparedCT = prepare_ct(volume, self.spec.input, should_stop)

    def prepare(
        self,
        volume: Volume,
        at_mm: Point | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> ModelInput:
        """Cut what the network sees out of the prepared CT."""
        if volume is not self.volume:
            return super().prepare(volume, at_mm, should_stop)
        return self.prepared.window(at_mm, should_stop)
