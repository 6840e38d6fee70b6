"""Painting on a mask: kept to a range of CT numbers, undone in order, copied block by block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Layer

from napari_hirescam.plugin.reviewing.editable_mask import EditableMask, limit_holds
from napari_hirescam.plugin.reviewing.hu_range import (
    AERATED_LUNG,
    BLOOD,
    RANGES,
    SOFT_TISSUE,
    HuRange,
    usual_range,
)
from napari_hirescam.plugin.reviewing.stroke_saver import StrokeSaver
from napari_hirescam.review.journal import BLOCK
from napari_hirescam.volume import Volume

SHAPE = (6, 20, 20)
SPACING_MM = (5.0, 1.0, 1.0)


def make_ct(shape=SHAPE, spacing=SPACING_MM) -> Volume:
    """Lung on low columns, a wall, and the air behind it: rows are all alike."""
    hu = np.full(shape, -800, np.int16)
    hu[..., 10:12] = 40
    hu[..., 12:] = -1000
    return Volume(hu, np.diag([*spacing, 1.0]))


@pytest.fixture
def ct() -> Volume:
    return make_ct()


@pytest.fixture
def layer(ct) -> EditableMask:
    """An empty mask, shown slice by slice."""
    layer = EditableMask(np.zeros(SHAPE, bool), ct)
    ViewerModel().add_layer(layer)
    layer.brush_size = 9
    return layer


def disc(centre, diameter, shape=SHAPE) -> np.ndarray:
    """napari's brush in a slice, by brute force."""
    found = np.zeros(shape, bool)
    for row in range(shape[1]):
        for column in range(shape[2]):
            away = np.hypot(row - centre[1], column - centre[2])
            found[centre[0], row, column] = away <= diameter // 2 + 0.5
    return found


def test_a_brush_without_a_range_paints_all_that_it_covers(layer):
    layer.paint((2, 8, 9), 1)
    assert np.array_equal(layer.data == 1, disc((2, 8, 9), 9))


def test_a_brush_paints_only_voxels_in_the_range(layer, ct):
    layer.hu_range = SOFT_TISSUE
    layer.paint((2, 8, 9), 1)
    expected = disc((2, 8, 9), 9) & (ct.voxels >= -20) & (ct.voxels <= 300)
    assert expected.any()
    assert np.array_equal(layer.data == 1, expected)
    assert layer.kept_some_out


def test_a_ball_paints_only_voxels_in_the_range_in_each_slice(layer):
    layer.n_edit_dimensions = 3
    layer.brush_size = 13
    layer.hu_range = AERATED_LUNG
    layer.paint((2, 8, 9), 1)
    # 5 mm slices, 6.5 mm radius: the slices before and behind get smaller discs.
    for index, reach in ((1, np.sqrt(6.5**2 - 25)), (2, 6.5), (3, np.sqrt(6.5**2 - 25))):
        away = np.hypot(*np.meshgrid(np.arange(20) - 8, np.arange(20) - 9, indexing="ij"))
        lung = make_ct().voxels[index] <= -320
        assert np.array_equal(layer.data[index] == 1, (away <= reach) & lung)
    assert not layer.data[[0, 4, 5]].any()


def test_both_ends_of_a_range_belong_to_it_and_nan_to_none():
    hu = np.array([-101.0, -100.0, 50.0, 100.0, 100.5, np.nan])
    assert HuRange(-100, 100).contains(hu).tolist() == [False, True, True, True, False, False]


def test_the_eraser_keeps_to_the_range_unless_it_is_let_go(layer, ct):
    layer.data_setitem(np.nonzero(np.ones(SHAPE)), 1)
    layer.hu_range = SOFT_TISSUE
    layer.paint((2, 8, 9), 0)
    tissue = ct.voxels == 40
    assert np.array_equal(layer.data == 0, disc((2, 8, 9), 9) & tissue)
    layer.limit_eraser = False
    layer.paint((2, 8, 9), 0)
    assert np.array_equal(layer.data == 0, disc((2, 8, 9), 9))


def test_a_polygon_paints_only_voxels_in_the_range(layer, ct):
    layer.hu_range = AERATED_LUNG
    layer.paint_polygon([[3, 2, 4], [3, 2, 15], [3, 9, 15], [3, 9, 4]], 1)
    expected = np.zeros(SHAPE, bool)
    expected[3, 2:10, 4:16] = True
    assert np.array_equal(layer.data == 1, expected & (ct.voxels <= -320))


def test_a_fill_does_not_come_up_again_behind_what_is_out_of_range(layer):
    layer.hu_range = AERATED_LUNG
    layer.fill((2, 5, 3), 1)
    expected = np.zeros(SHAPE, bool)
    expected[2, :, :10] = True  # neither the wall nor the air behind it, though -1000 HU fits
    assert np.array_equal(layer.data == 1, expected)


