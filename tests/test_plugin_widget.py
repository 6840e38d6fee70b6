"""The dock widget in a real window: from a file to maps, and through every failure."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from napari.qt.threading import FunctionWorker
from napari.utils.notifications import notification_manager
from plugin_cases import LABELS, make_model, write_ct
from qtpy.QtWidgets import QComboBox, QDialog

from napari_hirescam.errors import Cancelled
from napari_hirescam.plugin.display_panel import BOTH
from napari_hirescam.plugin.trust_dialog import TrustDialog
from napari_hirescam.plugin.widget import HiResCAMWidget

RAISES_AT_RUN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 3, padding=1)
        self.fc = nn.Linear(2, 1)

    def forward(self, x):
        if x.device.type != "meta":
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return self.fc(self.conv(x).mean(dim=(2, 3, 4)))
"""


@pytest.fixture(scope="module")
def ct_file(tmp_path_factory) -> Path:
    return write_ct(tmp_path_factory.mktemp("ct") / "chest.nii.gz")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def viewer(make_napari_viewer):
    yield make_napari_viewer()
    FunctionWorker.await_workers(10000)


@pytest.fixture
def widget(viewer) -> HiResCAMWidget:
    widget = HiResCAMWidget(viewer)
    viewer.window.add_dock_widget(widget, name="HiResCAM")
    return widget


@pytest.fixture
def told():
    """Messages that reach the user while the test runs."""
    before = len(notification_manager.records)
    return lambda: [str(record.message) for record in notification_manager.records[before:]]


def _open_ct(qtbot, widget, path) -> None:
    widget.ct.open_path(path)
    qtbot.waitUntil(lambda: not widget.ct.busy, timeout=10000)


def _load_model(qtbot, widget, path) -> None:
    widget.model.load(path)
    qtbot.waitUntil(lambda: not widget.model.busy, timeout=20000)


def _run(qtbot, widget) -> None:
    widget.run_panel.button.click()
    qtbot.waitUntil(lambda: widget.run_panel.job is None, timeout=20000)


@pytest.fixture
def ready(qtbot, widget, ct_file, model_folder) -> HiResCAMWidget:
    """The widget with a CT and a model."""
    _open_ct(qtbot, widget, ct_file)
    _load_model(qtbot, widget, model_folder)
    return widget


@pytest.fixture
def done(qtbot, ready) -> HiResCAMWidget:
    """The widget after a run."""
    _run(qtbot, ready)
    return ready


def _map_names(viewer) -> list[str]:
    return [layer.name.split(" (")[0] for layer in viewer.layers if "CAM: " in layer.name]


class _Waiting:
    """Stands in for `explain`: computes until it is told to stop."""

    def __init__(self) -> None:
        self.started = threading.Event()

    def __call__(self, _volume, _classifier, *, at_mm, progress, should_stop):
        progress(1, 10)
        self.started.set()
        patience = threading.Event()
        while not should_stop():
            patience.wait(0.005)
        raise Cancelled("stopped")


@pytest.fixture
def endless(monkeypatch) -> _Waiting:
    waiting = _Waiting()
    monkeypatch.setattr("napari_hirescam.attention.explain", waiting)
    return waiting


def test_the_panel_says_what_is_missing_for_a_run(qtbot, widget, ct_file, model_folder):
    assert "Open a CT" in widget.run_panel.hint_text
    assert not widget.run_panel.button.isEnabled()
    _open_ct(qtbot, widget, ct_file)
    assert "Open a model" in widget.run_panel.hint_text
    _load_model(qtbot, widget, model_folder)
    assert widget.run_panel.hint_text == ""
    assert widget.run_panel.button.isEnabled()


def test_a_loaded_model_is_described(ready):
    text = ready.model.facts_text
    assert "3 labels" in text
    assert "conv2d.1" in text
    assert "12 × 8 × 8 mm" in text  # noqa: RUF001 - three slices of 4 mm; stride 2 in the plane
    assert "Faithful:" in text


