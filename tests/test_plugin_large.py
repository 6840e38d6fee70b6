"""A CT of 1,500 slices: nothing of ours reads, copies or holds all of its voxels."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_hirescam.plugin.ct_layers import layer_from_volume, volume_from_layer
from napari_hirescam.plugin.readout_lines import lines_at, lines_on_ray
from napari_hirescam.plugin.view_tools import view_tools_of
from napari_hirescam.volume import Volume

SHAPE = (1500, 512, 512)


def _large() -> Volume:
    """One slice that is shown 1,500 times, without the 786 MB that a copy of it would take."""
    plane = np.full(SHAPE[1:], -1000, np.int16)
    plane[100:400, 100:400] = 40
    return Volume(np.broadcast_to(plane, SHAPE), np.diag([0.8, 0.7, 0.7, 1.0]), "large")


@pytest.fixture
def held():
    """Megabytes that were allocated at most since the test began."""
    Image(np.zeros((2, 2, 2)))  # napari imports a lot for its first layer
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()


def test_it_becomes_a_layer_and_comes_back_without_a_copy(held):
    volume = _large()
    voxels, options, _ = layer_from_volume(volume)
    assert voxels is volume.voxels
    layer = Image(voxels, **options)
    assert np.shares_memory(volume_from_layer(layer).voxels, volume.voxels)
    assert held() < 40  # its thumbnail and a sample of it


def test_reading_a_point_or_a_line_of_sight_touches_only_what_lies_there(held):
    voxels, options, _ = layer_from_volume(_large())
    layer = Image(voxels, **options)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0] / 2**20
    assert "40 HU" in lines_at((600.0, 200.0, 200.0), [layer], [])[0]
    sight = lines_on_ray((600.0, -50.0, 200.0), (0, 1, 0), (0, 1, 2), [layer], [])
    assert "40 HU" in sight[0]
    assert held() - before < 2


def test_many_steps_write_the_readout_a_few_times_and_letters_never(qtbot):
    viewer = ViewerModel()
    tools = view_tools_of(viewer)
    tools.take(1, list)
    voxels, options, _ = layer_from_volume(_large())
    viewer.add_layer(Image(voxels, **options))
    viewer.mouse_over_canvas = True
    viewer.cursor.position = (600.0, 200.0, 200.0)
    qtbot.waitUntil(lambda: "40 HU" in tools.readout.text)
    written = {name: [] for name in viewer.canvas.overlays if name.startswith("hirescam")}
    for name, texts in written.items():
        viewer.canvas.overlays[name].events.text.connect(texts.append)
    assert len(written) == 6
    for k in range(200):
        viewer.dims.set_current_step(0, k)
    qtbot.waitUntil(lambda: "array 199," in tools.readout.text)
    readout = written.pop("hirescam_readout")
    assert len(readout) < 20
    assert not any(written.values())
    tools.release(1)
