"""The panel that tests a map: what it found is shown for that map, and for no other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from napari.qt.threading import FunctionWorker
from napari.settings import NapariSettings
from napari.utils.notifications import notification_manager
from networks import ConvThenLinear, classifier_of, plain_input, random_ct
from qtpy.QtCore import Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_hirescam.attention import explain
from napari_hirescam.errors import AttributionError, Cancelled
from napari_hirescam.evaluation import explanation_tests
from napari_hirescam.plugin.explanation_test_panel import ExplanationTestPanel
from napari_hirescam.plugin.plot_canvas import theme_palette

TESTS = ("removal", "occlusion", "randomisation")


@pytest.fixture(scope="module")
def subject():
    """A CT, a model, and what it made of the CT."""
    torch.manual_seed(3)
    volume = random_ct((6, 8, 10))
    classifier = classifier_of(ConvThenLinear(), "pool", plain_input((6, 8, 10)), 3)
    return volume, classifier, explain(volume, classifier)


@pytest.fixture(autouse=True)
def settings(monkeypatch) -> NapariSettings:
    """Settings of napari's that are nobody's: no file is read or written."""
    settings = NapariSettings(config_path=None)
    monkeypatch.setattr("napari_hirescam.plugin.plot_canvas.get_settings", lambda: settings)
    return settings


@pytest.fixture
def panel(qtbot, subject) -> ExplanationTestPanel:
    panel = ExplanationTestPanel()
    qtbot.addWidget(panel)
    panel.resize(360, 700)
    panel.show()
    panel.set_subject(*subject, "label 0", "hirescam")
    yield panel
    panel.abandon()
    FunctionWorker.await_workers(10000)


def run(qtbot, panel: ExplanationTestPanel, key: str) -> None:
    panel.buttons[key].click()
    qtbot.waitUntil(lambda: panel.job is None, timeout=20000)


class Waiting:
    """Stands in for a test: computes until it is told to stop, then does as asked."""

    def __init__(self) -> None:
        self.started, self.ended = threading.Event(), threading.Event()

    def __call__(self, *_subject, progress, should_stop, **_more):
        progress(1, 10)
        self.started.set()
        patience = threading.Event()
        while not should_stop():
            patience.wait(0.005)
        self.ended.set()
        raise Cancelled("stopped")


@pytest.fixture
def waiting(monkeypatch) -> Waiting:
    waiting = Waiting()
    monkeypatch.setattr(explanation_tests, "removal_test", waiting)
    return waiting


def axes_titles(panel: ExplanationTestPanel) -> list[str]:
    return [ax.get_title() for ax in panel.view.canvas.figure.axes]


# -- testing -----------------------------------------------------------------------------------


def test_without_a_map_there_is_nothing_to_test(qtbot):
    panel = ExplanationTestPanel()
    qtbot.addWidget(panel)
    panel.show()
    assert not any(button.isEnabled() for button in panel.buttons.values())
    assert "Run the model" in panel.status_text
    assert not panel.view.isVisible()
    assert not panel.work_row.isVisible()


def test_removed_cells_are_plotted_beside_chance_with_the_sentence(qtbot, panel):
    run(qtbot, panel, "removal")
    assert axes_titles(panel) == [
        "Deletion: strongest cells set to zero",
        "Insertion: strongest cells put back",
    ]
    deletion, insertion = panel.view.canvas.figure.axes
    assert deletion.get_ylabel() == insertion.get_ylabel() == "logit"
    assert insertion.get_xlabel() == "cells changed (of 60)"
    legend = [text.get_text() for text in panel.view.canvas.figure.legends[0].get_texts()]
    assert legend == ["random (10 orders)", "strongest first", "as the map says"]
    drawn = deletion.get_lines()[1].get_ydata()
    assert list(drawn) == list(panel.finding.curves.deletion.logits)
    assert "the map is exact" in panel.view.words.text()
    assert panel.view.isVisible()


@pytest.mark.parametrize("key", TESTS)
def test_each_button_runs_its_test_and_stays_down(qtbot, panel, key):
    run(qtbot, panel, key)
    assert panel.finding.key == key
    assert [name for name, button in panel.buttons.items() if button.isChecked()] == [key]
    assert all(button.isEnabled() for button in panel.buttons.values())
    assert panel.finding.sentences()[0].split(";")[0] in panel.view.words.text()


def test_what_was_found_is_shown_again_without_computing_again(qtbot, panel, monkeypatch):
    run(qtbot, panel, "removal")
    run(qtbot, panel, "randomisation")
    monkeypatch.setattr(explanation_tests, "removal_test", None)  # calling it would fail
    panel.buttons["removal"].click()
    assert panel.job is None
    assert panel.finding.key == "removal"
    assert "Deletion" in axes_titles(panel)[0]
    assert panel.buttons["removal"].isChecked()
    assert not panel.buttons["randomisation"].isChecked()


def test_while_a_test_runs_there_is_progress_and_a_way_to_cancel(qtbot, panel, waiting):
    panel.buttons["removal"].click()
    qtbot.waitUntil(waiting.started.is_set)
    qtbot.waitUntil(lambda: panel.bar.maximum() == 10)
    assert panel.work_row.isVisible()
    assert not any(button.isEnabled() for button in panel.buttons.values())
    assert "Removing cells: label 0, HiResCAM" in panel.status_text
    panel.stop.click()
    qtbot.waitUntil(lambda: panel.job is None, timeout=5000)
    assert "cancelled" in panel.status_text
    assert panel.finding is None
    assert not panel.work_row.isVisible()
    assert panel.stop.isEnabled()


def test_a_failure_is_one_sentence(qtbot, panel, monkeypatch):
    def fails(*_subject, **_more):
        raise AttributionError("network", "it gave NaN", "Check the weights")

    monkeypatch.setattr(explanation_tests, "removal_test", fails)
    run(qtbot, panel, "removal")
    assert panel.status_text == "network: it gave NaN. Check the weights."
    assert str(notification_manager.records[-1].message) == panel.status_text
    assert all(button.isEnabled() for button in panel.buttons.values())


# -- another map -------------------------------------------------------------------------------


def test_another_label_drops_what_was_found_and_says_so(qtbot, panel, subject):
    run(qtbot, panel, "removal")
    panel.set_subject(*subject, "label 1", "hirescam")
    assert panel.finding is None
    assert not panel.view.isVisible()
    assert "What was found of label 0, HiResCAM is gone" in panel.status_text
    assert "Test the map of label 1, HiResCAM" in panel.status_text
    assert panel.view.canvas.figure.axes == []
    assert not any(button.isChecked() for button in panel.buttons.values())
    run(qtbot, panel, "removal")
    assert panel.finding.subject.label == "label 1"


def test_a_test_of_the_map_before_never_reports(qtbot, panel, subject, waiting):
    panel.buttons["removal"].click()
    qtbot.waitUntil(waiting.started.is_set)
    panel.set_subject(*subject, "label 0", "gradcam")
    assert panel.job is None
    assert "The test of label 0, HiResCAM was stopped." in panel.status_text
    qtbot.waitUntil(waiting.ended.is_set)
    FunctionWorker.await_workers(5000)
    qtbot.wait(0)
    assert "Test the map of label 0, Grad-CAM" in panel.status_text
    assert panel.buttons["removal"].isEnabled()


def test_the_same_map_again_keeps_everything(qtbot, panel, subject):
    run(qtbot, panel, "removal")
    before = panel.finding
    panel.set_subject(*subject, "label 0", "hirescam")
    assert panel.finding is before


def test_no_map_any_more(qtbot, panel):
    run(qtbot, panel, "removal")
    panel.set_subject(None, None, None, None, None)
    assert panel.finding is None
    assert "Run the model" in panel.status_text
    assert not panel.buttons["removal"].isEnabled()


def test_an_abandoned_panel_is_silent(qtbot, panel, waiting):
    panel.buttons["removal"].click()
    qtbot.waitUntil(waiting.started.is_set)
    panel.abandon()
    qtbot.waitUntil(waiting.ended.is_set)
    assert panel.job is None
    assert not panel.work_row.isVisible()


# -- the plot ----------------------------------------------------------------------------------


def test_the_panel_fits_a_narrow_dock(panel):
    assert panel.minimumSizeHint().width() <= 360


def test_a_double_click_opens_a_window_with_logit_and_probability_side_by_side(qtbot, panel):
    run(qtbot, panel, "removal")
    qtbot.mouseDClick(panel.view.canvas, Qt.MouseButton.LeftButton)
    window = panel.view.plot_window
    qtbot.waitUntil(lambda: len(window.canvas.figure.axes) == 4)
    assert window.isVisible()
    assert not window.isModal()
    labels = [ax.get_ylabel() for ax in window.canvas.figure.axes]
    assert labels == ["logit", "logit", "probability", "probability"]
    assert "label 0, HiResCAM" in window.windowTitle()
    assert window.words.text() == panel.view.words.text()


def test_the_window_follows_the_panel_and_closes_with_its_map(qtbot, panel, subject):
    run(qtbot, panel, "removal")
    panel.view.enlarge_button.click()
    run(qtbot, panel, "randomisation")
    window = panel.view.plot_window
    assert window.canvas.finding is panel.finding
    panel.set_subject(*subject, "label 2", "hirescam")
    assert not window.isVisible()


def test_the_wheel_over_a_plot_scrolls_what_the_panel_stands_in(qtbot, panel):
    run(qtbot, panel, "removal")
    canvas = panel.view.canvas
    child = canvas.childAt(canvas.rect().center())
    assert child is None  # the plot lets mouse and wheel through
    position = canvas.rect().center().toPointF()
    event = QWheelEvent(
        position, canvas.mapToGlobal(position), canvas.pos() * 0, canvas.pos() * 0,
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    canvas.wheelEvent(event)
    assert not event.isAccepted()


def test_plots_follow_the_theme(qtbot, panel, settings):
    settings.appearance.theme = "dark"
    run(qtbot, panel, "removal")
    figure = panel.view.canvas.figure
    assert sum(figure.get_facecolor()[:3]) < 1
    dark = theme_palette()
    settings.appearance.theme = "light"
    qtbot.waitUntil(lambda: sum(figure.get_facecolor()[:3]) > 2)
    assert theme_palette().strong != dark.strong


# -- saving ------------------------------------------------------------------------------------

FILES = [f"noise_label_0_hirescam_removal.{ending}" for ending in ("csv", "json", "png")]


def save(qtbot, panel, monkeypatch, folder: Path) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    panel.view.save_button.click()
    qtbot.waitUntil(lambda: panel.view.saver.job is None, timeout=20000)


def test_plot_and_table_are_saved(qtbot, panel, monkeypatch, tmp_path):
    run(qtbot, panel, "removal")
    save(qtbot, panel, monkeypatch, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES
    assert (tmp_path / FILES[2]).read_bytes().startswith(b"\x89PNG")
    assert str(notification_manager.records[-1].message).startswith("Saved noise_label_0")


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_files_are_replaced_only_after_a_yes(qtbot, panel, monkeypatch, tmp_path, answer):
    run(qtbot, panel, "removal")
    (tmp_path / FILES[0]).write_text("mine")
    button = getattr(QMessageBox.StandardButton, answer)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: button)
    save(qtbot, panel, monkeypatch, tmp_path)
    kept = (tmp_path / FILES[0]).read_text() == "mine"
    assert kept == (answer == "No")
