"""Long work in a thread, with progress, a stop request and an outcome that never gets lost.

superqt's workers report results and errors by signals of their own, but drop a
``RuntimeError`` (which is what torch raises) without a word. A :class:`Job` therefore catches
everything inside the thread and hands the outcome over when the worker has finished.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from napari.qt.threading import FunctionWorker, create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from napari_hirescam.errors import AttributionError, Cancelled, HirescamError

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]
Work = Callable[[Progress, ShouldStop], Any]


class _Titled:
    """A function under the name that napari shows where it asks before its window closes."""

    def __init__(self, run: Callable[[], None], title: str) -> None:
        self._run = run
        self._title = title

    def __call__(self) -> None:
        self._run()

    def __str__(self) -> str:
        return self._title


class _StoppableWorker(FunctionWorker):  # type: ignore[misc]
    """A function worker whose quit request, napari's own included, reaches the function."""

    def __init__(self, func: Callable[[], None], stop: threading.Event) -> None:
        super().__init__(func)
        self._stop_request = stop

    def quit(self) -> None:
        self._stop_request.set()
        super().quit()


class Job(QObject):
    """One piece of work in a thread of its own.

    Exactly one of `succeeded`, `failed` and `cancelled` is emitted, in the GUI thread, and
    `ended` after it; none of them after :meth:`abandon`.

    Parameters
    ----------
    work
        Called in the thread as ``work(progress, should_stop)``. Raises
        :class:`~napari_hirescam.errors.Cancelled` where it honoured the stop request.
    subject
        What the work is about, for the sentence shown should it fail unexpectedly.
    doing
        What napari says is going on where it asks before its window closes; the subject by itself
        if empty.
    """

    progressed = Signal(int, int)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()

    # Running jobs are held here, so that one outlives the panel that started it.
    _running: set[Job] = set()  # noqa: RUF012 - shared on purpose

    def __init__(self, work: Work, subject: str, doing: str = "") -> None:
        super().__init__()
        self._work = work
        self._subject = subject
        self._doing = doing or subject
        self._stop = threading.Event()
        self._abandoned = False
        self._result: Any = None
        self._error: Exception | None = None
        self._worker: _StoppableWorker | None = None

    def start(self) -> None:
        """Start the thread."""
        self._running.add(self)
        # create_worker, and not the class itself: so napari's task manager knows of the work
        # and asks before it closes the window.
        self._worker = create_worker(
            _Titled(self._run, self._doing),
            self._stop,
            _start_thread=False,
            _worker_class=_StoppableWorker,
        )
        self._worker.finished.connect(self._report)
        self._worker.start()

    @property
    def stopping(self) -> bool:
        """True once the work was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the work to stop; it answers by `cancelled` when it has."""
        self._stop.set()

    def abandon(self) -> None:
        """Ask the work to stop and report nothing to anybody any more."""
        self._abandoned = True
        self.stop()

    def _run(self) -> None:
        with warnings.catch_warnings():
            # superqt turns every warning of a thread, torch's deprecations included, into a
            # notification; what users need to know comes to them as a note or an error.
            warnings.showwarning = _log_warning
            try:
                self._result = self._work(self._progress, self._stop.is_set)
            except Exception as error:  # noqa: BLE001 - reported, whatever it is, by _report
                self._error = error

    def _progress(self, done: int, total: int) -> None:
        if not self._abandoned:
            self.progressed.emit(done, total)

    def _report(self) -> None:
        self._running.discard(self)
        if self._abandoned:
            return
        if isinstance(self._error, Cancelled) or (self._error is None and self.stopping):
            self.cancelled.emit()
        elif self._error is not None:
            self.failed.emit(as_sentence(self._error, self._subject))
        else:
            self.succeeded.emit(self._result)
        self.ended.emit()


class CurrentJob:
    """The job a panel is waiting for.

    Not a Qt object, so that it is still whole when Qt has deleted the panel: connect
    ``panel.destroyed`` to :meth:`abandon`.
    """

    def __init__(self) -> None:
        self.job: Job | None = None

    def abandon(self) -> None:
        """Stop the job, if there is one, and hear no more of it."""
        job, self.job = self.job, None
        if job is not None:
            job.abandon()


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - warnings.showwarning's signature
    line: str | None = None,  # noqa: ARG001
) -> None:
    logger.info("%s:%d: %s: %s", filename, lineno, category.__name__, message)


def as_sentence(error: Exception, subject: str) -> HirescamError:
    """Turn whatever was raised into an error with subject, reason and remedy.

    The traceback of an unforeseen error goes to the log, not to the user.
    """
    if isinstance(error, HirescamError):
        return error
    logger.error("unforeseen error: %s", subject, exc_info=error)
    if isinstance(error, MemoryError):
        return AttributionError(subject, "memory ran out", "Close other programs and try again")
    reason = " ".join(str(error).split()) or type(error).__name__
    return AttributionError(
        subject,
        f"stopped by {type(error).__name__}: {_shorten(reason)}",
        "The console shows the details",
    )


def _shorten(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def tell_error(error: HirescamError) -> None:
    """Show an error as one sentence in napari's notification area; GUI thread only."""
    show_error(str(error))
