"""Whose scan it is: told on request alone, and kept out of everything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.series import Series
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.source import Fact

_IDENTIFYING = {
    "PatientName": "Patient's name",
    "PatientID": "Patient ID",
    "PatientBirthDate": "Birth date",
    "PatientSex": "Sex",
    "PatientAge": "Age",
    "StudyDate": "Study date",
    "AccessionNumber": "Accession number",
    "InstitutionName": "Institution",
    "ReferringPhysicianName": "Referring physician",
    "StudyDescription": "Study description",
}
_PEOPLE = ("PatientName", "PatientID", "ReferringPhysicianName")
_CIRCUMSTANCES = ("PatientBirthDate", "StudyDate", "AccessionNumber", "InstitutionName")
_SHORTEST_WORD = 4
"""Shorter ones, "CT" or "Lee", would be found in descriptions by chance."""


def identity(headers: Sequence[SliceHeader]) -> tuple[Fact, ...]:
    """Read whose scans these are.

    Parameters
    ----------
    headers
        One slice of each series; where they differ, all that is said is told.

    Raises
    ------
    VolumeError
        If a file cannot be read any more.
    """
    said: dict[str, dict[str, None]] = {name: {} for name in _IDENTIFYING.values()}
    for header in headers:
        try:
            dataset = _read(header.path)
            values = {
                name: str(dataset.get(keyword) or "") for keyword, name in _IDENTIFYING.items()
            }
        except Exception as exc:  # a damaged file makes pydicom raise anything
            raise VolumeError(
                header.path,
                f"its header cannot be read ({type(exc).__name__})",
                "Copy or export it again",
            ) from exc
        for name, value in values.items():
            if value:
                said[name][value] = None
    return tuple(
        Fact("Identifying", name, "; ".join(values)) for name, values in said.items() if values
    )


def without_identity(series: Series) -> Series:
    """Take a description away that repeats the patient's name, ID or the like.

    Such descriptions are shown, written into files and used as names.
    """
    description = series.first.description
    if not description or not names_patient(description, series.first.path):
        return series
    slices = tuple(replace(header, description="") for header in series.slices)
    label = "" if description in series.phase.label else series.phase.label
    return replace(series, phase=replace(series.phase, slices=slices, label=label))


def names_patient(text: str, path: Path) -> bool:
    """Say whether a text contains what a file's header says of patient, place or date.

    Where the header cannot be read, it might.
    """
    try:
        dataset = _read(path)
        people, others = (
            [str(dataset.get(keyword) or "") for keyword in keywords]
            for keywords in (_PEOPLE, _CIRCUMSTANCES)
        )
    except Exception:  # noqa: BLE001 - a damaged file makes pydicom raise anything
        return True
    # A single word of an institution's name, "chest" say, gives nobody away.
    single = {word for value in people for word in _words(value) if len(word) >= _SHORTEST_WORD}
    whole = [_letters(value) for value in (*people, *others)]
    return bool(single & _words(text)) or any(
        len(value) >= _SHORTEST_WORD and value in _letters(text) for value in whole
    )


def _words(text: str) -> set[str]:
    return {word.casefold() for word in re.findall(r"\w+", text.replace("_", " "))}


def _letters(text: str) -> str:
    return "".join(re.findall(r"\w", text.replace("_", ""))).casefold()


def _read(path: Path) -> Any:
    import pydicom

    return pydicom.dcmread(
        path,
        stop_before_pixels=True,
        force=True,
        specific_tags=[*_IDENTIFYING, "SpecificCharacterSet"],
    )
