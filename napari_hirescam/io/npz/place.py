"""Where an array of an ``.npz`` file lies, as far as other arrays in it tell.

Understood are, beside an array ``NAME`` or ``NAME_hu``: ``NAME_spacing_zyx`` (or plain
``spacing_zyx``), three distances in mm in the order of the axes, and ``NAME_z_mm`` (or
``z_mm``), the height of each slice, growing to the head. Axes are then [slice, row, column],
rows to the back and columns to the left, as in an axial DICOM slice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ConsentNeededError
from napari_hirescam.io.npz.npy_header import StoredArray, read_numbers
from napari_hirescam.source import Fact, Repair, Repaired
from napari_hirescam.volume import FloatArray, scaling

_REGULAR = 0.01  # of the spacing, or of a mm


@dataclass(frozen=True, eq=False)
class Place:
    """Where the voxels lie.

    Parameters
    ----------
    affine
        4x4, index [slice, row, column] to (I, P, L) mm.
    notes, repaired, facts
        For the volume's source.
    """

    affine: FloatArray
    notes: tuple[str, ...] = ()
    repaired: tuple[Repaired, ...] = ()
    facts: tuple[Fact, ...] = ()


def place_of(
    path: Path, array: StoredArray, arrays: tuple[StoredArray, ...], allow: Collection[Repair]
) -> Place:
    """Settle where an array lies.

    Parameters
    ----------
    path
        The file.
    array
        The volume.
    arrays
        All arrays of the file.
    allow
        What the user agreed to.

    Raises
    ------
    ConsentNeededError
        If nothing tells how it lies.
    VolumeError
        If what tells contradicts the array.
    """
    shape = array.volume_shape
    if shape is None:
        raise ValueError(f"{array.name} is no volume")
    spacing = _spacing(path, array, arrays)
    heights = _numbers(path, array, arrays, "z_mm")
    facts = [
        Fact("File", "Spacing in the file", _times(spacing) if spacing is not None else "none")
    ]
    if heights is None or spacing is None:
        if Repair.ASSUME_PLACE not in allow:
            raise _question(path, array, spacing)
        what = _assumption(spacing)
        if spacing is None:
            spacing = np.ones(3)
        repaired = (Repaired(Repair.ASSUME_PLACE, what, asked=True),)
        return Place(scaling(spacing), (what,), repaired, tuple(facts))
    step = _step(path, array, heights, shape[0])
    convention = (
        "The file tells spacing and height of the slices; rows were taken to run to the back and "
        "columns to the left, as in DICOM."
    )
    notes = [convention]
    if abs(abs(step) - spacing[0]) > max(_REGULAR, _REGULAR * spacing[0]):
        notes.append(
            f"Its slices lie {abs(step):.4g} mm apart by their heights and {spacing[0]:.4g} mm by "
            "their spacing; the heights were believed."
        )
    # Heights grow to the head, the package's first axis to the feet.
    affine = np.diag([-step, spacing[1], spacing[2], 1.0])
    affine[0, 3] = -heights[0]
    facts.append(Fact("File", "Heights in the file", f"{heights[0]:.4g} to {heights[-1]:.4g} mm"))
    return Place(affine, tuple(notes), (), tuple(facts))


def _numbers(
    path: Path, array: StoredArray, arrays: tuple[StoredArray, ...], what: str
) -> FloatArray | None:
    base = array.name.removesuffix("_hu")
    by_name = {entry.name: entry for entry in arrays}
    for name in (f"{base}_{what}", f"{array.name}_{what}", what):
        if name in by_name:
            return read_numbers(path, by_name[name])
    return None


def _spacing(path: Path, array: StoredArray, arrays: tuple[StoredArray, ...]) -> FloatArray | None:
    spacing = _numbers(path, array, arrays, "spacing_zyx")
    if spacing is None:
        return None
    if spacing.shape != (3,) or not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise VolumeError(
            path, f"the spacing of {array.name} is not three positive lengths", "Save it again"
        )
    return spacing


def _step(path: Path, array: StoredArray, heights: FloatArray, n_slices: int) -> float:
    """Distance between slices, negative where they run to the feet."""
    if heights.shape != (n_slices,) or not np.isfinite(heights).all():
        raise VolumeError(
            path,
            f"it tells the height of {len(heights)} slices of {array.name}, which has {n_slices}",
            "Save it again",
        )
    gaps = np.diff(heights)
    step = float(np.median(gaps))
    if step == 0 or np.abs(gaps - step).max() > max(_REGULAR, _REGULAR * abs(step)):
        raise VolumeError(
            path,
            f"the slices of {array.name} are not evenly spaced: from {gaps.min():.4g} to "
            f"{gaps.max():.4g} mm",
            "Resample them first",
        )
    return float(heights[-1] - heights[0]) / (n_slices - 1)


def _question(path: Path, array: StoredArray, spacing: FloatArray | None) -> ConsentNeededError:
    lacks = (
        "how its array {} lies in the patient and how large its voxels are"
        if spacing is None
        else "whether the slices of its array {} run to the head or to the feet"
    )
    return ConsentNeededError(
        path,
        f"it does not say {lacks.format(array.name)}",
        f"Save it as NIfTI with its affine, or agree to this: {_assumption(spacing)[:-1]}",
        (Repair.ASSUME_PLACE,),
    )


def _assumption(spacing: FloatArray | None) -> str:
    size = "voxels of 1 mm" if spacing is None else f"the file's spacing of {_times(spacing)}"
    return (
        "Its axes were assumed to be slices to the feet, rows to the back and columns to the "
        f"left, with {size}."
    )


def _times(spacing: FloatArray) -> str:
    return " x ".join(f"{n:.4g}" for n in spacing) + " mm"
