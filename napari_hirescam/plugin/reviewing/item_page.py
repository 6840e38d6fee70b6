"""One item in the panel: what it is, how far the reader is, what is asked, found and said."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.reviewing.checks_panel import ChecksPanel
from napari_hirescam.plugin.reviewing.form_panel import FormPanel
from napari_hirescam.plugin.reviewing.history_text import history_lines, others_lines
from napari_hirescam.plugin.reviewing.settle_panel import SettlePanel
from napari_hirescam.plugin.section import Section, let_cut
from napari_hirescam.review.words import duration_words

if TYPE_CHECKING:
    from napari_hirescam.plugin.reviewing.sitting import Sitting
    from napari_hirescam.review.review_file import Progress

# Behind what is said, by how much it matters.
_NOTE, _TROUBLE = "rgba(128, 128, 128, 50)", "#8a2f2a"


class Notice(QWidget):
    """A sentence above the form, and a button where something can be done about it."""

    acted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        let_cut(self.label)
        self.button = QPushButton()
        self.button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.button.clicked.connect(lambda _down: self.acted.emit())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label, 1)
        layout.addWidget(self.button)
        self.clear()

    @property
    def text(self) -> str:
        """What is said; empty if nothing is."""
        return self.label.text() if not self.isHidden() else ""

    def say(self, words: str, *, trouble: bool = False, button: str = "") -> None:
        """Say this; nothing if it is empty."""
        self.label.setText(words)
        colour = f"background: {_TROUBLE}; color: white;" if trouble else f"background: {_NOTE};"
        style = f"QLabel {{ {colour} padding: 4px; border-radius: 3px; }}"
        if style != self.label.styleSheet():  # Qt takes long over a style, be it the same
            self.label.setStyleSheet(style)
        self.button.setText(button)
        self.button.setVisible(bool(button))
        self.setVisible(bool(words))

    def clear(self) -> None:
        """Say nothing."""
        self.say("")


class ItemPage(QWidget):
    """The panel while an item is on the screen."""

    previous_asked = Signal()
    next_asked = Signal()
    edit_asked = Signal()
    attention_asked = Signal()
    finish_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.title.setWordWrap(True)
        self.title.setStyleSheet("font-weight: bold;")
        self.about = QLabel()
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        self.about.setWordWrap(True)
        self.about.setStyleSheet("color: gray;")
        for label in (self.title, self.about):
            let_cut(label)
        self.bar = QProgressBar()
        self.bar.setMaximumHeight(16)
        self.unsaved = Notice()
        self.notice = Notice()
        self.settling = SettlePanel()
        self.form = FormPanel()
        self.checks = ChecksPanel()
        self.checks_section = Section(
            "Automatic checks",
            self.checks,
            tip="Hints, never a verdict. ] and [ go to the suspicious places.",
        )
        self._history = QLabel()
        self._history.setTextFormat(Qt.TextFormat.PlainText)
        self._history.setWordWrap(True)
        self.history_section = Section(
            "History", self._history, unfolded=False, tip="All that was ever said of this item."
        )
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 2, 0)
        column.setSpacing(5)
        for part in (self.settling, self.form, self.checks_section, self.history_section):
            column.addWidget(part)
        column.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setWidget(content)
        self.previous = _button("◀ P", "Previous item of the list.  (P)", self.previous_asked)
        self.edit = _button("Edit  E", "Correct the mask.  (E)", self.edit_asked)
        self.attention = _button(
            "Map  M", "Map of attention on and off.  (M)", self.attention_asked
        )
        self.attention.setCheckable(True)
        self.next = _button(
            "Done  N ▶", "Final if complete, and on to the next.  (N)", self.next_asked
        )
        self.finish = _button(
            "Finish  Q", "How far you are; results; leave the review.  (Q)", self.finish_asked
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(3)
        for button in (self.previous, self.edit, self.attention, self.next, self.finish):
            buttons.addWidget(button, 2 if button is self.next else 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(5)
        for widget in (self.title, self.about, self.bar, self.unsaved, self.notice):
            layout.addWidget(widget)
        layout.addWidget(self._scroll, 1)
        layout.addLayout(buttons)

    def show_item(self, sitting: Sitting) -> None:
        """Show what is asked of the item in front of the reader, and what was said."""
        item = sitting.item
        if item is None:
            return
        form = sitting.review.plan.form
        is_mask = item.kind == "mask"
        what = item.target if is_mask else f"attention for {item.target}"
        place = f"{sitting.place(item.number)} of {sitting.total}"
        name = f"{item.case}  ·  " if sitting.shows_names() else ""
        self.title.setText(f"{place}:  {name}{what}")
        shown = sitting.shows_names() and sitting.shows_checks()
        about = "  ·  ".join(f"{key}: {value}" for key, value in sitting.about().items())
        self.about.setText(about)
        self.about.setVisible(shown and bool(about))
        self.form.ask(
            sitting.scale(),
            form.reasons if is_mask else {},
            sitting.questions(),
            decides=is_mask,
        )
        self.settling.show_answers(*sitting.to_settle())
        self.edit.setVisible(is_mask)
        has_map = item.attention is not None or item.model is not None
        self.attention.setVisible(has_map)
        self.checks_section.setVisible(is_mask and sitting.shows_checks())
        self._scroll.verticalScrollBar().setValue(0)
        self.show_answers(sitting)

    def show_answers(self, sitting: Sitting) -> None:
        """Show what holds by now, and how far the reader is."""
        verdict = sitting.verdict()
        self.form.show_verdict(verdict)
        self.next.setText("Next  N ▶" if sitting.missing() else "Done  N ▶")
        self.title.setText(
            self.title.text().removesuffix("   ✓ final") + ("   ✓ final" if verdict.done else "")
        )
        others = others_lines(sitting.others())
        lines = history_lines(sitting.history())
        self._history.setText("\n".join([*others, *lines]) or "Nothing was said yet.")
        self.history_section.set_summary(
            f"{len(lines)} "
            + ("entry" if len(lines) == 1 else "entries")
            + (f", {len(others)} of others" if others else "")
        )
        self.show_unsaved(sitting)
        self.show_progress(sitting.review.progress(sitting.reader))

    def show_unsaved(self, sitting: Sitting) -> None:
        """Say what is not on the disk, and offer to try again."""
        unsaved = sitting.unsaved
        if not unsaved:
            self.unsaved.clear()
            return
        n = len(unsaved)
        answers = "answer is" if n == 1 else "answers are"
        self.unsaved.say(
            f"Not saved: {n} {answers} kept in this window only. {unsaved[0].why}",
            trouble=True,
            button="Try again",
        )

    def show_progress(self, progress: Progress) -> None:
        """Show how far the reader is, and when they will be through."""
        closed = progress.done + progress.unreadable
        left = progress.total - closed
        self.bar.setRange(0, max(progress.total, 1))
        self.bar.setValue(closed)
        words = f"{progress.done} done, {left} left"
        if not isnan(progress.seconds_an_item):
            each = progress.seconds_an_item
            words += f"  ·  {duration_words(each)} each"
            if left:
                words += f", about {duration_words(left * each)} to go"
        self.bar.setFormat(words.replace("%", "%%"))

    def show_loading(self, done: int, total: int) -> None:
        """Say that an item is being read."""
        share = f" {10 * (10 * done // total)} %" if total > 0 else ""
        words = f"Reading CT and mask …{share}"
        if words != self.notice.text:
            self.notice.say(words)


def _button(text: str, tip: str, signal: object) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.setStyleSheet(
        "QPushButton { padding: 4px 4px; } QPushButton:checked { background: #41709c; }"
    )
    button.clicked.connect(lambda _down: signal.emit())  # type: ignore[attr-defined]
    return button
