"""What several readers' answers come to: one decision for each mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.event import Edit, Event, Verdict
from napari_hirescam.review.form import DECISIONS, Decision
from napari_hirescam.review.stored_review import StoredReview


@dataclass(frozen=True)
class Decided:
    """What becomes of one mask.

    Parameters
    ----------
    decision
        None if no reader whose word counts has finished it with a decision.
    edit
        The last edited copy of those who say "use"; None if there is none.
    readers
        Whose finished decisions it comes from.
    adjudicated
        Whether an adjudicating review settled it.
    unreadable
        Why a reader could not see it, if nobody decided; else empty.
    mask_sha256
        Of the mask that the last of them saw who decided so; empty if it is not known.
    """

    decision: Decision | None
    edit: Edit | None = None
    readers: tuple[str, ...] = ()
    adjudicated: bool = False
    unreadable: str = ""
    mask_sha256: str = ""


def decided(*reviews: StoredReview, rule: str = "strictest") -> Mapping[tuple[str, str], Decided]:
    """Settle what becomes of every mask of one or several reviews.

    Only finished items ("done") count. Hidden repeats decide nothing: they measure the reader.

    Parameters
    ----------
    reviews
        All of them; one that adjudicates another wins over it, whatever the rule.
    rule
        "strictest" (exclude before resegment before rough before use), "majority" (the strictest
        of those that are equally frequent), or a reader's name, who alone counts.

    Returns
    -------
    (case, organ) -> what becomes of it, for every mask item.

    Raises
    ------
    ReviewError
        No such reader; or the review that one of them adjudicates is not among them.
    """
    names = {review.plan.name for review in reviews}
    for review in reviews:
        settled = review.plan.adjudicates
        if settled and settled not in names:
            raise ReviewError(
                review.path,
                f"it settles the disagreements of the review {settled!r}, which is not there",
                "Give that review too",
            )
    first = [review for review in reviews if not review.plan.adjudicates]
    _require_reader(first, rule)
    found = _settled(_answers(first), rule)
    for review in sorted(reviews, key=lambda one: _depth(one, reviews)):
        if review.plan.adjudicates:
            by_whom = rule if rule in ("majority", *review.readers) else "strictest"
            for key, what in _settled(_answers([review]), by_whom).items():
                if what.decision is not None:
                    found[key] = replace(what, adjudicated=True)
    return found


@dataclass(frozen=True)
class _Answer:
    """What one reader said of one mask, in one review."""

    verdict: Verdict
    # Looking in again says nothing, and counts neither as later nor as another mask.
    said: Event | None
    edited: Event | None
    # Events of one review have an order, whatever the readers' clocks say.
    one_review: bool


def _answers(reviews: Sequence[StoredReview]) -> dict[tuple[str, str], list[_Answer]]:
    """(case, organ) -> who said what; empty lists for what nobody touched."""
    answers: dict[tuple[str, str], list[_Answer]] = {}
    for review in reviews:
        keys = {
            item.number: (item.case, item.target)
            for item in review.items()
            if item.kind == "mask" and item.repeat_of is None
        }
        for key in keys.values():
            answers.setdefault(key, [])
        said = review.last_events("rating", "decision", "done")
        edited = review.last_events("edit")
        for verdict in review.verdicts():
            if verdict.item in keys:
                at = verdict.item, verdict.reader
                answer = _Answer(verdict, said.get(at), edited.get(at), len(reviews) == 1)
                answers[keys[verdict.item]].append(answer)
    return answers


def _settled(
    answers: Mapping[tuple[str, str], Sequence[_Answer]], rule: str
) -> dict[tuple[str, str], Decided]:
    found = {}
    for key, given in answers.items():
        counting = [one for one in given if rule in ("strictest", "majority", one.verdict.reader)]
        final = [one for one in counting if one.verdict.done and one.verdict.decision is not None]
        found[key] = _one_of(final, rule) if final else _undecided(counting)
    return found


def _undecided(given: Sequence[_Answer]) -> Decided:
    reasons = [one.verdict.unreadable for one in given if one.verdict.unreadable]
    return Decided(None, unreadable=reasons[0] if reasons else "")


def _one_of(final: Sequence[_Answer], rule: str) -> Decided:
    decisions = [one.verdict.decision for one in final if one.verdict.decision is not None]
    often = Counter(decisions)
    most = max(often.values()) if rule == "majority" else 0
    decision = max((one for one, times in often.items() if times >= most), key=DECISIONS.index)
    behind = [one for one in final if one.verdict.decision == decision]
    edited = [one for one in behind if one.verdict.edit is not None]
    last_edited = max(edited, key=lambda one: _when(one, one.edited), default=None)
    last_said = max(behind, key=lambda one: _when(one, one.said)).said
    return Decided(
        decision=decision,
        edit=last_edited.verdict.edit if last_edited is not None and decision == "use" else None,
        readers=tuple(sorted({one.verdict.reader for one in final})),
        mask_sha256=last_said.mask_sha256 if last_said is not None else "",
    )


def _when(answer: _Answer, event: Event | None) -> float:
    if event is None:
        return 0.0
    return float(event.number) if answer.one_review else event.time.timestamp()


def _require_reader(reviews: Sequence[StoredReview], rule: str) -> None:
    known = sorted({reader for review in reviews for reader in review.readers})
    if rule not in ("strictest", "majority", *known):
        raise ReviewError(
            "rule",
            f"there is no reader {rule!r}",
            f"Use strictest, majority or one of the readers: {', '.join(known) or 'none yet'}",
        )


def _depth(review: StoredReview, reviews: Sequence[StoredReview]) -> int:
    """How many adjudications lie below one; of one that goes round in a circle, all."""
    depth = 0
    settled = review.plan.adjudicates
    while settled and depth < len(reviews):
        depth += 1
        below = next(one for one in reviews if one.plan.name == settled)
        settled = below.plan.adjudicates
    return depth
