"""The weights of a linear head, found and proven, so that its maps need no second derivative.

Where all between the target layer and the scores is linear, the gradient of a score with respect
to the activation is a constant: weights of one layer, spread over the cells that share them and
divided by how many were averaged (Draelos & Carin, arXiv 2011.08891v2; "disease_reps" of their
code). Which layer, and how its weights are laid out, is not read off names: each parameter that
could be it is held against the gradient, with the network's own weights and with others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from napari_hirescam.volume import Shape3D

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Gradients of the labels at an activation of zero, each [F, d, h, w].
Gradients = Sequence["Tensor"]
#: Largest difference between weights and gradient, relative to the largest gradient: what a
#: GPU's shortened single precision makes of one product, and far less than other weights would.
TOLERANCE = 5e-3
_AXES = (0, 1, 2)
_Axes = tuple[int, ...]


@dataclass(frozen=True)
class LinearWeights:
    """How the gradient of each score is made of one parameter.

    Parameters
    ----------
    parameter
        Dotted name of a parameter of K x F x (own) numbers.
    shared
        The map's axes along which all cells have the same weight.
    averaged
        Those of them that the head takes the mean over; it sums over the rest.
    """

    parameter: str
    shared: _Axes
    averaged: _Axes

    def of(self, values: Tensor, features: int, cells: Shape3D) -> Tensor | None:
        """Lay the parameter's values out as gradients [K, F, d, h, w], or with 1 for shared axes.

        None if they do not make up gradients of that size.
        """
        own = [1 if axis in self.shared else cells[axis] for axis in _AXES]
        count = own[0] * own[1] * own[2] * features
        if values.shape[0] * count != values.numel():
            return None
        number = 1
        for axis in self.averaged:
            number *= cells[axis]
        return values.reshape(-1, features, own[0], own[1], own[2]) / number


def find_linear_weights(
    network: nn.Module, gradients_now: Callable[[], Gradients]
) -> LinearWeights | None:
    """Find the parameter that a linear head's gradients consist of.

    Parameters
    ----------
    network
        Borrowed by the caller, so that its buffers come back; its parameters are changed while
        this runs and are then what they were.
    gradients_now
        Runs the head and returns the gradients that the network's present weights give.

    Returns
    -------
    The parameter and its layout, or None if the gradients are made in another way.
    """
    found = list(_candidates(network, gradients_now()))
    for seed in range(2):
        # A gate that happens to be one, a norm that does nothing yet: with other weights these
        # show. A product of weights agrees with one of them at no third and fourth point.
        if not found:
            return None
        with _other_weights(network, seed):
            gradients = gradients_now()
            found = [weights for weights in found if agree(network, weights, gradients)]
    return found[0] if found else None


def _candidates(network: nn.Module, gradients: Gradients) -> Iterator[LinearWeights]:
    for name, values in network.named_parameters():
        if values.ndim < 2 or values.shape[0] != len(gradients):
            continue
        for n_shared in range(len(_AXES), -1, -1):
            for shared in combinations(_AXES, n_shared):
                for n_averaged in range(n_shared, -1, -1):
                    for averaged in combinations(shared, n_averaged):
                        weights = LinearWeights(name, shared, averaged)
                        if agree(network, weights, gradients):
                            yield weights


def agree(
    network: nn.Module,
    weights: LinearWeights,
    gradients: Gradients,
    tolerance: float = TOLERANCE,
) -> bool:
    """True if a parameter gives the gradients that autograd found."""
    import torch

    values = network.get_parameter(weights.parameter).detach()
    features, d, h, w = gradients[0].shape
    laid_out = weights.of(values, features, (d, h, w))
    if laid_out is None or len(laid_out) != len(gradients):
        return False
    with torch.no_grad():
        largest = max(float(gradient.abs().max()) for gradient in gradients)
        astray = max(
            float((gradient.double() - own.double()).abs().max())
            for gradient, own in zip(gradients, laid_out, strict=True)
        )
    return largest > 0 and astray <= tolerance * largest


@contextmanager
def _other_weights(network: nn.Module, seed: int) -> Iterator[None]:
    """Give every parameter and floating-point buffer other values for a while."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    kept = [(p, p.detach().clone()) for p in network.parameters()]
    with torch.no_grad():
        try:
            for tensor in [*network.parameters(), *network.buffers()]:
                if tensor.is_floating_point():
                    # Factors keep a variance positive; what is zero is moved for parameters only.
                    tensor.mul_(torch.rand(tensor.shape, generator=draw).add_(0.5).to(tensor))
            for parameter, values in kept:
                spread = values.float().std(correction=0).clamp(min=0.01).to(parameter)
                noise = torch.randn(values.shape, generator=draw).to(parameter)
                parameter.add_(spread * noise)
            with torch.enable_grad():
                yield
        finally:
            for parameter, values in kept:
                parameter.copy_(values)
