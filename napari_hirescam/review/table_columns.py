"""What the columns of somebody's table, or the files of somebody's folder, stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    raise NotImplementedError
