"""How far a review has come: by reader, and by organ or label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from napari_hirescam.review.form import DECISIONS
from napari_hirescam.review.review_file import ReviewFile, Row


@dataclass(frozen=True)
class ReaderStanding:
    """How far one reader is.

    Parameters
    ----------
    reader
        Who.
    done, left, flagged, unreadable
        Items; those that could not be read are not left.
    seconds_an_item
        Median over the finished ones; NaN if there is none.
    seconds_left
        What is left at that pace.
    """

    reader: str
    done: int
    left: int
    flagged: int
    unreadable: int
    seconds_an_item: float
    seconds_left: float


@dataclass(frozen=True)
class TargetStanding:
    """How far one organ's masks, or one label's maps, are.

    Parameters
    ----------
    kind, target
        As in :class:`~napari_hirescam.review.item.Item`.
    items
        How many there are.
    done
        Reader -> how many are finished.
    decisions
        Decision -> how many finished answers have it, all readers together.
    flagged, unreadable
        Answers, all readers together.
    """

    kind: str
    target: str
    items: int
    done: Mapping[str, int]
    decisions: Mapping[str, int]
    flagged: int
    unreadable: int


@dataclass(frozen=True)
class Standing:
    """How far a review is.

    Parameters
    ----------
    items, cases, repeats
        How many; `repeats` of the items are hidden ones.
    readers
        By name.
    targets
        In the order of the work list.
    """

    items: int
    cases: int
    repeats: int
    readers: tuple[ReaderStanding, ...]
    targets: tuple[TargetStanding, ...]


def standing(review: ReviewFile) -> Standing:
    """Count what is done in a review, and what is left."""
    items = review.items()
    rows = {reader: review.rows(reader) for reader in review.readers}
    kinds = dict.fromkeys((item.kind, item.target) for item in items)
    counts = Counter((item.kind, item.target) for item in items)
    return Standing(
        items=len(items),
        cases=len({item.case for item in items}),
        repeats=sum(item.repeat_of is not None for item in items),
        readers=tuple(_of_reader(review, reader) for reader in rows),
        targets=tuple(
            _of_target(kind, target, counts[kind, target], rows) for kind, target in kinds
        ),
    )


def _of_reader(review: ReviewFile, reader: str) -> ReaderStanding:
    progress = review.progress(reader)
    left = len(review.rows(reader, status="open"))
    return ReaderStanding(
        reader,
        progress.done,
        left,
        progress.flagged,
        progress.unreadable,
        progress.seconds_an_item,
        left * progress.seconds_an_item,
    )


def _of_target(kind: str, target: str, items: int, rows: Mapping[str, list[Row]]) -> TargetStanding:
    own = {
        reader: [row for row in found if (row.kind, row.target) == (kind, target)]
        for reader, found in rows.items()
    }
    every = [row for found in own.values() for row in found]
    decided = Counter(row.decision for row in every if row.done and row.decision is not None)
    return TargetStanding(
        kind,
        target,
        items,
        {reader: sum(row.done for row in found) for reader, found in own.items()},
        {decision: decided[decision] for decision in DECISIONS},
        sum(row.flagged for row in every),
        sum(row.unreadable for row in every),
    )
