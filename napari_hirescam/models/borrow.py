"""Using a network without leaving a trace on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor, nn

_locks: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


@runtime_checkable
class SplitNetwork(Protocol):
    """A network that handles slices one by one up to a layer, and all together from there.

    Its trunk can be run on a few slices at a time, which bounds the memory.
    """

    def split(
        self, target_layer: str
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None:
        """Return trunk ([S, C, h, w] to [S, F, h', w']) and head, or None if not cut there."""
        ...


@contextmanager
def borrowed(network: nn.Module) -> Iterator[None]:
    """Hold a network alone, in eval mode; afterwards every module has its own mode again.

    Two threads that borrow the same network take turns, so that neither meets the other's
    hooks or restores the mode the other had set.
    """
    with _locks_guard:
        lock = _locks.setdefault(network, threading.RLock())
    with lock:
        modes = [(module, module.training) for module in network.modules()]
        network.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
