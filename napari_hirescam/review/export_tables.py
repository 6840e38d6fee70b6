"""What came of a review as tables: plain rows, which become CSV and Parquet alike."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from napari_hirescam.review.agreement import COEFFICIENTS
from napari_hirescam.review.case_names import CaseNames
from napari_hirescam.review.decided import Decided
from napari_hirescam.review.edit_comparisons import ORIGINAL, EditComparison
from napari_hirescam.review.event import Event, Verdict
from napari_hirescam.review.form import DECISIONS, Form
from napari_hirescam.review.item import Item, MaskFacts
from napari_hirescam.review.results import Results

#: What a spreadsheet takes for the beginning of one; those it passes over in front included.
_FORMULA = ("=", "+", "-", "@", "\t", "\n")

#: A table: every row has the same columns; None is an empty cell.
Rows = list[dict[str, Any]]


def verdict_rows(
    results: Results,
    histories: Mapping[int, Sequence[Event]],
    facts: Mapping[int, MaskFacts],
    names: CaseNames,
) -> Rows:
    """One row per item and reader, with all that holds."""
    items = {item.number: item for item in results.items}
    form = results.plan.form
    return [
        _verdict_row(items[v.item], v, form, histories.get(v.item, ()), facts.get(v.item), names)
        for v in results.verdicts
    ]


def _verdict_row(
    item: Item,
    verdict: Verdict,
    form: Form,
    history: Sequence[Event],
    facts: MaskFacts | None,
    names: CaseNames,
) -> dict[str, Any]:
    own = [event for event in history if event.reader == verdict.reader]
    seen = [event.mask_sha256 for event in own if event.mask_sha256]
    scale = form.mask if item.kind == "mask" else form.attention
    asked = {question.key: verdict.answers.get(question.key) for question in form.questions}
    return {
        "item": item.number,
        "repeat_of": item.repeat_of,
        "case": names.case(item),
        "patient": names.patient(item),
        "split": item.split,
        "kind": item.kind,
        "target": item.target,
        "reader": verdict.reader,
        "done": verdict.done,
        "rating": verdict.rating,
        "rating_words": None if verdict.rating is None else scale.captions[verdict.rating - 1],
        "decision": verdict.decision,
        "reasons": ";".join(verdict.reasons),
        **{f"answer_{key}": answer for key, answer in asked.items()},
        "comment": verdict.comment,
        "flagged": verdict.flagged,
        "unreadable": names.fault(verdict.unreadable),
        "edit_file": verdict.edit.file.name if verdict.edit else None,
        "edit_sha256": verdict.edit.sha256 if verdict.edit else None,
        "seconds": verdict.seconds,
        "last": _utc(verdict.last),
        "software": own[-1].software if own else None,
        "mask_sha256": seen[-1] if seen else None,
        "volume_ml": facts.volume_ml if facts else None,
        "mean_hu": facts.mean_hu if facts else None,
        "worst_check": facts.findings[0].severity if facts and facts.findings else None,
        "check_findings": "; ".join(found.words for found in facts.findings) if facts else None,
    }


def history_rows(
    histories: Mapping[int, Sequence[Event]], readers: Sequence[str], names: CaseNames
) -> Rows:
    """Everything that was ever said, oldest first."""
    events = [event for said in histories.values() for event in said if event.reader in readers]
    return [
        {
            "number": event.number,
            "item": event.item,
            "reader": event.reader,
            "kind": event.kind,
            "about": event.about,
            "value": _event_value(event, names),
            "time": _utc(event.time),
            "seconds": event.seconds,
            "software": event.software,
            "mask_sha256": event.mask_sha256,
        }
        for event in sorted(events, key=lambda event: event.number)
    ]


def decision_rows(settled: Mapping[tuple[str, str], Decided], rule: str) -> Rows:
    """What becomes of each mask, under the cases' own names: a training looks for those."""
    return [
        {
            "case": case,
            "organ": organ,
            "decision": decided.decision,
            "rule": "adjudicated" if decided.adjudicated else rule,
            "readers": ";".join(decided.readers),
            "edit_file": decided.edit.file.name if decided.edit else None,
            "edit_sha256": decided.edit.sha256 if decided.edit else None,
            "mask_sha256": decided.mask_sha256 or None,
            "unreadable": decided.unreadable,
        }
        for (case, organ), decided in sorted(settled.items())
    ]


