"""What is worked out of a network before its attention is trained, once, without training it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from napari_hirescam.attention.capture import Captured, run_and_capture, run_head
from napari_hirescam.attention.faithfulness import examine_head, probe_head
from napari_hirescam.attention.raw import features_first
from napari_hirescam.attention.result import Guarantee
from napari_hirescam.errors import SettingsError
from napari_hirescam.models.borrow import SplitNetwork, borrowed
from napari_hirescam.models.dry_run import DryRun, dry_run, find_layer
from napari_hirescam.models.scores import read_scores
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.models.traced_pass import floating_type, traced_pass
from napari_hirescam.training.linear_head import LinearWeights, find_linear_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

#: Gradients in half precision are multiplied by this on their way, lest the small ones vanish.
_HALF_SCALE = 1024.0
_SLICES_PER_CHUNK = 8


def single(tensor: Tensor) -> Tensor:
    """Bring half precision to single; what is finer stays."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def gradient_of(scores: Tensor, activation: Tensor, *, with_graph: bool) -> Tensor:
    """Gradient of one label's scores [n], in single precision at least."""
    import torch

    scale = _HALF_SCALE if scores.dtype == torch.float16 else 1.0
    (gradient,) = torch.autograd.grad(
        scores.sum() * scale,
        activation,
        retain_graph=True,
        create_graph=with_graph,
        materialize_grads=True,  # zeros for a label that does not read the layer
    )
    return single(gradient) / scale


def traced(
    network: nn.Module, target_layer: str, input_shape: tuple[int, ...], output: OutputSpec
) -> DryRun:
    """Trace a network once, cut at its target layer.

    Raises
    ------
    SettingsError
        The network fails on such an input.
    """
    try:
        return dry_run(network, input_shape, target_layer, output)
    except Exception as exc:  # noqa: BLE001 - which networks run on meta cannot be known
        logger.info("no dry run on the meta device: %s", exc)
    try:
        return dry_run(network, input_shape, target_layer, output, on_meta=False)
    except Exception as exc:  # the user's own network can fail in any way
        raise SettingsError(
            target_layer,
            f"the network fails on an input of {list(input_shape)} that stops at this layer: "
            f"{type(exc).__name__}: {' '.join(str(exc).split())}",
            "Check the input section and the target layer",
        ) from exc


def takes_batches(
    network: nn.Module, input_shape: tuple[int, ...], output: OutputSpec, run: DryRun
) -> bool:
    """True if two CTs at once give two rows of scores and two activations."""
    if isinstance(network, SplitNetwork) or output.over_slices is not None:
        return False
    seen: list[Tensor] = []
    layer = find_layer(network, run.target_layer)
    hook = layer.register_forward_hook(lambda _module, _args, result: seen.append(result))
    try:
        with traced_pass(network, (2, *input_shape[1:]), on_meta=True) as (_, go, _given, start):
            scores = go(start, output, 2)
    except Exception as exc:  # noqa: BLE001 - what a network makes of two CTs cannot be known
        logger.info("the network is given one CT at a time: %s", exc)
        return False
    finally:
        hook.remove()
    expected = (2, *run.activation_shape[1:])
    return tuple(scores.shape) == (2, *run.logits_shape[1:]) and all(
        tuple(tensor.shape) == expected for tensor in seen
    )


def proven(
    network: nn.Module, run: DryRun, output: OutputSpec
) -> tuple[Guarantee, LinearWeights | None]:
    """Prove that the head is linear, and find the weights that the maps can be made of."""
    import torch

    draw = torch.Generator().manual_seed(0)
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    kind = floating_type(network)

    def noise(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=draw).to(device, kind)

    halves = network.halves(run.target_layer) if isinstance(network, SplitNetwork) else None

    def capture() -> Captured:
        if halves is not None and output.layer is None:
            # The trunk, which is nearly all of the work, has no say in whether the head is linear.
            leaf = noise(run.activation_shape).requires_grad_(True)
            return run_head(leaf, lambda activation: read_scores(halves[1](activation), output))
        return run_and_capture(
            network,
            noise(run.input_shape),
            run.target_layer,
            output=output,
            slices_per_chunk=_SLICES_PER_CHUNK,
            progress=lambda _done, _total: None,
            should_stop=lambda: False,
        )

    def gradients() -> list[Tensor]:
        captured = capture()
        zero = torch.zeros_like(captured.activation).requires_grad_(True)
        with torch.enable_grad():
            logits = captured.head(zero)
        return [
            features_first(gradient_of(logits[:, k], zero, with_graph=False))
            for k in range(logits.shape[1])
        ]

    with borrowed(network):
        captured = capture()
        if not _leads_to_scores(captured):
            raise SettingsError(
                run.target_layer,
                "no gradient leads from the scores to its output",
                "Choose a layer whose output the scores are computed from",
            )
        guarantee, _ = probe_head(captured, run.target_layer)
        if not guarantee.holds:
            return guarantee, None
        weights = find_linear_weights(network, gradients)
    # The pass that puts the head to the test sees nothing ahead of the layer; the trace does.
    whole = examine_head(run, run.target_layer)
    return (guarantee if whole.holds else whole), weights


def _leads_to_scores(captured: Captured) -> bool:
    """True if any score has a gradient with respect to the activation."""
    import torch

    if captured.logits_node is None:
        return False
    (gradient,) = torch.autograd.grad(
        captured.logits.sum(), captured.activation, retain_graph=True, allow_unused=True
    )
    return gradient is not None
