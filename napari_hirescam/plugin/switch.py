"""A row of buttons of which one is down, and a slider that writes its per cent."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QSlider, QWidget


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


def percent_slider(start: float, tip: str) -> tuple[QSlider, QWidget]:
    """Make a slider from 0 to 100 % and the row that holds it and its number."""
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
