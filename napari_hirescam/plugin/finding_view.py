"""What a test found: the plot, the sentences, and buttons to enlarge and to save them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_hirescam.plugin.finding_saver import FindingSaver
from napari_hirescam.plugin.plot_canvas import PlotCanvas, PlotWindow

if TYPE_CHECKING:
    from napari_hirescam.evaluation.findings import Finding


class FindingView(QWidget):
    """Shows one finding; hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._window: PlotWindow | None = None
        self.saver = FindingSaver(self)
        self.canvas = PlotCanvas()
        self.canvas.setToolTip("Double-click to enlarge.")
        self.canvas.double_clicked.connect(self.enlarge)
        self.words = wrapped_words()
        self.enlarge_button = QPushButton("Enlarge")
        self.enlarge_button.clicked.connect(self.enlarge)
        self.save_button = QPushButton("Save plot and table…")
        self.save_button.setToolTip("As PNG and CSV, and the rest of what is known as JSON.")
        self.save_button.clicked.connect(self._save)
        last = QHBoxLayout()
        last.addWidget(self.enlarge_button)
        last.addWidget(self.save_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.canvas, 1)
        column.addWidget(self.words)
        column.addLayout(last)
        self.hide()

    @property
    def finding(self) -> Finding | None:
        """What is shown."""
        return self.canvas.finding

    @property
    def plot_window(self) -> PlotWindow | None:
        """The window of the enlarged plot, once there was one."""
        return self._window

    def show_finding(self, finding: Finding | None) -> None:
        """Show a finding, enlarged too if its forerunner was; None hides everything."""
        if finding is self.finding:
            return
        self.setVisible(finding is not None)
        self.words.setText("" if finding is None else as_html(finding))
        self.canvas.show_finding(finding)
        if self._window is not None and self._window.isVisible():
            if finding is None:
                self._window.close()
            else:
                self.enlarge()

    def enlarge(self) -> None:
        """Show the plot in a window of its own."""
        finding = self.finding
        if finding is None:
            return
        if self._window is None:
            self._window = PlotWindow(self)
        self._window.show_finding(finding, finding.subject.title, as_html(finding))

    def _save(self) -> None:
        if self.finding is not None:
            self.saver.ask_and_save(self.finding)


def wrapped_words() -> QLabel:
    """Make a label for sentences, which can be copied."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def as_html(finding: Finding) -> str:
    """Write a finding's sentences, the headline bold."""
    headline, *more = finding.sentences()
    return "<br>".join([f"<b>{escape(headline)}</b>", *map(escape, more)])
