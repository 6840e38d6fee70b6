"""The widgets of the organs panel: masks, what their values are, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any, cast

from magicgui.widgets import create_widget
from napari.layers import Labels
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.finding_view import wrapped_words
from napari_hirescam.plugin.measures_table import MeasuresModel, MeasuresTable
from napari_hirescam.plugin.organ_layers import BY_NAMES
from napari_hirescam.plugin.organ_values import OrganValuesModel, OrganValuesTable
from napari_hirescam.plugin.verdict import DOUBT_COLOUR, SAME_COLOUR

FILE = "file"
_SOURCES = {
    BY_NAMES: "the layer's own names",
    "totalsegmentator": "TotalSegmentator 2",
    "partition": "PARTITION",
    FILE: "a table file…",
}
FIND = "Find organs"


class OrganControls(QWidget):
    """Choice of masks, 'Find organs', the table of values and the table of measures.

    Parameters
    ----------
    choices
        Gives the layers that can be chosen.
    """

    def __init__(
        self, choices: Callable[[object], Sequence[Labels]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._choices = choices
        self.values = OrganValuesModel()
        self.measures = MeasuresModel()
        self._make()
        self._lay_out()

    def say(self, warnings: Iterable[str], notes: Iterable[str] = ()) -> None:
        """Write sentences under the button; nothing takes the label away."""
        lines = [
            *(f'<span style="color:{DOUBT_COLOUR}">⚠ {escape(text)}</span>' for text in warnings),
            *(f'<span style="color:{SAME_COLOUR}">ℹ {escape(text)}</span>' for text in notes),  # noqa: RUF001
        ]
        self.text.setText("<br>".join(lines))
        self.text.setVisible(bool(lines))

    def show_busy(self, *, on: bool) -> None:
        """Offer to cancel, and show how far the search is; or offer to search."""
        self.find_button.setText("Cancel" if on else FIND)
        self.bar.setVisible(on)
        if on:
            self.show_progress(0, 0)

    def show_stopping(self) -> None:
        """Say that the search was asked to stop."""
        self.find_button.setText("Cancelling…")
        self.find_button.setEnabled(False)

    def show_progress(self, done: int, total: int) -> None:
        """Show how far the search is; a total of 0 means that nobody knows."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat("Finding organs: %p %")

    def _make(self) -> None:
        # magicgui types this as its base class, which knows nothing of choices.
        self.masks = cast(
            "Any",
            create_widget(
                annotation=Labels,
                name="masks",
                options={"choices": self._choices, "nullable": True},
            ),
        )
        self.masks.tooltip = "The Labels layer that shows the organs. Any will do."
        self.masks.native.setMinimumWidth(120)
        self.find_button = QPushButton(FIND)
        self.find_button.setToolTip(
            "Find lungs and heart in the chosen CT, and add them as a layer of labels."
        )
        self.bar = QProgressBar()
        self.bar.hide()
        self.text = wrapped_words()
        self.text.hide()
        self.rough = QPushButton("Use rough regions")
        self.rough.setToolTip(
            "Take halves and the middle of the patient's body for lungs and heart. They are no "
            "organs: whatever is measured in them is rough too."
        )
        self.rough.hide()
        self.source = QComboBox()
        for key, words in _SOURCES.items():
            self.source.addItem(words, key)
        self.source.setToolTip("What says which of the layer's values is which organ.")
        self.values_table = OrganValuesTable(self.values)
        self.measures_table = MeasuresTable(self.measures)
        self.words = wrapped_words()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.masks.native, 1)
        top.addWidget(self.find_button)
        self.values_box = QWidget()
        named = QHBoxLayout()
        named.addWidget(QLabel("Organs by"))
        named.addWidget(self.source, 1)
        inner = QVBoxLayout(self.values_box)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addLayout(named)
        inner.addWidget(self.values_table)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 2, 6, 4)
        column.setSpacing(4)
        column.addLayout(top)
        for widget in (
            self.bar,
            self.text,
            self.rough,
            self.values_box,
            self.measures_table,
            self.words,
        ):
            column.addWidget(widget)
        for widget in (self.values_box, self.measures_table, self.words):
            widget.hide()
