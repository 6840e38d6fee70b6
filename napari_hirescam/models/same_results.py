"""What two networks that should be the same give on one input, and how far it is apart."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_hirescam.models.borrow import SplitNetwork
from napari_hirescam.models.dry_run import find_layer, is_input, one_tensor
from napari_hirescam.models.scores import read_scores, run_network
from napari_hirescam.models.spec import OutputSpec

# Slices a network that takes them one by one is tried on.
_SLICES = 2


@dataclass(frozen=True, eq=False)
class Results:
    """What must not change: the target layer's output, each time it runs, and the logits."""

    tensors: tuple[Tensor, ...]

    @classmethod
    def of(
        cls, network: nn.Module, given: Tensor, target_layer: str, output: OutputSpec
    ) -> Results:
        """Run the network once."""
        seen: list[Tensor] = []
        thread = threading.get_ident()

        def keep(module: nn.Module, _args: Any, result: Any) -> None:
            if threading.get_ident() == thread:
                # A copy: an in-place operation may follow.
                seen.append(one_tensor(module, result, target_layer).clone())

        with ExitStack() as stack:
            if not is_input(network, target_layer):
                hook = find_layer(network, target_layer).register_forward_hook(keep)
                stack.callback(hook.remove)
            logits = _scores(network, given, target_layer, output)
        return cls((*seen, logits.clone()))

    @property
    def say_something(self) -> bool:
        """True if there is something that could differ: neither all zero nor NaN."""
        return all(0 < float(tensor.abs().max()) < float("inf") for tensor in self.tensors)

    def difference_from(self, other: Results) -> float:
        """Largest difference as a share of the largest value; NaN if there is a NaN."""
        shares = [
            (a - b).abs().max() / b.abs().max()
            for a, b in zip(self.tensors, other.tensors, strict=True)
        ]
        return float(torch.stack(shares).max())


def _scores(network: nn.Module, given: Tensor, target_layer: str, output: OutputSpec) -> Tensor:
    """Score as few slices as show what every slice goes through.

    Copies of them: the network may write into its input, which is needed again.
    """
    if output.over_slices is not None:
        return run_network(network, given[:_SLICES].clone(), output)
    halves = network.halves(target_layer) if isinstance(network, SplitNetwork) else None
    if halves is None or output.layer is not None:
        return run_network(network, given.clone(), output)
    trunk, head = halves
    activation = trunk(given[0, :_SLICES].clone())
    # The head may need all slices: those there are, again and again.
    turns = torch.arange(given.shape[1], device=given.device) % len(activation)
    return read_scores(head(activation[turns]), output)
