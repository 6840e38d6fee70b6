"""Asking, before it runs, whether a model's own Python code may run."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QFontDatabase, QTextOption
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.models.trust import readable

if TYPE_CHECKING:
    from napari_hirescam.models.trust import TrustRequest

# How often a waiting thread looks whether it was told to stop.
_LOOK_S = 0.1


class TrustDialog(QDialog):
    """Shows the code, where it lies and its digest; 'No' is the default answer."""

    def __init__(self, request: TrustRequest, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("This model brings its own code")
        self.resize(760, 560)
        layout = QVBoxLayout(self)
        intro = QLabel(
            f"<b>Loading this model runs the {request.what} below with your rights.</b><br>"
            "It can read, change and send your files. Say yes only if you know where it comes "
            "from. The answer is remembered for exactly these files."
        )
        intro.setWordWrap(True)
        layout.addWidget(intro)

        facts = QLabel(f"{readable(str(request.path))}\nSHA-256  {request.sha256}")
        facts.setTextFormat(Qt.TextFormat.PlainText)  # a path may be spelt like HTML
        facts.setWordWrap(True)
        facts.setTextInteractionFlags(facts.textInteractionFlags().TextSelectableByMouse)
        layout.addWidget(facts)

        code = QPlainTextEdit(request.code)
        code.setReadOnly(True)
        code.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        # Behind a thousand blanks, code must not lie out of sight.
        code.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        code.setWordWrapMode(QTextOption.WrapMode.WrapAnywhere)
        layout.addWidget(code, 1)

        buttons = QDialogButtonBox()
        yes = buttons.addButton("Yes, run it", QDialogButtonBox.ButtonRole.AcceptRole)
        no = buttons.addButton("No", QDialogButtonBox.ButtonRole.RejectRole)
        yes.setAutoDefault(False)
        no.setDefault(True)
        no.setFocus()
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)


class TrustQuestion(QObject):
    """Carries the question from the loading thread to the GUI thread and the answer back.

    Parameters
    ----------
    parent
        The widget the dialog belongs to.
    """

    _asked = Signal(object, object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._widget = parent
        self._asked.connect(self._answer)

    def ask(self, request: TrustRequest, should_stop: Callable[[], bool]) -> bool:
        """Wait, in the loading thread, for the user's answer; a stop request counts as no."""
        answer: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._asked.emit(request, answer)
        while not should_stop():
            try:
                return answer.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
        return False

    def _answer(self, request: TrustRequest, answer: queue.SimpleQueue[bool]) -> None:
        dialog = TrustDialog(request, self._widget)
        answer.put(dialog.exec() == QDialog.DialogCode.Accepted)
        dialog.deleteLater()
