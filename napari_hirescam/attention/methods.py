"""Attention methods: each a few lines over the same activation and gradient.

A method takes the target layer's activation A and the gradient G of one label's logit (before
any sigmoid) with respect to it, both [F, d, h, w], and returns the raw signed map [d, h, w].
It must not rectify, scale or smooth: those are views made for display.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Compute = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class Method:
    """A row of the method table: how to compute a map, and what it is.

    `completes` is True if each cell is what it adds to the logit, and so the sum of the map plus
    the bias is the logit, wherever the head is affine in the target layer's activation.
    `constant_gradient` is True if the method reads the gradient that is the same for every
    input (taken where the activation is zero), which exists for an affine head only.
    """

    key: str
    title: str
    formula: str
    source: str
    completes: bool
    compute: Compute
    constant_gradient: bool = False


#: Every method by its key; a user's own joins by the decorator :func:`attention_method`.
METHODS: dict[str, Method] = {}


def attention_method(
    key: str,
    *,
    title: str,
    formula: str,
    source: str,
    completes: bool = False,
    constant_gradient: bool = False,
) -> Callable[[Compute], Compute]:
    """Register the decorated function as an attention method.

    Examples
    --------
    >>> @attention_method("sum", title="Sum", formula="sum_f A_f", source="an example")
    ... def plain_sum(activation, gradient):
    ...     return activation.sum(dim=0)
    """

    def register(compute: Compute) -> Compute:
        METHODS[key] = Method(key, title, formula, source, completes, compute, constant_gradient)
        return compute

    return register


@attention_method(
    "hirescam",
    title="HiResCAM",
    formula="sum_f dS/dA_f * A_f",
    source="Draelos & Carin, arXiv 2011.08891v2",
    completes=True,
)
def hirescam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Weigh each feature at each place by its own gradient, and sum over features."""
    return (activation * gradient).sum(dim=0)


@attention_method(
    "gradcam",
    title="Grad-CAM",
    formula="sum_f mean(dS/dA_f) * A_f",
    source="Selvaraju et al., arXiv 1610.02391; in 3-D as in arXiv 2011.08891v2",
)
def gradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Weigh each feature by its gradient averaged over the whole 3-D grid, then sum.

    One weight per feature for the volume, not one per slice, also where slices ride on the
    batch axis.
    """
    weights = gradient.flatten(1).mean(dim=1)
    return (weights @ activation.flatten(1)).reshape(activation.shape[1:])


@attention_method(
    "gradcam++",
    title="Grad-CAM++",
    formula="w_f = sum alpha_f * relu(G_f), alpha_f = 1 / (2 + G_f * sum A_f);  sum_f w_f * A_f",
    source="Chattopadhay et al., arXiv 1710.11063, equations 10 to 13 and 19",
)
def gradcam_plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    """Weigh each feature by its positive gradients, each divided by how far it reaches.

    Equation 19 with numerator and denominator divided by the squared gradient, so that no
    small constant decides where gradients are small. The factor exp(logit) of the paper is one
    number per map and is left out: it overflows, and says nothing of places.
    """
    import torch

    positive = gradient.flatten(1).relu()
    features = activation.flatten(1)
    denominator = 2 + positive * features.sum(dim=1, keepdim=True)
    # With features that can be negative the denominator can vanish; such a place has no weight.
    alpha = torch.where(denominator == 0, 0.0, 1 / denominator)
    weights = (alpha * positive).sum(dim=1)
    return (weights @ features).reshape(activation.shape[1:])


@attention_method(
    "xgradcam",
    title="XGrad-CAM",
    formula="w_f = sum(G_f * A_f) / sum(A_f);  sum_f w_f * A_f",
    source="Fu et al., arXiv 2008.02312, equation 11",
)
def xgradcam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Weigh each feature by its gradient averaged with the activation as weight.

    The map's total is HiResCAM's; its cells are not what each of them adds to the logit.
    """
    import torch

    features = activation.flatten(1)
    total = features.sum(dim=1)
    weighted = (gradient.flatten(1) * features).sum(dim=1)
    weights = torch.where(total == 0, 0.0, weighted / total)
    return (weights @ features).reshape(activation.shape[1:])


@attention_method(
    "layercam",
    title="LayerCAM",
    formula="sum_f relu(G_f) * A_f",
    source="Jiang et al., IEEE TIP 2021, equation 4",
)
def layercam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Weigh each feature at each place by its own gradient where that is positive."""
    return (activation * gradient.relu()).sum(dim=0)


@attention_method(
    "closed_form",
    title="Closed form",
    formula="sum_f w_f * A_f, w the weights of the one linear layer",
    source="Draelos & Carin, arXiv 2011.08891v2; 'hirescam-check' of the author's code",
    completes=True,
    constant_gradient=True,
)
def closed_form(activation: Tensor, weights: Tensor) -> Tensor:
    """Weigh each feature at each place by the linear head's own weight: a check of HiResCAM.

    The weights are the gradient at an activation of zero, which a head that is affine has at
    every other activation as well.
    """
    return (activation * weights).sum(dim=0)