def test_a_fill_stays_in_the_mask_that_is_drawn_round_it(layer):
    layer.paint_polygon([[2, 0, 5], [2, 19, 5]], 1)  # a line from edge to edge
    layer.hu_range = AERATED_LUNG
    layer.fill((2, 5, 2), 1)
    assert layer.data[2, :, :6].all()
    assert not layer.data[2, :, 6:].any()


def test_a_fill_in_three_dimensions_fills_all_slices(layer):
    layer.n_edit_dimensions = 3
    layer.hu_range = AERATED_LUNG
    layer.fill((2, 5, 3), 1)
    assert layer.data[:, :, :10].all()
    assert not layer.data[:, :, 10:].any()


@pytest.mark.parametrize("place", [(2, 5, 10), (2, 5, 40), (-1, 5, 3)])
def test_a_fill_that_begins_out_of_range_or_outside_fills_nothing(layer, place):
    layer.hu_range = AERATED_LUNG
    layer.fill(place, 1)
    assert not layer.data.any()


def test_voxels_set_by_a_script_keep_to_the_range(layer):
    layer.hu_range = SOFT_TISSUE
    rows = np.zeros(20, int)
    layer.data_setitem((rows, rows, np.arange(20)), np.ones(20, np.uint8))
    assert np.flatnonzero(layer.data[0, 0]).tolist() == [10, 11]


def test_a_frozen_mask_is_changed_by_nothing_and_keeps_its_history(layer):
    layer.paint((2, 8, 4), 1)
    before = layer.data.copy()
    layer.frozen = True
    layer.paint((3, 8, 4), 1)
    layer.fill((4, 1, 1), 1)
    layer.paint_polygon([[3, 2, 4], [3, 2, 15], [3, 9, 15]], 1)
    layer.data_setitem(([0], [0], [0]), 1)
    layer.replace_voxels((slice(0, 1),) * 3, np.ones((1, 1, 1), bool))
    layer.undo()
    assert np.array_equal(layer.data, before)
    layer.frozen = False
    layer.undo()
    assert not layer.data.any()


def test_the_mask_that_is_judged_is_never_painted_on(ct):
    made = np.zeros(SHAPE, bool)
    layer = EditableMask(made, ct)
    ViewerModel().add_layer(layer)
    layer.paint((2, 8, 4), 1)
    assert layer.data.any()
    assert not made.any()


def test_napari_takes_it_for_a_labels_layer_and_can_copy_it(layer):
    layer.paint((2, 8, 4), 1)
    data, options, kind = layer.as_layer_data_tuple()
    assert kind == "labels"
    assert np.array_equal(Layer.create(data, options, kind).data, layer.data)


def test_a_range_is_offered_only_where_napari_keeps_to_it(monkeypatch):
    assert limit_holds()
    limit_holds.cache_clear()
    monkeypatch.delattr(EditableMask, "_apply_mask_to_data")
    assert not limit_holds()
    limit_holds.cache_clear()


@pytest.mark.parametrize(
    ("organ", "expected"),
    [
        ("left_lung", AERATED_LUNG),
        ("lung_upper_lobe_right", AERATED_LUNG),
        ("heart", SOFT_TISSUE),
        ("pulmonary_vein", BLOOD),
        ("", SOFT_TISSUE),
    ],
)
def test_each_organ_has_its_usual_range(organ, expected):
    assert usual_range(organ) == expected


def test_ranges_are_told_apart_by_their_names():
    assert len({found.name for found in RANGES}) == len(RANGES)
    assert AERATED_LUNG.words == "\N{MINUS SIGN}1024 to \N{MINUS SIGN}320 HU"


class _Journal:
    """Keeps what it was given last."""

    def __init__(self) -> None:
        self.kept: np.ndarray | None = None

    def save(self, labels):
        self.kept = labels.copy()
        return labels.nbytes


