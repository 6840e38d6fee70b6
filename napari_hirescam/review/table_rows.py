"""Rows of a table as scans with their masks and maps."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from napari_hirescam.cases.rows import BLANK, Row, read_truth
from napari_hirescam.errors import Cancelled
from napari_hirescam.organs.organ_tables import BUILT_IN, organ_name
from napari_hirescam.review.entries import Entry, Problem
from napari_hirescam.review.mask_organs import stem_of
from napari_hirescam.review.table_columns import Recognised, Role, table_rows

_SPLITS = {
    "train": "train", "training": "train", "valid": "valid", "val": "valid",
    "validation": "valid", "test": "test", "testing": "test",
}  # fmt: skip
_BETWEEN_LOOKS = 256


def read_entries(
    told: Recognised,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[list[Entry], list[Problem]]:
    """Read a table's rows; what is wrong with a row leaves the others be.

    Raises
    ------
    ReviewError
        The table cannot be read.
    Cancelled
        `should_stop` said so.
    """
    _, rows = table_rows(told.path)
    reader = _Reader(told)
    entries: list[Entry] = []
    problems: list[Problem] = []
    for done, row in enumerate(rows):
        if done % _BETWEEN_LOOKS == 0:
            if should_stop is not None and should_stop():
                raise Cancelled("reading the table was stopped")
            if progress is not None:
                progress(done, len(rows))
        found = reader.entry_of(row)
        if isinstance(found, Entry):
            entries.append(found)
        else:
            problems.append(found)
    return entries, problems


class _Reader:
    """Turns rows into entries."""

    def __init__(self, told: Recognised) -> None:
        self.told = told
        self.folder = str(told.path.parent)
        # Many rows name one file: a model, a scan with a row for each organ.
        self.is_there = cache(_is_there)

    def entry_of(self, row: Row) -> Entry | Problem:
        """Make a row's entry, or say why there is none."""
        ct_text = self.text(row, "ct")
        ct = self.place(ct_text)
        case = self.text(row, "case") or ("" if "case" in self.told.columns else stem_of(ct))
        if "case" in self.told.columns and not case:
            return Problem(row.number, "", f"column {self.told.columns['case']!r} is empty")
        if not ct_text:
            return Problem(row.number, case, f"column {self.told.columns['ct']!r} is empty")
        # The whole path is not told: folders have names of people.
        if not self.is_there(ct):
            return Problem(row.number, case, f"its CT {ct.name} is not there")
        split = self.text(row, "split").lower()
        files: dict[Role, Path | None] = {}
        for role in ("mask", "attention", "model"):
            path = files[role] = self.file(row, role)
            if path is not None and not self.is_there(path):
                what = {"mask": "mask", "attention": "map", "model": "model"}[role]
                return Problem(row.number, case, f"its {what} {path.name} is not there")
        columns = {**self.told.organ_masks, **self.told.label_maps}
        own = {name: self.place(row.cells[heading]) for name, heading in columns.items()
               if row.cells[heading]}  # fmt: skip
        lost = next((name for name, path in own.items() if not self.is_there(path)), None)
        if lost is not None:
            return Problem(row.number, case, f"{own[lost].name} ({lost}) is not there")
        return Entry(
            case=case,
            ct=ct,
            row=row.number,
            patient=self.text(row, "patient") or case,
            split=_SPLITS.get(split, ""),
            series=self.text(row, "series"),
            mask=files["mask"],
            organ=organ_name(self.text(row, "organ")),
            organ_table=self.organ_table(row),
            organ_masks={name: own[name] for name in self.told.organ_masks if name in own},
            label=self.text(row, "label"),
            attention=files["attention"],
            label_maps={name: own[name] for name in self.told.label_maps if name in own},
            model=files["model"],
            findings=self.findings(row),
            about=self.about(row),
        )

    def text(self, row: Row, role: Role) -> str:
        heading = self.told.columns.get(role)
        cell = row.cells[heading] if heading else ""
        return "" if cell.lower() in BLANK else cell

    def file(self, row: Row, role: Role) -> Path | None:
        text = self.text(row, role)
        return self.place(text) if text else None

    def organ_table(self, row: Row) -> str:
        text = self.text(row, "organ_table")
        return text if not text or text in BUILT_IN else str(self.place(text))

    def findings(self, row: Row) -> dict[str, bool]:
        known = {}
        for label in self.told.labels:
            present = read_truth(row.cells[label])
            if present is not None:
                known[label] = present
        return known

    def about(self, row: Row) -> dict[str, str]:
        """What readers may see besides: no files, which say nothing to them."""
        known = {
            name: row.cells[name]
            for name in self.told.unused
            if row.cells[name].lower() not in BLANK and "/" not in row.cells[name]
        }
        present = [label for label, there in self.findings(row).items() if there]
        if present:
            known["findings"] = ", ".join(present)
        return known

    def place(self, text: str) -> Path:
        # As text: of a long table pathlib's way takes most of the time. Links stay as they are.
        return Path(os.path.abspath(os.path.join(self.folder, os.path.expanduser(text))))  # noqa: PTH100, PTH111, PTH118


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file system takes
        return False
