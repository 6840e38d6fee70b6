"""Convolution, ReLU and max pool in slabs: what lies between them is never there at once."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, max_pool3d, pad, relu_

#: Largest output of the convolution held at one time. From 32 MiB on, glibc's allocator asks the
#: system for fresh pages each time, which cost more than the pool; in much smaller slabs the
#: threads wait for each other too often, above all where other programs are at work.
_SLAB_BYTES = 29 * 2**20

#: Kernel, stride, padding and dilation along one axis.
_Axis = tuple[int, int, int, int]


def can_be_pooled_in_slabs(convolution: nn.Module, pool: nn.Module) -> bool:
    """True if :class:`PooledConvolution` can stand in for this convolution, a ReLU and the pool."""
    return (
        type(convolution) is nn.Conv3d
        and type(pool) is nn.MaxPool3d
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        # So that there is something of the volume in every slab.
        and convolution.padding[0] < _reach(_by_axis(convolution)[0])
        # Every window has something of the volume in it, too, if it has no gaps.
        and pool.dilation in (1, (1, 1, 1))
        and not pool.return_indices
    )


class PooledConvolution(nn.Module):
    """A 3-D convolution, ReLU and max pool, carried out slab by slab along the first axis.

    The convolution that a ResNet begins with makes 360 MB of a volume of 224^3 voxels, which are
    read once and then thrown away. Here a few of its slices exist at a time, and only what is
    pooled is kept. The zeros and minus infinities that the layers pad with are put at the ends of
    the volume, not of the slabs. It has no gradient.

    Parameters
    ----------
    convolution, pool
        The layers that this one stands in for, see :func:`can_be_pooled_in_slabs`. The weights
        are shared.
    slab_bytes
        Largest output of the convolution held at one time (but at least one window of the pool).
    """

    def __init__(
        self, convolution: nn.Module, pool: nn.Module, slab_bytes: int = _SLAB_BYTES
    ) -> None:
        super().__init__()
        conv, pooling = cast("nn.Conv3d", convolution), cast("nn.MaxPool3d", pool)
        # A parameter of its own: who changes its memory layout does not mean the given layer's.
        self.weight = nn.Parameter(conv.weight.detach(), requires_grad=False)
        self.bias = conv.bias
        self.groups = conv.groups
        self.convolved, self.pooled = _by_axis(conv), _by_axis(pooling)
        self.ceil_mode, self.slab_bytes = pooling.ceil_mode, slab_bytes

    def forward(self, given: Tensor) -> Tensor:
        """Convolve, clip at zero and pool: [N, C, D, H, W], or the same without N."""
        if given.ndim == 4:
            result: Tensor = self(given[None])[0]
            return result
        depth, height, width = (
            (size + 2 * axis[2] - _reach(axis)) // axis[1] + 1
            for size, axis in zip(given.shape[2:], self.convolved, strict=True)
        )
        made = torch.empty(len(given), len(self.weight), depth, height, width, device="meta")
        # Asked of torch, whose rule for the last window of `ceil_mode` is involved.
        shape = self._pool(made, self.pooled[0][2]).shape
        along = self.pooled[0]
        slice_bytes = given.element_size() * shape[0] * shape[1] * height * width
        slices = self.slab_bytes // max(1, slice_bytes)
        at_once = max(1, (slices - _reach(along)) // along[1] + 1)
        for start in range(0, shape[2], at_once):
            stop = min(shape[2], start + at_once)
            low, high = _read_by(start, stop, along)
            begin, end = max(low, 0), min(high, depth)
            slab = _padded(self._convolve(given, begin, end), begin - low, high - end, -torch.inf)
            found = self._pool(slab, 0)
            if not start:
                result = _empty(shape, found)
            result[:, :, start:stop] = found
        return relu_(result)  # the largest of what is clipped is the largest, clipped

    def _convolve(self, given: Tensor, start: int, stop: int) -> Tensor:
        """Slices `start` to `stop` of what the convolution makes."""
        low, high = _read_by(start, stop, self.convolved[0])
        begin, end = max(low, 0), min(high, given.shape[2])
        _, stride, padding, dilation = zip(*self.convolved, strict=True)
        return conv3d(
            _padded(given[:, :, begin:end], begin - low, high - end, 0.0),
            self.weight,
            self.bias,
            stride,
            (0, *padding[1:]),
            dilation,
            self.groups,
        )

    def _pool(self, given: Tensor, padding: int) -> Tensor:
        """Pool with another padding along the depth."""
        kernel, stride, whole, _ = zip(*self.pooled, strict=True)
        return max_pool3d(given, kernel, stride, (padding, *whole[1:]), 1, self.ceil_mode)


def _by_axis(layer: nn.Conv3d | nn.MaxPool3d) -> tuple[_Axis, ...]:
    sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    triples = ((size,) * 3 if isinstance(size, int) else size for size in sizes)
    return cast("tuple[_Axis, ...]", tuple(zip(*triples, strict=True)))


def _reach(axis: _Axis) -> int:
    return axis[3] * (axis[0] - 1) + 1


def _read_by(start: int, stop: int, axis: _Axis) -> tuple[int, int]:
    """Which values the outputs `start` to `stop` read; before 0 and past the end is padding."""
    low = start * axis[1] - axis[2]
    return low, low + (stop - 1 - start) * axis[1] + _reach(axis)


def _padded(slab: Tensor, before: int, behind: int, value: float) -> Tensor:
    return pad(slab, (0, 0, 0, 0, before, behind), value=value) if before or behind else slab


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    last = like.is_contiguous(memory_format=torch.channels_last_3d)
    layout = torch.channels_last_3d if last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)
