"""The report of a cohort: what was found, in words, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam import __version__
from napari_hirescam.evaluation import cohort_words as words
from napari_hirescam.evaluation.cohort import CohortResult
from napari_hirescam.evaluation.cohort_plots import (
    draw_snapshots,
    plot_distribution,
    plot_scores,
    plot_thresholds,
    title_of,
)
from napari_hirescam.evaluation.cohort_tables import Figures
from napari_hirescam.evaluation.intervals import N_REPLICATES, SEED
from napari_hirescam.evaluation.page import Figure, Page, Section, Table

if TYPE_CHECKING:
    import pandas as pd

_PICTURES = 3


def build_page(
    result: CohortResult,
    summary: pd.DataFrame,
    *,
    command: str = "",
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
    facts: Mapping[str, str] | None = None,
) -> Page:
    """Lay out the report of a cohort.

    Parameters
    ----------
    result
        What was measured.
    summary
        Its figures: ``result.summary(n_replicates, seed)``.
    command
        What the user ran.
    n_replicates, seed
        Of the intervals.
    facts
        More lines about how it was made.
    """
    figures = Figures(summary, result.labels, result.methods)
    patients = len({case.patient for case in result.cases})
    intervals = (
        f"Brackets: 95 % intervals from {n_replicates} draws of the {patients} patients with "
        f"replacement (seed {seed})."
    )
    sections = [
        _scores(result, figures, intervals),
        _attention(result, figures, intervals),
        *_organs(figures, intervals),
        *_lesions(figures, intervals),
        *_absent(figures),
        *_removal(figures, intervals),
        *_pictures(result),
        _guarantee(result),
        *_thresholds(result),
        *_problems(result),
        Section("What the figures mean", words.MEANING),
    ]
    about = {
        "Command": command,
        "Date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Cases": f"{len(result.cases)} of {patients} patients, {result.table}"
        + (f", split {result.split}" if result.split else ""),
        "Thresholds": words.where_tuned(result),
        **result.facts,
        **(facts or {}),
        "Software": f"napari-hirescam {__version__}",
    }
    return Page(
        title=f"{result.thresholds.model} on {result.table}",
        lead=words.lead(result, figures),
        facts={name: value for name, value in about.items() if value},
        sections=tuple(sections),
    )


def _scores(result: CohortResult, figures: Figures, intervals: str) -> Section:
    n_present = {
        label: len({c.name for c in result.cases for r in c.rows if r.label == label and r.present})
        for label in result.labels
    }
    rows: list[tuple[str | float, ...]] = []
    drawn = []
    for level, label in figures.label_lines():
        auroc = figures.row(level, label, "", "auroc")
        precision = figures.row(level, label, "", "average_precision")
        if auroc is None or precision is None:
            continue
        name = label or f"{level} average"
        rows.append(
            (
                name,
                n_present.get(label, "") if level == "label" else "",
                int(auroc["n"]) if level == "label" else "",
                figures.text(level, label, "", "auroc"),
                figures.text(level, label, "", "average_precision"),
                float(precision["chance"]),
                str(auroc["note"]),
            )
        )
        if np.isfinite(auroc["value"]):
            drawn.append((name, auroc["value"], auroc["low"], auroc["high"]))
    header = ("finding", "present", "cases", "AUROC", "average precision", "its chance", "remark")
    with_remarks = len(header) if any(row[-1] for row in rows) else -1
    table = Table(
        header[:with_remarks],
        tuple(row[:with_remarks] for row in rows),
        f"{intervals} Macro: mean over findings; micro: all findings' scores together. Chance is "
        "0.5 for AUROC, and the share of cases with the finding for average precision.",
    )
    pictures = (Figure(plot_scores(drawn), "AUROC of each finding."),) if drawn else ()
    return Section("How well the scores tell who has a finding", words.SCORES, (table,), pictures)


def _attention(result: CohortResult, figures: Figures, intervals: str) -> Section:
    if not figures.has("organ_iou") and not figures.has("share_inside"):
        return Section("Where the attention lies", words.NO_ORGANS)
    main = figures.by_label(
        {"organ_iou": "OrganIoU", "share_inside": "share inside", "hit": "hit"},
        f"Maps of scans that have the finding. {intervals} OrganIoU by the corrected definition.",
    )
    difference = figures.differences(
        {"organ_iou": "OrganIoU", "share_inside": "share inside", "hit": "hit"},
        f"Paired: both methods on the same maps. {intervals}",
    )
    reference = figures.by_label(
        {"organ_iou_reference": "OrganIoU (reference)"},
        "As the reference code computes it: 0 for a map that does not leak at all. For comparison "
        f"with published figures only. {intervals}",
    )
    picture = plot_distribution(result.cases, result.labels, result.methods)
    shown = (
        Figure(picture, "OrganIoU (corrected) of every scan that has the finding."),
    ) if picture else ()  # fmt: skip
    tables = [main, *difference, reference]
    return Section("Where the attention lies", words.ATTENTION, tuple(tables), shown)


def _organs(figures: Figures, intervals: str) -> list[Section]:
    table = figures.by_organ(
        {"organ_iou": "OrganIoU", "share_inside": "share inside", "hit": "hit"},
        f"All maps whose finding may lie in the organ. {intervals}",
    )
    return [Section("By organ", "", (table,))] if table.rows else []


def _lesions(figures: Figures, intervals: str) -> list[Section]:
    if not figures.has("lesion_share"):
        return []
    table = figures.by_label(
        {"lesion_share": "share on it", "lesion_hit": "hit", "lesion_iou": "IoU"},
        f"Maps whose finding was outlined. {intervals}",
        extra={"lesion_iou_best": "best IoU possible"},
    )
    return [Section("On the outlined findings", words.LESIONS, (table,))]


def _absent(figures: Figures) -> list[Section]:
    rows: list[tuple[str | float, ...]] = []
    for level, label in figures.label_lines():
        for method in figures.methods:
            absent = figures.row(level, label, method, "positive_sum_absent")
            present = figures.row(level, label, method, "positive_sum_present")
            if absent is None:
                continue
            silent = figures.row(level, label, method, "silent")
            rows.append(
                (
                    label or f"{level} average",
                    title_of(method),
                    figures.text(level, label, method, "positive_sum_absent"),
                    figures.text(level, label, method, "positive_sum_present"),
                    float(absent["value"] / present["value"])
                    if present is not None and present["value"] > 0
                    else float("nan"),
                    float(silent["value"]) if silent is not None else float("nan"),
                )
            )
    header = (
        "finding", "method", "absent: positive attention", "present: positive attention",
        "absent / present", "present: maps without a positive cell",
    )  # fmt: skip
    caption = "Sum of the positive cells, in units of the logit; mean over scans."
    return [
        Section("Findings that are absent", words.ABSENT, (Table(header, tuple(rows), caption),))
    ]


def _removal(figures: Figures, intervals: str) -> list[Section]:
    if not figures.has("deletion"):
        return []
    table = figures.by_label(
        {"deletion": "deletion", "insertion": "insertion"},
        f"Area between the curve and that of random cells, in units of the logit. {intervals}",
    )
    return [Section("Removing and putting back cells", words.REMOVAL, (table,))]


def _pictures(result: CohortResult) -> list[Section]:
    best, worst = result.gallery.best(_PICTURES), result.gallery.worst(_PICTURES)
    if not best:
        return []
    shown = [m for m in result.methods if m in best[0].maps]
    first = title_of(result.methods[0])
    return [
        Section(
            "The best and the worst maps",
            words.PICTURES.format(method=first),
            (),
            (
                Figure(draw_snapshots(best, shown), f"Largest share inside by {first}."),
                Figure(draw_snapshots(worst, shown), f"Smallest share inside by {first}."),
            ),
        )
    ]


def _guarantee(result: CohortResult) -> Section:
    rows: list[tuple[str | float, ...]] = []
    for method in result.methods:
        mine = [row for case in result.cases for row in case.rows if row.method == method]
        proven = [row for row in mine if np.isfinite(row.residual)]
        largest = max((abs(row.residual) for row in proven), default=float("nan"))
        verified = sum(row.verified for row in proven)
        says = f"{verified} of {len(proven)}" if proven else "not promised for this method here"
        rows.append((title_of(method), len(mine), says, largest))
    header = ("method", "maps", "add up to the score", "largest |sum + bias - logit|")
    return Section(
        "The guarantee",
        words.guarantee(result),
        (Table(header, tuple(rows), "Over all maps, of present and of absent findings."),),
    )


def _thresholds(result: CohortResult) -> list[Section]:
    rows: list[tuple[str | float, ...]] = []
    for method in result.methods:
        for label in result.labels:
            tuned = [result.thresholds.values.get(method, {}).get(k, {}).get(label)
                     for k in ("corrected", "reference", "lesion")]  # fmt: skip
            if tuned[0] is None:
                continue
            remark = "of all findings together: none of the cases had it" if tuned[0].pooled else ""
            rows.append(
                (
                    title_of(method),
                    label,
                    *(t.threshold if t else float("nan") for t in tuned),
                    tuned[0].n,
                    tuned[0].mean,
                    remark,
                )
            )
    if not rows:
        return []
    header = (
        "method", "finding", "corrected", "reference", "lesion IoU", "maps tuned on",
        "best mean OrganIoU there", "remark",
    )  # fmt: skip
    picture = plot_thresholds(result.tuning, result.thresholds, result.labels, result.methods)
    shown = (
        Figure(picture, "On the cases used for tuning: all maps together (thick), each finding "
               "(thin), and the thresholds chosen (dots)."),
    ) if picture else ()  # fmt: skip
    return [Section("Thresholds", words.THRESHOLDS, (Table(header, tuple(rows)),), shown)]


def _problems(result: CohortResult) -> list[Section]:
    if not result.problems:
        return []
    says = {"nothing": "left out", "scores": "scores only", "all": "counted"}
    rows = tuple(
        (cases, splits, says[measured], reason)
        for cases, splits, reason, measured in words.problems_told_once(result.problems)
    )
    table = Table(("cases", "split", "what became of it", "why"), rows)
    return [Section("Cases with a problem or a remark", "", (table,))]
