"""Whole chest CTs whose slices are labelled infected or not, in one npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import CaseTableError
from napari_hirescam.volume import Volume, scaling

#: Where the lungs come from: the file's own threshold masks, or PARTITION.
Lungs = Literal["threshold", "partition"]

_PARTS = ("hu", "slice_infected", "lung_threshold_mask", "spacing_zyx")
_LEAST_LABELLED = 2


@dataclass(frozen=True, eq=False)
class Chest:
    """A patient's CT, slice by slice from the feet up, as the file holds it.

    Parameters
    ----------
    name
        As in the file.
    hu
        int16 [slice, row, column] along (Superior, Posterior, Left).
    infected
        bool [slice].
    lungs
        bool like `hu`.
    spacing_mm
        Of slices, rows and columns.
    """

    name: str
    hu: npt.NDArray[np.int16]
    infected: npt.NDArray[np.bool_]
    lungs: npt.NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]

    @property
    def is_labelled(self) -> bool:
        """True if some slices are infected and others are not."""
        return bool(self.infected.any() and not self.infected.all())

    def volume(self) -> Volume:
        """The CT in the package's frame: slices from the head down."""
        return Volume(np.ascontiguousarray(self.hu[::-1]), scaling(self.spacing_mm), self.name)

    def with_lungs(self, mask: npt.NDArray[np.bool_]) -> Chest:
        """Take other lungs, [slice, row, column] on the grid of :meth:`volume`."""
        return replace(self, lungs=np.ascontiguousarray(mask[::-1]))


def read_chests(file: Path) -> tuple[Chest, ...]:
    """Read ``covid_ct_md_5patients_128px.npz``, or any file laid out like it.

    For each patient ``NAME``: ``NAME_hu`` (int16 [n, h, w], slices from the feet up),
    ``NAME_slice_infected`` ([n], 0 or 1), ``NAME_lung_threshold_mask`` (bool [n, h, w], or each
    slice packed to bits) and ``NAME_spacing_zyx`` (3 numbers, mm).

    Raises
    ------
    CaseTableError
        It is missing, damaged or laid out differently; fewer than two patients are labelled.
    """
    if not file.is_file():
        raise CaseTableError(
            file,
            "there is no such file",
            "Give the npz of chest CTs; docs/results.md says what it holds",
        )
    try:
        # numpy leaves a file open that it cannot read.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            names = [name.removesuffix("_hu") for name in content.files if name.endswith("_hu")]
            chests = tuple(_chest(file, name, content) for name in names)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as exc:
        raise CaseTableError(file, f"it cannot be read as npz: {exc}", "Copy it again") from exc
    labelled = [chest.name for chest in chests if chest.is_labelled]
    if len(labelled) < _LEAST_LABELLED:
        raise CaseTableError(
            file,
            f"{len(labelled)} of its {len(chests)} patients have slices of both kinds",
            "Leaving one patient out needs two of them at least",
        )
    return chests


def _chest(file: Path, name: str, content: Mapping[str, Any]) -> Chest:
    missing = [part for part in _PARTS if f"{name}_{part}" not in content]
    if missing:
        raise CaseTableError(
            file,
            f"patient {name} has no {', '.join(missing)}",
            f"Give for each patient {', '.join(_PARTS)}",
        )
    hu, infected, packed, spacing = (content[f"{name}_{part}"] for part in _PARTS)
    problem = _problem(hu, infected, spacing)
    if problem:
        raise CaseTableError(file, f"patient {name}: {problem}", "Mend the file")
    if packed.shape != hu.shape:
        if packed.shape != (len(hu), -(-hu[0].size // 8)):
            raise CaseTableError(
                file,
                f"patient {name}: lungs {packed.shape} do not fit slices {hu.shape}",
                "Give the mask in the CT's shape, or each slice packed to bits",
            )
        packed = np.unpackbits(packed, axis=1, count=hu[0].size).reshape(hu.shape)
    along_z, along_y, along_x = map(float, spacing)
    return Chest(name, hu, infected.astype(bool), packed.astype(bool), (along_z, along_y, along_x))


def _problem(hu: Any, infected: Any, spacing: Any) -> str:
    """Say what is wrong with a patient's arrays; "" if nothing is."""
    if hu.ndim != 3 or hu.dtype != np.int16:
        return f"hu is {hu.dtype} {hu.shape}, not int16 slices"
    if infected.shape != (len(hu),) or not np.isin(infected, (0, 1)).all():
        return f"slice_infected is not a 0 or 1 for each of {len(hu)} slices"
    if spacing.shape != (3,) or not (np.isfinite(spacing).all() and (spacing > 0).all()):
        return "spacing_zyx is not three positive numbers"
    return ""
