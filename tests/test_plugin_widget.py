"""The dock widget in a real window: from a file to maps, and what can be done with them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plugin_cases import (
    LABELS,
    load_model,
    make_model,
    make_volume,
    map_names,
    open_ct,
    run,
    write_ct,
)
from qtpy.QtWidgets import QComboBox

from napari_hirescam.attention import METHODS
from napari_hirescam.plugin.display_panel import BOTH, DIFFERENCE, ONE
from napari_hirescam.plugin.new_model_dialog import NewModelDialog

pytest_plugins = ["plugin_window"]


def test_the_panel_says_what_is_missing_for_a_run(qtbot, widget, ct_file, model_folder):
    assert "Open a CT" in widget.run_panel.hint_text
    assert not widget.run_panel.button.isEnabled()
    open_ct(qtbot, widget, ct_file)
    assert "Open a model" in widget.run_panel.hint_text
    load_model(qtbot, widget, model_folder)
    assert widget.run_panel.hint_text == ""
    assert widget.run_panel.button.isEnabled()


def test_a_loaded_model_is_described(ready):
    text = ready.model.facts_text
    assert "3 labels" in text
    assert "conv2d.1" in text
    assert "12 × 8 × 8 mm" in text  # noqa: RUF001 - three slices of 4 mm; stride 2 in the plane
    assert "✔ <b>Exact</b>" in text


def test_a_run_ticks_the_top_label_and_goes_to_its_peak(done, viewer):
    top = done.explanation.ranked()[0]
    assert done.labels.ticked == (top,)
    assert map_names(viewer) == [f"HiResCAM: {top}"]
    attention = done.explanation.map(top)
    peak = attention.grid.to_world(
        np.unravel_index(attention.values.argmax(), attention.values.shape)
    )
    steps = [r.step for r in viewer.dims.range]
    assert (np.abs(np.array(viewer.dims.point) - peak) <= steps).all()
    assert "residual" in done.labels_panel.proof.text()


def test_maps_lie_over_the_ct_they_explain(done, viewer):
    ct, shown = done.ct.layer, next(iter(done.maps.layers.values()))
    assert ct.units == shown.units
    assert ct.axis_labels == shown.axis_labels
    assert ct not in done.maps.layers.values()


def test_ticking_and_switching_show_maps_without_another_run(done, viewer, monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("nothing may be computed again")

    monkeypatch.setattr("napari_hirescam.attention.explain", never)
    done.labels.set_ticked(["nodule", "mass"])
    assert set(map_names(viewer)) == {"HiResCAM: nodule", "HiResCAM: mass"}
    done.display.method.key = "gradcam"
    assert set(map_names(viewer)) == {"Grad-CAM: nodule", "Grad-CAM: mass"}
    done.labels.set_ticked(["effusion"])
    assert map_names(viewer) == ["Grad-CAM: effusion"]
    done.display.evidence.value = "signed"
    (layer,) = done.maps.layers.values()
    low, high = layer.contrast_limits
    assert low == -high


def test_before_a_run_a_head_is_called_exact_and_after_it_with_the_residual(qtbot, ready):
    assert "residual" not in ready.model.facts_text
    run(qtbot, ready)
    largest = max(abs(ready.explanation.residual(label)) for label in LABELS)
    assert f"largest residual of all labels {largest:.0e}" in ready.model.facts_text


def test_a_zipped_model_folder_is_opened_like_the_folder(qtbot, widget, model_folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", model_folder)
    load_model(qtbot, widget, Path(archive))
    assert widget.model.classifier.labels == LABELS


def test_a_new_model_folder_is_loaded_when_it_is_saved(qtbot, ready, tmp_path):
    ready.model.new_requested.emit()
    dialog = ready.findChild(NewModelDialog)
    assert dialog.isVisible()
    assert dialog.draft.volume.name == "chest"
    dialog.saved.emit(make_model(tmp_path / "other", labels=("fracture", "cyst")))
    qtbot.waitUntil(lambda: ready.model.classifier.labels == ("fracture", "cyst"), timeout=20000)
    dialog.close()


def test_every_method_is_offered_with_its_formula_and_shown_without_another_run(done, viewer):
    chooser = done.display.method
    keys = [chooser.itemData(row) for row in range(chooser.count())]
    assert keys == list(done.explanation.maps)
    assert {"gradcam++", "xgradcam", "layercam", "closed_form"} <= set(keys)
    chooser.key = "layercam"
    assert METHODS["layercam"].formula in chooser.toolTip()
    assert METHODS["layercam"].source in chooser.toolTip()
    assert map_names(viewer) == [f"LayerCAM: {done.labels.ticked[0]}"]


def test_a_difference_of_two_methods_is_one_signed_layer(done, viewer):
    done.display.show_as.value = DIFFERENCE
    done.display.second.key = "layercam"
    top = done.labels.ticked[0]
    minus = "\N{MINUS SIGN}"
    assert map_names(viewer) == [f"HiResCAM {minus} LayerCAM: {top}"]
    assert not done.display.evidence.isEnabled()
    assert f"HiResCAM {minus} LayerCAM" in done.labels_panel.proof.text()
    assert done.labels_panel.proof.toolTip()


def test_a_method_is_never_compared_with_itself(done):
    done.display.show_as.value = DIFFERENCE
    done.display.method.key = done.display.second.key
    assert done.display.second.key != done.display.method.key
    done.display.show_as.value = BOTH
    assert len(set(done.display.methods)) == 2


def test_the_grid_of_the_cells_follows_the_maps(done, viewer):
    done.display.cells.setChecked(True)
    layer = done.view.cell_grid.layer
    assert layer.visible
    before = layer.translate.copy(), layer.data.copy()
    done.display.placement.setCurrentIndex(done.display.placement.findData("stretch"))
    assert not all(
        np.array_equal(a, b) for a, b in zip(before, (layer.translate, layer.data), strict=True)
    )
    done.labels.set_ticked([])
    assert not layer.visible
    done.labels.set_ticked(["mass"])
    assert layer.visible
    viewer.layers.remove(layer)
    assert not done.display.cells.isChecked()


def test_a_ct_moved_by_hand_makes_the_maps_outdated(done):
    layer = done.ct.layer
    before = layer.translate.copy()
    layer.translate = before + 7
    assert "The CT has moved" in done.run_panel.notices_text
    layer.translate = before
    assert done.run_panel.notices_text == ""


def test_after_a_run_cells_have_their_size_in_the_patient(qtbot, widget, ct_file, tmp_path):
    open_ct(qtbot, widget, ct_file)
    load_model(qtbot, widget, make_model(tmp_path / "any", spacing_mm=None))
    assert "own spacing" in widget.model._cells.text()
    run(qtbot, widget)
    # Three slices of 6 mm; a stride of 2 over columns of 4 mm.
    assert "18 × 8 × 8 mm" in widget.model._cells.text()  # noqa: RUF001


def test_a_second_ct_is_looked_at_where_it_lies(qtbot, done, viewer, tmp_path):
    volume = make_volume(seed=1)
    affine = volume.affine.copy()
    affine[:3, 3] += (900.0, 0.0, 400.0)
    open_ct(qtbot, done, write_ct(tmp_path / "far.nii.gz", replace(volume, affine=affine)))
    low, high = (np.array(done.ct.layer.data_to_world(end)) for end in ((0, 0, 0), (23, 39, 39)))

    def in_it() -> bool:
        point, centre = np.array(viewer.dims.point), viewer.scene.camera.center
        inside = (point >= low - 1).all() and (point <= high + 1).all()
        return bool(inside and low[2] < centre[2] < high[2])

    qtbot.waitUntil(in_it)


def test_the_tests_are_of_the_map_that_is_looked_at(done):
    top = done.labels.ticked[0]
    assert f"{top}, HiResCAM" in done.test.status_text
    done.display.method.key = "gradcam"
    assert f"{top}, Grad-CAM" in done.test.status_text
    done.labels_panel.table.select("mass")
    assert "mass, Grad-CAM" in done.test.status_text


def test_without_maps_there_is_nothing_to_test(qtbot, done, tmp_path):
    load_model(qtbot, done, make_model(tmp_path / "other"))
    assert not any(button.isEnabled() for button in done.test.buttons.values())


def test_sections_fold_and_name_what_is_in_them(done):
    section = done.sections["ct"]
    section.unfolded = False
    assert not done.ct.isVisibleTo(done)
    assert "chest" in section.header.text()
    section.unfolded = True
    assert done.ct.isVisibleTo(done)
    assert done.sections["labels"].header.text().endswith("Labels of chest")


def test_side_by_side_shows_both_methods_and_can_be_left(done, viewer):
    done.display.show_as.value = BOTH
    top = done.labels.ticked[0]
    assert set(map_names(viewer)) == {f"HiResCAM: {top}", f"Grad-CAM: {top}"}
    assert viewer.canvas.grid.enabled
    assert done.ct.layer.name == "chest"
    done.display.show_as.value = ONE
    assert map_names(viewer) == [f"HiResCAM: {top}"]
    assert not viewer.canvas.grid.enabled


@pytest.mark.parametrize("how", ["the grid is put off", "the second CT is deleted"])
def test_side_by_side_that_the_user_ends_leaves_one_method(qtbot, done, viewer, how):
    done.display.show_as.value = BOTH
    if "grid" in how:
        viewer.canvas.grid.enabled = False
    else:
        viewer.layers.remove("chest (second view)")
    qtbot.waitUntil(lambda: not done.display.side_by_side)
    assert [layer.name.split(" (")[0] for layer in viewer.layers if layer.visible] == [
        "chest",
        f"HiResCAM: {done.labels.ticked[0]}",
    ]
    assert not viewer.canvas.grid.enabled


def test_the_sliders_act_on_the_shown_maps(done):
    (layer,) = done.maps.layers.values()
    done.display.threshold.setValue(60)
    done.display.opacity.setValue(35)
    assert layer.opacity == pytest.approx(0.35)
    assert layer.colormap.map(0.59)[0, 3] == 0


def test_the_3d_button_goes_there_and_back(done, viewer):
    done.display.three_d.click()
    assert viewer.dims.ndisplay == 3
    done.display.three_d.click()
    assert viewer.dims.ndisplay == 2


def test_napari_s_own_2d_button_ends_the_3d_view(done, viewer):
    done.display.three_d.click()
    viewer.dims.ndisplay = 2
    assert not done.display.three_d.isChecked()
    assert done.ct.layer.rendering == "mip"


def test_deleting_a_map_layer_takes_its_tick(done, viewer):
    (layer,) = done.maps.layers.values()
    viewer.layers.remove(layer)
    assert done.labels.ticked == ()
    assert not map_names(viewer)


def test_another_model_takes_the_scores_of_the_first_away(qtbot, done, viewer, tmp_path):
    load_model(qtbot, done, make_model(tmp_path / "other", labels=("fracture", "cyst")))
    assert done.explanation is None
    assert not map_names(viewer)
    assert done.labels.rowCount() == 2
    assert not done.display.isEnabled()


def test_the_ct_list_follows_the_viewer_and_leaves_maps_out(done, viewer):
    offered = done.ct.findChild(QComboBox)
    texts = [offered.itemText(row) for row in range(offered.count())]
    assert [text for text in texts if "CAM" in text] == []
    assert done.ct.layer.name == "chest"
    viewer.layers["chest"].name = "thorax"
    assert done.ct.layer.name == "thorax"
    viewer.layers.remove("thorax")
    assert done.ct.layer is None
    assert not done.run_panel.button.isEnabled()


def test_ticked_maps_are_saved_on_the_grid_of_the_file(qtbot, done, ct_file, tmp_path, told):
    import nibabel as nib

    done.labels.set_ticked(["mass"])
    done.display.show_as.value = BOTH
    placement = done.explanation.default_placement
    volume = done.record.volume
    out = tmp_path / "maps"
    done.saver.save(
        done.explanation, volume, done.labels.ticked, done.display.methods, placement, out
    )
    qtbot.waitUntil(lambda: done.saver.job is None, timeout=10000)
    stored = nib.load(ct_file)
    maps = sorted(out.glob("*.nii.gz"))
    assert len(maps) == 2
    for file in maps:
        image = nib.load(file)
        assert image.shape == stored.shape
        np.testing.assert_allclose(image.affine, stored.affine)
    scores = json.loads((out / "scores.json").read_text())
    assert {row["label"] for row in scores["scores"]} == set(LABELS)
    assert "Saved 3 files" in told()[-1]
