"""Label names as people have them: typed, pasted from code or a table, in a text or CSV file."""

from __future__ import annotations

import ast
import csv
import io
import re
from pathlib import Path
from typing import Any

from napari_hirescam.errors import InputError
from napari_hirescam.models.label_lists import label_list_names, read_label_list

_TABLES = {".csv": ",", ".tsv": "\t"}
_LABEL_TITLES = {"label", "labels", "name", "names", "class", "classes", "finding", "abnormality"}
_INDEX_TITLES = {"index", "id", "idx", "output", "number", "no", "#"}


def read_labels(text_or_file: str | Path) -> tuple[str, ...]:
    """Read label names in the order of the network's outputs.

    Parameters
    ----------
    text_or_file
        Text: one name per line, names separated by commas on one line, a Python list as pasted
        from code, or the name of a shipped list ("radchest-80"). A Path: a text file like that,
        or a .csv/.tsv table with a column of names and perhaps one of output numbers, which
        then gives the order.

    Raises
    ------
    InputError
        The file cannot be read, there are no names, or a name is there twice.
    """
    subject = str(text_or_file) if isinstance(text_or_file, Path) else "labels"
    if isinstance(text_or_file, Path):
        text = _text_of(text_or_file)
        delimiter = _TABLES.get(text_or_file.suffix.lower())
        names = _from_table(text, delimiter, subject) if delimiter else _from_text(text)
    else:
        names = _shipped(text_or_file) or _from_text(text_or_file)
    if not names:
        raise InputError(subject, "there are no names in it", "Give one name per output")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            subject, f"listed twice: {', '.join(twice)}", "Give each output a name of its own"
        )
    return tuple(names)


def _shipped(name: str) -> list[str]:
    """Return a shipped list if the text is its name."""
    return list(read_label_list(name.strip())) if name.strip() in label_list_names() else []


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise InputError(file, "there is no such file", "Choose the file of labels") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(
            file, f"it cannot be read as text: {exc}", "Save it as UTF-8 text or CSV"
        ) from exc


def _from_text(text: str) -> list[str]:
    # names = [...], as it stands in code
    text = re.sub(r"^\w+\s*=\s*(?=[\[({])", "", text.strip())
    if text.startswith(("[", "(", "{")):
        try:
            pasted = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pasted = None  # a name that begins with a bracket
        if isinstance(pasted, dict):
            pasted = _by_number(pasted)
        if isinstance(pasted, list | tuple) and all(isinstance(name, str) for name in pasted):
            return [name.strip() for name in pasted if name.strip()]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1:
        lines = next(csv.reader(lines, skipinitialspace=True))
    else:
        # One per line, each with the comma of a list that was broken into lines.
        lines = [line.removesuffix(",") for line in lines]
    names = [line.strip().strip("\"'").strip() for line in lines]
    return [name for name in names if name]


def _by_number(pasted: dict[Any, Any]) -> list[Any]:
    """Bring {0: 'a', 1: 'b'}, {'0': 'a', ...} or {'a': 0, ...} into the order of the numbers."""
    for pairs in (pasted.items(), ((number, name) for name, number in pasted.items())):
        named = {int(n): name for n, name in pairs if str(n).isdecimal() and isinstance(name, str)}
        if len(named) == len(pasted) and sorted(named) == list(range(len(named))):
            return [named[n] for n in sorted(named)]
    raise InputError(
        "labels", "this dict does not number its names from 0 on", "Give one name per line"
    )


def _from_table(text: str, delimiter: str, subject: str) -> list[str]:
    first = text.lstrip().partition("\n")[0]
    if delimiter not in first and ";" in first:
        delimiter = ";"  # of spreadsheets where the comma is the decimal sign
    rows = [
        [cell.strip() for cell in row]
        for row in csv.reader(io.StringIO(text), delimiter=delimiter)
        if any(cell.strip() for cell in row)
    ]
    if not rows:
        return []
    width = max(len(row) for row in rows)
    if len(rows) == 1:
        return [cell for cell in rows[0] if cell]
    titles = [cell.lower() for cell in rows[0]]
    names_at = next((k for k, title in enumerate(titles) if title in _LABEL_TITLES), None)
    index_at = next((k for k, title in enumerate(titles) if title in _INDEX_TITLES), None)
    if names_at is not None or index_at is not None:
        rows = rows[1:]
    if width == 1:
        return [row[0] for row in rows]
    if index_at is None and names_at is None:
        # Where there are titles, a column of another name is no order: a count, an ICD code.
        index_at = next((k for k in range(width) if _numbers(rows, k) is not None), None)
    if names_at is None:
        others = [k for k in range(width) if k != index_at]
        if len(others) != 1:
            raise InputError(
                subject,
                f"it has {width} columns, and none is called 'label'",
                "Name the column of labels 'label'",
            )
        names_at = others[0]
    names = [row[names_at] if names_at < len(row) else "" for row in rows]
    order = _numbers(rows, index_at) if index_at is not None else None
    if order is not None:
        if sorted(order) not in (list(range(len(order))), list(range(1, len(order) + 1))):
            raise InputError(
                subject,
                "its output numbers do not run from 0 (or 1) without a gap",
                "Give one row for each output",
            )
        names = [name for _, name in sorted(zip(order, names, strict=True))]
    return [name for name in names if name]


def _numbers(rows: list[list[str]], column: int) -> list[int] | None:
    """Return a column of output numbers, or None if it is not one."""
    cells = [row[column] if column < len(row) else "" for row in rows]
    return [int(cell) for cell in cells] if all(cell.isdecimal() for cell in cells) else None
