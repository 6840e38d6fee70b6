"""Reading torch's autograd graph: which operations lie between two tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def operation_name(node: Any) -> str:
    """Plain name of a graph node: 'Relu' for ReluBackward0."""
    name: str = node.name().rsplit("::", 1)[-1]
    return name.split("Backward")[0]


def inputs_of(node: Any) -> list[Any]:
    """Nodes whose outputs this node read, in the order of its arguments (None: a constant)."""
    return [before for before, _ in node.next_functions]


def path_nodes(end: Any, start: Any) -> list[Any]:
    """Nodes on any path from `start` to `end`, each after all of its readers.

    Parameters
    ----------
    end
        Node of the later tensor; first in the result.
    start
        Node of the earlier tensor; last in the result.

    Returns
    -------
    Empty if `end` does not depend on `start`.
    """
    reaches: dict[Any, bool] = {}
    finished: list[Any] = []  # each node after all that it read
    stack: list[tuple[Any, bool]] = [(end, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            reaches[node] = node is start or any(
                reaches.get(before, False) for before in inputs_of(node) if before is not None
            )
            finished.append(node)
        elif node not in reaches:
            reaches[node] = False
            stack.append((node, True))
            if node is not start:
                stack += [(b, False) for b in inputs_of(node) if b is not None and b not in reaches]
    return [node for node in reversed(finished) if reaches[node]]


def goes_around(end: Any, node: Any, start: Any) -> bool:
    """True if `end` depends on `start` by a way that does not lead through `node`."""
    if node is start:
        return False
    seen = {node}
    stack = [end]
    while stack:
        here = stack.pop()
        if here is start:
            return True
        if here is not None and here not in seen:
            seen.add(here)
            stack += inputs_of(here)
    return False


def dependent_inputs(node: Any, on_path: Iterable[Any]) -> Iterator[int]:
    """Argument positions of `node` that lie on the path."""
    members = set(on_path)
    return (i for i, before in enumerate(inputs_of(node)) if before in members)
