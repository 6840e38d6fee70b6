"""Sampling an array on a grid along its own axes, one axis after the other.

Several times faster than a general sampler, which looks up eight neighbours for each point.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def can_sample_by_axis(values: npt.NDArray[Any], order: Literal[0, 1]) -> bool:
    """True if :func:`sample_by_axis` gives for these values what a point-wise sampler gives."""
    if order == 0 or values.dtype.kind in "iu":
        return True
    if values.dtype not in (np.float16, np.float32, np.float64):
        return False
    # In a matrix product a weight of zero does not silence a NaN at the far end of the row.
    return bool(np.isfinite(values).all())


def sample_by_axis(
    values: npt.NDArray[Any],
    steps: FloatArray,
    start: FloatArray,
    shape: tuple[int, int, int],
    order: Literal[0, 1],
) -> npt.NDArray[Any]:
    """Sample at the fractional indices `start + steps * k`; the border is repeated for ever.

    Linear interpolation between grids with the same axes is one matrix product for each axis,
    whose matrix has two weights in a row.

    Parameters
    ----------
    values
        [n0, n1, n2], finite.
    steps, start
        [3]; index steps of `values` between the points, and index of the first point.
    shape
        Number of points along each axis.
    order
        0 nearest, 1 linear.

    Returns
    -------
    Array of `shape`: in the type of `values` for order 0; else float64 for float64 and float32
    for any other type.
    """
    positions = [
        np.clip(start[axis] + steps[axis] * np.arange(shape[axis]), 0, values.shape[axis] - 1)
        for axis in range(3)
    ]
    if order == 0:
        slices, rows, columns = (np.floor(at + 0.5).astype(np.intp) for at in positions)
        nearest: npt.NDArray[Any] = values[slices][:, rows][:, :, columns]
        return nearest
    kind = np.float64 if values.dtype == np.float64 else np.float32
    part: npt.NDArray[Any] = values
    weights = []
    for axis, at in enumerate(positions):
        low = np.floor(at).astype(np.intp)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        # Only what is read is multiplied.
        used, where = np.unique(np.concatenate([low, high]), return_inverse=True)
        if len(used) < values.shape[axis]:
            part = part.take(used, axis=axis)
        matrix = np.zeros((len(at), len(used)), kind)
        point = np.arange(len(at))
        matrix[point, where[: len(at)]] = 1.0 - (at - low)
        matrix[point, where[len(at) :]] += at - low  # at the border both are the same cell
        weights.append(matrix)
    slab = np.tensordot(weights[0], part.astype(kind, copy=False), axes=1)
    sampled: npt.NDArray[Any] = weights[1] @ slab @ weights[2].T
    return sampled