_PLACE = st.tuples(*(st.integers(0, n - 1) for n in (70, 12, 66)))
_STEP = st.one_of(
    st.tuples(st.just("paint"), _PLACE, st.integers(0, 1)),
    st.tuples(st.just("fill"), _PLACE, st.integers(0, 1)),
    st.tuples(st.just("operation"), _PLACE, _PLACE),
    st.tuples(st.just("undo")),
    st.tuples(st.just("redo")),
    st.tuples(st.just("abort"), _PLACE),
    st.tuples(st.just("save")),
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(_STEP, max_size=14), ranged=st.booleans(), ball=st.booleans())
def test_undo_takes_strokes_and_operations_back_in_order_and_the_copy_follows(steps, ranged, ball):
    """Against a list of states; the copy by blocks is whole whenever it is written."""
    layer = EditableMask(np.zeros((70, 12, 66), bool), make_ct((70, 12, 66), (1.0, 1.0, 1.0)))
    ViewerModel().add_layer(layer)
    layer.brush_size = 5
    layer.n_edit_dimensions = 3 if ball else 2
    layer.hu_range = AERATED_LUNG if ranged else None
    journal = _Journal()
    saver = StrokeSaver(layer, journal)
    states, now = [layer.data.copy()], 0
    for step in steps:
        match step:
            case ("paint", place, value):
                layer.paint(place, value)
            case ("fill", place, value):
                layer.fill(place, value)
            case ("operation", first, last):
                ends = [sorted(pair) for pair in zip(first, last, strict=True)]
                box = tuple(slice(low, high + 1) for low, high in ends)
                layer.replace_voxels(box, layer.data[box] == 0)
            case ("undo",):
                layer.undo()
                now = max(0, now - 1)
                assert np.array_equal(layer.data, states[now])
                continue
            case ("redo",):
                layer.redo()
                now = min(len(states) - 1, now + 1)
                assert np.array_equal(layer.data, states[now])
                continue
            case ("abort", place):
                layer._begin_stroke()
                layer.paint(place, 1 - int(layer.data[place]))
                painted = not np.array_equal(layer.data, states[now])
                saver.flush()  # an autosave in the middle of a stroke
                layer._abort_stroke()
                assert np.array_equal(layer.data, states[now])
                if painted:  # napari forgets what was undone once something is painted
                    del states[now + 1 :]
                continue
            case ("save",):
                if saver.take():
                    saver.write()
                continue
        if not np.array_equal(layer.data, states[now]):
            del states[now + 1 :]
            states.append(layer.data.copy())
            now += 1
    saver.flush()
    kept = journal.kept if journal.kept is not None else np.zeros_like(layer.data)
    assert np.array_equal(kept, layer.data)


def test_only_the_blocks_that_a_stroke_touches_are_copied():
    shape = (2 * BLOCK + 1, BLOCK, 2 * BLOCK)
    layer = EditableMask(np.zeros(shape, bool), Volume(np.zeros(shape, np.int16), np.eye(4)))
    ViewerModel().add_layer(layer)
    layer.brush_size = 3
    layer.paint((2 * BLOCK, 5, BLOCK), 1)
    assert layer.take_changed() == {(2, 0, 0), (2, 0, 1)}
    assert layer.take_changed() == set()
    layer.undo()
    assert layer.take_changed() == {(2, 0, 0), (2, 0, 1)}


@pytest.mark.parametrize("voxels", [3, 2000])
def test_an_operation_is_one_step_however_much_it_changes(layer, voxels):
    """Few voxels are kept by their indices, many as masks of their box."""
    layer.hu_range = SOFT_TISSUE  # which limits the brush, not operations
    layer.paint((2, 8, 10), 1)
    states = [layer.data.copy()]
    after = layer.data == 1
    after.reshape(-1)[np.linspace(0, after.size - 1, voxels, dtype=int)] ^= True
    box = tuple(slice(0, n) for n in SHAPE)
    assert layer.replace_voxels(box, after) == voxels
    assert np.array_equal(layer.data == 1, after)
    assert layer.hu_range == SOFT_TISSUE
    layer.undo()
    assert np.array_equal(layer.data, states[0])
    layer.redo()
    assert np.array_equal(layer.data == 1, after)


def test_voxels_that_a_script_puts_in_place_are_saved(layer):
    journal = _Journal()
    saver = StrokeSaver(layer, journal)
    layer.data = np.ones(SHAPE, np.uint8)
    saver.flush()
    assert journal.kept.all()


def test_every_change_is_told(layer):
    told = []
    layer.events.edited.connect(lambda: told.append(layer.data.sum()))
    layer.paint((2, 8, 4), 1)
    layer.undo()
    layer.redo()
    layer.replace_voxels((slice(0, 1),) * 3, np.ones((1, 1, 1), bool))
    painted = disc((2, 8, 4), 9).sum()
    assert told == [painted, 0, painted, painted + 1]


def test_what_the_disk_refused_is_written_the_next_time(layer):
    class Full(_Journal):
        full = True

        def save(self, labels):
            if self.full:
                raise OSError("no space left")
            return super().save(labels)

    journal = Full()
    saver = StrokeSaver(layer, journal)
    layer.paint((2, 8, 4), 1)
    assert saver.take()
    with pytest.raises(OSError, match="no space"):
        saver.write()
    journal.full = False
    assert saver.take()  # nothing new was painted, but it is not on the disk
    saver.write()
    assert np.array_equal(journal.kept, layer.data)
    assert not saver.take()
