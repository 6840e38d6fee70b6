"""One traced pass in which every layer is noted, in the order they ran."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hirescam.models.dry_run import CALL_MARK, has_features_last
from napari_hirescam.models.scores import PLAIN_OUTPUT, scores_of_ct
from napari_hirescam.models.traced_pass import traced_pass

if TYPE_CHECKING:
    from torch import nn

    from napari_hirescam.models.spec import OutputSpec


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of one layer, met in a traced pass.

    Parameters
    ----------
    name
        Dotted name, with the number of the call ("act#2") where the layer runs more than once.
    kind
        Name of the module's class.
    shape
        Shape of its output.
    node
        Autograd node of its output; None where the network switches gradients off.
    order
        How many torch calls came before its output.
    goes_around
        As in :class:`DryRun`.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    node: Any
    order: int
    goes_around: bool = False


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """Every layer of a network in the order they ran, on one graph.

    Parameters
    ----------
    input_shape, input_node, logits_node
        As in :class:`DryRun`.
    calls
        The layers that return one tensor.
    hidden
        (order, name) of each torch call that reads what gradients do not see.
    numbers_read
        Calls by which Python read numbers that come from the image.
    keep_alive
        Tensors whose graph the nodes belong to.
    """

    input_shape: tuple[int, ...]
    input_node: Any
    logits_node: Any
    calls: tuple[LayerCall, ...]
    hidden: tuple[tuple[int, str], ...]
    numbers_read: tuple[str, ...]
    keep_alive: tuple[Any, ...]


def trace_layers(
    network: nn.Module,
    input_shape: tuple[int, ...],
    output: OutputSpec = PLAIN_OUTPUT,
    *,
    on_meta: bool = True,
) -> LayerTrace:
    """Trace a network once and note every layer.

    Parameters and errors as for :func:`~napari_hirescam.models.dry_run.dry_run`.
    """
    from napari_hirescam.models.head import HeadTape
    from napari_hirescam.models.value_flow import ValueFlow

    found: list[tuple[str, str, tuple[int, ...], Any, int, int | None]] = []
    names = {module: name for name, module in network.named_modules() if name}
    thread = threading.get_ident()
    with traced_pass(network, input_shape, on_meta=on_meta) as (stack, run, given, start):
        input_node = start.grad_fn
        flow = stack.enter_context(ValueFlow(start))
        tape = stack.enter_context(HeadTape(start))

        def note(module: nn.Module, _args: Any, result: Any) -> None:
            if threading.get_ident() != thread or not hasattr(result, "grad_fn"):
                return
            if not has_features_last(module, result.ndim):
                kind = type(module).__name__
                shape, mark = tuple(result.shape), flow.mark(result)
                found.append((names[module], kind, shape, result.grad_fn, tape.length, mark))

        for module in names:
            stack.callback(module.register_forward_hook(note).remove)
        logits = scores_of_ct(run(start, output), output)
    total = {name: sum(name == other[0] for other in found) for name in names.values()}
    counted = dict.fromkeys(total, 0)
    calls = []
    for name, kind, shape, node, order, mark in found:
        counted[name] += 1
        number = f"{CALL_MARK}{counted[name]}" if total[name] > 1 else ""
        around = flow.leads_around(logits, mark)
        calls.append(LayerCall(name + number, kind, shape, node, order, around))
    return LayerTrace(
        input_shape=tuple(given.shape),
        input_node=input_node,
        logits_node=logits.grad_fn,
        calls=tuple(calls),
        hidden=tape.hidden_at,
        numbers_read=flow.numbers_read,
        keep_alive=(given, start, logits),
    )
