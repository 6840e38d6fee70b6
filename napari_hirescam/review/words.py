"""Answers in words, for reports, lists and whoever settles a difference."""

from __future__ import annotations

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
