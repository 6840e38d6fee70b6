"""The outline of a patch network's window, as lines: solid in the CT, dashed beyond it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.models.window import WindowExtent
from napari_hirescam.volume import FloatArray

_DASH_MM = 3.0
_NEAR_MM = 1e-6


@dataclass(frozen=True, eq=False)
class Outline:
    """Lines of a box.

    Parameters
    ----------
    lines
        [n, 2, 3]: start and extent of each line in (I, P, L) mm.
    padded
        [n]: True for lines that lie outside the CT.
    """

    lines: FloatArray
    padded: npt.NDArray[np.bool_]


def outline(extent: WindowExtent, normal: int | None = None) -> Outline:
    """List the edges of a window.

    Parameters
    ----------
    extent
        Where the window and its part in the CT lie.
    normal
        Axis across the slice that is shown: the four lines around the window in that plane, at
        0 along this axis. None gives the twelve edges of the box.
    """
    low, high = np.array(extent.low_mm), np.array(extent.high_mm)
    inside_low, inside_high = np.array(extent.ct_low_mm), np.array(extent.ct_high_mm)
    lines: list[tuple[FloatArray, FloatArray]] = []
    padded: list[bool] = []
    for along in range(3):
        if along == normal:
            continue
        across = [axis for axis in range(3) if axis != along and axis != normal]
        for ends in itertools.product((0, 1), repeat=len(across)):
            corner = np.zeros(3)
            for axis, end in zip(across, ends, strict=True):
                corner[axis] = (low, high)[end][axis]
            at = corner[across]
            beside = bool(
                ((at < inside_low[across] - _NEAR_MM) | (at > inside_high[across] + _NEAR_MM)).any()
            )
            for start, stop, beyond in _parts(
                low[along], high[along], inside_low[along], inside_high[along], beside=beside
            ):
                begin, reach = corner.copy(), np.zeros(3)
                begin[along], reach[along] = start, stop - start
                lines.append((begin, reach))
                padded.append(beyond)
    return Outline(np.array(lines), np.array(padded))


def _parts(
    low: float, high: float, inside_low: float, inside_high: float, *, beside: bool
) -> list[tuple[float, float, bool]]:
    """Cut an edge where the CT ends, and what lies beyond into dashes."""
    if beside:
        return [(a, b, True) for a, b in _dashes(low, high)]
    solid = [(inside_low, inside_high, False)]
    before = [(a, b, True) for a, b in _dashes(low, inside_low)]
    behind = [(a, b, True) for a, b in _dashes(inside_high, high)]
    return [*before, *solid, *behind]


def _dashes(low: float, high: float) -> list[tuple[float, float]]:
    length = high - low
    if length <= _NEAR_MM:
        return []
    # Dashes and gaps of equal length, a dash at either end.
    n = 2 * max(1, round(length / _DASH_MM / 2)) + 1
    step = length / n
    return [(low + step * k, low + step * (k + 1)) for k in range(0, n, 2)]
