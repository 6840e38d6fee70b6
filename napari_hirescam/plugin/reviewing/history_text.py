"""What readers said of an item, in lines of plain words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from napari_hirescam.plugin.reviewing.form_panel import DECISIONS

if TYPE_CHECKING:
    from napari_hirescam.review.event import Event, Verdict

#: Said without a value.
_PLAIN = {"opened": "looked at", "done": "made final", "reopened": "opened again to change"}


def history_lines(events: Iterable[Event]) -> list[str]:
    """Give one line for each event, the latest first, in local time."""
    lines = []
    for event in events:
        when = event.time.astimezone().strftime("%d %b %H:%M")
        lines.append(f"{when}  {_said(event.kind, event.value, event.about)}")
    return lines[::-1]


def others_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """Give one line for each other reader."""
    return [f"{verdict.reader}: {in_words(verdict)}" for verdict in verdicts]


def in_words(verdict: Verdict) -> str:
    """Put what holds into a line."""
    parts = []
    if verdict.rating is not None:
        parts.append(f"rated {verdict.rating}")
    if verdict.decision is not None:
        parts.append(DECISIONS[verdict.decision][0].lower())
    parts += [reason.replace("_", " ") for reason in verdict.reasons]
    parts += [f"{key}: {'yes' if yes else 'no'}" for key, yes in verdict.answers.items()]
    if verdict.flagged:
        parts.append("flagged")
    if verdict.edit is not None:
        parts.append("corrected")
    if verdict.comment:
        parts.append(f"“{verdict.comment}”")
    return ", ".join(parts) or "nothing"


def _said(kind: str, value: Any, about: str) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "unreadable":
        return f"cannot be read: {value}" if value else "can be read again"
    if value is None or value == [] or value == "":
        return f"{about or kind} taken back"
    if kind == "rating":
        return f"rated {value}"
    if kind == "decision":
        return f"decided: {DECISIONS[value][0].lower() if value in DECISIONS else value}"
    if kind == "reasons":
        return "reasons: " + ", ".join(str(key).replace("_", " ") for key in value)
    if kind == "answer":
        return f"{about}: {'yes' if value else 'no'}"
    if kind == "comment":
        return f"comment: “{value}”"
    if kind == "flag":
        return "flagged" if value else "flag taken away"
    return "mask corrected" if kind == "edit" else kind