def test_a_run_ticks_the_top_label_and_goes_to_its_peak(done, viewer):
    top = done.explanation.ranked()[0]
    assert done.labels.ticked == (top,)
    assert _map_names(viewer) == [f"HiResCAM: {top}"]
    attention = done.explanation.map(top)
    peak = attention.grid.to_world(
        np.unravel_index(attention.values.argmax(), attention.values.shape)
    )
    steps = [r.step for r in viewer.dims.range]
    assert (np.abs(np.array(viewer.dims.point) - peak) <= steps).all()
    assert "verified" in done.proof.text()


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
    assert _map_names(viewer) == ["HiResCAM: nodule", "HiResCAM: mass"]
    done.display.method.value = "gradcam"
    assert _map_names(viewer) == ["Grad-CAM: nodule", "Grad-CAM: mass"]
    done.labels.set_ticked(["effusion"])
    assert _map_names(viewer) == ["Grad-CAM: effusion"]
    done.display.view.value = "signed"
    (layer,) = done.maps.layers.values()
    low, high = layer.contrast_limits
    assert low == -high


def test_side_by_side_shows_both_methods_and_can_be_left(done, viewer):
    done.display.method.value = BOTH
    top = done.labels.ticked[0]
    assert set(_map_names(viewer)) == {f"HiResCAM: {top}", f"Grad-CAM: {top}"}
    assert viewer.canvas.grid.enabled
    assert done.ct.layer.name == "chest"
    done.display.method.value = "hirescam"
    assert _map_names(viewer) == [f"HiResCAM: {top}"]
    assert not viewer.canvas.grid.enabled


@pytest.mark.parametrize("how", ["the grid is put off", "the second CT is deleted"])
def test_side_by_side_that_the_user_ends_leaves_one_method(qtbot, done, viewer, how):
    done.display.method.value = BOTH
    if "grid" in how:
        viewer.canvas.grid.enabled = False
    else:
        viewer.layers.remove("chest (second view)")
    qtbot.waitUntil(lambda: not done.display.side_by_side)
    assert [layer.name.split(" (")[0] for layer in viewer.layers] == [
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
    assert not _map_names(viewer)


def test_another_model_takes_the_scores_of_the_first_away(qtbot, done, viewer, tmp_path):
    _load_model(qtbot, done, make_model(tmp_path / "other", labels=("fracture", "cyst")))
    assert done.explanation is None
    assert not _map_names(viewer)
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


def test_run_becomes_cancel_and_keeps_what_was_shown(qtbot, done, viewer, endless):
    before, names = done.explanation, _map_names(viewer)
    button = done.run_panel.button
    button.click()
    qtbot.waitUntil(endless.started.is_set)
    assert button.text() == "Cancel"
    button.click()
    assert button.text() == "Cancelling…"
    qtbot.waitUntil(lambda: done.run_panel.job is None)
    assert (button.text(), button.isEnabled()) == ("Run", True)
    assert done.explanation is before
    assert _map_names(viewer) == names


def test_removing_the_ct_stops_its_run_with_one_sentence(qtbot, ready, viewer, endless, told):
    ready.run_panel.button.click()
    qtbot.waitUntil(endless.started.is_set)
    viewer.layers.remove("chest")
    assert ready.run_panel.job is None
    (message,) = told()
    assert "chest was removed" in message
    FunctionWorker.await_workers(5000)
    assert ready.explanation is None


def test_taking_the_widget_out_of_the_window_stops_its_run(qtbot, ready, viewer, endless, told):
    ready.run_panel.button.click()
    qtbot.waitUntil(endless.started.is_set)
    job = ready.run_panel.job
    viewer.window.remove_dock_widget(ready)
    assert job.stopping
    viewer.layers.remove("chest")  # nobody listens any more
    assert told() == []
    ready.deleteLater()


def test_closing_the_window_stops_the_run(qtbot, ready, viewer, endless):
    ready.run_panel.button.click()
    qtbot.waitUntil(endless.started.is_set)
    job = ready.run_panel.job
    viewer.close()
    qtbot.waitUntil(lambda: job.stopping)
    FunctionWorker.await_workers(5000)


def test_a_ct_that_is_opened_becomes_the_chosen_one(qtbot, ready, viewer, tmp_path):
    second = write_ct(tmp_path / "second.nii.gz")
    viewer.add_image(np.zeros((3, 3, 3)), name="not a CT of ours", units="mm")
    assert ready.ct.layer.name == "chest"
    _open_ct(qtbot, ready, second)
    assert ready.ct.layer.name == "second"


def test_a_model_that_raises_while_it_runs_is_told_in_one_sentence(
    qtbot, widget, ct_file, tmp_path, told, monkeypatch
):
    import torch

    monkeypatch.setattr(TrustDialog, "exec", lambda _self: QDialog.DialogCode.Accepted)
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "net.py").write_text(RAISES_AT_RUN)
    scope: dict[str, object] = {}
    exec(compile(RAISES_AT_RUN, "net.py", "exec"), scope)  # noqa: S102 - this file's own text
    torch.save(scope["Net"]().state_dict(), folder / "w.pt")
    spec = {
        "name": "Broken",
        "architecture": {"python": "net.py", "callable": "Net"},
        "weights": "w.pt",
        "labels": ["x"],
        "input": {"shape": [20, 40, 40], "spacing_mm": [6, 4, 4]},
        "target_layer": "conv",
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(spec))
    _open_ct(qtbot, widget, ct_file)
    _load_model(qtbot, widget, folder)
    assert told() == []
    _run(qtbot, widget)
    (message,) = told()
    assert "mat1 and mat2 shapes cannot be multiplied" in message
    assert "\n" not in message
    assert widget.run_panel.button.text() == "Run"
    assert widget.run_panel.button.isEnabled()


