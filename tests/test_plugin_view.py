"""The command line's way in: a window with the CT, the widget and a run; and the demo."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from napari.qt.threading import FunctionWorker
from plugin_cases import make_model, write_ct

from napari_hirescam.errors import HirescamError, VolumeError
from napari_hirescam.plugin.opening import Opening
from napari_hirescam.plugin.view import load_and_run, open_viewer, window_with_widget
from napari_hirescam.sample import sample_ct_path, sample_model_path


def test_a_ct_and_a_model_on_the_command_line_are_run_at_once(make_napari_viewer, qtbot, tmp_path):
    # The fixture is asked for its clean settings; the viewer is the command's own.
    viewer, widget = window_with_widget(write_ct(tmp_path / "chest.nii.gz"), show=False)
    try:
        assert widget.ct.layer.name == "chest"
        load_and_run(widget, make_model(tmp_path / "tiny"))
        qtbot.waitUntil(lambda: widget.explanation is not None, timeout=20000)
        qtbot.waitUntil(lambda: widget.run_panel.job is None)
        assert len(widget.maps.layers) == 1
    finally:
        FunctionWorker.await_workers(5000)
        viewer.close()


def test_a_model_waits_for_the_ct_that_is_being_opened(make_napari_viewer, qtbot, tmp_path):
    viewer, widget = window_with_widget(show=False)
    try:
        Opening.of(viewer).open([write_ct(tmp_path / "chest.nii.gz")])
        load_and_run(widget, make_model(tmp_path / "tiny"))
        qtbot.waitUntil(lambda: widget.explanation is not None, timeout=20000)
        qtbot.waitUntil(lambda: widget.run_panel.job is None)
        assert widget.ct.layer.name == "chest"
    finally:
        FunctionWorker.await_workers(5000)
        viewer.close()


@pytest.mark.parametrize("open_it", [window_with_widget, open_viewer])
def test_a_path_without_a_scan_opens_no_window(make_napari_viewer, tmp_path, open_it):
    with pytest.raises(VolumeError, match=r"none\.nii"):
        open_it(tmp_path / "none.nii", show=False)


def test_the_demo_writes_its_pictures_maps_and_scores(tmp_path):
    try:
        sample_ct_path()
        sample_model_path()
    except HirescamError as missing:
        pytest.skip(str(missing))
    from PIL import Image

    code = (
        "import sys; from pathlib import Path; from napari_hirescam.plugin.demo import run_demo; "
        "run_demo(Path(sys.argv[1]))"
    )
    # A process of its own: the demo opens and closes a whole application.
    subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code, str(tmp_path)], check=True, timeout=240, env=os.environ
    )
    for name in ("axial_2d.png", "3d.png"):
        picture = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert min(picture.shape[:2]) > 500
        middle = picture[200:-200, 400:-500]
        assert middle.std() > 10  # neither black nor blank
    assert (tmp_path / "scores.json").is_file()
    assert len(list(tmp_path.glob("*_hirescam.nii.gz"))) >= 1
