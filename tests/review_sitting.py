"""A scripted review in a process of its own, which tells what was acknowledged, to be killed.

    python review_sitting.py

Reads commands from its input, one JSON list to a line: review file, reader, seed, seconds between
saves of strokes (0: no edits), how many events to record (0: until it is killed). Each is carried
out in a child that is forked, so that what takes a second to import is imported once. All that
the children do is told in lines of JSON: first the process id, then an acknowledgement after each
thing that was done, and "dead" when it has ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam.review.edited_masks import write_edit
from napari_hirescam.review.form import DECISIONS, MASK_REASONS
from napari_hirescam.review.item import Item
from napari_hirescam.review.journal import StrokeJournal
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.volume import Volume

SHAPE = (24, 130, 140)
AFFINE = np.array([[2.5, 0, 0, -80], [0, 0.8, 0, -50], [0, 0, 0.7, 30], [0, 0, 0, 1]])
SHA = hashlib.sha256(b"the mask that was seen").hexdigest()
#: Seconds between strokes.
STROKE_S = 0.004
_telling = threading.Lock()


def make_ct() -> Volume:
    """Give a CT of nothing, with the grid that the masks lie on."""
    return Volume(np.zeros(SHAPE, np.int16), AFFINE, "ct")


def make_base() -> np.ndarray:
    """Give the mask that edits begin from."""
    base = np.zeros(SHAPE, np.uint8)
    base[5:15, 30:90, 20:80] = 1
    return base


def paint(labels: np.ndarray, stroke: int) -> None:
    """Paint one stroke of two voxels: 0, 1, 2, ... never meet, nor touch the mask."""
    free = labels.reshape(-1)[-SHAPE[1] * SHAPE[2] * 8 :]
    free[stroke * 2 : stroke * 2 + 2] = 1


def strokes_in(labels: np.ndarray) -> set[int]:
    """Find the strokes in a mask; one that is there by half is told as minus one."""
    free = labels.reshape(-1)[-SHAPE[1] * SHAPE[2] * 8 :].reshape(-1, 2)
    return {int(k) if free[k].all() else -1 for k in np.flatnonzero(free.any(axis=1))}


def tell(what: str, **more: Any) -> None:
    """Write a line that is read whole or not at all."""
    line = json.dumps({"what": what, "pid": os.getpid(), "time": time.monotonic(), **more})
    with _telling:
        os.write(1, f"{line}\n".encode())


def _say(review: ReviewFile, reader: str, item: int, kind: Any, value: Any) -> None:
    event = review.record(reader, item, kind, value, seconds=1.0, mask_sha256=SHA)
    tell("event", number=event.number, item=item, kind=kind, value=value)


class _Saving:
    """Saves strokes every so often in a thread, while they are painted in another."""

    def __init__(self, journal: StrokeJournal, labels: np.ndarray, every_s: float) -> None:
        self.painted = 0
        self._journal, self._labels, self._every_s = journal, labels, every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            known = self.painted
            self._journal.save(self._labels)
            tell("saved", strokes=known)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


def _edit(review: ReviewFile, reader: str, item: Item, seconds: float, every_s: float) -> None:
    labels = make_base()
    with StrokeJournal(
        review, item.number, reader, make_base(), affine=AFFINE, base_sha256=SHA
    ) as journal:
        if journal.rescued() is not None:
            journal.clear()
        tell("edit begins", item=item.number)
        saving = _Saving(journal, labels, every_s)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            paint(labels, saving.painted)
            saving.painted += 1
            tell("painted", strokes=saving.painted)
            time.sleep(STROKE_S)
        saving.end()
        journal.save(labels)
        tell("saved", strokes=saving.painted)
        edit = write_edit(review, item, reader, labels, make_ct(), base_sha256=SHA)
        tell("edited", item=item.number, sha256=edit.sha256, strokes=saving.painted)
        journal.clear()
        tell("edit ends", item=item.number)


def _sit(file: Path, reader: str, seed: int, every_s: float, n_events: int) -> None:
    rng = np.random.default_rng(seed)
    recorded = 0
    with ReviewFile.open(file) as review:
        items = review.items()
        while not n_events or recorded < n_events:
            item = items[rng.integers(len(items))]
            for kind, value in (
                ("opened", None),
                ("rating", int(rng.integers(1, 6))),
                ("reasons", rng.choice(sorted(MASK_REASONS), 2, replace=False).tolist()),
                ("comment", "x" * int(rng.integers(1, 3000))),
                ("decision", str(rng.choice(DECISIONS))),
                ("done", None),
            ):
                _say(review, reader, item.number, kind, value)
                recorded += 1
            if every_s:
                _edit(review, reader, item, rng.uniform(0.5, 3) * every_s, every_s)


def main() -> None:
    """Fork a child for each command, and tell when it is dead."""
    running = 0
    # A line is a command; an empty one waits for one child to end.
    for line in sys.stdin:
        if line.strip():
            file, reader, seed, every_s, n_events = json.loads(line)
            if not os.fork():
                tell("begins")
                try:
                    _sit(Path(file), reader, seed, every_s, n_events)
                finally:
                    os._exit(0)
            running += 1
        elif running:
            pid, status = os.wait()
            running -= 1
            tell("dead", child=pid, signal=os.WTERMSIG(status))


if __name__ == "__main__":
    main()
