"""One traced pass, cut at one layer: shapes, and the autograd graph from the input on."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.scores import PLAIN_OUTPUT, scores_of_ct
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.models.traced_pass import traced_pass

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Names the network's own input as target layer: HiResCAM there is gradient x input.
INPUT_LAYER = "input"
#: Scores of two passes that differ by less than this share are the same.
_SAME_SCORES = 1e-4
#: Between the name of a layer and the number of its call.
CALL_MARK = "#"
# batch, features, rows, columns
_LEAST_IMAGE_AXES = 4


class UnknownLayerError(ValueError):
    """The network has no module of that name."""


@dataclass(frozen=True, eq=False)
class DryRun:
    """What one pass shows of a network, whatever the values.

    Parameters
    ----------
    target_layer
        Dotted name, with the number of the call ("act#2") where the layer runs more than once.
    input_shape, activation_shape, logits_shape
        Shapes of the network's input, the target layer's output and the network's logits.
    input_node, activation_node
        Autograd nodes of the input and of the target layer's output; the second is None where
        the network switches gradients off ahead of the layer.
    head_node, logits_node
        Autograd nodes of the activation that the head reads and of the logits; the second is
        None where no gradient leads from the logits back to the layer.
    hidden
        Calls of the head whose results depend on the activation unseen by gradients.
    goes_around
        True if the scores read the image by a way past the layer, be it unseen by gradients.
    numbers_read
        Calls by which Python read numbers that come from the image; () if the head is seen to
        be the same for another image.
    keep_alive
        Tensors whose graph the nodes belong to.
    """

    target_layer: str
    input_shape: tuple[int, ...]
    activation_shape: tuple[int, ...]
    logits_shape: tuple[int, ...]
    input_node: Any
    activation_node: Any
    head_node: Any
    logits_node: Any
    hidden: tuple[str, ...]
    goes_around: bool
    numbers_read: tuple[str, ...]
    keep_alive: tuple[Any, ...]


def split_call(name: str) -> tuple[str, int | None]:
    """Split "act#2" into the layer's name and the number of its call (from 1; None: the last)."""
    module, mark, number = name.rpartition(CALL_MARK)
    if mark and number.isdecimal():
        return module, int(number)
    return name, None


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Look a module up by its dotted name; the number of a call is ignored.

    Raises
    ------
    UnknownLayerError
        There is none; the message offers the nearest names.
    """
    layers = dict(network.named_modules(remove_duplicate=False))
    module, _ = split_call(name)
    if module in layers and module:
        layer: nn.Module = layers[module]
        return layer
    near = difflib.get_close_matches(module, [n for n in layers if n], n=3, cutoff=0.3)
    offer = f"; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}" if near else ""
    raise UnknownLayerError(f"the network has no layer {name!r}{offer}")


def is_input(network: nn.Module, target_layer: str) -> bool:
    """True if the name stands for the network's input (a module of that name comes first)."""
    return target_layer == INPUT_LAYER and INPUT_LAYER not in dict(network.named_modules())


