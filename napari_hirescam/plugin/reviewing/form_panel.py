"""What is asked of the item on the screen, and what was answered; it keeps nothing itself."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.reviewing.rows import Rows
from napari_hirescam.review.form import Decision

if TYPE_CHECKING:
    from napari_hirescam.review.event import Verdict
    from napari_hirescam.review.form import Scale, YesNoQuestion

#: Decision -> (word on its button, key, tool tip).
DECISIONS: Mapping[Decision, tuple[str, str, str]] = {
    "use": ("Use", "A", "The mask, or its corrected copy, is used in training and evaluation."),
    "rough": ("Rough", "⇧A", "A rough region stands in for the mask."),
    "resegment": ("Redo", "⇧R", "Left out until it has been segmented again."),
    "exclude": ("Exclude", "R", "Left out."),
}
#: Colour of a button that is down, by the step of the scale: from red to green.
STEP_COLOURS = ("#b3372f", "#b5652a", "#93801f", "#5c8a2f", "#2f8a4a")
_DECISION_COLOURS = {"use": 4, "rough": 2, "resegment": 1, "exclude": 0}
_PLAIN = "QPushButton { text-align: left; padding: 2px 6px; }"
_CENTRED = "QPushButton { padding: 3px 2px; }"


class FormPanel(QWidget):
    """Scale, reasons, decision, questions, comment and flag of one item."""

    #: Carries kind, value and what it is about, as ReviewFile.record takes them.
    answered = Signal(str, object, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._question = QLabel()
        self._question.setWordWrap(True)
        self._question.setStyleSheet("font-weight: bold;")
        self._steps, self._reasons, self._questions = Rows(), Rows(), Rows()
        self.ratings: dict[int, QPushButton] = {}
        self.reasons: dict[str, QPushButton] = {}
        self.questions: dict[str, tuple[QPushButton, QPushButton]] = {}
        self.decisions: dict[Decision, QPushButton] = {}
        self._decision_row = QWidget()
        row = QHBoxLayout(self._decision_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for decision, (word, key, tip) in DECISIONS.items():
            button = _toggle(f"{key}  {word}", f"{tip}  ({key.replace('⇧', 'Shift+')})")
            colour = STEP_COLOURS[_DECISION_COLOURS[decision]]
            button.setStyleSheet(_CENTRED + _down(colour))
            button.clicked.connect(lambda _down, what=decision: self.decide(what))
            row.addWidget(button, 1)
            self.decisions[decision] = button
        self.comment = CommentLine()
        self.comment.committed.connect(self._on_comment)
        self.flag = QToolButton()
        self.flag.setText("⚑ F")
        self.flag.setCheckable(True)
        self.flag.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.flag.setToolTip("Flag it, to come back to or to show to others.  (F)")
        self.flag.setStyleSheet("QToolButton:checked { background: #b58900; color: black; }")
        self.flag.clicked.connect(lambda _down: self.toggle_flag())
        remarks = QHBoxLayout()
        remarks.setSpacing(2)
        remarks.addWidget(self.comment, 1)
        remarks.addWidget(self.flag)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (
            self._question,
            self._steps,
            self._reasons,
            self._decision_row,
            self._questions,
        ):
            layout.addWidget(widget)
        layout.addLayout(remarks)
        self._verdict: Verdict | None = None
        self._asked: tuple[object, ...] = ()

    # -- what is asked -------------------------------------------------------------------

    def ask(
        self,
        scale: Scale,
        reasons: Mapping[str, str],
        questions: tuple[YesNoQuestion, ...],
        *,
        decides: bool,
    ) -> None:
        """Ask this from now on."""
        asked = (scale, tuple(reasons.items()), questions, decides)
        if asked == self._asked:
            return
        self._asked = asked
        self._question.setText(scale.question)
        self.ratings = self._fill_steps(scale)
        self.reasons = self._fill_reasons(reasons)
        self.questions = self._fill_questions(questions)
        self._reasons.setVisible(bool(reasons))
        self._questions.setVisible(bool(questions))
        self._decision_row.setVisible(decides)

    def show_verdict(self, verdict: Verdict) -> None:
        """Show what was answered."""
        self._verdict = verdict
        for step, button in self.ratings.items():
            button.setChecked(verdict.rating == step)
        for key, button in self.reasons.items():
            button.setChecked(key in verdict.reasons)
        for decision, button in self.decisions.items():
            button.setChecked(verdict.decision == decision)
        for key, (yes, no) in self.questions.items():
            yes.setChecked(verdict.answers.get(key) is True)
            no.setChecked(verdict.answers.get(key) is False)
        self.comment.show_text(verdict.comment)
        self.flag.setChecked(verdict.flagged)

    # -- what is answered; the keys come here too -----------------------------------------

    def rate(self, step: int) -> None:
        """Rate; the same step once more takes it back."""
        if step in self.ratings and self._verdict is not None:
            self._answer("rating", None if self._verdict.rating == step else step)

    def decide(self, decision: Decision) -> None:
        """Decide; the same decision once more takes it back."""
        if self._decides and self._verdict is not None:
            self._answer("decision", None if self._verdict.decision == decision else decision)

    def toggle_reason(self, place: int) -> None:
        """Tick or untick a reason by its place, from 1."""
        keys = list(self.reasons)
        if self._verdict is None or place > len(keys):
            return
        ticked = set(self._verdict.reasons) ^ {keys[place - 1]}
        self._answer("reasons", [key for key in keys if key in ticked])

    def turn_question(self, place: int) -> None:
        """Turn a question, by its place from 1, from unanswered to yes to no and back."""
        keys = list(self.questions)
        if self._verdict is None or place > len(keys):
            return
        key = keys[place - 1]
        following = {None: True, True: False, False: None}
        self._answer("answer", following[self._verdict.answers.get(key)], key)

    def toggle_flag(self) -> None:
        """Flag, or take the flag away."""
        if self._verdict is not None:
            self._answer("flag", not self._verdict.flagged)

    def commit_comment(self) -> None:
        """Keep what stands in the comment's line: the item is about to be left."""
        self._on_comment(self.comment.text().strip())

    @property
    def _decides(self) -> bool:
        return not self._decision_row.isHidden()

    def _on_comment(self, text: str) -> None:
        if self._verdict is not None and text != self._verdict.comment:
            self._answer("comment", text)

    def _answer(self, kind: str, value: object, about: str = "") -> None:
        self.answered.emit(kind, value, about)
        if self._verdict is not None:
            # A click has turned a button by itself; what holds is what was kept.
            self.show_verdict(self._verdict)

    # -- building ------------------------------------------------------------------------

    def _fill_steps(self, scale: Scale) -> dict[int, QPushButton]:
        self._steps.clear()
        grid = self._steps.grid
        buttons = {}
        for step, caption in enumerate(scale.captions, 1):
            button = _toggle(f"{step}   {caption}", f"{caption}  ({step})")
            button.setStyleSheet(_PLAIN + _down(STEP_COLOURS[step - 1]))
            button.clicked.connect(lambda _down, step=step: self.rate(step))
            grid.addWidget(button, step - 1, 0)
            buttons[step] = button
        return buttons

    def _fill_reasons(self, reasons: Mapping[str, str]) -> dict[str, QPushButton]:
        self._reasons.clear()
        grid = self._reasons.grid
        buttons = {}
        for place, (key, words) in enumerate(reasons.items()):
            tip = f"{words}  (Ctrl+{place + 1})" if place < len("123456789") else words
            button = _toggle(words, tip)
            button.setStyleSheet("QPushButton { padding: 2px 2px; }" + _down("#6a5a9a"))
            button.clicked.connect(lambda _down, place=place: self.toggle_reason(place + 1))
            grid.addWidget(button, place // 2, place % 2)
            buttons[key] = button
        return buttons

    def _fill_questions(
        self, questions: tuple[YesNoQuestion, ...]
    ) -> dict[str, tuple[QPushButton, QPushButton]]:
        self._questions.clear()
        grid = self._questions.grid
        buttons = {}
        for place, question in enumerate(questions):
            words = QLabel(question.text)
            words.setWordWrap(True)
            yes, no = (_toggle(text, f"Alt+{place + 1}") for text in ("Yes", "No"))
            for button, value in ((yes, True), (no, False)):
                button.setStyleSheet(_CENTRED + _down("#41709c"))
                button.clicked.connect(
                    lambda down, key=question.key, value=value: self._answer(
                        "answer", value if down else None, key
                    )
                )
            grid.addWidget(words, place, 0)
            grid.addWidget(yes, place, 1)
            grid.addWidget(no, place, 2)
            buttons[question.key] = (yes, no)
        grid.setColumnStretch(0, 1)
        return buttons


class CommentLine(QLineEdit):
    """A line whose text is committed when the focus leaves it, by Enter or Esc or otherwise."""

    committed = Signal(str)
    #: Enter was pressed.
    entered = Signal()

    def __init__(self, placeholder: str = "Comment  (C)") -> None:
        super().__init__()
        self.setPlaceholderText(placeholder)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        # Weakly: it may be the canvas, which must be able to go.
        self._before: weakref.ref[QWidget] | None = None
        self.editingFinished.connect(lambda: self.committed.emit(self.text().strip()))

    def enter(self) -> None:
        """Take the focus; Esc or Enter gives it back to whoever had it."""
        focus = QApplication.focusWidget()
        if focus is not self:
            self._before = weakref.ref(focus) if focus is not None else None
        self.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def show_text(self, text: str) -> None:
        """Show a text, unless one is being written."""
        if not self.hasFocus() and self.text() != text:
            self.setText(text)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102, N802
        if event.key() in {Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter}:
            before = self._before() if self._before is not None else None
            self._before = None
            # Leaving commits.
            self.clearFocus()
            if before is not None:
                before.setFocus()
            event.accept()
            if event.key() != Qt.Key.Key_Escape:
                self.entered.emit()
            return
        super().keyPressEvent(event)


def _toggle(text: str, tip: str) -> QPushButton:
    button = QPushButton(text.replace("&", "&&"))
    button.setCheckable(True)
    button.setToolTip(tip)
    # The keys are the window's; a button that had the focus would take Space for itself.
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return button


def _down(colour: str) -> str:
    return f" QPushButton:checked {{ background: {colour}; color: white; }}"
