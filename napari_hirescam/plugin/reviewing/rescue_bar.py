"""The question what becomes of strokes that an unfinished edit left behind."""

from __future__ import annotations

from datetime import datetime

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout


class RescueBar(QFrame):
    """Says when the rescued strokes were made, and asks whether to go on with them."""

    go_on = Signal()
    start_anew = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setStyleSheet(
            "RescueBar { background: rgba(255, 176, 0, 50); border: 1px solid #ffb000; }"
        )
        self._asking = False
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.yes = QPushButton("Go on (Y)")
        self.no = QPushButton("Start anew (N)")
        self.no.setToolTip("Forget the rescued strokes")
        self.yes.clicked.connect(self._on_yes)
        self.no.clicked.connect(self._on_no)
        buttons = QHBoxLayout()
        buttons.addWidget(self.yes)
        buttons.addWidget(self.no)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(self.words)
        layout.addLayout(buttons)
        self.hide()

    @property
    def asking(self) -> bool:
        """True until it has been answered."""
        return self._asking

    def ask(self, saved_at: datetime, unfit: str = "") -> None:
        """Ask.

        Parameters
        ----------
        saved_at
            When the strokes were last saved; with a time zone.
        unfit
            Why they cannot be put onto the mask; then there is only one answer.
        """
        when = saved_at.astimezone()
        same_day = when.date() == datetime.now().astimezone().date()
        clock = when.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M")
        self.words.setText(
            f"Strokes of {clock} were rescued, but cannot be used: {unfit}."
            if unfit
            else f"Strokes of {clock} were rescued: go on with them, or start anew?"
        )
        self.yes.setEnabled(not unfit)
        self._asking = True
        self.show()

    def hide_question(self) -> None:
        """It has been answered."""
        self._asking = False
        self.hide()

    def _on_yes(self) -> None:
        self.go_on.emit()

    def _on_no(self) -> None:
        self.start_anew.emit()
