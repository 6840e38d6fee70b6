"""A review that is killed at any moment loses nothing that it acknowledged."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from review_sitting import AFFINE, SHA, make_base, make_ct, strokes_in
from stored_reviews import PLAN, items_in

from napari_hirescam.io import read_volume
from napari_hirescam.review.edited_masks import edits_folder, read_edit
from napari_hirescam.review.event import Edit
from napari_hirescam.review.journal import StrokeJournal
from napari_hirescam.review.review_file import ReviewFile

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that fork here")

#: Strokes may be this old when they are lost.
MOST_LOST_S = 2.0


class Sittings:
    """Processes that review, and what they have told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, str(Path(__file__).with_name("review_sitting.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._told.put(json.loads(line))

    def _command(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def begin(self, file: Path, reader: str, seed: int, every_s: float, n_events: int = 0) -> None:
        self._command(json.dumps([str(file), reader, seed, every_s, n_events]))

    def next(self) -> dict[str, Any]:
        return self._told.get(timeout=60)

    def until_dead(self, n: int = 1) -> list[dict[str, Any]]:
        """Wait until so many processes have ended, and give all that was told until then."""
        self._command("\n" * (n - 1))
        told, dead = [], 0
        while dead < n:
            told.append(self.next())
            dead += told[-1]["what"] == "dead"
        return told

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._reading.join(30)


@pytest.fixture(scope="module")
def sittings():
    made = Sittings()
    yield made
    made.end()


def make_file(folder: Path) -> Path:
    file = folder / "review.db"
    ReviewFile.create(file, PLAN, items_in(folder, 5)[:5]).close()
    return file


@dataclass
class Found:
    """What was there after a kill, added up over trials."""

    trials: int = 0
    acknowledged: int = 0
    lost: int = 0
    strokes_saved: int = 0
    strokes_missing: int = 0
    strokes_halved: int = 0
    oldest_lost_s: float = 0.0
    masks: set[str] = field(default_factory=set)
    parts: int = 0
    slowest_open_s: float = 0.0
    killed_while: Counter[str] = field(default_factory=Counter)


def trial(sittings: Sittings, file: Path, seed: int, every_s: float, found: Found) -> None:
    """Kill a review at a random moment, and see what is there."""
    rng = np.random.default_rng(seed)
    sittings.begin(file, "Ann", seed, every_s)
    begins = sittings.next()
    # By what it has told, so that a busy machine is killed as far on as a quiet one.
    told = [sittings.next() for _ in range(rng.integers(60 if every_s < 1 else 1500))]
    time.sleep(rng.uniform(0, 0.02))
    killed = time.monotonic()
    os.kill(begins["pid"], signal.SIGKILL)
    told += sittings.until_dead()
    assert told[-1]["signal"] == signal.SIGKILL
    found.trials += 1
    found.killed_while[told[-2]["what"] if len(told) > 1 else "begins"] += 1

    opening = time.monotonic()
    with ReviewFile.open(file) as review:
        found.slowest_open_s = max(found.slowest_open_s, time.monotonic() - opening)
        review.verify()
        _look_for_events(review, told, found)
        _look_for_masks(review, told, found)
        _look_for_strokes(review, told, killed, found)
        review.record("Ben", 1, "rating", 4)  # it goes on


def _look_for_events(review: ReviewFile, told: list[dict[str, Any]], found: Found) -> None:
    kept = {
        event.number: (event.item, event.kind, event.value)
        for item in review.items()
        for event in review.history(item.number, "Ann")
    }
    for line in told:
        if line["what"] == "event":
            said = (line["item"], line["kind"], line["value"])
            if isinstance(said[2], list):
                assert sorted(kept[line["number"]][2]) == sorted(said[2])
            found.lost += kept.get(line["number"], (0,))[0] != said[0]
            found.lost += kept.get(line["number"], (0, ""))[1] != said[1]
            found.acknowledged += 1


def _look_for_masks(review: ReviewFile, told: list[dict[str, Any]], found: Found) -> None:
    folder = edits_folder(review)
    recorded = {
        event.value["sha256"]: event.value
        for item in review.items()
        for event in review.history(item.number, "Ann")
        if event.kind == "edit"
    }
    for line in told:
        if line["what"] == "edited":
            found.acknowledged += 1
            found.lost += line["sha256"] not in recorded
            if line["sha256"] in recorded:
                mask = _mask(review, recorded[line["sha256"]])
                assert strokes_in(mask.astype(np.uint8)) == set(range(line["strokes"]))
    files = list(folder.iterdir()) if folder.exists() else []
    # Begun and killed: hidden, and of no harm.
    found.parts = sum(file.name.startswith(".") for file in files)
    for file in files:
        if file.name.startswith(".") or file.name in found.masks:
            continue
        # Whether or not its event was recorded, a mask that is there is there whole.
        mask = read_volume(file).voxels
        assert mask.shape == make_base().shape
        assert -1 not in strokes_in((mask > 0).astype(np.uint8))
        found.masks.add(file.name)


def _mask(review: ReviewFile, value: dict[str, str]) -> np.ndarray:
    return read_edit(Edit(Path(value["file"]), value["sha256"]), make_ct())


def _look_for_strokes(
    review: ReviewFile, told: list[dict[str, Any]], killed: float, found: Found
) -> None:
    begun = [k for k, line in enumerate(told) if line["what"] == "edit begins"]
    if not begun or any(line["what"] in ("edited", "edit ends") for line in told[begun[-1] :]):
        return
    since = told[begun[-1] :]
    saved = max((line["strokes"] for line in since if line["what"] == "saved"), default=0)
    painted = [line["time"] for line in since if line["what"] == "painted"]
    with StrokeJournal(
        review, since[0]["item"], "Ann", make_base(), affine=AFFINE, base_sha256=SHA
    ) as journal:
        labels = journal.restore()
        there = strokes_in(make_base() if labels is None else labels)
    found.strokes_saved += saved
    found.strokes_missing += len(set(range(saved)) - there)
    found.strokes_halved += -1 in there
    missing = [time for k, time in enumerate(painted) if k not in there]
    if missing:
        found.oldest_lost_s = max(found.oldest_lost_s, killed - min(missing))


def assert_nothing_lost(found: Found) -> None:
    assert found.lost == 0
    assert found.strokes_missing == 0
    assert found.oldest_lost_s <= MOST_LOST_S
    assert found.slowest_open_s < 2
    assert found.acknowledged > 0


def test_no_kill_loses_what_was_acknowledged(sittings, tmp_path):
    found, file = Found(), make_file(tmp_path)
    for seed in range(12):
        trial(sittings, file, seed, 0.05, found)
    assert_nothing_lost(found)
    assert found.strokes_saved > 0


@pytest.mark.long
def test_no_kill_of_200_loses_what_was_acknowledged(sittings, tmp_path, capsys):
    found, file = Found(), make_file(tmp_path)
    for seed in range(200):
        # Half of them save as seldom as the window does.
        trial(sittings, file, 1000 + seed, 1.5 if seed % 2 else 0.05, found)
    with capsys.disabled():
        masks = len(found.masks)
        print(f"\n{replace(found, masks=set())}, {masks} masks")  # noqa: T201 - what it is run for
    assert_nothing_lost(found)
    assert found.trials == 200


def test_two_who_write_at_once_lose_nothing_and_neither_fails(sittings, tmp_path):
    file = make_file(tmp_path)
    for reader in ("Ann", "Ben"):
        sittings.begin(file, reader, 1, 0.0, 60)
    told = [line for line in sittings.until_dead(2) if line["what"] == "event"]
    assert len(told) == 120
    # They did write at once, not one after the other.
    assert len({line["pid"] for line in told[20:100]}) == 2
    with ReviewFile.open(file) as review:
        review.verify()
        for reader in ("Ann", "Ben"):
            kept = [event for n in range(1, 6) for event in review.history(n, reader)]
            assert len(kept) == 60