def agreement_rows(results: Results) -> Rows:
    """One row per coefficient."""
    return [
        {
            "between": figure.between,
            "readers": ";".join(figure.readers),
            "asked": figure.asked.name,
            "target": figure.target,
            "coefficient": figure.key,
            "name": COEFFICIENTS[figure.key].name,
            "value": figure.estimate.value,
            "low": figure.estimate.low,
            "high": figure.estimate.high,
            "items": figure.estimate.n,
            "note": figure.estimate.note,
        }
        for figure in results.agreement
    ]


def count_rows(results: Results) -> Rows:
    """One row per reader, kind and target."""
    form = results.plan.form
    return [
        {
            "reader": count.reader,
            "kind": count.kind,
            "target": count.target,
            "items": count.items,
            "done": count.done,
            "flagged": count.flagged,
            "unreadable": count.unreadable,
            "edited": count.edited,
            **{
                f"rated_{step}": count.ratings[step - 1] if step <= len(count.ratings) else 0
                for step in range(1, _steps(form) + 1)
            },
            "mean_rating": count.mean_rating,
            **{f"decision_{key}": count.decisions.get(key, 0) for key in DECISIONS},
            **{f"reason_{key}": count.reasons.get(key, 0) for key in form.reasons},
            "median_seconds": count.median_seconds,
            "total_seconds": count.total_seconds,
        }
        for count in results.counts
    ]


def edit_rows(edits: Iterable[EditComparison], names: CaseNames) -> Rows:
    """One row per comparison of two masks; an empty `first` is the mask that was judged."""
    rows: Rows = []
    for each in edits:
        found = each.comparison
        rows.append(
            {
                "item": each.item,
                "first": "original" if each.first == ORIGINAL else each.first,
                "second": each.second,
                "dice": found.dice if found else None,
                "surface_dice": found.surface_dice if found else None,
                "tolerance_mm": found.tolerance_mm if found else None,
                "hd95_mm": found.hd95_mm if found else None,
                "volume_first_ml": found.volume_a_ml if found else None,
                "volume_second_ml": found.volume_b_ml if found else None,
                "added_ml": found.added_ml if found else None,
                "removed_ml": found.removed_ml if found else None,
                "problem": names.fault(each.problem),
            }
        )
    return rows


def as_csv(rows: Rows) -> bytes:
    """Write rows as CSV: UTF-8, a line feed after each, floats in full, NaN as an empty cell.

    Text that a spreadsheet would take for a formula has an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, rows[0]))
    writer.writerows(map(_cell, row.values()) for row in rows)
    return text.getvalue().encode()


def as_parquet(rows: Rows) -> bytes:
    """Write rows as Parquet; whole numbers with gaps stay whole."""
    import pandas as pd

    stream = io.BytesIO()
    pd.DataFrame.from_records(rows).convert_dtypes().to_parquet(stream, index=False)
    return stream.getvalue()


def _event_value(event: Event, names: CaseNames) -> str:
    value = event.value
    if event.kind == "unreadable" and value is not None:
        value = names.fault(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _cell(value: Any) -> Any:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        text = value.replace("\r\n", "\n").replace("\r", "\n")  # which are not quoted
        return f"'{text}" if text.startswith(_FORMULA) else text
    return repr(value) if isinstance(value, float) else value


def _utc(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")


def _steps(form: Form) -> int:
    return max(len(form.mask.captions), len(form.attention.captions))
