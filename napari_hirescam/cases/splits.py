"""Splitting a table of cases so that no patient is in two parts of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_hirescam.cases.case import SPLITS, CaseTable, Split, same_patient
from napari_hirescam.errors import CaseTableError


def split_by_patient(
    table: CaseTable, train: float = 0.7, valid: float = 0.15, test: float = 0.15, *, seed: int = 0
) -> CaseTable:
    """Draw the splits of a table that has none.

    Whole patients are drawn, so shares of cases come out as asked only on average.

    Parameters
    ----------
    table
        None of its cases is in a split.
    train, valid, test
        Shares of the patients; their ratios count.
    seed
        Of the draw; it does not depend on the order of the cases.

    Raises
    ------
    CaseTableError
        A case is in a split already, a share is negative, or a split that is asked for would be
        empty.
    """
    placed = next((case for case in table.cases if case.split is not None), None)
    if placed is not None:
        raise CaseTableError(
            table.name, f"case {placed.name} is in a split already", "Empty its column 'split'"
        )
    shares = np.array([train, valid, test], dtype=np.float64)
    if (shares < 0).any() or not shares.sum() > 0:
        raise CaseTableError(
            table.name,
            f"it cannot be split {train:g} : {valid:g} : {test:g}",
            "Give shares of 0 or more, not all of them 0",
        )
    patients = np.array(sorted({same_patient(case.patient) for case in table.cases}))
    drawn = np.random.default_rng(seed).permutation(patients)
    ends = np.rint(np.cumsum(shares / shares.sum()) * len(drawn)).astype(int)
    split_of: dict[str, Split] = {}
    for split, share, part in zip(SPLITS, shares, np.split(drawn, ends[:-1]), strict=True):
        if share and not part.size:
            raise CaseTableError(
                table.name,
                f"{len(drawn)} patients are too few for a split {split!r}",
                "Give it a larger share, or more patients to the table",
            )
        split_of |= dict.fromkeys(part.tolist(), split)
    cases = tuple(replace(case, split=split_of[same_patient(case.patient)]) for case in table.cases)
    note = f"The splits were drawn by patient, {train:g} : {valid:g} : {test:g}, seed {seed}."
    return replace(table, cases=cases, notes=(*table.notes, note))
