"""How much of the network's input a cell sees: deep in a network, more than there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    from napari_hirescam.attention.placement import ReceptiveField
    from napari_hirescam.attention.result import Explanation
    from napari_hirescam.models.spec import InputSpec

#: Of the input's volume; below it, a receptive field is told by its size.
_NEARLY_ALL = 0.8
_ROUNDING = 1e-6
_TRIPLE = 3


def share_seen(
    field: ReceptiveField | None, cells: tuple[int, int, int], spec: InputSpec
) -> float | None:
    """Share of the input that every cell sees, before there is a CT.

    Parameters
    ----------
    field
        What a cell of the layer sees, or None.
    cells
        Cells of its grid along the tensor's axes.
    spec
        The model's input.

    Returns
    -------
    float
        0 to 1, of the cell that sees least; None where the field is not known, or a CT has as
        many slices as it likes.
    """
    slices, rows, columns = spec.shape
    if field is None or slices is None:
        return None
    places = slices // _TRIPLE if spec.layout == "axial_triples" else slices
    size = np.asarray((places, rows, columns), dtype=float)
    last = np.asarray(cells) - 1
    centres = np.asarray([axis.centre for axis in field.axes])
    strides = np.asarray([axis.stride for axis in field.axes])
    extent = np.asarray([axis.size for axis in field.axes])
    ends = np.stack([centres, centres + last * strides])
    return _least_share(ends, extent, np.full(3, -0.5), size - 0.5)


def share_seen_in_run(explanation: Explanation) -> float | None:
    """Share of the input that every cell sees, from where cells and input lie in the patient.

    Returns
    -------
    float
        0 to 1, of the cell that sees least; None where the receptive field is not known.
    """
    affine = explanation.affines.get("receptive_field")
    if affine is None or explanation.receptive_field_mm is None:
        return None
    last = np.asarray(next(iter(explanation.maps.values())).shape[1:]) - 1
    ends = np.stack([affine[:3, 3], affine[:3, :3] @ last + affine[:3, 3]])
    grid = explanation.input_grid
    # From the outer faces of the first voxels to those of the last.
    faces = np.stack([np.full(3, -0.5), np.asarray(grid.shape) - 0.5])
    corners = faces @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return _least_share(
        ends, np.asarray(explanation.receptive_field_mm), corners.min(axis=0), corners.max(axis=0)
    )


def _least_share(ends: FloatArray, field: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Share of the box from `low` to `high` seen from the worst of the cells at the ends [2, 3]."""
    reached = np.minimum(ends + field / 2, high) - np.maximum(ends - field / 2, low)
    return float(np.prod((reached / (high - low)).clip(0.0, 1.0).min(axis=0)))


def seen_in_words(share: float | None, spec: InputSpec | None = None) -> str | None:
    """Say "all of the window" where it is so; None where the size says more."""
    if share is None or share < _NEARLY_ALL:
        return None
    what = "window" if spec is not None and spec.fit == "window" else "input"
    return f"{'all' if share >= 1 - _ROUNDING else 'nearly all'} of the {what}"
