"""Views and transposes: where a network keeps its slices when it turns 3-D into 2-D and back.

A 2-D trunk over slices takes [1, C, S, H, W] or [1, S, C, H, W] to [S, C, H, W]; some networks
turn the result back for 3-D convolutions. Nothing moves within an image, so a cell keeps its
place; only the axes of the tensor that run over slices, rows and columns change. The same
goes for networks that put the feature maps last for a while.
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


#: Axes of a tensor that run over slices (None if there is one slice), rows and columns.
Places = tuple[int | None, int, int]


def places_before(
    node: Any, before: tuple[int, ...], after: tuple[int, ...], places: Places
) -> Places:
    """Return the image's axes in what a node read, from those in what it made.

    Parameters
    ----------
    node
        Autograd node of the operation.
    before, after
        Shapes it read and made.
    places
        Axes of `after` that run over slices, rows and columns.

    Raises
    ------
    NotAnArrangementError
        It is no view or transpose, or one that takes images apart or mixes slices.
    """
    name = operation_name(node)
    if name in {"Permute", "Transpose"}:
        order = _order_of(node, len(after))
        depth, rows, columns = places
        return (None if depth is None else order[depth]), order[rows], order[columns]
    if name not in _RESHAPES:
        raise UnknownGeometryError(f"the geometry of {name!r} is not known")
    if name == "Select" and before[node._saved_dim % len(before)] != 1:
        raise UnknownGeometryError("the network reads one slice of several")
    return _reshaped(before, after, places)


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


def _reshaped(before: tuple[int, ...], after: tuple[int, ...], places: Places) -> Places:
    depth, rows, columns = places
    # The axes that are longer than one, in order, are what a reshape must leave alone.
    long_before = [axis for axis, n in enumerate(before) if n > 1]
    long_after = [axis for axis, n in enumerate(after) if n > 1]
    if [before[axis] for axis in long_before] != [after[axis] for axis in long_after]:
        # Feature maps may come and go among themselves, as long as the images stay whole.
        return _with_whole_images(before, after, places)
    moved = dict(zip(long_after, long_before, strict=True))
    shift = len(before) - len(after)
    return (
        moved.get(depth) if depth is not None else None,
        moved.get(rows, rows + shift),
        moved.get(columns, columns + shift),
    )


def _with_whole_images(before: tuple[int, ...], after: tuple[int, ...], places: Places) -> Places:
    depth, rows, columns = places
    last = (len(after) - 2, len(after) - 1)
    if (rows, columns) != last or before[-2:] != after[-2:]:
        raise NotAnArrangementError("images are taken apart")
    if depth is not None and after[depth] > 1:
        raise NotAnArrangementError("slices and feature maps are mixed")
    return None, len(before) - 2, len(before) - 1
