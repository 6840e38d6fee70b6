"""The tables that are published with RAD-ChestCT: labels with their locations, and patients.

A table of labels has a third of a gigabyte of zeros and ones. Nearly all of its rows are a name
and then cells of one width, so a row is read as an array of bytes, and only a row that is written
otherwise is taken apart cell by cell.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_hirescam.cases.rows import read_truth
from napari_hirescam.errors import CaseTableError

_KEY = "NoteAcc_DEID"
_VOLUME = "VolumeAcc_DEID"
_PATIENT = "MRN_DEID"
_METADATA = "CT_Scan_Metadata_Complete*.csv"
_ROWS_AT_A_TIME = 1024
_ZERO, _ONE = ord("0"), ord("1")


@dataclass(frozen=True)
class Heading:
    """The columns of a table of labels.

    Parameters
    ----------
    columns
        (abnormality, location) of each column that has both.
    cells
        Which cells of a row these are.
    n_cells
        Cells of a row, the name among them.
    others
        Columns that are neither these nor the name.
    """

    columns: tuple[tuple[str, str], ...]
    cells: tuple[int, ...]
    n_cells: int
    others: tuple[str, ...]


def read_heading(path: Path) -> Heading:
    """Read the heading of a table of labels.

    Raises
    ------
    CaseTableError
        It is no such table.
    """
    try:
        with path.open("rb") as stream:
            names = next(csv.reader([stream.readline().decode("utf-8-sig")]), [])
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise CaseTableError(path, f"it cannot be read ({exc})", "Download it again") from exc
    if not names or names[0] != _KEY:
        first = repr(names[0][:40]) if names else "nothing"
        raise CaseTableError(
            path,
            f"its first column is {first}, not {_KEY}",
            "Use the table as it is published",
        )
    split = [tuple(name.split("*")) for name in names]
    cells = tuple(k for k, parts in enumerate(split) if len(parts) == 2 and all(parts))
    columns = tuple((split[k][0], split[k][1]) for k in cells)
    if not columns:
        raise CaseTableError(
            path,
            "none of its columns is called abnormality*location",
            "Use the table img..._Abnormality_and_Location_Labels.csv as it is published",
        )
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise CaseTableError(
            path, f"column {'*'.join(twice[0])} is there twice", "Use the table as it is published"
        )
    told = {0, *cells}
    others = tuple(name for k, name in enumerate(names) if k not in told)
    return Heading(columns, cells, len(names), others)


def read_reports(
    path: Path, heading: Heading, wanted: Callable[[str], bool]
) -> Iterator[tuple[list[str], npt.NDArray[np.uint8]]]:
    """Read a table of labels, some hundred rows at a time.

    Parameters
    ----------
    path
        The table.
    heading
        Its own.
    wanted
        Whether the row of an accession is.

    Yields
    ------
    Accessions, and 0 or 1 for [accession, column of the heading].

    Raises
    ------
    CaseTableError
        A row has too few or too many cells, or a cell holds anything but 0 and 1; names both.
    """
    names: list[str] = []
    rows: list[npt.NDArray[np.uint8]] = []
    with path.open("rb") as stream:
        stream.readline()
        for number, line in enumerate(stream, 2):
            line = line.rstrip(b"\r\n")
            if not line:
                continue
            key, _, rest = line.partition(b",")
            name = _name(path, number, key)
            if not wanted(name):
                continue
            values = _of_one_width(rest, heading)
            names.append(name)
            rows.append(_cell_by_cell(path, number, line, heading) if values is None else values)
            if len(rows) == _ROWS_AT_A_TIME:
                yield names, np.stack(rows)
                names, rows = [], []
    if rows:
        yield names, np.stack(rows)


def _name(path: Path, number: int, key: bytes) -> str:
    try:
        name = key.decode("ascii").strip().strip('"')
    except UnicodeDecodeError:
        name = ""
    # It becomes a file's name: nothing else than the published kind of accession will do.
    if not name.isalnum():
        raise CaseTableError(
            path,
            f"row {number} has no accession such as trn00001 in column {_KEY}",
            "Use the table as it is published",
        )
    return name


def _of_one_width(rest: bytes, heading: Heading) -> npt.NDArray[np.uint8] | None:
    """Read cells that all look like "0" and "1", or all like "0.0" and "1.0"; else None."""
    n = heading.n_cells - 1
    if heading.others or (len(rest) + 1) % n:
        return None
    cells = np.frombuffer(rest + b",", dtype=np.uint8).reshape(n, -1)
    digits, tail = cells[:, 0], cells[0, 1:]
    if tail.tobytes() not in {b",", b".0,"} or not (cells[:, 1:] == tail).all():
        return None
    if digits.min() < _ZERO or digits.max() > _ONE:
        return None
    return digits - np.uint8(_ZERO)


def _cell_by_cell(path: Path, number: int, line: bytes, heading: Heading) -> npt.NDArray[np.uint8]:
    cells = next(csv.reader([line.decode("utf-8", errors="replace")]), [])
    if len(cells) != heading.n_cells:
        raise CaseTableError(
            path,
            f"row {number} has {len(cells)} cells and the heading has {heading.n_cells}",
            "Download the table again",
        )
    values = np.zeros(len(heading.cells), dtype=np.uint8)
    for k, cell in enumerate(heading.cells):
        try:
            present = read_truth(cells[cell].strip())
        except ValueError:
            present = None
        if present is None:
            raise CaseTableError(
                path,
                f"row {number} ({cells[0][:20]}) has {cells[cell][:40]!r} in column "
                f"{'*'.join(heading.columns[k])}",
                "Write 0 or 1",
            )
        values[k] = present
    return values


def read_patients(folder: Path) -> dict[str, str] | None:
    """Read which accession is of which patient, from the table of metadata.

    Returns
    -------
    None if there is no such table.

    Raises
    ------
    CaseTableError
        It does not say.
    """
    tables = sorted(folder.glob(_METADATA))
    if not tables:
        return None
    patients: dict[str, str] = {}
    for path in tables:
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                reader = csv.reader(stream)
                heading = next(reader, [])
                key = next((heading.index(name) for name in (_KEY, _VOLUME) if name in heading), -1)
                if key < 0 or _PATIENT not in heading:
                    raise CaseTableError(
                        path,
                        f"it has no columns {_KEY} and {_PATIENT}",
                        "Use the table as it is published, or take it out of the folder",
                    )
                patient = heading.index(_PATIENT)
                for row in reader:
                    if len(row) == len(heading) and row[patient].strip():
                        patients[row[key].removesuffix(".npz")] = row[patient].strip()
        except (OSError, UnicodeDecodeError, csv.Error) as exc:
            raise CaseTableError(path, f"it cannot be read ({exc})", "Download it again") from exc
    return patients
