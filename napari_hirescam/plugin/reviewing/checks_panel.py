"""What the automatic checks found in the mask on the screen: reasons, and ways to the places."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_hirescam.plugin.reviewing.rows import Rows
from napari_hirescam.plugin.section import let_cut

if TYPE_CHECKING:
    from napari_hirescam.review.item import MaskFacts

_ALARM, _REMARK = "#d9822b", "gray"
Place = tuple[float, float, float]


class ChecksPanel(QWidget):
    """One line for each finding, the worst first, with a button to the place.

    "[" and "]" go from one place to the next.
    """

    #: Carries (I, P, L) in mm.
    jumped = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facts_line = QLabel()
        self._facts_line.setWordWrap(True)
        self._findings = Rows()
        self._findings.grid.setColumnStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._facts_line)
        layout.addWidget(self._findings)
        self._places: list[Place] = []
        self._at = -1
        self.summary = ""

    def show_words(self, words: str) -> None:
        """Say why nothing is shown."""
        self._clear()
        self._facts_line.setText(words)
        self.summary = words

    def show_facts(self, facts: MaskFacts) -> None:
        """Show measures and findings of a mask."""
        from napari_hirescam.review.checks import ALARM, CHECKS

        self._clear()
        found = "" if facts.findings else "  ·  nothing suspicious"
        self._facts_line.setText(_measures(facts) + found)
        self._facts_line.setToolTip("\n".join(facts.notes))
        alarms = sum(one.severity >= ALARM for one in facts.findings)
        self.summary = f"{alarms} found" if alarms else "nothing found"
        grid = self._findings.grid
        for row, finding in enumerate(facts.findings):
            alarm = finding.severity >= ALARM
            words = QLabel(("▲ " if alarm else "· ") + finding.words)
            words.setWordWrap(True)
            words.setStyleSheet(f"color: {_ALARM if alarm else _REMARK};")
            words.setToolTip(f"{CHECKS.get(finding.check, finding.check)}")
            let_cut(words)
            grid.addWidget(words, row, 0)
            if finding.place_mm is None:
                continue
            jump = QPushButton("Jump")
            jump.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            jump.setToolTip("Show the place in all planes.  ( ] next, [ previous )")
            jump.setStyleSheet("QPushButton { padding: 1px 6px; }")
            place = len(self._places)
            jump.clicked.connect(lambda _down, place=place: self._go(place))
            grid.addWidget(jump, row, 1, Qt.AlignmentFlag.AlignTop)
            self._places.append(finding.place_mm)

    def step(self, step: int) -> None:
        """Go to the next place, or back to the one before; around at the ends."""
        if self._places:
            begin = self._at if self._at >= 0 or step > 0 else 0
            self._go((begin + step) % len(self._places))

    def _go(self, place: int) -> None:
        self._at = place
        self.jumped.emit(self._places[place])

    def _clear(self) -> None:
        self._places, self._at = [], -1
        self._facts_line.setToolTip("")
        self._findings.clear()


def _measures(facts: MaskFacts) -> str:
    parts = [f"{facts.volume_ml:,.0f} mL", f"{facts.surface_cm2:,.0f} cm²"]
    if isfinite(facts.mean_hu):
        parts.append(f"mean {facts.mean_hu:.0f} HU")
    return "  ·  ".join(parts)
