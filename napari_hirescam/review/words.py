"""Answers in words, for reports, lists and whoever settles a difference."""

from __future__ import annotations

import math
from pathlib import Path

from napari_hirescam.errors import HirescamError
from napari_hirescam.review.event import Verdict
from napari_hirescam.review.form import Decision, Form
from napari_hirescam.review.item import Item

DECISION_WORDS: dict[Decision, str] = {
    "use": "use",
    "rough": "rough fallback",
    "resegment": "re-segment",
    "exclude": "exclude",
}


def spoken(name: str) -> str:
    """Write the name of an organ or a label as people do."""
    return name.replace("_", " ")


def duration_words(seconds: float) -> str:
    """Write a duration in the two units that matter; nothing if it is not known (NaN)."""
    if math.isnan(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def verdict_words(item: Item, verdict: Verdict, form: Form) -> str:
    """What a reader said of an item, in one line that does not tell who it was."""
    scale = form.mask if item.kind == "mask" else form.attention
    parts = []
    if verdict.rating is not None:
        parts.append(f"{verdict.rating} ({scale.captions[verdict.rating - 1]})")
    if verdict.decision is not None:
        parts.append(DECISION_WORDS[verdict.decision])
    parts += [form.reasons.get(reason, reason) for reason in verdict.reasons]
    parts += [f"{key}: {'yes' if yes else 'no'}" for key, yes in verdict.answers.items()]
    if verdict.edit is not None:
        parts.append("edited")
    if verdict.comment:
        parts.append(f'"{verdict.comment}"')
    return "; ".join(parts) or "nothing yet"


def fault_words(item: Item, error: HirescamError) -> str:
    """Why an item cannot be shown, for all to read: files are often called after patients."""
    return f"{faulty_part(item, error)}: {error.reason}. {error.remedy}."


def faulty_part(item: Item, error: HirescamError) -> str:
    """What of an item is at fault, without the file's name."""
    subject, place = error.subject, Path(error.subject)
    if subject == item.organ_table:
        return "the table of organs"
    if any(folder.name.endswith(".edits") for folder in place.parents):
        return "the edited mask"
    files = {"the CT": item.ct, "the mask": item.mask}
    parts = [part for part, file in files.items() if file in (place, *place.parents)]
    if not parts:
        parts = [part for part, file in files.items() if file and file.name == subject]
    return " or ".join(parts) or "a file of it"
