"""Opening files in a worker, one after the other, with every question asked on the way."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_hirescam.errors import HirescamError
from napari_hirescam.geometry_report import is_doubtful
from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError
from napari_hirescam.plugin.consent_dialog import ConsentDialog
from napari_hirescam.plugin.ct_layers import layer_from_volume
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error
from napari_hirescam.plugin.opening_line import OpeningLine, Request
from napari_hirescam.plugin.opening_window import OpeningWindow
from napari_hirescam.plugin.series_chooser import SeriesChooser
from napari_hirescam.plugin.time_series import (
    TimeSeries,
    layer_from_time_series,
    read_time_series,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_hirescam.io import Picture
    from napari_hirescam.plugin.ct_layers import LayerData
    from napari_hirescam.source import Repair
    from napari_hirescam.volume import Volume

_STEPS = 1000


class Opening(QObject):
    """What is being opened in one viewer.

    Take it by :meth:`of`, so that a drop, the menu and the panel wait in one line.

    Parameters
    ----------
    viewer
        Gets the layers.
    """

    busy_changed = Signal()
    #: Carries each layer that was added.
    opened = Signal(object)
    #: Carries the error of a file that was refused; the user was told.
    refused = Signal(object)
    _pictured = Signal(object, object)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._line = OpeningLine()
        self._request: Request | None = None
        self._current = CurrentJob()
        self._window: OpeningWindow | None = None
        #: The question that waits for its answer.
        self.dialog: SeriesChooser | ConsentDialog | None = None
        # A drop of many files reaches us one by one: they are sorted out when all are there.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._next)
        self._pictured.connect(self._show_picture)

    @classmethod
    def of(cls, viewer: ViewerModel) -> Opening:
        """Return the one of a viewer."""
        if viewer not in _OF_VIEWER:
            _OF_VIEWER[viewer] = cls(viewer)
        return _OF_VIEWER[viewer]

    @property
    def busy(self) -> bool:
        """True while something is read, waits to be read or is asked."""
        return len(self._line) > 0 or self._request is not None

    @property
    def window(self) -> OpeningWindow | None:
        """The window with the progress, once there was something to read."""
        return self._window

    def open(
        self,
        paths: Iterable[str | Path],
        *,
        series: str | None = None,
        allow: Collection[Repair] = (),
    ) -> None:
        """Read paths and add their layers, each when it is there."""
        self._line.append(paths, series, allow)
        self.busy_changed.emit()
        self._soon.start()

    def stop(self) -> None:
        """Stop what is read and forget what waits."""
        self._line.clear()
        if self._current.job is not None:
            self._current.job.stop()

    def abandon(self) -> None:
        """Stop, and have no more to do with the window; for when it closes."""
        self._line.clear()
        self._soon.stop()
        self._current.abandon()
        self._request, self._window, self.dialog = None, None, None

    # -- one after the other -----------------------------------------------------------------

    def _next(self) -> None:
        if self._request is not None:
            return
        if not len(self._line) or self._viewer() is None:
            self._line.clear()
            if self._window is not None:
                self._window.end()
            self.busy_changed.emit()
            return
        request = self._line.take()
        self._request = request
        window = self._progress_window()
        window.begin(request.path.name or str(request.path), len(self._line))
        tell_picture = self._pictured.emit

        def read(progress: Progress, should_stop: ShouldStop) -> Volume | TimeSeries:
            from napari_hirescam.io import read_volume

            tell = _in_steps(progress)
            if request.times:
                return read_time_series(
                    request.path,
                    request.times,
                    allow=request.allow,
                    progress=tell,
                    should_stop=should_stop,
                )
            return read_volume(
                request.path,
                series=request.series,
                allow=request.allow,
                progress=tell,
                should_stop=should_stop,
                preview=lambda picture: tell_picture(request, picture),
            )

        job = Job(read, subject=request.path.name, doing=f"opening {request.path.name}")
        job.progressed.connect(window.show_progress)
        job.succeeded.connect(self._on_read)
        job.failed.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        self._current.job = job
        job.start()

    def _show_picture(self, request: Request, picture: Picture) -> None:
        if request is self._request and self._window is not None:
            self._window.show_picture(picture)

    def _on_read(self, read: Volume | TimeSeries) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        if isinstance(read, TimeSeries):
            volume = read.first
            layer = add_layer(viewer, layer_from_time_series(read))
        else:
            volume = read
            layer = add_layer(viewer, layer_from_volume(volume))
            if self._request is not None:
                self._line.forget_parts(volume, self._request)
        self.opened.emit(layer)
        if is_doubtful(volume):
            self._show_report(volume)  # in which the notes are, too
        else:
            tell_notes(volume)

    def _on_failed(self, error: HirescamError) -> None:
        if isinstance(error, ChoiceNeededError):
            self._ask(SeriesChooser(self._asked_path(), error.items, self._parent()))
        elif isinstance(error, ConsentNeededError):
            name = self._asked_path().name
            self._ask(ConsentDialog(error, name, self._parent()))
        else:
            if self._request is not None:
                self._line.forget_beside(self._request)
            tell_error(error)
            self.refused.emit(error)

    def _on_ended(self) -> None:
        self._current.job = None
        if self.dialog is not None:  # goes on with its answer
            return
        self._request = None
        self._next()

    # -- questions ---------------------------------------------------------------------------

    def _asked_path(self) -> Path:
        return self._request.path if self._request is not None else Path()

    def _ask(self, dialog: SeriesChooser | ConsentDialog) -> None:
        if self._window is not None:
            self._window.end()
        self.dialog = dialog
        dialog.finished.connect(self._on_answer)
        # Not exec(): the window stays alive while the question is open.
        dialog.open()

    def _on_answer(self, _result: int) -> None:
        dialog, self.dialog = self.dialog, None
        request, self._request = self._request, None
        if dialog is None or request is None:
            return
        answer: list[Request] = []
        if isinstance(dialog, ConsentDialog):
            if dialog.repair is not None:
                answer = [replace(request, allow=request.allow | {dialog.repair})]
        elif dialog.result() == SeriesChooser.DialogCode.Accepted:
            answer = [replace(request, series=key) for key in dialog.keys]
            if dialog.as_time:
                answer = [replace(request, times=dialog.keys)]
        if answer:
            self._line.put_first(answer)
        else:
            self._line.forget_beside(request)
        dialog.deleteLater()
        self._soon.start()

    # -- windows -------------------------------------------------------------------------------

    def _parent(self) -> QWidget | None:
        viewer = self._viewer()
        return main_window(viewer.title) if viewer is not None else None

    def _progress_window(self) -> OpeningWindow:
        if self._window is None:
            parent = self._parent()
            self._window = OpeningWindow(parent)
            self._window.cancel_requested.connect(self.stop)
            if parent is not None:
                parent.destroyed.connect(self.abandon)
        return self._window

    def _show_report(self, volume: Volume) -> None:
        from napari_hirescam.plugin.geometry_view import show_report

        show_report(volume, self._parent())


_OF_VIEWER: weakref.WeakKeyDictionary[Any, Opening] = weakref.WeakKeyDictionary()


def add_layer(viewer: ViewerModel, data: LayerData) -> Layer:
    """Add what a layer data tuple describes."""
    voxels, options, kind = data
    add = viewer.add_labels if kind == "labels" else viewer.add_image
    return add(voxels, **options)


def tell_notes(volume: Volume) -> None:
    """Show what a reader found worth saying, all in one message; GUI thread only."""
    from napari.utils.notifications import show_info

    notes = volume.source.notes if volume.source else ()
    if notes:
        show_info("\n".join(notes))


def main_window(title: str) -> QMainWindow | None:
    """Find napari's window: the active one, else one that is shown, with the title if several."""
    active = QApplication.activeWindow()
    if isinstance(active, QMainWindow):
        return active
    windows = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow)]
    shown = [w for w in windows if w.isVisible()] or windows
    titled = [w for w in shown if w.windowTitle() == title]
    return next(iter(titled or shown), None)


def _in_steps(progress: Progress) -> Progress:
    """Tell progress in thousandths, and each once: bytes do not fit into a signal's integers."""
    last = -1

    def tell(done: int, total: int) -> None:
        nonlocal last
        step = min(_STEPS, _STEPS * done // total) if total > 0 else 0
        if step != last:
            last = step
            progress(step, _STEPS)

    return tell
