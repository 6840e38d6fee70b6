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

    `completes` is True if the sum of the map plus the bias is the logit wherever the head is
    affine in the target layer's activation.
    """

    key: str
    title: str
    formula: str
    source: str
    completes: bool
    compute: Compute


#: Every method by its key; a user's own joins by the decorator :func:`attention_method`.
METHODS: dict[str, Method] = {}


def attention_method(
    key: str, *, title: str, formula: str, source: str, completes: bool = False
) -> Callable[[Compute], Compute]:
    """Register the decorated function as an attention method."""

    def register(compute: Compute) -> Compute:
        METHODS[key] = Method(key, title, formula, source, completes, compute)
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
