"""Who calls whom, and who reads what: a forward pass watched module by module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from napari_hirescam.errors import Cancelled
from napari_hirescam.models.value_flow import READS_NUMBERS, tensors_in

if TYPE_CHECKING:
    from torch import Tensor

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_PRODUCERS = (*_CONVOLUTIONS, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_READERS = (*_NORMS, nn.ReLU, nn.MaxPool3d)


class ModuleCalls(TorchFunctionMode):
    """Notes which layer alone reads what another one makes.

    Enter it around one forward pass of a private copy: it hangs hooks on the modules and leaves
    them there.

    Parameters
    ----------
    network
        A copy that nobody else uses, in eval mode.
    watched
        Modules whose outputs somebody else will read (the target layer's, say).
    should_stop
        Asked before each layer.
    """

    def __init__(
        self,
        network: nn.Module,
        watched: tuple[nn.Module, ...],
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._makers: MutableMapping[Tensor, nn.Module] = WeakIdKeyDictionary()
        self._owners: MutableMapping[Tensor, nn.Module] = WeakIdKeyDictionary()
        self._inside: list[nn.Module] = []
        self._calls: dict[nn.Module, int] = {}
        self._readers: dict[nn.Module, nn.Module] = {}
        self._weights_read: set[nn.Module] = set()  # by somebody else than the layer
        self._outputs_read: set[nn.Module] = set()  # by somebody else than its first reader
        self._before: set[nn.Module] = set()
        self._shapes: dict[nn.Module, tuple[int, ...]] = {}
        self._numbers_read: dict[str, None] = {}
        self._plain = {module for module in network.modules() if _is_plain(module)}
        for module in self._plain:
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor in self._owners:  # shared between modules
                    self._weights_read |= {module, self._owners[tensor]}
                self._owners[tensor] = module
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)
        for module in network.modules():
            if not list(module.children()):
                module.register_forward_pre_hook(lambda *_: give_up_if(should_stop))
        for module in watched:
            module.register_forward_hook(self._reach_head)
        for module in (network, *watched):
            module.register_forward_hook(self._see_handed_out)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Carry out one torch call, and note whose output or weights it reads."""
        kwargs = dict(kwargs or {})
        here = self._inside[-1] if self._inside else None
        if getattr(func, "__name__", "") in READS_NUMBERS:
            self._numbers_read[func.__name__] = None
        for tensor in tensors_in((args, kwargs)):
            owner, maker = self._owners.get(tensor), self._makers.get(tensor)
            if owner is not None and owner is not here:
                self._weights_read.add(owner)
            if maker is not None and (here is None or self._readers.get(maker) is not here):
                self._outputs_read.add(maker)
        return func(*args, **kwargs)

    def finish(self) -> None:
        """Leave alone what is still held now: it was kept as state, or it is what came out."""
        self._outputs_read |= set(self._makers.values())

    @property
    def numbers_read(self) -> tuple[str, ...]:
        """Calls by which Python read numbers out of tensors."""
        return tuple(self._numbers_read)

    @property
    def foldable(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pairs (convolution or linear, batch norm), each called once and read by no other."""
        return [
            (maker, norm)
            for maker, norm in self._readers.items()
            if isinstance(maker, _PRODUCERS)
            and isinstance(norm, _NORMS)
            and not {maker, norm} & self._weights_read
            and maker not in self._outputs_read
            and self._calls[maker] == self._calls[norm] == 1
            and _same_width(maker, norm)
        ]

    @property
    def below(self) -> dict[nn.Module, tuple[int, ...]]:
        """Convolutions that had run once when the first watched output came: input shapes."""
        return {
            module: self._shapes[module]
            for module in self._before - self._weights_read - self._outputs_read
            if isinstance(module, _CONVOLUTIONS) and self._calls[module] == 1
        }

    @property
    def pooled_below(self) -> list[tuple[nn.Module, nn.Module, nn.Module]]:
        """Chains (convolution, ReLU, max pool) below the first watched output, else as `below`.

        A batch norm between convolution and ReLU is one of those to be folded.
        """
        norms = dict(self.foldable)
        found: list[tuple[nn.Module, nn.Module, nn.Module]] = []
        for maker in self.below:
            last = norms.get(maker, maker)
            relu = self._readers.get(last)
            pool = None if relu is None else self._readers.get(relu)
            if (
                isinstance(relu, nn.ReLU)
                and isinstance(pool, nn.MaxPool3d)
                and not {last, relu} & self._outputs_read
                and self._calls[relu] == self._calls[pool] == 1
                and pool in self._before
            ):
                found.append((maker, relu, pool))
        return found

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        given = args[0] if args and isinstance(args[0], torch.Tensor) else None
        self._calls[module] = self._calls.get(module, 0) + 1
        if given is not None:
            maker = self._makers.get(given)
            if isinstance(module, _READERS) and maker is not None:
                self._readers.setdefault(maker, module)
        self._inside.append(module)
        if given is not None:  # after that line, since asking for the shape is a read as well
            self._shapes[module] = tuple(given.shape)

    def _leave(self, module: nn.Module, _args: Any, output: Tensor) -> None:
        self._inside.pop()
        if isinstance(module, (*_CONVOLUTIONS, *_NORMS, nn.ReLU)) or (
            # Linear layers put their features last, where batch norm looks for them second.
            isinstance(module, nn.Linear) and output.ndim == 2
        ):
            self._makers[output] = module

    def _reach_head(self, _module: nn.Module, _args: Any, _output: Any) -> None:
        if not self._before:
            self._before = set(self._calls)

    def _see_handed_out(self, _module: nn.Module, _args: Any, output: Any) -> None:
        self._outputs_read |= {self._makers[t] for t in tensors_in(output) if t in self._makers}


def give_up_if(should_stop: Callable[[], bool]) -> None:
    """Raise :class:`Cancelled` if somebody asked to stop."""
    if should_stop():
        raise Cancelled("the computation was cancelled")


def _is_plain(module: nn.Module) -> bool:
    """True for a layer of torch itself, without parametrisation, hooks or a forward of its own."""
    if type(module) not in (*_PRODUCERS, *_READERS):
        return False
    if isinstance(module, _NORMS) and (module.training or module.running_mean is None):
        return False
    own = vars(module)
    hooks = (value for name, value in own.items() if "hooks" in name and isinstance(value, dict))
    return "forward" not in own and not any(hooks)


def _same_width(maker: nn.Module, norm: nn.Module) -> bool:
    weight: Any = maker.weight
    return bool(len(weight) == norm.num_features and weight.dtype == norm.running_var.dtype)
