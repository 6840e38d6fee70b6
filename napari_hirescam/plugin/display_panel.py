"""How the ticked labels' maps are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.settings import get_plugin_settings
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.map_style import MapStyle
from napari_hirescam.plugin.switch import Switch, percent_slider

if TYPE_CHECKING:
    from napari_hirescam.attention import Explanation

ONE, BOTH, DIFFERENCE = "one map", "side by side", "difference"

_DIFFERENCE_TIP = (
    "The raw map of one method less that of another, cell by cell, in units of the logit. "
    "Neither is scaled. Red: the first has more; blue: the second."
)
_SHOW = (
    (ONE, "One map", "The maps of one method."),
    (BOTH, "Side by side", "One method in the left view, another in the right one."),
    (DIFFERENCE, "Difference", _DIFFERENCE_TIP),
)
_PLACEMENTS = {
    "receptive_field": ("where the cell sees", "At the middle of what each cell sees of the CT."),
    "stretch": (
        "stretched, as in the paper",
        "Stretched over the whole input; near its border, centimetres from what cells see.",
    ),
}
_JOINTS = {BOTH: "|", DIFFERENCE: "−"}  # noqa: RUF001 - a minus sign


class DisplayPanel(QWidget):
    """Methods, view, threshold, opacity, placement, cells, 3-D, peak and saving."""

    #: Other maps are wanted: method, view, placement or smoothness changed.
    maps_changed = Signal()
    #: The same maps in another threshold or opacity.
    style_changed = Signal()
    cells_toggled = Signal(bool)
    three_d_toggled = Signal(bool)
    peak_requested = Signal()
    save_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        defaults = preferred_style()
        self.show_as = Switch(_SHOW)
        self.method = _MethodChooser("What is drawn: how the map is made out of the network.")
        self.second = _MethodChooser("The method to compare with.")
        self._joint = QLabel()
        self.evidence = Switch(
            [
                ("positive", "For", "Only what speaks for the label."),
                ("signed", "For and against", "Red speaks for the label, blue against it."),
            ]
        )
        self.threshold, threshold_row = percent_slider(
            defaults.threshold, "Below this share of the map's maximum nothing is drawn."
        )
        self.opacity, opacity_row = percent_slider(
            defaults.opacity, "How strongly the maps cover the CT."
        )
        self.placement = QComboBox()
        for key, (text, tip) in _PLACEMENTS.items():
            self.placement.addItem(text, key)
            self.placement.setItemData(self.placement.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.placement.setToolTip("Where in the patient the cells of the map are put.")
        self.smooth = Switch(
            [
                ("smooth", "Smooth", "Blend from the middle of one cell to the next."),
                ("cells", "Blocks", "Each cell as one flat block: exactly what was computed."),
            ]
        )
        self.cells = QCheckBox("Grid")
        self.cells.setToolTip("Draw the borders of the map's cells over the slice.")
        self.three_d = QPushButton("3-D")
        self.three_d.setCheckable(True)
        self.three_d.setToolTip("Look at the attention inside the body, from the front.")
        self.peak = QPushButton("Go to peak")
        self.peak.setToolTip("Move the slices to the strongest attention of this label.")
        self.save = QPushButton("Save maps…")
        self.save.setToolTip(
            "Write the ticked labels' maps as NIfTI on the CT's own grid, and the scores."
        )
        self._lay_out(threshold_row, opacity_row)
        self._connect()
        self._arrange_methods()
        self.setEnabled(False)

    @property
    def methods(self) -> tuple[str, ...]:
        """Keys of the methods whose maps are shown, left to right."""
        if self.side_by_side:
            return (self.method.key, self.second.key)
        return (self.method.key,)

    @property
    def minus(self) -> str:
        """Key of the method that is subtracted, or ""."""
        return self.second.key if self.show_as.value == DIFFERENCE else ""

    @property
    def side_by_side(self) -> bool:
        """True if two methods are shown beside each other."""
        return bool(self.show_as.value == BOTH)

    def show_one(self) -> None:
        """Go back to the maps of one method."""
        self.show_as.value = ONE

    def style_of_maps(self) -> MapStyle:
        """Read the panel."""
        return MapStyle(
            signed=self.evidence.value == "signed",
            threshold=self.threshold.value() / 100,
            opacity=self.opacity.value() / 100,
            placement=self.placement.currentData(),
            smooth=self.smooth.value == "smooth",
        )

    def offer(self, explanation: Explanation) -> None:
        """Offer the methods and placements that an explanation has."""
        methods = list(explanation.maps)
        self.method.offer(methods)
        self.second.offer(methods)
        self._arrange_methods()
        self.show_as.offer([ONE, BOTH, DIFFERENCE] if len(methods) > 1 else [ONE])
        model = self.placement.model()
        for row in range(self.placement.count()):
            known = self.placement.itemData(row) in explanation.affines
            if isinstance(model, QStandardItemModel):
                model.item(row).setEnabled(known)
        if self.placement.currentData() not in explanation.affines:
            self.placement.setCurrentIndex(self.placement.findData(explanation.default_placement))
        self.setEnabled(True)

    def _lay_out(self, threshold_row: QWidget, opacity_row: QWidget) -> None:
        methods = QHBoxLayout()
        methods.addWidget(self.method, 1)
        methods.addWidget(self._joint)
        methods.addWidget(self.second, 1)
        cells = QHBoxLayout()
        cells.addWidget(self.smooth, 1)
        cells.addWidget(self.cells)
        form = QGridLayout()
        form.setColumnStretch(1, 1)
        form.setVerticalSpacing(4)
        form.addWidget(QLabel("Show"), 0, 0)
        form.addWidget(self.show_as, 0, 1)
        form.addWidget(QLabel("Method"), 1, 0)
        form.addLayout(methods, 1, 1)
        rows: list[tuple[str, QWidget]] = [
            ("Evidence", self.evidence),
            ("Threshold", threshold_row),
            ("Opacity", opacity_row),
            ("Placed", self.placement),
        ]
        for k, (name, widget) in enumerate(rows, start=2):
            form.addWidget(QLabel(name), k, 0)
            form.addWidget(widget, k, 1)
        form.addWidget(QLabel("Cells"), len(rows) + 2, 0)
        form.addLayout(cells, len(rows) + 2, 1)
        buttons = QHBoxLayout()
        for button in (self.three_d, self.peak, self.save):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.addLayout(form)
        layout.addLayout(buttons)

    def _connect(self) -> None:
        self.show_as.changed.connect(self._on_methods_changed)
        self.method.currentIndexChanged.connect(self._on_methods_changed)
        self.second.currentIndexChanged.connect(self._on_methods_changed)
        self.evidence.changed.connect(self._tell_maps_changed)
        self.smooth.changed.connect(self._tell_maps_changed)
        self.placement.currentIndexChanged.connect(self._tell_maps_changed)
        self.threshold.valueChanged.connect(self._tell_style_changed)
        self.opacity.valueChanged.connect(self._tell_style_changed)
        self.cells.toggled.connect(self.cells_toggled)
        self.three_d.toggled.connect(self.three_d_toggled)
        self.peak.clicked.connect(self.peak_requested)
        self.save.clicked.connect(self.save_requested)

    def _on_methods_changed(self, _value: object) -> None:
        self._arrange_methods()
        self.maps_changed.emit()

    def _arrange_methods(self) -> None:
        """Show the second method where there are two; a difference is signed by itself."""
        self.second.avoid(self.method.key)
        two = self.show_as.value != ONE
        self._joint.setVisible(two)
        self.second.setVisible(two)
        self._joint.setText(_JOINTS.get(self.show_as.value, ""))
        self.evidence.setEnabled(self.show_as.value != DIFFERENCE)

    def _tell_maps_changed(self, _value: object) -> None:
        self.maps_changed.emit()

    def _tell_style_changed(self, _value: int) -> None:
        self.style_changed.emit()


class _MethodChooser(QComboBox):
    """The methods an explanation holds, each with its formula and source as tool tip."""

    def __init__(self, tip: str) -> None:
        super().__init__()
        self._tip = tip
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        # Two of them share a row, which must not grow wider than the dock.
        self.setMinimumContentsLength(4)
        self.setMinimumWidth(70)
        self.currentIndexChanged.connect(self._tell_formula)
        self.offer(["hirescam", "gradcam"])

    @property
    def key(self) -> str:
        """Key of the chosen method."""
        key: str = self.currentData()
        return key

    @key.setter
    def key(self, key: str) -> None:
        self.setCurrentIndex(self.findData(key))

    def offer(self, keys: Sequence[str]) -> None:
        """Offer these methods; the present one stays chosen if it is among them."""
        from napari_hirescam.attention import METHODS

        if [self.itemData(row) for row in range(self.count())] != list(keys):
            before = self.currentData()
            self.blockSignals(True)
            self.clear()
            for row, key in enumerate(keys):
                self.addItem(METHODS[key].title, key)
                self.setItemData(row, _formula(key), Qt.ItemDataRole.ToolTipRole)
            self.setCurrentIndex(max(self.findData(before), 0))
            self.blockSignals(False)
        self._tell_formula()

    def avoid(self, key: str) -> None:
        """Do not offer one of the methods: comparing a method with itself shows nothing."""
        model = self.model()
        for row in range(self.count()):
            if isinstance(model, QStandardItemModel):
                model.item(row).setEnabled(self.itemData(row) != key)
        others = [k for k in map(self.itemData, range(self.count())) if k != key]
        if self.key == key and others:
            self.blockSignals(True)
            self.key = "gradcam" if "gradcam" in others else others[0]
            self.blockSignals(False)
            self._tell_formula()

    def _tell_formula(self, _row: int = 0) -> None:
        self.setToolTip(f"{self._tip}\n\n{_formula(self.key)}")


def _formula(key: str) -> str:
    from napari_hirescam.attention import METHODS

    method = METHODS[key]
    return f"{method.title}:  {method.formula}\n{method.source}"


def preferred_style() -> MapStyle:
    """Take threshold and opacity of new maps from napari's preferences."""
    try:
        overlay = get_plugin_settings("napari-hirescam").overlay
    except KeyError:
        # Not installed as a plugin, used from a script say: there are no preferences then.
        return MapStyle()
    return MapStyle(threshold=overlay.threshold, opacity=overlay.opacity)
