"""Where a review begins: who you are, and which file it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.settings import get_plugin_settings
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.reviewing.item_page import Notice

_FILES = "Reviews (*.db);;All files (*)"
_INTRO = (
    "Judge organ masks, and where attention lies, case by case. A review is one file; several "
    "readers may work on it at the same time, each under a name of their own."
)


class StartPage(QWidget):
    """Reader, file, Open and New; both are remembered."""

    #: Carries the file and the reader's name.
    open_asked = Signal(object, str)
    #: Carries the reader's name.
    new_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        intro = QLabel(_INTRO)
        intro.setWordWrap(True)
        self.reader = QLineEdit()
        self.reader.setPlaceholderText("a name or initials, always the same")
        self.reader.setToolTip("Your answers are kept under this name.")
        self.path = QLineEdit()
        self.path.setPlaceholderText("the review's file")
        self.path.returnPressed.connect(self._open)
        self.reader.returnPressed.connect(self.path.setFocus)
        browse = QPushButton("Browse…")
        browse.clicked.connect(self._browse)
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.path, 1)
        line.addWidget(browse)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("You are", self.reader)
        form.addRow("Review", line)
        self.open = QPushButton("Open review")
        self.open.setToolTip("Go on where you were.")
        self.open.clicked.connect(self._open)
        self.new = QPushButton("&New review from a table or folder…")
        self.new.clicked.connect(lambda _down: self.new_asked.emit(self.reader.text().strip()))
        self.notice = Notice()
        layout = QVBoxLayout(self)
        layout.addWidget(intro)
        layout.addLayout(form)
        layout.addWidget(self.open)
        layout.addWidget(self.new)
        layout.addWidget(self.notice)
        layout.addStretch(1)
        self.reader.textChanged.connect(self._update)
        self.path.textChanged.connect(self._update)
        settings = review_settings()
        if settings is not None:
            self.reader.setText(settings.reader)
            self.path.setText(settings.last)
        self._update()

    def remember(self, path: Path, reader: str) -> None:
        """Keep both for the next time."""
        self.path.setText(str(path))
        self.reader.setText(reader)
        settings = review_settings()
        if settings is not None:
            settings.reader, settings.last = reader, str(path)

    def _update(self) -> None:
        self.open.setEnabled(bool(self.reader.text().strip() and self.path.text().strip()))

    def _open(self) -> None:
        reader, path = self.reader.text().strip(), self.path.text().strip()
        if not reader:
            self.notice.say("Say who you are first.")
            self.reader.setFocus()
        elif path:
            self.open_asked.emit(Path(path).expanduser(), reader)

    def _browse(self) -> None:
        begin = self.path.text().strip()
        name, _ = QFileDialog.getOpenFileName(self, "Open a review", begin, _FILES)
        if name:
            self.path.setText(name)
            self._open()


def review_settings() -> Any:
    """Return what napari's preferences keep of reviews; None where this is no installed plugin."""
    try:
        return get_plugin_settings("napari-hirescam").review
    except KeyError:
        return None
