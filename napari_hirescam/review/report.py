"""The report of a review: who did what, how far they agree, what to settle, what was flagged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import combinations

import numpy as np

from napari_hirescam import __version__
from napari_hirescam.evaluation.page import Figure, Page, Section, Table
from napari_hirescam.review import report_plots as plots
from napari_hirescam.review import report_tables as tables
from napari_hirescam.review.adjudication import LEAST, Disagreement
from napari_hirescam.review.asked import all_asked, between_readers, first_visits
from napari_hirescam.review.case_names import CaseNames
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item
from napari_hirescam.review.reader_agreement import AgreementFigure
from napari_hirescam.review.report_flagged import flagged_section
from napari_hirescam.review.results import Results
from napari_hirescam.review.words import DECISION_WORDS

#: Tables of two readers' answers.
_MOST_PAIRS = 6
#: Rows of a list of items.
_MOST_ROWS = 200
_ORDERS = {
    "given": "as given",
    "random": "random",
    "worst_first": "worst first by the automatic checks",
}
_MEANING = """\
Percent agreement takes no account of chance. Cohen's kappa does, for two readers; its weighted \
forms count a difference of two steps for more than one of one step (linear) or for four times as \
much (quadratic). Fleiss' kappa and Krippendorff's alpha take any number of readers; alpha bears \
missing answers, and its ordinal form weighs steps by how often they are used.

Where nearly all answers are the same, as when nearly all masks are good, kappa and alpha fall \
towards zero although readers agree (the kappa paradox); Gwet's AC1, and AC2 for scales, do not. \
Report one of them beside kappa. ICC(2,1) takes the steps of the scale for equal distances and \
wants items of all qualities; it says little where they are all alike.

