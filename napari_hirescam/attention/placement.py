"""Where a cell of the feature map lies in the network's input.

Two answers. `receptive_field`: the centre of the voxels that can reach the cell, by arithmetic
over the kernels, strides and paddings between input and target layer (or measured, see
`measured_field.py`); the truth about what the cell can have seen. `stretch`: the map stretched
over the input, as the paper's figures draw it. For AxialNet the two differ by up to about 90 mm
at the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_hirescam.attention.graph import dependent_inputs, inputs_of, operation_name, path_nodes
from napari_hirescam.attention.operations import JOINS, POINTWISE, POOLS
from napari_hirescam.attention.rearranged import (
    NotAnArrangementError,
    UnknownGeometryError,
    depth_axis_before,
)
from napari_hirescam.volume import FloatArray, scaling, translation

if TYPE_CHECKING:
    from napari_hirescam.models.dry_run import DryRun


class PlacementUnknownError(ValueError):
    """The arithmetic does not know an operation between input and target layer."""


class NoGridError(PlacementUnknownError):
    """The layer's axes are not those of the image: slices became features, or the reverse."""


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


@dataclass(frozen=True)
class ReceptiveField:
    """What the cells of the target layer see, along the tensor's (depth, row, column) axes.

    `note` says what the numbers leave out, or that they were measured; "" where neither.
    """

    axes: tuple[Reach, Reach, Reach]
    note: str = ""


@dataclass(frozen=True)
class _Seen:
    """What one output of a graph node contributes to a cell.

    `depth_axis` is the axis of the node's output that runs over slices; None if it has one.
    """

    axes: tuple[Reach, Reach, Reach]
    depth_axis: int | None

    def joined(self, other: _Seen) -> _Seen:
        if self.depth_axis != other.depth_axis:
            raise PlacementUnknownError("branches with their slices on different axes meet")
        d, r, c = (a.joined(b) for a, b in zip(self.axes, other.axes, strict=True))
        return replace(self, axes=(d, r, c))


_GATE_NOTE = "besides, its features are scaled by values taken from the whole input"


def receptive_field(run: DryRun) -> ReceptiveField:
    """Trace what a cell of the target layer sees along the input's three spatial axes.

    Branches that bring one number per feature map (squeeze and excitation) are left out: they
    scale what a cell sees and do not move it; the note says so.

    Raises
    ------
    PlacementUnknownError
        An operation on the way is not one whose geometry is known.
    """
    return trace_field(run.input_node, run.input_shape, run.activation_node, run.activation_shape)


def trace_field(
    input_node: Any, input_shape: tuple[int, ...], node: Any, shape: tuple[int, ...]
) -> ReceptiveField:
    """Trace between any two nodes of a graph; see :func:`receptive_field`."""
    if node is None:
        raise PlacementUnknownError("the network switches gradients off ahead of the layer")
    path = path_nodes(node, input_node)
    if not path:
        raise PlacementUnknownError("the target layer does not depend on the input")
    members = set(path)
    one = Reach(1.0, 0.0, 0.0)
    depth_axis = {4: 0 if shape[0] > 1 else None, 5: 2}.get(len(shape))
    seen = {node: _Seen((one, one, one), depth_axis)}
    gated = False
    for here in path:
        if here is input_node:
            break
        if here not in seen:
            continue  # on a gate's branch only
        for argument in dependent_inputs(here, members):
            before = inputs_of(here)[argument]
            if _is_gate(here, argument):
                gated = True
                continue
            try:
                found = _towards_input(here, argument, seen[here])
            except PlacementUnknownError:
                raise
            except Exception as exc:  # a checkpointed block computes what it saved anew
                name = operation_name(here)
                raise PlacementUnknownError(f"what {name!r} saved cannot be read") from exc
            known = seen.get(before)
            seen[before] = found if known is None else known.joined(found)
    if input_node not in seen:
        raise PlacementUnknownError("the target layer depends on the input through gates only")
    return ReceptiveField(
        _on_input_axes(seen[input_node], input_shape), _GATE_NOTE if gated else ""
    )


def _on_input_axes(found: _Seen, input_shape: tuple[int, ...]) -> tuple[Reach, Reach, Reach]:
    """Check that the slices came from where the input has them."""
    # 2-D input: one image, or slices as batch. 5-D: [1, C, d, h, w], or [1, S, 3, h, w].
    possible = {4: (0, None), 5: (2, 1)}.get(len(input_shape), ())
    if found.depth_axis not in possible and max(input_shape[1:-2], default=1) > 1:
        raise NoGridError("the network folds the slices into its feature maps")
    return found.axes


def _shape_before(node: Any, argument: int) -> tuple[int, ...]:
    """Shape of the tensor that a node read as one of its arguments."""
    before, output = node.next_functions[argument]
    shape: tuple[int, ...] = tuple(before._input_metadata[output].shape)
    return shape


