"""How far the reader is, and what comes next: go on, results, settle differences, leave."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.reviewing.item_page import Notice
from napari_hirescam.review.words import duration_words

if TYPE_CHECKING:
    from napari_hirescam.errors import HirescamError
    from napari_hirescam.plugin.reviewing.sitting import Sitting
    from napari_hirescam.review.export import Exported


class FinishPage(QWidget):
    """Shown when the list is through, or when the reader asks for it."""

    back_asked = Signal()
    leave_asked = Signal()
    #: Carries the file of a review to go on with.
    open_asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.summary.setTextFormat(Qt.TextFormat.PlainText)
        self.back = QPushButton("&Go on reviewing")
        self.back.clicked.connect(lambda _down: self.back_asked.emit())
        self.folder = QLineEdit()
        self.folder.setToolTip("A new folder for tables, report and pictures.")
        self.folder.returnPressed.connect(self.write_report)
        self.report = QPushButton("Write &report")
        self.report.setToolTip("Agreement, tables and pictures of all readers; opens when done.")
        self.report.clicked.connect(lambda _down: self.write_report())
        self.settling = QLineEdit()
        self.settling.setToolTip("File of a new review: items that readers judged differently.")
        self.settling.returnPressed.connect(self.settle)
        # Alt+S, C and T are napari's own, and a key of two actions does neither.
        self.settle_button = QPushButton("Settle d&ifferences")
        self.settle_button.setToolTip(
            "Items whose ratings differ by 2 or more, or whose decisions differ, as a review of "
            "their own that opens at once."
        )
        self.settle_button.clicked.connect(lambda _down: self.settle())
        self.leave = QPushButton("Leav&e the review")
        self.leave.clicked.connect(lambda _down: self.leave_asked.emit())
        self.bar = QProgressBar()
        self.bar.hide()
        self.notice = Notice()
        self.notice.acted.connect(self._show_report)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Results to", _side_by_side(self.folder, self.report))
        form.addRow("New review", _side_by_side(self.settling, self.settle_button))
        layout = QVBoxLayout(self)
        layout.addWidget(self.summary)
        layout.addWidget(self.back)
        layout.addLayout(form)
        for widget in (self.bar, self.notice, self.leave):
            layout.addWidget(widget)
        layout.addStretch(1)
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self._review = Path()
        self._page: Path | None = None

    def show_sitting(self, sitting: Sitting) -> None:
        """Say how far a reader is."""
        path = sitting.review.path
        if path != self._review:
            self._review = path
            self.folder.setText(str(path.with_name(f"{path.stem}_results")))
            self.settling.setText(str(path.with_name(f"{path.stem}_settled{path.suffix}")))
            self.notice.clear()
        progress = sitting.review.progress(sitting.reader)
        left = progress.total - progress.done - progress.unreadable
        lines = [f"{sitting.review.plan.name}  ·  {sitting.reader}"]
        lines.append(f"{progress.done} of {progress.total} items are final, {left} are open.")
        if left and sitting.next_open() is not None:
            lines[-1] += " An open item is never counted in results."
        if progress.unreadable:
            lines.append(f"{progress.unreadable} cannot be read; the list shows them.")
        if progress.flagged:
            lines.append(f"{progress.flagged} are flagged.")
        if progress.seconds_an_item == progress.seconds_an_item:  # not NaN
            lines.append(f"{duration_words(progress.seconds_an_item)} for an item (median).")
        lines.append("All answers are on the disk." if not sitting.unsaved else "")
        self.summary.setText("\n".join(line for line in lines if line))

    def take_focus(self) -> None:
        """Let Tab, Enter and Esc work here."""
        self.back.setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102, N802
        enter = event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter}
        if event.key() == Qt.Key.Key_Escape or (enter and self.back.hasFocus()):
            self.back_asked.emit()
        else:
            super().keyPressEvent(event)

    # -- results -----------------------------------------------------------------------------

    def write_report(self) -> None:
        """Write tables, agreement and report of all readers."""
        review, folder = self._review, Path(self.folder.text().strip()).expanduser()

        def work(progress: Progress, should_stop: ShouldStop) -> Exported:
            from napari_hirescam.review.export import export_results
            from napari_hirescam.review.review_file import ReviewFile

            with ReviewFile.open(review) as opened:
                return export_results(
                    opened, folder, overwrite=True, progress=progress, should_stop=should_stop
                )

        self._start(work, "the report", self._on_report)

    def settle(self) -> None:
        """Make a review of what readers judged differently, and open it."""
        review, path = self._review, Path(self.settling.text().strip()).expanduser()

        def work(_progress: Progress, _should_stop: ShouldStop) -> Any:
            from napari_hirescam.review.adjudication import adjudication_review
            from napari_hirescam.review.review_file import ReviewFile

            with ReviewFile.open(review) as opened:
                adjudication_review(opened, path).close()
            return path

        self._start(work, "the review of differences", self._on_settling)

    def _start(
        self,
        work: Callable[[Progress, ShouldStop], Any],
        subject: str,
        then: Callable[[Any], None],
    ) -> None:
        if self._current.job is not None:
            return
        self.notice.clear()
        self.bar.setRange(0, 0)
        self.bar.show()
        self._enable(False)
        job = self._current.job = Job(work, subject, doing=f"writing {subject}")
        job.progressed.connect(self._on_progressed)
        job.succeeded.connect(then)
        job.failed.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        job.start()

    def _on_progressed(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _on_report(self, exported: Exported) -> None:
        pages = [file for file in exported.files if file.suffix == ".html"]
        self._page = pages[0] if pages else None
        notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in exported.notes)
        words = f"{len(exported.files)} files are in {exported.folder}.{notes}"
        self.notice.say(words, button="Show" if pages else "")

    def _on_settling(self, path: Path) -> None:
        self.open_asked.emit(path)

    def _on_failed(self, error: HirescamError) -> None:
        self.notice.say(str(error), trouble=True)

    def _on_ended(self) -> None:
        self._current.job = None
        self.bar.hide()
        self._enable(True)

    def _enable(self, enabled: bool) -> None:  # noqa: FBT001 - as Qt's setEnabled
        for widget in (self.report, self.settle_button, self.folder, self.settling, self.leave):
            widget.setEnabled(enabled)

    def _show_report(self) -> None:
        if self._page is not None:
            webbrowser.open(self._page.as_uri())


def _side_by_side(line: QLineEdit, button: QPushButton) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(line, 1)
    layout.addWidget(button)
    return row
