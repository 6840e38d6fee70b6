"""Where a cell of the feature map lies in the network's input.

Two answers. `receptive_field`: the centre of the voxels that can reach the cell, by arithmetic
over the kernels, strides and paddings between input and target layer; the truth about what the
cell can have seen. `stretch`: the map stretched over the input, as the paper's figures draw it.
For AxialNet the two differ by up to about 90 mm at the border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hirescam.attention.graph import dependent_inputs, inputs_of, operation_name, path_nodes
from napari_hirescam.volume import FloatArray, scaling, translation

if TYPE_CHECKING:
    from napari_hirescam.models.dry_run import DryRun

#: Leave each place where it is.
_POINTWISE = frozenset(
    [
        "Add",
        "Alias",
        "Cat",
        "Celu",
        "Clamp",
        "Clone",
        "Convert",
        "Div",
        "Elu",
        "Exp",
        "Gelu",
        "Hardsigmoid",
        "Hardswish",
        "Hardtanh",
        "LeakyRelu",
        "Mul",
        "NativeBatchNorm",
        "NativeDropout",
        "NativeGroupNorm",
        "Neg",
        "Pow",
        "Prelu",
        "Relu",
        "Sigmoid",
        "Silu",
        "Softplus",
        "Sqrt",
        "Sub",
        "Tanh",
        "Threshold",
        "ToCopy",
        "CudnnBatchNorm",
        "Mish",
    ]
)
_POOLS = frozenset(
    [
        "AvgPool2D",
        "AvgPool3D",
        "MaxPool2DWithIndices",
        "MaxPool3DWithIndices",
        "MaxPool2D",
        "MaxPool3D",
    ]
)


class PlacementUnknownError(ValueError):
    """The arithmetic does not know an operation between input and target layer."""


@dataclass(frozen=True)
class Reach:
    """Voxels along one axis that cell i sees: stride * i + [low, high]."""

    stride: float
    low: float
    high: float

    @property
    def centre(self) -> float:
        """Input coordinate of cell 0's centre."""
        return (self.low + self.high) / 2

    @property
    def size(self) -> float:
        """Number of voxels one cell sees."""
        return self.high - self.low + 1

    def through(self, kernel: int, stride: int, padding: int, dilation: int) -> Reach:
        """Go one sliding-window operation closer to the input."""
        return Reach(
            self.stride * stride,
            self.low * stride - padding,
            self.high * stride - padding + dilation * (kernel - 1),
        )

    def joined(self, other: Reach) -> Reach:
        """Merge with what the cell sees along another branch."""
        if self.stride != other.stride:
            raise PlacementUnknownError("branches of different stride meet")
        return Reach(self.stride, min(self.low, other.low), max(self.high, other.high))


def receptive_field(run: DryRun) -> tuple[Reach, Reach, Reach]:
    """Trace what a cell of the target layer sees along the tensor's three spatial axes.

    Raises
    ------
    PlacementUnknownError
        An operation on the way is not one whose geometry is known.
    """
    rank = len(run.activation_shape) - 2
    if run.activation_node is None:
        raise PlacementUnknownError("the network switches gradients off ahead of the layer")
    if rank == 2 and not _slices_ride_on_batch(run):
        raise PlacementUnknownError("the network folds the slices into its feature maps")
    path = path_nodes(run.activation_node, run.input_node)
    if not path:
        raise PlacementUnknownError("the target layer does not depend on the input")
    members = set(path)
    seen: dict[Any, list[Reach]] = {run.activation_node: [Reach(1.0, 0.0, 0.0)] * rank}
    for node in path:
        if node is run.input_node:
            break
        reaches = _towards_input(node, seen[node], rank)
        for argument in dependent_inputs(node, members):
            before = inputs_of(node)[argument]
            if operation_name(node) in _POINTWISE and _trailing(before, rank) != _trailing(
                node, rank
            ):
                raise PlacementUnknownError(f"{operation_name(node)!r} spreads one value over many")
            known = seen.get(before)
            seen[before] = (
                reaches
                if known is None
                else [a.joined(b) for a, b in zip(known, reaches, strict=True)]
            )
    found = seen[run.input_node]
    # Slices that ride on the batch axis are independent of each other: cell k sees image k.
    rows, columns = found[-2:]
    return (found[0] if rank == 3 else Reach(1.0, 0.0, 0.0)), rows, columns


def _slices_ride_on_batch(run: DryRun) -> bool:
    """True if [1, S, C, H, W] came in and [S, F, h, w] reached the layer."""
    return len(run.input_shape) == 5 and run.activation_shape[0] == run.input_shape[1] > 1


def _trailing(node: Any, rank: int) -> tuple[int, ...]:
    """Lengths of the last axes of a node's output."""
    shape: tuple[int, ...] = tuple(node._input_metadata[0].shape)
    return shape[-rank:]


def _towards_input(node: Any, reaches: list[Reach], rank: int) -> list[Reach]:
    name = operation_name(node)
    if name in _POINTWISE:
        if name == "Cat" and not _leading(node._saved_dim, len(_trailing(node, 99)), rank):
            raise PlacementUnknownError("parts of the image are put side by side")
        return reaches
    if name == "Convolution":
        if node._saved_transposed:
            raise PlacementUnknownError("transposed convolution")
        kernel = tuple(node._saved_weight.shape[2:])
        geometry = (node._saved_stride, node._saved_padding, node._saved_dilation)
        return _slide(reaches, kernel, *geometry)
    if name in _POOLS:
        kernel = node._saved_kernel_size
        dilation = getattr(node, "_saved_dilation", (1,) * rank)
        return _slide(reaches, kernel, node._saved_stride or kernel, node._saved_padding, dilation)
    if name == "Select" and len(node._saved_self_sym_sizes) == rank + 3 and node._saved_dim == 0:
        return reaches  # the one CT taken out of its batch
    raise PlacementUnknownError(f"the geometry of {name!r} is not known")


def _leading(dim: int, ndim: int, rank: int) -> bool:
    # The graph stores negative dimensions as unsigned numbers.
    dim = dim - 2**64 if dim >= 2**63 else dim
    return dim % ndim < ndim - rank


def _slide(
    reaches: list[Reach],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> list[Reach]:
    if not len(kernel) == len(stride) == len(padding) == len(dilation) == len(reaches):
        raise PlacementUnknownError("a window with another number of axes than the map")
    return [
        reach.through(k, s, p, d)
        for reach, k, s, p, d in zip(reaches, kernel, stride, padding, dilation, strict=True)
    ]


def cells_by_receptive_field(reaches: tuple[Reach, Reach, Reach]) -> FloatArray:
    """Build the 4x4 affine from cell index to input index, cells at their field's centre."""
    centres = translation([reach.centre for reach in reaches])
    return centres @ scaling([reach.stride for reach in reaches])


def cells_by_stretch(cells: tuple[int, int, int], voxels: tuple[int, int, int]) -> FloatArray:
    """Build the 4x4 affine from cell index to input index, cells tiling the input."""
    factors = [n / m for n, m in zip(voxels, cells, strict=True)]
    return translation([(factor - 1) / 2 for factor in factors]) @ scaling(factors)
