"""Layers that compute the same as the ones they stand in for, faster."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

# Convolutions of fewer input channels (the first one) are fast with plain weights, and tell
# nobody which memory layout they were given.
_FEWEST_CHANNELS = 8


def fold_norm(maker: nn.Module, norm: nn.Module) -> nn.Module:
    """Put a batch norm in eval mode into the layer it reads.

    y = (Wx + b - mean) * gamma / sqrt(var + eps) + beta, worked out in double precision.
    """
    result, bn = cast("nn.Conv3d", copy.copy(maker)), cast("nn.BatchNorm3d", norm)
    kind = result.weight.dtype
    mean, variance = cast("Tensor", bn.running_mean), cast("Tensor", bn.running_var)
    gain = torch.rsqrt(variance.double() + bn.eps)
    if bn.weight is not None:
        gain = gain * bn.weight.double()
    shift = -mean.double() if result.bias is None else result.bias.double() - mean.double()
    bias = shift * gain
    if bn.bias is not None:
        bias = bias + bn.bias.double()
    weight = result.weight.double() * gain.reshape(-1, *[1] * (result.weight.ndim - 1))
    # A shallow copy has its maker's dictionaries; these it must have for itself.
    result._parameters = {  # noqa: SLF001
        "weight": nn.Parameter(weight.to(kind), requires_grad=False),
        "bias": nn.Parameter(bias.to(kind), requires_grad=False),
    }
    for name, value in vars(result).items():
        if "hooks" in name and isinstance(value, dict):
            setattr(result, name, type(value)())
    return result


def can_be_packed(module: nn.Module) -> bool:
    """True if :class:`PackedConvolution` can stand in for a layer, and gains by it."""
    return (
        type(module) in (nn.Conv2d, nn.Conv3d)
        and (conv := cast("nn.Conv3d", module)).weight.dtype == torch.float32
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.groups == 1
        and conv.in_channels >= _FEWEST_CHANNELS
    )


class PackedConvolution(nn.Module):
    """A convolution whose weights lie in the order oneDNN wants for this size of input.

    torch otherwise reorders them in every pass. It has no gradient: below the target layer none
    is taken. The two operators are those that torch's own compiler uses.
    """

    def __init__(self, module: nn.Module, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        conv = cast("nn.Conv3d", module)
        self.bias = conv.bias
        self.geometry = (conv.padding, conv.stride, conv.dilation, conv.groups)
        reorder = getattr(torch._C._nn, f"mkldnn_reorder_conv{len(conv.stride)}d_weight")  # noqa: SLF001
        # Opaque to torch: neither parameter nor buffer, which could be moved or copied.
        self._packed = (
            reorder(
                conv.weight.detach().contiguous().to_mkldnn(), *self.geometry, list(input_shape)
            ),
        )

    def forward(self, given: Tensor) -> Tensor:
        """Convolve; the result has the memory layout of the input."""
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001
            given, self._packed[0], self.bias, *self.geometry, "none", [], ""
        )
        return result
