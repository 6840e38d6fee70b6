"""The head as a function: what a network does from its target layer to its scores.

A network is one forward function; nothing says where its head begins. While the head runs once
inside an ordinary forward pass, each torch call that reads something computed from the target
layer is noted, and can then be carried out again for another activation: zero, say, which gives
the bias, or the negative, which tells whether the head is affine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from napari_hirescam.models.value_flow import READS_NUMBERS, tensors_in

if TYPE_CHECKING:
    from torch import Tensor

#: Their results are as long as the values say, and a length is a number without a gradient.
_SHAPED_BY_VALUES = frozenset({"nonzero", "argwhere", "unique", "unique_consecutive"})


#: Whether autocast was on, and its type.
_Precision = tuple[bool, torch.dtype]


@dataclass(frozen=True)
class _Slot:
    """Stands for a tensor that depends on the activation."""

    number: int


class HeadCannotBeReplayedError(ValueError):
    """The head does something that cannot be carried out again."""


class HeadTape(TorchFunctionMode):
    """Notes what is done with an activation.

    Enter it when the activation is there, leave it when the scores are.

    Parameters
    ----------
    activation
        The tensor the head starts from.

    Notes
    -----
    Tensors that depend on the activation are held weakly: a tape costs no memory beyond that
    of the constants that the head uses.
    """

    def __init__(self, activation: Tensor) -> None:
        super().__init__()
        self._slots: MutableMapping[Tensor, _Slot] = WeakIdKeyDictionary()
        self._slots[activation] = _Slot(0)
        self._count = 1
        self._device = activation.device.type
        self._calls: list[tuple[Callable[..., Any], Any, Any, list[_Slot], _Precision]] = []
        self._obstacle = ""
        self._made_by: dict[_Slot, str] = {}
        self._hidden_uses: list[tuple[int, str]] = []
        self._length = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Carry out one torch call, and note it if it reads the activation."""
        kwargs = dict(kwargs or {})
        noted = _replaced((args, kwargs), self._slot_or_self)
        self._length += 1
        result = func(*args, **kwargs)
        if next(_slots_in(noted), None) is None:
            return result
        name = getattr(func, "__name__", str(func))
        if name == "__get__" and not isinstance(result, torch.Tensor):
            return result  # a property such as shape or device
        if name in READS_NUMBERS:
            self._obstacle = self._obstacle or f"it reads numbers out of its tensors ({name})"
        elif self._writes_into_constant(name, args, kwargs, result):
            self._obstacle = self._obstacle or "it writes into a constant tensor"
        self._note_hidden_use(name, args, kwargs)
        outputs = _tensors(result)
        if outputs or name == "__setitem__":
            slots = [self._new_slot(tensor) for tensor in outputs]
            self._made_by.update(dict.fromkeys(slots, name))
            self._calls.append((func, *noted, slots, self._precision()))
        return result

    @property
    def hidden(self) -> tuple[str, ...]:
        """Calls through which the scores depend on the activation unseen by gradients.

        A comparison, an argmax, a detach: their results carry no gradient, but what is made of
        them still changes with the activation.
        """
        return tuple(dict.fromkeys(name for _, name in self._hidden_uses))

    @property
    def hidden_at(self) -> tuple[tuple[int, str], ...]:
        """The same, each with its place in the order of torch calls."""
        return tuple(self._hidden_uses)

    @property
    def length(self) -> int:
        """How many torch calls there were so far."""
        return self._length

    def replay(self, activation: Tensor, logits: Tensor) -> Tensor:
        """Compute the scores that another activation would have.

        Parameters
        ----------
        activation
            Of the same shape as the one the tape was made with; it is not changed.
        logits
            The scores of the taped pass, to know which of the noted tensors are asked for.

        Raises
        ------
        HeadCannotBeReplayedError
            The head cannot be carried out again.
        """
        wanted = self._slots.get(logits)
        if self._obstacle or wanted is None:
            raise HeadCannotBeReplayedError(self._obstacle or "its scores could not be followed")
        known: dict[_Slot, Any] = {_Slot(0): activation.clone()}
        outside = self._precision()
        for func, args, kwargs, slots, precision in self._calls:
            args, kwargs = _replaced(
                (args, kwargs), lambda part: known[part] if isinstance(part, _Slot) else part
            )
            if precision == outside or not (precision[0] or outside[0]):
                result = func(*args, **kwargs)
            else:  # the network switches autocast on or off by itself
                enabled, kind = precision
                with torch.autocast(self._device, kind, enabled=enabled):
                    result = func(*args, **kwargs)
            known.update(zip(slots, _tensors(result), strict=True))
        found: Tensor = known[wanted]
        return found

    def _precision(self) -> _Precision:
        if not torch.amp.is_autocast_available(self._device):
            return False, torch.float32
        return (
            torch.is_autocast_enabled(self._device),
            torch.get_autocast_dtype(self._device),
        )

    def _writes_into_constant(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> bool:
        """A replay would carry out the write again, and spoil the constant."""
        written = kwargs.get("out")
        if written is None and args and (name == "__setitem__" or result is args[0]):
            written = args[0]
        return isinstance(written, torch.Tensor) and written not in self._slots

    def _note_hidden_use(self, name: str, *given: Any) -> None:
        if name in _SHAPED_BY_VALUES:
            self._hidden_uses.append((self._length, name))
        for tensor in tensors_in(given):
            # Asked now, whatever the mode was when it was made: gradients switched off for a part
            # of the head hide that part as a detach does.
            slot = self._slots.get(tensor)
            if slot in self._made_by and not tensor.requires_grad:
                self._hidden_uses.append((self._length, self._made_by[slot]))

    def _slot_or_self(self, part: Any) -> Any:
        return self._slots.get(part, part) if isinstance(part, torch.Tensor) else part

    def _new_slot(self, tensor: Tensor) -> _Slot:
        # A function may hand its argument through: then it has a slot already.
        if tensor not in self._slots:
            self._slots[tensor] = _Slot(self._count)
            self._count += 1
        slot: _Slot = self._slots[tensor]
        return slot


def _replaced(part: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(part, list):
        return [_replaced(p, change) for p in part]
    if isinstance(part, tuple):  # torch takes a plain tuple for a torch.Size
        return tuple(_replaced(p, change) for p in part)
    if isinstance(part, dict):
        return {key: _replaced(value, change) for key, value in part.items()}
    if isinstance(part, slice):
        return slice(*(_replaced(p, change) for p in (part.start, part.stop, part.step)))
    return change(part)


def _slots_in(part: Any) -> Iterator[_Slot]:
    if isinstance(part, _Slot):
        yield part
    elif isinstance(part, tuple | list | dict):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _slots_in(inner)
    elif isinstance(part, slice):
        yield from _slots_in((part.start, part.stop, part.step))


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, tuple | list):
        return [tensor for part in result for tensor in _tensors(part)]
    return []
