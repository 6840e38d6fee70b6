"""From the frames of files to the package's frame (I, P, L), and onto its axes.

NIfTI speaks RAS mm, DICOM LPS mm. All three frames share one origin, so conversion only
changes signs and order of coordinates, and is exact in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.quantity import AIR_HU
from napari_hirescam.io.reading import check_memory
from napari_hirescam.volume import (
    FloatArray,
    Grid,
    Quantity,
    Volume,
    resample,
    scaling,
    translation,
)

RAS_TO_IPL: FloatArray = np.array(
    [[0.0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64
)
LPS_TO_IPL: FloatArray = np.array(
    [[0.0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64
)
IPL_TO_RAS: FloatArray = RAS_TO_IPL.T.copy()
IPL_TO_LPS: FloatArray = LPS_TO_IPL.T.copy()

_LETTERS = (("I", "S"), ("P", "A"), ("L", "R"))

# A grid this close to straight is called straight: the farthest corner is misplaced by less
# than this fraction of a voxel, while resampling would blur every voxel.
_STRAIGHT_VOXELS = 0.05
_SQUARE = 1e-9  # one minus the cosine: 0.02 of a voxel at the end of 500
_LONGEST_AXIS = 32767  # what a NIfTI file can count; no scanner comes near
_FARTHEST_MM = 1e7  # from the origin of any scanner
# How many times as many voxels a straight grid may have, and how many it always may: three
# slices tilted by 45 degrees need about a hundred times.
_MOST_GROWTH = 256
_FEW_VOXELS = 1 << 22


def index_axes(affine: FloatArray) -> tuple[int, int, int]:
    """For each of the patient axes I, P, L: the index axis that runs along it best."""
    cosines = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    a, b, c = max(permutations(range(3)), key=lambda p: sum(cosines[k, p[k]] for k in range(3)))
    return a, b, c


def patient_letters(affine: FloatArray) -> str:
    """Name the patient direction each index axis grows to, "RAS" or "LPS" say.

    Parameters
    ----------
    affine
        4x4, index to (I, P, L) mm.
    """
    letters = ["", "", ""]
    for patient_axis, index_axis in enumerate(index_axes(affine)):
        letters[index_axis] = _LETTERS[patient_axis][int(affine[patient_axis, index_axis] < 0)]
    return "".join(letters)


def upright(grid: Grid) -> Grid | None:
    """Turn a stored grid's axes onto (I, P, L), as reading does.

    Returns
    -------
    None if turning is not enough, and the voxels must be resampled.
    """
    turned = _turn(grid).grid
    straight = _straightened(turned)
    return None if straight is None else Grid(turned.shape, straight)


def to_volume_axes(
    stored: npt.NDArray[Any], affine: FloatArray, *, quantity: Quantity, subject: Path
) -> tuple[npt.NDArray[Any], FloatArray, tuple[str, ...]]:
    """Bring voxels in stored order onto the axes (I, P, L).

    Parameters
    ----------
    stored
        [n0, n1, n2], axes as in the file.
    affine
        4x4, index of `stored` to (I, P, L) mm.
    quantity
        Labels are never interpolated; it also tells what lies outside the volume.
    subject
        The file, for messages.

    Returns
    -------
    The voxels, a view of `stored` where the grid is straight; their affine, exactly
    axis-aligned; and a note if they had to be resampled.

    Raises
    ------
    VolumeError
        If it lies nowhere near a scanner, or the straight grid around an oblique volume does
        not fit into memory.
    """
    grid = Grid(stored.shape, affine)
    with np.errstate(over="ignore", invalid="ignore"):
        farthest_mm = np.abs(grid.corners_mm()).max()
    if not farthest_mm <= _FARTHEST_MM:
        raise VolumeError(
            subject,
            f"its header puts it {farthest_mm / 1e6:.3g} km away from the scanner",
            "Its header is probably damaged: convert it again from the original images",
        )
    turn = _turn(grid)
    voxels = np.flip(stored.transpose(turn.order), turn.flipped)
    turned = turn.grid.affine
    straight = _straightened(turn.grid)
    if straight is not None:
        return voxels, straight, ()

    target = _covering_grid(turn.grid, subject)
    # Interpolation works in float32 and holds the source, the result and a mask at once.
    check_memory(subject, 4 * voxels.size + 9 * prod(target.shape))
    cosines = np.abs(np.diag(turned)[:3]) / np.linalg.norm(turned[:3, :3], axis=0)
    angle = float(np.degrees(np.arccos(np.clip(cosines.min(), 0.0, 1.0))))
    is_mask = quantity is Quantity.LABELS
    resampled = resample(
        voxels, turned, target, order=0 if is_mask else 1, outside=_outside(voxels, quantity)
    )
    note = (
        f"The stored axes lie up to {angle:.1f} degrees off the patient's, so the volume was "
        f"resampled once onto a straight grid; results are written on the stored one."
    )
    return resampled, target.affine, (note,)


def on_source_grid(
    values: npt.NDArray[Any], volume: Volume, order: Literal[0, 1]
) -> npt.NDArray[Any]:
    """Bring values from a volume's own grid onto that of the file it was read from.

    Where reading only turned the stored axes, this turns them back and each number stays what
    it is; where reading resampled (oblique or tilted scans), this samples once more.

    Parameters
    ----------
    values
        [slice, row, column], one for each voxel of `volume`.
    volume
        Where they lie.
    order
        0 nearest (masks), 1 linear (maps); matters only where reading resampled.

    Returns
    -------
    The values on `volume.export_grid`, in the same number type.

    Raises
    ------
    ValueError
        If the values are not on the volume's grid.
    """
    if values.shape != volume.voxels.shape:
        raise ValueError(
            f"values of shape {values.shape} are not on a volume of {volume.voxels.shape}"
        )
    target = volume.export_grid
    turn = _turn(target)
    straight = _straightened(turn.grid)
    if straight is not None and Grid(turn.grid.shape, straight).same_place_as(volume.grid):
        return np.flip(values, turn.flipped).transpose(np.argsort(turn.order))
    plain = values.view(np.uint8) if values.dtype == np.bool_ else values
    return resample(plain, volume.affine, target, order=order).astype(values.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class _Turn:
    """How stored axes become (I, P, L): transposed by `order`, then `flipped`, then on `grid`."""

    order: tuple[int, int, int]
    flipped: tuple[int, ...]
    grid: Grid


def _turn(grid: Grid) -> _Turn:
    order = index_axes(grid.affine)
    a, b, c = (grid.shape[axis] for axis in order)
    turned = np.array(grid.affine)
    turned[:3, :3] = grid.affine[:3, list(order)]
    flipped = tuple(axis for axis in range(3) if turned[axis, axis] < 0)
    for axis in flipped:
        turned[:3, 3] += turned[:3, axis] * ((a, b, c)[axis] - 1)
        turned[:3, axis] *= -1
    turned += 0.0  # no negative zeros
    return _Turn(order, flipped, Grid((a, b, c), turned))


def _outside(voxels: npt.NDArray[Any], quantity: Quantity) -> float:
    if quantity is Quantity.LABELS:
        return 0.0
    return float(AIR_HU) if quantity is Quantity.HU else float(voxels.min())


def _straightened(grid: Grid) -> FloatArray | None:
    """The exactly axis-aligned affine next to the grid's own, or None if it is too far off."""
    if grid.is_axis_aligned:
        return grid.affine
    centre = (np.array(grid.shape) - 1) / 2
    spacing = np.array(grid.spacing_mm)
    straight = Grid(
        grid.shape, translation(grid.to_world(centre) - spacing * centre) @ scaling(spacing)
    )
    drift = (grid.corners_mm() - straight.corners_mm()) / spacing
    return straight.affine if np.abs(drift).max() < _STRAIGHT_VOXELS else None


