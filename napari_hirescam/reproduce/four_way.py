"""Two networks by two methods over the same test cases: the paper's tables, with intervals.

Rows are networks (trained without and with the mask loss), columns are methods of attention. The
paper's headline figure is the mean OrganIoU over all pairs of a case and a label present in it
(arXiv 2011.08891v2, Tables 1 and 2); beside it stand what chance would give, the share of
attention inside, and the scores, which the mask loss must not cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.evaluation.cohort_frame import by_case_and_label
from napari_hirescam.evaluation.cohort_plots import title_of
from napari_hirescam.evaluation.cohort_summary import MAP_MEASURES
from napari_hirescam.evaluation.cohort_tables import interval_text
from napari_hirescam.evaluation.intervals import (
    N_REPLICATES,
    SEED,
    Estimate,
    estimate,
    resample,
    weighted_means,
)
from napari_hirescam.evaluation.page import Table

if TYPE_CHECKING:
    import pandas as pd

    from napari_hirescam.evaluation.cohort import CohortResult

_NAN = float("nan")
_MEASURES = {
    "organ_iou": "OrganIoU, corrected",
    "organ_iou_reference": "OrganIoU, as in the reference",
    "share_inside": "share of positive attention inside",
    "hit": "strongest cell inside",
}


@dataclass(frozen=True, eq=False)
class Compared:
    """Networks that were measured on the same cases, the one without mask loss first.

    Parameters
    ----------
    results
        Network's name -> what was measured.
    n_replicates, seed
        Of the intervals.
    """

    results: Mapping[str, CohortResult]
    n_replicates: int = N_REPLICATES
    seed: int = SEED

    def summaries(self) -> dict[str, pd.DataFrame]:
        """Sum up each network; see :meth:`CohortResult.summary`."""
        return {
            name: result.summary(self.n_replicates, self.seed)
            for name, result in self.results.items()
        }


def attention_table(compared: Compared, summaries: Mapping[str, pd.DataFrame]) -> Table:
    """Where the networks look: each measure over all pairs of a case and a present label."""
    methods = next(iter(compared.results.values())).methods
    rows: list[tuple[str | int | float, ...]] = []
    for measure, words in _MEASURES.items():
        for name, summary in summaries.items():
            found = [_row(summary, "micro", "", method, measure) for method in methods]
            if any(one is not None for one in found):
                chance = next(one["chance"] for one in found if one is not None)
                n = max(int(one["n"]) for one in found if one is not None)
                rows.append((words, name, *map(_with_interval, found), chance, n))
    return Table(
        ("measure", "network", *map(title_of, methods), "chance", "pairs"),
        tuple(rows),
        "Means over all pairs of a test case and a label that is present in it; in brackets 95 % "
        f"intervals by drawing patients, {compared.n_replicates} times. Thresholds were tuned for "
        "each label, network and method on the validation cases. 'As in the reference' is 0 where "
        "nothing leaks out of the organ.",
    )


def score_table(compared: Compared, summaries: Mapping[str, pd.DataFrame]) -> Table:
    """How well the networks tell labels, as mean over labels and over all scores together."""
    rows: list[tuple[str | int | float, ...]] = []
    for name, summary in summaries.items():
        cells = [
            _with_interval(_row(summary, level, "", "", measure))
            for level in ("macro", "micro")
            for measure in ("auroc", "average_precision")
        ]
        rows.append((name, *cells, len(compared.results[name].cases)))
    return Table(
        (
            *("network", "AUROC, mean over labels", "average precision, mean over labels"),
            *("AUROC, all scores", "average precision, all scores", "cases"),
        ),
        tuple(rows),
        "In brackets 95 % intervals by drawing patients. Labels of which all or no test cases are "
        "present have no AUROC and are left out of its mean.",
    )


def label_table(summaries: Mapping[str, pd.DataFrame], method: str = "hirescam") -> Table:
    """OrganIoU and AUROC of each label, the networks side by side."""
    rows: list[tuple[str | int | float, ...]] = []
    labels: dict[str, None] = {}
    for summary in summaries.values():
        labels |= dict.fromkeys(summary["name"][summary["level"] == "label"])
    for label in labels:
        cells: list[float] = []
        for measure, of in (("organ_iou", method), ("auroc", "")):
            for summary in summaries.values():
                found = _row(summary, "label", label, of, measure)
                cells.append(_NAN if found is None else float(found["value"]))
        if not all(np.isnan(cells)):
            rows.append((label, *cells))
    names = list(summaries)
    header = ("label", *(f"OrganIoU, {n}" for n in names), *(f"AUROC, {n}" for n in names))
    left_out = len(labels) - len(rows)
    more = f" {left_out} labels without any figure are left out." if left_out else ""
    return Table(
        header, tuple(rows), f"OrganIoU is the corrected one, of {title_of(method)}.{more}"
    )


def gain(
    compared: Compared, method: str = "hirescam", measure: str = "organ_iou"
) -> tuple[Estimate, Estimate]:
    """Compare the last network's attention with the first one's, on the cases both measured.

    Returns
    -------
    The difference of the means, and the relative gain: last / first - 1.
    """
    first, last = (list(compared.results.values())[k] for k in (0, -1))
    names = {case.name for case in first.cases} & {case.name for case in last.cases}
    value, _ = MAP_MEASURES[measure]
    of_first, of_last = (
        by_case_and_label(
            [case for case in result.cases if case.name in names],
            result.labels,
            method,
            value,
            present=True,
        )
        for result in (first, last)
    )
    patients = [case.patient for case in first.cases if case.name in names]
    if not patients:
        nothing = Estimate(_NAN, _NAN, _NAN, 0, "no case was measured with both networks")
        return nothing, nothing
    weights = resample(patients, compared.n_replicates, compared.seed)
    before, after = weighted_means(of_first, weights), weighted_means(of_last, weights)
    n = int(np.isfinite(of_first).any(axis=1).sum())
    relative = np.full_like(before, _NAN)
    np.divide(after, before, out=relative, where=before > 0)
    return estimate(after - before, n), estimate(relative - 1, n)


def gain_sentence(compared: Compared) -> str:
    """Say in a sentence what the mask loss did to OrganIoU under HiResCAM."""
    _, relative = gain(compared)
    if not np.isfinite(relative.value):
        return (
            "OrganIoU could not be compared: "
            + (relative.note or "it is not defined for both networks")
            + "."
        )
    direction = "raises" if relative.value >= 0 else "lowers"
    interval = ""
    if np.isfinite(relative.low):
        interval = f"95 % interval {relative.low:+.0%} to {relative.high:+.0%}, "
    return (
        f"The mask loss {direction} the mean OrganIoU (corrected) of HiResCAM by "
        f"{abs(relative.value):.0%} of what it is without ({interval}{relative.n} test cases)."
    )


def figures(compared: Compared, summaries: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Lay out all figures as plain values, for ``figures.json``."""
    gains = {}
    for method in next(iter(compared.results.values())).methods:
        for measure in _MEASURES:
            difference, relative = gain(compared, method, measure)
            gains[f"{method} {measure}"] = {
                "difference": asdict(difference),
                "relative": asdict(relative),
            }
    return {
        "networks": {name: s.to_dict(orient="records") for name, s in summaries.items()},
        "mask loss against none": gains,
    }


def _row(summary: pd.DataFrame, level: str, name: str, method: str, measure: str) -> Any:
    wanted = {"level": level, "name": name, "method": method, "measure": measure}
    chosen = np.logical_and.reduce([summary[column] == value for column, value in wanted.items()])
    return summary[chosen].iloc[0] if chosen.any() else None


def _with_interval(row: Any) -> str:
    return "\N{EN DASH}" if row is None else interval_text(row)
