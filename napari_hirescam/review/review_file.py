"""The review's file: SQLite, write-ahead log, every commit flushed; events are only added."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from napari_hirescam import __version__
from napari_hirescam.errors import ReviewError
from napari_hirescam.review import answers, database, schema
from napari_hirescam.review import stored_rows as stored
from napari_hirescam.review.blank_review import write_blank
from napari_hirescam.review.event import Event, EventKind
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item, MaskFacts
from napari_hirescam.review.list_rows import Progress, Row, Status
from napari_hirescam.review.stored_review import StoredReview

__all__ = ["Progress", "ReviewFile", "Row", "Status"]


class ReviewFile(StoredReview):
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
        patience_s: float = database.PATIENCE_S,
    ) -> None:
        super().__init__(path, connection, plan, notes)
        self._patience_s = patience_s
        self._identity = database.identity(path)
        # Two threads within one connection would share a transaction.
        self._writing = threading.Lock()

    @classmethod
    def create(cls, path: str | Path, plan: Plan, items: Sequence[Item]) -> Self:
        """Make a review; the file is there whole or not at all, and never replaces another."""
        file = Path(path).resolve()
        write_blank(file, plan, items)
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
        if not (database.is_there(file) and file.is_file()):
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
                schema.require_sound(connection)
                plan = stored.read_plan(connection, file)
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

    def rebuild_verdicts(self) -> None:
        """Make what holds now anew from the events, should :meth:`verify` find it changed."""
        with self._changing():
            schema.rebuild_verdicts(self._connection)

    def _edit_to_store(self, value: dict[str, str]) -> dict[str, str]:
        stored_value = dict(value)
        for key in stored.EDIT_FILES & value.keys():
            # A relative one counts from the review's folder, as it is written.
            file = self._paths.to_path(value[key])
            if not file.is_file():
                raise ReviewError(file, "the edited mask is not there", "write it, then record it")
            stored_value[key] = self._paths.to_text(file)
        return stored_value

    @contextmanager
    def _changing(self) -> Iterator[None]:
        database.require_in_place(self._path, self._identity)
        with (
            self._writing,
            self._reading(),
            database.transaction(self._connection, self._patience_s),
        ):
            yield