All of these compare readers with each other, not with the truth."""


def report_page(
    results: Results,
    names: CaseNames,
    differing: Sequence[Disagreement],
    *,
    review_file: str,
    pictures: bool = True,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Page:
    """Lay out the report of a review.

    Parameters
    ----------
    results
        What came of it.
    names
        What its cases are called.
    differing
        Items on which readers differ.
    review_file
        Its file's name, without a folder.
    pictures
        Whether CTs of flagged items are read and drawn.
    progress, should_stop
        Called with (done, total); asked whether to stop.

    Raises
    ------
    Cancelled
        If `should_stop` answered True.
    """
    sections = [
        *_between(results),
        *_with_oneself(results),
        _readers(results),
        *_decisions(results),
        *_edits(results),
        *_differing(results, differing, names),
        *(flagged_section(results, names, progress, should_stop) if pictures else ()),
        *_unreadable(results, names),
    ]
    if results.agreement:
        sections.append(Section("What the figures mean", _MEANING))
    return Page(
        title=f"Review: {results.plan.name}",
        lead=_lead(results, differing),
        facts=_facts(results, review_file),
        sections=tuple(sections),
    )


def _lead(results: Results, differing: Sequence[Disagreement]) -> str:
    judged = [item for item in results.items if item.repeat_of is None]
    scans = len({item.case for item in judged})
    finished = {verdict.reader for verdict in results.verdicts if verdict.done}
    readers = _listed([reader for reader in results.readers if reader in finished]) or "Nobody yet"
    text = f"{readers} judged {_what(judged)} of {scans} scans."
    for kind in ("masks", "attention"):
        quoted = [
            f"{words} {_figure(figure)}"
            for key, words in (("kappa_quadratic", "quadratically weighted kappa"), ("ac2", "AC2"))
            for figure in results.agreement
            if (figure.key, figure.asked.name) == (key, f"rating of {kind}")
            and figure.between == "readers"
            and not figure.target
        ]
        if quoted and len(finished) == 2:
            text += f" Agreement on the rating of {kind}: {', '.join(quoted)}."
    if len(finished) > 1:
        n = len(differing)
        text += (
            f" {n} {'items differ' if n != 1 else 'item differs'} by {LEAST} steps or more, or in "
            "the decision, and should be settled."
            if n
            else f" No item differs by {LEAST} steps or more, or in the decision."
        )
    if results.notes:
        text += "\n\n" + " ".join(f"{note[:1].upper()}{note[1:]}." for note in results.notes)
    return text


def _what(items: Sequence[Item]) -> str:
    counted = {"mask": "mask", "attention": "attention map"}
    parts = []
    for kind, word in counted.items():
        n = sum(item.kind == kind for item in items)
        if n:
            parts.append(f"{n} {word}{'s' if n != 1 else ''}")
    return " and ".join(parts)


def _figure(figure: AgreementFigure) -> str:
    value = figure.estimate.value
    if value != value:
        return f"not defined ({figure.estimate.note})"
    if not np.isfinite(figure.estimate.low):
        return f"{value:.2f}"
    return f"{value:.2f} (95 % interval {figure.estimate.low:.2f} to {figure.estimate.high:.2f})"


def _facts(results: Results, review_file: str) -> dict[str, str]:
    plan = results.plan
    repeats = sum(item.repeat_of is not None for item in results.items)
    facts = {
        "Review": review_file,
        "Date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Items": f"{len(results.items)} of {len({item.case for item in results.items})} scans, "
        f"{repeats} of them hidden repeats",
        "Order": _ORDERS[plan.order] + (f", seed {plan.seed}" if plan.order == "random" else ""),
        "Blinding": _blinding(plan),
        "Settles": plan.adjudicates,
        "Software": f"napari-hirescam {__version__}",
    }
    return {name: value for name, value in facts.items() if value}


def _blinding(plan: Plan) -> str:
    hidden = {
        "scores and checks": plan.blinding.scores,
        "names": plan.blinding.names,
        "other readers' answers": plan.blinding.other_readers,
    }
    return f"{_listed([name for name, yes in hidden.items() if yes])} hidden" if any(
        hidden.values()
    ) else "none"  # fmt: skip


def _between(results: Results) -> list[Section]:
    figures = [f for f in results.agreement if f.between == "readers"]
    if not figures:
        return []
    caption = tables.interval_words(results)
    asked = tables.between_tables(figures)
    by_target = tables.target_table(figures, caption)
    return [
        Section(
            "Agreement between readers",
            f"First showings alone; hidden repeats are left out. {caption}",
            tables=(*asked, *((by_target,) if by_target else ())),
            figures=_confusions(results),
        )
    ]


def _confusions(results: Results) -> tuple[Figure, ...]:
    met = []
    for asked in all_asked(results.plan):
        if asked.kind not in ("rating", "decision"):
            continue
        items = first_visits(results.items, asked.about)
        answers = between_readers(asked, items, results.verdict_of, results.readers)
        decision = asked.kind == "decision"
        captions = tuple(DECISION_WORDS.values()) if decision else asked.answers
        for a, b in combinations(range(len(results.readers)), 2):
            two = answers[:, [a, b]]
            if np.isfinite(two).all(axis=1).any():
                first, second = results.readers[a], results.readers[b]
                met.append(plots.Confusion(asked.name, first, second, two, captions))
    if not met:
        return ()
    more = f" {len(met) - _MOST_PAIRS} more are not shown." * (len(met) > _MOST_PAIRS)
    caption = f"Items by the answers of two readers; the framed diagonal is agreement.{more}"
    return (Figure(plots.plot_confusions(met[:_MOST_PAIRS]), caption),)


def _with_oneself(results: Results) -> list[Section]:
    figures = [figure for figure in results.agreement if figure.between == "visits"]
    if not figures:
        return []
    table = tables.short_table(figures, "")
    return [
        Section(
            "Agreement of readers with themselves",
            "The first showing of an item against its hidden repeat. "
            + tables.interval_words(results),
            tables=(table,) if table else (),
        )
    ]


def _readers(results: Results) -> Section:
    shown: list[Table] = [tables.reader_table(results.counts)]
    by_target = tables.by_target_table(results.counts)
    if by_target is not None:
        shown.append(by_target)
    figures = []
    for kind, scale in (
        ("mask", results.plan.form.mask),
        ("attention", results.plan.form.attention),
    ):
        rated = {
            count.reader: count.ratings
            for count in results.counts
            if count.kind == kind and not count.target and any(count.ratings)
        }
        if rated:
            figures.append(Figure(plots.plot_ratings(rated, scale.captions), scale.question))
    seconds = {
        reader: [v.seconds for v in results.verdicts if v.reader == reader and v.done]
        for reader in results.readers
    }
    if any(seconds.values()):
        figures.append(Figure(plots.plot_times(seconds), "Time in front of each finished item."))
    return Section("Readers", tables=tuple(shown), figures=tuple(figures))


def _decisions(results: Results) -> list[Section]:
    if not any(count.decisions for count in results.counts):
        return []
    reasons = tables.reason_table(results.counts, results.plan.form)
    shown = (tables.decision_table(results.counts), *((reasons,) if reasons else ()))
    return [Section("Decisions and reasons", tables=shown)]


def _edits(results: Results) -> list[Section]:
    table = tables.edit_table(results)
    return [] if table is None else [Section("Edited masks", tables=(table,))]


def _differing(
    results: Results, differing: Sequence[Disagreement], names: CaseNames
) -> list[Section]:
    if not differing:
        return []
    more = len(differing) - _MOST_ROWS
    return [
        Section(
            "To be settled",
            f"Ratings {LEAST} steps or more apart, or different decisions."
            + (f" {more} more are in the tables of the export." if more > 0 else ""),
            tables=(tables.disagreement_table(differing[:_MOST_ROWS], results.readers, names),),
        )
    ]


def _unreadable(results: Results, names: CaseNames) -> list[Section]:
    table = tables.unreadable_table(results, names)
    return [] if table is None else [Section("What could not be shown", tables=(table,))]


def _listed(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
