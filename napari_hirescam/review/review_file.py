"""The review's file: SQLite, write-ahead log, every commit flushed; events are only added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from napari_hirescam.review.event import Event, EventKind, Verdict
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item, MaskFacts

#: Which items a list shows.
Status = Literal["all", "open", "done", "flagged", "unreadable", "rejected", "edited"]


@dataclass(frozen=True)
class Progress:
    """How far a reader is.

    Parameters
    ----------
    done, total, flagged, unreadable
        Items.
    seconds_an_item
        Median over the finished ones; NaN if there is none.
    """

    done: int
    total: int
    flagged: int
    unreadable: int
    seconds_an_item: float


@dataclass(frozen=True)
class Row:
    """An item as a list shows it.

    Parameters
    ----------
    number, case, kind, target, split
        Of the item.
    rating, decision, flagged, done, unreadable
        What the reader said so far.
    worst_check
        Highest severity of its checks; NaN if they were not run.
    """

    number: int
    case: str
    kind: str
    target: str
    split: str
    rating: int | None
    decision: str | None
    flagged: bool
    done: bool
    unreadable: bool
    worst_check: float


class ReviewFile:
    """A review that is open; use it as a context manager, or close it.

    Any number of processes may have one file open, each with an object of its own; an object may
    be used by one thread at a time. A writer waits for another.

    Raises
    ------
    ReviewError
        On opening: there is no such file, it is no review, it is of a newer version, it cannot be
        written. On writing: the disk is full, or another holds the file for too long. Nothing
        that was acknowledged is lost by any of them.
    """

    @classmethod
    def create(cls, path: str | Path, plan: Plan, items: Sequence[Item]) -> Self:
        """Make a review; the file is there whole or not at all, and never replaces another."""
        raise NotImplementedError

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False) -> Self:
        """Open a review."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it; fold the log into the file if nobody else has it open."""
        raise NotImplementedError

    @property
    def path(self) -> Path:
        """Where it lies; edited masks are in the folder beside it, `NAME.edits`."""
        raise NotImplementedError

    @property
    def plan(self) -> Plan:
        """How the review is done."""
        raise NotImplementedError

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: the file lies on a network drive, say."""
        raise NotImplementedError

    @property
    def readers(self) -> tuple[str, ...]:
        """All who have recorded something, by name."""
        raise NotImplementedError

    def items(self) -> tuple[Item, ...]:
        """All items, in the order of the work list."""
        raise NotImplementedError

    def item(self, number: int) -> Item:
        """One item."""
        raise NotImplementedError

    def rows(self, reader: str, *, status: Status = "all", search: str = "") -> list[Row]:
        """The work list of a reader; `search` is found in case, target, split or comment."""
        raise NotImplementedError

    def progress(self, reader: str) -> Progress:
        """How far a reader is."""
        raise NotImplementedError

    def record(
        self,
        reader: str,
        item: int,
        kind: EventKind,
        value: Any,
        *,
        about: str = "",
        seconds: float = 0.0,
        mask_sha256: str = "",
    ) -> Event:
        """Add an event; when this returns it is on the disk.

        Raises
        ------
        ReviewError
            The value does not fit the form, or it cannot be written.
        """
        raise NotImplementedError

    def verdict(self, reader: str, item: int) -> Verdict:
        """What holds for one item and one reader."""
        raise NotImplementedError

    def verdicts(self, readers: Iterable[str] | None = None) -> list[Verdict]:
        """What holds for every item that a reader has touched, by item and reader."""
        raise NotImplementedError

    def history(self, item: int, reader: str | None = None) -> list[Event]:
        """All that was ever said of an item, oldest first."""
        raise NotImplementedError

    def put_facts(self, item: int, facts: MaskFacts) -> None:
        """Keep what the automatic checks found."""
        raise NotImplementedError

    def facts(self, item: int) -> MaskFacts | None:
        """What the automatic checks found; None if they were not run."""
        raise NotImplementedError
