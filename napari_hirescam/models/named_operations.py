"""Operations of a graph made into modules, so that they have names and can be watched.

A hook needs a module. In a graph that torch made of a program, what was not a module in its
author's code, a ``relu`` in a forward function say, is a bare operation; here it becomes a
module named as in the graph (``relu``, ``relu_1``, ``mean``, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx, nn
from torch.export.unflatten import InterpreterModuleDispatcher


class Operation(nn.Module):
    """One operation of a graph.

    Parameters
    ----------
    function
        What it does.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Carry the operation out."""
        return self.function(*args, **kwargs)

    def extra_repr(self) -> str:
        """Name the operation."""
        return str(self.function)


def name_operations(owner: nn.Module, graph: fx.Graph) -> None:
    """Turn the operations of a graph into submodules of the module that runs it."""
    for node in graph.nodes:
        if node.op == "call_function":
            name = node.name
            while hasattr(owner, name):
                name += "_operation"
            owner.add_module(name, Operation(node.target))
            node.op, node.target = "call_module", name


def name_operations_between_modules(network: nn.Module) -> None:
    """Name the operations of an unflattened program that belong to none of its inner modules.

    Those inside a module without parts of its own, a convolution's convolution, are left: the
    module stands for them.
    """
    for module in list(network.modules()):
        graph = getattr(module, "graph", None)
        if isinstance(graph, fx.Graph) and next(module.children(), None) is not None:
            name_operations(module, graph)


def start_calls_anew(network: nn.Module) -> None:
    """Make every pass of an unflattened program begin at the first call of each module.

    A module that is called several times counts its calls; a pass that was broken off would
    leave the count in the middle, and the next one would run the wrong call.
    """
    counting = [m for m in network.modules() if isinstance(m, InterpreterModuleDispatcher)]

    def reset(_module: nn.Module, _args: Any) -> None:
        for module in counting:
            module._num_calls = 0  # noqa: SLF001 - torch offers no other way

    if counting:
        network.register_forward_pre_hook(reset)
