"""SQLite as the review uses it: every commit flushed, others waited for, faults in plain words."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.network_drive import network_drive

#: How long another writer is waited for.
PATIENCE_S = 15.0

_DAMAGED = (
    "it is damaged",
    "restore it from a copy, or see what `sqlite3 FILE .recover` brings back",
)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Kind:
    """What a database of ours is, and how it knows its own.

    Parameters
    ----------
    name
        For messages: "a review".
    application_id
        Stands in the file's header, so that others' databases are not taken for ours.
    version
        Of the schema; stands in the header too.
    """

    name: str
    application_id: int
    version: int


def connect(
    file: Path, *, read_only: bool = False, patience_s: float = PATIENCE_S
) -> sqlite3.Connection:
    """Open a database that is there.

    Never look into such a file by other means than SQLite: closing it drops all locks that this
    process holds on it (POSIX), and another could write into the middle of a transaction.
    """
    mode = "rw"
    if not all(os.access(place, os.W_OK) for place in (file, file.parent)):
        mode = "ro"
        if not os.access(file.parent, os.W_OK) and not _beside(file, "-wal").exists():
            # A write-ahead log cannot be made beside it, and none is there to be read.
            mode = "ro&immutable=1"
    connection = sqlite3.connect(
        f"{_uri(file)}?mode={mode}",
        uri=True,
        timeout=patience_s,
        isolation_level=None,  # transactions begin where we say so
        check_same_thread=False,  # one object, used by one thread at a time
    )
    if read_only:
        # By a promise where it could be written: who may not write leaves the log lying there.
        connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA fullfsync=ON")  # what a flush is called on macOS
    return connection


def require_kind(connection: sqlite3.Connection, file: Path, kind: Kind) -> None:
    """See that a database is ours, and not newer than we are.

    Raises
    ------
    ReviewError
        It is another's, or of a newer version.
    sqlite3.Error
        It is no database.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != kind.application_id:
        raise ReviewError(file, f"this is not {kind.name}", _instead(kind.name))
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > kind.version:
        raise ReviewError(
            file,
            f"this is {kind.name} of format {version}, and this program knows up to {kind.version}",
            "update napari-hirescam to the version that made it",
        )
    if version < 1:
        raise ReviewError(file, "its format is not told", "restore the file from a copy")


def choose_log(connection: sqlite3.Connection, folder: Path) -> None:
    """Have a new database written with a write-ahead log, except on a network drive.

    The log's index is memory that all writers share, which machines cannot.
    """
    if not network_drive(folder):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as exc:
            # Some drives share no memory even within one machine: it stays without.
            if is_busy(exc):
                raise


def keep_log(connection: sqlite3.Connection, folder: Path) -> str:
    """Open a database with the log that it was made with, except on a network drive.

    Returns
    -------
    What the user should know; empty for a write-ahead log.

    Raises
    ------
    sqlite3.Error
        It was made elsewhere, and others hold it with a log that machines cannot share.
    """
    drive = network_drive(folder)
    if drive:
        connection.execute("PRAGMA journal_mode=DELETE")
        return (
            f"this folder is on a network drive ({drive}): saving is slower, and readers at work "
            "at once rely on the drive's file locks"
        )
    # From without to with would cut off those who have it open over the network.
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return ""
    return "this review was made on a drive that takes no write-ahead log: saving is slower"


