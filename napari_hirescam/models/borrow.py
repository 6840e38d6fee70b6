"""Using a network without leaving a trace on it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
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
    """Hold a network alone, in eval mode; afterwards it is as it was.

    Every module has its own mode again, its buffers their values and its attributes their
    objects, also if its forward counts calls or remembers what it last saw. Two threads that
    borrow the same network take turns, so that neither meets the other's hooks or restores the
    mode the other had set.

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
        states = [_ModuleState(module) for module in network.modules()]
        try:
            network.eval()
            yield
        finally:
            for state in states:
                state.restore()
    finally:
        lock.release()


class _ModuleState:
    """What a forward pass may change of one module: values, attributes, entries."""

    #: Kept by torch itself; submodules have a state of their own.
    _REGISTERS = ("_parameters", "_buffers", "_modules")

    def __init__(self, module: nn.Module) -> None:
        import torch

        self._module = module
        self._attributes = dict(vars(module))
        # Hooks and the like, which every module has; all else is the user's, also "_seen".
        of_torch = vars(torch.nn.Module())
        self._registers = {name: dict(getattr(module, name)) for name in self._REGISTERS}
        own = [v for name, v in self._attributes.items() if name not in of_torch]
        self._containers = [(v, copy(v)) for v in own if type(v) in (list, dict, set)]
        tensors = [*self._registers["_buffers"].values(), *own]
        self._values = [
            (t, _version(t), t.detach().clone()) for t in tensors if isinstance(t, torch.Tensor)
        ]

    def restore(self) -> None:
        import torch

        own = vars(self._module)
        for name in set(own) - set(self._attributes):
            del own[name]
        own.update(self._attributes)
        for name, entries in self._registers.items():
            register = getattr(self._module, name)
            if list(map(id, register.values())) != list(map(id, entries.values())):
                register.clear()
                register.update(entries)
        for container, content in self._containers:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)
        with torch.no_grad():
            for tensor, version, value in self._values:
                if version is None or _version(tensor) != version:
                    tensor.copy_(value)


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was written to; None where torch does not count."""
    return None if tensor.is_inference() else tensor._version
