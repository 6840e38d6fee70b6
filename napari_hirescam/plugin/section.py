"""Parts of the dock widget that fold away under their titles, in one column."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFrame,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

_OPEN, _CLOSED = "▾", "▸"
# Flat, so that titles are not taken for one more row of buttons.
_TITLE_STYLE = (
    "QPushButton { text-align: left; font-weight: bold; border: none; padding: 3px 4px; "
    "background: rgba(128, 128, 128, 40); border-radius: 3px; }"
    "QPushButton:hover { background: rgba(128, 128, 128, 90); }"
)


class Section(QFrame):
    """A title that shows and hides what stands under it.

    Parameters
    ----------
    title
        What the part is for.
    content
        What is shown; it becomes a child of the section.
    unfolded
        Whether it is open at the start.
    tip
        Tool tip of the title.
    """

    folded = Signal(bool)

    def __init__(
        self, title: str, content: QWidget, *, unfolded: bool = True, tip: str = ""
    ) -> None:
        super().__init__()
        self._title, self._summary = title, ""
        self.content = content
        self.header = QPushButton()
        self.header.setCheckable(True)
        self.header.setStyleSheet(_TITLE_STYLE)
        self.header.setToolTip(tip)
        self.header.setCursor(Qt.CursorShape.PointingHandCursor)
        # A CT may be called by a DICOM UID: rather a cut title than a panel wider than its dock.
        self.header.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.header)
        layout.addWidget(content, 1)
        self.header.toggled.connect(self._on_toggled)
        self.header.setChecked(unfolded)
        self._on_toggled(unfolded)

    @property
    def unfolded(self) -> bool:
        """True while the content is shown."""
        return bool(self.header.isChecked())

    @unfolded.setter
    def unfolded(self, value: bool) -> None:
        self.header.setChecked(value)

    def set_title(self, title: str) -> None:
        """Write another title."""
        self._title = title
        self._write()

    def set_summary(self, summary: str) -> None:
        """Say in a few words what is inside, for when it is folded."""
        self._summary = summary
        self._write()

    def _on_toggled(self, unfolded: bool) -> None:  # noqa: FBT001 - Qt's slot
        self.content.setVisible(unfolded)
        self._write()
        self.folded.emit(not unfolded)

    def _write(self) -> None:
        arrow = _OPEN if self.unfolded else _CLOSED
        summary = f":  {self._summary}" if self._summary and not self.unfolded else ""
        # An ampersand would underline the letter that follows it.
        self.header.setText(f"{arrow}  {self._title}{summary}".replace("&", "&&"))


def scrolled_column(widgets: Iterable[QWidget], stretched: QWidget) -> QScrollArea:
    """Stack widgets in an area that scrolls up and down; one takes the room that is left."""
    content = QWidget()
    column = QVBoxLayout(content)
    column.setContentsMargins(4, 4, 4, 4)
    column.setSpacing(4)
    for widget in widgets:
        column.addWidget(widget, 1 if widget is stretched else 0)
    for label in content.findChildren(QLabel):
        if label.wordWrap():
            let_cut(label)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(content)
    return scroll


def let_cut(label: QLabel) -> None:
    """Do not let one long word, a UID or a path, make the column wider than its dock."""
    policy = label.sizePolicy()
    policy.setHorizontalPolicy(QSizePolicy.Policy.Ignored)
    label.setSizePolicy(policy)
