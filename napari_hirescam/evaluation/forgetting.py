"""Making a copy of a network forget what it learned, one layer at a time."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.attention.stopping import ShouldStop
from napari_hirescam.models.borrow import borrowed
from napari_hirescam.models.dry_run import find_layer, is_input

if TYPE_CHECKING:
    from torch import nn


class CannotBeCopiedError(ValueError):
    """The network does not survive being copied."""


def randomise_layer(layer: nn.Module, seed: int) -> None:
    """Give a layer's own parameters the values of a layer that has learned nothing.

    By the layer's own `reset_parameters` where it has one (which also resets the statistics of
    a batch norm). Parameters that are the same afterwards, or of layers without one, are drawn
    from the normal distribution of their present mean and standard deviation.

    Parameters
    ----------
    layer
        Changed in place; its submodules are not, unless its own reset does so.
    seed
        Of the random values; torch's own random state is left as it was.
    """
    import torch

    own = dict(layer.named_parameters(recurse=False))
    before = {name: value.detach().clone() for name, value in own.items()}
    reset: Any = getattr(layer, "reset_parameters", None)
    devices = _cuda_devices(own)
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        # Not torch.manual_seed, which would seed every accelerator of the process.
        torch.default_generator.manual_seed(seed)
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        if _needs_no_arguments(reset):
            reset()
        for name, value in own.items():
            if value.is_floating_point() and torch.equal(value, before[name]):
                spread = float(value.float().std(unbiased=False))
                value.normal_(float(value.float().mean()), spread)


def _cuda_devices(parameters: dict[str, nn.Parameter]) -> list[Any]:
    return [d for d in {value.device for value in parameters.values()} if d.type == "cuda"]


def _needs_no_arguments(method: Any) -> bool:
    """False for a user's own method of the name that wants to be told something."""
    if not callable(method):
        return False
    try:
        inspect.signature(method).bind()
    except TypeError:
        return False
    return True


def seed_of(*numbers: int) -> int:
    """Make one seed of several numbers, such that no two sets of them share one."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def copied(network: nn.Module, should_stop: ShouldStop) -> nn.Module:
    """Copy a network with its weights, while nobody else uses it.

    Raises
    ------
    CannotBeCopiedError
        It does not survive that.
    Cancelled
        `should_stop` said so while the network was in other hands.
    """
    with borrowed(network, should_stop):
        try:
            return copy.deepcopy(network)
        except Exception as exc:  # a user's own network can fail in any way
            raise CannotBeCopiedError(
                f"the network cannot be copied ({type(exc).__name__}: {' '.join(str(exc).split())})"
            ) from exc


class LayerOrder:
    """Notes in which order the modules of a network end their last call."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._ended: dict[str, int] = {}
        self._count = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> LayerOrder:
        for name, module in self._network.named_modules():
            self._hooks.append(module.register_forward_hook(self._noter(name)))
        return self

    def __exit__(self, *_exc: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _noter(self, name: str) -> Any:
        def note(_module: nn.Module, _args: Any, _result: Any) -> None:
            self._count += 1
            self._ended[name] = self._count

        return note

    def from_output_down(self, target_layer: str) -> tuple[tuple[str, ...], int]:
        """Names of the modules with parameters of their own, and how many lie above."""
        names = [
            name
            for name, module in self._network.named_modules()
            if name in self._ended and next(module.parameters(recurse=False), None) is not None
        ]
        names.sort(key=self._ended.__getitem__, reverse=True)
        if is_input(self._network, target_layer):
            return tuple(names), len(names)
        # The module may be known by another name, if the network holds it twice.
        target = find_layer(self._network, target_layer)
        here = next(n for n, module in self._network.named_modules() if module is target)
        return tuple(names), sum(self._ended[name] > self._ended[here] for name in names)
