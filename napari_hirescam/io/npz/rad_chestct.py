"""What is published of RAD-ChestCT's files: how they lie, their labels and their lung boxes.

A file holds one array ``ct``, int16, [slice, row, column] to inferior, posterior and left, HU
clipped to -1000 ... 1000, resampled by its authors to voxels of 0.8 mm. The original position
in the scanner is not published. Tables that come with the data set (Zenodo 6406114) are used
where they lie beside the file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam.io.asking import ConsentNeededError
from napari_hirescam.io.npz.npy_header import StoredArray
from napari_hirescam.io.npz.place import Place
from napari_hirescam.source import Fact, Repair, Repaired
from napari_hirescam.volume import scaling

_SPACING_MM = 0.8
_LIMIT_HU = 1000
_NAME = re.compile(r"(trn|val|tst)\d{5}\.npz")
_KEYS = ("VolumeAcc_DEID", "NoteAcc_DEID")
_AXIAL = "1,0,0,0,1,0"
_BOX = (
    ("sup_axis0min", "inf_axis0max"),
    ("ant_axis1min", "pos_axis1max"),
    ("rig_axis2min", "lef_axis2max"),
)
# Of the many columns those that say how the picture was made; ages and numbers of patients are
# nobody's business here.
_TOLD = {
    "Manufacturer": "Manufacturer",
    "ManufacturerModelName": "Model",
    "ConvolutionKernel": "Kernel",
    "SliceThickness": "Slice thickness before resampling (mm)",
    "orig_yxspacing": "Pixel spacing before resampling (mm)",
    "orig_zdiff": "Slice spacing before resampling (mm)",
}


@dataclass(frozen=True, eq=False)
class Known:
    """What the tables beside a file tell of it.

    Parameters
    ----------
    row
        Its row of the metadata; empty if there is no such table, or not this file in it.
    details, facts
        For the volume's source: labels, lung box, scanner.
    """

    row: Mapping[str, str]
    details: dict[str, Any] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()


def recognised(path: Path, array: StoredArray, arrays: tuple[StoredArray, ...]) -> Known | None:
    """Say what is known of a file if it is one of the data set's, by name and content."""
    shape = array.shape
    looks_like_it = (
        _NAME.fullmatch(path.name) is not None
        and array.name == "ct"
        and len(arrays) == 1
        and array.dtype == np.int16
        and len(shape) == 3
        and shape[1] == shape[2]
    )
    if not looks_like_it:
        return None
    row, remarks = _row(path, ("CT_Scan_Metadata_Complete*.csv",))
    labels, more = _row(path, ("img*_Abnormality_and_Location_Labels*.csv",))
    box, still_more = _row(path, ("Extrema*.csv", "extrema*.csv"))
    details: dict[str, Any] = {}
    facts = [Fact("File", "Data set", "RAD-ChestCT, HU clipped to -1000 ... 1000")]
    facts += [
        Fact("File", "Table", "not understood", remark) for remark in (*remarks, *more, *still_more)
    ]
    for column, name in _TOLD.items():
        if row.get(column):
            facts.append(Fact("Acquisition", name, row[column]))
    if row.get("zdiffs_all_equal", "").lower() == "false":
        facts.append(
            Fact(
                "Acquisition",
                "Slices before resampling",
                "unevenly spaced",
                "the data set's authors treated them as even, so heights are not reliable",
            )
        )
    found = _labels(labels)
    if labels:
        details["abnormalities"] = found
        told = ", ".join(
            name + (f" ({', '.join(places)})" if places else "") for name, places in found.items()
        )
        facts.append(Fact("Labels", "Abnormalities", told or "none"))
    lungs = _box(box, shape)
    if lungs is not None:
        details["lung_box"] = lungs
        sizes = " x ".join(f"{(high - low) * _SPACING_MM:.0f}" for low, high in lungs)
        facts.append(Fact("Labels", "Lung box", f"{sizes} mm"))
    elif box:
        facts.append(Fact("Labels", "Lung box", "not usable", "it does not lie in the volume"))
    return Known(row, details, tuple(facts))


def place_of(path: Path, array: StoredArray, known: Known, allow: Collection[Repair]) -> Place:
    """Where a file of the data set lies.

    Raises
    ------
    ConsentNeededError
        If the metadata beside it are of another volume, or say something else.
    """
    problem = _contradiction(known.row, array.shape) if known.row else ""
    origin = (
        "RAD-ChestCT does not publish where its scans lay in the scanner; positions are counted "
        "from the first voxel."
    )
    notes = [origin]
    repaired: tuple[Repaired, ...] = ()
    if problem:
        if Repair.ASSUME_PLACE not in allow:
            raise ConsentNeededError(
                path,
                f"it is named like a file of RAD-ChestCT, but the metadata beside it {problem}",
                "Check that the tables belong to it, or agree to assume voxels of 0.8 mm along "
                "inferior, posterior and left, as in that data set",
                (Repair.ASSUME_PLACE,),
            )
        what = (
            f"The metadata beside the file {problem}; voxels of 0.8 mm along inferior, posterior "
            "and left were assumed."
        )
        repaired = (Repaired(Repair.ASSUME_PLACE, what, asked=True),)
        notes.append(what)
    elif not known.row:
        notes.append(
            "Its voxels were taken to be 0.8 mm, as all of RAD-ChestCT; no table beside it says so."
        )
    return Place(scaling((_SPACING_MM,) * 3), tuple(notes), repaired)


