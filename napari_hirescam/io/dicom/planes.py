"""Planes in the patient, and the regular grid that a handful of them lies on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.dicom.slice_order import SAME_PLACE_MM, are_rounded, mean_gap
from napari_hirescam.io.frame import LPS_TO_IPL
from napari_hirescam.volume import FloatArray, Grid

_STEP_TOLERANCE = 0.01  # of a step, and no less than SAME_PLACE_MM
_LINE_TOLERANCE = 0.1  # of a voxel
_MOST_SLICES = 32767


def plane_grid(
    size: tuple[int, int],
    orientation: Sequence[float],
    spacing_mm: Sequence[float],
    position_lps_mm: Sequence[float],
) -> Grid:
    """The pixels of one slice as a grid.

    Parameters
    ----------
    size
        (rows, columns).
    orientation
        LPS direction of growing column index, then of growing row index.
    spacing_mm
        Between rows, then between columns.
    position_lps_mm
        Of the first pixel's centre.

    Returns
    -------
    [1, row, column] to (I, P, L) mm; the first axis runs along the normal.
    """
    return Grid((1, *size), stack_affine(orientation, spacing_mm, position_lps_mm))


def stack_affine(
    orientation: Sequence[float],
    spacing_mm: Sequence[float],
    position_lps_mm: Sequence[float],
    step_lps_mm: Sequence[float] | FloatArray | None = None,
) -> FloatArray:
    """The affine from [slice, row, column] to (I, P, L) mm; without a step, along the normal."""
    along_row, along_column = directions(orientation)
    step = np.cross(along_row, along_column) if step_lps_mm is None else np.asarray(step_lps_mm)
    lps = np.eye(4)
    # DICOM gives the distance between rows first; columns are counted along a row.
    lps[:3, 0] = step
    lps[:3, 1] = along_column * float(spacing_mm[0])
    lps[:3, 2] = along_row * float(spacing_mm[1])
    lps[:3, 3] = [float(x) for x in position_lps_mm]
    affine: FloatArray = LPS_TO_IPL @ lps
    return affine


def directions(orientation: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Unit vectors along a row and along a column.

    Raises
    ------
    ValueError
        If they are not two perpendicular directions.
    """
    numbers = np.array([float(x) for x in orientation])
    if numbers.shape != (6,) or not np.isfinite(numbers).all():
        raise ValueError("an image orientation has six numbers")
    along_row, along_column = numbers[:3], numbers[3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not (np.allclose(lengths, 1, atol=0.01) and abs(float(along_row @ along_column)) < 0.01):
        raise ValueError("an image orientation is two perpendicular directions")
    return along_row / lengths[0], along_column / lengths[1]


def regular_step(
    positions_mm: npt.ArrayLike, normal: FloatArray, hint_mm: float | None = None
) -> float | None:
    """The step of which all distances between planes are multiples, or None.

    Parameters
    ----------
    positions_mm
        [plane, 3], ascending along the normal, no two planes the same.
    normal
        Of the planes.
    hint_mm
        A step that the file states; tried after the smallest distance.
    """
    positions = np.asarray(positions_mm, dtype=np.float64)
    distances = np.diff(positions @ normal)
    candidates = [float(distances.min())] if distances.size else []
    if hint_mm is not None and np.isfinite(hint_mm) and hint_mm > SAME_PLACE_MM:
        candidates.append(float(hint_mm))
    for candidate in candidates:
        counts = np.rint(distances / candidate)
        if counts.size and (counts < 1).any():
            continue
        # Fitted to the whole, so that a jitter of one step does not grow over all.
        step = float(distances.sum() / counts.sum()) if counts.size else candidate
        off = np.abs(np.cumsum(distances) - np.cumsum(counts) * step)
        if (off <= np.maximum(SAME_PLACE_MM, _STEP_TOLERANCE * step)).all():
            return step
    if distances.size:
        at = np.concatenate([[0.0], np.cumsum(np.rint(distances / mean_gap(distances)))])
        if are_rounded(positions, normal, at):
            return float(distances.sum() / at[-1])
    return None


@dataclass(frozen=True, eq=False)
class PlaneStack:
    """Planes on a regular grid.

    Parameters
    ----------
    grid
        [column, row, slice] to (I, P, L) mm.
    index
        For each plane that was given: its slice in the grid.
    off_mm
        Farthest that a plane lies off its slice, along an axis.
    """

    grid: Grid
    index: tuple[int, ...]
    off_mm: float


@dataclass(frozen=True, eq=False)
class EvenedStack:
    """Unevenly spaced planes on a regular grid.

    Parameters
    ----------
    grid
        [column, row, slice] to (I, P, L) mm.
    plane_of
        For each plane that was given: its number among the distinct ones, along the normal.
    takes
        For each slice of the grid: the number of the nearest plane.
    between
        For each slice: True if no plane lies there.
    """

    grid: Grid
    plane_of: tuple[int, ...]
    takes: npt.NDArray[np.intp]
    between: npt.NDArray[np.bool_]


class UnevenPlanesError(ValueError):
    """The distances between planes are no multiples of one step."""


def lay_out(
    positions_lps_mm: npt.ArrayLike,
    orientation: Sequence[float],
    spacing_mm: Sequence[float],
    size: tuple[int, int],
    hint_mm: float | None = None,
) -> PlaneStack:
    """Find the regular grid that planes lie on; planes may repeat and be missing between.

    Parameters
    ----------
    positions_lps_mm
        [n, 3], first pixel of each plane, in any order.
    orientation, spacing_mm, size
        As for :func:`plane_grid`; the same for all.
    hint_mm
        Distance between slices by the file's own word.

    Raises
    ------
    UnevenPlanesError
        No step fits.
    ValueError
        The planes are shifted against each other, or would make an absurdly long stack.
    """
    positions = np.asarray(positions_lps_mm, dtype=np.float64)
    plane_of, firsts, unique = _distinct(positions, orientation)
    normal = np.cross(*directions(orientation))
    if len(unique) > 1:
        step = regular_step(positions[firsts], normal, hint_mm)
        if step is None:
            low, high = np.diff(unique).min(), np.diff(unique).max()
            raise UnevenPlanesError(f"its planes are {low:.2f} to {high:.2f} mm apart")
        slices = np.rint((unique - unique[0]) / step).astype(int)
        between = (positions[firsts[-1]] - positions[firsts[0]]) / slices[-1]
    else:
        slices = np.zeros(1, int)
        between = normal * (hint_mm or 1.0)
    index = slices[plane_of]
    apart = positions - (positions[firsts[0]] + index[:, None] * between)
    # Along the normal they have just been found to fit.
    off = np.abs(apart - np.outer(apart @ normal, normal)).max()
    if off > _LINE_TOLERANCE * min(float(min(spacing_mm)), float(np.linalg.norm(between))):
        raise ValueError(f"its planes are shifted by up to {off:.2f} mm off a straight stack")
    if slices[-1] >= _MOST_SLICES:
        raise ValueError(f"its planes would make a stack of {slices[-1] + 1:,} slices")
    rows, columns = size
    affine = stack_affine(orientation, spacing_mm, positions[firsts[0]], between)
    stored = affine[:, [2, 1, 0, 3]]
    return PlaneStack(
        Grid((columns, rows, int(slices[-1]) + 1), stored),
        tuple(int(k) for k in index),
        float(np.abs(apart).max()),
    )


def lay_out_evenly(
    positions_lps_mm: npt.ArrayLike,
    orientation: Sequence[float],
    spacing_mm: Sequence[float],
    size: tuple[int, int],
) -> EvenedStack:
    """Give unevenly spaced planes a grid with their smallest distance as its step.

    Raises
    ------
    ValueError
        The stack would be absurdly long.
    """
    positions = np.asarray(positions_lps_mm, dtype=np.float64)
    plane_of, firsts, heights = _distinct(positions, orientation)
    step = float(np.diff(heights).min())
    count = int(np.rint((heights[-1] - heights[0]) / step)) + 1
    if count > _MOST_SLICES:
        raise ValueError(f"its planes would make a stack of {count:,} slices")
    wanted = heights[0] + step * np.arange(count)
    takes = np.abs(wanted[:, None] - heights).argmin(axis=1)
    line = positions[firsts[-1]] - positions[firsts[0]]
    between = line * step / (heights[-1] - heights[0])
    stored = stack_affine(orientation, spacing_mm, positions[firsts[0]], between)[:, [2, 1, 0, 3]]
    rows, columns = size
    return EvenedStack(
        Grid((columns, rows, count), stored),
        tuple(int(k) for k in plane_of),
        takes,
        np.abs(wanted - heights[takes]) > SAME_PLACE_MM,
    )


def _distinct(
    positions: FloatArray, orientation: Sequence[float]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """For each position the number of its plane; for each plane a position, and its height."""
    heights = positions @ np.cross(*directions(orientation))
    order = np.argsort(heights, kind="stable")
    # Positions of one plane may differ in the last digits.
    starts = np.concatenate([[True], np.diff(heights[order]) > SAME_PLACE_MM])
    plane_of = np.empty(len(order), np.intp)
    plane_of[order] = np.cumsum(starts) - 1
    firsts = order[starts]
    return plane_of, firsts, heights[firsts]
