"""The review's file: SQLite, write-ahead log, every commit flushed; events are only added."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from napari_hirescam import __version__
from napari_hirescam.errors import ReviewError
from napari_hirescam.review import answers, database, schema
from napari_hirescam.review import stored_rows as stored
from napari_hirescam.review.event import Event, EventKind, Verdict
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item, MaskFacts
from napari_hirescam.review.list_rows import (
    Progress,
    Row,
    Status,
    list_rows,
    progress,
    searched_text,
)
from napari_hirescam.review.stored_paths import StoredPaths
from napari_hirescam.safe_write import rename_file

__all__ = ["Progress", "ReviewFile", "Row", "Status"]


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

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        plan: Plan,
        notes: tuple[str, ...],
        patience_s: float,
    ) -> None:
        self._path = path
        self._connection = connection
        self._plan = plan
        self._notes = notes
        self._patience_s = patience_s
        self._paths = StoredPaths(path.parent)
        # Two threads within one connection would share a transaction.
        self._writing = threading.Lock()

    @classmethod
    def create(cls, path: str | Path, plan: Plan, items: Sequence[Item]) -> Self:
        """Make a review; the file is there whole or not at all, and never replaces another."""
        file = Path(path).resolve()
        answers.require_plan(plan, file)
        answers.require_items(items, file)
        if not file.parent.is_dir():
            raise ReviewError(file, "its folder is not there", "make the folder, or choose another")
        if file.exists():
            raise _is_there(file)
        database.require_no_leftovers(file)
        part = file.with_name(f".{file.name[:60]}.{uuid.uuid4().hex}.part")
        try:
            with database.plain_faults(file):
                _fill(part, file, plan, items)
            database.flush(part)
            rename_file(part, file, overwrite=False)
        except FileExistsError:
            raise _is_there(file) from None
        except OSError as exc:
            raise ReviewError(
                file, f"it cannot be written: {exc.strerror}", "choose a folder that you may write"
            ) from exc
        finally:
            part.unlink(missing_ok=True)
        return cls.open(file)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        read_only: bool = False,
        patience_s: float = database.PATIENCE_S,
    ) -> Self:
        """Open a review.

        Parameters
        ----------
        path
            Its file.
        read_only
            Answer questions only; neither file nor folder need be writable.
        patience_s
            Seconds that another writer is waited for.
        """
        file = Path(path).resolve()
        if not file.is_file():
            raise ReviewError(file, "there is no such file", "see where the review lies")
        if not read_only and not all(os.access(place, os.W_OK) for place in (file, file.parent)):
            raise ReviewError(
                file,
                "this file or its folder cannot be written",
                "ask for the right to write both, or open it only to read",
            )
        with database.plain_faults(file):
            connection = database.connect(file, read_only=read_only, patience_s=patience_s)
            try:
                database.require_kind(connection, file, schema.REVIEW)
                note = "" if read_only else database.keep_log(connection, file.parent)
                plan = _read_plan(connection, file)
            except BaseException:
                connection.close()
                raise
        return cls(file, connection, plan, (note,) if note else (), patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; fold the log into the file if nobody else has it open."""
        with self._writing, database.plain_faults(self._path):
            self._connection.close()

    @property
    def path(self) -> Path:
        """Where it lies; edited masks are in the folder beside it, `NAME.edits`."""
        return self._path

    def last_item(self, reader: str) -> int | None:
        """Number of the item that a reader was at last; None before the first."""
        query = "SELECT item FROM verdicts WHERE reader = ? ORDER BY last_event DESC LIMIT 1"
        for row in self._rows(query, (answers.reader_name(reader),)):
            return int(row[0])
        return None

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

    def items(self) -> tuple[Item, ...]:
        """All items, in the order of the work list."""
        rows = self._rows(f"SELECT {stored.ITEM_COLUMNS} FROM items ORDER BY number")  # noqa: S608
        return tuple(stored.item_from_row(row, self._paths) for row in rows)

    def item(self, number: int) -> Item:
        """One item.

        Raises
        ------
        ReviewError
            There is none of this number.
        """
        query = f"SELECT {stored.ITEM_COLUMNS} FROM items WHERE number = ?"  # noqa: S608
        for row in self._rows(query, (number,)):
            return stored.item_from_row(row, self._paths)
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
        with self._reading():
            return list_rows(self._connection, answers.reader_name(reader), status, search)

    def progress(self, reader: str) -> Progress:
        """How far a reader is."""
        with self._reading():
            return progress(self._connection, answers.reader_name(reader))

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

        Parameters
        ----------
        reader, item, kind, about, value
            See :class:`~napari_hirescam.review.event.Event`; an edit may be given as
            :class:`~napari_hirescam.review.event.Edit`.
        seconds
            Since the item was shown, on this visit; a visit begins with "opened".
        mask_sha256
            Of the mask that was seen.

        Raises
        ------
        ReviewError
            The value does not fit the form, or it cannot be written.
        """
        reader = answers.reader_name(reader)
        item_kind = self._kind_of(item)
        value = answers.checked(self._plan.form, item_kind, kind, about, value)
        if kind == "edit" and value is not None:
            value = self._edit_to_store(value)
        if mask_sha256:
            answers.checked_sha256(mask_sha256, "mask_sha256")
        row = (
            item,
            reader,
            kind,
            about,
            json.dumps(value, ensure_ascii=False),
            datetime.now(UTC).isoformat(timespec="microseconds"),
            answers.checked_seconds(seconds),
            __version__,
            mask_sha256,
        )
        with self._changing():
            number = self._connection.execute(
                "INSERT INTO events (item, reader, kind, about, value, time, seconds, software, "
                "mask_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
        return stored.event_from_row((number, *row), self._paths)

    def verdict(self, reader: str, item: int) -> Verdict:
        """What holds for one item and one reader."""
        reader = answers.reader_name(reader)
        query = f"SELECT {stored.VERDICT_COLUMNS} FROM verdicts WHERE reader = ? AND item = ?"  # noqa: S608
        for row in self._rows(query, (reader, item)):
            return stored.verdict_from_row(row, self._paths)
        self._kind_of(item)
        return Verdict(item, reader)

    def verdicts(self, readers: Iterable[str] | None = None) -> list[Verdict]:
        """What holds for every item that a reader has touched, by item and reader."""
        names = None if readers is None else [answers.reader_name(name) for name in readers]
        query = f"SELECT {stored.VERDICT_COLUMNS} FROM verdicts ORDER BY item, reader"  # noqa: S608
        return [
            stored.verdict_from_row(row, self._paths)
            for row in self._rows(query)
            if names is None or row[1] in names
        ]

    def history(self, item: int, reader: str | None = None) -> list[Event]:
        """All that was ever said of an item, oldest first."""
        self._kind_of(item)
        query = f"SELECT {stored.EVENT_COLUMNS} FROM events WHERE item = ? ORDER BY number"  # noqa: S608
        name = None if reader is None else answers.reader_name(reader)
        return [
            stored.event_from_row(row, self._paths)
            for row in self._rows(query, (item,))
            if name is None or row[2] == name
        ]

    def put_facts(self, item: int, facts: MaskFacts) -> None:
        """Keep what the automatic checks found, in the place of what they found before."""
        self._kind_of(item)
        worst = max((finding.severity for finding in facts.findings), default=0.0)
        with self._changing():
            self._connection.execute(
                "INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?, ?)",
                stored.facts_to_row(item, facts),
            )
            self._connection.execute(
                "UPDATE listed SET worst_check = ? WHERE number = ?", (worst, item)
            )

    def facts(self, item: int) -> MaskFacts | None:
        """What the automatic checks found; None if they were not run."""
        query = "SELECT volume_ml, surface_cm2, mean_hu, findings, notes FROM facts WHERE item = ?"
        for row in self._rows(query, (item,)):
            return stored.facts_from_row(row)
        return None

    def verify(self) -> None:
        """Read the whole file, and see that what holds now is what the events say.

        Raises
        ------
        ReviewError
            The file is damaged, or was changed by another program.
        """
        with self._reading():
            found = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            agree = found == "ok" and schema.verdicts_agree(self._connection)
        if found != "ok":
            raise ReviewError(self._path, f"it is damaged: {found}", "restore it from a copy")
        if not agree:
            raise ReviewError(
                self._path,
                "another program has changed what holds now, against the events",
                "restore it from a copy",
            )

    def _edit_to_store(self, value: dict[str, str]) -> dict[str, str]:
        stored_value = dict(value)
        for key in stored.EDIT_FILES & value.keys():
            # A relative one counts from the review's folder, as it is written.
            file = self._paths.to_path(value[key])
            if not file.is_file():
                raise ReviewError(file, "the edited mask is not there", "write it, then record it")
            stored_value[key] = self._paths.to_text(file)
        return stored_value

    def _kind_of(self, item: int) -> Any:
        for row in self._rows("SELECT kind FROM listed WHERE number = ?", (item,)):
            return row[0]
        raise self._no_item(item)

    def _no_item(self, number: int) -> ReviewError:
        return ReviewError(self._path, f"it has no item {number}", "choose one of its work list")

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._reading():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with database.plain_faults(self._path, who=self._last_writer):
            yield

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with (
            self._writing,
            self._reading(),
            database.transaction(self._connection, self._patience_s),
        ):
            yield

    def _last_writer(self) -> str:
        with suppress(sqlite3.Error):  # held so firmly that nothing can be read either
            for reader, time in self._connection.execute(
                "SELECT reader, time FROM events ORDER BY number DESC LIMIT 1"
            ):
                return f"the last to save was {reader}, at {time[11:16]} UTC"
        return ""


def _fill(part: Path, file: Path, plan: Plan, items: Sequence[Item]) -> None:
    paths = StoredPaths(file.parent)
    part.touch(exist_ok=False)
    connection = database.connect(part)
    try:
        # It is flushed as a whole at the end.
        connection.execute("PRAGMA synchronous=OFF")
        with database.transaction(connection):
            schema.make_tables(connection)
            connection.execute(
                "INSERT INTO plan (id, content) VALUES (1, ?)", (stored.plan_to_text(plan),)
            )
            marks = ", ".join("?" * len(stored.ITEM_COLUMNS.split(",")))
            connection.executemany(
                f"INSERT INTO items ({stored.ITEM_COLUMNS}) VALUES ({marks})",  # noqa: S608
                (stored.item_to_row(item, paths) for item in items),
            )
            connection.executemany(
                "INSERT INTO listed VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (
                    (i.number, i.case, i.kind, i.target, i.split, searched_text(i, plan))
                    for i in items
                ),
            )
        database.choose_log(connection, file.parent)
    finally:
        connection.close()


def _read_plan(connection: sqlite3.Connection, file: Path) -> Plan:
    row = connection.execute("SELECT content FROM plan").fetchone()
    try:
        return stored.plan_from_text(row[0])
    except (KeyError, TypeError, ValueError) as exc:
        raise ReviewError(file, "its plan cannot be read", "restore it from a copy") from exc


def _is_there(file: Path) -> ReviewError:
    return ReviewError(
        file, "there is a file of this name", "choose another name, or open the review"
    )
