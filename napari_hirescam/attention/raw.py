"""Maps of a bare network on a bare tensor: one forward pass, every label, every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.attention.capture import Captured, Progress, ShouldStop, run_and_capture
from napari_hirescam.attention.faithfulness import probe_head
from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.result import Float32Array, Guarantee
from napari_hirescam.errors import Cancelled
from napari_hirescam.models.borrow import borrowed
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Gradients that differ by less than this share of their maximum over the grid are uniform.
_UNIFORM = 1e-5
_SAMPLED_FEATURES = 32


@dataclass(frozen=True, eq=False)
class RawAttention:
    """Maps on the network's own axes, before anything is known of the patient.

    Parameters
    ----------
    maps
        Method key -> float32 [K, d, h, w].
    logits, bias
        float64 [K]; the bias is the score of an activation that is zero everywhere. NaN where
        the head is not affine.
    guarantee
        Whether sum(HiResCAM) + bias must equal the logit.
    """

    maps: dict[str, Float32Array]
    logits: FloatArray
    bias: FloatArray
    guarantee: Guarantee


def attention_maps(
    network: nn.Module,
    given: Tensor,
    target_layer: str,
    *,
    methods: Sequence[str] = ("hirescam", "gradcam"),
    slices_per_chunk: int = 8,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> RawAttention:
    """Score an input and map the attention of every label.

    Parameters
    ----------
    network
        Any torch module that returns logits [1, K]. It is left as it was.
    given
        Its input, batch axis included, on the network's device.
    target_layer
        Dotted name; its output is [1, F, d, h, w], or [S, F, h, w] with slices as batch.
    methods
        Keys of :data:`~napari_hirescam.attention.methods.METHODS`.
    slices_per_chunk
        How many slices a network with a 2-D trunk runs at once.
    progress, should_stop
        Called with (done, total); asked between layers and between labels.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    ValueError
        The layer does not exist, runs twice, or has no spatial axes; the output is not [1, K].
    """
    stop = should_stop or (lambda: False)
    tell = progress or (lambda _done, _total: None)
    steps = 0
    # The labels come on top of the slices (or layers), one step each; their number is known
    # only after the forward pass, so the pass counts for nine tenths and they for the rest.
    parts = 1000

    def tell_forward(done: int, total: int) -> None:
        nonlocal steps
        steps = max(steps, int(0.9 * parts * done / total))
        tell(steps, parts)

    with borrowed(network, stop):
        captured = run_and_capture(
            network,
            given,
            target_layer,
            slices_per_chunk=slices_per_chunk,
            progress=tell_forward,
            should_stop=stop,
        )
        logits = captured.logits
        if logits.ndim != 2 or logits.shape[0] != 1:
            raise ValueError(
                f"the network returned scores of shape {list(logits.shape)}, not [1, K]"
            )
        if captured.logits_node is None:
            raise ValueError(f"no gradient leads from the scores to the output of {target_layer}")
        guarantee, bias = probe_head(captured, target_layer)
        maps, uniform = _maps_of_labels(
            captured,
            methods,
            lambda done, total: tell(steps + (parts - steps) * done // total, parts),
            stop,
        )
    return RawAttention(
        maps=maps,
        logits=logits.detach().double().cpu().numpy()[0],
        bias=bias,
        guarantee=Guarantee(guarantee.state, guarantee.reason, same_picture=uniform),
    )


def _maps_of_labels(
    captured: Captured,
    methods: Sequence[str],
    progress: Progress,
    should_stop: ShouldStop,
) -> tuple[dict[str, Float32Array], bool]:
    """Take each label's gradient once and let every method use it.

    Returns
    -------
    Method -> [K, d, h, w]; whether all gradients are uniform over the grid.
    """
    import torch

    leaf = captured.activation
    n_labels = captured.logits.shape[1]
    # Slices on the batch axis become the first spatial axis: [F, d, h, w] for every network.
    features = _features_first(leaf.detach())
    stacks: dict[str, list[Float32Array]] = {key: [] for key in methods}
    uniform = True
    for k in range(n_labels):
        if should_stop():
            raise Cancelled("the computation was cancelled")
        (gradient,) = torch.autograd.grad(
            captured.logits[0, k],
            leaf,
            retain_graph=k + 1 < n_labels,
            materialize_grads=True,  # zeros for a label that does not read the layer
        )
        gradient = _features_first(gradient)
        uniform = uniform and _is_uniform(gradient)
        for key in methods:
            values = METHODS[key].compute(features, gradient)
            stacks[key].append(values.float().cpu().numpy())
        progress(k + 1, n_labels)
    return {key: np.stack(maps) for key, maps in stacks.items()}, uniform


def _features_first(activation: Tensor) -> Tensor:
    if activation.ndim == 4:
        return activation.movedim(0, 1)
    if activation.ndim == 5 and activation.shape[0] == 1:
        return activation[0]
    raise ValueError(
        f"the target layer's output has shape {list(activation.shape)}; expected [S, F, h, w] or "
        "[1, F, d, h, w]"
    )


def _is_uniform(gradient: Tensor) -> bool:
    # Some features stand for all: with a flattened head each has weights of its own per place.
    flat = gradient[:: max(1, len(gradient) // _SAMPLED_FEATURES)].flatten(1)
    spread = flat.amax(dim=1) - flat.amin(dim=1)
    return bool(spread.max() <= _UNIFORM * flat.abs().max())
