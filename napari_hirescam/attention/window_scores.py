"""Scores of many windows, several at once where the network allows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.attention.memory import ran_out_of_memory
from napari_hirescam.errors import AttributionError, Cancelled
from napari_hirescam.models.borrow import borrowed
from napari_hirescam.models.one_ct import OneCTClassifier
from napari_hirescam.models.placing import Point
from napari_hirescam.models.scores import run_network
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

#: Scores of two windows at once may differ by this much from those of each alone.
_SAME = 1e-3


class _OutOfMemoryError(Exception):
    """The memory did not suffice for as many windows at once."""


class WindowScorer:
    """Scores windows of one CT.

    Parameters
    ----------
    model
        Bound to the CT.
    batch
        Windows at once at most. Whether the network takes two, and answers as for each
        alone, is tried once; if not, windows go one by one.
    """

    def __init__(self, model: OneCTClassifier, batch: int) -> None:
        self._model = model
        self._batch = max(1, batch)
        #: Windows the network is given at once; known after :meth:`scores`.
        self.at_once = 1

    def scores(
        self,
        places: Sequence[Point],
        progress: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> FloatArray:
        """Score the windows around places: logits [N, K], float64.

        Raises
        ------
        AttributionError
            The network failed, ran out of memory or gave scores that are not numbers.
        Cancelled
            `should_stop` said so.
        """
        import torch

        found: list[FloatArray] = []
        with borrowed(self._model.network, should_stop), torch.inference_mode():
            self.at_once = self._batch if self._takes_two(places) else 1
            while len(found) < len(places):
                if should_stop():
                    raise Cancelled("the search was cancelled")
                part = places[len(found) : len(found) + self.at_once]
                try:
                    found += list(self._run(part))
                except _OutOfMemoryError as exc:
                    if self.at_once == 1:
                        raise self._failed("the memory ran out") from exc
                    self.at_once = max(1, self.at_once // 2)
                progress(len(found))
        return np.array(found).reshape(len(places), len(self._model.labels))

    def _takes_two(self, places: Sequence[Point]) -> bool:
        if self._batch == 1 or len(places) < 2:
            return False
        # Neighbours may look alike, and a network that mixes its batch up would not be noticed.
        two = [places[0], places[len(places) // 2]]
        alone = np.concatenate([self._run([place]) for place in two])
        try:
            together = self._run(two)
        except Exception as exc:  # noqa: BLE001 - which networks take batches cannot be known
            logger.info("windows go one by one: %s", exc)
            return False
        return together.shape == alone.shape and np.allclose(
            together, alone, rtol=_SAME, atol=_SAME
        )

    def _run(self, places: Sequence[Point]) -> FloatArray:
        import torch

        model = self._model
        inputs: list[Tensor] = [
            model.tensor_of(model.prepare(model.volume, place)) for place in places
        ]
        output = model.spec.output
        if len(inputs) > 1:
            # Read as the scores of slices are: one row for each item of the batch.
            output = output.model_copy(update={"over_slices": "mean"})
        try:
            scores = run_network(model.network, torch.cat(inputs), output)
        except Exception as exc:  # the user's own network can fail in any way
            if ran_out_of_memory(exc):
                raise _OutOfMemoryError from exc
            raise self._failed(f"{type(exc).__name__}: {exc}") from exc
        logits: FloatArray = scores.double().cpu().numpy()
        if logits.shape[1] != len(model.labels):
            raise self._failed(f"it gave {logits.shape[1]} scores for {len(model.labels)} labels")
        if not np.isfinite(logits).all():
            raise self._failed("its scores are not numbers (NaN or infinite)")
        return logits

    def _failed(self, reason: str) -> AttributionError:
        return AttributionError(
            self._model.spec.name,
            f"the search of {self._model.volume.name} stopped: {' '.join(reason.split())}",
            "Check that the model's input section describes what the network expects",
        )
