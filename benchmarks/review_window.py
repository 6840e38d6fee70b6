"""How long a reader waits in the review's window: for the next item, and for an answer.

    python benchmarks/review_window.py [SLICES]

Writes four CTs of 512 x 512 x 300 with masks as .nii.gz, opens a review of them in napari (on
Linux without a display: under xvfb-run) and prints seconds of wall clock from the key to the
picture being drawn, with the bar that each is held to. Part of each is drawing, which a graphics
card does faster than software.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_hirescam.io import write_volume
from napari_hirescam.review.form import Blinding, Plan
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.volume import Volume

N_CASES, N_SLICES, N_ROWS = 4, 300, 512
SPACING_MM = (1.0, 0.7, 0.7)
_PATIENCE_S = 120
N_TURNS = 3
SETTLED_S = 3


def make(folder: Path, n_slices: int) -> Path:
    """Write CTs of a noisy body with two lungs, and a review of their masks."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1 : 1 : N_ROWS * 1j, -1 : 1 : N_ROWS * 1j]
    body = (rows / 0.6) ** 2 + (columns / 0.85) ** 2 < 1
    lung = ((columns - 0.4) / 0.25) ** 2 + (rows / 0.4) ** 2 < 1
    affine = np.diag([*SPACING_MM, 1.0])
    items = []
    for k in range(1, N_CASES + 1):
        plane = np.where(body, 40, -1000)
        plane[lung] = -850
        noise = rng.integers(-30, 30, (n_slices, N_ROWS, N_ROWS), dtype=np.int16)
        ct = Volume(plane.astype(np.int16) + noise, affine, f"case{k}")
        mask = np.repeat(lung[None].astype(np.uint8), n_slices, axis=0)
        mask[: n_slices // 8] = mask[-n_slices // 8 :] = 0
        ct_file = write_volume(folder / f"case{k}.nii.gz", ct.voxels, ct.grid)
        mask_file = write_volume(folder / f"case{k}_mask.nii.gz", mask, ct.grid)
        items.append(Item(k, f"case{k}", f"case{k}", "mask", "left_lung", ct_file, mask=mask_file))
    plan = Plan("benchmark", blinding=Blinding(scores=True))
    ReviewFile.create(folder / "review.db", plan, items).close()
    return folder / "review.db"


def main() -> None:
    """Measure."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_hirescam.plugin.reviewing.review_widget import ReviewWidget

    def wait(until: Callable[[], bool]) -> float:
        begun = time.perf_counter()
        while not until():
            QApplication.processEvents()
            time.sleep(0.005)  # an event loop sleeps too; spinning would hold up the threads
            if time.perf_counter() - begun > _PATIENCE_S:
                raise SystemExit("nothing came to the screen")
        # What was shown is drawn in the next round of events.
        QApplication.processEvents()
        QApplication.processEvents()
        return time.perf_counter() - begun

    def say(what: str, seconds: float, bar: str = "") -> None:
        print(f"{what:52} {seconds:7.3f} s  {bar}")

    n_slices = int(sys.argv[1]) if len(sys.argv) > 1 else N_SLICES
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), n_slices)
        print(f"{n_slices} slices of {N_ROWS} x {N_ROWS}")
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1280, 800)
        widget = ReviewWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Mask review", area="right")
        QApplication.processEvents()
        begun = time.perf_counter()
        widget.open(path, "Ann")
        desk = widget.desk
        if desk is None:
            raise SystemExit(widget.start.notice.text)

        def shows(number: int) -> bool:
            return desk.loaded is not None and desk.loaded.item.number == number

        wait(lambda: shows(1))
        say("open, and the first item", time.perf_counter() - begun)
        wait(lambda: desk.loader.has(2))
        for key, value in (("rating", 4), ("decision", "use")):
            begun = time.perf_counter()
            desk.answer(key, value)
            say(f"an answer ({key}): saved and shown", time.perf_counter() - begun, "bar 0.02")
        begun = time.perf_counter()
        desk.next()
        wait(lambda: shows(2))
        say("next item, read ahead", time.perf_counter() - begun, "bar 0.5")
        wait(lambda: desk.loader.has(3))
        begun = time.perf_counter()
        desk.following()
        wait(lambda: shows(3))
        say("next item, read ahead, once more", time.perf_counter() - begun, "bar 0.5")
        # Memory that the process has not used before may come slowly, in a virtual machine above
        # all; so there and back, and the first time by itself.
        waited = []
        for step, number in ((desk.following, 4), (desk.previous, 3)) * N_TURNS:
            shown = time.perf_counter()
            wait(lambda shown=shown: time.perf_counter() - shown > SETTLED_S)  # reading ahead ends
            desk.loader.forget()
            begun = time.perf_counter()
            step()
            wait(lambda number=number: shows(number))
            waited.append(time.perf_counter() - begun)
        say("next item, not read ahead, the first", waited[0], "bar 2")
        say(f"the same, median of {len(waited)}", statistics.median(waited), "bar 2")
        widget.leave()
        viewer.close()


if __name__ == "__main__":
    main()
