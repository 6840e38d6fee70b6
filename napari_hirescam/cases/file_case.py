"""A case whose CT and masks are files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_hirescam.cases.case import Case
from napari_hirescam.cases.file_checks import check_mask, ct_header
from napari_hirescam.errors import CaseTableError, OrganError
from napari_hirescam.io import read_volume
from napari_hirescam.organs import OrganMap, OrganTable, read_organ_table, read_organs
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.organ_tables import organ_name, with_whole_organs
from napari_hirescam.organs.placed_masks import onto_grid
from napari_hirescam.source import Repair
from napari_hirescam.volume import Quantity, Volume


@dataclass(frozen=True)
class FileCase(Case):
    """A CT in a file or folder, with masks in files where there are any.

    Parameters
    ----------
    row
        Its line in the table, for messages; 0 if it is in none.
    ct_path
        Anything `read_volume` takes.
    series
        Which of several things under `ct_path`; None if there is one.
    allow
        Repairs the user agreed to.
    masks_path
        Organ masks: a label map, or a folder with a file for each organ; None if there are none.
    organ_table
        Which value of the masks is which organ: a file, or the name of a built-in table; None
        takes the names in the masks' file.
    lesions_path
        A label map of findings; None if there is none.
    lesion_table
        Which value of it is which label, as `organ_table`.
    lesion_paths
        Label -> a mask of its own; all of it that is not 0 is the finding.
    """

    row: int = 0
    ct_path: Path = Path()
    series: str | None = None
    allow: tuple[Repair, ...] = ()
    masks_path: Path | None = None
    organ_table: str | None = None
    lesions_path: Path | None = None
    lesion_table: str | None = None
    lesion_paths: Mapping[str, Path] = field(default_factory=dict)

    def ct(self) -> Volume:
        """Read the CT; it is called after the case, not after the file."""
        volume = read_volume(self.ct_path, series=self.series, allow=self.allow)
        if volume.quantity is Quantity.LABELS:
            raise CaseTableError(
                self.name, "what stands in column 'ct' holds labels, no CT", "Name the CT's file"
            )
        return replace(volume, name=self.name)

    def organs(self, ct: Volume | None = None) -> OrganMap | None:
        """Read the organ masks onto the CT's grid; see :meth:`Case.organs`."""
        if self.masks_path is None:
            return None
        return read_organs(self.masks_path, _table(self.organ_table), ct or self.ct())

    def lesions(self, ct: Volume | None = None) -> dict[str, BoolArray]:
        """Read where findings lie; labels that nobody outlined in this case are left out.

        Raises
        ------
        VolumeError, OrganError
            A mask cannot be read, or lies on another grid or patient than the CT.
        """
        if self.lesions_path is None and not self.lesion_paths:
            return {}
        ct = ct or self.ct()
        found: dict[str, BoolArray] = {}
        if self.lesions_path is not None:
            drawn = read_organs(self.lesions_path, _table(self.lesion_table), ct)
            for label in self.labels:
                if organ_name(label) in drawn.values:
                    found[label] = drawn.mask([organ_name(label)])
        for label, path in self.lesion_paths.items():
            found[label] = _all_of_it(path, ct)
        return found

    def check(self, organs: Collection[str] = ()) -> None:
        """See from headers alone whether the files fit each other; see :meth:`Case.check`."""
        ct = ct_header(self._who, self.ct_path, self.series, self.allow)
        for column, path in self.files():
            if column != "ct":
                check_mask(self._who, column, path, ct)
        if self.lesion_table is not None:
            self._values(self.lesion_table)
        if self.masks_path is None or self.organ_table is None:
            return
        told = with_whole_organs(self._values(self.organ_table))
        missing = sorted(set(map(organ_name, organs)) - set(told))
        if missing:
            raise CaseTableError(
                self._who,
                f"its masks have no {', '.join(missing)}; they tell of: {', '.join(told)}",
                "Give masks that have it, or allow the label other organs",
            )

    @property
    def _who(self) -> str:
        return f"{self.name} (row {self.row})" if self.row else self.name

    def _values(self, table: str) -> OrganTable:
        try:
            return read_organ_table(table)
        except OrganError as exc:
            raise CaseTableError(self._who, exc.reason, exc.remedy) from exc

    def fingerprint(self) -> str:
        """Tell the case by its files, their sizes and times, and what its tables say.

        See :meth:`Case.fingerprint`.
        """
        tables = [_table(source) for source in (self.organ_table, self.lesion_table)]
        told = [repr((self.series, self.allow, tables))]
        for name, path in self.files():
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                facts = file.stat()
                told.append(f"{name} {file} {facts.st_size} {facts.st_mtime_ns}")
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def files(self) -> Iterator[tuple[str, Path]]:
        """Give each file or folder of the case, with the column it stands in."""
        yield "ct", self.ct_path
        if self.masks_path is not None:
            yield "masks", self.masks_path
        if self.lesions_path is not None:
            yield "lesions", self.lesions_path
        for label, path in self.lesion_paths.items():
            yield f"lesion_{label}", path


def _all_of_it(path: Path, ct: Volume) -> BoolArray:
    """Read a mask of one thing, whatever its values are called, onto the grid of its CT."""
    mask = read_volume(path)
    if mask.quantity is not Quantity.LABELS:
        raise OrganError(path.name, "it holds no labels", "Give a mask of whole numbers from 0 on")
    labels, _ = onto_grid(mask.voxels, mask.affine, ct.grid, path.name)
    return np.asarray(labels != 0)


def _table(source: str | None) -> OrganTable | None:
    return None if source is None else read_organ_table(source)
