"""The input section of a model file as a form: one row a field, each with its own remark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import InputError
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.plugin.new_model_step import Remark

LAYOUTS = {
    "Volume, for a 3-D network": "volume",
    "One slice at a point, for a 2-D network": "slice",
    "Every slice, for a 2-D network": "slices",
    "Triples of slices (AxialNet, CT-Net)": "axial_triples",
}
FITS = {
    "Pad and crop about the middle": "centre",
    "A window around a point": "window",
    "Resample the whole CT to the size": "resize",
}
#: Patient directions that the tensor's axes grow towards, in words.
_ORIENTATIONS = ("IPL", "SPL", "SAR", "LPI", "RAS", "LPS")
_WINDOWS = {
    "AxialNet papers: -1000 to 800": (-1000.0, 800.0),
    "CT-Net paper: -1000 to 200": (-1000.0, 200.0),
    "Lung: -1350 to 150": (-1350.0, 150.0),
    "Soft tissue: -160 to 240": (-160.0, 240.0),
    "Wide: -1000 to 1000": (-1000.0, 1000.0),
}
_NARROW, _WIDE, _ANY = 64, 120, "any"


class InputForm(QWidget):
    """Fields of :class:`~napari_hirescam.models.spec.InputSpec`."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.remarks: dict[str, Remark] = {}
        self._form = QFormLayout(self)
        # The remarks under the fields need the width.
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.layout_choice = _combo(LAYOUTS)
        self.channels = QSpinBox()
        self.channels.setRange(1, 99)
        self.shape = [_line(_NARROW) for _ in range(3)]
        self.fit = _combo(FITS)
        self.spacing = [_line(_NARROW, "own") for _ in range(3)]
        self.orientation = QComboBox()
        self.orientation.setEditable(True)
        self.orientation.setMinimumWidth(_WIDE)
        self.orientation.addItems(list(_ORIENTATIONS))
        self.window_hu = [_line(_NARROW) for _ in range(2)]
        self.common_windows = _combo({"Common windows…": None, **_WINDOWS})
        self.scale = [_line(_NARROW, "HU") for _ in range(2)]
        self.subtract = _line(_NARROW)
        self.padding = QComboBox()
        self.padding.setEditable(True)
        self.padding.setMinimumWidth(_WIDE)
        self.padding.addItems(["minimum", "edge", "-1000"])
        self.mean, self.std = _line(0, "none"), _line(0, "none")
        self._row("layout", "Arranged as", self.layout_choice, "How voxels become the tensor.")
        self._row("channels", "Channels", self.channels, "Copies of the CT side by side.")
        self._row(
            "shape",
            "Size (voxels)",
            _side_by_side(self.shape, ("slices", "rows", "columns")),
            f"What the network was trained with. '{_ANY}' as the first: any number of slices.",
        )
        self._row("fit", "Made to fit by", self.fit, "How a CT of another size becomes this one.")
        self._row(
            "spacing_mm",
            "Spacing (mm)",
            _side_by_side(self.spacing, ("slices", "rows", "columns")),
            "The CT is resampled to it. Left empty: the CT's own.",
        )
        self._row(
            "orientation",
            "Axes grow towards",
            self.orientation,
            "Patient directions of slices, rows and columns: IPL is from the head down, SPL from "
            "the feet up; rows towards the back (P), columns to the patient's left (L).",
        )
        window = _side_by_side(self.window_hu, ("from", "to"), [self.common_windows])
        self._row("window_hu", "Window (HU)", window, "Values beyond it are clipped.")
        subtract = [QLabel("then subtract"), self.subtract]
        scale = _side_by_side(self.scale, ("from", "to"), subtract)
        self._row("scale_to", "Scaled to", scale, "Left empty: HU as they are.")
        self._row("padding", "Outside the CT", self.padding, "minimum, edge, or a value in HU.")
        norm = _side_by_side([self.mean, self.std], ("mean", "std"))
        self._row(
            "channel_mean", "Channels, last", norm, "One number a channel, separated by commas."
        )
        self.common_windows.activated.connect(self._take_window)
        for line in (*self.shape, *self.spacing, *self.window_hu, *self.scale):
            line.textEdited.connect(self.edited)
        for line in (self.subtract, self.mean, self.std):
            line.textEdited.connect(self.edited)
        for combo in (self.layout_choice, self.fit, self.orientation, self.padding):
            combo.currentTextChanged.connect(self.edited)
        self.channels.valueChanged.connect(self.edited)

    def add_below(self, rows: QFormLayout) -> None:
        """Put more rows under the fields."""
        self._form.addRow(rows)

    def show_spec(self, spec: InputSpec) -> None:
        """Fill the fields."""
        self.blockSignals(True)
        _choose(self.layout_choice, LAYOUTS, spec.layout)
        _choose(self.fit, FITS, spec.fit)
        self.channels.setValue(spec.channels)
        _fill(self.shape, [_ANY if n is None else n for n in spec.shape])
        _fill(self.spacing, spec.spacing_mm)
        _fill(self.window_hu, spec.window_hu)
        _fill(self.scale, spec.scale_to)
        _fill([self.subtract], [spec.subtract])
        self.orientation.setCurrentText(spec.orientation)
        self.padding.setCurrentText(_plain(spec.padding))
        self.mean.setText(", ".join(map(_plain, spec.channel_mean or ())))
        self.std.setText(", ".join(map(_plain, spec.channel_std or ())))
        self.blockSignals(False)
        self.edited.emit()

    def ask_for_shape(self, words: str) -> None:
        """Leave the size empty: nothing tells it."""
        _fill(self.shape, None)
        self.remarks["shape"].doubt(words)
        self.edited.emit()

    def fields(self) -> dict[str, Any]:
        """Read the fields, not yet validated together.

        Raises
        ------
        InputError
            A field is no number; `subject` is the field.
        """
        padding = self.padding.currentText().strip()
        return {
            "layout": LAYOUTS[self.layout_choice.currentText()],
            "fit": FITS[self.fit.currentText()],
            "channels": self.channels.value(),
            "shape": [_whole(line.text(), "shape") for line in self.shape],
            "spacing_mm": _all_or_none(self.spacing, "spacing_mm"),
            "orientation": self.orientation.currentText().strip(),
            "window_hu": [_number(line.text(), "window_hu") for line in self.window_hu],
            "scale_to": _all_or_none(self.scale, "scale_to"),
            "subtract": _number(self.subtract.text() or "0", "scale_to"),
            "padding": padding if padding in ("minimum", "edge") else _number(padding, "padding"),
            "channel_mean": _listed(self.mean.text(), "channel_mean"),
            "channel_std": _listed(self.std.text(), "channel_mean"),
        }

    def clear_remarks(self) -> None:
        """Say nothing beside any field."""
        for remark in self.remarks.values():
            remark.clear_text()

    def _row(self, field: str, title: str, widget: QWidget, tip: str) -> None:
        remark = Remark()
        self.remarks[field] = remark
        widget.setToolTip(tip)
        for child in widget.findChildren(QWidget):
            child.setToolTip(tip)
        cell = QWidget()
        column = QVBoxLayout(cell)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        line = QHBoxLayout()
        line.addWidget(widget)
        if isinstance(widget, QComboBox | QSpinBox):
            line.addStretch(1)
        column.addLayout(line)
        column.addWidget(remark)
        label = QLabel(f"{title}:")
        label.setToolTip(tip)
        self._form.addRow(label, cell)

    def _take_window(self, _index: int) -> None:
        window = _WINDOWS.get(self.common_windows.currentText())
        if window is not None:
            _fill(self.window_hu, window)
            self.edited.emit()
        self.common_windows.setCurrentIndex(0)


