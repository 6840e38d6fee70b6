"""Rows of a table of cases as text, from CSV or Parquet."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.errors import CaseTableError

#: What stands for "nobody knows" in a cell of a label.
BLANK = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>"})
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Parameters
    ----------
    number
        As a spreadsheet counts: the heading is row 1.
    cells
        Column -> text, stripped; blank cells are "".
    """

    number: int
    cells: dict[str, str]


def read_rows(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    """Read a table's headings and rows.

    Parameters
    ----------
    path
        ``.csv`` or ``.tsv`` parted by commas, semicolons or tabs, in UTF-8; or ``.parquet``.

    Raises
    ------
    CaseTableError
        It is no such table, a heading is there twice, a row has more or fewer cells than the
        heading, or there is no row.
    """
    if path.suffix.lower() == ".parquet":
        headings, lines = _from_parquet(path)
    elif path.suffix.lower() in {".csv", ".tsv", ".txt"}:
        headings, lines = _from_text(path)
    else:
        raise CaseTableError(path, "it is no table of cases by its name", "Give a .csv or .parquet")
    twice = sorted({name for name in headings if headings.count(name) > 1})
    if twice:
        raise CaseTableError(
            path, f"column {', '.join(twice)} is there twice", "Give each column its own heading"
        )
    rows = []
    for number, line in lines:
        if len(line) != len(headings):
            raise CaseTableError(
                path,
                f"row {number} has {len(line)} cells and the heading has {len(headings)}",
                "Put cells that hold the delimiter in quotes",
            )
        cells = (cell.strip() for cell in line)
        rows.append(Row(number, dict(zip(headings, cells, strict=True))))
    if not rows:
        raise CaseTableError(path, "it has no rows", "Give a row for each case")
    return tuple(headings), rows


def _from_text(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        # Spreadsheets write semicolons where the comma marks decimals.
        delimiter = max(_DELIMITERS, key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines = [(reader.line_num, line) for line in reader if any(map(str.strip, line))]
    except FileNotFoundError as exc:
        raise CaseTableError(path, "there is no such file", "Check the path") from exc
    except OSError as exc:
        raise CaseTableError(
            path, f"it cannot be read ({exc.strerror or exc})", "Check that you may read it"
        ) from exc
    except UnicodeDecodeError as exc:
        raise CaseTableError(path, "it is no text in UTF-8", "Save it as CSV in UTF-8") from exc
    except csv.Error as exc:
        raise CaseTableError(
            path, f"row {reader.line_num} cannot be understood ({exc})", "Save it as CSV anew"
        ) from exc
    if not lines:
        raise CaseTableError(path, "it is empty", "Give a heading and a row for each case")
    return [name.strip() for name in lines[0][1]], lines[1:]


def _from_parquet(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as exc:
        raise CaseTableError(
            path,
            "reading Parquet needs pyarrow",
            'Install it with: pip install "napari-hirescam[evaluate]", or give a CSV',
        ) from exc
    try:
        table = parquet.read_table(path)
    except FileNotFoundError as exc:
        raise CaseTableError(path, "there is no such file", "Check the path") from exc
    except (pa.ArrowInvalid, OSError) as exc:
        raise CaseTableError(path, f"it is no Parquet file ({exc})", "Write it anew") from exc
    columns = [["" if v is None else str(v) for v in c.to_pylist()] for c in table.columns]
    lines = [(number, list(cells)) for number, cells in enumerate(zip(*columns, strict=True), 2)]
    return [name.strip() for name in table.column_names], lines


def read_truth(text: str) -> bool | None:
    """Read a label's cell.

    Returns
    -------
    Whether the label is present, None if that is not known.

    Raises
    ------
    ValueError
        It is none of 0, 1 and blank, nor what pandas writes for them.
    """
    word = text.lower()
    if word in BLANK:
        return None
    if word in {"1", "1.0", "true"}:
        return True
    if word in {"0", "0.0", "false"}:
        return False
    raise ValueError(text)
