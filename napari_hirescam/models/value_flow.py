"""Which values a network makes from which, followed call by call, whatever gradients see.

The autograd graph ends at a comparison, a `detach`, a `no_grad`. Values do not: what is made of
the result still changes with the image. So that nothing of a score goes around a layer unseen,
each torch call of a traced pass is noted with the tensors it read and made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor

#: Calls that read numbers out of a tensor: what Python does with them cannot be followed.
READS_NUMBERS = frozenset(
    {"item", "tolist", "numpy", "is_nonzero", "equal", "allclose"}
    | {f"__{kind}__" for kind in ("bool", "float", "int", "index", "complex", "array", "contains")}
    | {"__dlpack__"}
)


class ValueFlow(TorchFunctionMode):
    """Notes what is computed from the image.

    Enter it when the image is there, leave it when the scores are.

    Parameters
    ----------
    image
        What the network is given.

    Notes
    -----
    Each result has a number of its own, also if it is written into a tensor that was there
    before. Of a tensor that is a view, the tensor it is a view of is written to as well.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self._numbers: MutableMapping[Tensor, int] = WeakIdKeyDictionary()
        self._numbers[image] = 0
        self._read: list[tuple[int, ...]] = [()]
        self._numbers_read: dict[str, None] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Carry out one torch call, and note it if it reads what comes from the image."""
        kwargs = dict(kwargs or {})
        read = tuple({self._numbers[t] for t in tensors_in((args, kwargs)) if t in self._numbers})
        result = func(*args, **kwargs)
        if not read:
            return result
        name = getattr(func, "__name__", "")
        if name in READS_NUMBERS:
            self._numbers_read[name] = None
        for tensor in tensors_in(result):
            self._note(tensor, read)
        if name == "__setitem__":
            self._note_written(args[0], read)
        elif args and result is args[0] and isinstance(result, torch.Tensor):
            self._note_written(result, read)
        return result

    def mark(self, tensor: Tensor) -> int | None:
        """Give the number of what a tensor holds now; None if it does not come from the image."""
        return self._numbers.get(tensor)

    @property
    def numbers_read(self) -> tuple[str, ...]:
        """Calls by which Python read numbers that come from the image."""
        return tuple(self._numbers_read)

    def leads_around(self, scores: Tensor, mark: int | None) -> bool:
        """True if the scores read the image by a way that does not lead through a mark."""
        end = self._numbers.get(scores)
        if end is None or mark == 0:
            return False
        seen = set() if mark is None else {mark}
        stack = [end]
        while stack:
            here = stack.pop()
            if here == 0:
                return True
            if here not in seen:
                seen.add(here)
                stack += self._read[here]
        return False

    def _note(self, tensor: Tensor, read: tuple[int, ...]) -> None:
        self._numbers[tensor] = len(self._read)
        self._read.append(read)

    def _note_written(self, tensor: Tensor, read: tuple[int, ...]) -> None:
        known = self._numbers.get(tensor)
        if known is None or known < len(self._read) - 1:
            self._note(tensor, read)
        base = tensor._base  # noqa: SLF001 - no other way to ask
        if base is not None:
            before = self._numbers.get(base)
            self._note(base, read if before is None else (*read, before))


def tensors_in(part: Any) -> Iterator[Tensor]:
    """Find the tensors among what a call was given, or gave."""
    if isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, tuple | list):
        for inner in part:
            yield from tensors_in(inner)
    elif isinstance(part, Mapping):
        for inner in part.values():
            yield from tensors_in(inner)
    elif isinstance(part, slice):
        yield from tensors_in((part.start, part.stop, part.step))
