"""RAD-ChestCT as it is published (Zenodo 6406114): scans in npz files, labels in three tables."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from napari_hirescam.cases.case import SPLITS, Case, CaseTable, Split
from napari_hirescam.cases.file_case import FileCase
from napari_hirescam.cases.rad_chestct_labels import (
    LabelReader,
    LabelRule,
    Sides,
    labels_of,
    rule_of,
)
from napari_hirescam.cases.rad_chestct_tables import (
    Heading,
    read_heading,
    read_patients,
    read_reports,
)
from napari_hirescam.errors import CaseTableError
from napari_hirescam.models.label_lists import label_list_names

_LABELS = "img{split}_Abnormality_and_Location_Labels.csv"
_MOST_NAMED = 5


def read_rad_chestct(
    folder: str | Path,
    labels: str | Sequence[str] = "radchest-80",
    *,
    tables: str | Path | None = None,
    only_present: bool = False,
    at_most: Mapping[Split, int] | None = None,
    sides: Sides = "reported",
) -> CaseTable:
    """Read the data set as published.

    Parameters
    ----------
    folder
        Holds the scans, ``trn00001.npz`` and so on.
    labels
        A shipped list ("radchest-80", "radchest-83", "radchest-9"), or labels: an abnormality of
        the tables ("nodule"), or one in an organ ("lung_nodule", "heart_calcification",
        "h_mediastinum_mass", "h_great_vessel_aneurysm").
    tables
        Holds ``imgtrain_Abnormality_and_Location_Labels.csv``, the same of ``imgvalid`` and
        ``imgtest``, and ``CT_Scan_Metadata_Complete_35747.csv`` if it is there; None if they lie
        beside the scans. Of the tables of labels one may be missing: that split is then empty.
    only_present
        Leave out accessions without a file, and say how many, instead of refusing. The public
        part of the data set has a tenth of the scans that its tables tell of.
    at_most
        Split -> how many of its first cases to take; the paper's smaller experiments use 2,000
        to train and 1,000 to validate.
    sides
        How findings of the lungs are given a side; see `rad_chestct_labels.Sides`.

    Returns
    -------
    Cases in the order of the tables. Where a label is present and its report names an organ,
    the case's `allowed` says which (arXiv 2111.12215, 4.3 in our notes of it); a lung label lies
    in the lungs it is reported in.

    Raises
    ------
    CaseTableError
        A table is malformed, an accession is there twice or has no file, a label is made of
        nothing the tables tell of, or a patient is in two splits.
    """
    folder = Path(folder)
    place = Path(tables) if tables is not None else folder
    names = _labels(labels)
    paths: dict[Split, Path] = {split: place / _LABELS.format(split=split) for split in SPLITS}
    if not any(path.is_file() for path in paths.values()):
        raise CaseTableError(
            place,
            "it holds no table of RAD-ChestCT's labels",
            f"Put {paths['train'].name} and its like there, as they are published",
        )
    listed = _Listed(folder, _scans(folder), at_most or {})
    patients = read_patients(place)
    notes: list[str] = []
    cases: list[Case] = []
    for split, path in paths.items():
        if not path.is_file():
            notes.append(f"There is no table of split {split!r}: it has no cases.")
            continue
        for accession, of_case, allowed in _reports(path, split, names, sides, listed, notes):
            case = FileCase(
                name=accession,
                patient=(patients or {}).get(accession, accession),
                split=split,
                labels=of_case,
                allowed=allowed,
                ct_path=folder / f"{accession}.npz",
            )
            cases.append(case)
    notes += listed.judge_absent(len(cases), only_present=only_present)
    strangers = len(cases) if patients is None else sum(c.name not in patients for c in cases)
    if strangers:
        notes.append(
            f"No table tells the patients of {strangers} scans: each of them counts as a patient "
            "of its own."
        )
    return CaseTable("RAD-ChestCT", names, tuple(cases), tuple(notes))


def _labels(labels: str | Sequence[str]) -> tuple[str, ...]:
    try:
        names = labels_of(labels)
    except KeyError:
        raise CaseTableError(
            "RAD-ChestCT",
            f"there is no list of labels {labels!r}",
            f"Take one of {', '.join(label_list_names())}, or list labels",
        ) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        reason = f"label {', '.join(twice)} is listed twice" if twice else "no label is listed"
        raise CaseTableError("RAD-ChestCT", reason, "List each label once")
    return names


def _scans(folder: Path) -> frozenset[str]:
    # One look at the folder: asking for 36,000 files one by one takes minutes over a network.
    try:
        return frozenset(entry.name for entry in os.scandir(folder))
    except OSError as exc:
        raise CaseTableError(
            folder, f"it cannot be read ({exc.strerror or exc})", "Give the folder of the scans"
        ) from exc


@dataclass
class _Listed:
    """Which accessions of the tables become cases.

    Parameters
    ----------
    folder
        Of the scans.
    scans
        Names of its files.
    at_most
        Split -> how many cases.
    """

    folder: Path
    scans: frozenset[str]
    at_most: Mapping[Split, int]
    met: set[str] = field(default_factory=set)
    absent: list[str] = field(default_factory=list)
    taken: Counter[Split] = field(default_factory=Counter)

    def wants(self, path: Path, split: Split, accession: str) -> bool:
        """Say whether an accession becomes a case.

        Raises
        ------
        CaseTableError
            It was met before.
        """
        if accession in self.met:
            raise CaseTableError(
                path, f"{accession} is listed twice in the tables", "Leave out one of the rows"
            )
        self.met.add(accession)
        if self.taken[split] >= self.at_most.get(split, len(self.met)):
            return False
        if f"{accession}.npz" not in self.scans:
            self.absent.append(accession)
            return False
        self.taken[split] += 1
        return True

    def judge_absent(self, n_cases: int, *, only_present: bool) -> list[str]:
        """Say which accessions have no file, or refuse them.

        Raises
        ------
        CaseTableError
            There are some, and nobody agreed to leave them out; or no other is left.
        """
        if not self.absent and n_cases:
            return []
        some = ", ".join(self.absent[:_MOST_NAMED])
        more = " ..." if len(self.absent) > _MOST_NAMED else ""
        reason = (
            f"{len(self.absent):,} of {len(self.absent) + n_cases:,} accessions of the tables have "
            f"no file NAME.npz: {some}{more}"
        )
        if not n_cases:
            reason = reason if self.absent else "the tables list no accession"
            raise CaseTableError(self.folder, reason, "Give the folder of the scans")
        if not only_present:
            raise CaseTableError(
                self.folder, reason, "Download them, or agree to go on with those that are there"
            )
        return [f"Left out: {reason}."]


def _reports(
    path: Path,
    split: Split,
    labels: tuple[str, ...],
    sides: Sides,
    listed: _Listed,
    notes: list[str],
) -> Iterator[tuple[str, dict[str, bool], dict[str, tuple[str, ...]]]]:
    """Read each wanted accession's labels, and the organs of those present."""
    heading = read_heading(path)
    if heading.others:
        notes.append(f"Ignored columns of {path.name}: {', '.join(heading.others)}.")
    reader = LabelReader(_rules(path, labels, heading), heading.columns, sides)
    for names, reported in read_reports(path, heading, partial(listed.wants, path, split)):
        findings = reader.read(reported)
        present = np.stack([one.present for one in findings], axis=1).tolist()
        allowed: list[dict[str, tuple[str, ...]]] = [{} for _ in names]
        for label, one in zip(labels, findings, strict=True):
            for organ, told in one.organs.items():
                for k in np.flatnonzero(told & one.present).tolist():
                    allowed[k][label] = (*allowed[k].get(label, ()), organ)
        for k, name in enumerate(names):
            yield name, dict(zip(labels, present[k], strict=True)), allowed[k]


def _rules(path: Path, labels: tuple[str, ...], heading: Heading) -> list[LabelRule]:
    abnormalities = {abnormality for abnormality, _ in heading.columns}
    rules: list[LabelRule] = []
    unknown: list[str] = []
    for label in labels:
        try:
            rules.append(rule_of(label, abnormalities))
        except KeyError:
            unknown.append(label)
    if unknown:
        some = ", ".join(unknown[:_MOST_NAMED]) + (" ..." if len(unknown) > _MOST_NAMED else "")
        raise CaseTableError(
            path,
            f"it tells of no abnormality for {len(unknown)} of {len(labels)} labels: {some}",
            "Use the table as it is published, or ask for labels that it has",
        )
    return rules
