"""The figures and the report page of ``reproduce luna``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from napari_hirescam.attention import METHODS as ALL_METHODS
from napari_hirescam.evaluation.intervals import Estimate, bootstrap_mean
from napari_hirescam.evaluation.page import Figure, Page, Section, Table
from napari_hirescam.reproduce.luna import LunaFindings, is_found
from napari_hirescam.reproduce.luna_measures import METHODS, Row
from napari_hirescam.reproduce.overlays import draw_rows

_NAN = float("nan")


@dataclass(frozen=True)
class Summary:
    """Many nodules at one layer by one method.

    Parameters
    ----------
    layer, method
        What was measured.
    among
        Which nodules: 'all', or those the network 'found'.
    share, chance, hit, hit_chance
        Means over nodules, as in :class:`~napari_hirescam.reproduce.luna_measures.Row`.
    control
        Share of the control: the other nodules' maps, or the outline moved to the middle.
    gain
        Mean of share - control over nodules.
    without_map
        Nodules whose map has no positive cell, which are left out of the means.
    """

    layer: str
    method: str
    among: str
    share: Estimate
    chance: float
    hit: float
    hit_chance: float
    control: float
    gain: Estimate
    without_map: int


def centred_crops(findings: LunaFindings, seed: int) -> list[Summary]:
    """Summarise crops in windows centred on them; the control are the other crops' maps."""
    summaries = []
    for (layer, method), others in findings.others.items():
        rows = _of(findings.rows, layer, method, lambda r: r.kind == "crop" and r.shift == 0)
        for among, wanted in (("all", lambda _: True), ("found", is_found)):
            kept = np.array([wanted(row) for row in rows], dtype=bool)
            if kept.any():
                chosen = [row for row, keep in zip(rows, kept, strict=True) if keep]
                summaries.append(_summary(layer, method, among, chosen, others[kept], seed))
    return summaries


def windows_beside(findings: LunaFindings, seed: int) -> list[Summary]:
    """Summarise windows beside the nodules; the control is the outline moved to the middle."""
    summaries = []
    for layer in findings.guarantees:
        for method in METHODS:
            rows = _of(findings.rows, layer, method, lambda r: r.shift > 0)
            for among, wanted in (("all", lambda _: True), ("found", is_found)):
                chosen = [row for row in rows if wanted(row)]
                if chosen:
                    control = np.array([row.moved_share for row in chosen])
                    summaries.append(_summary(layer, method, among, chosen, control, seed))
    return summaries


def _of(rows: Iterable[Row], layer: str, method: str, wanted: Callable[[Row], bool]) -> list[Row]:
    return [
        row
        for row in rows
        if row.layer == layer and row.method == method and row.readers == 1 and wanted(row)
    ]


def _summary(
    layer: str, method: str, among: str, rows: list[Row], control: Any, seed: int
) -> Summary:
    share = np.array([row.share for row in rows])
    mapped = np.isfinite(share)
    patients = [row.nodule for row in rows]
    known = mapped & np.isfinite(control)
    return Summary(
        layer=layer,
        method=method,
        among=among,
        share=bootstrap_mean(share, patients, seed=seed),
        chance=_mean([row.chance for row in rows], mapped),
        hit=_mean([row.hit for row in rows], mapped),
        hit_chance=_mean([row.hit_chance for row in rows], mapped),
        control=_mean(control, known),
        gain=bootstrap_mean(np.where(known, share - control, _NAN), patients, seed=seed),
        without_map=int((~mapped).sum()),
    )


def _mean(values: Any, where: Any) -> float:
    chosen = np.asarray(values, dtype=np.float64)[where]
    return float(chosen.mean()) if chosen.size else _NAN


def figures_of(findings: LunaFindings, seed: int) -> dict[str, Any]:
    """Everything that was measured, for ``figures.json``."""
    return {
        "guarantees": findings.guarantees,
        "left_out": list(findings.left_out),
        "crops_centred": [asdict(summary) for summary in centred_crops(findings, seed)],
        "windows_beside": [asdict(summary) for summary in windows_beside(findings, seed)],
        "rows": [asdict(row) for row in findings.rows],
    }


def pictures_of(findings: LunaFindings) -> dict[str, bytes]:
    """Draw each nodule that is to be shown: name -> PNG."""
    return {name: draw_rows(rows) for name, rows in findings.panels.items()}


def page_of(
    findings: LunaFindings,
    pictures: Mapping[str, bytes],
    facts: dict[str, str],
    label: str,
    seed: int,
) -> Page:
    """Lay out the report."""
    crops = centred_crops(findings, seed)
    beside = windows_beside(findings, seed)
    scans = [row for row in findings.rows if row.kind == "scan"]
    sections = [_layers(findings)]
    if scans:
        sections.append(_scans(scans))
    if crops:
        sections.append(_crops(crops, findings))
    if beside:
        sections.append(_beside(beside))
    sections.append(
        Section(
            "Pictures",
            "The axial slice through the nodule, in the window that the network saw. Lines: "
            "marked by at least one reader, and by as many as agreed anywhere. Each map is drawn "
            "from 0 to its own maximum.",
            figures=tuple(Figure(png, name) for name, png in pictures.items()),
        )
    )
    return Page("Where a nodule network looks", _lead(crops, scans, label), facts, tuple(sections))


