"""Organs in the window: found, refused, taken from any Labels layer, and measured."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.qt.threading import FunctionWorker
from plugin_cases import CT_SPACING, LABELS, make_model, make_volume
from qtpy.QtCore import Qt

from napari_hirescam import explain, load_model, read_volume
from napari_hirescam.errors import Cancelled, OrganError
from napari_hirescam.evaluation.case_measures import measure_case
from napari_hirescam.evaluation.cohort_files import THRESHOLDS as THRESHOLDS_WRITTEN_AS
from napari_hirescam.evaluation.thresholds import (
    FrozenThresholds,
    TunedOn,
    TunedThreshold,
    network_digest,
)
from napari_hirescam.io import write_volume
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_tables import PARTITION
from napari_hirescam.plugin.ct_layers import (
    layer_from_volume,
    volume_from_layer,
    world_transform,
)
from napari_hirescam.plugin.measuring import THRESHOLDS_FILE
from napari_hirescam.plugin.opening import add_layer
from napari_hirescam.plugin.organ_values import VALUES, parse_values
from napari_hirescam.plugin.organs_panel import OrgansPanel
from napari_hirescam.plugin.run_record import RunRecord
from napari_hirescam.plugin.writer import write_labels
from napari_hirescam.source import Segment

pytest_plugins = ["plugin_window"]

LABEL, METHOD, ORGAN_IOU, INSIDE, HIT = range(5)
ORGANS = {"nodule": ("lungs",), "mass": ("left_lung",)}


def make_labels(shape=(24, 40, 40)) -> np.ndarray:
    """The patient's left is where columns are high."""
    labels = np.zeros(shape, np.uint8)
    labels[4:20, 10:30, 6:14] = 1
    labels[8:18, 8:20, 16:24] = 2
    labels[4:20, 10:30, 26:34] = 3
    return labels


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A model whose third label, effusion, has no organ."""
    folder = make_model(tmp_path_factory.mktemp("model") / "tiny")
    file = folder / "model.yaml"
    rows = "".join(f"  {label}: [{', '.join(organs)}]\n" for label, organs in ORGANS.items())
    file.write_text(f"{file.read_text()}organs:\n{rows}")
    return folder


@pytest.fixture(scope="session")
def classifier(model_folder):
    return load_model(model_folder)


@pytest.fixture(scope="session")
def explanation(classifier, ct_file):
    return explain(read_volume(ct_file), classifier, methods=("hirescam", "gradcam", "layercam"))


@pytest.fixture
def viewer():
    """Layers without a window, which takes seconds to open."""
    yield ViewerModel()
    FunctionWorker.await_workers(10000)


@pytest.fixture
def ct(viewer, ct_file):
    return add_layer(viewer, layer_from_volume(read_volume(ct_file)))


@pytest.fixture
def panel(qtbot, viewer, ct, classifier):
    """The panel with a CT and a model."""
    panel = OrgansPanel(viewer)
    qtbot.addWidget(panel)
    panel.set_ct(ct)
    panel.set_subject(classifier, None, None, None)
    yield panel
    panel.abandon()


def take_run(panel, ct, classifier, explanation, shown=("nodule",)) -> None:
    """Tell the panel of a run, as the dock widget does."""
    record = RunRecord(ct, volume_from_layer(ct), classifier, None, world_transform(ct))
    panel.set_subject(classifier, record, explanation, "receptive_field")
    panel.set_shown(shown, ("hirescam",))


@pytest.fixture
def found(monkeypatch):
    """Stands in for PARTITION: the CT of these tests is noise."""
    asked = []

    def find(volume, *, rough=False, progress=None, should_stop=None):
        asked.append((volume.name, rough, threading.current_thread()))
        progress(1, 2)
        doubts = ("the body is a box",) if rough else ()
        origin = "rough regions" if rough else "PARTITION"
        return OrganMap(make_labels(), volume.affine, PARTITION, origin, doubts)

    monkeypatch.setattr("napari_hirescam.organs.find_organs", find)
    return asked


@pytest.fixture
def refusing(monkeypatch, found):
    """No organs, except rough ones."""
    from napari_hirescam.organs import find_organs

    def refuse(volume, *, rough=False, **how):
        if not rough:
            raise OrganError(volume.name, "it holds no lungs", "Take rough regions")
        return find_organs(volume, rough=rough, **how)

    monkeypatch.setattr("napari_hirescam.organs.find_organs", refuse)
    return found


def find(qtbot, panel) -> None:
    qtbot.mouseClick(panel.find_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.finder.job is None, timeout=10000)


def settle(qtbot, panel) -> None:
    qtbot.waitUntil(lambda: not panel.measuring.busy, timeout=20000)


def texts(panel) -> list[list[str]]:
    model = panel.measures
    rows = [
        [model.data(model.index(row, column)) for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]
    return [[*map_.split("\n"), *numbers] for map_, *numbers in rows]


def edit(panel, organ: str, values: str) -> bool:
    model = panel.values
    listed = [model.data(model.index(row, 0)) for row in range(model.rowCount())]
    return model.setData(model.index(listed.index(organ), VALUES), values)


# -- finding -----------------------------------------------------------------------------------


def test_without_a_ct_there_is_nothing_to_find(panel):
    assert panel.find_button.isEnabled()
    panel.set_ct(None)
    assert not panel.find_button.isEnabled()


def test_found_organs_are_a_layer_exactly_on_the_ct(qtbot, viewer, ct, panel, found):
    before = viewer.layers.selection.active
    find(qtbot, panel)
    layer = panel.mask_layer
    assert viewer.layers.index(layer) == viewer.layers.index(ct) + 1
    assert np.array_equal(layer.data, make_labels())
    assert np.allclose(layer.data_to_world((7, 11, 30)), ct.data_to_world((7, 11, 30)))
    assert layer.name == "PARTITION: organs of chest"
    assert layer.features["name"].tolist() == [
        "background",
        "right_lung",
        "heart; mediastinum; great_vessel",
        "left_lung",
    ]
    assert not np.allclose(layer.colormap.map(1), layer.colormap.map(3))
    assert viewer.layers.selection.active is before
    ((name, rough, thread),) = found
    assert (name, rough) == ("chest", False)
    assert thread is not threading.main_thread()


def test_found_organs_are_saved_on_the_grid_of_the_cts_file(
    qtbot, viewer, panel, found, ct_file, tmp_path
):
    find(qtbot, panel)
    data, attributes, _ = panel.mask_layer.as_layer_data_tuple()
    (file,) = write_labels(str(tmp_path / "organs.nii.gz"), data, attributes)
    saved = read_volume(file)
    assert saved.grid.same_place_as(read_volume(ct_file).grid)
    assert np.array_equal(saved.voxels, make_labels())
    assert saved.segments[1].name == "heart; mediastinum; great_vessel"


def test_a_refusal_is_said_and_rough_regions_are_offered_not_taken(
    qtbot, viewer, panel, refusing, told
):
    find(qtbot, panel)
    assert panel.mask_layer is None
    assert "No organs were found: it holds no lungs." in panel.text.text()
    assert panel.rough.isVisibleTo(panel)
    assert not refusing
    qtbot.mouseClick(panel.rough, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.mask_layer is not None, timeout=10000)
    qtbot.waitUntil(lambda: panel.finder.job is None, timeout=10000)
    assert panel.mask_layer.name == "rough regions: organs of chest"
    assert "The body is a box." in panel.text.text()
    assert not panel.rough.isVisibleTo(panel)
    assert not told()


def test_doubts_stay_with_the_layer(qtbot, viewer, panel, refusing):
    find(qtbot, panel)
    panel.rough.click()
    qtbot.waitUntil(lambda: panel.mask_layer is not None, timeout=10000)
    doubted = panel.mask_layer
    panel.choose(viewer.add_labels(make_labels(), name="mine"))
    assert "box" not in panel.text.text()
    panel.choose(doubted)
    assert "The body is a box." in panel.text.text()


@pytest.fixture
def endless_search(monkeypatch):
    started = threading.Event()

    def search(_volume, *, rough=False, progress=None, should_stop=None):
        progress(1, 10)
        started.set()
        patience = threading.Event()
        while not should_stop():
            patience.wait(0.005)
        raise Cancelled("stopped")

    monkeypatch.setattr("napari_hirescam.organs.find_organs", search)
    return started


def test_a_search_can_be_cancelled(qtbot, viewer, panel, endless_search):
    panel.find_button.click()
    qtbot.waitUntil(endless_search.is_set)
    assert panel.find_button.text() == "Cancel"
    n_layers = len(viewer.layers)
    panel.find_button.click()
    assert not panel.find_button.isEnabled()
    qtbot.waitUntil(lambda: panel.finder.job is None)
    assert panel.find_button.text() == "Find organs"
    assert panel.find_button.isEnabled()
    assert len(viewer.layers) == n_layers


def test_a_removed_ct_ends_its_search(qtbot, viewer, ct, panel, endless_search):
    panel.find_button.click()
    qtbot.waitUntil(endless_search.is_set)
    viewer.layers.remove(ct)
    assert panel.finder.job is None
    assert "chest was removed; the search for its organs was stopped." in panel.text.text()


# -- any Labels layer --------------------------------------------------------------------------


def test_any_labels_layer_can_be_chosen_and_none_is_by_itself(qtbot, viewer, panel):
    layer = viewer.add_labels(make_labels(), name="mine")
    assert panel.mask_layer is None
    assert layer in panel.masks.choices
    assert not panel.values_box.isVisibleTo(panel)
    panel.choose(layer)
    layer.name = "renamed"
    assert panel.mask_layer is layer
    viewer.layers.remove(layer)
    assert panel.mask_layer is None


def test_the_organs_the_model_asks_for_are_listed(viewer, panel):
    panel.choose(viewer.add_labels(make_labels(), name="mine"))
    model = panel.values
    listed = [model.data(model.index(row, 0)) for row in range(model.rowCount())]
    assert listed == ["lungs", "left_lung"]


def test_partitions_numbers_are_guessed_and_it_is_said(viewer, panel):
    panel.choose(viewer.add_labels(make_labels(), name="mine"))
    assert panel.values.table == {"lungs": (1, 3), "left_lung": (3,)}
    assert "Guessed from its values: numbered as by PARTITION" in panel.text.text()


def test_totalsegmentators_numbers_are_guessed_and_it_is_said(viewer, panel):
    labels = make_labels()
    labels[labels == 1], labels[labels == 3] = 12, 10
    panel.choose(viewer.add_labels(labels, name="mine"))
    assert panel.values.table["lungs"] == (10, 11, 12, 13, 14)
    assert "numbered as by TotalSegmentator 2" in panel.text.text()


def test_unknown_numbers_are_left_to_the_user(viewer, panel):
    labels = make_labels()
    labels[labels > 0] += 90
    panel.choose(viewer.add_labels(labels, name="mine"))
    assert panel.values.table == {}
    assert "fill in the table" in panel.text.text()


def test_names_in_the_file_fill_the_table(viewer, panel, tmp_path):
    volume = make_volume()
    names = [Segment(1, "Lung right"), Segment(3, "Lung left")]
    file = write_volume(tmp_path / "m.nii.gz", make_labels(), volume.grid, segments=names)
    panel.choose(add_layer(viewer, layer_from_volume(read_volume(file))))
    assert panel.values.table == {"lungs": (1, 3), "left_lung": (3,)}
    assert not panel.text.text()


def test_another_table_can_be_chosen(viewer, panel, tmp_path, monkeypatch):
    panel.choose(viewer.add_labels(make_labels(), name="mine"))

    def choose(source):
        panel.source.setCurrentIndex(panel.source.findData(source))
        panel.source.activated.emit(panel.source.currentIndex())

    choose("totalsegmentator")
    assert panel.values.table["left_lung"] == (10, 11)
    file = tmp_path / "table.csv"
    file.write_text("organ,values\nleft lung,3\n")
    ask = "napari_hirescam.plugin.organs_panel.QFileDialog.getOpenFileName"
    monkeypatch.setattr(ask, lambda *_: (str(file), ""))
    choose("file")
    assert panel.values.table == {"left_lung": (3,)}
    assert "Guessed" not in panel.text.text()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1; 3", (1, 3)),
        ("3,1 1", (1, 3)),
        ("", ()),
        ("0", None),
        ("-1", None),
        ("1.5", None),
        ("left", None),
        ("99999999999", None),
    ],
)
def test_values_are_typed_as_numbers(text, values):
    assert parse_values(text) == values


# -- measures ----------------------------------------------------------------------------------


@pytest.fixture
def measured(qtbot, panel, ct, classifier, explanation, found):
    """After a run and a search for organs."""
    take_run(panel, ct, classifier, explanation)
    find(qtbot, panel)
    settle(qtbot, panel)
    return panel


@pytest.fixture
def expected(explanation):
    """Measure as `evaluate` does."""

    def measure(labels, organs=None, threshold=0.5):
        organs = organs or OrganMap(make_labels(), make_volume().affine, PARTITION, "PARTITION")
        return measure_case(explanation, organs, ORGANS, labels=labels, thresholds=threshold)

    return measure


def test_the_numbers_are_those_of_evaluate(measured, explanation, expected):
    rows = {(row.label, row.method): row for row in measured.measured.rows}
    assert set(rows) == {(k, m) for k in ORGANS for m in explanation.maps}
    for row in expected(tuple(ORGANS)):
        mine = rows[row.label, row.method].as_row()
        for name, value in row.as_row().items():
            assert mine[name] == pytest.approx(value, nan_ok=True), name


def test_the_table_shows_the_ticked_labels_by_both_methods(measured, expected):
    measured.set_shown(["nodule"], ["hirescam"])
    shown = texts(measured)
    assert [row[:2] for row in shown] == [["nodule", "HiResCAM"], ["nodule", "Grad-CAM"]]
    hirescam = next(row for row in expected(["nodule"]) if row.method == "hirescam")
    assert shown[0][ORGAN_IOU] == f"{hirescam.organ_iou:.2f} ({hirescam.chance_cells:.2f})"
    assert shown[0][INSIDE] == f"{hirescam.share_inside:.2f} ({hirescam.chance_share:.2f})"
    assert shown[0][HIT] == f"{'yes' if hirescam.hit else 'no'} ({hirescam.chance_cells:.2f})"
    measured.set_shown(["nodule", "mass"], ["hirescam"])
    assert [row[LABEL] for row in texts(measured)] == ["nodule"] * 2 + ["mass"] * 2


def test_a_method_that_is_shown_is_measured_too(measured):
    measured.set_shown(["mass"], ["layercam"])
    assert [row[METHOD] for row in texts(measured)] == ["LayerCAM", "HiResCAM", "Grad-CAM"]


def test_what_was_assumed_is_said(measured):
    words = measured.words.text()
    assert "as if each finding were there" in words
    assert "cut at 0.5 of their maximum; the model brings no tuned thresholds" in words
    assert "The model names no organ for effusion." in words


def test_without_a_run_it_says_what_is_missing(qtbot, panel, found):
    find(qtbot, panel)
    assert "Run the model" in panel.words.text()
    assert not panel.measures_table.isVisibleTo(panel)


def test_other_values_are_measured_anew(qtbot, measured, expected):
    measured.set_shown(["mass"], ["hirescam"])
    before = texts(measured)
    assert not edit(measured, "left_lung", "left")
    assert edit(measured, "left_lung", "1")
    settle(qtbot, measured)
    after = texts(measured)
    assert before != after
    mirrored = OrganMap(make_labels(), make_volume().affine, {"left_lung": (1,)}, "by hand")
    share = next(
        row.share_inside for row in expected(["mass"], mirrored) if row.method == "hirescam"
    )
    assert after[0][INSIDE].startswith(f"{share:.2f} (")


def test_an_organ_of_which_there_is_nothing_to_see_is_named(qtbot, measured):
    measured.set_shown(["mass"], ["hirescam"])
    assert "No cell lies in" not in measured.words.text()
    edit(measured, "left_lung", "77")
    settle(qtbot, measured)
    assert "No cell lies in left_lung: there is no OrganIoU." in measured.words.text()


def test_an_organ_without_values_is_said_to_be_missing(qtbot, measured):
    measured.set_shown(["mass", "nodule"], ["hirescam"])
    edit(measured, "left_lung", "")
    settle(qtbot, measured)
    assert "The masks do not show: left_lung." in measured.words.text()
    assert {row[LABEL] for row in texts(measured)} == {"nodule"}


def test_painting_is_measured(qtbot, measured):
    measured.set_shown(["mass"], ["hirescam"])
    before = texts(measured)
    layer = measured.mask_layer
    layer.brush_size, layer.n_edit_dimensions = 9, 3
    layer.paint((12, 20, 8), 3)
    settle(qtbot, measured)
    assert texts(measured) != before


def test_masks_on_another_grid_are_resampled_and_it_is_said(qtbot, viewer, measured):
    fine = make_labels().repeat(2, 1)
    spacing = np.array(CT_SPACING) / (1, 2, 1)
    first = make_volume().affine[:3, 3] - (0, spacing[1] / 2, 0)
    layer = viewer.add_labels(fine, name="fine", scale=spacing, translate=first)
    rows = measured.measured.rows
    measured.choose(layer)
    settle(qtbot, measured)
    again = {(r.label, r.method): r.share_inside for r in measured.measured.rows}
    before = {(r.label, r.method): r.share_inside for r in rows}
    assert again == pytest.approx(before, nan_ok=True)
    assert "were resampled onto the grid of the CT" in measured.words.text()


def test_masks_that_cannot_be_of_the_ct_are_refused_in_the_panel(qtbot, viewer, measured, told):
    layer = viewer.add_labels(make_labels()[:10], name="part", scale=CT_SPACING)
    measured.choose(layer)
    settle(qtbot, measured)
    assert "part: it" in measured.words.text()
    assert "Give masks that were drawn on this very CT" in measured.words.text()
    assert not texts(measured)
    assert not told()


def test_thresholds_in_the_models_folder_are_used_and_said(
    qtbot, ct, panel, found, explanation, expected, model_folder, tmp_path
):
    assert THRESHOLDS_FILE == THRESHOLDS_WRITTEN_AS
    folder = shutil.copytree(model_folder, tmp_path / "tuned")
    classifier = load_model(folder)
    cut = {"corrected": {label: TunedThreshold(threshold=0.1, mean=1, n=3) for label in LABELS}}
    frozen = FrozenThresholds(
        model="tuned",
        network_sha256=network_digest(classifier),
        target_layer=classifier.spec.target_layer,
        placement="receptive_field",
        rule="half",
        tuned_on=TunedOn(table="t", cases=(), patients=(), scans=()),
        values={"hirescam": cut},
    )
    frozen.save(folder / THRESHOLDS_FILE)
    take_run(panel, ct, classifier, explanation)
    find(qtbot, panel)
    settle(qtbot, panel)
    assert "the model's own thresholds" in panel.words.text()
    mine = {(r.label, r.method): r for r in panel.measured.rows}
    for row in expected(["mass"], threshold=0.1):
        if row.method == "hirescam":
            assert mine["mass", "hirescam"].organ_iou == pytest.approx(row.organ_iou, nan_ok=True)
    assert np.isnan(mine["mass", "gradcam"].organ_iou)

    other = frozen.model_copy(update={"target_layer": "elsewhere"})
    other.save(folder / THRESHOLDS_FILE, overwrite=True)
    edit(panel, "lungs", "3; 1; 2")
    settle(qtbot, panel)
    assert "thresholds do not fit" in panel.words.text()


def test_a_run_that_is_gone_leaves_nothing_behind(qtbot, measured, classifier):
    assert texts(measured)
    measured.set_subject(classifier, None, None, None)
    assert measured.measured is None
    assert not texts(measured)
    assert "Run the model" in measured.words.text()


def test_the_same_said_again_measures_nothing_anew(measured, ct, classifier, explanation):
    before = measured.measured
    placement = "".join(["receptive", "_field"])  # another object, as from Qt
    record = replace(measured._record)  # as when the network moves to another device
    measured.set_subject(classifier, record, explanation, placement)
    assert measured.measured is before
    assert not measured.measuring.busy


def test_an_abandoned_panel_measures_no_more(measured):
    edit(measured, "lungs", "1")
    assert measured.measuring.busy
    measured.abandon()
    assert not measured.measuring.busy
