"""Take the pictures of the docs that show the sample model, after it was trained anew.

    python docs/sample_pictures.py [NAME ...]

(on Linux without a display: under ``xvfb-run -a -s "-screen 0 1600x1000x24"``). Opens the sample
CT in a real window, clicks as a user would, and replaces docs/screenshot.png and the pictures
named below in docs/images. Prints what the panel said, for the words of docs/tour.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_hirescam.plugin.layer_dialog import LayerDialog
from napari_hirescam.plugin.view import window_with_widget
from napari_hirescam.sample import sample_ct_path, sample_model_path

DOCS = Path(__file__).resolve().parent
FINDING, OTHER = "cardiomegaly", "mass"
EARLIER_LAYER = "conv2d.0"
_PATIENCE_S = 300
_COLOURS = 256


def turn(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def until(condition: Callable[[], bool]) -> None:
    """Let the window live until something has happened."""
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("the window did not get on")
        turn(0.05)
    turn(0.5)


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture in a palette of its own, which takes a third of the room.

    Rare and strong colours count for more than their area, or ticks and maps would lose theirs.
    """
    rgb = picture.convert("RGB")
    colours, counts = np.unique(np.asarray(rgb).reshape(-1, 3), axis=0, return_counts=True)
    strength = 1 + np.ptp(colours.astype(int), axis=1) / 40
    times = np.clip(np.ceil(np.sqrt(counts) * strength), 1, 400).astype(int)
    sample = np.repeat(colours, times, axis=0)
    n_rows = -(-len(sample) // 1000)
    sample = np.resize(sample, (n_rows * 1000, 3)).reshape(n_rows, 1000, 3)
    palette = Image.fromarray(sample).quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=8)
    rgb.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path.name, picture.size)


class Window:
    """The sample CT with the sample model's maps in a window of a given size."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.viewer, self.widget = window_with_widget(sample_ct_path())
        self.viewer.window.resize(*size)
        self.widget.model.load(sample_model_path())
        until(lambda: not self.widget.model.busy and self.widget.run_panel.button.isEnabled())
        self.run()

    def run(self) -> None:
        """Press Run."""
        self.widget.run()
        until(lambda: self.widget.run_panel.job is None)

    def tick(self, *wanted: str) -> None:
        """Show the maps of these labels."""
        labels = self.widget.labels
        for row in range(labels.rowCount()):
            index = labels.index(row, 0)
            shown = index.data(Qt.ItemDataRole.DisplayRole) in wanted
            state = Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked
            labels.setData(index, state, Qt.ItemDataRole.CheckStateRole)
        self.widget.labels_panel.table.select(wanted[-1])
        self.widget.go_to_peak(wanted[0])
        turn(0.5)

    def show_as(self, what: str) -> None:
        """Choose "one map" or "difference"."""
        self.widget.display.show_as.value = what
        self.widget.display._on_methods_changed(0)
        turn(0.5)

    def unfold(self, **sections: bool) -> None:
        """Unfold or fold sections of the panel."""
        for name, unfolded in sections.items():
            self.widget.sections[name].unfolded = unfolded
        turn(0.5)

    def take(self, name: str) -> None:
        """Take the whole window, the cursor in the middle of what is shown."""
        viewer = self.viewer
        if viewer.dims.ndisplay == 2:
            viewer.fit_to_view(layers=[self.widget.ct.layer], margin=0)
        for _ in range(3):  # the readout waits for the cursor to rest
            viewer.mouse_over_canvas = False
            viewer.mouse_over_canvas = True
            viewer.cursor.position = tuple(viewer.dims.point)
            turn(0.7)
        for layer in viewer.layers:
            layer._update_thumbnail()
        turn(0.5)
        print(self.widget.labels_panel.proof.text())
        save(Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)), path_of(name))


def path_of(name: str) -> Path:
    """Where a picture lies."""
    return DOCS / "screenshot.png" if name == "screenshot" else DOCS / "images" / f"{name}.png"


def screenshot(window: Window) -> None:
    window.tick(FINDING)
    window.widget.display.three_d.setChecked(True)
    turn(1)
    window.take("screenshot")
    window.widget.display.three_d.setChecked(False)


def exact(window: Window) -> None:
    window.tick(FINDING)
    window.take("exact")


def target_layers(window: Window) -> None:
    classifier, layer = window.widget.model.classifier, window.widget.ct.layer
    if classifier is None or layer is None:
        raise SystemExit("there is no model")
    dialog = LayerDialog(classifier, None, window.widget)
    dialog.show()
    until(lambda: not dialog.busy)
    turn(1)
    save(Image.fromarray(_grabbed(dialog)), path_of("target-layers"))
    dialog.reject()


def deletion_curve(window: Window) -> None:
    window.tick(FINDING)
    window.unfold(display=False, test=True)
    window.widget.test.buttons["removal"].click()
    until(lambda: window.widget.test.job is None)
    window.take("deletion-curve")
    window.unfold(display=True, test=False)


def difference_sample(window: Window) -> None:
    window.tick(OTHER)
    window.show_as("difference")
    window.take("difference-sample")
    window.show_as("one map")


def organ_measures(window: Window) -> None:
    window.tick(FINDING, OTHER)
    window.unfold(ct=False, view=False, model=False, display=False, organs=True)
    window.widget.organs.find_button.click()
    until(lambda: window.widget.organs.measured is not None)
    window.take("organ_measures")
    masks = window.widget.organs.mask_layer
    if masks is not None:  # not for the next picture
        window.viewer.layers.remove(masks)
    window.unfold(ct=True, model=True, display=True, organs=False)


def approximation(window: Window) -> None:
    window.widget.model.choose_layer(EARLIER_LAYER)
    until(lambda: not window.widget.model.busy)
    window.run()
    window.tick(FINDING)
    window.take("approximation")


def _grabbed(dialog: LayerDialog) -> NDArray[np.uint8]:
    from napari._qt.utils import QImg2array

    return QImg2array(dialog.grab().toImage())


PICTURES: dict[str, Callable[[Window], None]] = {
    "screenshot": screenshot,
    "exact": exact,
    "target-layers": target_layers,
    "deletion-curve": deletion_curve,
    "difference-sample": difference_sample,
    "organ_measures": organ_measures,
    "approximation": approximation,
}


def main() -> None:
    """Take the pictures that were named, or all."""
    window = Window((1600, 1000))
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name](window)
    window.viewer.close()
    napari.Viewer.close_all()


if __name__ == "__main__":
    main()
