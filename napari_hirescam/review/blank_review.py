"""Making a review's file: whole or not at all, and never in the place of another."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from napari_hirescam.errors import ReviewError
from napari_hirescam.review import answers, database, schema
from napari_hirescam.review import stored_rows as stored
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item
from napari_hirescam.review.list_rows import searched_text
from napari_hirescam.review.stored_paths import StoredPaths
from napari_hirescam.safe_write import rename_file


def write_blank(file: Path, plan: Plan, items: Sequence[Item]) -> None:
    """Write a review that nobody has answered.

    Raises
    ------
    ReviewError
        Plan or items make no sense, there is a file, or it cannot be written.
    """
    answers.require_plan(plan, file)
    answers.require_items(items, file)
    if not file.parent.is_dir():
        raise ReviewError(file, "its folder is not there", "make the folder, or choose another")
    if database.is_there(file):
        raise _is_there(file)
    database.require_no_leftovers(file)
    part = file.with_name(f".{file.name[:60]}.{uuid.uuid4().hex}.part")
    try:
        with database.plain_faults(file):
            _fill(part, file, plan, items)
        database.flush(part)
        rename_file(part, file, overwrite=False)
        database.flush_name(file)
    except FileExistsError:
        raise _is_there(file) from None
    except OSError as exc:
        raise ReviewError(
            file, f"it cannot be written: {exc.strerror}", "choose a folder that you may write"
        ) from exc
    finally:
        if part.exists():  # a drive that cannot be written does not even say that it is not
            part.unlink()


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


def _is_there(file: Path) -> ReviewError:
    return ReviewError(
        file, "there is a file of this name", "choose another name, or open the review"
    )