def _lead(crops: list[Summary], scans: list[Row], label: str) -> str:
    """Say what was found, from the figures alone."""
    said = []
    for summary in crops:
        if summary.among != "all" or summary.share.n == 0:
            continue
        said.append(
            f"At {summary.layer}, {ALL_METHODS[summary.method].title} puts "
            f"{_percent(summary.share.value)} of its positive attention inside the outlines of "
            f"{summary.share.n} nodules ({_times(summary.share.value, summary.chance)} chance); "
            f"maps of other nodules put {_percent(summary.control)} there."
        )
    if not said:
        said = [
            f"{row.nodule}: at {row.layer}, {ALL_METHODS[row.method].title} puts "
            f"{_percent(row.share)} inside ({_times(row.share, row.chance)} chance)."
            for row in scans
            if row.readers == 1 and row.shift == 0 and np.isfinite(row.share)
        ]
    return f"Explained label: {label}. " + " ".join(said)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _times(share: float, chance: float) -> str:
    return f"{share / chance:.1f} times" if chance > 0 else "no"


def _layers(findings: LunaFindings) -> Section:
    return Section(
        "Layers",
        "The guarantee, sum of the map plus bias equals the score, holds at the layer that the "
        "one linear layer reads. One block earlier the cells are finer, and the map is the "
        "network's slope at this input times the features: no share of the score.",
        tables=(
            Table(
                ("layer", "guarantee", "largest residual"),
                tuple(
                    (layer, said, _largest_residual(findings.rows, layer))
                    for layer, said in findings.guarantees.items()
                ),
                "Residual: |sum(HiResCAM) + bias - logit| over all windows.",
            ),
        ),
    )


def _largest_residual(rows: Iterable[Row], layer: str) -> float:
    found = [abs(row.residual) for row in rows if row.layer == layer and np.isfinite(row.residual)]
    return max(found, default=_NAN)


def _scans(scans: list[Row]) -> Section:
    return Section(
        "Scans with outlines by several readers",
        "The window is centred on what at least two readers marked. Chance is the share of the "
        "window that lies inside the outline: what a map of equal values everywhere scores. A "
        "dash stands for a map without a positive cell.",
        tables=(
            Table(
                ("nodule", "p", "layer", "method", "readers", "share inside", "chance", "ratio",
                 "hit", "chance of a hit"),
                tuple(
                    (row.nodule, row.probability, row.layer, ALL_METHODS[row.method].title,
                     f"at least {row.readers}", row.share, row.chance,
                     row.share / row.chance if row.chance > 0 else _NAN, row.hit, row.hit_chance)
                    for row in scans
                    if row.shift == 0
                ),
                "Hit: the outline reaches into the box of the highest cell.",
            ),
        ),
    )  # fmt: skip


_HEADER = ("layer", "method", "among", "n", "share inside", "95 % interval", "chance", "ratio",
           "hit", "chance of a hit")  # fmt: skip


def _line(summary: Summary) -> tuple[str | int | float, ...]:
    share, gain = summary.share, summary.gain
    ratio = share.value / summary.chance if summary.chance > 0 else _NAN
    return (
        summary.layer, ALL_METHODS[summary.method].title, summary.among, share.n, share.value,
        share.interval, summary.chance, ratio, summary.hit, summary.hit_chance,
        summary.control, gain.value, gain.interval, summary.without_map,
    )  # fmt: skip


def _crops(crops: list[Summary], findings: LunaFindings) -> Section:
    more = f" {len(findings.left_out)} crops were left out: " if findings.left_out else ""
    counts: dict[str, int] = {}
    for text in findings.left_out:
        reason = text.partition(": ")[2]
        counts[reason] = counts.get(reason, 0) + 1
    more += "; ".join(f"{reason} ({count})" for reason, count in counts.items())
    return Section(
        "Crops with masks",
        "The crops are centred on their nodules, and so is the window. A map that is high in the "
        "middle whatever the network sees would therefore do well; the maps of the other nodules "
        "show how well. Only what is gained over them speaks of this nodule. The window is "
        "larger than a crop, whose border is repeated around it; the direction of the crops' "
        f"axes is not known and taken as slice, row, column.{more}",
        tables=(
            Table(
                (*_HEADER, "others' maps", "gain over them", "95 % interval ", "no map"),
                tuple(map(_line, crops)),
                "Among 'found': the network's probability is at least one half. Intervals by "
                "resampling nodules.",
            ),
        ),
    )


def _beside(beside: list[Summary]) -> Section:
    return Section(
        "Windows beside the nodule",
        "The same nodules in windows moved at random by up to a quarter of their size along each "
        "axis. The control is the share inside the same outline moved to the middle of the "
        "window: attention that follows the nodule exceeds it, attention that keeps to the "
        "middle of the window does not.",
        tables=(
            Table(
                (*_HEADER, "moved outline", "gain over it", "95 % interval ", "no map"),
                tuple(map(_line, beside)),
                "Intervals by resampling nodules, each with all its windows.",
            ),
        ),
    )
