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
    Places,
    UnknownGeometryError,
    places_before,
)
from napari_hirescam.volume import FloatArray, scaling, translation

if TYPE_CHECKING:
    from napari_hirescam.models.dry_run import DryRun


class PlacementUnknownError(ValueError):
    """The arithmetic does not know an operation between input and target layer."""


class NoGridError(PlacementUnknownError):
    """The layer's axes may not be those of the image: slices and features were mixed."""


class WrongAxesError(NoGridError):
    """The layer's axes are not those of the image: what is taken for rows are features, say."""


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

    `places` are the axes of the node's output that run over slices, rows and columns.
    """

    axes: tuple[Reach, Reach, Reach]
    places: Places

    def joined(self, other: _Seen) -> _Seen:
        if self.places != other.places:
            raise PlacementUnknownError("branches with the image on different axes meet")
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
    depth = {4: 0 if shape[0] > 1 else None, 5: 2}.get(len(shape))
    seen = {node: _Seen((one, one, one), (depth, len(shape) - 2, len(shape) - 1))}
    gated = False
    for here in path:
        if here is input_node:
            break
        if here not in seen:
            continue  # on a gate's branch only
        for argument in dependent_inputs(here, members):
            before = inputs_of(here)[argument]
            if _is_gate(here, argument, seen[here].places):
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
    """Check that slices, rows and columns came from where the input has them."""
    depth, *in_plane = found.places
    if in_plane != [len(input_shape) - 2, len(input_shape) - 1]:
        raise WrongAxesError("what it has for rows and columns are other axes of the image")
    # 2-D input: one image, or slices as batch. 5-D: [1, C, d, h, w], or [1, S, 3, h, w].
    slices = max(input_shape[1:-2], default=1) if len(input_shape) > 4 else input_shape[0]
    if depth is None and slices > 1:
        # The slices went in as feature maps of one image: its cells see all of them.
        return Reach(float(slices), 0.0, slices - 1.0), *found.axes[1:]
    if slices > 1 and depth not in {4: (0,), 5: (2, 1)}.get(len(input_shape), ()):
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


def _is_gate(node: Any, argument: int, places: Places) -> bool:
    """True if an argument is one number per feature map, spread over a larger grid."""
    if operation_name(node) not in {"Mul", "Add", "Sub", "Div"}:
        return False
    before, after = _shape_before(node, argument), _shape_of(node)
    image = [axis - len(after) for axis in places if axis is not None]
    # Axes are counted from the end, as torch does when it spreads the shorter shape.
    return max(after[axis] for axis in image) > 1 and all(
        -axis > len(before) or before[axis] == 1 for axis in image
    )


def _towards_input(node: Any, argument: int, seen: _Seen) -> _Seen:
    name = operation_name(node)
    before, after = _shape_before(node, argument), _shape_of(node)
    if name in POINTWISE:
        image = [axis for axis in seen.places if axis is not None]
        if name in JOINS and _signed(node._saved_dim) % len(after) in image:
            raise PlacementUnknownError("parts of the image are put side by side")
        if len(before) != len(after) or any(before[axis] != after[axis] for axis in image):
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
        return _padded(seen, node._saved_pad, len(after))
    if name == "Slice":
        return _sliced(seen, node, len(after))
    if name == "NativeLayerNorm":
        return _normalised(seen, len(node._saved_normalized_shape), len(after))
    try:
        return replace(seen, places=places_before(node, before, after, seen.places))
    except UnknownGeometryError as exc:
        raise PlacementUnknownError(str(exc)) from exc
    except NotAnArrangementError as exc:
        raise NoGridError(str(exc)) from exc


def _normalised(seen: _Seen, n_axes: int, ndim: int) -> _Seen:
    """A layer norm over the last axes leaves each place where it is, if those are features."""
    if not any(axis >= ndim - n_axes for axis in seen.places if axis is not None):
        return seen
    if n_axes == 1:
        raise WrongAxesError("what it has for columns are feature maps")
    raise PlacementUnknownError("the network normalises over the whole image")


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
    if len(kernel) == 3 and seen.places != (2, 3, 4):
        raise WrongAxesError("what it has for slices, rows or columns are feature maps")
    if len(kernel) == 2 and seen.places[1:] != (2, 3):
        raise WrongAxesError("what it has for rows or columns are feature maps")
    if len(kernel) == 2 and seen.places[0] not in (0, None):
        raise WrongAxesError("what it has for slices are feature maps")
    if not 2 <= len(kernel) == len(stride) == len(padding) == len(dilation) <= 3:
        raise PlacementUnknownError("a window with another number of axes than the map")
    axes = list(seen.axes)
    for axis, k, s, p, d in zip(
        range(3 - len(kernel), 3), kernel, stride, padding, dilation, strict=True
    ):
        axes[axis] = axes[axis].through(k, s, p, d)
    return replace(seen, axes=(axes[0], axes[1], axes[2]))


def _padded(seen: _Seen, pad: Sequence[int], ndim: int) -> _Seen:
    """Undo a padding, given as torch does: (before, after) of the last axis first."""
    axes = list(seen.axes)
    for from_end, before in enumerate(map(_signed, pad[::2])):
        dim = ndim - 1 - from_end
        if dim in seen.places:
            axis = seen.places.index(dim)
            axes[axis] = axes[axis].through(1, 1, before, 1)
    return replace(seen, axes=(axes[0], axes[1], axes[2]))


def _sliced(seen: _Seen, node: Any, ndim: int) -> _Seen:
    """Undo a crop or a stride of indices."""
    dim = _signed(node._saved_dim) % ndim
    if dim not in seen.places:
        return seen  # some of the feature maps
    axis = seen.places.index(dim)
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
