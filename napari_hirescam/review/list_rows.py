"""The work list as a reader sees it: one row for each item, filtered, searched, counted."""

from __future__ import annotations

import math
import sqlite3
import statistics
from dataclasses import dataclass
from typing import Literal, NamedTuple

from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item

#: Which items a list shows.
Status = Literal["all", "open", "done", "flagged", "unreadable", "rejected", "edited"]

_CONDITIONS: dict[Status, str] = {
    "all": "",
    "open": "AND coalesce(verdicts.done, 0) = 0 AND coalesce(unreadable, '') = ''",
    "done": "AND verdicts.done = 1",
    "flagged": "AND flagged = 1",
    "unreadable": "AND unreadable <> ''",
    "rejected": "AND decision IN ('resegment', 'exclude')",
    "edited": "AND edit IS NOT NULL",
}


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


def list_rows(
    connection: sqlite3.Connection, reader: str, status: Status, search: str
) -> list[Row]:
    """List the items of a reader; each word of a search must be found."""
    words = search.casefold().split()
    found = "AND (instr(searched, ?) OR (comment <> '' AND instr(casefold(comment), ?)))"
    if words:
        connection.create_function("casefold", 1, str.casefold, deterministic=True)
    query = (
        "SELECT number, case_name, kind, target, split, rating, decision, flagged, done, "  # noqa: S608 - our own conditions
        "unreadable, worst_check FROM listed "
        "LEFT JOIN verdicts ON verdicts.reader = ? AND verdicts.item = listed.number "
        f"WHERE 1 {_CONDITIONS[status]} {found * len(words)} ORDER BY number"
    )
    doubled = [word for word in words for _ in range(2)]
    return [
        Row(
            number, case, kind, target, split, rating, decision, flagged == 1, done == 1,
            unreadable is not None and unreadable != "", math.nan if worst is None else worst,
        )
        for number, case, kind, target, split, rating, decision, flagged, done, unreadable, worst
        in connection.execute(query, (reader, *doubled))
    ]  # fmt: skip


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
