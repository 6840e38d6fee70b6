"""Using a network without leaving a trace on it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_hirescam.errors import Cancelled

if TYPE_CHECKING:
    from torch import Tensor, nn

_locks: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()
# How often somebody who waits for a network asks whether to go on waiting.
_PATIENCE_S = 0.1


class SplitNetwork(ABC):
    """A network that handles slices one by one up to a layer, and all together from there.

    Its trunk can be run on a few slices at a time, which bounds the memory.
    """

    @abstractmethod
    def halves(
        self, target_layer: str
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None:
        """Return trunk ([S, C, h, w] to [S, F, h', w']) and head, or None if not cut there."""


@contextmanager
def borrowed(network: nn.Module, should_stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold a network alone, in eval mode; afterwards every module has its own mode again.

    Two threads that borrow the same network take turns, so that neither meets the other's
    hooks or restores the mode the other had set.

    Raises
    ------
    Cancelled
        `should_stop` said so while the network was in other hands.
    """
    with _locks_guard:
        lock = _locks.setdefault(network, threading.RLock())
    while not lock.acquire(timeout=_PATIENCE_S):
        if should_stop():
            raise Cancelled("the computation was cancelled")
    try:
        modes = [(module, module.training) for module in network.modules()]
        network.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
    finally:
        lock.release()