def _combo(choices: Mapping[str, Any]) -> QComboBox:
    combo = QComboBox()
    combo.addItems(list(choices))
    return combo


def _choose(combo: QComboBox, choices: Mapping[str, str], value: str) -> None:
    combo.setCurrentText(next(text for text, known in choices.items() if known == value))


def _line(width: int, placeholder: str = "") -> QLineEdit:
    line = QLineEdit()
    if width:
        line.setMaximumWidth(width)
    line.setPlaceholderText(placeholder)
    return line


def _side_by_side(
    lines: Sequence[QLineEdit], names: Sequence[str], more: Sequence[QWidget] = ()
) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for line, name in zip(lines, names, strict=True):
        layout.addWidget(QLabel(name))
        layout.addWidget(line)
    for widget in more:
        layout.addWidget(widget)
    if all(line.maximumWidth() <= _NARROW for line in lines):
        layout.addStretch(1)
    return row


def _fill(lines: Sequence[QLineEdit], values: Sequence[Any] | None) -> None:
    for line, value in zip(lines, values or [""] * len(lines), strict=True):
        line.setText(value if isinstance(value, str) else _plain(value))


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _number(text: str, field: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        what = f"{text.strip()!r} is not a number" if text.strip() else "a number is missing"
        raise InputError(field, what, "Give a number") from exc


def _whole(text: str, field: str) -> int | None:
    if text.strip().lower() == _ANY:
        return None
    value = _number(text, field)
    if not value.is_integer():
        raise InputError(field, f"{text!r} is not a number of voxels", "Give a whole number")
    return int(value)


def _all_or_none(lines: Sequence[QLineEdit], field: str) -> list[float] | None:
    if not any(line.text().strip() for line in lines):
        return None
    return [_number(line.text(), field) for line in lines]


def _listed(text: str, field: str) -> list[float] | None:
    text = text.strip().removesuffix(",")
    return [_number(part, field) for part in text.split(",")] if text else None
