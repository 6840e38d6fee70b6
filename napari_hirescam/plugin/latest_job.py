"""Measuring in a thread: the last request counts, those before it are dropped."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer, Signal

from napari_hirescam.plugin.jobs import CurrentJob, Job, Work

# Painting asks many times a second.
_PATIENCE_MS = 250


class LatestJob(QObject):
    """Carries out the work that was asked for last, once nothing has been asked for a moment."""

    succeeded = Signal(object)
    #: Carries a HirescamError.
    failed = Signal(object)
    busy_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self._asked: tuple[Work, str] | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PATIENCE_MS)
        self._soon.timeout.connect(self._start)

    @property
    def busy(self) -> bool:
        """True while something is asked for or worked on."""
        return self._asked is not None or self._current.job is not None

    def ask(self, work: Work, subject: str) -> None:
        """Do this, and nothing that was asked for before."""
        self._current.abandon()
        self._asked = (work, subject)
        self._soon.start()
        self.busy_changed.emit()

    def abandon(self) -> None:
        """Do nothing, and report nothing of what is going on."""
        was_busy = self.busy
        self._soon.stop()
        self._asked = None
        self._current.abandon()
        if was_busy:
            self.busy_changed.emit()

    def _start(self) -> None:
        if self._asked is None:
            return
        (work, subject), self._asked = self._asked, None
        job = self._current.job = Job(work, subject, doing=f"measuring the maps of {subject}")
        job.succeeded.connect(self.succeeded)
        job.failed.connect(self.failed)
        job.ended.connect(self._on_ended)
        job.start()

    def _on_ended(self) -> None:
        self._current.job = None
        self.busy_changed.emit()
