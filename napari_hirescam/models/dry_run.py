"""A forward pass without arithmetic: shapes, and the autograd graph from the input on.

Run on torch's `meta` device, so that the size of the input costs neither time nor memory.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.borrow import borrowed

if TYPE_CHECKING:
    from torch import nn


class UnknownLayerError(ValueError):
    """The network has no module of that name."""


@dataclass(frozen=True, eq=False)
class DryRun:
    """What one pass without arithmetic shows of a network.

    Parameters
    ----------
    input_shape, activation_shape, logits_shape
        Shapes of the network's input, the target layer's output and the network's output.
    activation_node, head_node
        Autograd nodes: the target layer's output as computed, and the copy of it that the rest
        of the network reads.
    input_node, logits_node
        Autograd nodes of the input and of the output.
    keep_alive
        Tensors whose graph the nodes belong to.
    """

    input_shape: tuple[int, ...]
    activation_shape: tuple[int, ...]
    logits_shape: tuple[int, ...]
    input_node: Any
    activation_node: Any
    head_node: Any
    logits_node: Any
    keep_alive: tuple[Any, ...]


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Look a module up by its dotted name.

    Raises
    ------
    UnknownLayerError
        There is none; the message offers the nearest names.
    """
    layers = dict(network.named_modules())
    if name in layers and name:
        layer: nn.Module = layers[name]
        return layer
    near = difflib.get_close_matches(name, [n for n in layers if n], n=3, cutoff=0.3)
    offer = f"; the nearest are {', '.join(near)}" if near else ""
    raise UnknownLayerError(f"the network has no layer {name!r}{offer}")


def dry_run(network: nn.Module, input_shape: tuple[int, ...], target_layer: str) -> DryRun:
    """Trace a network once on the meta device.

    Parameters
    ----------
    network
        Left as it is; its parameters are replaced for the pass only.
    input_shape
        Shape of the input tensor, batch axis included.
    target_layer
        Dotted name of the layer to watch.

    Raises
    ------
    UnknownLayerError
        The target layer does not exist.
    Exception
        Whatever the network raises when its forward does not suit the shape, or asks for
        values that a pass without arithmetic does not have.
    """
    import torch

    layer = find_layer(network, target_layer)
    weights = {
        name: torch.empty_like(value, device="meta", requires_grad=False)
        for name, value in [*network.named_parameters(), *network.named_buffers()]
    }
    seen: dict[str, Any] = {}

    def watch(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        # The node is read here and a copy handed on: an in-place operation that follows would
        # otherwise be taken for part of the target layer.
        seen["node"] = output.grad_fn
        seen["copy"] = output.clone()
        copy: torch.Tensor = seen["copy"]
        return copy

    with borrowed(network), torch.inference_mode(False), torch.enable_grad():
        hook = layer.register_forward_hook(watch)
        try:
            given = torch.empty(input_shape, device="meta", requires_grad=True)
            # A view, so that the input's node can be told from the parameters' whatever comes.
            start = given.view_as(given)
            logits = torch.func.functional_call(network, weights, (start,))
        finally:
            hook.remove()
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"its forward returns a {type(logits).__name__}, not one tensor of logits")
    if "copy" not in seen:
        raise ValueError(f"the layer {target_layer!r} takes no part in the forward pass")
    return DryRun(
        input_shape=tuple(given.shape),
        activation_shape=tuple(seen["copy"].shape),
        logits_shape=tuple(logits.shape),
        input_node=start.grad_fn,
        activation_node=seen["node"],
        head_node=seen["copy"].grad_fn,
        logits_node=logits.grad_fn,
        keep_alive=(given, start, seen["copy"], logits),
    )
