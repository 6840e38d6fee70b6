"""A cohort summed up: figures per label, per organ, micro and macro, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hirescam.evaluation.case_measures import MapMeasures
from napari_hirescam.evaluation.cohort_case import MeasuredCase
from napari_hirescam.evaluation.cohort_frame import (
    Value,
    by_case_and_label,
    commonest_organs,
    organs_of_maps,
    pandas,
)
from napari_hirescam.evaluation.discrimination import ONE_CLASS, discrimination
from napari_hirescam.evaluation.intervals import (
    N_REPLICATES,
    SEED,
    Estimate,
    Weights,
    estimate,
    mean_of_defined,
    mean_over_labels,
    resample,
    weighted_means,
)
from napari_hirescam.volume import FloatArray

if TYPE_CHECKING:
    import pandas as pd

_NAN = float("nan")

#: Measures of maps of present labels, and what chance would give: (value, chance) of one map.
MAP_MEASURES: dict[str, tuple[Value, Value]] = {
    "organ_iou": (lambda m: m.organ_iou, lambda m: m.chance_cells),
    "organ_iou_reference": (lambda m: m.organ_iou_reference, lambda m: m.chance_cells),
    "share_inside": (lambda m: m.share_inside, lambda m: m.chance_share),
    "hit": (lambda m: m.hit, lambda m: m.chance_cells),
    "lesion_share": (lambda m: m.lesion_share, lambda m: m.lesion_chance_share),
    "lesion_hit": (lambda m: m.lesion_hit, lambda m: m.lesion_chance_hit),
    # A map that marks every cell: all of the lesion in the map over all of the map.
    "lesion_iou": (lambda m: m.lesion_iou, lambda m: m.lesion_chance_share),
    "lesion_iou_best": (lambda m: m.lesion_iou_best, lambda _m: _NAN),
    "deletion": (lambda m: m.deletion, lambda _m: 0.0),
    "insertion": (lambda m: m.insertion, lambda _m: 0.0),
}

#: Measures of a map's strength, of labels that are present or absent; chance has no say in them.
_STRENGTHS: tuple[tuple[str, bool, Value], ...] = (
    ("positive_sum_present", True, lambda m: m.positive_sum),
    ("positive_sum_absent", False, lambda m: m.positive_sum),
    ("silent", True, lambda m: float(m.silent)),
)


def summary(
    cases: Sequence[MeasuredCase],
    labels: Sequence[str],
    methods: Sequence[str],
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
) -> pd.DataFrame:
    """Sum up a cohort.

    Parameters
    ----------
    cases
        What was measured.
    labels, methods
        In the order of the result. Differences are those of the first method from each other.
    n_replicates, seed
        Of the intervals: patients drawn with replacement.

    Returns
    -------
    A row per figure, with the columns

    - level: "label"; "organ" (maps whose label may lie there; for scores the mean over its
      labels); "micro" (all maps, or all scores, together); "macro" (mean over labels);
    - name: of the label or organ; method: "" for scores, "hirescam - gradcam" for a difference;
    - measure: "auroc", "average_precision", those of :data:`MAP_MEASURES` (maps of present
      labels), "positive_sum_present", "positive_sum_absent" (in units of the logit), "silent"
      (share of present labels' maps without a positive cell);
    - value, low, high: 95 % interval; n: maps or cases it rests on; spread: standard deviation
      over them; chance: what chance would give; note: why there is none.

    Raises
    ------
    SettingsError
        pandas is not installed.
    """
    weights = resample([case.patient for case in cases], n_replicates, seed)
    rows = [
        *_scores(cases, labels, weights),
        *_maps(cases, labels, methods, weights),
    ]
    return pandas().DataFrame.from_records(rows, columns=_COLUMNS)


_COLUMNS = (
    "level", "name", "method", "measure", "value", "low", "high", "n", "spread", "chance", "note",
)  # fmt: skip


def _row(
    level: str,
    name: str,
    method: str,
    measure: str,
    found: Estimate,
    *,
    spread: float = _NAN,
    chance: float = _NAN,
) -> dict[str, Any]:
    return {
        "level": level,
        "name": name,
        "method": method,
        "measure": measure,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "spread": spread,
        "chance": chance,
        "note": found.note,
    }


def _scores(
    cases: Sequence[MeasuredCase], labels: Sequence[str], weights: Weights
) -> Iterator[dict[str, Any]]:
    """AUROC and average precision; scores are the same for every method."""
    truth = by_case_and_label(cases, labels, None, _truth)
    logits = by_case_and_label(cases, labels, None, lambda m: m.logit)
    known = np.isfinite(truth)
    areas: dict[str, tuple[FloatArray, FloatArray]] = {}
    for k, label in enumerate(labels):
        if not known[:, k].any():
            continue
        there = known[:, k]
        areas[label] = discrimination(truth[there, k], logits[there, k], weights[:, there])
        prevalence = float(truth[there, k].mean())
        yield from _both_areas("label", label, areas[label], int(there.sum()), prevalence)
    if not areas:
        return
    organ_of = commonest_organs(cases)
    for organ in sorted({organ_of[label] for label in areas if label in organ_of}):
        members = [areas[label] for label in areas if organ_of.get(label) == organ]
        yield from _both_areas("organ", organ, _means_of_areas(members), len(cases))
    yield from _both_areas("macro", "", _means_of_areas(list(areas.values())), len(cases))
    pooled = discrimination(truth[known], logits[known], weights, np.nonzero(known)[0])
    prevalence = float(truth[known].mean())
    yield from _both_areas("micro", "", pooled, int(known.sum()), prevalence)


def _truth(row: MapMeasures) -> float:
    return _NAN if row.present is None else float(row.present)


def _means_of_areas(
    areas: Sequence[tuple[FloatArray, FloatArray]],
) -> tuple[FloatArray, FloatArray]:
    return (
        mean_over_labels([auroc for auroc, _ in areas]),
        mean_over_labels([precision for _, precision in areas]),
    )


def _both_areas(
    level: str, name: str, areas: tuple[FloatArray, FloatArray], n: int, prevalence: float = _NAN
) -> Iterator[dict[str, Any]]:
    for measure, found, chance in zip(
        ("auroc", "average_precision"), areas, (0.5, prevalence), strict=True
    ):
        note = "" if np.isfinite(found[0]) else ONE_CLASS
        yield _row(level, name, "", measure, estimate(found, n, note), chance=chance)


def _maps(
    cases: Sequence[MeasuredCase], labels: Sequence[str], methods: Sequence[str], weights: Weights
) -> Iterator[dict[str, Any]]:
    first = {}
    for method in methods:
        organs = organs_of_maps(cases, labels, method)
        for measure, (value, chance) in MAP_MEASURES.items():
            values = by_case_and_label(cases, labels, method, value, present=True)
            by_chance = by_case_and_label(cases, labels, method, chance, present=True)
            yield from _levels(method, measure, values, by_chance, organs, labels, weights)
            if method == methods[0]:
                first[measure] = values
            else:
                difference = first[measure] - values
                name = f"{methods[0]} - {method}"
                none = np.full_like(difference, _NAN)
                if measure != "lesion_iou_best":
                    yield from _levels(name, measure, difference, none, organs, labels, weights)
        for measure, present, value in _STRENGTHS:
            values = by_case_and_label(cases, labels, method, value, present=present)
            none = np.full_like(values, _NAN)
            yield from _levels(method, measure, values, none, organs, labels, weights)


def _levels(
    method: str,
    measure: str,
    values: FloatArray,
    chance: FloatArray,
    organs: Any,
    labels: Sequence[str],
    weights: Weights,
) -> Iterator[dict[str, Any]]:
    """Means of a table [cases, labels] per label, per organ, over all maps and over labels."""
    defined = np.isfinite(values)
    if not defined.any():
        return

    def one(level: str, name: str, chosen: FloatArray) -> tuple[dict[str, Any], FloatArray]:
        there = np.isfinite(chosen)
        means = weighted_means(chosen, weights)
        by_chance = chance[there & np.isfinite(chance)] if chosen.shape == chance.shape else none
        row = _row(
            level, name, method, measure, estimate(means, int(there.sum())),
            spread=float(np.std(chosen[there])),
            chance=float(by_chance.mean()) if by_chance.size else _NAN,
        )  # fmt: skip
        return row, means

    none = np.empty(0)
    of_labels, chances = [], []
    for k, label in enumerate(labels):
        if defined[:, k].any():
            only = np.full_like(values, _NAN)
            only[:, k] = values[:, k]
            row, means = one("label", label, only)
            of_labels.append(means)
            chances.append(row["chance"])
            yield row
    for organ in sorted(set(organs[defined]) - {""}):
        yield one("organ", organ, np.where(organs == organ, values, _NAN))[0]
    yield one("micro", "", values)[0]
    found = estimate(mean_over_labels(of_labels), int(defined.sum()))
    spread = float(np.std([means[0] for means in of_labels]))
    yield _row("macro", "", method, measure, found, spread=spread, chance=mean_of_defined(chances))
