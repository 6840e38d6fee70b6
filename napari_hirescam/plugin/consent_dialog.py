"""Asking before a scan is mended: what is wrong, and what each repair would do to it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_hirescam.geometry_report import effect_of, title_of

if TYPE_CHECKING:
    from napari_hirescam.io import ConsentNeededError
    from napari_hirescam.source import Repair


class ConsentDialog(QDialog):
    """One button for each repair; 'Do not open' is the default.

    Parameters
    ----------
    error
        What the reader asks.
    name
        Of the file or folder, as the user knows it.
    parent
        The window the dialog belongs to.
    """

    def __init__(self, error: ConsentNeededError, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open with a repair?")
        self.setMinimumWidth(460)
        #: What the user agreed to; None before, and if nothing.
        self.repair: Repair | None = None
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(_text(f"<b>{escape(name)}</b> cannot be read as it is:"))
        layout.addWidget(_text(f"{escape(error.reason)}."))
        for repair in error.repairs:
            layout.addWidget(
                _text(f"<b>{escape(title_of(repair))}</b> {escape(effect_of(repair))}.")
            )
        layout.addWidget(
            _text(
                "A repaired scan says so in its name, in its geometry report and in every file "
                "saved from it."
            )
        )
        buttons = QDialogButtonBox()
        for repair in error.repairs:
            button = QPushButton(title_of(repair))
            button.setAutoDefault(False)
            button.setProperty("repair", repair.value)
            button.clicked.connect(self._agree)
            buttons.addButton(button, QDialogButtonBox.ButtonRole.ActionRole)
        no = buttons.addButton("Do not open", QDialogButtonBox.ButtonRole.RejectRole)
        no.setDefault(True)
        no.setFocus()
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    def _agree(self) -> None:
        from napari_hirescam.source import Repair

        self.repair = Repair(self.sender().property("repair"))
        self.accept()


def _text(words: str) -> QLabel:
    label = QLabel(words)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setWordWrap(True)
    return label
