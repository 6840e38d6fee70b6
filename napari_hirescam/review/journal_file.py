"""The database that strokes in progress lie in."""

from __future__ import annotations

import uuid
from pathlib import Path

from napari_hirescam.errors import ReviewError
from napari_hirescam.review import database
from napari_hirescam.safe_write import rename_file

STROKES = database.Kind("a journal of strokes", int.from_bytes(b"HRst"), 1)

_TABLES = (
    """
    CREATE TABLE edits (
        id INTEGER PRIMARY KEY,
        item INTEGER NOT NULL,
        reader TEXT NOT NULL,
        shape TEXT NOT NULL,
        affine TEXT NOT NULL,
        base_sha256 TEXT NOT NULL,
        session TEXT NOT NULL,
        time TEXT NOT NULL,
        software TEXT NOT NULL,
        UNIQUE (item, reader)
    )
    """,
    """
    CREATE TABLE blocks (
        edit INTEGER NOT NULL REFERENCES edits (id) ON DELETE CASCADE,
        slice INTEGER NOT NULL,
        row INTEGER NOT NULL,
        "column" INTEGER NOT NULL,
        labels BLOB NOT NULL,
        PRIMARY KEY (edit, slice, row, "column")
    )
    """,
)


def require_journal(file: Path) -> None:
    """Make a journal if there is none; of two at once, one makes it.

    Raises
    ------
    ReviewError
        It cannot be written.
    """
    if file.exists():
        return
    database.require_no_leftovers(file)
    part = file.with_name(f".{file.name[:60]}.{uuid.uuid4().hex}.part")
    try:
        with database.plain_faults(file, STROKES.name):
            _fill(part, file.parent)
        rename_file(part, file, overwrite=False)
    except FileExistsError:
        pass  # somebody else was first
    except OSError as exc:
        raise ReviewError(
            file, f"it cannot be written: {exc.strerror}", "see that its folder can be written"
        ) from exc
    finally:
        if part.exists():  # a drive that cannot be written does not even say that it is not
            part.unlink()


def _fill(part: Path, folder: Path) -> None:
    part.touch(exist_ok=False)
    connection = database.connect(part)
    try:
        # Room that is given up goes back to the disk, so that the file stays as small as the edits.
        connection.execute("PRAGMA auto_vacuum=FULL")
        with database.transaction(connection):
            for table in _TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id={STROKES.application_id}")
            connection.execute(f"PRAGMA user_version={STROKES.version}")
        database.choose_log(connection, folder)
    finally:
        connection.close()
