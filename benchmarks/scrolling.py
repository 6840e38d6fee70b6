"""How long a step through the slices of a large CT takes, beside napari alone.

512 x 512 x 1500 voxels of int16 (786 MB), in a real window: the three slice views, first with
the CT and a map as plain layers of napari, then with the widget, its letters, the readout under
a resting cursor and the same map. A step ends when its picture has been drawn. Beside the time
on the clock stands what the GUI thread computed, without the drawing by other threads that a
machine without graphics card does.

    xvfb-run -a -s "-screen 0 1440x900x24" python benchmarks/scrolling.py
    ... --slices 300     # another number of slices
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_hirescam.attention import Explanation, Guarantee, GuaranteeState
from napari_hirescam.plugin.ct_layers import layer_from_volume
from napari_hirescam.plugin.map_style import MapKey, MapStyle, describe_layer
from napari_hirescam.plugin.widget import HiResCAMWidget
from napari_hirescam.volume import Grid, Volume

if TYPE_CHECKING:
    from napari.components import ViewerModel

ORDERS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
STEPS = 60
SPACING = (0.8, 0.7, 0.7)
KEY = MapKey("nodule", "hirescam")


def large_ct(n_slices: int) -> Volume:
    """Make a CT of noise about soft tissue, in lung-like air."""
    rng = np.random.default_rng(0)
    block = rng.integers(-1000, 300, (50, 512, 512), dtype=np.int16)
    voxels = np.concatenate([block] * -(-n_slices // 50))[:n_slices]
    return Volume(voxels, np.diag([*SPACING, 1.0]), "large")


def coarse_map(ct: Volume) -> Explanation:
    """Make a map of cells of 20 mm over the CT, as a network would."""
    extent = np.array(ct.voxels.shape) * SPACING
    d, h, w = (int(n) for n in extent // 20)
    values = np.random.default_rng(1).normal(size=(1, d, h, w)).astype(np.float32)
    return Explanation(
        labels=("nodule",),
        logits=np.array([values.sum(dtype=np.float64)]),
        probabilities=np.array([0.5]),
        bias=np.zeros(1),
        maps={"hirescam": values},
        affines={"stretch": np.diag([20.0, 20.0, 20.0, 1.0])},
        placement_note="",
        receptive_field_mm=None,
        guarantee=Guarantee(GuaranteeState.EXACT, "by hand"),
        target_layer="none",
        input_grid=Grid(ct.voxels.shape, ct.affine),
    )


def ms_per_step(viewer: ViewerModel, order: tuple[int, int, int]) -> list[tuple[float, float]]:
    """Step through the middle of a view, each until it is drawn; ms by clock and computed."""
    viewer.dims.order = order
    viewer.fit_to_view()
    axis = order[0]
    middle = int(viewer.dims.nsteps[axis]) // 2
    viewer.cursor.position = tuple(float(x) for x in viewer.dims.point)
    spent = []
    for k in range(-5, STEPS):
        start, computed = time.perf_counter(), time.thread_time()
        viewer.dims.set_current_step(axis, middle + k)
        for _ in range(3):
            QApplication.processEvents()
        if k >= 0:  # what is made once was made by then
            clock = 1000 * (time.perf_counter() - start)
            spent.append((clock, 1000 * (time.thread_time() - computed)))
    return spent


def all_views(viewer: ViewerModel) -> dict[str, list[tuple[float, float]]]:
    """Measure the three slice views with the mouse over the middle."""
    viewer.mouse_over_canvas = True
    return {name: ms_per_step(viewer, order) for name, order in ORDERS.items()}


def measure(n_slices: int) -> None:
    """Print the figures."""
    ct = large_ct(n_slices)
    voxels, options, _ = layer_from_volume(ct)
    explanation, style = coarse_map(ct), MapStyle()

    alone = napari.Viewer()
    alone.window.resize(1440, 900)
    alone.add_image(voxels, **{**options, "metadata": {}})
    alone.add_image(**{**describe_layer(explanation, KEY, style, 0), "metadata": {}})
    plain = all_views(alone)
    alone.close()

    viewer = napari.Viewer()
    viewer.window.resize(1440, 900)
    widget = HiResCAMWidget(viewer)
    viewer.window.add_dock_widget(widget, name="HiResCAM")
    start = time.perf_counter()
    layer = viewer.add_image(voxels, **options)
    print(f"adding the CT: {1000 * (time.perf_counter() - start):.0f} ms")
    widget.view.take(explanation)
    widget.view.maps.show(explanation, [KEY], style, above=layer)
    ours = all_views(viewer)
    if "HU" not in widget.tools.readout.text or not widget.tools.letters.shown.right:
        raise SystemExit("letters or readout were not there: the figures mean nothing")
    viewer.close()
    for name in ORDERS:
        for what, k in (("by the clock", 0), ("computed", 1)):
            before, now = ([step[k] for step in found[name]] for found in (plain, ours))
            here, there = statistics.median(now), statistics.median(before)
            print(
                f"{name}, {what}: {here:.0f} ms per slice (at most {max(now):.0f}); "
                f"napari alone {there:.0f} ({max(before):.0f}); ratio {here / there:.2f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=1500)
    measure(parser.parse_args().slices)
