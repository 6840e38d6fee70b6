"""Measured cases kept on disk while a cohort is under way, so that an interruption costs one."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam.cases import Case
from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.case_measures import MapMeasures
from napari_hirescam.evaluation.cohort_case import CaseProblem, MeasuredCase
from napari_hirescam.evaluation.lesion_overlap import LesionCounts
from napari_hirescam.evaluation.organ_iou import CellCounts
from napari_hirescam.safe_write import replace_file

logger = logging.getLogger(__name__)

Found = tuple[MeasuredCase, list[CaseProblem]]


class CaseStore:
    """A folder with a file for each measured case.

    A file is found again only for the same case (its files unchanged), measured in the same way.

    Parameters
    ----------
    folder
        Made when the first case is kept.
    settings
        How cases are measured: network, labels, methods, and all else that their figures
        depend on.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = json.dumps(settings, sort_keys=True)

    def load(self, case: Case, way: str) -> Found | None:
        """Return what was kept of a case, or None; `way` tells, say, the thresholds."""
        file = self._file(case, way)
        if not file.exists():
            return None
        try:
            held = json.loads(file.read_bytes())
            problems = [CaseProblem(**problem) for problem in held["problems"]]
            rows = tuple(_row(row) for row in held["case"].pop("rows"))
            size = held["case"].pop("cell_mm")
            measured = MeasuredCase(**held["case"], rows=rows, cell_mm=(size[0], size[1], size[2]))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as exc:
            # Damaged, or of another version: the case is measured again.
            logger.warning("what was kept of case %s cannot be used: %s", case.name, exc)
            return None
        return measured, problems

    def keep(self, case: Case, way: str, found: Found) -> None:
        """Write down what was measured.

        Raises
        ------
        SettingsError
            It cannot be written.
        """
        measured, problems = found
        held = {"case": _plain(measured), "problems": [asdict(problem) for problem in problems]}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._file(case, way), json.dumps(held).encode())
        except OSError as exc:
            raise SettingsError(
                self.folder,
                f"what was measured cannot be kept there: {exc.strerror or exc}",
                "Make room, or choose another folder",
            ) from exc

    def clear(self) -> None:
        """Remove what was kept, once it stands in the results."""
        if self.folder.is_dir():
            for file in self.folder.glob("*.json"):
                file.unlink()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _file(self, case: Case, way: str) -> Path:
        told = [case.labels, case.allowed, case.split, case.patient]
        known = json.dumps(told, sort_keys=True, default=list)
        text = "\n".join((self._settings, way, case.fingerprint(), case.name, known))
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


def _plain(measured: MeasuredCase) -> dict[str, Any]:
    plain = {f.name: getattr(measured, f.name) for f in fields(measured)}
    return {**plain, "rows": [_plain_row(row) for row in measured.rows]}


def _plain_row(row: MapMeasures) -> dict[str, Any]:
    plain = {f.name: getattr(row, f.name) for f in fields(row)}
    for name in ("cell_counts", "lesion_counts"):
        counts = plain[name]
        plain[name] = counts and {
            f.name: np.asarray(getattr(counts, f.name)).tolist() for f in fields(counts)
        }
    return plain


def _row(plain: dict[str, Any]) -> MapMeasures:
    cells, lesion = plain.pop("cell_counts"), plain.pop("lesion_counts")
    organs = tuple(plain.pop("organs"))
    return MapMeasures(
        **plain,
        organs=organs,
        cell_counts=CellCounts(np.array(cells["inside"]), np.array(cells["above"]))
        if cells
        else None,
        lesion_counts=LesionCounts(
            np.array(lesion["inside"]), np.array(lesion["above"]), lesion["lesion"], lesion["best"]
        )
        if lesion
        else None,
    )
