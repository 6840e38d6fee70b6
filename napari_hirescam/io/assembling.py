"""From stored voxels and their place to a volume: what every format of one file has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.frame import patient_letters, to_volume_axes
from napari_hirescam.io.quantity import Settled, settle
from napari_hirescam.io.scaling import Scaling, scaled
from napari_hirescam.io.segment_names import Names
from napari_hirescam.source import DisplayWindow, Fact, Repair, Repaired, Segment, Source
from napari_hirescam.volume import FloatArray, Grid, Quantity, Volume, resample

_PATIENT_DIRECTIONS = {
    "I": "inferior",
    "S": "superior",
    "P": "posterior",
    "A": "anterior",
    "L": "left",
    "R": "right",
}
_QUANTITY_NAMES = {
    Quantity.HU: "HU",
    Quantity.LABELS: "labels of a mask",
    Quantity.UNKNOWN: "neither HU nor labels",
}
_PERPENDICULAR = 1e-4  # cosine between two axes


def assemble(
    path: Path,
    format_name: str,
    stored: npt.NDArray[Any],
    affine: FloatArray,
    *,
    name: str,
    is_mask: bool = False,
    notes: tuple[str, ...] = (),
    details: Mapping[str, Any] | None = None,
    facts: tuple[Fact, ...] = (),
    repaired: tuple[Repaired, ...] = (),
    stored_geometry: Mapping[str, Any] | None = None,
    segments: tuple[Segment, ...] = (),
    find_names: Callable[[], Names] = lambda: ((), ()),
    item: str = "",
    windows: tuple[DisplayWindow, ...] = (),
    ends: tuple[Any, Any] | None = None,
) -> Volume:
    """Make a volume of what a file holds.

    Parameters
    ----------
    path
        The file.
    format_name
        "NRRD", say.
    stored
        [n0, n1, n2], axes as in the file, numbers as they are meant (scaled). Voxels without a
        number are overwritten here. Double precision becomes single, and integers of 64 bits the
        smallest type that holds them.
    affine
        4x4, index of `stored` to (I, P, L) mm.
    name
        For layers and file names.
    is_mask
        True if the file says that it holds labels; otherwise the numbers decide.
    notes, details, facts, repaired, stored_geometry, item, windows
        For the volume's `source`; facts of the grid and the numbers are put after these.
    segments
        Kept if the volume turns out to be a mask.
    find_names
        Called for a mask without segments, and answers with them and with remarks.
    ends
        The least and the greatest of `stored`, if they are known.

    Raises
    ------
    VolumeError
        If no voxel holds a number, or an oblique volume does not fit into memory once it is
        straightened.
    """
    numbers = scaled(stored, Scaling())
    settled = settle(path, numbers, is_mask=is_mask, ends=ends if numbers is stored else None)
    values, quantity, missing, remarks = settled[:4]
    voxels, straight, resampled = to_volume_axes(values, affine, quantity=quantity, subject=path)
    if resampled:
        repaired = (*repaired, Repaired(Repair.STRAIGHTEN, resampled[0], asked=False))
    invalid = invalid_on_volume_axes(
        missing, values.shape, affine, Grid(voxels.shape, straight), path, resampled
    )
    grid = Grid(values.shape, affine)
    if quantity is not Quantity.LABELS:
        segments = ()
    elif not segments:
        segments, more = find_names()
        remarks += more
    return Volume(
        voxels,
        straight,
        name=name,
        quantity=quantity,
        segments=segments,
        invalid=invalid,
        source=Source(
            path,
            format_name,
            grid,
            patient_letters(affine),
            notes + remarks + resampled,
            dict(details or {}),
            item=item,
            facts=(*facts, *grid_facts(grid), *_number_facts(settled)),
            repaired=repaired,
            stored_geometry=dict(stored_geometry or {}),
            windows=windows,
        ),
    )


def invalid_on_volume_axes(
    missing: npt.NDArray[np.bool_] | None,
    shape: tuple[int, ...],
    affine: FloatArray,
    target: Grid,
    path: Path,
    resampled: tuple[str, ...],
) -> npt.NDArray[np.bool_] | None:
    """Tell where a volume holds no measurement.

    Parameters
    ----------
    missing
        [n0, n1, n2] in stored order, True where the file has no number; None if it has all.
    shape, affine
        The stored grid, to (I, P, L) mm.
    target
        The volume's grid.
    path
        The file, for messages.
    resampled
        The notes of :func:`to_volume_axes`: empty if no voxel had to be interpolated.

    Returns
    -------
    [slice, row, column] on `target`, True as well outside a straightened scan and where a
    missing voxel took part in the interpolation; None if all is measured.
    """
    if not resampled:
        if missing is None:
            return None
        turned, _, _ = to_volume_axes(missing, affine, quantity=Quantity.LABELS, subject=path)
        return np.ascontiguousarray(turned)
    measured = np.full(shape, 255, np.uint8) if missing is None else np.uint8(255) * ~missing
    # Linear, so that a voxel into which a filled one was blended is marked too.
    return np.asarray(resample(measured, affine, target, order=1, outside=0.0) < 255)


def grid_facts(grid: Grid) -> tuple[Fact, ...]:
    """Describe how a stored grid lies in the patient, for the geometry report."""
    letters = patient_letters(grid.affine)
    directions = ", ".join(_PATIENT_DIRECTIONS[letter] for letter in letters)
    unit = grid.affine[:3, :3] / np.array(grid.spacing_mm)
    cosines = unit.T @ unit - np.eye(3)
    is_sheared = bool(np.abs(cosines).max() > _PERPENDICULAR)
    along = np.abs(unit).max(axis=0)
    angle = float(np.degrees(np.arccos(np.clip(along.min(), 0.0, 1.0))))
    # (I, P, L) is right-handed, so the sign is that of the index axes.
    is_left_handed = bool(np.linalg.det(grid.affine[:3, :3]) < 0)
    spacing = " x ".join(f"{mm:.4g}" for mm in grid.spacing_mm)
    return (
        Fact("Orientation", "Stored axes grow to", f"{directions} ({letters})"),
        Fact("Orientation", "Shown as", "slices, rows, columns to inferior, posterior, left"),
        Fact(
            "Orientation",
            "Angle to the patient's axes",
            f"{angle:.1f} degrees",
            "not perpendicular to each other" if is_sheared else "",
        ),
        Fact("Orientation", "Handedness", "left-handed" if is_left_handed else "right-handed"),
        Fact("Grid", "Voxels", " x ".join(str(n) for n in grid.shape)),
        Fact("Grid", "Spacing", f"{spacing} mm"),
    )


def _number_facts(settled: Settled) -> tuple[Fact, ...]:
    facts = [
        Fact("Numbers", "Meaning", _QUANTITY_NAMES[settled.quantity]),
        Fact("Numbers", "Range", f"{settled.lowest:g} to {settled.highest:g}"),
        Fact("Numbers", "Type in memory", str(settled.values.dtype)),
    ]
    if settled.missing is not None:
        count = int(settled.missing.sum())
        facts.append(Fact("Numbers", "Voxels without a number", f"{count:,}"))
    return tuple(facts)
