"""Scores of one input with some cells of the target layer set to zero.

Most heads are carried out again by themselves, which costs next to nothing. Where a head cannot
be replayed, each question costs a whole forward pass, in which the changed activation is handed
on in the target layer's place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.attention.capture import run_and_capture
from napari_hirescam.attention.raw import features_first
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import Cancelled
from napari_hirescam.models.borrow import SplitNetwork, borrowed
from napari_hirescam.models.dry_run import find_layer, is_input, split_call
from napari_hirescam.models.scores import PLAIN_OUTPUT, run_network, scores_of_ct
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.volume import FloatArray, Shape3D

if TYPE_CHECKING:
    from torch import Tensor, nn

CellMask = npt.NDArray[np.bool_]

#: A replayed head must give the scores of the forward pass, relative to the largest of them.
_REPLAY_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class ZeroedCells:
    """One input's target layer, of which cells can be set to zero.

    Parameters
    ----------
    cells
        Shape [d, h, w] of the layer's grid, on the network's own axes.
    logits
        float64 [K]; the scores with every cell in place.
    replayed
        True if the head is carried out by itself; False if each question is a forward pass.
    """

    cells: Shape3D
    logits: FloatArray
    replayed: bool
    _activation: Tensor
    _grouped: bool
    _scores: Callable[[Tensor], Tensor]
    _should_stop: ShouldStop

    def logits_with(self, kept: CellMask) -> FloatArray:
        """Score the input with only these cells; all features of the others are zero.

        Parameters
        ----------
        kept
            bool [d, h, w].

        Returns
        -------
        float64 [K].

        Raises
        ------
        Cancelled
            `should_stop` said so.
        """
        import torch

        if self._should_stop():
            raise Cancelled("the computation was cancelled")
        mask = torch.from_numpy(np.ascontiguousarray(kept)).to(self._activation.device)
        if self._grouped:
            mask = mask[None, :, None]
        elif self._activation.ndim == 4:
            mask = mask[:, None]
        else:
            mask = mask[None, None]
        # Not a product: zero times infinity is not zero.
        changed = self._activation.masked_fill(~mask, 0)
        with torch.no_grad():
            return _as_numbers(self._scores(changed))


@contextmanager
def zeroing_cells(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    *,
    output: OutputSpec = PLAIN_OUTPUT,
    slices_per_chunk: int = 8,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Iterator[ZeroedCells]:
    """Run a network once and offer its scores for other sets of cells; the network is held.

    Parameters
    ----------
    network
        Left as it was.
    given
        Its input, batch axis included, on the network's device.
    target_layer
        Dotted name, as in :func:`~napari_hirescam.attention.attention_maps`.
    output
        Where the logits are in what the network returns.
    slices_per_chunk
        How many slices a network with a 2-D trunk runs at once.
    progress, should_stop
        Told and asked during the forward pass; `should_stop` before each question as well.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    ValueError
        The layer does not exist or has no spatial axes; the output is not [1, K].
    """
    stop = should_stop or (lambda: False)
    with borrowed(network, stop):
        captured = run_and_capture(
            network,
            given.clone(),  # the network may write into it, and it may be asked for again
            target_layer,
            output=output,
            slices_per_chunk=slices_per_chunk,
            progress=progress or (lambda _done, _total: None),
            should_stop=stop,
        )
        activation = captured.activation.detach()
        grouped = is_input(network, target_layer) and isinstance(network, SplitNetwork)
        d, h, w = features_first(activation, grouped=grouped).shape[1:]
        logits = _as_numbers(captured.logits)
        replayed = _can_be_replayed(captured.head, activation, logits)

        yield ZeroedCells(
            (d, h, w),
            logits,
            replayed,
            activation,
            grouped,
            captured.head if replayed else _ForwardPasses(network, given, target_layer, output),
            stop,
        )


def _can_be_replayed(
    head: Callable[[Tensor], Tensor], activation: Tensor, logits: FloatArray
) -> bool:
    import torch

    from napari_hirescam.models.head import HeadCannotBeReplayedError

    try:
        with torch.no_grad():
            again = _as_numbers(head(activation.clone()))
    except HeadCannotBeReplayedError:
        return False
    size = max(float(np.abs(logits).max()), 1e-6)
    return bool(np.abs(again - logits).max() <= _REPLAY_TOLERANCE * size)


class _ForwardPasses:
    """Whole passes in which the target layer's output is replaced."""

    def __init__(
        self, network: nn.Module, given: Tensor, target_layer: str, output: OutputSpec
    ) -> None:
        self._network = network
        self._given = given
        self._target_layer = target_layer
        self._output = output
        # Of a layer that runs more than once, the call with this number is meant.
        self._call = split_call(target_layer)[1]

    def __call__(self, changed: Tensor) -> Tensor:
        # Copies: an in-place operation that follows must not spoil it for the next question.
        if is_input(self._network, self._target_layer):
            scores = run_network(self._network, changed.clone(), self._output)
            return scores_of_ct(scores, self._output)
        if self._call is None:
            self._call, _ = self._run(lambda _number: None)
        _, scores = self._run(lambda number: changed.clone() if number == self._call else None)
        return scores

    def _run(self, answer: Callable[[int], Tensor | None]) -> tuple[int, Tensor]:
        """Run once, asking at each call of the layer; returns the number of calls, the scores."""
        thread = threading.get_ident()
        calls = 0

        def hand_on(_module: nn.Module, _args: Any, _result: Any) -> Tensor | None:
            nonlocal calls
            if threading.get_ident() != thread:
                return None
            calls += 1
            return answer(calls)

        layer = find_layer(self._network, self._target_layer)
        hook = layer.register_forward_hook(hand_on)
        try:
            scores = run_network(self._network, self._given.clone(), self._output)
        finally:
            hook.remove()
        return calls, scores_of_ct(scores, self._output)


def _as_numbers(logits: Tensor) -> FloatArray:
    """Bring logits [1, K] to float64 [K]."""
    numbers: FloatArray = logits.detach().double().cpu().numpy()[0]
    return numbers
