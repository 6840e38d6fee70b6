"""Tables of a review's report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from napari_hirescam.evaluation.intervals import Estimate, bootstrap_mean
from napari_hirescam.evaluation.page import Table
from napari_hirescam.review.adjudication import Disagreement
from napari_hirescam.review.agreement import COEFFICIENTS
from napari_hirescam.review.case_names import CaseNames
from napari_hirescam.review.edit_comparisons import ORIGINAL, EditComparison
from napari_hirescam.review.event import Verdict
from napari_hirescam.review.form import DECISIONS, Form
from napari_hirescam.review.reader_agreement import AgreementFigure
from napari_hirescam.review.reader_counts import ReaderCount
from napari_hirescam.review.results import Results
from napari_hirescam.review.words import DECISION_WORDS, spoken

#: What the cells of a short table are.
SHORT = (
    "Kappa with quadratic weights and AC2 with ordinal ones for ratings, unweighted and AC1 for "
    "the rest. A dash: not defined; no interval: all draws give the same. The table agreement of "
    "the export says why of each."
)
Row = tuple[str | int | float, ...]


def interval_words(results: Results) -> str:
    """How the intervals were drawn."""
    every = len({item.case for item in results.items})
    final = {verdict.item for verdict in results.verdicts if verdict.done}
    judged = len({item.case for item in results.items if item.number in final})
    scans = f"{judged} judged scans (of {every})" if judged < every else f"{every} scans"
    return (
        f"Intervals: 95 %, from {results.n_replicates} draws of the {scans} with "
        f"replacement (seed {results.seed}); organs of one scan are drawn together."
    )


def between_tables(figures: Iterable[AgreementFigure]) -> tuple[Table, ...]:
    """Agreement between readers: all coefficients of ratings and decisions, the rest in short."""
    whole = [each for each in figures if each.between == "readers" and not each.target]
    main = [each for each in whole if each.asked.kind in ("rating", "decision")]
    # Kappa of each pair of many readers would be a table of its own; agreement.csv has them.
    rest = [each for each in whole if each.asked.kind in ("question", "reason")]
    everybody = max((len(each.readers) for each in rest), default=0)
    short = short_table([each for each in rest if len(each.readers) == everybody], "")
    return (*agreement_tables(main, ""), *((short,) if short else ()))


def agreement_tables(figures: Iterable[AgreementFigure], caption: str) -> tuple[Table, ...]:
    """A table for each question, a row for each coefficient and pair."""
    tables = []
    for name, group in groupby(figures, key=lambda figure: figure.asked.name):
        rows = sorted(group, key=lambda figure: list(COEFFICIENTS).index(figure.key))
        whose = {figure.readers for figure in rows}
        tables.append(
            _table(
                (name, "readers", "items", "figure", "95 % interval", "remark"),
                [
                    (
                        COEFFICIENTS[figure.key].name,
                        ", ".join(figure.readers),
                        figure.estimate.n,
                        figure.estimate.value,
                        figure.estimate.interval,
                        figure.estimate.note,
                    )
                    for figure in rows
                ],
                caption,
                without=() if len(whose) > 1 else ("readers",),
            )
        )
    return tuple(tables)


def short_table(figures: Iterable[AgreementFigure], caption: str) -> Table | None:
    """Agreement on several questions, a row for each and for each set of readers.

    Kappa has quadratic weights and AC its ordinal ones where the question is a scale.
    """
    groups: dict[tuple[str, str], list[AgreementFigure]] = {}
    for figure in figures:
        groups.setdefault((figure.asked.name, ", ".join(figure.readers)), []).append(figure)
    if not groups:
        return None
    rows: list[Row] = []
    for (name, readers), group in groups.items():
        known = {figure.key: figure.estimate for figure in group}
        cells = [
            next((known[key] for key in keys if key in known), None)
            for keys in (("percent",), ("kappa_quadratic", "kappa"), ("ac2", "ac1"), ("icc",))
        ]
        n = group[0].estimate.n
        rows.append((readers, spoken(name), n, *(_estimate(cell) for cell in cells)))
    header = ("readers", "asked", "items", "agreeing", "kappa", "AC1 or AC2", "ICC(2,1)")
    caption = f"{SHORT} {caption}".strip()
    without = () if len({row[0] for row in rows}) > 1 else ("readers",)
    if all(row[-1] == "" for row in rows):
        without = (*without, "ICC(2,1)")
    return _table(header, rows, caption, without=without)


def target_table(figures: Sequence[AgreementFigure], caption: str) -> Table | None:
    """Agreement on the rating, a row for each organ or label and set of readers."""
    of_targets = [figure for figure in figures if figure.target]
    if not of_targets:
        return None
    keys = [key for key in COEFFICIENTS if any(figure.key == key for figure in of_targets)]
    pairs = sorted({figure.readers for figure in of_targets if COEFFICIENTS[figure.key].pair})
    rows: list[Row] = []
    for target in dict.fromkeys(figure.target for figure in of_targets):
        known = {
            (figure.key, figure.readers): figure.estimate
            for figure in of_targets
            if figure.target == target
        }
        n = max(estimate.n for estimate in known.values())
        cells: list[str | int | float] = [spoken(target), n]
        for key in keys:
            wanted = pairs if COEFFICIENTS[key].pair else [None]
            found = [
                _with_interval(estimate.value, estimate.interval)
                for (each, readers), estimate in known.items()
                if each == key and (wanted == [None] or readers in wanted)
            ]
            cells.append("; ".join(found))
        rows.append(tuple(cells))
    header = ("organ or label", "items", *(COEFFICIENTS[key].name for key in keys))
    if len(pairs) > 1:
        caption = f"Kappa of the pairs {'; '.join(' and '.join(pair) for pair in pairs)}. {caption}"
    return Table(header, tuple(rows), caption)


def reader_table(counts: Sequence[ReaderCount]) -> Table:
    """What each reader did, all organs together."""
    kinds = {count.kind for count in counts}
    return _table(
        ("reader", "of", "items", "done", "mean rating", "edited", "flagged", "unreadable",
         "median s", "hours"),
        [
            (
                count.reader,
                "masks" if count.kind == "mask" else "attention",
                count.items,
                count.done,
                count.mean_rating,
                count.edited,
                count.flagged,
                count.unreadable,
                count.median_seconds,
                count.total_seconds / 3600,
            )
            for count in counts
            if not count.target
        ],
        "Items include hidden repeats. Ratings and times are of items that the reader called done.",
        without=() if len(kinds) > 1 else ("of",),
    )  # fmt: skip


def by_target_table(counts: Sequence[ReaderCount]) -> Table | None:
    """Ratings and decisions for each organ or label and reader; None where there is only one."""
    rows = sorted((c for c in counts if c.target), key=lambda c: (c.kind, c.target, c.reader))
    if not rows:
        return None
    return Table(
        ("organ or label", "reader", "done", "mean rating",
         *(DECISION_WORDS[key] for key in DECISIONS), "edited", "median s"),
        tuple(
            (
                spoken(count.target), count.reader, count.done, count.mean_rating,
                *(count.decisions.get(key, 0) for key in DECISIONS),
                count.edited, count.median_seconds,
            )
            for count in rows
        ),
    )  # fmt: skip


def decision_table(counts: Sequence[ReaderCount]) -> Table:
    """Decisions of each reader."""
    return Table(
        ("reader", *(DECISION_WORDS[key] for key in DECISIONS)),
        tuple(
            (count.reader, *(count.decisions.get(key, 0) for key in DECISIONS))
            for count in counts
            if not count.target and count.kind == "mask"
        ),
        "Hidden repeats are counted, too.",
    )


def reason_table(counts: Sequence[ReaderCount], form: Form) -> Table | None:
    """How often each reader gave each reason; None if nobody gave any."""
    whole = [count for count in counts if not count.target and count.kind == "mask"]
    given = [key for key in form.reasons if any(count.reasons.get(key) for count in whole)]
    if not given:
        return None
    return Table(
        ("reason", *(count.reader for count in whole)),
        tuple(
            (form.reasons[key], *(count.reasons.get(key, 0) for count in whole)) for key in given
        ),
    )


def edit_table(results: Results) -> Table | None:
    """Mean overlap of edited masks with their originals, and with each other."""
    item_of = {item.number: item for item in results.items}
    pairs: dict[tuple[str, str], list[EditComparison]] = {}
    for each in results.edits:
        if each.comparison is not None:
            pairs.setdefault((each.first, each.second), []).append(each)
    if not pairs:
        return None
    rows: list[Row] = []
    for (first, second), group in sorted(pairs.items()):
        scans = [item_of[each.item].case for each in group]
        found = [each.comparison for each in group if each.comparison is not None]
        row: list[str | int | float] = [
            f"original and edit of {second}"
            if first == ORIGINAL
            else f"edits of {first}, {second}",
            len(group),
        ]
        for name in ("dice", "surface_dice", "hd95_mm"):
            values = np.array([getattr(one, name) for one in found], dtype=float)
            mean = bootstrap_mean(
                values, scans, n_replicates=results.n_replicates, seed=results.seed
            )
            row.append(_with_interval(mean.value, mean.interval))
        rows.append(tuple(row))
    tolerance = {one.comparison.tolerance_mm for one in results.edits if one.comparison}
    return Table(
        ("masks", "items", "Dice", "surface Dice", "HD95 mm"),
        tuple(rows),
        f"Means. Surface Dice with a tolerance of {' or '.join(f'{t:g}' for t in tolerance)} mm. "
        + interval_words(results),
    )


def disagreement_table(
    found: Sequence[Disagreement], readers: Sequence[str], names: CaseNames
) -> Table:
    """Items on which readers differ, with the answer of each."""
    rows: list[Row] = []
    for each in found:
        said = {verdict.reader: verdict for verdict in each.verdicts}
        rows.append(
            (
                each.item.number,
                names.case(each.item),
                spoken(each.item.target),
                *(_short(said.get(reader)) for reader in readers),
                each.apart,
            )
        )
    return Table(("item", "scan", "organ or label", *readers, "steps apart"), tuple(rows))


def unreadable_table(results: Results, names: CaseNames) -> Table | None:
    """Items that could not be shown, and edited masks that could not be compared."""
    item_of = {item.number: item for item in results.items}
    rows: list[Row] = [
        (item.number, names.item(item), verdict.reader, names.fault(verdict.unreadable))
        for verdict in results.verdicts
        if verdict.unreadable and (item := item_of[verdict.item])
    ]
    rows += [
        (each.item, names.item(item_of[each.item]), each.second, names.fault(each.problem))
        for each in results.edits
        if each.problem
    ]
    if not rows:
        return None
    return Table(("item", "what", "reader", "why"), tuple(rows))


def _short(verdict: Verdict | None) -> str:
    if verdict is None:
        return "\N{EN DASH}"
    parts = [str(part) for part in (verdict.rating,) if part is not None]
    if verdict.decision is not None:
        parts.append(DECISION_WORDS[verdict.decision])
    return ", ".join(parts)


def _estimate(estimate: Estimate | None) -> str:
    return "" if estimate is None else _with_interval(estimate.value, estimate.interval)


def _with_interval(value: float, interval: str) -> str:
    if not np.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.3f} ({interval})" if " to " in interval else f"{value:.3f}"


def _table(
    header: Sequence[str], rows: Sequence[Row], caption: str, *, without: Sequence[str]
) -> Table:
    """Leave out named columns, and the remarks where there are none."""
    empty = ["remark"] if "remark" in header and not any(row[-1] for row in rows) else []
    kept = [k for k, name in enumerate(header) if name not in (*without, *empty)]
    return Table(
        tuple(header[k] for k in kept),
        tuple(tuple(row[k] for k in kept) for row in rows),
        caption,
    )
