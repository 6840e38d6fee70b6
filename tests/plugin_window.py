"""A window with the dock widget in it, before, during and after a run: fixtures.

Test modules take them by ``pytest_plugins = ["plugin_window"]``.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from napari.qt.threading import FunctionWorker
from napari.utils.notifications import notification_manager
from plugin_cases import load_model, make_model, open_ct, run, write_ct

from napari_hirescam.errors import Cancelled
from napari_hirescam.plugin.widget import HiResCAMWidget


@pytest.fixture(scope="session")
def ct_file(tmp_path_factory) -> Path:
    return write_ct(tmp_path_factory.mktemp("ct") / "chest.nii.gz")


@pytest.fixture(scope="session")
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


@pytest.fixture
def ready(qtbot, widget, ct_file, model_folder) -> HiResCAMWidget:
    """The widget with a CT and a model."""
    open_ct(qtbot, widget, ct_file)
    load_model(qtbot, widget, model_folder)
    return widget


@pytest.fixture
def done(qtbot, ready) -> HiResCAMWidget:
    """The widget after a run."""
    run(qtbot, ready)
    return ready


class _Waiting:
    """Stands in for `explain`: computes until it is told to stop."""

    def __init__(self) -> None:
        self.started = threading.Event()

    def __call__(self, _volume, _classifier, *, progress, should_stop, **_options):
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
