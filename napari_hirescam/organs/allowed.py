"""Which organs a label may lie in: from a model, a table, or the names of RAD-ChestCT's labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from napari_hirescam.errors import OrganError
from napari_hirescam.organs.organ_tables import organ_name
from napari_hirescam.safe_write import Section, write_file

AllowedOrgans = Mapping[str, tuple[str, ...]]
"""Label -> organs it may lie in, if it is present."""

# Labels of RAD-ChestCT begin with their place (arXiv 2111.12215; organize_labels.py of its code).
_BY_PREFIX = {
    "h_great_vessel_": ("great_vessel",),
    "h_mediastinum_": ("mediastinum",),
    "heart_": ("heart",),
    "left_lung_": ("left_lung",),
    "right_lung_": ("right_lung",),
    "lung_": ("lungs",),
}
_COLUMNS = ("label", "organs")


def usual_organs(label: str) -> tuple[str, ...]:
    """Name the organs of a label by its prefix, which RAD-ChestCT's 80 have; else none."""
    return next((organs for prefix, organs in _BY_PREFIX.items() if label.startswith(prefix)), ())


def allowed_organs(
    labels: Iterable[str], *given: AllowedOrgans, everyone: bool = True
) -> dict[str, tuple[str, ...]]:
    """Settle for each label which organs it may lie in.

    Parameters
    ----------
    labels
        Of a model or a table of cases.
    given
        Tables (a user's CSV, a model's ``organs``), the first of them that knows a label counts;
        where none does, a prefix of RAD-ChestCT's labels does.
    everyone
        Whether each label must have an organ.

    Returns
    -------
    Label -> organs, in the order of the labels; without those that have none.

    Raises
    ------
    OrganError
        A label has no organ, and `everyone` must have one.
    """
    found = {}
    missing = []
    for label in labels:
        organs = next((table[label] for table in given if table.get(label)), usual_organs(label))
        if organs:
            found[label] = tuple(organ_name(organ) for organ in organs)
        else:
            missing.append(label)
    if missing and everyone:
        raise OrganError(
            "labels",
            f"no organ is named for {', '.join(missing)}",
            "Name theirs in the model's 'organs', or in a CSV with the columns label,organs",
        )
    return found


def read_allowed(
    path: str | Path, labels: Iterable[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Read a CSV with the columns ``label`` and ``organs`` ("left_lung;right_lung").

    Parameters
    ----------
    path
        The file.
    labels
        Those there are; a line with another label is refused. None takes any.

    Raises
    ------
    OrganError
        The file cannot be read or is no such table, a label is there twice, has no organ, or is
        not one of `labels`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise OrganError(path, "there is no such file", "Check the path") from exc
    except OSError as exc:
        raise OrganError(path, f"it cannot be read: {exc}", "Choose a CSV file") from exc
    except UnicodeDecodeError as exc:
        raise OrganError(path, "it is no text in UTF-8", "Save it as UTF-8") from exc
    try:
        table = _table_of(text)
        unknown = sorted(set(table) - set(labels)) if labels is not None else []
    except (ValueError, csv.Error) as exc:
        raise OrganError(
            path, str(exc), "Give lines such as pleural_effusion,left_lung;right_lung"
        ) from exc
    if unknown:
        raise OrganError(path, f"there are no labels {', '.join(unknown)}", "Leave out these lines")
    return table


def _table_of(text: str) -> dict[str, tuple[str, ...]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    if not set(_COLUMNS) <= set(reader.fieldnames or ()):
        raise ValueError("it has no columns label and organs")
    table: dict[str, tuple[str, ...]] = {}
    for row in reader:
        label = (row["label"] or "").strip()
        organs = tuple(filter(None, map(organ_name, (row["organs"] or "").split(";"))))
        if not label or not organs:
            raise ValueError(f"line {reader.line_num} needs a label and its organs")
        if label in table:
            raise ValueError(f"line {reader.line_num}: label {label} is there twice")
        table[label] = tuple(dict.fromkeys(organs))
    return table


def write_allowed(path: str | Path, allowed: AllowedOrgans, *, overwrite: bool = False) -> Path:
    """Write a table that :func:`read_allowed` reads, whole or not at all.

    Raises
    ------
    OrganError
        The file exists and may not be replaced, or the place cannot be written to.
    """
    path = Path(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((label, ";".join(organs)) for label, organs in allowed.items())
    content = text.getvalue().encode()
    try:
        write_file(path, [Section(lambda: [content])], overwrite=overwrite)
    except FileExistsError as exc:
        raise OrganError(
            path, "there is a file of this name", "Choose another, or --overwrite"
        ) from exc
    except OSError as exc:
        raise OrganError(
            path, f"it cannot be written: {exc.strerror or exc}", "Choose another place"
        ) from exc
    return path
