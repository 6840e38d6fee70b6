"""Progress of a forward pass, and leaving it between two layers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import Cancelled

if TYPE_CHECKING:
    from torch import nn

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]


@contextmanager
def stoppable(
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
