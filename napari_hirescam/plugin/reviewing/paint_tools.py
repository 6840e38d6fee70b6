"""Brush, eraser, fill and lasso, and the range of CT numbers that they keep to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.reviewing.editable_mask import limit_holds
from napari_hirescam.plugin.reviewing.hu_range import (
    HIGHEST_HU,
    LOWEST_HU,
    RANGES,
    HuRange,
    usual_range,
)
from napari_hirescam.plugin.switch import Switch
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.editable_mask import EditableMask

#: napari's names of the tools: text and key.
TOOLS = {
    "paint": ("Brush", "B"),
    "erase": ("Eraser", "X"),
    "fill": ("Fill", "G"),
    "polygon": ("Lasso", "L"),
    "pan_zoom": ("Move", "V"),
}
_TIPS = {
    "paint": "Paint; with the right button, encircle and fill",
    "erase": "Erase",
    "fill": "Fill what hangs together, in the HU range if one is set",
    "polygon": "Draw an outline point by point; a double click fills it",
    "pan_zoom": "Move and zoom the picture",
}
_LARGEST_BRUSH = 200
_FIRST_BRUSH_MM = 10.0
_OWN = "Own range"


class PaintTools(QWidget):
    """Sets the tools of the layer that is edited, and shows what napari's own controls set."""

    def __init__(self) -> None:
        super().__init__()
        self._layer: EditableMask | None = None
        self._organ: str | None = None
        self._brush_mm = _FIRST_BRUSH_MM
        self._events = ViewerEvents()
        self.destroyed.connect(self._events.disconnect)
        self.tool = Switch(
            [(key, f"{text} {letter}", _TIPS[key]) for key, (text, letter) in TOOLS.items()]
        )
        self.brush = QSpinBox()
        self.brush.setRange(1, _LARGEST_BRUSH)
        self.brush.setToolTip("Diameter of brush and eraser ([ and ])")
        give_keys_back(self.brush)
        self.brush_mm = QLabel()
        self.dimensions = Switch(
            [("2", "2-D", "Brush and fill within the slice (T)"), ("3", "3-D", "A ball (T)")]
        )
        self.limited = QCheckBox("Only paint on")
        self.limited.setToolTip("Leave voxels outside of this range of CT numbers alone (H)")
        self.preset = QComboBox()
        self.preset.addItems([found.name for found in RANGES] + [_OWN])
        self.low, self.high = _hu_box("From this CT number on"), _hu_box("Up to this one")
        self.eraser_too = QCheckBox("the eraser, too")
        self.eraser_too.setToolTip("Off: the eraser takes away whatever it meets")
        self.eraser_too.setChecked(True)
        self.hint = QLabel()
        self.hint.setWordWrap(True)

        brush_row = QHBoxLayout()
        brush_row.addWidget(QLabel("Size"))
        brush_row.addWidget(self.brush)
        brush_row.addWidget(self.brush_mm, 1)
        brush_row.addWidget(self.dimensions)
        preset_row = QHBoxLayout()
        preset_row.addWidget(self.limited)
        preset_row.addWidget(self.preset, 1)
        range_row = QHBoxLayout()
        range_row.addWidget(self.low, 1)
        range_row.addWidget(QLabel("to"))
        range_row.addWidget(self.high, 1)
        range_row.addWidget(self.eraser_too)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.tool)
        for row in (brush_row, preset_row, range_row):
            layout.addLayout(row)
        layout.addWidget(self.hint)

        self.tool.changed.connect(self._set_tool)
        self.brush.valueChanged.connect(self._set_brush)
        self.dimensions.changed.connect(self._set_dimensions)
        self.limited.toggled.connect(self._set_range)
        self.eraser_too.toggled.connect(self._set_range)
        self.preset.currentIndexChanged.connect(self._take_preset)
        self.low.valueChanged.connect(self._set_range)
        self.high.valueChanged.connect(self._set_range)

    @property
    def hu_range(self) -> HuRange:
        """The range as it stands, whether it limits anything or not."""
        low, high = sorted((self.low.value(), self.high.value()))
        known = next((r for r in RANGES if (r.low, r.high) == (low, high)), None)
        return known or HuRange(low, high)

    def set_layer(self, layer: EditableMask | None, organ: str = "") -> None:
        """Set the tools of this layer from now on; its organ gives the first range."""
        self._events.disconnect()
        self._layer = layer
        self.hint.clear()
        self.setEnabled(layer is not None)
        if layer is None:
            return
        for emitter in (layer.events.mode, layer.events.brush_size, layer.events.n_edit_dimensions):
            self._events.connect(emitter, self._show)
        self._events.connect(layer.events.paint, self._tell_kept_out)
        self.limited.setEnabled(limit_holds())
        if not limit_holds():
            self.limited.setToolTip("This version of napari cannot be kept to a range")
        if organ != self._organ:  # else the range stays as it was set for this organ
            self._organ = organ
            self.preset.setCurrentIndex(RANGES.index(usual_range(organ)))
            self._take_preset()
        self._set_range()
        layer.brush_size = max(1, round(self._brush_mm / min(layer.scale)))
        layer.mode = "paint"
        self._show()

    def choose(self, tool: str) -> None:
        """Take a tool, by napari's name of it."""
        self.tool.value = tool

    def change_brush(self, steps: int) -> None:
        """Make the brush larger or smaller by about a tenth, by one voxel at least."""
        value = self.brush.value()
        self.brush.setValue(value + steps * max(1, round(value / 10)))

    def toggle_limit(self) -> None:
        """Switch the range on or off."""
        if self.limited.isEnabled():
            self.limited.toggle()

    def toggle_dimensions(self) -> None:
        """Brush in the slice, or in 3-D."""
        self.dimensions.value = "3" if self.dimensions.value == "2" else "2"

    def _set_tool(self, tool: str) -> None:
        if self._layer is None:
            return
        if tool == "polygon":  # napari draws polygons in slices only
            self._layer.n_edit_dimensions = 2
        self._layer.mode = tool

    def _set_brush(self, size: int) -> None:
        if self._layer is not None:
            self._layer.brush_size = size

    def _set_dimensions(self, number: str) -> None:
        layer = self._layer
        if layer is None:
            return
        layer.n_edit_dimensions = int(number)
        if number == "3" and layer.mode == "polygon":
            layer.mode = "paint"

    def _take_preset(self) -> None:
        index = self.preset.currentIndex()
        if index >= len(RANGES):
            return
        for box, value in ((self.low, RANGES[index].low), (self.high, RANGES[index].high)):
            box.blockSignals(True)
            box.setValue(int(value))
            box.blockSignals(False)
        self._set_range()

    def _set_range(self, *_args: Any) -> None:
        found = self.hu_range
        self.preset.blockSignals(True)
        self.preset.setCurrentText(found.name or _OWN)
        self.preset.blockSignals(False)
        self.hint.clear()
        if self._layer is not None:
            self._layer.hu_range = found if self.limited.isChecked() else None
            self._layer.limit_eraser = self.eraser_too.isChecked()

    def _show(self) -> None:
        layer = self._layer
        if layer is None:
            return
        if layer.mode in TOOLS:
            self.tool.value = layer.mode
        self.brush.setValue(int(layer.brush_size))
        self._brush_mm = layer.brush_size * min(layer.scale)  # for the next edit, too
        self.brush_mm.setText(f"{self._brush_mm:.3g} mm")
        self.dimensions.value = str(min(3, max(2, layer.n_edit_dimensions)))

    def _tell_kept_out(self) -> None:
        layer = self._layer
        if layer is None:
            return
        words = f"Voxels outside {self.hu_range.words} were left as they were."
        self.hint.setText(words if layer.kept_some_out else "")
        layer.kept_some_out = False


def give_keys_back(box: QAbstractSpinBox) -> None:
    """Leave the field on Return, so that letters are keys again."""
    box.lineEdit().returnPressed.connect(box.clearFocus)


def _hu_box(tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(LOWEST_HU, HIGHEST_HU)
    box.setSingleStep(10)
    box.setToolTip(f"{tip} (HU)")
    give_keys_back(box)
    return box
