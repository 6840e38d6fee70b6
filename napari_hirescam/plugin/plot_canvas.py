"""A plot of a finding in the colours of napari's theme, small in a panel or in its own window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QMouseEvent, QResizeEvent
from qtpy.QtWidgets import QDialog, QLabel, QVBoxLayout, QWidget

from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari_hirescam.evaluation.findings import Finding
    from napari_hirescam.evaluation.plots import Palette

#: A plot is not drawn anew for every pixel that a window is dragged.
_PATIENCE_MS = 60
_LEAST_HEIGHT = 380


class PlotCanvas(QWidget):
    """Draws what a test found; matplotlib is loaded with the first plot."""

    double_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._finding: Finding | None = None
        self._canvas: Any = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.setMinimumHeight(_LEAST_HEIGHT)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PATIENCE_MS)
        self._soon.timeout.connect(self._draw)
        self._events = ViewerEvents()
        self._events.connect(get_settings().appearance.events.theme, self._on_theme_changed)
        self.destroyed.connect(self._events.disconnect)

    @property
    def finding(self) -> Finding | None:
        """What is drawn."""
        return self._finding

    @property
    def figure(self) -> Any:
        """The matplotlib figure; None before the first plot."""
        return self._canvas.figure if self._canvas is not None else None

    def show_finding(self, finding: Finding | None) -> None:
        """Draw a finding, or nothing."""
        self._finding = finding
        self._draw()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for room for two small plots, one above the other."""
        return QSize(360, 400)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Lay the plots out anew: side by side where there is room."""
        super().resizeEvent(event)
        self._soon.start()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Ask for more room."""
        self.double_clicked.emit()
        event.accept()

    def _on_theme_changed(self) -> None:
        self._soon.start()

    def _draw(self) -> None:
        if self._finding is None:
            if self._canvas is not None:
                self._canvas.figure.clear()
                self._canvas.draw_idle()
            return
        from napari_hirescam.evaluation.plots import draw

        if self._canvas is None:
            self._canvas = _make_canvas()
            self._layout.addWidget(self._canvas)
        draw(self._canvas.figure, self._finding, theme_palette())
        self._canvas.draw_idle()


def theme_palette() -> Palette:
    """Colours that suit the theme napari shows its windows in."""
    from napari_hirescam.evaluation.plots import DARK, LIGHT

    theme = get_theme(get_settings().appearance.theme)
    base = DARK if theme.type == "dark" else LIGHT
    return replace(base, paper=theme.background.as_hex(), ink=theme.text.as_hex())


def _make_canvas() -> Any:
    # Not pyplot, which would take the figure for one of the user's console.
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
    from matplotlib.figure import Figure

    canvas: Any = FigureCanvasQTAgg(Figure(layout="constrained"))  # type: ignore[no-untyped-call]
    # Double clicks are this widget's, and the wheel is for whatever it stands in.
    canvas.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    return canvas


class PlotWindow(QDialog):
    """A plot with its sentences in a window of its own, beside napari's."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setModal(False)
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint)
        self.canvas = PlotCanvas(self)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.addWidget(self.canvas, 1)
        layout.addWidget(self.words)
        self.resize(900, 700)

    def show_finding(self, finding: Finding, title: str, html: str) -> None:
        """Draw another finding, and come to the front."""
        self.setWindowTitle(title)
        self.words.setText(html)
        self.show()
        self.raise_()
        self.canvas.show_finding(finding)
