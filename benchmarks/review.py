"""How fast a review is: saving a verdict, opening, listing and searching 36,316 cases.

    python benchmarks/review.py

Makes a review of 36,316 scans that two readers have finished, six or seven events each, in a
temporary folder (90 MB, or in the folder that is given), and prints milliseconds of wall clock
and of the processor: median, 99th percentile and worst, with the bar that each is held to.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam.review.form import DECISIONS, Plan
from napari_hirescam.review.item import CheckFinding, Item, MaskFacts
from napari_hirescam.review.journal import StrokeJournal
from napari_hirescam.review.review_file import ReviewFile

N = 36_316
READERS = ("Ann", "Ben")
SHA = "0123456789abcdef" * 4


def make(folder: Path) -> Path:
    """Write a review that two readers have finished."""
    items = [
        Item(
            number,
            f"trn{number:05d}",
            f"patient{number:05d}",
            "mask",
            ("left lung", "right lung", "heart")[number % 3],
            folder / "ct" / f"trn{number:05d}.npz",
            mask=folder / "masks" / f"trn{number:05d}.nii.gz",
            split="train" if number % 5 else "test",
        )
        for number in range(1, N + 1)
    ]
    file = folder / "review.db"
    rng = np.random.default_rng(0)
    found = (CheckFinding("leak", "12 mL lie in the trachea", 0.8, (10.0, 20.0, 30.0)),)
    with ReviewFile.create(file, Plan("benchmark"), items) as review:
        # Made without waiting for the disk each time; measured with.
        review._connection.execute("PRAGMA synchronous=OFF")  # noqa: SLF001
        for reader in READERS:
            for item in items:
                for kind, value in _said(rng, item.number):
                    review.record(
                        reader, item.number, kind, value, seconds=float(rng.uniform(3, 60)),
                        mask_sha256=SHA,
                    )  # fmt: skip
        for item in items[::10]:
            review.put_facts(item.number, MaskFacts(2500.0, 300.0, -820.0, found))
    return file


def _said(rng: np.random.Generator, number: int) -> list[tuple[Any, Any]]:
    said: list[tuple[Any, Any]] = [
        ("opened", None),
        ("rating", int(rng.integers(1, 6))),
        ("reasons", ["leak"]),
        ("decision", str(rng.choice(DECISIONS))),
        ("rating", int(rng.integers(1, 6))),
        ("done", None),
    ]
    if number % 4 == 0:
        said.insert(4, ("comment", "the lower lobe is left out behind the effusion"))
    return said


def measure(name: str, do: Callable[[], object], times: int, bar_ms: float | None = None) -> None:
    """Print how long something takes."""
    wall, processor = [], []
    for _ in range(times):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        do()
        processor.append(1000 * (time.process_time() - begun_cpu))
        wall.append(1000 * (time.perf_counter() - begun))
    bar = "" if bar_ms is None else f"  bar {bar_ms:g}"
    print(
        f"{name:42} median {np.median(wall):8.2f}  p99 {np.percentile(wall, 99):8.2f}  "
        f"worst {max(wall):8.2f}  processor {np.median(processor):8.2f} ms{bar}"
    )


def store(folder: Path) -> None:
    """Measure the file."""
    begun = time.perf_counter()
    file = make(folder)
    seconds, size = time.perf_counter() - begun, file.stat().st_size / 1e6
    print(f"{N:,} items, {len(READERS)} readers: {size:.0f} MB, made in {seconds:.0f} s")
    measure("open and close", lambda: ReviewFile.open(file).close(), 10, 1000)
    with ReviewFile.open(file) as review:
        values = iter(range(10**6))
        measure(
            "save a verdict",
            lambda: review.record("Cyd", 1 + next(values) % N, "rating", 4, mask_sha256=SHA),
            1000,
            20,
        )
        measure("list all", lambda: review.rows("Ann"), 20, 100)
        measure("list for a reader who begins", lambda: review.rows("Zoe"), 20, 100)
        for status in ("open", "done", "flagged", "rejected", "edited"):
            measure(f"filter: {status}", lambda s=status: review.rows("Ann", status=s), 20, 100)
        for search in ("trn01234", "lower lobe", "heart test", "no such word"):
            measure(f"search: {search}", lambda s=search: review.rows("Ann", search=s), 20, 100)
        measure("progress", lambda: review.progress("Ann"), 20)
        measure("verdict of one item", lambda: review.verdict("Ann", 20_000), 100)
        measure("history of one item", lambda: review.history(20_000), 100)
        measure("all items", review.items, 3)
        measure("all verdicts", review.verdicts, 3)
        view = "SELECT count(*), sum(rating), sum(seconds) FROM verdicts_by_events"
        ask = review._connection.execute  # noqa: SLF001
        measure("all verdicts anew from the events", lambda: ask(view).fetchone(), 1)
        measure("read and verify the whole file", review.verify, 1)


def strokes(folder: Path) -> None:
    """Measure the journal, on a mask of 512 x 512 x 300."""
    base = np.zeros((300, 512, 512), np.uint8)
    base[50:250, 100:400, 60:240] = 1
    labels = base.copy()
    rng = np.random.default_rng(0)

    def paint() -> None:
        k, j, i = rng.integers(0, (290, 490, 490))
        labels[k : k + 3, j : j + 12, i : i + 12] = 1

    def save() -> None:
        paint()
        journal.save(labels)

    file = folder / "review.db"
    with StrokeJournal(file, 1, "Ann", base, affine=np.eye(4), base_sha256=SHA) as journal:
        measure("strokes: compare and save what changed", save, 50)
        measure("strokes: nothing changed", lambda: journal.save(labels), 10)
    with StrokeJournal(file, 1, "Ann", base, affine=np.eye(4), base_sha256=SHA) as journal:
        measure("strokes: put back after a crash", journal.restore, 1)
        journal.clear()


def main() -> None:
    """Measure in a temporary folder, or in one that is given and empty."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        store(folder)
        strokes(folder)


if __name__ == "__main__":
    main()
