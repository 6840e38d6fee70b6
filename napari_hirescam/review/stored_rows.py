"""Plans, items, facts, events and verdicts as rows of a review's file, and back."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.event import Edit, Event, Verdict
from napari_hirescam.review.form import Blinding, Form, Plan, Scale, YesNoQuestion
from napari_hirescam.review.item import CheckFinding, Item, MaskFacts
from napari_hirescam.review.stored_paths import StoredPaths

ITEM_COLUMNS = (
    "number, case_name, patient, kind, target, ct, series, mask, organ_table, "
    "organ_table_is_file, attention, model, split, repeat_of, about"
)
EVENT_COLUMNS = "number, item, reader, kind, about, value, time, seconds, software, mask_sha256"
#: What names a file in an edit's value.
EDIT_FILES = frozenset({"file", "dicom"})
VERDICT_COLUMNS = (
    "item, reader, rating, reasons, decision, answers, comment, flagged, edit, unreadable, done, "
    "seconds_before + seconds_this_visit, last_time"
)


def plan_to_text(plan: Plan) -> str:
    """Give a plan as JSON."""
    return json.dumps(asdict(plan))


def read_plan(connection: sqlite3.Connection, file: Path) -> Plan:
    """Read the plan of a review.

    Raises
    ------
    ReviewError
        It is none.
    """
    row = connection.execute("SELECT content FROM plan").fetchone()
    try:
        return _plan(json.loads(row[0]))
    except (KeyError, TypeError, ValueError) as exc:
        raise ReviewError(file, "its plan cannot be read", "restore it from a copy") from exc


def _plan(told: dict[str, Any]) -> Plan:
    form = told.pop("form")
    scales = {
        kind: Scale(form[kind]["question"], tuple(form[kind]["captions"]))
        for kind in ("mask", "attention")
    }
    questions = tuple(YesNoQuestion(**question) for question in form["questions"])
    return Plan(
        **{
            **told,
            "form": Form(**scales, reasons=dict(form["reasons"]), questions=questions),
            "blinding": Blinding(**told["blinding"]),
        }
    )


def item_to_row(item: Item, paths: StoredPaths) -> tuple[Any, ...]:
    """Give an item in the order of :data:`ITEM_COLUMNS`."""
    table = Path(item.organ_table) if item.organ_table else None
    is_file = table is not None and table.is_file()
    return (
        item.number,
        item.case,
        item.patient,
        item.kind,
        item.target,
        paths.to_text(item.ct),
        item.series,
        None if item.mask is None else paths.to_text(item.mask),
        paths.to_text(table) if table is not None and is_file else item.organ_table,
        is_file,
        None if item.attention is None else paths.to_text(item.attention),
        None if item.model is None else paths.to_text(item.model),
        item.split,
        item.repeat_of,
        json.dumps(dict(item.about)),
    )


def item_from_row(row: Sequence[Any], paths: StoredPaths) -> Item:
    """Read an item."""
    (number, case, patient, kind, target, ct, series, mask, table, is_file, attention, model) = row[
        :12
    ]
    split, repeat_of, about = row[12:]
    return Item(
        number=number,
        case=case,
        patient=patient,
        kind=kind,
        target=target,
        ct=paths.to_path(ct),
        series=series,
        mask=None if mask is None else paths.to_path(mask),
        organ_table=str(paths.to_path(table)) if is_file else table,
        attention=None if attention is None else paths.to_path(attention),
        model=None if model is None else paths.to_path(model),
        split=split,
        repeat_of=repeat_of,
        about=json.loads(about),
    )


def facts_to_row(item: int, facts: MaskFacts) -> tuple[Any, ...]:
    """Give item, volume, surface, mean, findings and notes; what is not finite as None."""
    figures = (facts.volume_ml, facts.surface_cm2, facts.mean_hu)
    return (
        item,
        *(float(figure) if math.isfinite(figure) else None for figure in figures),
        json.dumps([asdict(finding) for finding in facts.findings]),
        json.dumps(facts.notes),
    )


def facts_from_row(row: Sequence[Any], _: StoredPaths) -> MaskFacts:
    """Read facts, without the item."""
    volume, surface, mean = (math.nan if figure is None else figure for figure in row[:3])
    findings, notes = row[3:]
    return MaskFacts(
        volume,
        surface,
        mean,
        findings=tuple(
            CheckFinding(
                told["check"],
                told["words"],
                told["severity"],
                None if told["place_mm"] is None else tuple(told["place_mm"]),
            )
            for told in json.loads(findings)
        ),
        notes=tuple(json.loads(notes)),
    )


def event_from_row(row: Sequence[Any], paths: StoredPaths) -> Event:
    """Read an event; paths of an edit come whole."""
    number, item, reader, kind, about, value, time, seconds, software, sha256 = row
    told = json.loads(value)
    if kind == "edit" and told is not None:
        for key in EDIT_FILES & told.keys():
            told[key] = str(paths.to_path(told[key]))
    return Event(
        number, item, reader, kind, about, told, datetime.fromisoformat(time), seconds, software,
        sha256,
    )  # fmt: skip


def verdict_from_row(row: Sequence[Any], paths: StoredPaths) -> Verdict:
    """Read a verdict."""
    (item, reader, rating, reasons, decision, answers, comment, flagged, edit, unreadable) = row[
        :10
    ]
    done, seconds, last = row[10:]
    told = None if edit is None else json.loads(edit)
    return Verdict(
        item=item,
        reader=reader,
        rating=rating,
        reasons=tuple(json.loads(reasons)),
        decision=decision,
        answers=json.loads(answers),
        comment=comment,
        flagged=flagged == 1,
        edit=None if told is None else Edit(paths.to_path(told["file"]), told["sha256"]),
        unreadable=unreadable,
        done=done == 1,
        seconds=seconds,
        last=datetime.fromisoformat(last),
    )
