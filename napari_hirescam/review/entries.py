"""Rows of a table, or files of a folder that belong together, before items are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """Why a row or file gave no item.

    Parameters
    ----------
    row
        As a spreadsheet counts: the heading is row 1; None for a folder.
    case
        Its name, as far as it is known.
    reason
        One clause.
    """

    row: int | None
    case: str
    reason: str

    @property
    def words(self) -> str:
        """Row and case, where they are known, and the reason."""
        row = "" if self.row is None else f"row {self.row}"
        case = f"case {self.case}" if self.case else ""
        return f"{', '.join(filter(None, (row, case)))}: {self.reason}"


@dataclass(frozen=True)
class Entry:
    """One scan, with what is known of it.

    Parameters
    ----------
    case, patient, split, ct, series
        As in :class:`~napari_hirescam.review.item.Item`.
    row
        In the table; None in a folder.
    mask
        A label map or a folder of masks; a mask of `organ` alone, if that is given.
    organ
        What the row is about.
    organ_table
        Which value of the mask is which organ.
    organ_masks
        Organ -> a file of its own.
    label
        What the row is about.
    attention
        A map of `label`.
    label_maps
        Label -> its map.
    model
        Makes maps.
    findings
        Label -> whether it is present.
    about
        What else is known.
    """

    case: str
    ct: Path
    row: int | None = None
    patient: str = ""
    split: str = ""
    series: str = ""
    mask: Path | None = None
    organ: str = ""
    organ_table: str = ""
    organ_masks: Mapping[str, Path] = field(default_factory=dict)
    label: str = ""
    attention: Path | None = None
    label_maps: Mapping[str, Path] = field(default_factory=dict)
    model: Path | None = None
    findings: Mapping[str, bool] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
