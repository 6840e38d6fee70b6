"""Attention maps that a network can be trained by.

In explanation the network is frozen and the maps are numbers; here both logits and maps carry
the graph of one forward pass, back to all weights.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.raw import features_first
from napari_hirescam.errors import SettingsError
from napari_hirescam.models.dry_run import find_layer, is_input, never_ran, one_tensor, split_call
from napari_hirescam.models.scores import PLAIN_OUTPUT, run_network, scores_of_ct
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.training.head_proof import (
    gradient_of,
    proven,
    single,
    takes_batches,
    traced,
)
from napari_hirescam.training.linear_head import TOLERANCE, LinearWeights, agree
from napari_hirescam.volume import Shape3D

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

TrainableMethod = Literal["hirescam", "gradcam"]
AttentionScale = Literal["logit", "per_slice", "per_cell"]
#: As :data:`~napari_hirescam.training.linear_head.TOLERANCE`, in half precision.
_HALF_TOLERANCE = 2e-2


class TrainableAttention:
    """Scores and maps of a batch, both with their graph back to the network's weights.

    Where the head is one linear layer and what is linear around it, a map is the activation times
    the layer's own weights: no second derivative is needed, and the maps split the scores. That is
    proven when this is made, not assumed: by the operations between the layer and the scores, by
    putting the head to the test, and by holding the weights against the gradient. Everywhere else
    the gradient of each score is recorded with a graph of its own and derived again in the
    backward pass ("double backward"), through the head only; the guarantee then does not hold.

    Parameters
    ----------
    network
        Referred to, not owned: train the module itself. In whatever mode it is when called.
    target_layer
        Dotted name; "name#2" for its second call.
    input_shape
        Of the input of one CT; see :attr:`~napari_hirescam.models.Classifier.input_shape`.
    output
        Where the logits are in what the network returns.
    method
        "hirescam", or "gradcam" for the paper's comparison.
    scale
        "logit": HiResCAM's cells sum to the logit less the bias. "per_slice": times the number of
        slices, which is the paper's scale, where each slice's cells sum to the slice's own score
        less the bias and the CT's score is their mean. "per_cell": times the number of cells,
        which does the same for a head that averages over the whole grid, whose cells would else
        be too small for the mask loss to feel.

    Attributes
    ----------
    cells
        Number of the maps' cells, for an input of `input_shape`.
    guarantee
        Whether sum(HiResCAM) + bias equals the logit when the trained network is explained.
    takes_batches
        False if the network is given one CT at a time: it takes no more, or its slices are the
        batch.

    Raises
    ------
    SettingsError
        Attention at this layer cannot be trained, or the network fails on such an input.
    UnknownLayerError
        The network has no such layer.
    """

    def __init__(
        self,
        network: nn.Module,
        target_layer: str,
        input_shape: tuple[int, ...],
        output: OutputSpec = PLAIN_OUTPUT,
        *,
        method: TrainableMethod = "hirescam",
        scale: AttentionScale = "logit",
    ) -> None:
        import torch

        if method not in get_args(TrainableMethod) or scale not in get_args(AttentionScale):
            raise ValueError(f"unknown method {method!r} or scale {scale!r}")
        if is_input(network, target_layer):
            raise SettingsError(
                target_layer,
                "a network's own input is no layer that attention can be trained at",
                "Choose the layer that the last linear layer reads",
            )
        find_layer(network, target_layer)
        self.network = network
        self.target_layer = target_layer
        self.output = output
        self.method: TrainableMethod = method
        self.scale: AttentionScale = scale
        # Nothing is drawn from the generators that the training draws from.
        with torch.random.fork_rng(), torch.inference_mode(False):
            run = traced(network, target_layer, input_shape, output)
            shape = features_first(torch.empty(run.activation_shape, device="meta")).shape
            self.cells: Shape3D = (shape[1], shape[2], shape[3])
            self.takes_batches = takes_batches(network, input_shape, output, run)
            self.guarantee, self._weights = proven(network, run, output)
        self._checked_in_training = False

    @property
    def closed_form(self) -> bool:
        """True if maps are made of the linear head's own weights."""
        return self._weights is not None

    def __call__(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Score CTs and map their attention.

        Parameters
        ----------
        batch
            [B, ...], the inputs of B CTs after one another; [B, S, C, h, w] if the network's batch
            is the slices of one CT.

        Returns
        -------
        Logits [B, K] in the network's own precision, and raw signed maps [B, K, d, h, w] in single
        precision at least, on the network's own axes. With a graph if gradients are enabled.
        """
        import torch

        if torch.is_grad_enabled():
            return self._together(batch, with_graph=True)
        # Gradients of the head may be needed even where nobody asks for a graph.
        with torch.inference_mode(False), torch.no_grad():
            given = batch.clone() if batch.is_inference() else batch
            logits, maps = self._together(given, with_graph=False)
            return logits.detach(), maps.detach()

    def logits(self, batch: Tensor) -> Tensor:
        """Score CTs without mapping their attention; see :meth:`__call__`."""
        import torch

        scored = [
            scores_of_ct(run_network(self.network, given, self.output, batch=n), self.output)
            for given, n in self._at_once(batch)
        ]
        return torch.cat(scored)

    def _together(self, batch: Tensor, *, with_graph: bool) -> tuple[Tensor, Tensor]:
        import torch

        parts = [
            self._of_some(given, n, with_graph=with_graph) for given, n in self._at_once(batch)
        ]
        return torch.cat([logits for logits, _ in parts]), torch.cat([maps for _, maps in parts])

    def _at_once(self, batch: Tensor) -> list[tuple[Tensor, int]]:
        """Split a batch into what the network can be given, with the number of CTs in it."""
        if self.takes_batches:
            return [(batch, len(batch))]
        # The slices of one CT are the batch of some networks.
        items = batch if self.output.over_slices is not None else batch[:, None]
        return [(item, 1) for item in items]

    def _of_some(self, given: Tensor, n: int, *, with_graph: bool) -> tuple[Tensor, Tensor]:
        tap = _Tap(self.network, self.target_layer)
        with tap.listening():
            scores = run_network(self.network, given, self.output, batch=n)
        logits = scores_of_ct(scores, self.output)
        activation = tap.activation
        if with_graph and self.network.training and not self._checked_in_training:
            self._check_in_training(logits, activation)
        if self._weights is None:
            maps = self._by_double_backward(logits, activation, with_graph=with_graph)
        else:
            maps = self._by_weights(self._weights, activation, n)
        if self.scale != "logit":
            maps = maps * (maps.shape[2] if self.scale == "per_slice" else maps[0, 0].numel())
        return logits, maps

    def _by_weights(self, weights: LinearWeights, activation: Tensor, n: int) -> Tensor:
        """Maps [n, K, d, h, w]: the activation times the weights of the linear head."""
        import torch

        features = torch.stack([features_first(item) for item in _items(activation, n)])
        cells = (features.shape[2], features.shape[3], features.shape[4])
        values = self.network.get_parameter(weights.parameter)
        # Tens of thousands of products are summed: not in half precision.
        with torch.autocast(activation.device.type, enabled=False):
            features = single(features)
            gradients = weights.of(single(values), features.shape[1], cells)
            if gradients is None:
                raise ValueError(f"{weights.parameter} does not fit cells {cells}")
            if self.method == "gradcam":
                return torch.einsum("nfdhw,kf->nkdhw", features, gradients.mean(dim=(2, 3, 4)))
            return torch.einsum("nfdhw,kfdhw->nkdhw", features, gradients)

    def _by_double_backward(
        self, logits: Tensor, activation: Tensor, *, with_graph: bool
    ) -> Tensor:
        """Maps [n, K, d, h, w]: the activation times gradients that can be derived again."""
        import torch

        n, n_labels = logits.shape
        compute = METHODS[self.method].compute
        items = [single(features_first(item)) for item in _items(activation, n)]
        maps = []
        for k in range(n_labels):
            gradient = gradient_of(logits[:, k], activation, with_graph=with_graph)
            with torch.autocast(activation.device.type, enabled=False):
                gradients = [features_first(item) for item in _items(gradient, n)]
                maps.append(torch.stack([*map(compute, items, gradients)]))
        return torch.stack(maps, dim=1)

    def _check_in_training(self, logits: Tensor, activation: Tensor) -> None:
        """Give the closed form up if the head is another one in training: a dropout in it, say."""
        import torch

        self._checked_in_training = True
        if self._weights is None:
            return
        first = [
            gradient_of(logits[:1, k], activation, with_graph=False) for k in range(logits.shape[1])
        ]
        n = len(logits)
        gradients = [features_first(next(_items(gradient, n))) for gradient in first]
        whole = (torch.float32, torch.float64)
        tolerance = TOLERANCE if logits.dtype in whole else _HALF_TOLERANCE
        if not agree(self.network, self._weights, gradients, tolerance):
            logger.info("the head is not the linear layer alone while it is trained")
            self._weights = None


class _Tap:
    """Takes the target layer's output out of a forward pass, with its graph.

    The network goes on with a copy, so that nothing in place that follows (ReLU, residual
    addition) overwrites what was taken.
    """

    def __init__(self, network: nn.Module, target_layer: str) -> None:
        self._layer = find_layer(network, target_layer)
        self._name = target_layer
        self._wanted = split_call(target_layer)[1]
        self._calls = 0
        self._taken: Tensor | None = None

    @property
    def activation(self) -> Tensor:
        """What was taken: of a layer that runs more than once, of the call that is meant."""
        if self._taken is None:
            raise ValueError(never_ran(self._name, self._calls))
        return self._taken

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen while the network runs."""
        hook = self._layer.register_forward_hook(self._take)
        try:
            yield
        finally:
            hook.remove()

    def _take(self, module: nn.Module, _args: Any, result: Any) -> Tensor | None:
        import torch

        self._calls += 1
        if self._wanted is not None and self._calls != self._wanted:
            return None
        tensor = one_tensor(module, result, self._name)
        if not tensor.requires_grad:  # frozen up to here, or nobody trains
            tensor = tensor.detach().clone().requires_grad_(True)
        self._taken = tensor
        torch.set_grad_enabled(True)  # until the surrounding no_grad ends
        return tensor.clone()


def _items(tensor: Tensor, n: int) -> Iterator[Tensor]:
    """Split an activation into those of its CTs; that of one may be a batch of slices."""
    return iter([tensor] if n == 1 else [tensor[k : k + 1] for k in range(n)])
