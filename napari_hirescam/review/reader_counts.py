"""What each reader did: how many items, which ratings, decisions and reasons, how fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from napari_hirescam.review.asked import VerdictOf
from napari_hirescam.review.event import Verdict
from napari_hirescam.review.form import ItemKind, Plan
from napari_hirescam.review.item import Item


@dataclass(frozen=True)
class ReaderCount:
    """One reader's work on one organ or label, or on all of a kind.

    Parameters
    ----------
    reader, kind
        Whose, and of what.
    target
        Organ or label; empty for all together.
    items
        How many there are, hidden repeats included.
    done, flagged, unreadable, edited
        How many of them.
    ratings
        How often each step of the scale was given, final answers alone.
    mean_rating
        Of the final ones, 1 for the lowest step; NaN if there is none.
    decisions, reasons
        Key -> how often, final answers alone.
    median_seconds
        For a finished item, all visits together; NaN if there is none.
    total_seconds
        On all items.
    """

    reader: str
    kind: ItemKind
    target: str
    items: int
    done: int
    flagged: int
    unreadable: int
    edited: int
    ratings: tuple[int, ...]
    mean_rating: float
    decisions: Mapping[str, int]
    reasons: Mapping[str, int]
    median_seconds: float
    total_seconds: float


def reader_counts(
    plan: Plan, items: Sequence[Item], verdict_of: VerdictOf, readers: Sequence[str]
) -> tuple[ReaderCount, ...]:
    """Count for each reader and kind, all targets together first, then each of several."""
    found = []
    for reader in readers:
        for kind in ("mask", "attention"):
            of_kind = [item for item in items if item.kind == kind]
            targets = sorted({item.target for item in of_kind})
            groups = {"": of_kind} if of_kind else {}
            if len(targets) > 1:
                for target in targets:
                    groups[target] = [item for item in of_kind if item.target == target]
            for target, group in groups.items():
                said = [
                    verdict
                    for item in group
                    if (verdict := verdict_of.get((item.number, reader))) is not None
                ]
                found.append(_count(plan, reader, kind, target, len(group), said))
    return tuple(found)


def _count(
    plan: Plan, reader: str, kind: ItemKind, target: str, n_items: int, said: Sequence[Verdict]
) -> ReaderCount:
    scale = plan.form.mask if kind == "mask" else plan.form.attention
    final = [verdict for verdict in said if verdict.done and not verdict.unreadable]
    given = [verdict.rating for verdict in final if verdict.rating is not None]
    rated = Counter(given)
    return ReaderCount(
        reader=reader,
        kind=kind,
        target=target,
        items=n_items,
        done=sum(verdict.done for verdict in said),
        flagged=sum(verdict.flagged for verdict in said),
        unreadable=sum(bool(verdict.unreadable) for verdict in said),
        edited=sum(verdict.edit is not None for verdict in said),
        ratings=tuple(rated[step] for step in range(1, len(scale.captions) + 1)),
        mean_rating=sum(given) / len(given) if given else float("nan"),
        decisions=Counter(verdict.decision for verdict in final if verdict.decision),
        reasons=Counter(reason for verdict in final for reason in verdict.reasons),
        median_seconds=median(v.seconds for v in final) if final else float("nan"),
        total_seconds=sum(verdict.seconds for verdict in said),
    )
