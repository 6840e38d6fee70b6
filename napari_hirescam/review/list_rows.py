"""The work list as a reader sees it: one row for each item, filtered, searched, counted."""

from __future__ import annotations

import json
import math
import sqlite3
import statistics
from dataclasses import dataclass
from typing import Literal, NamedTuple

from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item

#: Which items a list shows.
Status = Literal["all", "open", "done", "flagged", "unreadable", "rejected", "edited"]

#: Of the lists that only show items of which the reader has said something.
_CONDITIONS: dict[Status, str] = {
    "done": "AND done = 1",
    "flagged": "AND flagged = 1",
    "unreadable": "AND unreadable <> ''",
    "rejected": "AND decision IN ('resegment', 'exclude')",
    "edited": "AND edit IS NOT NULL",
}
_UNTOUCHED = (None, None, False, False, False)


class Listed(NamedTuple):
    """What a list shows of an item whoever reads it; it never changes."""

    number: int
    case: str
    kind: str
    target: str
    split: str
    searched: str


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


class Row(NamedTuple):
    """An item as a list shows it; a tuple, since a list of 36,316 must be there at once.

    Parameters
    ----------
    number, case, kind, target, split
        Of the item.
    rating, decision, flagged, done, unreadable
        What the reader said so far.
    worst_check
        Highest severity of its checks, 0 if they found nothing; NaN if they were not run.
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


def searched_text(item: Item, plan: Plan) -> str:
    """Give what a search looks through, besides the reader's own comment.

    Where names are hidden an item is known, and found, by its number.
    """
    name = str(item.number) if plan.blinding.names else item.case
    return "\n".join((name, item.target, item.split)).casefold()


def read_listed(connection: sqlite3.Connection) -> list[Listed]:
    """Read what never changes, once for all lists."""
    query = "SELECT number, case_name, kind, target, split, searched FROM listed ORDER BY number"
    return [Listed._make(row) for row in connection.execute(query)]


def list_rows(
    connection: sqlite3.Connection,
    listed: list[Listed],
    reader: str,
    status: Status,
    search: str,
) -> list[Row]:
    """List the items of a reader; each word of a search must be found."""
    words = search.casefold().split()
    if words:
        listed = _found(connection, listed, reader, words)
    few = "AND item IN (SELECT value FROM json_each(?))" if words else ""
    # A join, with all that is listed as text each time, takes half as long again.
    told = {
        item: (rating, decision, flagged == 1, done == 1, unreadable == 1)
        for item, rating, decision, flagged, done, unreadable in connection.execute(
            "SELECT item, rating, decision, flagged, done, unreadable <> '' FROM verdicts "  # noqa: S608 - our own conditions
            f"WHERE reader = ? {few} {_CONDITIONS.get(status, '')}",
            (reader, json.dumps([one.number for one in listed])) if words else (reader,),
        )
    }
    if status in _CONDITIONS:
        listed = [one for one in listed if one.number in told]
    elif status == "open":
        left = {item for item, said in told.items() if not said[3] and not said[4]}
        listed = [one for one in listed if one.number in left or one.number not in told]
    worst = dict(
        connection.execute(
            "SELECT number, worst_check FROM listed WHERE worst_check IS NOT NULL"
        ).fetchall()
    )
    nothing = math.nan
    # Of 36,316 rows the class' own constructor takes a third longer.
    make = tuple.__new__
    return [
        make(Row, (n, case, kind, target, split, *told.get(n, _UNTOUCHED), worst.get(n, nothing)))
        for n, case, kind, target, split, _ in listed
    ]


def _found(
    connection: sqlite3.Connection, listed: list[Listed], reader: str, words: list[str]
) -> list[Listed]:
    query = "SELECT item, comment FROM verdicts WHERE reader = ? AND comment <> ''"
    comments = {item: said.casefold() for item, said in connection.execute(query, (reader,))}
    for word in words:
        commented = {item for item, comment in comments.items() if word in comment}
        listed = [one for one in listed if word in one.searched or one.number in commented]
    return listed


def progress(connection: sqlite3.Connection, reader: str) -> Progress:
    """Count a reader's items."""
    total = connection.execute("SELECT count(*) FROM listed").fetchone()[0]
    done, flagged, unreadable = connection.execute(
        "SELECT coalesce(sum(done), 0), coalesce(sum(flagged), 0), "
        "coalesce(sum(unreadable <> ''), 0) FROM verdicts WHERE reader = ?",
        (reader,),
    ).fetchone()
    seconds = [
        row[0]
        for row in connection.execute(
            "SELECT seconds_before + seconds_this_visit FROM verdicts WHERE reader = ? AND done",
            (reader,),
        )
    ]
    pace = statistics.median(seconds) if seconds else math.nan
    return Progress(done, total, flagged, unreadable, pace)
