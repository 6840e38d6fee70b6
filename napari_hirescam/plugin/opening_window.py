"""The small window that says what is being read, shows its first picture and offers to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QCloseEvent, QImage, QPixmap
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_hirescam.io import Picture

# A file that is read sooner than this needs no window.
_PATIENCE_MS = 300
_PICTURE = 220  # pixels on the screen
_STEPS = 1000


class OpeningWindow(QDialog):
    """Progress of what is being read; not modal, shown only if the reading takes a while."""

    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Opening")
        self.setModal(False)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PATIENCE_MS)
        self._soon.timeout.connect(self.show)

        self._picture = QLabel()
        self._picture.setFixedSize(_PICTURE, _PICTURE)
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._picture.setStyleSheet("background: black; color: #909090;")
        self._name = QLabel()
        self._name.setTextFormat(Qt.TextFormat.PlainText)  # a file may be named like HTML
        self._name.setWordWrap(True)
        self._waiting = QLabel()
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._cancel = QPushButton("Cancel")
        self._cancel.clicked.connect(self._ask_to_stop)

        row = QHBoxLayout()
        row.addWidget(self._waiting, 1)
        row.addWidget(self._cancel)
        layout = QVBoxLayout(self)
        layout.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addWidget(self._name)
        layout.addWidget(self._bar)
        layout.addLayout(row)
        self.setFixedWidth(_PICTURE + 80)

    @property
    def has_picture(self) -> bool:
        """True once the first picture of the scan is shown."""
        return not self._picture.pixmap().isNull()

    def begin(self, name: str, n_waiting: int) -> None:
        """Say what is read from now on, and how many files wait behind it."""
        self._name.setText(name)
        self._waiting.setText(f"{n_waiting} more to open" if n_waiting else "")
        self._picture.setPixmap(QPixmap())
        self._picture.setText("…")
        self._bar.setRange(0, 0)
        self._cancel.setEnabled(True)
        self._cancel.setText("Cancel all" if n_waiting else "Cancel")
        if not self.isVisible():
            self._soon.start()

    def end(self) -> None:
        """Go away, or do not come up at all."""
        self._soon.stop()
        self.hide()

    def show_progress(self, done: int, total: int) -> None:
        """Fill the bar."""
        self._bar.setRange(0, _STEPS)
        self._bar.setValue(round(_STEPS * done / total) if total > 0 else 0)

    def show_picture(self, picture: Picture) -> None:
        """Show the first picture of what is read."""
        self._picture.setPixmap(pixmap_of(picture, _PICTURE))

    def reject(self) -> None:
        """Take Escape for a wish to stop."""
        self._ask_to_stop()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Take the closing for a wish to stop; the window goes when the reading has ended."""
        self._ask_to_stop()
        event.ignore()

    def _ask_to_stop(self) -> None:
        if self._cancel.isEnabled():
            self._cancel.setEnabled(False)
            self._cancel.setText("Stopping…")
            self.cancel_requested.emit()


def pixmap_of(picture: Picture, side: int) -> QPixmap:
    """Draw a picture with the sides it has in mm, as large as fits into a square.

    Parameters
    ----------
    picture
        [row, column] grey values.
    side
        Of the square, in pixels of the screen.
    """
    grey = np.ascontiguousarray(picture.grey)
    rows, columns = grey.shape
    image = QImage(grey.tobytes(), columns, rows, columns, QImage.Format.Format_Grayscale8)
    height, width = rows * picture.pixel_mm[0], columns * picture.pixel_mm[1]
    factor = side / max(height, width)
    return QPixmap.fromImage(image.copy()).scaled(
        max(1, round(width * factor)),
        max(1, round(height * factor)),
        Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
