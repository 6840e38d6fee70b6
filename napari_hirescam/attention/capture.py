"""One forward pass that starts recording gradients at the target layer.

Up to the target layer no graph is built; from a copy of its output on, gradients are recorded.
So the memory is that of inference plus the target activation and the head.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hirescam.attention.faithfulness import BiasTerms
from napari_hirescam.errors import Cancelled
from napari_hirescam.models.borrow import SplitNetwork
from napari_hirescam.models.dry_run import find_layer

if TYPE_CHECKING:
    import torch
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
    bias
        What the head's layers added.
    """

    activation: Tensor
    logits: Tensor
    head_node: Any
    bias: BiasTerms


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
    """
    halves = network.split(target_layer) if isinstance(network, SplitNetwork) else None
    bias = BiasTerms()
    if halves is not None:
        trunk, head = halves
        with _stoppable(network, should_stop):
            activation = _trunk_in_chunks(trunk, given, slices_per_chunk, progress)
            leaf = activation.detach().requires_grad_(True)
            with _grad_enabled(), _recorded(network, bias):
                read = leaf.clone()
                logits = head(read)
        return Captured(leaf, logits, read.grad_fn, bias)
    return _hooked_forward(network, given, target_layer, bias, progress, should_stop)


def _grad_enabled() -> torch.enable_grad:
    import torch

    return torch.enable_grad()


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
    bias: BiasTerms,
    progress: Progress,
    should_stop: ShouldStop,
) -> Captured:
    import torch

    seen: dict[str, Any] = {}
    thread = threading.get_ident()
    leaves = sum(1 for module in network.modules() if not list(module.children()))

    def on_target(_module: nn.Module, _args: Any, output: Tensor) -> Tensor | None:
        if threading.get_ident() != thread:
            return None
        if "leaf" in seen:
            raise ValueError(f"the layer {target_layer!r} runs more than once in a forward pass")
        # A copy as leaf, and a copy of that handed on: an in-place operation that follows
        # (ReLU, residual addition) then overwrites neither.
        seen["leaf"] = output.detach().clone().requires_grad_(True)
        torch.set_grad_enabled(True)  # until the surrounding no_grad ends
        read: Tensor = seen["leaf"].clone()
        seen["node"] = read.grad_fn
        return read

    recording = _recorded(network, bias, when=lambda: "leaf" in seen)
    counted = _stoppable(network, should_stop, progress=progress, total=leaves)
    with torch.no_grad(), counted, recording:
        hook = find_layer(network, target_layer).register_forward_hook(on_target)
        try:
            logits = network(given)
        finally:
            hook.remove()
    if "leaf" not in seen:
        raise ValueError(f"the layer {target_layer!r} takes no part in the forward pass")
    return Captured(seen["leaf"], logits, seen["node"], bias)


@contextmanager
def _recorded(
    network: nn.Module, bias: BiasTerms, when: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    thread = threading.get_ident()

    def note(module: nn.Module, _args: Any, output: Any) -> None:
        if threading.get_ident() == thread and when() and hasattr(output, "requires_grad"):
            bias.record(module, output)

    hooks = [
        module.register_forward_hook(note)
        for module in network.modules()
        if not list(module.children())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


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
