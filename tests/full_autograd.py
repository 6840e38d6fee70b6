"""An oracle that shares nothing with the engine: autograd through the whole network, float64.

Gradients are recorded from the input to the scores. A hook hands on a copy of the layer's output
and asks autograd for the gradient of that copy, so that writes in place after it do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Truth:
    """Scores [K], and the activation and its gradient for each label, [N, F, ...], float64."""

    logits: np.ndarray
    activation: Tensor
    gradients: list[Tensor]

    def hirescam(self, k: int) -> np.ndarray:
        """Sum over features of activation times gradient: [d, h, w]."""
        return self._map(self.activation * self.gradients[k])

    def gradcam(self, k: int) -> np.ndarray:
        """Sum over features of activation times the gradient's mean over the 3-D grid."""
        gradient = self.gradients[k]
        over = [axis for axis in range(gradient.ndim) if axis != 1]
        return self._map(self.activation * gradient.mean(over, keepdim=True))

    @staticmethod
    def _map(product: Tensor) -> np.ndarray:
        summed = product.sum(1)
        return (summed[0] if summed.ndim == 4 else summed).numpy()


def full_autograd(
    network: nn.Module,
    given: Tensor,
    layer: str,
    read: Callable[[Any], Tensor] | None = lambda returned: returned,
    scores_at: str | None = None,
    labels: slice = slice(None),
) -> Truth:
    """Run a copy of the network; `read` takes the scores off what it returns.

    The number of a call ("act#2") counts from one; without one the last call is meant.
    """
    twin = deepcopy(network).double().eval().requires_grad_(False)
    name, _, call = layer.partition("#")
    seen: list[tuple[Tensor, list[Tensor]]] = []
    scores: list[Tensor] = []

    def tap(_module: nn.Module, _args: Any, result: Tensor) -> Tensor:
        gradients: list[Tensor] = []
        with torch.enable_grad():
            handed = result.clone()
            if not handed.requires_grad:
                handed.requires_grad_()
        handed.register_hook(gradients.append)
        seen.append((result.detach().clone(), gradients))
        return handed

    modules = dict(twin.named_modules(remove_duplicate=False))
    hooks = [modules[name].register_forward_hook(tap)]
    if scores_at is not None:
        hooks.append(
            modules[scores_at].register_forward_hook(lambda _m, _a, r: scores.append(r.clone()))
        )
    with torch.enable_grad():
        returned = twin(given.double().requires_grad_(True))
    logits = scores[0] if read is None else read(returned)
    for hook in hooks:
        hook.remove()
    activation, gradients = seen[int(call) - 1 if call else -1]
    for score in logits[0, labels]:
        score.backward(retain_graph=True)
    return Truth(logits[0].detach().numpy(), activation, list(gradients))
