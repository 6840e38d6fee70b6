"""A forward pass that tells how far it has come and can be stopped between two layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import Cancelled

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def watched(
    network: nn.Module,
    progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
    passes: int = 1,
) -> Iterator[None]:
    """Report each layer that runs, and give up between two of them if asked."""
    leaves = [module for module in network.modules() if not list(module.children())]
    total = passes * len(leaves)
    done = 0

    def before(_module: nn.Module, _args: Any) -> None:
        nonlocal done
        if should_stop():
            raise Cancelled("the proof was cancelled")
        progress(min(done, total), total)
        done += 1

    hooks = [module.register_forward_pre_hook(before) for module in leaves]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    progress(total, total)


@contextmanager
def shapes_noted(layer: nn.Module | None, seen: list[Any]) -> Iterator[None]:
    """Note the shape of each output of a layer."""
    if layer is None:
        yield
        return

    def note(_module: nn.Module, _args: Any, result: Any) -> None:
        seen.append(getattr(result, "shape", ()))

    hook = layer.register_forward_hook(note)
    try:
        yield
    finally:
        hook.remove()
