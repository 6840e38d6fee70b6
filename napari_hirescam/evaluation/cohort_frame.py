"""A cohort's figures as tables: a row per map, or one measure by case and label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.evaluation.case_measures import MapMeasures
from napari_hirescam.evaluation.cohort_case import MeasuredCase
from napari_hirescam.evaluation.page import missing_extra
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from napari_hirescam.cases import Split

Value = Callable[[MapMeasures], float]


def records(cases: Sequence[MeasuredCase], split: Split | None) -> pd.DataFrame:
    """Lay out a row per case, label and method, with every measure.

    Raises
    ------
    SettingsError
        pandas is not installed.
    """
    return pandas().DataFrame.from_records(
        [
            {
                "case": case.name,
                "patient": case.patient,
                "split": case.split or split,
                **row.as_row(),
            }
            for case in cases
            for row in case.rows
        ]
    )


def by_case_and_label(
    cases: Sequence[MeasuredCase],
    labels: Sequence[str],
    method: str | None,
    value: Value,
    *,
    present: bool | None = None,
) -> FloatArray:
    """One measure of all cases, [cases, labels]; NaN where there is none.

    A `method` of None takes any: scores are the same for all. `present` True or False leaves out
    the maps of other labels.
    """
    column = {label: k for k, label in enumerate(labels)}
    table: FloatArray = np.full((len(cases), len(labels)), np.nan)
    for i, case in enumerate(cases):
        for row in case.rows:
            if method in (None, row.method) and (present is None or row.present is present):
                table[i, column[row.label]] = value(row)
    return table


def organs_of_maps(cases: Sequence[MeasuredCase], labels: Sequence[str], method: str) -> Any:
    """Where each finding may lie in each case, as text [cases, labels]; "" where nobody knows."""
    column = {label: k for k, label in enumerate(labels)}
    table = np.full((len(cases), len(labels)), "", dtype=object)
    for i, case in enumerate(cases):
        for row in case.rows:
            if row.method == method:
                table[i, column[row.label]] = ";".join(row.organs)
    return table


def commonest_organs(cases: Sequence[MeasuredCase]) -> dict[str, str]:
    """Label -> where it may lie in most cases."""
    seen: dict[str, Counter[str]] = {}
    for case in cases:
        for row in case.rows:
            if row.organs:
                seen.setdefault(row.label, Counter())[";".join(row.organs)] += 1
    return {label: counter.most_common(1)[0][0] for label, counter in seen.items()}


def pandas() -> Any:
    """Import pandas, or say which extra brings it."""
    try:
        import pandas as pd
    except ImportError as exc:
        raise missing_extra("pandas") from exc
    return pd