def _covering_grid(grid: Grid, subject: Path) -> Grid:
    """The straight grid with the same spacings that reaches every voxel centre of a grid."""
    corners = grid.corners_mm()
    low, high = corners.min(axis=0), corners.max(axis=0)
    spacing = _straight_spacing_mm(grid)
    # A hair less than the extent, so that rounding does not add a slice.
    lengths = np.ceil((high - low) / spacing - 1e-3) + 1
    most = _MOST_GROWTH * prod(grid.shape) + _FEW_VOXELS
    if not (lengths.max() <= _LONGEST_AXIS and prod(lengths) <= most):
        raise VolumeError(
            subject,
            "its axes are so far from perpendicular that no straight grid can hold it",
            "Its header is probably damaged: convert it again from the original images",
        )
    origin = (low + high - (lengths - 1) * spacing) / 2
    n0, n1, n2 = (int(n) for n in lengths)
    return Grid((n0, n1, n2), translation(origin) @ scaling(spacing))


def _straight_spacing_mm(grid: Grid) -> FloatArray:
    """Spacing along each patient axis of the straight grid that takes a grid's place.

    Usually the distance between neighbours along the index axis next to it. Where the planes of
    that index are square to the patient axis already, it is the distance between the planes:
    axial slices of which each is shifted against the last then stay slices of their own.
    """
    normals = np.linalg.inv(grid.affine[:3, :3])
    lengths = np.linalg.norm(normals, axis=1)
    are_square = np.abs(np.diag(normals)) > (1 - _SQUARE) * lengths
    return np.where(are_square, 1 / lengths, np.array(grid.spacing_mm))
