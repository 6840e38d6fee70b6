"""A review's file as it can be read: items, verdicts, history, facts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from napari_hirescam.errors import ReviewError
from napari_hirescam.review import answers, database, schema
from napari_hirescam.review import stored_rows as stored
from napari_hirescam.review.event import Event, EventKind, Verdict
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item, MaskFacts
from napari_hirescam.review.list_rows import (
    Listed,
    Progress,
    Row,
    Status,
    list_rows,
    progress,
    read_listed,
)
from napari_hirescam.review.stored_paths import StoredPaths

_T = TypeVar("_T")


class StoredReview:
    """What a review's file tells.

    Parameters
    ----------
    path
        Where it lies, without links.
    connection
        To it, checked.
    plan, notes
        As its file and its drive told.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        plan: Plan,
        notes: tuple[str, ...],
    ) -> None:
        self._path = path
        self._connection = connection
        self._plan = plan
        self._notes = notes
        self._paths = StoredPaths(path.parent)
        self._listed: list[Listed] | None = None

    @property
    def path(self) -> Path:
        """Where it lies; edited masks are in the folder beside it, `NAME.edits`."""
        return self._path

    @property
    def plan(self) -> Plan:
        """How the review is done."""
        return self._plan

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: the file lies on a network drive, say."""
        return self._notes

    @property
    def readers(self) -> tuple[str, ...]:
        """All who have recorded something, by name."""
        rows = self._rows("SELECT DISTINCT reader FROM verdicts ORDER BY reader")
        return tuple(row[0] for row in rows)

    def last_item(self, reader: str) -> int | None:
        """Number of the item that a reader was at last; None before the first."""
        query = "SELECT item FROM verdicts WHERE reader = ? ORDER BY last_event DESC LIMIT 1"
        for row in self._rows(query, (answers.reader_name(reader),)):
            return int(row[0])
        return None

    def items(self) -> tuple[Item, ...]:
        """All items, in the order of the work list."""
        query = f"SELECT {stored.ITEM_COLUMNS} FROM items ORDER BY number"  # noqa: S608
        return tuple(self._made(stored.item_from_row, query))

    def item(self, number: int) -> Item:
        """One item.

        Raises
        ------
        ReviewError
            There is none of this number.
        """
        query = f"SELECT {stored.ITEM_COLUMNS} FROM items WHERE number = ?"  # noqa: S608
        for item in self._made(stored.item_from_row, query, (number,)):
            return item
        raise self._no_item(number)

    def rows(self, reader: str, *, status: Status = "all", search: str = "") -> list[Row]:
        """The work list of a reader.

        Parameters
        ----------
        reader
            Whose answers are shown.
        status
            "open" items are neither done nor unreadable; "rejected" ones to be segmented anew or
            excluded.
        search
            Words, each to be found in case, target, split or the reader's comment; where names
            are hidden, in the item's number in place of the case.
        """
        name = answers.reader_name(reader)
        with self._reading():
            if self._listed is None:
                self._listed = read_listed(self._connection)
            return list_rows(self._connection, self._listed, name, status, search)

    def progress(self, reader: str) -> Progress:
        """How far a reader is."""
        with self._reading():
            return progress(self._connection, answers.reader_name(reader))

    def verdict(self, reader: str, item: int) -> Verdict:
        """What holds for one item and one reader."""
        reader = answers.reader_name(reader)
        query = f"SELECT {stored.VERDICT_COLUMNS} FROM verdicts WHERE reader = ? AND item = ?"  # noqa: S608
        for verdict in self._made(stored.verdict_from_row, query, (reader, item)):
            return verdict
        self._kind_of(item)
        return Verdict(item, reader)

    def verdicts(self, readers: Iterable[str] | None = None) -> list[Verdict]:
        """What holds for every item that a reader has touched, by item and reader."""
        names = None if readers is None else [answers.reader_name(name) for name in readers]
        query = f"SELECT {stored.VERDICT_COLUMNS} FROM verdicts ORDER BY item, reader"  # noqa: S608
        every = self._made(stored.verdict_from_row, query)
        return [verdict for verdict in every if names is None or verdict.reader in names]

    def history(self, item: int, reader: str | None = None) -> list[Event]:
        """All that was ever said of an item, oldest first."""
        self._kind_of(item)
        query = f"SELECT {stored.EVENT_COLUMNS} FROM events WHERE item = ? ORDER BY number"  # noqa: S608
        name = None if reader is None else answers.reader_name(reader)
        every = self._made(stored.event_from_row, query, (item,))
        return [event for event in every if name is None or event.reader == name]

    def last_events(self, *kinds: EventKind) -> dict[tuple[int, str], Event]:
        """The last event of certain kinds, by item and reader."""
        marks = ", ".join("?" * len(kinds))
        query = (
            f"SELECT {stored.EVENT_COLUMNS} FROM events WHERE number IN "  # noqa: S608
            f"(SELECT max(number) FROM events WHERE kind IN ({marks}) GROUP BY item, reader)"
        )
        found = self._made(stored.event_from_row, query, kinds)
        return {(event.item, event.reader): event for event in found}

    def facts(self, item: int) -> MaskFacts | None:
        """What the automatic checks found; None if they were not run."""
        query = "SELECT volume_ml, surface_cm2, mean_hu, findings, notes FROM facts WHERE item = ?"
        for facts in self._made(stored.facts_from_row, query, (item,)):
            return facts
        return None

    @contextmanager
    def snapshot(self) -> Iterator[StoredReview]:
        """Give a copy of what is there at this moment, whatever others write meanwhile.

        It is in memory: nobody has to wait for who reads it for long.
        """
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as copy:
            with self._of_one_moment():
                self._connection.backup(copy)
            yield StoredReview(self._path, copy, self._plan, self._notes)

    def verify(self) -> None:
        """Read the whole file, and see that what holds now is what the events say.

        Raises
        ------
        ReviewError
            The file is damaged, or was changed by another program.
        """
        with self._of_one_moment():
            found = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            agree = found == "ok" and schema.verdicts_agree(self._connection)
        if found != "ok":
            raise ReviewError(self._path, f"it is damaged: {found}", "restore it from a copy")
        if not agree:
            raise ReviewError(
                self._path,
                "another program has changed what holds now, against the events",
                "have it made anew from the events (ReviewFile.rebuild_verdicts)",
            )

    def _kind_of(self, item: int) -> Any:
        for row in self._rows("SELECT kind FROM listed WHERE number = ?", (item,)):
            return row[0]
        raise self._no_item(item)

    def _no_item(self, number: int) -> ReviewError:
        return ReviewError(self._path, f"it has no item {number}", "choose one of its work list")

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._reading():
            return self._connection.execute(query, values).fetchall()

    def _made(
        self,
        make: Callable[[Sequence[Any], StoredPaths], _T],
        query: str,
        values: tuple[Any, ...] = (),
    ) -> list[_T]:
        rows = self._rows(query, values)
        try:
            return [make(row, self._paths) for row in rows]
        except (KeyError, TypeError, ValueError) as exc:
            raise ReviewError(
                self._path,
                "it is damaged: one of its lines makes no sense",
                "restore it from a copy",
            ) from exc

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with database.plain_faults(self._path, who=self._last_writer):
            yield

    @contextmanager
    def _of_one_moment(self) -> Iterator[None]:
        with self._reading():
            self._connection.execute("BEGIN")
            try:
                # By reading, so that a writer is waited for as everywhere.
                self._connection.execute("SELECT count(*) FROM plan").fetchone()
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def _last_writer(self) -> str:
        with suppress(sqlite3.Error):  # held so firmly that nothing can be read either
            for reader, time in self._connection.execute(
                "SELECT reader, time FROM events ORDER BY number DESC LIMIT 1"
            ):
                return f"the last to save was {reader}, at {time[11:16]} UTC"
        return ""
