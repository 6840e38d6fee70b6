"""How long RAD-ChestCT's tables take to read: 36,316 rows of 4,368 locations and abnormalities.

    python benchmarks/rad_chestct_table.py

Makes the tables and empty scans in a temporary folder (330 MB), reads them for each list of
labels, and prints seconds of wall clock and of the processor, and the peak of memory.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_hirescam.cases import read_rad_chestct

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.rad_chestct_factory import COLUMNS, PREFIX, label_table

ROWS = {"train": 25_355, "valid": 3_752, "test": 7_209}
#: Share of cells that are 1: a report names some dozens of pairs.
REPORTED = 0.008


def make(folder: Path) -> None:
    """Write the three tables, and a file for each accession."""
    rng = np.random.default_rng(0)
    row = np.full(2 * len(COLUMNS), ord(","), dtype=np.uint8)
    for split, count in ROWS.items():
        with label_table(folder, split, {}).open("ab") as stream:
            for k in range(count):
                name = f"{PREFIX[split]}{k + 1:05d}"
                row[1::2] = ord("0") + (rng.random(len(COLUMNS), dtype=np.float32) < REPORTED)
                stream.write(name.encode() + row.tobytes() + b"\n")
                (folder / f"{name}.npz").touch()


def main() -> None:
    """Make, read, print."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        for labels in ("radchest-80", "radchest-83", "radchest-9"):
            wall, processor = time.perf_counter(), time.process_time()
            table = read_rad_chestct(folder, labels)
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(
                f"{labels}: {len(table.cases):,} cases in {wall:.1f} s "
                f"({processor:.1f} s of the processor), peak {peak:.0f} MiB"
            )


if __name__ == "__main__":
    main()
