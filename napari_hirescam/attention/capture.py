"""One forward pass that starts recording gradients at the target layer.

Up to the target layer no graph is built; from a copy of its output on, gradients are recorded.
So the memory is that of inference plus the target activation and the head.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import Cancelled
from napari_hirescam.models.borrow import SplitNetwork
from napari_hirescam.models.dry_run import find_layer
from napari_hirescam.models.head import HeadTape

if TYPE_CHECKING:
    from torch import Tensor, nn

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]


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
    slices_per_chunk: int,
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
    slices_per_chunk
        How many slices a :class:`~napari_hirescam.models.borrow.SplitNetwork` runs at once.
    progress, should_stop
        Told after, and asked before, each step.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    ValueError, TypeError
        The layer takes no part in the forward pass or runs twice; the output is not a tensor.
    """
    halves = network.halves(target_layer) if isinstance(network, SplitNetwork) else None
    if halves is None:
        return _hooked_forward(network, given, target_layer, progress, should_stop)
    trunk, head = halves
    with _stoppable(network, should_stop):
        leaf = _trunk_in_chunks(trunk, given, slices_per_chunk, progress).requires_grad_(True)
        return _run_head(leaf, head)


def _run_head(leaf: Tensor, head: Callable[[Tensor], Tensor]) -> Captured:
    """Compute the logits of a leaf with gradients, by a head that is a function already."""
    import torch

    with torch.enable_grad():
        read = leaf.clone()
        with HeadTape(read) as tape:
            logits = head(read)
    return Captured(leaf, logits, read.grad_fn, head, tape.hidden)


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


def _hooked_forward(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    progress: Progress,
    should_stop: ShouldStop,
) -> Captured:
    import torch

    seen: dict[str, Any] = {}
    thread = threading.get_ident()
    layers = sum(1 for module in network.modules() if not list(module.children()))
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(_stoppable(network, should_stop, progress=progress, total=layers))

        def on_target(_module: nn.Module, _args: Any, output: Tensor) -> Tensor | None:
            if threading.get_ident() != thread:
                return None
            if seen:
                raise ValueError(f"the layer {target_layer!r} runs more than once")
            # A copy as leaf, and a copy of that handed on: an in-place operation that follows
            # (ReLU, residual addition) then overwrites neither.
            leaf = output.detach().clone().requires_grad_(True)
            torch.set_grad_enabled(True)  # until the surrounding no_grad ends
            read = leaf.clone()
            seen.update(leaf=leaf, read=read, tape=stack.enter_context(HeadTape(read)))
            return read

        hook = find_layer(network, target_layer).register_forward_hook(on_target)
        stack.callback(hook.remove)
        logits = network(given)
    if not seen:
        raise ValueError(f"the layer {target_layer!r} takes no part in the forward pass")
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"its forward returns a {type(logits).__name__}, not one tensor of logits")
    tape: HeadTape = seen["tape"]

    def head(activation: Tensor) -> Tensor:
        return tape.replay(activation, logits)

    if logits.grad_fn is None:
        # The network's own no_grad around its backbone ended ours: the head has no graph yet.
        return _run_head(seen["leaf"], head)
    return Captured(seen["leaf"], logits, seen["read"].grad_fn, head, tape.hidden)


@contextmanager
def _stoppable(
    network: nn.Module,
    should_stop: ShouldStop,
    *,
    progress: Progress | None = None,
    total: int = 0,
) -> Iterator[None]:
    """Ask before each layer whether to go on, and count the layers if progress is wanted."""
    thread = threading.get_ident()
    done = 0

    def before(_module: nn.Module, _args: Any) -> None:
        nonlocal done
        if threading.get_ident() != thread:
            return
        if should_stop():
            raise Cancelled("the computation was cancelled")
        if progress is not None:
            progress(min(done, total), total)
            done += 1

    hooks = [
        module.register_forward_pre_hook(before)
        for module in network.modules()
        if not list(module.children())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
