"""Keeping the strokes of an edit on the disk while it goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.review.journal import BLOCK

if TYPE_CHECKING:
    from napari_hirescam.errors import HirescamError
    from napari_hirescam.plugin.reviewing.editable_mask import EditableMask
    from napari_hirescam.review.journal import StrokeJournal

#: At most 2 s of strokes may be lost, and the writing takes its share of them.
_EVERY_MS = 1500


class StrokeSaver:
    """Copies what was painted, in the GUI thread, and writes the copy in any.

    The copy is whole: it is taken between two events, so that no stroke is half in it, and only
    blocks that changed are copied, so that painting is not held up.

    Not a Qt object, so that it is still whole when Qt has deleted the panel: connect
    ``panel.destroyed`` to :meth:`flush`.

    Parameters
    ----------
    layer
        What is painted on.
    journal
        Where it is kept.
    """

    def __init__(self, layer: EditableMask, journal: StrokeJournal) -> None:
        self._layer, self._journal = layer, journal
        self._copy = np.array(layer.data)
        self._lock = threading.Lock()
        self._unwritten = False

    def take(self) -> bool:
        """Copy what changed; False if there is nothing to write, or the writing still goes on."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._take()
        finally:
            self._lock.release()

    def write(self) -> int:
        """Write what was copied; in any thread. The number of bytes written."""
        with self._lock:
            written = self._journal.save(self._copy)
            self._unwritten = False
            return written

    def flush(self) -> None:
        """Write all that was painted until now, waiting for a writing that goes on."""
        with self._lock:
            if self._take():
                self._journal.save(self._copy)
                self._unwritten = False

    def _take(self) -> bool:
        for block in self._layer.take_changed():
            box = tuple(slice(BLOCK * k, BLOCK * (k + 1)) for k in block)
            self._copy[box] = self._layer.data[box]
            self._unwritten = True
        return self._unwritten


class Autosave(QObject):
    """Has the strokes saved every other second, in a thread.

    Parameters
    ----------
    saver
        What copies and writes.
    subject
        Of the edit, for errors.
    parent
        The panel.
    """

    #: Strokes are on the disk.
    saved = Signal()
    #: Carries a HirescamError; it is tried again.
    failed = Signal(object)

    def __init__(self, saver: StrokeSaver, subject: str, parent: QObject) -> None:
        super().__init__(parent)
        self._saver, self._subject = saver, subject
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self.save)

    @property
    def busy(self) -> bool:
        """True while strokes are written."""
        return self._current.job is not None

    def start(self) -> None:
        """Begin to save."""
        self._timer.start()

    def stop(self) -> None:
        """Save no more and report nothing; what is being written is written."""
        self._timer.stop()
        self._current.abandon()

    def save(self) -> None:
        """Save what changed, if anything did, in a thread."""
        if self.busy or not self._saver.take():
            return
        saver = self._saver

        def work(_progress: Progress, _should_stop: ShouldStop) -> int:
            return saver.write()

        job = self._current.job = Job(work, self._subject, doing="keeping the strokes of an edit")
        job.succeeded.connect(self._on_saved)
        job.failed.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        job.start()

    def _on_saved(self, _written: int) -> None:
        self.saved.emit()

    def _on_failed(self, error: HirescamError) -> None:
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self._current.job = None
