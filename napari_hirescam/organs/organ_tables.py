"""Which values of a label map make up which organ: built in, from names, or from a user's file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_hirescam.errors import OrganError
from napari_hirescam.plain_yaml import read_plain_yaml

OrganTable = Mapping[str, tuple[int, ...]]
"""Organ -> the values that make it up in a label map."""

#: As `find_organs` numbers its regions. The heart, the mediastinum and the great vessels are one
#: region, as in the paper (arXiv 2111.12215).
PARTITION: OrganTable = {
    "right_lung": (1,),
    "left_lung": (3,),
    "lungs": (1, 3),
    "heart": (2,),
    "mediastinum": (2,),
    "great_vessel": (2,),
}

# Classes of the task "total" of TotalSegmentator 2 that lie in the chest.
_TOTALSEGMENTATOR_CLASSES = {
    "liver": 5,
    "lung_upper_lobe_left": 10,
    "lung_lower_lobe_left": 11,
    "lung_upper_lobe_right": 12,
    "lung_middle_lobe_right": 13,
    "lung_lower_lobe_right": 14,
    "esophagus": 15,
    "trachea": 16,
    "thyroid_gland": 17,
    "heart": 51,
    "aorta": 52,
    "pulmonary_vein": 53,
    "brachiocephalic_trunk": 54,
    "subclavian_artery_right": 55,
    "subclavian_artery_left": 56,
    "common_carotid_artery_right": 57,
    "common_carotid_artery_left": 58,
    "brachiocephalic_vein_left": 59,
    "brachiocephalic_vein_right": 60,
    "atrial_appendage_left": 61,
    "superior_vena_cava": 62,
    "inferior_vena_cava": 63,
}

#: Organs that others draw in parts. An organ is there only if all of its parts are told of, so
#: that a file with one lobe is never taken for a lung. There is no entry for the mediastinum:
#: what is drawn of it leaves out the fat, in which its lymph nodes lie.
MADE_OF: Mapping[str, tuple[str, ...]] = {
    "right_lung": ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "left_lung": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    "lungs": ("right_lung", "left_lung"),
    "great_vessel": (
        "aorta",
        "pulmonary_vein",
        "brachiocephalic_trunk",
        "brachiocephalic_vein_left",
        "brachiocephalic_vein_right",
        "superior_vena_cava",
        "inferior_vena_cava",
    ),
}

_OTHER_NAMES = {
    "lung": "lungs",
    "lung_left": "left_lung",
    "lung_right": "right_lung",
    "great_vessels": "great_vessel",
    "oesophagus": "esophagus",
}


def organ_name(text: str) -> str:
    """Write a name as organs are called here: "Right lung" and "lung_right" are "right_lung"."""
    words = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return _OTHER_NAMES.get(words, words)


def with_whole_organs(table: OrganTable) -> dict[str, tuple[int, ...]]:
    """Add the organs all of whose parts a table has (see `MADE_OF`); its own words stay."""
    whole = dict(table)
    for organ, parts in MADE_OF.items():
        if organ not in whole and all(part in whole for part in parts):
            whole[organ] = tuple(sorted({value for part in parts for value in whole[part]}))
    return whole


#: TotalSegmentator 2, task "total": its classes in the chest, and what is made of them.
TOTALSEGMENTATOR: OrganTable = with_whole_organs(
    {name: (value,) for name, value in _TOTALSEGMENTATOR_CLASSES.items()}
)

#: By the names under which commands and the window offer them.
BUILT_IN: Mapping[str, OrganTable] = {
    "partition": PARTITION,
    "totalsegmentator": TOTALSEGMENTATOR,
}


def table_from_names(names: Iterable[tuple[int, str]]) -> dict[str, tuple[int, ...]]:
    """Make a table of the names that a mask's file gives its values.

    Parameters
    ----------
    names
        (value, name). Values of one name make up one organ; a value that belongs to several has
        their names with semicolons between them.
    """
    table: dict[str, tuple[int, ...]] = {}
    for value, name in names:
        for organ in map(organ_name, name.split(";")):
            if organ and value > 0:
                table[organ] = (*table.get(organ, ()), value)
    return with_whole_organs(table)


def read_organ_table(source: str | Path) -> dict[str, tuple[int, ...]]:
    """Read a table of organs and values.

    Parameters
    ----------
    source
        The name of a built-in table ("partition", "totalsegmentator"), or a file: CSV with the
        columns ``organ`` and ``values`` ("10;11"), or YAML with ``organ: value`` or ``organ:
        [value, value]``.

    Returns
    -------
    What it says, and the organs all of whose parts it has (see `MADE_OF`).

    Raises
    ------
    OrganError
        There is no such file, or it is no such table.
    """
    if str(source) in BUILT_IN:
        return dict(BUILT_IN[str(source)])
    path = Path(source)
    try:
        content = path.read_bytes()
        if path.suffix.lower() in {".yaml", ".yml"}:
            rows = _rows_of_yaml(content)
        else:
            rows = _rows_of_csv(content.decode("utf-8-sig"))
        return with_whole_organs(_checked(rows))
    except FileNotFoundError as exc:
        known = " or ".join(BUILT_IN)
        raise OrganError(
            source, "there is no such table of organs", f"Give a file, or {known}"
        ) from exc
    except OSError as exc:
        raise OrganError(source, f"it cannot be read: {exc}", "Choose a CSV or YAML file") from exc
    except UnicodeDecodeError as exc:
        raise OrganError(source, "it is no text in UTF-8", "Save it as UTF-8") from exc
    except ValueError as exc:
        raise OrganError(
            source, str(exc), "Give columns organ,values with lines such as lungs,10;11;12;13;14"
        ) from exc


def _rows_of_csv(text: str) -> list[tuple[str, list[Any]]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    if not {"organ", "values"} <= set(reader.fieldnames or ()):
        raise ValueError("it has no columns organ and values")
    return [((row["organ"] or "").strip(), (row["values"] or "").split(";")) for row in reader]


def _rows_of_yaml(content: bytes) -> list[tuple[str, list[Any]]]:
    table = read_plain_yaml(content)
    if not isinstance(table, dict):
        table = {}  # _checked says that it lists none
    return [
        (str(organ), values if isinstance(values, list) else [values])
        for organ, values in table.items()
    ]


def _checked(rows: list[tuple[str, list[Any]]]) -> dict[str, tuple[int, ...]]:
    table: dict[str, tuple[int, ...]] = {}
    for written, values in rows:
        organ = organ_name(written)
        if not organ:
            raise ValueError("a line names no organ")
        if organ in table:
            raise ValueError(f"organ {organ} is there twice")
        table[organ] = tuple(sorted({_value(organ, value) for value in values if value != ""}))
    if not table:
        raise ValueError("it lists no organ")
    return table


def _value(organ: str, value: Any) -> int:
    # True is a number to Python, and nobody's label.
    text = "" if isinstance(value, bool) else str(value).strip()
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{organ}: {value!r} is not a whole number above 0")
    return int(text)
