"""The dialog "New review": from a table or folder to a review's file, in a worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.reviewing.item_page import Notice
from napari_hirescam.plugin.reviewing.review_plan_form import ReviewPlanForm
from napari_hirescam.plugin.reviewing.review_source import ReviewSource

if TYPE_CHECKING:
    from napari_hirescam.review.work_list import Problem, WorkList

_PROBLEMS_SHOWN = 5


class NewReviewDialog(QDialog):
    """One page: what is reviewed, how, and where the file goes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New review")
        self.resize(760, 690)
        #: The file that was made; None as long as there is none.
        self.made: Path | None = None
        self.source = ReviewSource()
        self.plan = ReviewPlanForm()
        self.out = QLineEdit()
        self.out.setPlaceholderText("file that all readers can reach, review.db say")
        browse = QPushButton("Browse…")
        browse.clicked.connect(self._ask_out)
        self.notice = Notice()
        self.bar = QProgressBar()
        self.bar.hide()
        self.create_button = QPushButton("&Create review")
        self.create_button.setDefault(True)
        self.create_button.clicked.connect(lambda _down: self.make())
        self.cancel = QPushButton("Cancel")
        self.cancel.clicked.connect(lambda _down: self._on_cancel())
        for button in (browse, self.cancel):
            button.setAutoDefault(False)
        line = QHBoxLayout()
        line.addWidget(self.out, 1)
        line.addWidget(browse)
        place = QFormLayout()
        place.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        place.addRow("Review's file", line)
        content = QWidget()
        column = QVBoxLayout(content)
        column.addWidget(self.source)
        column.addWidget(self.plan)
        column.addLayout(place)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(content)
        buttons = QHBoxLayout()
        buttons.addWidget(self.bar, 1)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.create_button)
        layout = QVBoxLayout(self)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.notice)
        layout.addLayout(buttons)
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        # What was left out, once the user has been told of it, and of what.
        self._told: tuple[Any, ...] = ()
        self.source.changed.connect(self._on_source)
        self.out.textChanged.connect(self._update)
        self._update()
        self.source.path.setFocus()

    def make(self) -> None:
        """Make the review; what is left out is said first, and agreed to by pressing again."""
        recognised = self.source.recognised
        if self._current.job is not None or recognised is None:
            return
        try:
            plan = self.plan.plan()
        except HirescamError as error:
            self.notice.say(str(error), trouble=True)
            return
        out = Path(self.out.text().strip()).expanduser()
        columns = self.source.chosen_columns() if recognised.layout == "table" else None
        choices, told, check = self.plan.choices(), self._told, self.plan.check.isChecked()

        def work(progress: Progress, should_stop: ShouldStop) -> tuple[WorkList, bool]:
            from napari_hirescam.review.new_review import create_review
            from napari_hirescam.review.work_list import plan_items

            work_list = plan_items(
                recognised.path,
                columns=columns,
                **choices,
                progress=progress,
                should_stop=should_stop,
            )
            if work_list.problems and work_list.problems != told:
                return work_list, False
            create_review(
                out,
                plan,
                work_list,
                check=check,
                progress=progress,
                should_stop=should_stop,
            ).close()
            return work_list, True

        self._start(work, lambda result: self._on_done(out, *result))

    def done(self, result: int) -> None:
        """Stop what runs when the dialog closes."""
        self.source.abandon()
        self._current.abandon()
        super().done(result)

    def _start(
        self, work: Callable[[Progress, ShouldStop], Any], then: Callable[[Any], None]
    ) -> None:
        self.notice.say("Making the review …")
        self.bar.setRange(0, 0)
        self.bar.show()
        job = self._current.job = Job(work, "the new review", doing="making a review")
        job.progressed.connect(self._on_progressed)
        job.succeeded.connect(then)
        job.failed.connect(lambda error: self.notice.say(str(error), trouble=True))
        job.cancelled.connect(lambda: self.notice.say("Stopped; nothing was made."))
        job.ended.connect(self._on_ended)
        job.start()
        self._update()

    def _on_done(self, out: Path, work_list: WorkList, made: bool) -> None:  # noqa: FBT001
        if made:
            self.made = out
            self.accept()
            return
        self._told = work_list.problems
        n, left = len(work_list.items), len(work_list.problems)
        shown = "\n".join(_in_words(one) for one in work_list.problems[:_PROBLEMS_SHOWN])
        more = f"\n… and {left - _PROBLEMS_SHOWN} more" if left > _PROBLEMS_SHOWN else ""
        self.notice.say(
            f"{n:,} items. {left:,} left out; press again to go on without them:\n{shown}{more}",
            trouble=True,
        )

    def _on_progressed(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _on_ended(self) -> None:
        self._current.job = None
        self.bar.hide()
        self._update()

    def _on_cancel(self) -> None:
        if self._current.job is not None:
            self._current.job.stop()
        else:
            self.reject()

    def _on_source(self) -> None:
        self._told = ()
        recognised = self.source.recognised
        if recognised is not None:
            if not self.plan.name.text().strip():
                self.plan.name.setText(recognised.path.stem)
            if not self.out.text().strip():
                name = f"{recognised.path.stem}_review.db"
                self.out.setText(str(recognised.path.with_name(name)))
        self._update()

    def _update(self) -> None:
        ready = self.source.recognised is not None and bool(self.out.text().strip())
        self.create_button.setEnabled(ready and self._current.job is None)

    def _ask_out(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Review's file", self.out.text(), "Reviews (*.db)"
        )
        if name:
            self.out.setText(name)


def _in_words(problem: Problem) -> str:
    where = f"row {problem.row}" if problem.row is not None else ""
    return f"{', '.join(part for part in (where, problem.case) if part)}: {problem.reason}"
