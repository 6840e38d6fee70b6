"""Does sum(HiResCAM) + bias equal the logit? Read off the head, not assumed.

The proof of the paper (arXiv 2011.08891v2) needs the logit to be an affine function of the
target layer's activation: one linear layer, then linear aggregation such as the mean over
slices. That is a property of the operations between the two, and torch's autograd graph lists
them. Anything not known to be affine counts as not affine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hirescam.attention.graph import dependent_inputs, operation_name, path_nodes
from napari_hirescam.attention.result import Guarantee, GuaranteeState

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Affine in whatever they read.
_AFFINE = frozenset(
    [
        "AccumulateGrad",
        "AdaptiveAvgPool1D",
        "AdaptiveAvgPool2D",
        "AdaptiveAvgPool3D",
        "Add",
        "Alias",
        "AsStrided",
        "AvgPool1D",
        "AvgPool2D",
        "AvgPool3D",
        "Cat",
        "Clone",
        "ConstantPadNd",
        "Copy",
        "Expand",
        "Flip",
        "Index",
        "IndexSelect",
        "Mean",
        "Neg",
        "Permute",
        "ReflectionPad1D",
        "ReflectionPad2D",
        "ReflectionPad3D",
        "Repeat",
        "ReplicationPad1D",
        "ReplicationPad2D",
        "ReplicationPad3D",
        "ReshapeAlias",
        "Select",
        "Slice",
        "Split",
        "SplitWithSizes",
        "Squeeze",
        "Stack",
        "Sub",
        "Sum",
        "T",
        "ToCopy",
        "Transpose",
        "Unbind",
        "UnsafeSplit",
        "UnsafeView",
        "Unsqueeze",
        "UpsampleBilinear2D",
        "UpsampleNearest2D",
        "UpsampleNearest3D",
        "UpsampleTrilinear3D",
        "View",
    ]
)
#: Affine as long as only one factor depends on the activation; the rest are constants.
_BILINEAR = frozenset(
    ["Addmm", "Addmv", "Baddbmm", "Bmm", "Convolution", "Dot", "Linear", "Mm", "Mul", "Mv"]
)
#: Affine in the numerator.
_QUOTIENT = frozenset({"Div"})
#: Affine in eval mode, where the statistics are constants.
_EVAL_NORM = frozenset(["NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "BatchNorm"])

_PLAIN_WORDS = {
    "Relu": "ReLU",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Max": "maximum",
    "Amax": "maximum",
    "MaxPool2DWithIndices": "max pooling",
    "MaxPool3DWithIndices": "max pooling",
    "AdaptiveMaxPool2D": "max pooling",
    "AdaptiveMaxPool3D": "max pooling",
    "Gelu": "GELU",
    "Silu": "SiLU",
    "Tanh": "tanh",
    "LeakyRelu": "leaky ReLU",
    "NativeLayerNorm": "layer norm",
    "NativeGroupNorm": "group norm",
}


def non_affine_operations(logits_node: Any, head_node: Any) -> list[str] | None:
    """Name the operations of the head that are not affine in what they read.

    Parameters
    ----------
    logits_node, head_node
        Autograd nodes of the network's output and of the activation the head reads.

    Returns
    -------
    Plain names, each once, in the order the data meets them; empty for an affine head; None if
    the logits do not depend on the activation at all.
    """
    path = path_nodes(logits_node, head_node)
    if not path:
        return None
    members = set(path)
    found: list[str] = []
    for node in reversed(path):
        if node is head_node:
            continue
        name = operation_name(node)
        arguments = list(dependent_inputs(node, members))
        affine = (
            name in _AFFINE
            or (name in _BILINEAR and _one_factor_depends(name, arguments))
            or (name in _QUOTIENT and arguments == [0])
            or (name in _EVAL_NORM and arguments == [0] and not _normalises_by_batch(node))
        )
        plain = _PLAIN_WORDS.get(name, name)
        if not affine and plain not in found:
            found.append(plain)
    return found


def _normalises_by_batch(node: Any) -> bool:
    # cudnn's node has no such flag: it is used in training mode only.
    return bool(getattr(node, "_saved_training", True))


def _one_factor_depends(name: str, arguments: list[int]) -> bool:
    # Addmm(bias, a, b) and the like are affine in the bias besides one of the factors.
    factors = [i for i in arguments if not (name in {"Addmm", "Addmv", "Baddbmm"} and i == 0)]
    return len(factors) <= 1


def examine_head(logits_node: Any, head_node: Any, target_layer: str) -> Guarantee:
    """Say whether the guarantee holds at this layer, and why."""
    found = non_affine_operations(logits_node, head_node)
    if found is None:
        return Guarantee(
            GuaranteeState.NOT_GUARANTEED,
            f"the scores do not depend on the output of {target_layer}",
        )
    if found:
        return Guarantee(
            GuaranteeState.NOT_GUARANTEED,
            f"between {target_layer} and the scores lies {' and '.join(found)}, which is not "
            "linear: the maps are a local approximation of the network",
        )
    return Guarantee(
        GuaranteeState.EXACT,
        f"everything between {target_layer} and the scores is linear, so HiResCAM splits each "
        "score over the places it came from",
    )


class BiasTerms:
    """Collects what the head's layers add, while the head runs.

    In an affine head the logit is linear in the activation and in all added constants together,
    so the constants' share of it is sum over layers <dS/d(output), constant>.
    """

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []
        self._constants: list[Tensor] = []

    def record(self, module: nn.Module, output: Tensor) -> None:
        """Note a layer's output if the layer adds a constant."""
        constant = added_constant(module)
        if constant is not None and output.requires_grad:
            axis = output.ndim - 1 if _channels_last(module) else 1
            shape = [-1 if i == axis else 1 for i in range(output.ndim)]
            self.outputs.append(output)
            self._constants.append(constant.detach().double().reshape(shape))

    def share(self, gradients: tuple[Tensor | None, ...]) -> float:
        """Sum the constants' share of one logit, from its gradients for `outputs`."""
        return sum(
            float((gradient.double() * constant).sum())
            for gradient, constant in zip(gradients, self._constants, strict=True)
            if gradient is not None
        )


def _channels_last(module: nn.Module) -> bool:
    from torch import nn

    return isinstance(module, nn.Linear)


def added_constant(module: nn.Module) -> Tensor | None:
    """Return what a layer adds per output channel whatever it reads: [C], or None.

    The bias of a linear or convolutional layer; for batch norm in eval mode
    beta - gamma * mean / sqrt(var + eps).
    """
    import torch
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd

    if isinstance(module, nn.Linear | _ConvNd):
        return module.bias
    if isinstance(module, _BatchNorm):
        mean, variance = module.running_mean, module.running_var
        if mean is None or variance is None:
            return None
        slope = torch.rsqrt(variance.double() + module.eps)
        if module.affine:
            slope = slope * module.weight
        constant = -mean.double() * slope
        return constant + module.bias if module.affine else constant
    return None
