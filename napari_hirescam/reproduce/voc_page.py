"""The figures and the report page of ``reproduce voc``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from napari_hirescam.attention import METHODS as ALL_METHODS
from napari_hirescam.evaluation.intervals import Estimate, bootstrap_mean
from napari_hirescam.evaluation.page import Figure, Page, Section, Table
from napari_hirescam.reproduce.overlays import draw_rows
from napari_hirescam.reproduce.voc import METHODS, THRESHOLDS, VocFindings, VocRow, tuned_iou

#: Thresholds of the IoU that are fixed beforehand.
FIXED = (0.2, 0.5)
_MEASURES = ("share", "extent", "hit", *(f"iou_{t:g}" for t in FIXED), "iou_tuned")
_TITLES = {
    "share": "share inside",
    "extent": "extent",
    "hit": "hit",
    **{f"iou_{t:g}": f"IoU at {t:g}" for t in FIXED},
    "iou_tuned": "IoU, tuned",
}


@dataclass(frozen=True)
class Summary:
    """All objects at one layer by one method: means over objects, intervals by image.

    Parameters
    ----------
    layer, method
        What was measured.
    n
        Objects, that is classes of images.
    means
        Measure -> mean and interval.
    chance, hit_chance
        Of an even map.
    median_threshold
        Of the tuned IoU.
    without_map
        Objects whose map has no positive cell; their IoU is 0, the other measures have none.
    largest_difference
        From HiResCAM's map, as a share of that map's largest value.
    """

    layer: str
    method: str
    n: int
    means: dict[str, Estimate]
    chance: float
    hit_chance: float
    median_threshold: float
    without_map: int
    largest_difference: float


@dataclass(frozen=True)
class Difference:
    """HiResCAM less Grad-CAM at one layer, object by object; intervals by image."""

    layer: str
    means: dict[str, Estimate]


def _values(rows: Sequence[VocRow]) -> dict[str, Any]:
    ious = np.array([row.ious for row in rows])
    return {
        "share": np.array([row.share for row in rows]),
        "extent": np.array([row.extent for row in rows]),
        "hit": np.array([row.hit for row in rows]),
        **{f"iou_{t:g}": ious[:, THRESHOLDS.index(t)] for t in FIXED},
        "iou_tuned": tuned_iou(rows)[0],
    }


def _of(findings: VocFindings, layer: str, method: str) -> list[VocRow]:
    return [row for row in findings.rows if (row.layer, row.method) == (layer, method)]


def summaries_of(findings: VocFindings, seed: int) -> list[Summary]:
    """Sum up each layer and method."""
    found = []
    for layer in findings.guarantees:
        for method in METHODS:
            rows = _of(findings, layer, method)
            images = [row.image for row in rows]
            found.append(
                Summary(
                    layer=layer,
                    method=method,
                    n=len(rows),
                    means={
                        name: bootstrap_mean(values, images, seed=seed)
                        for name, values in _values(rows).items()
                    },
                    chance=float(np.mean([row.chance for row in rows])),
                    hit_chance=float(np.mean([row.hit_chance for row in rows])),
                    median_threshold=float(np.median(tuned_iou(rows)[1])),
                    without_map=sum(bool(np.isnan(row.share)) for row in rows),
                    largest_difference=max(row.difference for row in rows),
                )
            )
    return found


def differences_of(findings: VocFindings, seed: int) -> list[Difference]:
    """Compare the methods object by object."""
    found = []
    for layer in findings.guarantees:
        rows = _of(findings, layer, METHODS[0])
        first, second = (_values(_of(findings, layer, method)) for method in METHODS)
        images = [row.image for row in rows]
        found.append(
            Difference(
                layer,
                {
                    name: bootstrap_mean(first[name] - second[name], images, seed=seed)
                    for name in _MEASURES
                },
            )
        )
    return found


def figures_of(findings: VocFindings, seed: int) -> dict[str, Any]:
    """Everything that was measured, for ``figures.json``."""
    return {
        "guarantees": findings.guarantees,
        "skipped": findings.skipped,
        "summaries": [asdict(summary) for summary in summaries_of(findings, seed)],
        "hirescam_less_gradcam": [asdict(d) for d in differences_of(findings, seed)],
        "thresholds": THRESHOLDS,
        "rows": [asdict(row) for row in findings.rows],
    }


def pictures_of(findings: VocFindings) -> dict[str, bytes]:
    """Draw the first objects: name -> PNG."""
    return {name: draw_rows(rows) for name, rows in findings.panels.items()}


def page_of(
    findings: VocFindings, pictures: Mapping[str, bytes], facts: dict[str, str], seed: int
) -> Page:
    """Lay out the report."""
    summaries = summaries_of(findings, seed)
    skipped = "; ".join(f"{name} ({count})" for name, count in sorted(findings.skipped.items()))
    sections = (
        Section(
            "Layers",
            "At the layer that the linear head reads HiResCAM's cells sum to the score; at "
            "earlier ones both methods are local approximations.",
            (_layers(findings),),
        ),
        Section(
            "HiResCAM and Grad-CAM",
            "Explained is, for each class of objects in an image, the highest output of that "
            "class. Share inside: of the positive attention, what lies on the objects; chance is "
            "what an even map scores. Extent: share of cells above half of the map's maximum. "
            "Hit: the object reaches into the highest cell. IoU: of the object with the map, "
            "stretched over the image and cut off at a share of its maximum, fixed beforehand or "
            "the one that is best on average for all other images. Pixels marked as void are "
            "left out throughout."
            + (f"\n\nClasses without an output of the network: {skipped}." if skipped else ""),
            (_table(summaries), _differences(findings, seed)),
        ),
        Section(
            "Pictures",
            "Line: the objects of the class. Each map is drawn from 0 to its own maximum.",
            figures=tuple(Figure(png, name) for name, png in pictures.items()),
        ),
    )
    return Page(
        "HiResCAM and Grad-CAM on natural images", _lead(summaries, findings), facts, sections
    )


def _lead(summaries: Sequence[Summary], findings: VocFindings) -> str:
    said = []
    for layer in findings.guarantees:
        first, second = (
            next(s for s in summaries if (s.layer, s.method) == (layer, m)) for m in METHODS
        )
        if second.largest_difference < 1e-4:
            said.append(
                f"At {layer} HiResCAM and Grad-CAM are the same map "
                f"({_percent(first, 'share')} inside, chance {100 * first.chance:.0f} %)."
            )
            continue
        said.append(
            f"At {layer} HiResCAM puts {_percent(first, 'share')} of its positive attention "
            f"inside the objects and Grad-CAM {_percent(second, 'share')} (chance "
            f"{100 * first.chance:.0f} %); {_percent(first, 'extent')} and "
            f"{_percent(second, 'extent')} of the cells lie above half of the maximum; tuned IoU "
            f"{first.means['iou_tuned'].value:.2f} and {second.means['iou_tuned'].value:.2f}."
        )
    images = len({row.image for row in findings.rows})
    return f"{summaries[0].n} objects in {images} images. {' '.join(said)}"


def _percent(summary: Summary, name: str) -> str:
    return f"{100 * summary.means[name].value:.0f} %"


def _layers(findings: VocFindings) -> Table:
    return Table(
        ("layer", "guarantee", "largest residual"),
        tuple((layer, said, _residual(findings, layer))
              for layer, said in findings.guarantees.items()),
        "Residual: |sum(map) + bias - logit|.",
    )  # fmt: skip


def _residual(findings: VocFindings, layer: str) -> float:
    found = [abs(row.residual) for row in findings.rows if row.layer == layer]
    return max((value for value in found if np.isfinite(value)), default=float("nan"))


def _table(summaries: Sequence[Summary]) -> Table:
    header = ("layer", "method", "n", *(_TITLES[name] for name in _MEASURES), "chance",
              "chance of a hit", "median threshold", "no map")  # fmt: skip
    rows: list[tuple[str | int | float, ...]] = [
        (
            summary.layer,
            ALL_METHODS[summary.method].title,
            summary.n,
            *(_with_interval(summary.means[name]) for name in _MEASURES),
            summary.chance,
            summary.hit_chance,
            summary.median_threshold,
            summary.without_map,
        )
        for summary in summaries
    ]
    return Table(header, tuple(rows), "Means over objects; intervals by resampling images.")


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.interval})"


def _differences(findings: VocFindings, seed: int) -> Table:
    rows = [
        (difference.layer, _TITLES[name], estimate.value, estimate.interval, estimate.n)
        for difference in differences_of(findings, seed)
        for name, estimate in difference.means.items()
    ]
    return Table(
        ("layer", "measure", "HiResCAM less Grad-CAM", "95 % interval", "n"),
        tuple(rows),
        "Object by object, of those for which both have the measure.",
    )
