"""The dock widget when things go wrong or are called off: one sentence, and ready again."""

from __future__ import annotations

import numpy as np
import yaml
from napari.qt.threading import FunctionWorker
from plugin_cases import load_model, make_model, map_names, open_ct, run, write_ct
from qtpy.QtWidgets import QDialog

from napari_hirescam.plugin.trust_dialog import TrustDialog

pytest_plugins = ["plugin_window"]

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


def test_run_becomes_cancel_and_keeps_what_was_shown(qtbot, done, viewer, endless):
    before, names = done.explanation, map_names(viewer)
    button = done.run_panel.button
    button.click()
    qtbot.waitUntil(endless.started.is_set)
    assert button.text() == "Cancel"
    button.click()
    assert button.text() == "Cancelling…"
    qtbot.waitUntil(lambda: done.run_panel.job is None)
    assert (button.text(), button.isEnabled()) == ("Run", True)
    assert done.explanation is before
    assert map_names(viewer) == names


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
    open_ct(qtbot, ready, second)
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
    open_ct(qtbot, widget, ct_file)
    load_model(qtbot, widget, folder)
    assert told() == []
    run(qtbot, widget)
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
    load_model(qtbot, widget, folder)
    assert len(asked) == 1
    assert not trace.exists()
    assert widget.model.classifier is None
    (message,) = told()
    assert "agreed" in message


def test_a_bad_model_folder_is_told_and_the_old_model_stays(qtbot, ready, tmp_path, told):
    before = ready.model.classifier
    load_model(qtbot, ready, tmp_path)
    assert ready.model.classifier is before
    (message,) = told()
    assert "model.yaml" in message


def test_a_bad_ct_is_told_and_adds_nothing(qtbot, widget, viewer, tmp_path, told):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"\x1f\x8b not really")
    open_ct(qtbot, widget, bad)
    assert not viewer.layers
    (message,) = told()
    assert "bad.nii.gz" in message


def test_a_layer_that_is_no_ct_is_told_before_anything_runs(qtbot, ready, viewer, told):
    ready.ct.choose(viewer.add_image(np.zeros((2, 4, 5, 6)), name="film", units="mm"))
    ready.run_panel.button.click()
    assert ready.run_panel.job is None
    (message,) = told()
    assert message.startswith("film: ")


def test_saving_over_existing_files_is_told_and_changes_nothing(qtbot, done, tmp_path, told):
    placement = done.explanation.default_placement
    for _ in range(2):
        done.saver.save(
            done.explanation,
            done.record.volume,
            ["mass"],
            ["hirescam"],
            placement,
            tmp_path / "maps",
        )
        qtbot.waitUntil(lambda: done.saver.job is None, timeout=10000)
    saved, refused = told()
    assert "Saved 2 files" in saved
    assert "already holds" in refused
