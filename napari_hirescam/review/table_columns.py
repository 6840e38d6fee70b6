"""What the columns of somebody's table, or the files of somebody's folder, stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

from napari_hirescam.cases.rows import BLANK, Row, read_rows, read_truth
from napari_hirescam.errors import CaseTableError, ReviewError
from napari_hirescam.organs.organ_tables import organ_name

#: What a column may stand for. "organ" and "label" name what a row is about, in tables with a
#: row for each mask or map.
Role = Literal[
    "case",
    "patient",
    "split",
    "ct",
    "series",
    "mask",
    "organ_table",
    "organ",
    "attention",
    "model",
    "label",
]


@dataclass(frozen=True)
class Recognised:
    """What was understood of a table or folder; to be shown, and confirmed or changed.

    Parameters
    ----------
    path
        The table or folder.
    layout
        Which of the two it is.
    columns
        Role -> heading. Of a folder: role -> how its files were found, in words.
    organ_masks
        Organ -> heading of the column with its mask, in tables that have one for each organ.
    label_maps
        Label -> heading of the column with its map.
    labels
        Headings of columns of 0, 1 and blank: findings of the scan.
    unused
        Headings that were not recognised; what stands there is shown to readers as it is.
    headings
        All of them, in order.
    n_rows
        Rows, or CTs in the folder.
    example
        The first rows, heading -> text.
    notes
        What else the user should know, one sentence each.
    """

    path: Path
    layout: Literal["table", "folder"]
    columns: Mapping[Role, str]
    organ_masks: Mapping[str, str]
    label_maps: Mapping[str, str]
    labels: tuple[str, ...]
    unused: tuple[str, ...]
    headings: tuple[str, ...]
    n_rows: int
    example: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()


_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".npz", ".dcm", ".zip", ".yaml")
# Enough rows to tell paths from words; looking at more files would be slow on a network drive.
_LOOKED_AT = 50
_MOST_EXAMPLES = 5

#: Roles whose cells are files or folders.
FILE_ROLES: frozenset[Role] = frozenset({"ct", "mask", "attention", "model"})
# Headings, as `_plain` writes them; earlier ones win. Those of docs/cases.md come first.
_USUAL: dict[Role, tuple[str, ...]] = {
    "ct": (
        "ct", "ct_path", "ct_file", "ct_folder", "image", "image_path", "image_file", "img",
        "volume", "volume_path", "scan", "scan_path", "dicom", "dicom_folder", "nifti", "path",
        "file", "filename", "file_name", "volumename",
    ),
    "mask": (
        "masks", "mask", "mask_path", "masks_path", "mask_file", "mask_folder", "segmentation",
        "segmentations", "segmentation_path", "seg", "seg_path", "seg_file", "label_map",
        "labelmap", "labels", "label", "label_path", "annotation", "organs", "gt",
    ),
    "attention": (
        "attention", "attention_map", "attention_path", "map", "map_path", "heatmap", "cam",
        "hirescam", "saliency",
    ),
    "model": ("model", "model_path", "model_folder"),
    "organ_table": ("organ_table", "organs_table", "mask_table", "label_table"),
    "case": (
        "case", "case_id", "caseid", "case_name", "scan", "scan_id", "scan_name", "study",
        "study_id", "image_id", "volume_id", "volumename", "accession", "noteacc_deid", "id",
        "uid", "name",
    ),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id", "subjectid", "pid"),
    "split": ("split", "subset", "set", "subset_in_paper", "fold"),
    "series": ("series", "series_uid", "seriesinstanceuid", "series_instance_uid"),
    "organ": ("organ", "structure", "roi", "target", "anatomy"),
    "label": ("label", "finding", "pathology", "disease", "abnormality"),
}  # fmt: skip
_MASK_OF = re.compile(r"(?:masks?|seg|segmentation)_(.+)|(.+)_(?:masks?|seg|segmentation)")
_MAP_OF = re.compile(r"(?:map|attention|heatmap|cam)_(.+)|(.+)_(?:map|attention|heatmap|cam)")
# Of the cases' own tables (docs/cases.md), and of no use here.
_NOT_SHOWN = re.compile(r"lesions?(_.+)?|lesion_table|allowed_.+")
# What may tell who the patient is; it stays out of a file that a group shares.
_IDENTIFYING = re.compile(
    r"name|birth|dob$|mrn|ssn|address|phone|e_?mail|physician|institution|hospital|accession"
)


def recognise(path: str | Path, columns: Mapping[Role, str] | None = None) -> Recognised:
    """Say what a table's columns stand for, or how a folder's files belong together.

    Parameters
    ----------
    path
        CSV, TSV or Parquet (which needs pyarrow); or a folder of CTs and masks.
    columns
        Role -> heading, where it is known better; "" for a role that no column has.

    Raises
    ------
    ReviewError
        It cannot be read, no column of it holds CTs, or a heading that is named is not there.
    """
    from napari_hirescam.review.folder_rows import recognise_folder

    path = Path(path).expanduser().absolute()
    if path.is_dir():
        if columns:
            raise ReviewError(path, "a folder has no columns", "Leave the columns out")
        return recognise_folder(path)
    headings, rows = table_rows(path)
    return _Headings(path, headings, rows).recognised(dict(columns or {}))


def table_rows(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    """Read a table's headings and rows.

    Raises
    ------
    ReviewError
        It cannot be read; names the row where one is at fault.
    """
    try:
        return read_rows(path)
    except CaseTableError as exc:
        raise ReviewError(path, exc.reason, exc.remedy) from exc


class _Headings:
    """A table's headings, and what stands below each."""

    def __init__(self, path: Path, headings: tuple[str, ...], rows: list[Row]) -> None:
        self.path, self.headings, self.rows = path, headings, rows
        self.plain = {name: _plain(name) for name in headings}

    def recognised(self, said: dict[Role, str]) -> Recognised:
        """Find a heading for each role; what the user said wins."""
        for role, heading in said.items():
            if heading and heading not in self.headings:
                raise ReviewError(
                    self.path,
                    f"it has no column {heading!r} for {role}",
                    f"Name one of: {', '.join(self.headings)}",
                )
        columns = {role: heading for role, heading in said.items() if heading}
        taken = set(columns.values())
        organ_masks = self._of_each(_MASK_OF, taken, said.get("mask") or "", "mask")
        label_maps = self._of_each(_MAP_OF, taken, said.get("attention") or "", "attention")
        taken |= {*organ_masks, *label_maps}
        for role in _USUAL:
            if role in said:
                continue
            found = self._usual(role, taken)
            if found is not None:
                columns[role] = found
                taken.add(found)
        if "ct" not in columns:
            raise ReviewError(
                self.path,
                f"no column of it holds CTs by its name; it has: {', '.join(self.headings)}",
                "Say which column it is, or call it ct",
            )
        free = [name for name in self.headings if name and name not in taken]
        labels = tuple(name for name in free if self._holds_truths(name))
        own = [name for name in free if _NOT_SHOWN.fullmatch(self.plain[name])]
        private = [
            name
            for name in free
            if name not in labels and name not in own and _IDENTIFYING.search(self.plain[name])
        ]
        left_out = {*labels, *own, *private}
        notes = []
        if private:
            notes.append(
                f"Columns that may tell who a patient is are left out: {', '.join(private)}."
            )
        if "case" not in columns:
            notes.append("No column names the cases: they are called after their CTs.")
        if "patient" not in columns:
            notes.append("No column names the patients: each case counts as one of its own.")
        return Recognised(
            path=self.path,
            layout="table",
            columns=columns,
            organ_masks={organ_name(part): name for name, part in organ_masks.items()},
            label_maps={self._label(part): name for name, part in label_maps.items()},
            labels=labels,
            unused=tuple(name for name in free if name not in left_out),
            headings=self.headings,
            n_rows=len(self.rows),
            example=tuple(row.cells for row in self.rows[:_MOST_EXAMPLES]),
            notes=tuple(notes),
        )

    def _usual(self, role: Role, taken: set[str]) -> str | None:
        for usual in _USUAL[role]:
            for name in self.headings:
                if self.plain[name] != usual or name in taken:
                    continue
                if role == "organ_table" or self._suits(name, role):
                    return name
        return None

    def _suits(self, name: str, role: Role) -> bool:
        """Say whether what stands in a column can be what its heading says."""
        if role in FILE_ROLES:
            return self._holds_paths(name)
        if role in ("organ", "label"):
            return not self._holds_paths(name) and not self._holds_truths(name)
        return not self._holds_paths(name)

    def _of_each(
        self, pattern: re.Pattern[str], taken: set[str], said: str, role: Role
    ) -> dict[str, str]:
        """Find the columns that hold a file for each organ or label: heading -> its name."""
        found = {}
        for name in self.headings:
            match = pattern.fullmatch(self.plain[name])
            if match is None or name in taken or name == said or self.plain[name] in _USUAL[role]:
                continue
            if any(self.plain[name] in usual for usual in _USUAL.values()):
                continue
            if self._holds_paths(name):
                found[name] = match[1] or match[2]
        return found

    def _label(self, part: str) -> str:
        """Spell a label as the column of its truths does, if there is one."""
        return next((name for name in self.headings if self.plain[name] == part), part)

    def _filled(self, name: str) -> list[str]:
        found = (row.cells[name] for row in self.rows)
        return list(islice((cell for cell in found if cell.lower() not in BLANK), _LOOKED_AT))

    @cache  # noqa: B019 - one object for each table that is looked at
    def _holds_paths(self, name: str) -> bool:
        filled = self._filled(name)
        likely = sum(_like_a_path(cell) or _is_there(self.path.parent, cell) for cell in filled)
        return 2 * likely > len(filled)

    @cache  # noqa: B019
    def _holds_truths(self, name: str) -> bool:
        filled = False
        for row in self.rows:
            try:
                filled |= read_truth(row.cells[name]) is not None
            except ValueError:
                return False
        return filled


def _plain(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")


def _like_a_path(text: str) -> bool:
    return text.lower().endswith(_ENDINGS) or "/" in text or "\\" in text


def _is_there(folder: Path, text: str) -> bool:
    try:
        return (folder / text).exists()
    except OSError:  # longer than any name may be
        return False
