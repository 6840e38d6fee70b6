"""What a review asked, as tables of numbers: who answered what of which item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_hirescam.review.agreement import Answers
from napari_hirescam.review.event import Verdict
from napari_hirescam.review.form import DECISIONS, ItemKind, Plan
from napari_hirescam.review.item import Item

#: Verdicts by (item, reader).
VerdictOf = dict[tuple[int, str], Verdict]


@dataclass(frozen=True)
class Asked:
    """One thing that was asked.

    Parameters
    ----------
    kind
        A rating, a decision, a free question, or whether a reason was ticked.
    key
        Of the question or the reason; else empty.
    about
        Which items it was asked of.
    answers
        In words, from the lowest number to the highest.
    """

    kind: Literal["rating", "decision", "question", "reason"]
    key: str
    about: ItemKind
    answers: tuple[str, ...]

    @property
    def name(self) -> str:
        """For tables: "rating of masks", "decision", "reason leak", "question sharp"."""
        if self.kind == "rating":
            return f"rating of {'masks' if self.about == 'mask' else 'attention'}"
        return f"{self.kind} {self.key}".strip()

    @property
    def is_scale(self) -> bool:
        """Whether the answers have an order that a figure can weigh."""
        return self.kind == "rating"

    def of(self, verdict: Verdict) -> float:
        """Number of the answer; NaN where there is none, or it is not final."""
        if not verdict.done or verdict.unreadable:
            return float("nan")
        if self.kind == "rating":
            return float("nan") if verdict.rating is None else verdict.rating - 1.0
        if self.kind == "decision":
            given = verdict.decision
            return float("nan") if given is None else float(DECISIONS.index(given))
        if self.kind == "question":
            answer = verdict.answers.get(self.key)
            return float("nan") if answer is None else float(answer)
        # Reasons are asked for with the rating: who rated and ticked none said that none holds.
        return float("nan") if verdict.rating is None else float(self.key in verdict.reasons)


def all_asked(plan: Plan) -> tuple[Asked, ...]:
    """List what a form asks, the scales first."""
    form = plan.form
    no_yes = ("no", "yes")
    return (
        Asked("rating", "", "mask", form.mask.captions),
        Asked("decision", "", "mask", DECISIONS),
        Asked("rating", "", "attention", form.attention.captions),
        *(Asked("question", each.key, each.about, no_yes) for each in form.questions),
        *(Asked("reason", key, "mask", no_yes) for key in form.reasons),
    )


def by_item_and_reader(verdicts: Iterable[Verdict]) -> VerdictOf:
    """Index verdicts."""
    return {(verdict.item, verdict.reader): verdict for verdict in verdicts}


def first_visits(items: Iterable[Item], about: ItemKind) -> tuple[Item, ...]:
    """Items of a kind, hidden repeats left out: what readers are compared by."""
    return tuple(item for item in items if item.kind == about and item.repeat_of is None)


def between_readers(
    asked: Asked, items: Sequence[Item], verdict_of: VerdictOf, readers: Sequence[str]
) -> Answers:
    """What each reader answered, [items, readers]."""
    nothing = float("nan")
    rows = [
        [asked.of(verdict) if (verdict := verdict_of.get((item.number, reader))) else nothing
         for reader in readers]
        for item in items
    ]  # fmt: skip
    return np.array(rows, dtype=np.float64).reshape(len(items), len(readers))


def repeats_of(items: Sequence[Item], about: ItemKind) -> tuple[tuple[Item, Item], ...]:
    """Items that came twice: the first showing and the hidden repeat."""
    known = {item.number: item for item in items}
    return tuple(
        (known[item.repeat_of], item)
        for item in items
        if item.kind == about and item.repeat_of is not None
    )


def with_oneself(
    asked: Asked, pairs: Sequence[tuple[Item, Item]], verdict_of: VerdictOf, reader: str
) -> Answers:
    """What one reader answered at first and at the repeat, [pairs, 2]."""
    first = between_readers(asked, [pair[0] for pair in pairs], verdict_of, [reader])
    again = between_readers(asked, [pair[1] for pair in pairs], verdict_of, [reader])
    return np.hstack([first, again])
