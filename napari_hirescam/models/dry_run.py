"""One traced pass: shapes, and the autograd graph from the input on.

Run on torch's `meta` device where the network allows it, so that the size of the input costs
neither time nor memory.
"""

from __future__ import annotations

import difflib
import warnings
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.borrow import borrowed

if TYPE_CHECKING:
    import torch
    from torch import nn


class UnknownLayerError(ValueError):
    """The network has no module of that name."""


@dataclass(frozen=True, eq=False)
class DryRun:
    """What one pass shows of a network, whatever the values.

    Parameters
    ----------
    input_shape, activation_shape, logits_shape
        Shapes of the network's input, the target layer's output and the network's output.
    input_node, activation_node
        Autograd nodes of the input and of the target layer's output; the second is None where
        the network switches gradients off ahead of the layer.
    head_node, logits_node
        Autograd nodes of the activation that the head reads and of the output; the second is
        None where no gradient leads from the output back to the layer.
    hidden
        Calls of the head whose results depend on the activation unseen by gradients.
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
    hidden: tuple[str, ...]
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


def dry_run(
    network: nn.Module, input_shape: tuple[int, ...], target_layer: str, *, on_meta: bool = True
) -> DryRun:
    """Trace a network once.

    Parameters
    ----------
    network
        Left as it is; its parameters are replaced for the pass only.
    input_shape
        Shape of the input tensor, batch axis included.
    target_layer
        Dotted name of the layer to watch.
    on_meta
        Trace without arithmetic, on the meta device. Some networks do not run there, since
        they read values or make constants on the CPU: those need a real pass over zeros.

    Raises
    ------
    UnknownLayerError
        The target layer does not exist.
    Exception
        Whatever the network raises when its forward does not suit the shape.
    """
    import torch

    from napari_hirescam.models.head import HeadCannotBeReplayedError, HeadTape

    layer = find_layer(network, target_layer)
    own = [*network.named_parameters(), *network.named_buffers()]
    if on_meta:
        stand_ins = {name: torch.empty_like(value, device="meta") for name, value in own}
    else:
        stand_ins = {name: value.detach() for name, value in own}
    seen: dict[str, Any] = {}
    with ExitStack() as stack:
        stack.enter_context(borrowed(network))
        # A network that reads values is warned that its input has a gradient: only here it has.
        stack.enter_context(warnings.catch_warnings(action="ignore", category=UserWarning))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())

        def watch(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
            if seen:
                raise ValueError(f"the layer {target_layer!r} runs more than once")
            # The node is read here and a copy handed on: an in-place operation that follows
            # would otherwise be taken for part of the target layer.
            with torch.enable_grad():
                leaf = output.detach().clone().requires_grad_(True)
                read = leaf.clone()
            seen.update(node=output.grad_fn, shape=output.shape, leaf=leaf, read=read)
            seen["tape"] = stack.enter_context(HeadTape(read))
            return read

        hook = layer.register_forward_hook(watch)
        stack.callback(hook.remove)
        device = "meta" if on_meta else next((v.device for _, v in own), torch.device("cpu"))
        kind = floating_type(network)
        given = torch.zeros(input_shape, device=device, dtype=kind, requires_grad=True)
        # A view, so that the input's node can be told from the parameters' whatever comes.
        start = given.view_as(given)
        logits = torch.func.functional_call(network, stand_ins, (start,))
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"its forward returns a {type(logits).__name__}, not one tensor of logits")
    if not seen:
        raise ValueError(f"the layer {target_layer!r} takes no part in the forward pass")
    tape, read, scores = seen["tape"], seen["read"], logits
    if logits.grad_fn is None:
        # The network switches gradients off by itself: carry the head out again with them on.
        with suppress(HeadCannotBeReplayedError), torch.enable_grad():
            read = seen["leaf"].clone()
            with HeadTape(read) as again:
                scores = tape.replay(read, logits)
            tape = again
    return DryRun(
        input_shape=tuple(given.shape),
        activation_shape=tuple(seen["shape"]),
        logits_shape=tuple(logits.shape),
        input_node=start.grad_fn,
        activation_node=seen["node"],
        head_node=read.grad_fn,
        logits_node=scores.grad_fn,
        hidden=tape.hidden,
        keep_alive=(given, start, read, scores),
    )


def floating_type(network: nn.Module) -> torch.dtype:
    """Precision of a network's parameters, which its input must share; float32 without any."""
    import torch

    kinds = (p.dtype for p in network.parameters() if p.is_floating_point())
    return next(kinds, torch.float32)