def test_code_of_a_model_runs_only_after_a_yes(qtbot, widget, tmp_path, told, monkeypatch):
    asked: list[str] = []

    def refuse(dialog):
        asked.append(dialog.windowTitle())
        return QDialog.DialogCode.Rejected

    monkeypatch.setattr(TrustDialog, "exec", refuse)
    folder = make_model(tmp_path / "foreign")
    trace = tmp_path / "was-run"
    (folder / "net.py").write_text(f"open({str(trace)!r}, 'w').close()\nNet = None\n")
    spec = yaml.safe_load((folder / "model.yaml").read_text())
    spec["architecture"] = {"python": "net.py", "callable": "Net"}
    (folder / "model.yaml").write_text(yaml.safe_dump(spec))
    _load_model(qtbot, widget, folder)
    assert len(asked) == 1
    assert not trace.exists()
    assert widget.model.classifier is None
    (message,) = told()
    assert "agreed" in message


def test_a_bad_model_folder_is_told_and_the_old_model_stays(qtbot, ready, tmp_path, told):
    before = ready.model.classifier
    _load_model(qtbot, ready, tmp_path)
    assert ready.model.classifier is before
    (message,) = told()
    assert "model.yaml" in message


def test_a_bad_ct_is_told_and_adds_nothing(qtbot, widget, viewer, tmp_path, told):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"\x1f\x8b not really")
    _open_ct(qtbot, widget, bad)
    assert not viewer.layers
    (message,) = told()
    assert "bad.nii.gz" in message


def test_a_layer_that_is_no_ct_is_told_before_anything_runs(qtbot, ready, viewer, told):
    ready.ct.choose(viewer.add_image(np.zeros((2, 4, 5, 6)), name="film", units="mm"))
    ready.run_panel.button.click()
    assert ready.run_panel.job is None
    (message,) = told()
    assert message.startswith("film: ")


def test_a_patch_model_looks_at_the_selected_point_or_where_the_slices_stand(
    qtbot, widget, viewer, ct_file, tmp_path
):
    _open_ct(qtbot, widget, ct_file)
    _load_model(
        qtbot,
        widget,
        make_model(tmp_path / "patch", shape=(12, 40, 40), fit="window"),
    )
    viewer.dims.set_point((0, 1, 2), (-240.0, -8.0, 6.0))
    assert "position of the slices" in widget.run_panel.hint_text
    points = viewer.add_points([[-252.0, 4.0, 10.0]], name="here", ndim=3, units="mm")
    points.selected_data = {0}
    assert "L 10, P 4, S 252" in widget.run_panel.hint_text
    _run(qtbot, widget)
    grid = widget.explanation.input_grid
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    assert (np.abs(middle - (-252, 4, 10)) <= grid.spacing_mm).all()


def test_ticked_maps_are_saved_on_the_grid_of_the_file(qtbot, done, ct_file, tmp_path, told):
    import nibabel as nib

    done.labels.set_ticked(["mass"])
    done.display.method.value = BOTH
    placement = done.explanation.default_placement
    volume = done._volume
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


def test_saving_over_existing_files_is_told_and_changes_nothing(qtbot, done, tmp_path, told):
    placement = done.explanation.default_placement
    for _ in range(2):
        done.saver.save(
            done.explanation, done._volume, ["mass"], ["hirescam"], placement, tmp_path / "maps"
        )
        qtbot.waitUntil(lambda: done.saver.job is None, timeout=10000)
    saved, refused = told()
    assert "Saved 2 files" in saved
    assert "already holds" in refused
