"""The sample model on the sample CT: on the screen, or as pictures and files in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QApplication

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.ct_layers import volume_from_layer
from napari_hirescam.plugin.view import load_and_run, window_with_widget
from napari_hirescam.plugin.widget import HiResCAMWidget
from napari_hirescam.sample import sample_ct_path, sample_model_path

if TYPE_CHECKING:
    import napari

_WINDOW = (1440, 900)
# Labels as probable as this are said to be in the CT.
_FOUND = 0.5
# Layouts and textures need some turns of the event loop before they are on the screen.
_TURNS = 12


def run_demo(out: Path | None = None) -> list[Path]:
    """Open the sample CT, run the sample model and show its most probable label.

    Parameters
    ----------
    out
        Folder for `axial_2d.png`, `3d.png`, the maps as NIfTI on the CT's own grid and
        `scores.json`; the window is then closed. Without it the window stays open.

    Returns
    -------
    The files written.

    Raises
    ------
    HirescamError
        The samples are missing, or the run failed.
    """
    import napari

    model = sample_model_path()
    viewer, widget = window_with_widget(sample_ct_path())
    viewer.window.resize(*_WINDOW)
    if out is None:
        load_and_run(widget, model)
        napari.run()
        return []
    try:
        _run_to_the_end(widget, model)
        out.mkdir(parents=True, exist_ok=True)
        return [*_take_pictures(viewer, widget, out), *_save(widget, out)]
    finally:
        viewer.close()


def _run_to_the_end(widget: HiResCAMWidget, model: Path) -> None:
    errors: list[HirescamError] = []
    loop = QEventLoop()

    def give_up(error: HirescamError) -> None:
        errors.append(error)
        loop.quit()

    widget.model.failed.connect(give_up)
    widget.run_panel.failed.connect(give_up)
    widget.run_panel.explained.connect(loop.quit)
    load_and_run(widget, model)
    loop.exec()
    if errors:
        raise errors[0]


def _take_pictures(viewer: napari.Viewer, widget: HiResCAMWidget, out: Path) -> list[Path]:
    axial, three_d = out / "axial_2d.png", out / "3d.png"
    _draw()
    viewer.screenshot(str(axial), canvas_only=False, flash=False)
    widget.display.three_d.setChecked(True)
    _draw()
    viewer.screenshot(str(three_d), canvas_only=False, flash=False)
    widget.display.three_d.setChecked(False)
    return [axial, three_d]


def _save(widget: HiResCAMWidget, out: Path) -> list[Path]:
    from napari_hirescam.attention.export import save_maps

    explanation, layer = widget.explanation, widget.ct.layer
    if explanation is None or layer is None:
        return []
    ranked = explanation.ranked()
    found = [k for k in ranked if explanation.probabilities[explanation.index(k)] >= _FOUND]
    return save_maps(
        explanation,
        volume_from_layer(layer),
        found or ranked[:1],
        ("hirescam", "gradcam"),
        out,
        overwrite=True,
    )


def _draw() -> None:
    for _ in range(_TURNS):
        QApplication.processEvents()
