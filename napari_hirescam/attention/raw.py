"""Maps of a bare network on a bare tensor: one forward pass, every label, every method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hirescam.attention.capture import Captured, run_and_capture
from napari_hirescam.attention.faithfulness import probe_head
from napari_hirescam.attention.methods import METHODS
from napari_hirescam.attention.result import Float32Array, Guarantee
from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import Cancelled
from napari_hirescam.models.borrow import SplitNetwork, borrowed
from napari_hirescam.models.dry_run import is_input
from napari_hirescam.models.scores import PLAIN_OUTPUT
from napari_hirescam.models.spec import OutputSpec
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
        Method key -> float32 [K, d, h, w]. A method that reads the constant gradient of a linear
        head is left out where the head is not linear.
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
    output: OutputSpec = PLAIN_OUTPUT,
    slices_per_chunk: int = 8,
    mixed_precision: bool = False,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> RawAttention:
    """Score an input and map the attention of every label.

    The guarantee is examined from the target layer on. Whether part of the image's evidence
    goes around the layer is seen by :func:`~napari_hirescam.attention.explain`, which traces
    the whole network, and not here.

    Parameters
    ----------
    network
        Any torch module; it is left as it was.
    given
        Its input, batch axis included, on the network's device.
    target_layer
        Dotted name; its output is [1, F, d, h, w], or [S, F, h, w] with slices as batch.
        "name#2" is the second call of a layer that runs more than once (without a number the
        last counts); "input" is the network's input, where HiResCAM is gradient x input.
    methods
        Keys of :data:`~napari_hirescam.attention.methods.METHODS`.
    output
        Where the logits [1, K] are in what the network returns.
    slices_per_chunk
        How many slices a network with a 2-D trunk runs at once.
    mixed_precision
        Run under torch's autocast. The residual grows to that precision.
    progress, should_stop
        Called with (done, total); asked between layers and between labels.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    ValueError
        The layer does not exist or has no spatial axes; the output is not [1, K]; no
        method but the closed form is asked for, and the head is not affine.
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
            output=output,
            slices_per_chunk=slices_per_chunk,
            mixed_precision=mixed_precision,
            progress=tell_forward,
            should_stop=stop,
        )
        logits = captured.logits
        if captured.logits_node is None:
            raise ValueError(f"no gradient leads from the scores to the output of {target_layer}")
        guarantee, bias = probe_head(captured, target_layer, rounding=_rounding(captured.logits))
        if not guarantee.holds:
            methods = [key for key in methods if not METHODS[key].constant_gradient]
            if not methods:
                raise ValueError(f"there is no closed form at {target_layer}: {guarantee.reason}")
        maps, uniform = _maps_of_labels(
            captured,
            methods,
            lambda done, total: tell(steps + (parts - steps) * done // total, parts),
            stop,
            grouped=is_input(network, target_layer) and isinstance(network, SplitNetwork),
        )
    return RawAttention(
        maps=maps,
        logits=logits.detach().double().cpu().numpy()[0],
        bias=bias,
        # What was read off the graph does not stand against the gradients themselves.
        guarantee=guarantee.with_same_picture() if uniform else guarantee.with_two_pictures(),
    )


def _rounding(logits: Tensor) -> float:
    """Relative error to expect of a sum in the precision of the logits."""
    import torch

    return 1e-5 if logits.dtype in (torch.float32, torch.float64) else 2e-2


def _maps_of_labels(
    captured: Captured,
    methods: Sequence[str],
    progress: Progress,
    should_stop: ShouldStop,
    *,
    grouped: bool,
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
    features = features_first(leaf.detach(), grouped=grouped)
    constant = _gradients_at_zero(captured, methods)
    stacks: dict[str, list[Tensor]] = {key: [] for key in methods}
    uniform = True
    for k in range(n_labels):
        if should_stop():
            raise Cancelled("the computation was cancelled")
        gradient = features_first(
            _gradient(captured.logits[0, k], leaf, keep=k + 1 < n_labels), grouped=grouped
        )
        uniform = uniform and _is_uniform(gradient)
        for key in methods:
            method = METHODS[key]
            weights = (
                features_first(constant(k), grouped=grouped)
                if constant is not None and method.constant_gradient
                else gradient
            )
            stacks[key].append(method.compute(features, weights).float())
        progress(k + 1, n_labels)
    return {key: torch.stack(maps).cpu().numpy() for key, maps in stacks.items()}, uniform


def _gradient(score: Tensor, leaf: Tensor, *, keep: bool) -> Tensor:
    import torch

    # materialised: zeros for a label that does not read the layer
    return torch.autograd.grad(score, leaf, retain_graph=keep, materialize_grads=True)[0]


def _gradients_at_zero(
    captured: Captured, methods: Sequence[str]
) -> Callable[[int], Tensor] | None:
    """Offer each label's gradient where the activation is zero, if a method asks for it."""
    import torch

    if not any(METHODS[key].constant_gradient for key in methods):
        return None
    zero = torch.zeros_like(captured.activation).requires_grad_(True)
    with torch.enable_grad():
        logits = captured.head(zero)
    return lambda k: _gradient(logits[0, k], zero, keep=True)


def features_first(activation: Tensor, *, grouped: bool = False) -> Tensor:
    """Bring an activation to [F, d, h, w], whatever its network does with the batch axis.

    Parameters
    ----------
    activation
        [1, F, d, h, w]; [S, F, h, w] with slices as batch; [1, S, C, h, w] if `grouped`.
    grouped
        True for the input of a network over axial images.
    """
    if grouped:
        return activation[0].movedim(0, 1)
    if activation.ndim == 4:
        return activation.movedim(0, 1)
    if activation.ndim == 5 and activation.shape[0] == 1:
        return activation[0]
    raise ValueError(
        f"the target layer's output has shape {list(activation.shape)}; expected [S, F, h, w] or "
        "[1, F, d, h, w]"
    )


def _is_uniform(gradient: Tensor) -> bool:
    # Some features mostly tell: with a flattened head each has weights of its own per place.
    return all(
        _spread(gradient[::step].flatten(1)) <= _UNIFORM
        for step in {max(1, len(gradient) // _SAMPLED_FEATURES): 0, 1: 0}
    )


def _spread(flat: Tensor) -> float:
    """Largest range of a feature's gradients [F, cells], as a share of the largest of all."""
    spread, largest = flat.amax(dim=1) - flat.amin(dim=1), flat.abs().max()
    return float(spread.max() / largest) if largest > 0 else 0.0
