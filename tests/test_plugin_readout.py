"""What is under the cursor: HU, attention, organ, patient mm and voxel, each at a known place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from plugin_cases import make_explanation, make_volume
from qtpy import PYSIDE6
from qtpy.QtWidgets import QApplication

from napari_hirescam.plugin.ct_layers import layer_from_volume
from napari_hirescam.plugin.map_layers import MapLayers
from napari_hirescam.plugin.map_style import MapKey, MapStyle
from napari_hirescam.plugin.readout import Readout
from napari_hirescam.plugin.readout_lines import (
    NOT_MEASURED,
    ShownMap,
    lines_at,
    lines_on_ray,
    shown_maps,
)
from napari_hirescam.plugin.time_series import TimeSeries, layer_from_time_series
from napari_hirescam.source import Segment, Source
from napari_hirescam.volume import Grid, Quantity, Volume

AT = (5, 6, 7)
# (I, P, L) mm of that voxel: spacing 6, 4, 4 from (-300, -80, -70).
WORLD = (-270.0, -56.0, -42.0)


def _volume(**changes) -> Volume:
    volume = make_volume()
    volume.voxels[AT] = 37
    return replace(volume, **changes)


def _layer(volume: Volume):
    voxels, options, kind = layer_from_volume(volume)
    return (Labels if kind == "labels" else Image)(voxels, **options)


def _read(*layers, at=WORLD, maps=()) -> str:
    return "\n".join(lines_at(at, layers, maps))


def test_a_voxel_is_told_in_hu_in_both_frames_and_by_its_index():
    text = _read(_layer(_volume()))
    assert "37 HU   chest" in text
    assert "LPS -42.0, -56.0, 270.0 mm" in text
    assert "RAS 42.0, 56.0, 270.0 mm" in text
    assert "array 5, 6, 7" in text


def test_the_place_is_that_of_the_cursor_and_the_value_that_of_the_voxel_around_it():
    text = _read(_layer(_volume()), at=(-272.9, -54.1, -43.9))
    assert "37 HU" in text
    assert "LPS -43.9, -54.1, 272.9 mm" in text


def _as_stored() -> Source:
    """A file whose first axis runs to the right, the second forwards, the third upwards."""
    shape = make_volume().voxels.shape
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -4.0, -4.0, -6.0, 1.0
    last = make_volume().grid.to_world(np.array(shape) - 1)
    affine[:3, 3] = last
    return Source(Path("ct.nii"), "NIfTI", Grid(shape[::-1], affine), "RAS")


def test_the_voxel_of_the_file_is_counted_along_the_axes_of_the_file():
    # 24 slices, 40 rows and columns: voxel (5, 6, 7) is the 32nd, 33rd and 18th from the ends.
    text = _read(_layer(_volume(source=_as_stored())))
    assert "i, j, k 32, 33, 18   array 5, 6, 7" in text


def test_a_ct_that_was_moved_keeps_its_voxels_and_tells_the_place_it_has_now():
    layer = _layer(_volume(source=_as_stored()))
    layer.translate = np.add(layer.translate, (0, 0, 100))
    text = _read(layer, at=np.add(WORLD, (0, 0, 100)))
    assert "37 HU" in text
    assert "LPS 58.0, -56.0, 270.0 mm" in text
    assert "i, j, k 32, 33, 18" in text


def test_what_is_padding_or_was_filled_in_is_no_number():
    invalid = np.zeros(make_volume().voxels.shape, bool)
    invalid[AT] = True
    layer = _layer(_volume(invalid=invalid))
    assert NOT_MEASURED in _read(layer)
    assert "37" not in _read(layer).split("\n")[0]
    assert NOT_MEASURED not in _read(layer, at=np.add(WORLD, (6, 0, 0)))


def test_outside_the_ct_there_is_a_place_but_no_value_and_no_voxel():
    text = _read(_layer(_volume()), at=(900.0, 0.0, 0.0))
    assert text.split("\n") == [
        "outside   chest",
        "LPS 0.0, 0.0, -900.0 mm",
        "RAS 0.0, 0.0, -900.0 mm",
    ]


@pytest.mark.parametrize("edge", [-0.49, 23.49])
def test_a_ct_ends_half_a_voxel_beyond_its_outermost_centres(edge):
    volume = _volume()
    inside, outside = edge, edge + np.sign(edge) * 0.02
    assert "HU" in _read(_layer(volume), at=volume.grid.to_world((inside, 6, 7)))
    assert "HU" not in _read(_layer(volume), at=volume.grid.to_world((outside, 6, 7)))


def test_of_a_ct_over_time_the_time_that_is_shown_is_told():
    series = np.stack([make_volume().voxels, _volume().voxels])
    voxels, options, _ = layer_from_time_series(TimeSeries(series, _volume(), ("1", "2")))
    layer = Image(voxels, **options)
    assert "37 HU" in _read(layer, at=(1, *WORLD))
    assert "array 1, 5, 6, 7" in _read(layer, at=(1, *WORLD))
    assert "37 HU" not in _read(layer, at=(0, *WORLD))


def test_a_layer_of_another_reader_is_not_taken_for_a_patient():
    assert _read(Image(make_volume().voxels)) == ""


def test_each_shown_ct_is_told_the_upper_first_and_hidden_ones_are_not():
    low, high = _layer(_volume(name="low")), _layer(_volume(name="high"))
    assert [line[-4:].strip() for line in lines_at(WORLD, [low, high], [])[:2]] == ["high", "low"]
    high.visible = False
    assert "high" not in _read(low, high)


def test_organs_are_named_by_the_mask_and_the_background_is_silent():
    mask = np.zeros(make_volume().voxels.shape, np.uint8)
    mask[AT] = 5
    named = Volume(
        mask,
        make_volume().affine,
        "organs",
        Quantity.LABELS,
        segments=(Segment(5, "liver"), Segment(6, "spleen")),
    )
    unnamed = replace(named, name="mine", segments=())
    text = _read(_layer(_volume()), _layer(named), _layer(unnamed))
    assert "liver (5)   organs" in text
    assert "label (5)   mine" in text
    assert "organs" not in _read(_layer(_volume()), _layer(named), at=np.add(WORLD, (6, 0, 0)))


def test_attention_is_told_raw_with_method_label_and_cell():
    cells = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 12
    affine = np.diag([12.0, 20.0, 20.0, 1.0])
    affine[:3, 3] = (-280, -76, -62)  # cell (1, 1, 1) reaches over -274..-262 only
    shown = ShownMap("HiResCAM: nodule", cells, Grid((2, 3, 4), affine))
    assert "HiResCAM: nodule: -7   cell 0, 1, 1" in _read(
        _layer(_volume()), at=(-275, -56, -42), maps=[shown]
    )
    assert "HiResCAM: nodule: +5   cell 1, 1, 1" in _read(_layer(_volume()), maps=[shown])
    outside = _read(_layer(_volume()), at=(-270, 900, -42), maps=[shown])
    assert "HiResCAM: nodule: outside the map" in outside


class _View:
    """What the readout asks of an AttentionView."""

    def __init__(self, viewer, explanation, keys) -> None:
        self.explanation, self.maps = explanation, MapLayers(viewer)
        self.maps.show(explanation, keys, MapStyle())


def test_the_raw_cells_are_read_whatever_the_layer_shows(qapp):
    explanation = make_explanation()
    keys = [MapKey("nodule", "hirescam"), MapKey("nodule", "hirescam", "gradcam")]
    view = _View(ViewerModel(), explanation, keys)
    plain, difference = shown_maps(view)
    assert plain.title == "HiResCAM: nodule"
    assert plain.values.min() == np.float32(-0.01)  # the layer shows what speaks for it only
    nodule = explanation.maps["hirescam"][0] - explanation.maps["gradcam"][0]
    np.testing.assert_array_equal(difference.values, nodule)
    view.maps.layers[keys[0]].visible = False
    assert [one.title for one in shown_maps(view)] == [difference.title]


def test_along_a_line_of_sight_the_brightest_voxel_is_told_with_its_place():
    volume = _volume()
    volume.voxels[:] = -1000
    volume.voxels[5, 30, 7] = 900
    sight = lines_on_ray((-270.0, -500.0, -42.0), (0, 1, 0), (0, 1, 2), [_layer(volume)], [])
    assert "brightest on the line of sight: 900 HU" in sight
    place = next(line for line in sight if line.startswith("LPS"))
    left, posterior, superior = (float(x) for x in place[4:-3].split(","))
    assert (left, superior) == (-42.0, 270.0)
    assert posterior == pytest.approx(-80 + 4 * 30, abs=2.0)
    beside = lines_on_ray((-270.0, -500.0, 5000.0), (0, 1, 0), (0, 1, 2), [_layer(volume)], [])
    assert beside == []


# -- following the cursor ------------------------------------------------------------------


@pytest.fixture
def model(qapp) -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_layer(_layer(_volume()))
    viewer.mouse_over_canvas = True
    return viewer


@pytest.fixture
def readout(model):
    readout = Readout(model, list)
    yield readout
    readout.leave()


def test_the_text_follows_the_cursor_and_the_slices(qtbot, model, readout):
    model.cursor.position = WORLD
    qtbot.waitUntil(lambda: "37 HU" in readout.text)
    model.dims.set_point(0, -264.0)
    qtbot.waitUntil(lambda: "array 6, 6, 7" in readout.text)


def test_under_a_cursor_at_rest_the_text_follows_what_is_hidden_shown_and_changed(
    qtbot, model, readout
):
    other = _volume(name="the other")
    model.add_layer(_layer(other))
    model.cursor.position = WORLD
    qtbot.waitUntil(lambda: "37 HU   the other" in readout.text)
    model.layers[1].data = model.layers[1].data + 4
    qtbot.waitUntil(lambda: "41 HU   the other" in readout.text)
    model.layers[1].visible = False
    qtbot.waitUntil(lambda: "the other" not in readout.text)
    model.layers[1].visible = True
    qtbot.waitUntil(lambda: "the other" in readout.text)
    del model.layers[1]
    qtbot.waitUntil(lambda: "the other" not in readout.text)
    assert "37 HU   chest" in readout.text


def test_the_first_of_many_moves_is_written_at_once_and_the_last_soon(qtbot, model, readout):
    texts = []
    overlays = model.canvas.overlays
    model.cursor.position = (-270.0, -56.0, -42.0)
    assert "37 HU" in readout.text
    overlays["hirescam_readout"].events.text.connect(lambda text: texts.append(text))
    for k in range(100):
        model.cursor.position = (-270.0, -56.0, float(k))
    qtbot.waitUntil(lambda: "LPS 99.0" in readout.text)
    assert len(texts) < 10


def test_while_slices_are_turned_over_quickly_the_text_waits_and_then_tells_the_last(
    qtbot, model, readout
):
    model.cursor.position = WORLD
    texts = []
    model.canvas.overlays["hirescam_readout"].events.text.connect(lambda text: texts.append(text))
    for k in range(20):
        model.dims.set_current_step(0, k)
    assert len(texts) <= 2
    qtbot.waitUntil(lambda: "array 19, 6, 7" in readout.text)
    assert len(texts) <= 3


def test_nothing_is_told_while_the_mouse_is_elsewhere_or_the_readout_is_off(qtbot, model, readout):
    model.cursor.position = WORLD
    qtbot.waitUntil(lambda: readout.text != "")
    model.mouse_over_canvas = False
    qtbot.waitUntil(lambda: readout.text == "")
    model.mouse_over_canvas = True
    qtbot.waitUntil(lambda: readout.text != "")
    readout.on = False
    assert readout.text == ""


def test_after_the_view_was_turned_nothing_is_told_until_the_mouse_moves(qtbot, model, readout):
    model.cursor.position = WORLD
    qtbot.waitUntil(lambda: readout.text != "")
    model.dims.order = (1, 0, 2)
    assert readout.text == ""


def test_what_is_under_the_cursor_can_be_copied(model, readout):
    model.cursor.position = WORLD
    assert readout.copy().startswith("37 HU")
    assert QApplication.clipboard().text() == readout.copy()


def test_a_readout_that_left_hears_nothing_more(model, readout):
    before = len(model.mouse_move_callbacks)
    readout.leave()
    readout.remove()
    model.cursor.position = (0.0, 0.0, 0.0)
    assert not readout._soon.isActive()
    assert len(model.mouse_move_callbacks) == before - 1


def test_it_leaves_quietly_where_qt_is_gone_before_it(model, readout):
    """A script that ends without closing its window: Qt deletes timers before Python leaves."""
    if PYSIDE6:
        import shiboken6

        shiboken6.delete(readout._soon)
    else:
        from PyQt6 import sip

        sip.delete(readout._soon)
    before = len(model.mouse_move_callbacks)
    readout.leave()
    assert len(model.mouse_move_callbacks) == before - 1
