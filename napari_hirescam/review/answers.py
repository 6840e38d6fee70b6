"""What a form, a work list and an answer may hold: refused before anything is written."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.event import Edit, EventKind
from napari_hirescam.review.form import DECISIONS, Form, ItemKind, Order, Plan, Scale
from napari_hirescam.review.item import Item

_LONGEST_COMMENT = 10_000
_LONGEST_NAME = 100
_SHA256 = re.compile(r"[0-9a-f]{64}")


def require_plan(plan: Plan, file: Path) -> None:
    """See that a plan can be carried out.

    Raises
    ------
    ReviewError
        It cannot: the message says where.
    """
    form = plan.form
    for scale in (form.mask, form.attention):
        if not 2 <= len(scale.captions) <= 5 or not all(map(str.strip, scale.captions)):
            raise ReviewError(
                file, f"the scale {scale.question!r} has no 2 to 5 captions", "name each step"
            )
    keys = [question.key for question in form.questions]
    for key in (*keys, *form.reasons):
        if not key.isidentifier() or not key.isascii():
            raise ReviewError(
                file,
                f"{key!r} is no key that a table can have",
                "use letters, digits and _ alone, with a letter in front",
            )
    if len(set(keys)) < len(keys):
        raise ReviewError(file, "two questions have one key", "give each a key of its own")
    for question in form.questions:
        if not question.text.strip() or question.about not in get_args(ItemKind):
            raise ReviewError(
                file, f"question {question.key!r} asks nothing", "write what it asks, and of what"
            )
    if not plan.name.strip():
        raise ReviewError(file, "the review has no name", "give it one")
    if plan.order not in get_args(Order):
        raise ReviewError(
            file, f"there is no order {plan.order!r}", f"use one of {', '.join(get_args(Order))}"
        )
    if not 0 <= plan.repeat_share <= 1:
        raise ReviewError(
            file, f"{plan.repeat_share} of the items cannot be repeated", "use a share of 0 to 1"
        )


def require_items(items: Sequence[Item], file: Path) -> None:
    """See that a work list is one.

    Raises
    ------
    ReviewError
        It is not: the message says which item.
    """
    if not items:
        raise ReviewError(file, "there is nothing to review", "give at least one item")
    for place, item in enumerate(items, start=1):
        fault = _fault(item, place, items)
        if fault:
            raise ReviewError(file, f"item {place} ({item.case}, {item.target}): {fault}",
                              "mend the work list")  # fmt: skip


def _fault(item: Item, place: int, items: Sequence[Item]) -> str:
    if item.number != place:
        return f"its number is {item.number}"
    if not item.case or not item.target:
        return "its case or its target has no name"
    if item.kind not in get_args(ItemKind):
        return f"there is no kind {item.kind!r}"
    if item.kind == "mask" and item.mask is None:
        return "it has no mask"
    if item.kind == "attention" and item.attention is None and item.model is None:
        return "it has neither a map nor a model"
    if item.repeat_of is not None:
        if not 1 <= item.repeat_of < place:
            return f"it repeats item {item.repeat_of}, which does not come before it"
        first = items[item.repeat_of - 1]
        if (first.case, first.kind, first.target) != (item.case, item.kind, item.target):
            return f"it repeats item {item.repeat_of}, which is another"
    return ""


def reader_name(name: str) -> str:
    """Give a reader's name in the one way it is written.

    Raises
    ------
    ReviewError
        It is empty, too long, or has characters that cannot be seen.
    """
    written = unicodedata.normalize("NFC", name).strip()
    if not written or len(written) > _LONGEST_NAME or not written.isprintable():
        raise ReviewError(
            "reader", f"{name!r} is no name", f"use 1 to {_LONGEST_NAME} letters, digits and signs"
        )
    return written


@dataclass(frozen=True)
class _Asked:
    """What an answer is checked against."""

    form: Form
    kind: ItemKind
    about: str

    @property
    def scale(self) -> Scale:
        return self.form.mask if self.kind == "mask" else self.form.attention


def checked(form: Form, item_kind: ItemKind, kind: EventKind, about: str, value: Any) -> Any:
    """See that an answer fits the form.

    Returns
    -------
    The value as JSON knows it. An edit's files are still as they were given, and not looked for.

    Raises
    ------
    ReviewError
        It does not fit.
    """
    check = _CHECKS.get(kind)
    if check is None:
        raise _refused(kind, "there is no such kind of event", f"use one of {', '.join(_CHECKS)}")
    if about and kind != "answer":
        raise _refused(kind, f"it cannot be about {about!r}", "leave that out")
    return check(_Asked(form, item_kind, about), value)


def checked_sha256(text: str, what: str) -> str:
    """See that something is a SHA-256 in small hexadecimal digits.

    Raises
    ------
    ReviewError
        It is not.
    """
    if not _SHA256.fullmatch(text):
        raise _refused(what, f"{text!r} is no SHA-256", "give 64 hexadecimal digits")
    return text


def checked_seconds(seconds: float) -> float:
    """See that a duration is one.

    Raises
    ------
    ReviewError
        It is negative or not finite.
    """
    if not math.isfinite(seconds) or seconds < 0:
        raise _refused("seconds", f"{seconds} is no duration", "give seconds from 0 on")
    return float(seconds)


def _opened(_: _Asked, value: Any) -> Any:
    if value is None:
        return None
    plain = isinstance(value, Mapping) and all(
        isinstance(key, str)
        and isinstance(told, str | int | float)
        and not (isinstance(told, float) and not math.isfinite(told))
        for key, told in value.items()
    )
    if not plain:
        raise _refused("opened", "its value is no flat mapping", "give names and plain values")
    return dict(value)


def _rating(asked: _Asked, value: Any) -> Any:
    steps = len(asked.scale.captions)
    if value is not None and (type(value) is not int or not 1 <= value <= steps):
        raise _refused("rating", f"{value!r} is not on the scale", f"give 1 to {steps}")
    return value


def _reasons(asked: _Asked, value: Any) -> Any:
    keys = [] if value is None else value
    known = asked.form.reasons if asked.kind == "mask" else {}
    if isinstance(keys, str) or not isinstance(keys, Sequence):
        raise _refused("reasons", f"{value!r} is no list", "give a list of keys")
    wrong = [key for key in keys if key not in known]
    if wrong:
        raise _refused(
            "reasons",
            f"this form has no reason {wrong[0]!r} for this kind of item",
            f"use {', '.join(known)}" if known else "give none",
        )
    # In the form's order, so that the same reasons are the same answer.
    return [key for key in known if key in keys]


def _decision(asked: _Asked, value: Any) -> Any:
    if value is None:
        return None
    if asked.kind != "mask":
        raise _refused("decision", "one decides on masks, not on maps", "rate the map instead")
    if value not in DECISIONS:
        raise _refused("decision", f"{value!r} is none", f"use one of {', '.join(DECISIONS)}")
    return value


def _answer(asked: _Asked, value: Any) -> Any:
    keys = [question.key for question in asked.form.questions if question.about == asked.kind]
    if asked.about not in keys:
        raise _refused(
            "answer",
            f"this form does not ask {asked.about!r} of this kind of item",
            f"use one of {', '.join(keys)}" if keys else "ask nothing besides",
        )
    return _yes_no("answer")(asked, value)


def _comment(_: _Asked, value: Any) -> Any:
    if value is None or value == "":
        return None
    return _text("comment", value)


def _unreadable(_: _Asked, value: Any) -> Any:
    return None if value is None else _text("unreadable", value)


def _edit(asked: _Asked, value: Any) -> Any:
    if value is None:
        return None
    if asked.kind != "mask":
        raise _refused("edit", "a map has no mask to edit", "edit the item of its mask")
    if isinstance(value, Edit):
        value = {"file": str(value.file), "sha256": value.sha256}
    known = {"file", "sha256", "dicom"}
    if not isinstance(value, Mapping) or not {"file", "sha256"} <= set(value) <= known:
        raise _refused("edit", "its value is no edited mask", "give its file and its SHA-256")
    checked_sha256(str(value["sha256"]), "edit")
    return {key: str(told) for key, told in value.items()}


def _yes_no(kind: str) -> Callable[[_Asked, Any], Any]:
    def check(_: _Asked, value: Any) -> Any:
        if value is not None and not isinstance(value, bool):
            raise _refused(kind, f"{value!r} is neither yes nor no", "give true, false or nothing")
        return value

    return check


def _nothing(kind: str) -> Callable[[_Asked, Any], Any]:
    def check(_: _Asked, value: Any) -> Any:
        if value is not None and value is not True:
            raise _refused(kind, f"it takes no value {value!r}", "give none")

    return check


def _text(kind: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_COMMENT:
        raise _refused(kind, "it is no text", f"write 1 to {_LONGEST_COMMENT} characters")
    if "\0" in value or any(unicodedata.category(sign) == "Cs" for sign in value):
        raise _refused(kind, "it has a sign that no file can keep", "write it anew")
    return value


def _refused(kind: str, reason: str, remedy: str) -> ReviewError:
    return ReviewError(kind, reason, remedy)


_CHECKS: dict[EventKind, Callable[[_Asked, Any], Any]] = {
    "opened": _opened,
    "rating": _rating,
    "reasons": _reasons,
    "decision": _decision,
    "answer": _answer,
    "comment": _comment,
    "flag": _yes_no("flag"),
    "edit": _edit,
    "unreadable": _unreadable,
    "done": _nothing("done"),
    "reopened": _nothing("reopened"),
}
