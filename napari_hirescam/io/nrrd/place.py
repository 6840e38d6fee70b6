"""Where the voxels of an NRRD file lie in the patient, and which of its axes run through him."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ConsentNeededError
from napari_hirescam.io.frame import LPS_TO_IPL
from napari_hirescam.io.length_units import mm_per
from napari_hirescam.io.nrrd.header import NrrdHeader
from napari_hirescam.source import Repair, Repaired
from napari_hirescam.volume import FloatArray

_CONVERT_AGAIN = "Convert it again from the original images"

# Signs that turn the coordinates of a space into LPS.
_SPACES = {
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
}
_COLOURS = {"rgb-color", "hsv-color", "xyz-color", "rgba-color", "3-color", "4-color"}
# One of several volumes can be told by its number along such an axis.
_ENUMERATED = {"", "???", "none", "list", "domain", "space", "time", "point"}
_SAME_LENGTH = 1e-3
_SPATIAL = {"domain", "space"}


@dataclass(frozen=True)
class NrrdPlace:
    """How the axes of an NRRD file run.

    Parameters
    ----------
    axes
        The three that run through the patient, in stored order.
    others
        The rest of the axes.
    affine
        4x4, index along `axes` to (I, P, L) mm.
    notes
        What the user should know of it.
    repaired
        What he agreed to.
    geometry
        The fields that say so, of the three axes alone, as written; none if they do not suffice.
    """

    axes: tuple[int, int, int]
    others: tuple[int, ...]
    affine: FloatArray
    notes: tuple[str, ...]
    repaired: tuple[Repaired, ...]
    geometry: dict[str, str]


def place_of(header: NrrdHeader, allow: frozenset[Repair]) -> NrrdPlace:
    """Work out the place of the voxels.

    Raises
    ------
    VolumeError
        If there is no volume, or its place is given in a way that cannot be right.
    ConsentNeededError
        If the file does not say where it lies.
    """
    directions = _directions(header)
    axes, others = _divide(header, directions)
    notes: list[str] = []
    space = str(header.values.get("space", "")).lower()
    signs = _SPACES.get(space)
    if space.endswith("-time") or space in {"rast", "last", "lpst"}:
        raise VolumeError(
            header.path, "time is one of its coordinates", "Save each time as a file of its own"
        )
    unknown: list[str] = []
    if signs is None:
        unknown.append(
            f"its space, {space!r}, is not one of the patient's" if space else "it names no space"
        )
    if directions is not None:
        steps = directions[list(axes)].T
        _check_spacings(header, axes, np.linalg.norm(steps, axis=0))
    else:
        spacings, missing = _spacings(header, axes)
        steps = np.diag(spacings)
        unknown.append(
            "it gives no spacing, so 1 mm would be assumed" if missing else "it gives no directions"
        )
    origin = header.values.get("space origin")
    if origin is None or len(origin) != 3 or not np.isfinite(origin).all():
        unknown.append("it gives no origin")
        origin = np.zeros(3)
    factors = _factors(header, axes, notes, by_axis=directions is None)
    lps = np.eye(4)
    if directions is not None:
        lps[:3, :3] = steps * factors[:, None]
    else:
        lps[:3, :3] = steps * factors
    lps[:3, 3] = origin * factors
    lps = np.diag([*(signs or (1, 1, 1)), 1.0]) @ lps
    _check_steps(header, lps)
    repaired: tuple[Repaired, ...] = ()
    if unknown:
        if Repair.ASSUME_PLACE not in allow:
            raise ConsentNeededError(
                header.path,
                f"it does not say how it lies in the patient ({'; '.join(unknown)})",
                "Allow to take its coordinates for the patient's (left, posterior, superior), as "
                "ITK and Slicer do, or convert it again from the original images",
                (Repair.ASSUME_PLACE,),
            )
        what = (
            f"The file does not say how it lies in the patient ({'; '.join(unknown)}); its "
            f"coordinates were taken for left, posterior, superior."
        )
        notes.append(what)
        repaired = (Repaired(Repair.ASSUME_PLACE, what, asked=True),)
    geometry = {} if unknown else _geometry(header, axes)
    return NrrdPlace(axes, others, LPS_TO_IPL @ lps, tuple(notes), repaired, geometry)


def _directions(header: NrrdHeader) -> FloatArray | None:
    """[axis, coordinate], NaN where an axis has none; None if no axis has any."""
    rows = header.of_each_axis("space directions")
    if rows is None or np.isnan(np.array(rows, dtype=np.float64)).all():
        return None
    directions = np.array(rows, dtype=np.float64)
    given = directions[~np.isnan(directions).all(axis=1)]
    if directions.shape[1] != 3 or not np.isfinite(given).all():
        raise VolumeError(
            header.path, "its space directions are not vectors of three numbers", _CONVERT_AGAIN
        )
    return directions


def _divide(
    header: NrrdHeader, directions: FloatArray | None
) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """The three axes through the patient, and the others."""
    shape = header.samples.shape
    kinds = [str(kind).lower() for kind in header.of_each_axis("kinds") or [""] * len(shape)]
    if directions is not None:
        spatial = [axis for axis in range(len(shape)) if np.isfinite(directions[axis]).all()]
    else:
        spatial = [axis for axis, kind in enumerate(kinds) if kind in _SPATIAL]
        if len(spatial) != 3:
            candidates = [axis for axis, kind in enumerate(kinds) if kind in _ENUMERATED - {"list"}]
            spatial = candidates[:3]
    others = tuple(axis for axis in range(len(shape)) if axis not in spatial)
    for axis in others:
        _check_other_axis(header, kinds[axis], shape[axis])
    if len(spatial) > 3:
        raise VolumeError(
            header.path, "more than three of its axes run through the patient", _CONVERT_AGAIN
        )
    if header.pairs and all(shape[axis] == 1 for axis in spatial):
        # Slicer's way to save a segmentation in which nothing has been drawn.
        raise VolumeError(
            header.path, "it is a segmentation without voxels", "Draw in it, and save it again"
        )
    if len(spatial) < 3 or min(shape[axis] for axis in spatial) < 2:
        raise VolumeError(
            header.path, "it is a two-dimensional image, not a volume", "Give the whole volume"
        )
    if sum(shape[axis] > 1 for axis in others) > 1:
        raise VolumeError(
            header.path,
            f"it has {len(shape)} axes, and only three run through the patient",
            "Save the volume you want as a file of its own",
        )
    return (spatial[0], spatial[1], spatial[2]), others


def _check_other_axis(header: NrrdHeader, kind: str, length: int) -> None:
    if length == 1 or kind in _ENUMERATED:
        return
    what = "colours" if kind in _COLOURS else f"of the kind {kind!r}"
    raise VolumeError(
        header.path, f"its voxels are {what}, not single numbers", "Give a volume of plain numbers"
    )


def _spacings(header: NrrdHeader, axes: tuple[int, int, int]) -> tuple[FloatArray, bool]:
    """Distance of the samples along each axis, and whether one of them is missing."""
    every = header.of_each_axis("spacings") or [np.nan] * len(header.samples.shape)
    spacings = np.array([every[axis] for axis in axes], dtype=np.float64)
    missing = np.isnan(spacings)
    return np.where(missing, 1.0, spacings), bool(missing.any())


def _check_spacings(header: NrrdHeader, axes: tuple[int, int, int], lengths: FloatArray) -> None:
    """Refuse spacings that contradict the directions; the format allows one of them only."""
    every = header.of_each_axis("spacings")
    if every is None:
        return
    spacings = np.abs(np.array([every[axis] for axis in axes], dtype=np.float64))
    if (np.abs(spacings - lengths) > _SAME_LENGTH * lengths).any():  # never true of a NaN
        raise VolumeError(
            header.path, "its spacings contradict its space directions", _CONVERT_AGAIN
        )


def _factors(
    header: NrrdHeader, axes: tuple[int, int, int], notes: list[str], *, by_axis: bool
) -> FloatArray:
    """Millimetres in a unit of each coordinate, or of each axis where there are no directions."""
    if by_axis:
        every = header.of_each_axis("units")
        units = [] if every is None else [str(every[axis]) for axis in axes]
    else:
        units = [str(unit) for unit in header.values.get("space units", [])]
    factors = np.ones(3)
    if len(units) != 3:
        return factors
    for k, unit in enumerate(units):
        factor = mm_per(unit)
        if factor is None:
            notes.append(f"The file's unit of length, {unit[:20]!r}, is unknown; mm were assumed.")
        elif factor != 1:
            factors[k] = factor
            notes.append(f"The file's lengths are in {unit}; they were converted to mm.")
    notes[:] = dict.fromkeys(notes)  # once for all three coordinates
    return factors


def _check_steps(header: NrrdHeader, affine: FloatArray) -> None:
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise VolumeError(
            header.path,
            "its spacing or its directions are not valid, so its voxels have no place",
            _CONVERT_AGAIN,
        )


def _geometry(header: NrrdHeader, axes: tuple[int, int, int]) -> dict[str, str]:
    """The texts that place the volume, for a writer to repeat."""
    names = ("space", "space origin", "space units", "measurement frame")
    geometry = {name: header.texts[name] for name in names if name in header.texts}
    # pynrrd splits vectors at blanks, so each stands for itself here as well.
    vectors = header.texts["space directions"].split()
    geometry["space directions"] = " ".join(vectors[axis] for axis in axes)
    return geometry
