"""A forward pass whose graph can be followed from the input on, parameters left out.

Run on torch's `meta` device where the network allows it, so that the size of the input costs
neither time nor memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from napari_hirescam.models.borrow import borrowed
from napari_hirescam.models.scores import run_network
from napari_hirescam.models.spec import OutputSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

#: Standard deviation of the noise that stands for another image: as wide as HU can be.
_LOUD = 1000.0


class Run(Protocol):
    """Runs the network on a tensor that holds a number of CTs, and reads its scores."""

    def __call__(self, tensor: Tensor, output: OutputSpec, batch: int = 1) -> Tensor:
        """Return logits [batch, K]."""


@contextmanager
def traced_pass(
    network: nn.Module, input_shape: tuple[int, ...], *, on_meta: bool, noise: bool = False
) -> Iterator[tuple[ExitStack, Run, Tensor, Tensor]]:
    """Stand in for parameters, and make an input whose graph can be followed.

    Yields a stack for hooks, the function that runs the network, the input and the copy of it
    that the network is given.
    """
    import torch

    own = [*network.named_parameters(), *network.named_buffers()]
    if on_meta:
        stand_ins = {name: torch.empty_like(value, device="meta") for name, value in own}
    else:
        stand_ins = {name: value.detach() for name, value in own}
    with ExitStack() as stack:
        stack.enter_context(borrowed(network))
        # A network that reads values is warned that its input has a gradient: only here it has.
        stack.enter_context(warnings.catch_warnings(action="ignore", category=UserWarning))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        device = "meta" if on_meta else next((v.device for _, v in own), torch.device("cpu"))
        kind = floating_type(network)
        given = torch.zeros(input_shape, device=device, dtype=kind)
        if noise:
            draw = torch.Generator().manual_seed(0)
            given += torch.randn(input_shape, generator=draw).mul_(_LOUD).to(given)
        given.requires_grad_(True)
        # A copy, so that the input's node can be told from the parameters' whatever comes, and
        # so that the network may write into it.
        start = given.clone()

        def run(tensor: Tensor, output: OutputSpec, batch: int = 1) -> Tensor:
            forward = _Standing(network, stand_ins)
            return run_network(network, tensor, output, forward=forward, batch=batch)

        yield stack, run, given, start


class _Standing:
    """A network's forward with other parameters."""

    def __init__(self, network: nn.Module, stand_ins: dict[str, Tensor]) -> None:
        self._network = network
        self._stand_ins = stand_ins

    def __call__(self, given: Tensor) -> Any:
        import torch

        network, stand_ins = self._network, self._stand_ins
        if isinstance(network, torch.nn.DataParallel):  # torch does not call a wrapper so
            network = network.module
            stand_ins = {name.removeprefix("module."): t for name, t in stand_ins.items()}
        return torch.func.functional_call(network, stand_ins, (given,))


def floating_type(network: nn.Module) -> torch.dtype:
    """Precision of a network's parameters, which its input must share; float32 without any."""
    import torch

    kinds = (p.dtype for p in network.parameters() if p.is_floating_point())
    return next(kinds, torch.float32)
