"""Strokes in progress, kept where a crash does not reach them.

They lie in a database of their own beside the review's, `review.db.strokes`: written every two
seconds and forgotten once the edit is, they would make a reader who only rates wait for one who
paints, and blow up the file that the group keeps.
"""

from __future__ import annotations

import json
import threading
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hirescam import __version__
from napari_hirescam.errors import ReviewError
from napari_hirescam.review import answers, database
from napari_hirescam.review.journal_file import STROKES, require_journal
from napari_hirescam.review.review_file import ReviewFile

#: Edge of the blocks that are compared and written, in voxels.
BLOCK = 64

Labels = NDArray[np.uint8]
_Box = tuple[slice, slice, slice]
_Place = tuple[int, int, int]


class StrokeJournal:
    """An edit in progress of one reader and one item.

    It has a connection of its own, and may be used from any thread.

    Parameters
    ----------
    review
        The review, or its path.
    item, reader
        What is edited, and by whom.
    base
        uint8[slice, row, column], the mask that the edit starts from.
    affine
        4x4, of the CT's grid that `base` lies on.
    base_sha256
        Of the file that `base` was read from; any text that stands for it.
    patience_s
        Seconds that another writer is waited for.

    Raises
    ------
    ReviewError
        The journal cannot be made or opened; from every method, if it cannot be written or read.
    """

    def __init__(
        self,
        review: ReviewFile | str | Path,
        item: int,
        reader: str,
        base: Labels,
        *,
        affine: ArrayLike,
        base_sha256: str,
        patience_s: float = database.PATIENCE_S,
    ) -> None:
        beside = review.path if isinstance(review, ReviewFile) else Path(review).resolve()
        self._file = beside.with_name(f"{beside.name}.strokes")
        self._item = item
        self._reader = answers.reader_name(reader)
        self._affine = np.asarray(affine, dtype=np.float64)
        self._base_sha256 = base_sha256
        self._patience_s = patience_s
        self._lock = threading.RLock()
        #: What the journal would give back.
        self._kept: Labels = np.array(base, dtype=np.uint8)
        self._session = uuid.uuid4().hex
        require_journal(self._file)
        with database.plain_faults(self._file, STROKES.name):
            self._connection = database.connect(self._file, patience_s=patience_s)
            try:
                database.require_kind(self._connection, self._file, STROKES)
                database.keep_log(self._connection, self._file.parent)
                self._identity = database.identity(self._file)
                self._found = self._find()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def rescued(self) -> datetime | None:
        """When strokes of an earlier session were last saved (UTC); None if there are none."""
        with self._lock:
            return None if self._found is None else datetime.fromisoformat(self._found[2])

    def restore(self) -> Labels | None:
        """Put the rescued strokes onto a copy of `base`; None if there are none.

        Raises
        ------
        ReviewError
            They were painted on another mask, or cannot be read: they stay where they are.
        """
        with self._lock:
            if self._found is None:
                return None
            edit, session, _ = self._found
            with self._plain_faults():
                self._require_same_base(edit)
                rows = self._connection.execute(
                    'SELECT slice, row, "column", labels FROM blocks WHERE edit = ?', (edit,)
                ).fetchall()
            labels = self._kept.copy()
            for *place, packed in rows:
                box = self._box((place[0], place[1], place[2]))
                labels[box] = self._unpacked(packed, labels[box].shape)
            with self._changing():
                self._own(edit, session)
            self._kept, self._found = labels.copy(), None
            return labels

    def save(self, labels: Labels) -> int:
        """Write the 64^3 blocks that changed since the last save; all of them or none.

        The array may be painted on meanwhile: what comes too late for this save comes with the
        next.

        Returns
        -------
        Bytes that were written.

        Raises
        ------
        ReviewError
            It cannot be written; earlier strokes were neither restored nor cleared; another
            window has taken the edit over; the labels have another shape or type.
        """
        with self._lock:
            if labels.shape != self._kept.shape or labels.dtype != np.uint8:
                raise self._fault(
                    f"labels of {labels.dtype} {labels.shape} do not fit", "begin the edit anew"
                )
            if self._found is not None:
                raise self._fault(
                    "there are strokes of an earlier session", "restore or discard them first"
                )
            changed = [(place, labels[box].copy()) for place, box in self._changed(labels)]
            if not changed:
                return 0
            packed = [(*place, zlib.compress(block.tobytes(), 1)) for place, block in changed]
            with self._changing():
                edit = self._begun()
                self._connection.executemany(
                    "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)",
                    [(edit, *row) for row in packed],
                )
            for place, block in changed:
                self._kept[self._box(place)] = block
            return sum(len(row[3]) for row in packed)

    def clear(self) -> None:
        """Forget the strokes: the edit was written, or given up. Those of others stay."""
        with self._lock:
            session = self._session if self._found is None else self._found[1]
            with self._changing():
                self._connection.execute(
                    "DELETE FROM edits WHERE item = ? AND reader = ? AND session = ?",
                    (self._item, self._reader, session),
                )
            self._found = None

    def close(self) -> None:
        """Close; what was saved stays for the next session."""
        with self._lock, self._plain_faults():
            self._connection.close()

    def _find(self) -> tuple[int, str, str] | None:
        found: tuple[int, str, str] | None = self._connection.execute(
            "SELECT id, session, time FROM edits WHERE item = ? AND reader = ?",
            (self._item, self._reader),
        ).fetchone()
        return found

    def _begun(self) -> int:
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        found = self._find()
        if found is not None:
            self._own(found[0], self._session)
            self._connection.execute("UPDATE edits SET time = ? WHERE id = ?", (now, found[0]))
            return found[0]
        row = (
            self._item,
            self._reader,
            json.dumps(self._kept.shape),
            json.dumps(self._affine.tolist()),
            self._base_sha256,
            self._session,
            now,
            __version__,
        )
        made = self._connection.execute(
            "INSERT INTO edits (item, reader, shape, affine, base_sha256, session, time, software) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        ).lastrowid
        assert made is not None  # noqa: S101 - an INSERT has made a row
        return made

    def _own(self, edit: int, session: str) -> None:
        """Take an edit over from a session, which may be this one."""
        taken = self._connection.execute(
            "UPDATE edits SET session = ? WHERE id = ? AND session = ?",
            (self._session, edit, session),
        ).rowcount
        if not taken:
            raise self._fault(
                "another window of yours goes on with this edit", "go on there, or end it there"
            )

    def _require_same_base(self, edit: int) -> None:
        told = self._connection.execute(
            "SELECT shape, affine, base_sha256 FROM edits WHERE id = ?", (edit,)
        ).fetchone()
        if told is None:
            raise self._fault("another window of yours has ended this edit", "begin it anew")
        shape, affine, sha256 = told
        remedy = "bring that mask back, or discard the strokes"
        if json.loads(shape) != list(self._kept.shape):
            raise self._fault("the strokes were painted on a mask of another size", remedy)
        if not np.allclose(json.loads(affine), self._affine, rtol=0, atol=1e-6):
            raise self._fault("the strokes were painted on a mask at another place", remedy)
        if sha256 != self._base_sha256:
            raise self._fault("the strokes were painted on another mask", remedy)

    def _unpacked(self, packed: bytes, shape: tuple[int, ...]) -> Labels:
        size = int(np.prod(shape))
        unpacking = zlib.decompressobj()
        try:
            unpacked = unpacking.decompress(packed, size + 1)
        except zlib.error:
            unpacked = b""
        if len(unpacked) != size or not unpacking.eof:
            raise self._fault("the strokes in it are damaged", "discard them, and begin anew")
        return np.frombuffer(unpacked, dtype=np.uint8).reshape(shape)

    def _changed(self, labels: Labels) -> Iterator[tuple[_Place, _Box]]:
        for place in product(*(range(0, length, BLOCK) for length in labels.shape)):
            box = self._box((place[0], place[1], place[2]))
            if not np.array_equal(labels[box], self._kept[box]):
                yield (place[0], place[1], place[2]), box

    @staticmethod
    def _box(place: _Place) -> _Box:
        k, j, i = place
        return slice(k, k + BLOCK), slice(j, j + BLOCK), slice(i, i + BLOCK)

    @contextmanager
    def _plain_faults(self) -> Iterator[None]:
        with database.plain_faults(self._file, STROKES.name):
            yield

    @contextmanager
    def _changing(self) -> Iterator[None]:
        database.require_in_place(self._file, self._identity)
        with self._plain_faults(), database.transaction(self._connection, self._patience_s):
            yield

    def _fault(self, reason: str, remedy: str) -> ReviewError:
        return ReviewError(self._file, reason, remedy)