@contextmanager
def transaction(connection: sqlite3.Connection, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Make changes that happen all or not at all, and are on the disk when this is left.

    Raises
    ------
    sqlite3.Error
        Nothing was changed.
    """
    deadline = time.monotonic() + patience_s
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)
    try:
        yield
        _patiently(lambda: connection.execute("COMMIT"), deadline)
    except BaseException:
        # SQLite has rolled back by itself after some faults.
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first fault is the one to tell
                connection.execute("ROLLBACK")
        raise


def _patiently(do: Callable[[], _T], deadline: float) -> _T:
    while True:
        try:
            return do()
        except sqlite3.OperationalError as exc:
            # SQLite waits by itself, but not where it suspects that two wait for each other.
            if not is_busy(exc) or time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def is_busy(exc: sqlite3.Error) -> bool:
    """Whether another holds the database."""
    return _code(exc) in ("SQLITE_BUSY", "SQLITE_LOCKED")


@contextmanager
def plain_faults(
    file: Path, kind: str = "a review", who: Callable[[], str] = lambda: ""
) -> Iterator[None]:
    """Tell SQLite's faults in words that a reader can act on.

    Parameters
    ----------
    file
        The database.
    kind
        What it is.
    who
        Says who may be holding it; empty if nobody knows.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # ours, not the file's: it was closed before
    except sqlite3.Error as exc:
        raise ReviewError(file, *_words(exc, kind, who)) from exc
    except UnicodeDecodeError as exc:
        # SQLite quotes what it cannot understand, and Python cannot read the quotation.
        raise ReviewError(file, *_DAMAGED) from exc


def _words(exc: sqlite3.Error, kind: str, who: Callable[[], str]) -> tuple[str, str]:
    match _code(exc):
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            told = who()
            return (
                "another program holds this file, and has for some time"
                + (f"; {told}" if told else ""),
                "see whether a window or a backup of somebody hangs, and save again",
            )
        case "SQLITE_FULL":
            return "the disk is full", "make room and save again; all that was saved before is kept"
        case "SQLITE_READONLY" | "SQLITE_PERM":
            return "it cannot be written", "ask for the right to write it and its folder"
        case "SQLITE_CANTOPEN":
            return (
                "it cannot be opened, or its folder takes no files",
                "see that it is there and that you may write its folder",
            )
        case "SQLITE_NOTADB":
            return f"this is not {kind}", _instead(kind)
        case "SQLITE_CORRUPT":
            return _DAMAGED
        case "SQLITE_IOERR":
            return f"the drive failed: {exc}", "see that the drive is there, and save again"
    return f"it cannot be read as {kind}: {exc}", "restore it from a copy"


def _instead(kind: str) -> str:
    if kind == "a review":
        return "choose a file that was made as one"
    return "move it away, and a new one is made"


def _code(exc: sqlite3.Error) -> str:
    # Extended codes have the plain one in front: SQLITE_IOERR_FSYNC, SQLITE_BUSY_SNAPSHOT.
    name = getattr(exc, "sqlite_errorname", None) or ""
    return "_".join(name.split("_")[:2])


def identity(file: Path) -> tuple[int, int]:
    """Tell a file from another that takes its name: its device, and its number there."""
    told = file.stat()
    return told.st_dev, told.st_ino


def require_in_place(file: Path, before: tuple[int, int]) -> None:
    """See that a name still stands for the file that was opened.

    With a write-ahead log SQLite itself goes on writing into a file that has been removed.

    Raises
    ------
    ReviewError
        It was moved, removed or replaced: what is written now would be lost.
    """
    try:
        same = identity(file) == before
    except OSError:
        same = False
    if not same:
        raise ReviewError(
            file,
            "this file was moved, removed or replaced while it was open",
            "bring it back, open it again, and save again",
        )


def is_there(file: Path) -> bool:
    """Whether there is anything of this name.

    Raises
    ------
    ReviewError
        It is no name that this system can have: too long, say.
    """
    try:
        return file.exists()
    except OSError as exc:
        raise ReviewError(
            file, f"it cannot be looked for: {exc.strerror}", "choose another name"
        ) from exc


def require_no_leftovers(file: Path) -> None:
    """See that no log of an earlier database of this name is there: SQLite would replay it.

    Raises
    ------
    ReviewError
        There is one.
    """
    for end in ("-wal", "-journal"):
        log = _beside(file, end)
        if is_there(log):
            raise ReviewError(
                log,
                "this is the log of an earlier file of the same name, which is gone",
                "choose another name, or bring the earlier file back",
            )


def flush(file: Path) -> None:
    """See that a file that nobody has open is on the disk."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def flush_name(file: Path) -> None:
    """See that a file's name in its folder is on the disk, where a system does that."""
    if os.name == "nt":
        return
    handle = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # some drives flush no folders
            raise
    finally:
        os.close(handle)


def _beside(file: Path, end: str) -> Path:
    return file.with_name(file.name + end)


def _uri(file: Path) -> str:
    place = file.as_posix()
    # An empty host, then a path that begins with a slash; two on Windows' shares.
    return "file://" + quote(place if place.startswith("/") else "/" + place)
