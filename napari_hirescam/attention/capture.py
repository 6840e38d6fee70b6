"""One forward pass that starts recording gradients at the target layer.

Up to the target layer no graph is built; from a copy of its output on, gradients are recorded.
So the memory is that of inference plus the target activation and the head.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_hirescam.attention.stopping import Progress, ShouldStop, stoppable
from napari_hirescam.models.borrow import SplitNetwork
from napari_hirescam.models.dry_run import (
    find_layer,
    is_input,
    never_ran,
    one_tensor,
    split_call,
)
from napari_hirescam.models.scores import PLAIN_OUTPUT, read_scores, run_network, scores_of_ct
from napari_hirescam.models.spec import OutputSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_hirescam.models.head import HeadTape


@dataclass(frozen=True, eq=False)
class Captured:
    """The target layer's activation and the logits that were computed from it.

    Parameters
    ----------
    activation
        Leaf tensor [N, F, ...]; what the network really computed, before anything in place.
    logits
        [1, K], with the graph of the head.
    head_node
        Autograd node of the copy of the activation that the head read.
    head
        The head as a function: the logits that another activation would have. May raise
        :class:`~napari_hirescam.models.head.HeadCannotBeReplayedError`.
    hidden
        Calls of the head whose results depend on the activation unseen by gradients.
    """

    activation: Tensor
    logits: Tensor
    head_node: Any
    head: Callable[[Tensor], Tensor]
    hidden: tuple[str, ...]

    @property
    def logits_node(self) -> Any:
        """Autograd node of the logits; None if no gradient leads to them."""
        return self.logits.grad_fn


def run_and_capture(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    *,
    output: OutputSpec = PLAIN_OUTPUT,
    slices_per_chunk: int,
    mixed_precision: bool = False,
    progress: Progress,
    should_stop: ShouldStop,
) -> Captured:
    """Score an input once and keep the activation of the target layer.

    Parameters
    ----------
    network
        Borrowed by the caller (eval mode, held alone). Its parameters, their gradients and its
        hooks are left as they are.
    given
        The network's input, batch axis included.
    target_layer
        Dotted name, "name#2" for the second call of a layer that runs more than once, or
        "input". Without a number the last call counts.
    output
        Where the logits are in what the network returns.
    slices_per_chunk
        How many slices a :class:`~napari_hirescam.models.borrow.SplitNetwork`, or a network
        whose batch is the slices, runs at once.
    mixed_precision
        Run under torch's autocast for the input's device.
    progress, should_stop
        Told after, and asked before, each step.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    ValueError
        The layer takes no part in the forward pass, or returns more than one tensor; the
        network returns no logits.
    """
    import torch

    def precision() -> Any:
        return torch.autocast(given.device.type, enabled=mixed_precision)

    with precision():
        if output.over_slices is not None:
            captured = _slice_by_slice(
                network, given, target_layer, output, slices_per_chunk, progress, should_stop
            )
        else:
            captured = _in_one_piece(
                network, given, target_layer, output, slices_per_chunk, progress, should_stop
            )
    if not mixed_precision:
        return captured
    head = captured.head

    def head_in_mixed_precision(activation: Tensor) -> Tensor:
        with precision():
            return head(activation)

    return replace(captured, head=head_in_mixed_precision)


def _in_one_piece(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    output: OutputSpec,
    slices_per_chunk: int,
    progress: Progress,
    should_stop: ShouldStop,
) -> Captured:
    halves = network.halves(target_layer) if isinstance(network, SplitNetwork) else None
    if halves is None or output.layer is not None:
        return _hooked_forward(network, given, target_layer, output, progress, should_stop)
    trunk, head = halves
    with stoppable(network, should_stop):
        leaf = _trunk_in_chunks(trunk, given, slices_per_chunk, progress).requires_grad_(True)
        return run_head(leaf, lambda activation: read_scores(head(activation), output))


def _slice_by_slice(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    output: OutputSpec,
    slices_per_chunk: int,
    progress: Progress,
    should_stop: ShouldStop,
) -> Captured:
    """Run a 2-D network on a few slices at a time; its scores are brought together last."""
    import torch

    chunks = torch.split(given, slices_per_chunk)
    parts: list[Captured] = []
    for k, chunk in enumerate(chunks):
        parts.append(
            _hooked_forward(network, chunk, target_layer, output, lambda _d, _t: None, should_stop)
        )
        # The graph of this chunk's head is not needed: the head is carried out again below.
        parts[-1] = replace(parts[-1], logits=parts[-1].logits.detach(), head_node=None)
        progress(k + 1, len(chunks))
    leaf = torch.cat([part.activation.detach() for part in parts]).requires_grad_(True)
    sizes = [len(part.activation) for part in parts]

    def head(activation: Tensor) -> Tensor:
        scores = [
            part.head(piece)
            for part, piece in zip(parts, torch.split(activation, sizes), strict=True)
        ]
        return scores_of_ct(torch.cat(scores), output)

    captured = run_head(leaf, head)
    hidden = tuple(dict.fromkeys([*captured.hidden, *(h for part in parts for h in part.hidden)]))
    return replace(captured, hidden=hidden)


def run_head(leaf: Tensor, head: Callable[[Tensor], Tensor]) -> Captured:
    """Compute the logits of a leaf with gradients, by a head that is a function already."""
    import torch

    from napari_hirescam.models.head import HeadTape

    with torch.enable_grad():
        read = leaf.clone()
        node = read.grad_fn
        with HeadTape(read) as tape:
            logits = head(read)
    return Captured(leaf, logits, node, head, tape.hidden)


def _trunk_in_chunks(
    trunk: Callable[[Tensor], Tensor], given: Tensor, slices_per_chunk: int, progress: Progress
) -> Tensor:
    import torch

    slices = given[0]
    total = len(slices)
    parts: list[Tensor] = []
    done = 0
    with torch.no_grad():
        for chunk in torch.split(slices, slices_per_chunk):
            parts.append(trunk(chunk))
            done += len(chunk)
            progress(done, total)
        return torch.cat(parts)


class _Cut:
    """Where the head begins: copies the target layer's output and starts to record.

    Of a layer that runs more than once the last call counts, unless a number was given.
    """

    def __init__(self, target_layer: str) -> None:
        self.wanted = split_call(target_layer)[1]
        self.calls = 0
        self.leaf: Tensor | None = None
        self.node: Any = None
        self.tape: HeadTape | None = None
        self.recording = ExitStack()

    def at(self, tensor: Tensor) -> Tensor:
        import torch

        from napari_hirescam.models.head import HeadTape

        self.recording.close()  # of an earlier call of the same layer
        # A copy as leaf, and a copy of that handed on: an in-place operation that follows
        # (ReLU, residual addition) then overwrites neither.
        self.leaf = tensor.detach().clone().requires_grad_(True)
        torch.set_grad_enabled(True)  # until the surrounding no_grad ends
        read = self.leaf.clone()
        # Asked for now: an operation in place that follows would put its own node there.
        self.node = read.grad_fn
        self.tape = self.recording.enter_context(HeadTape(read))
        return read


def _hooked_forward(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    output: OutputSpec,
    progress: Progress,
    should_stop: ShouldStop,
) -> Captured:
    import torch

    cut = _Cut(target_layer)
    thread = threading.get_ident()
    layers = sum(1 for module in network.modules() if not list(module.children()))
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(stoppable(network, should_stop, progress=progress, total=layers))
        stack.enter_context(cut.recording)

        def on_target(module: nn.Module, _args: Any, result: Any) -> Tensor | None:
            if threading.get_ident() != thread:
                return None
            cut.calls += 1
            if cut.wanted is not None and cut.calls != cut.wanted:
                return None
            return cut.at(one_tensor(module, result, target_layer))

        if is_input(network, target_layer):
            given = cut.at(given)
        else:
            hook = find_layer(network, target_layer).register_forward_hook(on_target)
            stack.callback(hook.remove)
        logits = run_network(network, given, output)
    if cut.leaf is None or cut.tape is None:
        raise ValueError(never_ran(target_layer, cut.calls))
    head = partial(_replayed, cut.tape, logits)
    if logits.grad_fn is None:
        # The network's own no_grad around its backbone ended ours: the head has no graph yet.
        return run_head(cut.leaf, head)
    return Captured(cut.leaf, logits, cut.node, head, cut.tape.hidden)


def _replayed(tape: HeadTape, logits: Tensor, activation: Tensor) -> Tensor:
    return tape.replay(activation, logits)