def has_its_range(lowest: Any, highest: Any) -> bool:
    """Say whether HU are clipped as the data set's are."""
    return bool(lowest >= -_LIMIT_HU and highest <= _LIMIT_HU)


def _contradiction(row: Mapping[str, str], shape: tuple[int, ...]) -> str:
    orientation = row.get("orig_orientation", "").replace(" ", "").strip("[]()")
    if orientation and orientation != _AXIAL:
        return f"gives the orientation {orientation}"
    for column, expected in (
        ("final_spacing", _SPACING_MM),
        ("final_numslices", shape[0]),
        ("final_square", shape[1]),
    ):
        text = row.get(column, "")
        if text and not np.isclose(_number(text), expected):
            return f"says {column} {text}, not {expected:g}"
    return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _row(path: Path, patterns: tuple[str, ...]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Find a file's row in the first table that has one, and what could not be understood."""
    remarks: list[str] = []
    tables = sorted({table for pattern in patterns for table in path.parent.glob(pattern)})
    for table in tables:
        try:
            row = next(_rows_of(table, path.stem), None)
        except (OSError, csv.Error, UnicodeError) as exc:
            remarks.append(f"{table.name}: {exc}")
            continue
        if row is not None:
            return row, tuple(remarks)
    return {}, tuple(remarks)


def _rows_of(table: Path, accession: str) -> Iterator[Mapping[str, str]]:
    told = table.stat()
    heading, offsets = _places_of_rows(table, told.st_mtime_ns, told.st_size)
    if accession not in offsets:
        return
    with table.open("rb") as stream:
        stream.seek(offsets[accession])
        values = next(csv.reader([stream.readline().decode("utf-8")]), [])
    if len(values) != len(heading):
        return
    row = dict(zip(heading, values, strict=True))
    if accession in {row.get(key, "").removesuffix(".npz") for key in _KEYS}:
        yield row


# A table is looked through once: it may have hundreds of megabytes, and whoever trains reads
# thousands of scans that lie beside it.
@lru_cache(maxsize=8)
def _places_of_rows(
    table: Path,
    changed_ns: int,  # noqa: ARG001 - with the size, tells a table from what it was before
    size: int,  # noqa: ARG001
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Find where the rows of a table begin.

    Returns
    -------
    Its heading, and for each accession the byte its row begins at.
    """
    offsets: dict[str, int] = {}
    with table.open("rb") as stream:
        heading = next(csv.reader([stream.readline().decode("utf-8-sig")]), [])
        keys = [heading.index(key) for key in _KEYS if key in heading]
        offset = stream.tell()
        for line in stream:
            for accession in _accessions(line, keys):
                offsets.setdefault(accession, offset)
            offset += len(line)
    return tuple(heading), offsets


def _accessions(line: bytes, keys: Collection[int]) -> Iterator[str]:
    """Give what the key columns of a row hold."""
    if not keys:
        return
    if b'"' in line:
        cells = next(csv.reader([line.decode("utf-8", errors="replace")]), [])
        yield from (cells[key].removesuffix(".npz") for key in keys if key < len(cells))
        return
    # Mostly the first of thousands of cells: the others need not be parted.
    parts = line.rstrip(b"\r\n").split(b",", max(keys) + 1)
    for key in keys:
        if key < len(parts):
            yield parts[key].decode("utf-8", errors="replace").removesuffix(".npz")


def _labels(row: Mapping[str, str]) -> dict[str, list[str]]:
    """Abnormality to the places it was reported in, from columns ``abnormality*location``."""
    found: dict[str, list[str]] = {}
    for column, text in row.items():
        abnormality, star, location = column.partition("*")
        if star and _number(text) > 0:
            found.setdefault(abnormality, []).append(location)
    return found


def _box(row: Mapping[str, str], shape: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """First and last-but-one index of the lungs along each axis."""
    if not row:
        return None
    ends = [tuple(_number(row.get(name, "")) for name in names) for names in _BOX]
    if not np.isfinite(ends).all():
        return None
    box = [(int(low), int(high)) for low, high in ends]
    inside = all(0 <= low < high <= n for (low, high), n in zip(box, shape, strict=True))
    return box if inside else None
