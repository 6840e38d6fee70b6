"""How the ticked labels' maps are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.settings import get_plugin_settings
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.map_layers import MapStyle

if TYPE_CHECKING:
    from napari_hirescam.attention import Explanation

#: Key of the choice that shows two methods beside each other.
BOTH = "side by side"

_PLACEMENTS = {
    "receptive_field": ("where the cell sees", "At the middle of what each cell sees of the CT."),
    "stretch": (
        "stretched, as in the paper",
        "Stretched over the whole input; near its border, centimetres from what cells see.",
    ),
}


class Switch(QWidget):
    """A row of buttons of which one is down.

    Parameters
    ----------
    choices
        (key, text, tool tip) of each button; the first is down.
    """

    changed = Signal(str)

    def __init__(self, choices: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._group = QButtonGroup(self)
        self._buttons: dict[str, QPushButton] = {}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for key, text, tip in choices:
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip(tip)
            self._group.addButton(button)
            self._buttons[key] = button
            layout.addWidget(button, 1)
        self._buttons[choices[0][0]].setChecked(True)
        self._group.buttonToggled.connect(self._on_toggled)

    @property
    def value(self) -> str:
        """Key of the button that is down."""
        return next(key for key, button in self._buttons.items() if button.isChecked())

    @value.setter
    def value(self, key: str) -> None:
        self._buttons[key].setChecked(True)

    def offer(self, keys: Sequence[str]) -> None:
        """Enable these choices only; the first of them is taken if the present one is not."""
        for key, button in self._buttons.items():
            button.setEnabled(key in keys)
        if self.value not in keys and keys:
            self.value = keys[0]

    def _on_toggled(self, _button: QPushButton, down: bool) -> None:  # noqa: FBT001 - Qt's slot
        if down:
            self.changed.emit(self.value)


class DisplayPanel(QGroupBox):
    """Method, view, threshold, opacity, placement, 3-D, peak and saving."""

    #: Other maps are wanted: method, view or placement changed.
    maps_changed = Signal()
    #: The same maps in another threshold or opacity.
    style_changed = Signal()
    three_d_toggled = Signal(bool)
    peak_requested = Signal()
    save_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Attention maps", parent)
        defaults = preferred_style()

        self.method = Switch(
            [
                (
                    "hirescam",
                    "HiResCAM",
                    "Each place by its own share of the score, where the guarantee holds.",
                ),
                ("gradcam", "Grad-CAM", "The older method; it can light up what was not used."),
                (BOTH, "Side by side", "HiResCAM in the left view, Grad-CAM in the right one."),
            ]
        )
        self.view = Switch(
            [
                ("positive", "For", "Only what speaks for the label."),
                ("signed", "For and against", "Red speaks for the label, blue against it."),
            ]
        )
        self.threshold, threshold_row = _percent_slider(
            defaults.threshold, "Below this share of the map's maximum nothing is drawn."
        )
        self.opacity, opacity_row = _percent_slider(
            defaults.opacity, "How strongly the maps cover the CT."
        )
        self.placement = QComboBox()
        for key, (text, tip) in _PLACEMENTS.items():
            self.placement.addItem(text, key)
            self.placement.setItemData(self.placement.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.placement.setToolTip("Where in the patient the cells of the map are put.")
        self.three_d = QPushButton("3-D")
        self.three_d.setCheckable(True)
        self.three_d.setToolTip("Look at the attention inside the body, from the front.")
        self.peak = QPushButton("Go to peak")
        self.peak.setToolTip("Move the slices to the strongest attention of this label.")
        self.save = QPushButton("Save maps…")
        self.save.setToolTip(
            "Write the ticked labels' maps as NIfTI on the CT's own grid, and the scores."
        )

        form = QGridLayout()
        form.setColumnStretch(1, 1)
        form.setVerticalSpacing(4)
        rows: list[tuple[str, QWidget]] = [
            ("Method", self.method),
            ("Evidence", self.view),
            ("Threshold", threshold_row),
            ("Opacity", opacity_row),
            ("Placed", self.placement),
        ]
        for k, (name, widget) in enumerate(rows):
            form.addWidget(QLabel(name), k, 0)
            form.addWidget(widget, k, 1)
        buttons = QHBoxLayout()
        for button in (self.three_d, self.peak, self.save):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(buttons)

        self.method.changed.connect(self._tell_maps_changed)
        self.view.changed.connect(self._tell_maps_changed)
        self.placement.currentIndexChanged.connect(self._tell_maps_changed)
        self.threshold.valueChanged.connect(self._tell_style_changed)
        self.opacity.valueChanged.connect(self._tell_style_changed)
        self.three_d.toggled.connect(self.three_d_toggled)
        self.peak.clicked.connect(self.peak_requested)
        self.save.clicked.connect(self.save_requested)
        self.setEnabled(False)

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys of the shown methods, left to right."""
        return ("hirescam", "gradcam") if self.side_by_side else (self.method.value,)

    @property
    def side_by_side(self) -> bool:
        """True if two methods are shown beside each other."""
        return self.method.value == BOTH

    def style_of_maps(self) -> MapStyle:
        """Read the panel."""
        return MapStyle(
            signed=self.view.value == "signed",
            threshold=self.threshold.value() / 100,
            opacity=self.opacity.value() / 100,
            placement=self.placement.currentData(),
        )

    def offer(self, explanation: Explanation) -> None:
        """Offer the methods and placements that an explanation has."""
        methods = list(explanation.maps)
        self.method.offer([*methods, BOTH] if {"hirescam", "gradcam"} <= set(methods) else methods)
        model = self.placement.model()
        for row in range(self.placement.count()):
            known = self.placement.itemData(row) in explanation.affines
            if isinstance(model, QStandardItemModel):
                model.item(row).setEnabled(known)
        if self.placement.currentData() not in explanation.affines:
            self.placement.setCurrentIndex(self.placement.findData(explanation.default_placement))
        self.setEnabled(True)

    def _tell_maps_changed(self, _value: object) -> None:
        self.maps_changed.emit()

    def _tell_style_changed(self, _value: int) -> None:
        self.style_changed.emit()


def preferred_style() -> MapStyle:
    """Take threshold and opacity of new maps from napari's preferences."""
    try:
        overlay = get_plugin_settings("napari-hirescam").overlay
    except KeyError:
        # Not installed as a plugin, used from a script say: there are no preferences then.
        return MapStyle()
    return MapStyle(threshold=overlay.threshold, opacity=overlay.opacity)


def _percent_slider(start: float, tip: str) -> tuple[QSlider, QWidget]:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, 100)
    slider.setPageStep(10)
    slider.setToolTip(tip)
    number = QLabel()
    number.setMinimumWidth(40)
    number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    slider.valueChanged.connect(lambda value: number.setText(f"{value} %"))
    slider.setValue(round(100 * start))
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(slider, 1)
    layout.addWidget(number)
    return slider, row
