"""Views and transposes: where a network keeps its slices when it turns 3-D into 2-D and back.

A 2-D trunk over slices takes [1, C, S, H, W] or [1, S, C, H, W] to [S, C, H, W]; some networks
turn the result back for 3-D convolutions. Nothing moves within an image, so a cell keeps its
place; only the axis that runs over slices changes.
"""

from __future__ import annotations

from typing import Any

from napari_hirescam.attention.graph import operation_name

_RESHAPES = frozenset(
    ["View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Select", "Expand", "Unfold"]
)


class NotAnArrangementError(ValueError):
    """The operation does more than give the same image other axes."""


class UnknownGeometryError(NotAnArrangementError):
    """What the operation does to an image is not known."""


def depth_axis_before(
    node: Any, before: tuple[int, ...], after: tuple[int, ...], depth_axis: int | None
) -> int | None:
    """Return the axis over slices of what a node read, from that of what it made.

    Parameters
    ----------
    node
        Autograd node of the operation.
    before, after
        Shapes it read and made.
    depth_axis
        Axis of `after` that runs over slices; None if there is one slice.

    Raises
    ------
    NotAnArrangementError
        It is no view or transpose, or one that takes images apart or mixes slices.
    """
    name = operation_name(node)
    if name in {"Permute", "Transpose"}:
        return _moved(_order_of(node, len(after)), depth_axis)
    if name not in _RESHAPES:
        raise UnknownGeometryError(f"the geometry of {name!r} is not known")
    if name == "Select" and before[node._saved_dim % len(before)] != 1:
        raise NotAnArrangementError("the network folds the slices into its feature maps")
    return _reshaped(before, after, depth_axis)


def _order_of(node: Any, ndim: int) -> list[int]:
    """For each axis of the result, the axis it was before."""
    if operation_name(node) == "Permute":
        return [_signed(dim) % ndim for dim in node._saved_dims]
    order = list(range(ndim))
    first, second = (_signed(dim) % ndim for dim in (node._saved_dim0, node._saved_dim1))
    order[first], order[second] = order[second], order[first]
    return order


def _signed(dim: int) -> int:
    return dim - 2**64 if dim >= 2**63 else dim


def _moved(order: list[int], depth_axis: int | None) -> int | None:
    ndim = len(order)
    if order[-2:] != [ndim - 2, ndim - 1]:
        raise NotAnArrangementError("rows and columns are exchanged")
    return None if depth_axis is None else order[depth_axis]


def _reshaped(
    before: tuple[int, ...], after: tuple[int, ...], depth_axis: int | None
) -> int | None:
    if before[-2:] != after[-2:]:
        raise NotAnArrangementError("images are taken apart")
    if depth_axis is None:
        return None
    slices = after[depth_axis]
    # The axes that are longer than one, in order, are what a reshape must leave alone.
    long_before = [axis for axis, n in enumerate(before[:-2]) if n > 1]
    long_after = [axis for axis, n in enumerate(after[:-2]) if n > 1]
    if slices == 1:
        return None
    if [before[axis] for axis in long_before] != [after[axis] for axis in long_after]:
        raise NotAnArrangementError("slices and feature maps are mixed")
    return long_before[long_after.index(depth_axis)]
