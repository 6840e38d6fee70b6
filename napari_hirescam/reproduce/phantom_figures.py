"""Figures of the phantom experiment: means over seeds, with intervals by drawing patients.

All networks are measured on the same patients, so a replicate draws patients once, for every
seed, network and method alike; what two of them differ by is paired by that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from napari_hirescam.evaluation.cohort import CohortResult
from napari_hirescam.evaluation.cohort_frame import Value, by_case_and_label
from napari_hirescam.evaluation.cohort_summary import MAP_MEASURES
from napari_hirescam.evaluation.discrimination import discrimination
from napari_hirescam.evaluation.intervals import (
    Estimate,
    Weights,
    estimate,
    mean_of_defined,
    mean_over_labels,
    resample,
    weighted_means,
)
from napari_hirescam.reproduce.phantom import (
    CONFOUNDED,
    METHODS,
    NETWORKS,
    TEST_SETS,
    UNCONFOUNDED,
    WITH,
    WITHOUT,
    Outcome,
)
from napari_hirescam.volume import FloatArray

#: What is said of maps of labels that are present: (value, chance) of one map. A map without a
#: positive cell is silent; it has no OrganIoU, and a network must not win by silence.
MEASURES: dict[str, tuple[Value, Value]] = {
    "organ_iou": MAP_MEASURES["organ_iou"],
    "organ_iou_silent_0": (
        lambda m: 0.0 if m.silent else m.organ_iou,
        lambda m: m.chance_cells,
    ),
    "organ_iou_reference": MAP_MEASURES["organ_iou_reference"],
    "share_inside": MAP_MEASURES["share_inside"],
    "hit": MAP_MEASURES["hit"],
    "lesion_share": MAP_MEASURES["lesion_share"],
    "silent": (lambda m: float(m.silent), lambda _m: float("nan")),
}


@dataclass(frozen=True)
class SeedMean:
    """A figure of one network: mean over seeds.

    Parameters
    ----------
    mean
        With its interval over patients, the seeds being what they are.
    seeds
        The figure of each seed.
    chance
        What chance would give; NaN where it has no say.
    """

    mean: Estimate
    seeds: tuple[float, ...]
    chance: float = float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds; NaN of a single one."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else float("nan")


@dataclass(frozen=True, eq=False)
class Figures:
    """All that is reported.

    Parameters
    ----------
    maps
        (measure, test set, network, method) -> mean over all pairs of a case and a present label.
    labels
        (measure, test set, network, method, label) -> the same for one label.
    auroc
        (test set, network, label or "" for the mean over labels).
    gains
        (measure, test set, method) -> relative gain of the mask loss.
    auroc_gain
        Test set -> difference of the mean AUROC.
    failures
        Seeds of which a network learned nothing, and which. They count in no figure, unless
        there are no others.
    n_counted
        Of the other seeds.
    """

    maps: dict[tuple[str, str, str, str], SeedMean]
    labels: dict[tuple[str, str, str, str, str], SeedMean]
    auroc: dict[tuple[str, str, str], SeedMean]
    gains: dict[tuple[str, str, str], Estimate]
    auroc_gain: dict[str, Estimate]
    failures: dict[int, str] = field(default_factory=dict)
    n_counted: int = 0

    @property
    def gain(self) -> Estimate:
        """The headline: relative gain of OrganIoU (corrected), HiResCAM, confounded test set.

        That set is drawn as the training and validation sets were, as the paper's is.
        """
        return self.gains["organ_iou", CONFOUNDED, "hirescam"]

    @property
    def cost(self) -> Estimate:
        """What the mask loss adds to the mean AUROC where the cues say nothing."""
        return self.auroc_gain[UNCONFOUNDED]


def work_out(outcome: Outcome) -> Figures:
    """Sum up an experiment."""
    labels = outcome.cohorts.confounded.labels
    failures = outcome.failures()
    figures = Figures({}, {}, {}, {}, {}, failures, len(outcome.seeds) - len(failures))
    outcome = outcome.without_failures()
    for part in TEST_SETS:
        cases = outcome.results[WITHOUT, part][0].cases
        weights = resample([case.patient for case in cases], outcome.preset.n_replicates)
        for measure in MEASURES:
            for method in METHODS:
                _maps(figures, outcome, weights, (measure, part, method), labels)
        areas = {}
        for name in NETWORKS:
            per_seed = [_areas(found, labels, weights) for found in outcome.results[name, part]]
            for k, label in enumerate(labels):
                figures.auroc[part, name, label] = _over_seeds(
                    [found[k] for found in per_seed], len(cases), 0.5
                )
            areas[name] = [mean_over_labels(found) for found in per_seed]
            figures.auroc[part, name, ""] = _over_seeds(areas[name], len(cases), 0.5)
        difference = np.mean(areas[WITH], axis=0) - np.mean(areas[WITHOUT], axis=0)
        figures.auroc_gain[part] = estimate(difference, len(cases))
    return figures


def _maps(
    figures: Figures,
    outcome: Outcome,
    weights: Weights,
    which: tuple[str, str, str],
    labels: tuple[str, ...],
) -> None:
    measure, part, method = which
    value, chance = MEASURES[measure]
    means: dict[str, FloatArray] = {}
    for name in NETWORKS:
        tables = [
            by_case_and_label(found.cases, labels, method, value, present=True)
            for found in outcome.results[name, part]
        ]
        by_chance = np.array(
            [
                by_case_and_label(found.cases, labels, method, chance, present=True)
                for found in outcome.results[name, part]
            ]
        )
        each = [weighted_means(table, weights) for table in tables]
        n = int(np.isfinite(tables[0]).sum())
        figures.maps[measure, part, name, method] = _over_seeds(each, n, mean_of_defined(by_chance))
        means[name] = np.mean(each, axis=0)
        for k, label in enumerate(labels):
            figures.labels[measure, part, name, method, label] = _over_seeds(
                [weighted_means(table[:, k], weights) for table in tables],
                int(np.isfinite(tables[0][:, k]).sum()),
                mean_of_defined(by_chance[:, :, k]),
            )
    relative = np.full_like(means[WITHOUT], np.nan)
    np.divide(means[WITH], means[WITHOUT], out=relative, where=means[WITHOUT] > 0)
    n = figures.maps[measure, part, WITHOUT, method].mean.n
    figures.gains[measure, part, method] = estimate(relative - 1, n)


def _over_seeds(replicates: list[FloatArray], n: int, chance: float) -> SeedMean:
    table = np.array(replicates)
    return SeedMean(
        estimate(table.mean(axis=0), n), tuple(float(one) for one in table[:, 0]), chance
    )


def _areas(found: CohortResult, labels: tuple[str, ...], weights: Weights) -> list[FloatArray]:
    truth = by_case_and_label(found.cases, labels, None, lambda row: float(bool(row.present)))
    logits = by_case_and_label(found.cases, labels, None, lambda row: row.logit)
    return [discrimination(truth[:, k], logits[:, k], weights)[0] for k in range(len(labels))]


def as_plain(figures: Figures) -> dict[str, Any]:
    """Lay all figures out for ``figures.json``: nested by the parts of their keys."""
    plain: dict[str, Any] = {}
    parts: tuple[tuple[str, dict[Any, Any], Callable[[Any], Any]], ...] = (
        ("maps", figures.maps, _seed_mean),
        ("labels", figures.labels, _seed_mean),
        ("auroc", figures.auroc, _seed_mean),
        ("relative gain of the mask loss", figures.gains, asdict),
        ("difference of mean AUROC", figures.auroc_gain, asdict),
    )
    for title, content, lay_out in parts:
        for key, found in content.items():
            place = plain.setdefault(title, {})
            *path, last = key if isinstance(key, tuple) else (key,)
            for step in path:
                place = place.setdefault(step, {})
            place[last or "mean over labels"] = lay_out(found)
    plain["seeds that failed"] = figures.failures
    return plain


def _seed_mean(found: SeedMean) -> dict[str, Any]:
    return {**asdict(found.mean), "seeds": found.seeds, "chance": found.chance}
