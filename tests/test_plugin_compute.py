"""Device and precision: what is offered, and what a run is told."""

from __future__ import annotations

import pytest
from plugin_cases import run

from napari_hirescam.plugin.compute_panel import ComputePanel, ComputeSettings, as_placed

pytest_plugins = ["plugin_window"]


@pytest.fixture
def panel(qtbot) -> ComputePanel:
    panel = ComputePanel()
    qtbot.addWidget(panel)
    return panel


def test_the_fastest_device_is_taken_by_itself_and_named(panel):
    panel.offer(["cuda", "cpu"])
    assert "CUDA" in panel.device.itemText(0)
    assert panel.settings == ComputeSettings(None, mixed_precision=False)
    panel.device.setCurrentIndex(panel.device.findData("cpu"))
    assert panel.settings.device == "cpu"


def test_mixed_precision_is_for_accelerators_only(panel):
    panel.offer(["cuda", "cpu"])
    assert panel.mixed.isEnabled()
    assert not panel.settings.mixed_precision
    panel.mixed.setChecked(True)
    assert panel.settings.mixed_precision
    panel.device.setCurrentIndex(panel.device.findData("cpu"))
    assert not panel.mixed.isEnabled()
    assert not panel.settings.mixed_precision
    assert "no faster" in panel._why.text()


def test_without_an_accelerator_mixed_precision_says_why_it_is_off(panel):
    panel.offer(["cpu"])
    assert not panel.mixed.isEnabled()
    assert "accelerators" in panel._why.text()


def test_a_faster_copy_is_run_on_request_and_the_panel_says_so(qtbot, ready):
    run(qtbot, ready)
    before = ready.explanation
    assert not any("faster" in note for note in before.provenance["notes"])
    ready.compute.prepared.setChecked(True)
    run(qtbot, ready)
    after = ready.explanation
    assert any("faster" in note for note in after.provenance["notes"])
    assert after.logits == pytest.approx(before.logits, rel=1e-4, abs=1e-5)


def test_mixed_precision_goes_without_the_faster_copy(panel):
    panel.offer(["cuda", "cpu"])
    panel.prepared.setChecked(True)
    assert panel.settings.prepared
    panel.mixed.setChecked(True)
    assert not panel.settings.prepared
    assert not panel.prepared.isEnabled()


def test_a_classifier_that_is_on_the_device_stays_itself(ready):
    classifier = ready.model.classifier
    assert ComputeSettings("cpu").place(classifier) is classifier


def test_classifiers_that_share_a_network_know_where_it_went(ready):
    first = ready.model.classifier
    second = first.with_target_layer("conv2d.0")
    # 'meta' stands for a device this machine may not have.
    moved = ComputeSettings("meta").place(first)
    assert moved.device == "meta"
    assert next(moved.network.parameters()).device.type == "meta"
    assert as_placed(second).device == "meta"
    assert as_placed(second).spec.target_layer == "conv2d.0"
    ready.model.note_device()
    assert ready.model.classifier.device == "meta"


def test_the_devices_are_looked_up_when_the_section_is_opened(ready):
    assert ready.compute.device.count() == 1
    ready.sections["advanced"].unfolded = True
    assert ready.compute.device.findData("cpu") > 0


def test_what_is_chosen_reaches_the_run_and_its_notes_reach_the_panel(qtbot, done, monkeypatch):
    from napari_hirescam.attention import explain

    asked: dict[str, object] = {}

    def watched(volume, classifier, **options):
        asked.update(options)
        explanation = explain(volume, classifier, **{**options, "mixed_precision": False})
        explanation.provenance["notes"].append("The memory of cuda ran out.")
        return explanation

    monkeypatch.setattr("napari_hirescam.attention.explain", watched)
    done.compute.offer(["cuda", "cpu"])
    done.compute.mixed.setChecked(True)
    done.compute.device.setCurrentIndex(done.compute.device.findData("cpu"))
    run(qtbot, done)
    assert asked["mixed_precision"] is False  # of no use on the CPU
    assert {"hirescam", "gradcam", "layercam"} <= set(asked["methods"])
    assert "The memory of cuda ran out." in done.run_panel.notices_text