def dry_run(
    network: nn.Module,
    input_shape: tuple[int, ...],
    target_layer: str,
    output: OutputSpec = PLAIN_OUTPUT,
    *,
    on_meta: bool = True,
) -> DryRun:
    """Trace a network once, cut at one layer.

    Parameters
    ----------
    network
        Left as it is; its parameters are replaced for the pass only.
    input_shape
        Shape of the input tensor, batch axis included.
    target_layer
        Dotted name of the layer to watch; the last call of a layer that runs more than once,
        unless its number is given ("act#1").
    output
        Where the logits are in what the network returns.
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
    run, head = _cut_pass(network, input_shape, target_layer, output, on_meta=on_meta)
    if not run.numbers_read or on_meta:
        return run
    # Where the numbers go cannot be followed. Should they go into the head, it is another one
    # for another image.
    _, other = _cut_pass(network, input_shape, target_layer, output, on_meta=False, noise=True)
    same = _same_head(head, other, run.keep_alive[2])
    return replace(run, numbers_read=()) if same else run


Head = Callable[["Tensor"], "Tensor"]


def _same_head(head: Head, other: Head, activation: Tensor) -> bool:
    """True if two heads give the same scores of the same activations."""
    import torch

    from napari_hirescam.models.head import HeadCannotBeReplayedError

    draw = torch.Generator().manual_seed(0)
    tried = torch.randn(activation.shape, generator=draw).to(activation)
    try:
        with torch.inference_mode(False), torch.no_grad():
            pairs = [(head(a), other(a)) for a in (torch.zeros_like(tried), tried)]
    except HeadCannotBeReplayedError:
        return False
    size = max(float(scores.abs().max()) for pair in pairs for scores in pair)
    return all(float((a - b).abs().max()) <= _SAME_SCORES * size for a, b in pairs)


def _cut_pass(
    network: nn.Module,
    input_shape: tuple[int, ...],
    target_layer: str,
    output: OutputSpec,
    *,
    on_meta: bool,
    noise: bool = False,
) -> tuple[DryRun, Head]:
    """Trace a network once, cut at one layer; also return its head as a function."""
    import torch

    from napari_hirescam.models.head import HeadCannotBeReplayedError, HeadTape
    from napari_hirescam.models.value_flow import ValueFlow

    at_input = is_input(network, target_layer)
    layer = None if at_input else find_layer(network, target_layer)
    wanted = split_call(target_layer)[1]
    seen: dict[str, Any] = {}
    calls, thread = 0, threading.get_ident()
    passed = traced_pass(network, input_shape, on_meta=on_meta, noise=noise)
    with passed as (stack, run, given, start):
        input_node = start.grad_fn  # now: the network may write into its input
        flow = stack.enter_context(ValueFlow(start))
        tapes = stack.enter_context(ExitStack())

        def cut(tensor: Tensor) -> Tensor:
            # Nodes are read here and a copy handed on: an in-place operation that follows would
            # otherwise be taken for part of the target layer. The copy keeps its graph, which an
            # earlier call of the same layer is part of.
            with torch.enable_grad():
                leaf = tensor.detach().clone().requires_grad_(True)
                read = (tensor if tensor.requires_grad else leaf).clone()
            tapes.close()  # of an earlier call of the same layer
            seen.update(node=tensor.grad_fn, shape=tensor.shape, leaf=leaf, read=read)
            seen.update(head=read.grad_fn, mark=flow.mark(read))
            seen["tape"] = tapes.enter_context(HeadTape(read))
            return read

        def watch(module: nn.Module, _args: Any, result: Any) -> Tensor | None:
            nonlocal calls
            if threading.get_ident() != thread:
                return None
            calls += 1
            if wanted is not None and calls != wanted:
                return None
            return cut(one_tensor(module, result, target_layer))

        if layer is None:
            cut(start)
        else:
            hook = layer.register_forward_hook(watch)
            stack.callback(hook.remove)
        logits = scores_of_ct(run(seen["read"] if at_input else start, output), output)
    if not seen:
        raise ValueError(never_ran(target_layer, calls))
    tape, read, head_node, scores = seen["tape"], seen["read"], seen["head"], logits
    if logits.grad_fn is None:
        # The network switches gradients off by itself: carry the head out again with them on.
        with suppress(HeadCannotBeReplayedError), torch.enable_grad():
            read = seen["leaf"].clone()
            head_node = read.grad_fn
            with HeadTape(read) as again:
                scores = tape.replay(read, logits)
            tape = again
    found = DryRun(
        target_layer=target_layer if calls <= 1 or wanted else f"{target_layer}{CALL_MARK}{calls}",
        input_shape=tuple(given.shape),
        activation_shape=tuple(seen["shape"]),
        logits_shape=tuple(logits.shape),
        input_node=input_node,
        activation_node=seen["node"],
        head_node=head_node,
        logits_node=scores.grad_fn,
        hidden=tape.hidden,
        goes_around=flow.leads_around(logits, seen["mark"]),
        numbers_read=flow.numbers_read,
        keep_alive=(given, start, read, scores),
    )
    return found, lambda activation: tape.replay(activation, scores)


def one_tensor(module: nn.Module, result: Any, layer: str) -> Tensor:
    """Return a layer's output if it is one tensor with its features on the second axis.

    Raises
    ------
    TypeError
        It is no tensor.
    ValueError
        Its features are on the last axis, where linear layers and layer norms have them.
    """
    import torch

    if not isinstance(result, torch.Tensor):
        raise TypeError(
            f"the layer {layer!r} returns a {type(result).__name__}, not one tensor; choose a "
            "layer inside it or after it"
        )
    if has_features_last(module, result.ndim):
        raise ValueError(
            f"the layer {layer!r} has its features on the last axis, so its output is no map of "
            "the image; choose the layer that turns it back"
        )
    return result


def has_features_last(module: nn.Module, ndim: int) -> bool:
    """True for layers that work along the last axis of something with the axes of an image."""
    from torch import nn

    if ndim < _LEAST_IMAGE_AXES:
        return False
    return isinstance(module, nn.Linear) or (
        isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1
    )


def never_ran(layer: str, calls: int) -> str:
    """Say that a layer, or its call of that number, took no part in the forward pass."""
    if calls:
        return f"the layer {split_call(layer)[0]!r} runs {calls} times, so there is no {layer!r}"
    return f"the layer {layer!r} takes no part in the forward pass"
