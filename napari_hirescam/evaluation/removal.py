"""Removal of cells: how the score falls when the cells a map points at are set to zero.

Deletion and insertion after Petsiuk et al. 2018 (arXiv 1806.07421), with the cells of the target
layer as the unit instead of pixels, so that no made-up image content comes in: a cell's features
are set to zero, or left. Where the head is affine in the activation, the logit must change by
exactly the sum of the map over the cells removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.evaluation.removal_curves import (
    IntArray,
    RemovalCurves,
    Scores,
    cells_with_half,
)
from napari_hirescam.evaluation.zeroed_cells import ZeroedCells, zeroing_cells
from napari_hirescam.models.scores import PLAIN_OUTPUT
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Activation = Literal["sigmoid", "softmax"]

#: Where each point costs a whole forward pass, there are no more than these.
_STEPS_BY_FORWARD_PASS = 6
_RANDOM_BY_FORWARD_PASS = 2


def deletion_insertion(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    label_index: int,
    cells: npt.NDArray[Any],
    *,
    output: OutputSpec = PLAIN_OUTPUT,
    activation: Activation = "sigmoid",
    slices_per_chunk: int = 8,
    steps: int = 20,
    n_random: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> RemovalCurves:
    """Remove and put back the cells of a map in the order of their strength, and at random.

    Parameters
    ----------
    network
        Any torch module; it is left as it was.
    given
        Its input, batch axis included, on the network's device.
    target_layer
        Dotted name of the layer the map is of.
    label_index
        Which logit.
    cells
        Raw signed map of that label, [d, h, w] on the network's own axes. The cells are ranked
        by it, the most positive first.
    output
        Where the logits are in what the network returns.
    activation
        Turns logits into probabilities.
    slices_per_chunk
        How many slices a network with a 2-D trunk runs at once.
    steps
        Evenly spread points of a curve; at its ends there are as many more. A map of no more
        cells gets a point for each.
    n_random
        Random orders.
    seed
        Of the random orders.
    progress, should_stop
        Called with (done, total); asked before each point.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    ValueError
        The map is not of this layer, or holds values that are not numbers; `steps` or
        `n_random` is not positive; as for
        :func:`~napari_hirescam.attention.attention_maps`.
    """
    if steps < 1 or n_random < 1:
        raise ValueError(f"a test needs a step and a random order, not {steps} and {n_random}")
    values = np.asarray(cells, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the map holds values that are not numbers")
    tell = progress or (lambda _done, _total: None)
    parts = 1000

    def tell_forward(done: int, total: int) -> None:
        tell(parts * done // max(total, 1) // 5, parts)

    with zeroing_cells(
        network,
        given,
        target_layer,
        output=output,
        slices_per_chunk=slices_per_chunk,
        progress=tell_forward,
        should_stop=should_stop,
    ) as zeroed:
        if zeroed.cells != values.shape:
            raise ValueError(
                f"the map has {values.shape} cells and the output of {target_layer} {zeroed.cells}"
            )
        if not zeroed.replayed:
            steps = min(steps, _STEPS_BY_FORWARD_PASS)
            n_random = min(n_random, _RANDOM_BY_FORWARD_PASS)
        strongest_first = np.argsort(-values.ravel(), kind="stable")
        n_half = cells_with_half(values)
        counts = _points(values.size, n_half, steps)
        rng = np.random.default_rng(seed)
        table = _Table(zeroed, label_index, activation)
        total = (len(counts) - 2) * (2 + n_random) + 2
        done = 0

        def score(removed: npt.NDArray[np.int64]) -> tuple[float, float]:
            nonlocal done
            result = table.without(removed)
            done += 1
            tell(parts // 5 + (parts - parts // 5) * min(done, total) // total, parts)
            return result

        ends = score(strongest_first[:0]), score(strongest_first)
        deletions, sums = [], []
        for number in range(1 + n_random):
            # One order at a time: of a map with millions of cells each takes much memory.
            order = rng.permutation(values.size) if number else strongest_first
            deletions.append([ends[0], *(score(order[:c]) for c in counts[1:-1]), ends[1]])
            sums.append(_sums(values, order, counts))
        insertion = [ends[1], *(score(strongest_first[c:]) for c in counts[1:-1]), ends[0]]
    return RemovalCurves(
        n_cells=values.size,
        counts=counts,
        deletion=_scores(deletions[0]),
        insertion=_scores(insertion),
        random_deletion=_scores(deletions[1:]),
        sums=sums[0],
        random_sums=np.stack(sums[1:]),
        n_half=n_half,
        replayed=zeroed.replayed,
    )


class _Table:
    """Scores of one label without some cells."""

    def __init__(self, zeroed: ZeroedCells, label_index: int, activation: Activation) -> None:
        self._zeroed = zeroed
        self._label_index = label_index
        self._activation = activation

    def without(self, removed: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Logit and probability with these cells (flat indices) set to zero."""
        kept = np.ones(self._zeroed.cells, dtype=bool)
        kept.ravel()[removed] = False
        logits = self._zeroed.logits_with(kept)
        k = self._label_index
        return float(logits[k]), float(probabilities_of(logits, self._activation)[k])


def probabilities_of(logits: FloatArray, activation: Activation) -> FloatArray:
    """Turn logits [..., K] into probabilities."""
    from scipy import special

    result: FloatArray = (
        special.softmax(logits, axis=-1) if activation == "softmax" else special.expit(logits)
    )
    return result


def _points(n_cells: int, n_half: int, steps: int) -> IntArray:
    """Choose how many cells are removed at each point; with c, n - c is among them."""
    if n_cells <= steps:
        return np.arange(n_cells + 1)
    # Close together at both ends: there lie the strongest cells for and against the label. Of a
    # large map these are so few that even steps would jump over them.
    even = np.linspace(0.0, np.pi / 2, steps + 1)
    counts = np.concatenate(
        [
            np.rint(n_cells * np.sin(even) ** 2),
            np.rint(np.geomspace(1, n_cells / 4, steps // 2 + 1)),
            [n_half],
        ]
    ).astype(np.int64)
    return np.unique(np.concatenate([counts, n_cells - counts]))


def _sums(values: FloatArray, order: npt.NDArray[np.int64], counts: IntArray) -> FloatArray:
    running = np.concatenate([[0.0], np.cumsum(values.ravel()[order])])
    return running[counts]


def _scores(points: Sequence[Any]) -> Scores:
    table = np.asarray(points, dtype=np.float64)
    return Scores(table[..., 0], table[..., 1])
