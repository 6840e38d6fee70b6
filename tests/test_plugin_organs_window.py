"""The section of organs in the dock widget: it hears of the CT, the model, runs and ticks."""

from __future__ import annotations

import numpy as np
import pytest
from plugin_cases import make_model, run

from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_tables import PARTITION
from napari_hirescam.plugin.measures_table import MAP

pytest_plugins = ["plugin_window"]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("model") / "tiny")
    file = folder / "model.yaml"
    file.write_text(f"{file.read_text()}organs:\n  nodule: [lungs]\n  mass: [heart]\n")
    return folder


@pytest.fixture
def found(monkeypatch):
    labels = np.zeros((24, 40, 40), np.uint8)
    labels[:, :, 8:16], labels[:, :, 16:24], labels[:, :, 24:32] = 1, 2, 3

    def find(volume, **_how):
        return OrganMap(labels, volume.affine, PARTITION, "PARTITION")

    monkeypatch.setattr("napari_hirescam.organs.find_organs", find)


def settle(qtbot, widget) -> None:
    panel = widget.organs
    qtbot.waitUntil(lambda: panel.finder.job is None and not panel.measuring.busy, timeout=20000)


def labels_in_table(widget) -> list[str]:
    model = widget.organs.measures
    return [model.data(model.index(row, MAP)).split("\n")[0] for row in range(model.rowCount())]


def test_the_section_follows_ct_model_run_and_ticks(qtbot, viewer, done, found):
    panel = done.organs
    assert panel.find_button.isEnabled()
    panel.find_button.click()
    settle(qtbot, done)
    assert panel.measured is not None
    assert {row.label for row in panel.measured.rows} == {"nodule", "mass"}
    done.labels.set_ticked(["mass"])
    assert labels_in_table(done) == ["mass", "mass"]
    done.labels.set_ticked(["nodule", "mass"])
    assert labels_in_table(done) == ["nodule", "nodule", "mass", "mass"]
    # A second run is measured anew, in the same masks.
    before = panel.measured
    run(qtbot, done)
    settle(qtbot, done)
    assert panel.measured is not before
    assert labels_in_table(done) == ["nodule", "nodule", "mass", "mass"]
    # Other places of the cells, other regions.
    done.display.placement.setCurrentIndex(done.display.placement.findData("stretch"))
    settle(qtbot, done)
    stretched = {(row.label, row.method): row.chance_share for row in panel.measured.rows}
    placed = {(row.label, row.method): row.chance_share for row in before.rows}
    assert stretched != placed
    # A closed widget has nothing going on.
    panel.values.setData(panel.values.index(0, 1), "1")
    assert panel.measuring.busy
    viewer.window.remove_dock_widget(done.parent())
    assert not panel.measuring.busy