def _shape_of(node: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = tuple(node._input_metadata[0].shape)
    return shape


def _is_gate(node: Any, argument: int) -> bool:
    """True if an argument is one number per feature map, spread over a larger grid."""
    if operation_name(node) not in {"Mul", "Add", "Sub", "Div"}:
        return False
    before, after = _shape_before(node, argument), _shape_of(node)
    axes = len(after) - 2
    return max(after[-axes:]) > 1 and all(n == 1 for n in before[-axes:])


def _towards_input(node: Any, argument: int, seen: _Seen) -> _Seen:
    name = operation_name(node)
    before, after = _shape_before(node, argument), _shape_of(node)
    if name in POINTWISE:
        image_axes = {len(after) - 2, len(after) - 1, seen.depth_axis}
        if name in JOINS and _signed(node._saved_dim) % len(after) in image_axes:
            raise PlacementUnknownError("parts of the image are put side by side")
        if before[-2:] != after[-2:] or (len(after) == 5 and before[-3:-2] != after[-3:-2]):
            raise PlacementUnknownError(f"{name!r} spreads one value over many")
        return seen
    if name == "Convolution":
        if node._saved_transposed:
            raise PlacementUnknownError("transposed convolution")
        kernel = tuple(node._saved_weight.shape[2:])
        return _slide(seen, kernel, node._saved_stride, node._saved_padding, node._saved_dilation)
    if name in POOLS:
        kernel = node._saved_kernel_size
        dilation = getattr(node, "_saved_dilation", (1,) * len(kernel))
        return _slide(seen, kernel, node._saved_stride or kernel, node._saved_padding, dilation)
    if name == "ConstantPadNd":
        return _padded(seen, node._saved_pad)
    if name == "Slice":
        return _sliced(seen, node, len(after))
    try:
        return replace(seen, depth_axis=depth_axis_before(node, before, after, seen.depth_axis))
    except UnknownGeometryError as exc:
        raise PlacementUnknownError(str(exc)) from exc
    except NotAnArrangementError as exc:
        raise NoGridError(str(exc)) from exc


def _signed(dim: int) -> int:
    # The graph stores negative numbers as unsigned ones.
    return dim - 2**64 if dim >= 2**63 else dim


def _slide(
    seen: _Seen,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> _Seen:
    if len(kernel) == 3 and seen.depth_axis != 2:
        raise NoGridError("a 3-D window over something else than slices")
    if len(kernel) == 2 and seen.depth_axis not in (0, None):
        raise NoGridError("the network takes feature maps for slices")
    if not 2 <= len(kernel) == len(stride) == len(padding) == len(dilation) <= 3:
        raise PlacementUnknownError("a window with another number of axes than the map")
    axes = list(seen.axes)
    for axis, k, s, p, d in zip(
        range(3 - len(kernel), 3), kernel, stride, padding, dilation, strict=True
    ):
        axes[axis] = axes[axis].through(k, s, p, d)
    return replace(seen, axes=(axes[0], axes[1], axes[2]))


def _padded(seen: _Seen, pad: Sequence[int]) -> _Seen:
    """Undo a padding, given as torch does: (before, after) of the last axis first."""
    axes = list(seen.axes)
    befores = [_signed(before) for before in pad[::2]]
    if any(befores[2:]) and seen.depth_axis != 2:
        raise PlacementUnknownError("padding of something else than the image")
    if any(befores[3:]):
        raise PlacementUnknownError("padding of feature maps")
    for axis, before in zip((2, 1, 0), befores, strict=False):
        axes[axis] = axes[axis].through(1, 1, before, 1)
    return replace(seen, axes=(axes[0], axes[1], axes[2]))


def _sliced(seen: _Seen, node: Any, ndim: int) -> _Seen:
    """Undo a crop or a stride of indices."""
    dim = _signed(node._saved_dim) % ndim
    axis = {ndim - 1: 2, ndim - 2: 1, seen.depth_axis: 0}.get(dim)
    if axis is None:
        return seen  # some of the feature maps
    start = _signed(node._saved_start)
    if start < 0:
        start += node._saved_self_sym_sizes[dim]
    axes = list(seen.axes)
    axes[axis] = axes[axis].through(1, node._saved_step, -start, 1)
    return replace(seen, axes=(axes[0], axes[1], axes[2]))


def cells_by_receptive_field(reaches: Sequence[Reach]) -> FloatArray:
    """Build the 4x4 affine from cell index to input index, cells at their field's centre."""
    centres = translation([reach.centre for reach in reaches])
    return centres @ scaling([reach.stride for reach in reaches])


def cells_by_stretch(cells: tuple[int, int, int], voxels: tuple[int, int, int]) -> FloatArray:
    """Build the 4x4 affine from cell index to input index, cells tiling the input."""
    factors = [n / m for n, m in zip(voxels, cells, strict=True)]
    return translation([(factor - 1) / 2 for factor in factors]) @ scaling(factors)
