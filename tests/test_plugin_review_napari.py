"""The review in napari: its keys and napari's, its layers and others', corrections, two windows."""

from __future__ import annotations

import numpy as np
import pytest
from napari.qt.threading import FunctionWorker
from review_cases import make_review
from review_window import hands

from napari_hirescam.io import read_volume
from napari_hirescam.review.form import Blinding
from napari_hirescam.review.review_file import ReviewFile

pytestmark = pytest.mark.usefixtures("keyboard")

pytest_plugins = ["review_window"]

PATIENCE_MS = 30_000


@pytest.fixture
def quick(tmp_path, items):
    """A review that hides all it can; its checks are not run."""
    blinding = Blinding(scores=True, names=True)
    return make_review(tmp_path / "quick.db", items, blinding=blinding)


def test_naparis_own_keys_do_not_win_and_layers_of_others_stay(reader, quick):
    viewer = reader.viewer
    mine = viewer.add_labels(np.zeros((4, 4, 4), np.uint8), name="mine")
    reader.open(quick, "ann")
    views = reader.desk.views
    for layer in (views.mask_layer, mine):
        viewer.layers.selection.active = layer
        mode = str(layer.mode)
        reader.press("5", "3", "2", "4")
        assert str(layer.mode) == mode
        assert reader.verdict().rating == 4
    reader.press("Shift+R")
    assert reader.verdict().decision == "resegment"

    def turned(key: str) -> float:
        # Another test's window on the same screen may take the keyboard at any moment.
        start = views.place_mm[0]
        for _ in range(10):
            reader.press(key)
            if views.place_mm[0] != start:
                break
        return float(views.place_mm[0] - start)

    # Slices of 6 mm, downwards and back.
    assert [turned(key) for key in "SSWS"] == pytest.approx([6.0, 6.0, -6.0, 6.0])
    reader.press("Space")
    assert not views.mask_layer.visible

    told = [f"{layer.name} {layer.source} {layer.metadata}" for layer in viewer.layers]
    assert not [text for text in [*told, viewer.title] if "case1" in text]

    assert reader.widget.leave()
    assert list(viewer.layers) == [mine]
    assert mine.visible
    viewer.layers.selection.active = mine
    reader.press("4")
    with ReviewFile.open(quick) as review:
        assert [event.kind for event in review.history(1)].count("rating") == 8


def test_leaving_with_a_correction_open_loses_no_stroke(reader, quick):
    def correct() -> None:
        with reader.qtbot.waitSignal(reader.desk.edit_panel.ready, timeout=PATIENCE_MS):
            reader.press("E")

    reader.open(quick, "ann")
    correct()
    layer = reader.desk.edit_panel.layer
    layer.data_setitem((np.array([8]), np.array([12]), np.array([30])), 1)
    assert reader.widget.leave()
    reader.open(quick, "ann")
    correct()
    with reader.qtbot.waitSignal(reader.desk.edit_panel.ended, timeout=PATIENCE_MS):
        reader.press("Y", "E")
    assert read_volume(reader.verdict().edit.file).voxels[8, 12, 30] == 1
    reader.press("4")
    assert reader.verdict().rating == 4


def test_two_readers_in_two_windows_share_a_file(quick, make_napari_viewer, plugin_settings, qtbot):
    ann, ben = (hands(make_napari_viewer(show=True), qtbot) for _ in range(2))
    ann.open(quick, "ann")
    ben.open(quick, "ben")
    for turn in range(2):
        ann.activate()
        ann.press("4", "A", "N")
        ben.activate()
        ben.press("2", "R", "N")
        ann.wait_for_item(turn + 2)
        ben.wait_for_item(turn + 2)
    with ReviewFile.open(quick) as review:
        verdicts = review.verdicts()
        assert review.readers == ("ann", "ben")
    said = {(one.reader, one.item): one.rating for one in verdicts if one.done}
    assert said == {("ann", 1): 4, ("ann", 2): 4, ("ben", 1): 2, ("ben", 2): 2}
    FunctionWorker.await_workers(PATIENCE_MS)
