"""Cases from a table of files: see docs/cases.md for its columns."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.cases.case import SPLITS, CaseTable, Split, same_patient
from napari_hirescam.cases.file_case import FileCase
from napari_hirescam.cases.rows import BLANK, Row, read_rows, read_truth
from napari_hirescam.errors import CaseTableError
from napari_hirescam.organs.organ_tables import BUILT_IN, organ_name
from napari_hirescam.source import Repair

_OWN_COLUMNS = (
    "case",
    "patient",
    "split",
    "ct",
    "series",
    "masks",
    "organ_table",
    "lesions",
    "lesion_table",
)
_LESION = "lesion_"
_ALLOWED = "allowed_"
_SPLIT_NAMES: dict[str, Split | None] = {
    "": None,
    "val": "valid",
    "validation": "valid",
    "training": "train",
    "testing": "test",
} | {split: split for split in SPLITS}
# Fit for a file name on any system, and not mistaken for an option or a hidden file.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")
_MOST_NAMED = 5


def read_case_table(
    path: str | Path,
    labels: Sequence[str] | None = None,
    *,
    all_labels_needed: bool = True,
    only_present: bool = False,
    allow: Iterable[Repair | str] = (),
) -> CaseTable:
    """Read a table of files: a row for each case, a column for each label.

    Parameters
    ----------
    path
        CSV or Parquet. Paths in it are relative to its folder.
    labels
        Columns that are labels, in the order of a network's outputs. None takes each column
        whose cells are 0, 1 or blank and that has no other meaning, and says so in `notes`.
    all_labels_needed
        Whether each of `labels` must have a column. Else those that have none are unknown for
        every case.
    only_present
        Leave out cases whose CT is not there, and say so in `notes`, instead of refusing.
    allow
        Repairs of scans that the user agrees to.

    Raises
    ------
    CaseTableError
        The table cannot be read, a column that is needed is missing, a cell makes no sense, a
        file is missing, a case is listed twice or a patient is in two splits. Names the row.
    """
    path = Path(path)
    headings, rows = read_rows(path)
    for column in ("case", "ct"):
        if column not in headings:
            raise CaseTableError(
                path,
                f"it has no column {column!r}; it has: {', '.join(headings)}",
                "Name the columns as docs/cases.md says",
            )
    chosen, notes = _label_columns(path, headings, rows, labels, all_labels_needed)
    _refuse_columns_of_no_label(path, headings, labels or ())
    reader = _Reader(path, chosen, frozenset(Repair(repair) for repair in allow))
    cases: list[FileCase] = []
    absent: list[str] = []
    for row in rows:
        case = reader.case_of(row)
        if not _is_there(case.ct_path):
            absent.append(f"{case.name} (row {row.number})")
        else:
            cases.append(case)
    if absent:
        some = ", ".join(absent[:_MOST_NAMED]) + (" ..." if len(absent) > _MOST_NAMED else "")
        reason = f"the CT of {len(absent)} of {len(rows)} cases is not there: {some}"
        if not only_present or not cases:
            raise CaseTableError(
                path, reason, "Check column 'ct', whose paths are relative to the table's folder"
            )
        notes.append(f"Left out: {reason}.")
    _refuse_missing_masks(path, cases)
    _refuse_one_scan_of_two_patients(path, cases)
    if "patient" not in headings:
        notes.append("There is no column 'patient': each case counts as a patient of its own.")
    names = tuple(labels) if labels is not None else chosen
    return CaseTable(path.name, names, tuple(cases), tuple(notes))


@dataclass(frozen=True)
class _Reader:
    """Turns rows into cases."""

    path: Path
    labels: tuple[str, ...]
    allow: frozenset[Repair]

    def case_of(self, row: Row) -> FileCase:
        cells = row.cells
        name = cells["case"]
        if not _NAME.fullmatch(name):
            raise self._fault(row, "case", "a name of letters, digits, '-', '_', '.' and spaces")
        split = cells.get("split", "").lower()
        if split not in _SPLIT_NAMES:
            raise self._fault(row, "split", "train, valid, test or blank")
        if not cells["ct"]:
            raise self._fault(row, "ct", "the path of a CT")
        return FileCase(
            name=name,
            patient=cells.get("patient") or name,
            split=_SPLIT_NAMES[split],
            labels=self._labels(row),
            allowed=self._allowed(row),
            row=row.number,
            ct_path=self._place(cells["ct"]),
            series=cells.get("series") or None,
            allow=tuple(sorted(self.allow)),
            masks_path=self._file(row, "masks"),
            organ_table=self._table(row, "organ_table"),
            lesions_path=self._file(row, "lesions"),
            lesion_table=self._table(row, "lesion_table"),
            lesion_paths={
                label: self._place(cells[_LESION + label])
                for label in self.labels
                if cells.get(_LESION + label)
            },
        )

    def _labels(self, row: Row) -> dict[str, bool]:
        known = {}
        for label in self.labels:
            try:
                present = read_truth(row.cells[label])
            except ValueError:
                raise self._fault(row, label, "0, 1 or blank for unknown") from None
            if present is not None:
                known[label] = present
        return known

    def _allowed(self, row: Row) -> dict[str, tuple[str, ...]]:
        allowed = {}
        for label in self.labels:
            text = row.cells.get(_ALLOWED + label)
            if text:
                organs = [organ_name(part) for part in text.split(";")]
                if not all(organs):
                    raise self._fault(row, _ALLOWED + label, "organs parted by semicolons")
                allowed[label] = tuple(dict.fromkeys(organs))
        return allowed

    def _file(self, row: Row, column: str) -> Path | None:
        text = row.cells.get(column, "")
        return self._place(text) if text else None

    def _table(self, row: Row, column: str) -> str | None:
        text = row.cells.get(column, "")
        if not text or text in BUILT_IN:
            return text or None
        return str(self._place(text))

    def _place(self, text: str) -> Path:
        try:
            return self.path.parent / Path(text).expanduser()
        except RuntimeError:  # ~ of nobody
            return self.path.parent / text

    def _fault(self, row: Row, column: str, wanted: str) -> CaseTableError:
        name = row.cells["case"]
        who = f" (case {name})" if _NAME.fullmatch(name) else ""
        return CaseTableError(
            self.path,
            f"row {row.number}{who} has {row.cells[column][:40]!r} in column {column!r}",
            f"Write {wanted}",
        )


def _label_columns(
    path: Path,
    headings: tuple[str, ...],
    rows: list[Row],
    labels: Sequence[str] | None,
    all_labels_needed: bool,  # noqa: FBT001
) -> tuple[tuple[str, ...], list[str]]:
    """Settle which columns are labels, and what to say of the others."""
    free = _free(headings)
    notes: list[str] = []
    if labels is None:
        chosen = tuple(name for name in free if _holds_truths(path, name, rows))
        if not chosen:
            raise CaseTableError(
                path,
                "no column of it holds labels",
                "Give a column of 0, 1 and blank for each label",
            )
        notes.append(f"Taken as labels: {', '.join(chosen)}.")
    else:
        missing = [label for label in labels if label not in free]
        if missing and (all_labels_needed or len(missing) == len(labels)):
            some = ", ".join(missing[:_MOST_NAMED]) + (" ..." if len(missing) > _MOST_NAMED else "")
            raise CaseTableError(
                path,
                f"it has no column for {len(missing)} of {len(labels)} labels: {some}",
                "Add a column of 0, 1 and blank for each label, called as the label is",
            )
        if missing:
            notes.append(f"No column tells of {', '.join(missing)}: unknown for every case.")
        chosen = tuple(label for label in labels if label not in missing)
    ignored = [name for name in free if name not in chosen]
    if ignored:
        notes.append(f"Ignored columns: {', '.join(ignored)}.")
    return chosen, notes


def _holds_truths(path: Path, column: str, rows: list[Row]) -> bool:
    """Say whether a column holds a label; refuse one that seems to, but for slips."""
    filled = [(row, row.cells[column]) for row in rows if row.cells[column].lower() not in BLANK]
    odd = []
    for row, text in filled:
        try:
            read_truth(text)
        except ValueError:
            odd.append((row, text))
    if odd and 2 * len(odd) < len(filled):
        row, text = odd[0]
        raise CaseTableError(
            path,
            f"column {column!r} seems to be a label, but row {row.number} has {text[:40]!r} in it",
            "Write 0, 1 or blank for unknown, or say which columns are labels",
        )
    return bool(filled) and not odd


def _free(headings: tuple[str, ...]) -> list[str]:
    """Columns that have no meaning of their own, and so may be labels."""
    return [
        name
        for name in headings
        if name and name not in _OWN_COLUMNS and not name.startswith((_LESION, _ALLOWED))
    ]


def _refuse_columns_of_no_label(
    path: Path, headings: tuple[str, ...], labels: Iterable[str]
) -> None:
    known = {*_free(headings), *labels}
    for prefix in (_LESION, _ALLOWED):
        for column in headings:
            of_label = column.startswith(prefix) and column not in _OWN_COLUMNS
            if of_label and column.removeprefix(prefix) not in known:
                raise CaseTableError(
                    path,
                    f"column {column!r} is of no label that the table has",
                    f"Call it {prefix} and a label, out of: {', '.join(sorted(known))}",
                )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file system takes
        return False


def _refuse_missing_masks(path: Path, cases: Iterable[FileCase]) -> None:
    for case in cases:
        for column, file in case.files():
            if not _is_there(file):
                raise CaseTableError(
                    path,
                    f"row {case.row} (case {case.name}) names a file in column {column!r} "
                    "that is not there",
                    "Correct the path, which is relative to the table's folder, or leave the "
                    "cell empty",
                )


def _refuse_one_scan_of_two_patients(path: Path, cases: Iterable[FileCase]) -> None:
    """Refuse what would let a scan come into two splits."""
    first: dict[tuple[str, str | None], FileCase] = {}
    for case in cases:
        known = first.setdefault((os.path.normpath(case.ct_path), case.series), case)
        if same_patient(known.patient) != same_patient(case.patient):
            raise CaseTableError(
                path,
                f"cases {known.name} and {case.name} have the same CT and are of two patients",
                "Give both one name in column 'patient', or take one of them out",
            )
