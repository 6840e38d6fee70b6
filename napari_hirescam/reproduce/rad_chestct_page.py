"""The report page and the figures of ``reproduce radchestct``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_hirescam.evaluation.cohort_words import problems_told_once
from napari_hirescam.evaluation.page import Page, Section, Table
from napari_hirescam.reproduce import four_way
from napari_hirescam.reproduce.rad_chestct import Outcome


def make_page(outcome: Outcome, facts: Mapping[str, str]) -> tuple[Page, dict[str, Any]]:
    """Write up an outcome.

    Returns
    -------
    The report, and its figures for ``figures.json``.
    """
    compared = four_way.Compared(outcome.results)
    summaries = compared.summaries()
    difference = outcome.recipe.departures()
    remarks = "\n\n".join([*difference, *outcome.table.notes]) or "None."
    sections = (
        Section(
            "Attention in the organs",
            "OrganIoU is the share of the map above its threshold that lies in the organs that "
            "the report places the finding in: the heart and mediastinum region, or the lung of "
            "the side that is named.",
            (four_way.attention_table(compared, summaries),),
        ),
        Section("Scores", "", (four_way.score_table(compared, summaries),)),
        Section("Cases and trainings", "", (_cases(outcome), _trainings(outcome))),
        Section("Label by label", "", (four_way.label_table(summaries),)),
        Section("What differs from the paper, and other remarks", remarks),
        *_problems(outcome),
    )
    page = Page(
        "RAD-ChestCT: attention with and without the mask loss",
        four_way.gain_sentence(compared),
        dict(facts),
        sections,
    )
    figures = four_way.figures(compared, summaries)
    figures["departures"] = difference
    figures["trainings"] = {
        name: {
            "best_epoch": done.best_epoch,
            "stopped_early": done.stopped_early,
            "history": [dict(record.figures) for record in done.history],
        }
        for name, done in outcome.trainings.items()
    }
    return page, figures


def _cases(outcome: Outcome) -> Table:
    rows = []
    for split in ("train", "valid", "test"):
        cases = outcome.table.of(split).cases
        pairs = sum(sum(case.labels.values()) for case in cases)
        patients = len({case.patient for case in cases})
        told = {label for case in cases for label, there in case.labels.items() if there}
        rows.append((split, len(cases), patients, pairs, len(told)))
    return Table(
        ("split", "cases", "patients", "present labels", "labels met"),
        tuple(rows),
        f"Of {len(outcome.table.labels)} labels. Present labels are counted over all cases.",
    )


def _trainings(outcome: Outcome) -> Table:
    rows: list[tuple[str | int | float, ...]] = []
    for name, done in outcome.trainings.items():
        best = next(one for one in done.history if one.epoch == done.best_epoch)
        rows.append(
            (
                name,
                len(done.history),
                done.best_epoch,
                best.figures.get("valid_loss", float("nan")),
                best.figures.get("valid_auroc", float("nan")),
            )
        )
    return Table(
        ("network", "epochs", "best epoch", "its validation loss", "its validation AUROC"),
        tuple(rows),
        "Epochs are counted from 0. The validation loss includes the mask loss where there is one.",
    )


def _problems(outcome: Outcome) -> tuple[Section, ...]:
    # Both networks are measured on the same cases, so most remarks come twice.
    rows = tuple(
        (cases, reason, measured)
        for cases, _, reason, measured in problems_told_once(
            problem for result in outcome.results.values() for problem in result.problems
        )
    )
    if not rows:
        return ()
    table = Table(("cases", "what was wrong", "what was measured nevertheless"), rows)
    return (Section("Cases with faults or doubts", "", (table,)),)
