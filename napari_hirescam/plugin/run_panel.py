"""Run, Cancel and the progress of whatever takes long."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.compute_panel import ComputeSettings
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error
from napari_hirescam.plugin.verdict import DOUBT_COLOUR, SAME_COLOUR

if TYPE_CHECKING:
    from napari_hirescam.attention import Explanation
    from napari_hirescam.models import Classifier
    from napari_hirescam.volume import Volume

    Point = tuple[float, float, float]


class RunPanel(QWidget):
    """The button that runs the model on the CT, and cancels while it runs."""

    run_requested = Signal()
    #: Carries (Volume, Explanation); only for runs that came to their end.
    explained = Signal(object, object)
    failed = Signal(object)
    busy_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self._volume: Volume | None = None
        self._ready = self._quiet = False

        self._button = QPushButton("Run")
        self._button.setToolTip("Score the CT and compute the attention maps of every label.")
        self._button.setMinimumHeight(30)
        self._button.clicked.connect(self._on_clicked)
        self._bar = QProgressBar()
        self._bar.setTextVisible(True)
        self._bar.hide()
        self._hint = QLabel()
        self._hint.setWordWrap(True)
        self._notices = QLabel()
        self._notices.setWordWrap(True)
        self._notices.hide()

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        layout.addWidget(self._bar)
        layout.addWidget(self._hint)
        layout.addWidget(self._notices)
        self.set_ready(ready=False, hint="")

    @property
    def button(self) -> QPushButton:
        """Run or Cancel."""
        return self._button

    @property
    def job(self) -> Job | None:
        """The run that is going on."""
        return self._current.job

    @property
    def hint_text(self) -> str:
        """What is missing for a run, or what it will look at."""
        text: str = self._hint.text()
        return text

    @property
    def notices_text(self) -> str:
        """What is said of the maps that are shown."""
        text: str = self._notices.text()
        return text if self._notices.isVisibleTo(self) else ""

    def set_notices(self, warnings: Sequence[str], notes: Sequence[str]) -> None:
        """Say what makes the shown maps outdated, and what happened in their run."""
        lines = [
            *(f'<span style="color:{DOUBT_COLOUR}">⚠ {escape(text)}</span>' for text in warnings),
            *(f'<span style="color:{SAME_COLOUR}">ℹ {escape(text)}</span>' for text in notes),  # noqa: RUF001
        ]
        self._notices.setText("<br>".join(lines))
        self._notices.setVisible(bool(lines))

    def set_ready(self, *, ready: bool, hint: str) -> None:
        """Say whether there is enough for a run, and what is missing or worth knowing."""
        self._ready = ready
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        if self._current.job is None:
            self._button.setEnabled(ready)

    def start(
        self,
        volume: Volume,
        classifier: Classifier,
        methods: Sequence[str],
        at_mm: Point | None = None,
        settings: ComputeSettings | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """Explain a CT in a thread; a quiet run shows neither progress nor a way to cancel."""
        if self._current.job is not None:
            return
        how = settings or ComputeSettings(classifier.device)

        def work(progress: Progress, should_stop: ShouldStop) -> Explanation:
            from napari_hirescam.attention import explain

            placed = how.place(classifier)

            return explain(
                volume,
                placed,
                methods=methods,
                at_mm=at_mm,
                mixed_precision=how.mixed_precision,
                prepared=how.prepared,
                progress=progress,
                should_stop=should_stop,
            )

        self._volume = volume
        self._current.job = Job(work, subject=volume.name)
        self._current.job.progressed.connect(self._on_progress)
        self._current.job.succeeded.connect(self._on_succeeded)
        self._current.job.failed.connect(self._on_failed)
        self._current.job.ended.connect(self._on_ended)
        self._quiet = quiet
        if not quiet:
            self._button.setText("Cancel")
            self._button.setToolTip("Stop the computation; nothing that is shown changes.")
            self.show_progress("Preparing the CT", 0, 0)
        self.busy_changed.emit()
        self._current.job.start()

    def cancel(self) -> None:
        """Ask the run to stop."""
        if self._current.job is not None:
            self._current.job.stop()
            self._button.setText("Cancelling…")
            self._button.setEnabled(False)

    def abandon(self) -> None:
        """Stop the run and report nothing any more."""
        if self._current.job is not None:
            self._current.abandon()
            self._on_ended()

    def show_progress(self, what: str, done: int, total: int) -> None:
        """Show how far something is; a total of 0 means that nobody knows."""
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self._bar.setFormat(f"{what}: %p %")
        self._bar.show()

    def hide_progress(self) -> None:
        """Take the bar away, unless a run needs it."""
        if self._current.job is None:
            self._bar.hide()

    def _on_clicked(self) -> None:
        if self._current.job is None:
            self.run_requested.emit()
        elif not self._quiet:
            self.cancel()

    def _on_progress(self, done: int, total: int) -> None:
        if not self._quiet:
            self.show_progress("Computing", done, total)

    def _on_succeeded(self, explanation: Explanation) -> None:
        volume, self._volume = self._volume, None
        self.explained.emit(volume, explanation)

    def _on_failed(self, error: HirescamError) -> None:
        tell_error(error)
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self._current.job = None
        self._volume = None
        self._button.setText("Run")
        self._button.setToolTip("Score the CT and compute the attention maps of every label.")
        self._button.setEnabled(self._ready)
        self._bar.hide()
        self.busy_changed.emit()
