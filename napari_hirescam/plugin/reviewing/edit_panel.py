"""Correcting the mask on screen: from its first stroke to the edited file, and nothing lost."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, as_sentence
from napari_hirescam.plugin.reviewing.difference_view import Comparing, made_mask, words
from napari_hirescam.plugin.reviewing.edit_controls import EditControls
from napari_hirescam.plugin.reviewing.editable_mask import EditableMask
from napari_hirescam.plugin.reviewing.open_edit import (
    EditSubject,
    OpenedEdit,
    open_edit,
    write_finished,
)
from napari_hirescam.plugin.reviewing.stroke_saver import Autosave, StrokeSaver
from napari_hirescam.plugin.viewer_events import ViewerEvents, without_proxy

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.review.comparing import Comparison
    from napari_hirescam.review.event import Edit
    from napari_hirescam.review.loading import LoadedItem

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Edit:
    """An edit that is open on a layer."""

    subject: EditSubject
    opened: OpenedEdit
    layer: EditableMask
    saver: StrokeSaver


class _LastStrokes:
    """Brings the last strokes to the disk when Qt has deleted the panel."""

    def __init__(self) -> None:
        self.saver: StrokeSaver | None = None

    def flush(self) -> None:
        saver, self.saver = self.saver, None
        if saver is None:
            return
        try:
            saver.flush()
        except HirescamError:  # nobody is left to be told
            logger.exception("the last strokes of an edit were not saved")


class EditPanel(QWidget):
    """Edits one mask at a time, on a layer of its own; the mask that is judged stays as it is.

    Parameters
    ----------
    viewer
        Gets the layer.
    """

    #: Carries the :class:`~napari_hirescam.review.event.Edit` that was written and recorded.
    saved = Signal(object)
    #: The edit is closed, saved or not.
    ended = Signal()
    #: A sentence for the reader.
    told = Signal(str)
    #: The layer is there: it can be painted on, or asks what becomes of rescued strokes.
    ready = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = without_proxy(viewer)
        self._subject: EditSubject | None = None
        self._edit: _Edit | None = None
        self._autosave: Autosave | None = None
        self._since = 0.0
        self._current, self._last_strokes = CurrentJob(), _LastStrokes()
        self._events = ViewerEvents()
        self.destroyed.connect(self._current.abandon)
        self.destroyed.connect(self._events.disconnect)
        self.destroyed.connect(self._last_strokes.flush)
        self.controls = EditControls(self._viewer)
        self._after = Comparing(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.controls)
        # Else the parts drift apart over the height of the dock.
        layout.addStretch(1)
        self.controls.rescue.go_on.connect(self._go_on)
        self.controls.rescue.start_anew.connect(self._start_anew)
        self.controls.save.clicked.connect(self._on_save_clicked)
        self.controls.later.clicked.connect(self._on_later_clicked)
        self._after.compared.connect(self._on_compared)
        self._after.failed.connect(self._on_not_compared)

    @property
    def editing(self) -> bool:
        """True from :meth:`begin` until `ended`."""
        return self._subject is not None

    @property
    def layer(self) -> EditableMask | None:
        """The layer that is painted on."""
        return self._edit.layer if self._edit is not None else None

    @property
    def busy(self) -> bool:
        """True while an edit is opened or written."""
        return self._current.job is not None

    def begin(self, loaded: LoadedItem, review: Path, reader: str, views: Any = None) -> None:  # noqa: ARG002
        """Open an edit of the item on screen, in a thread; `ready` follows, or `ended`.

        Parameters
        ----------
        loaded
            The item.
        review
            The review's file.
        reader
            Who edits.
        views
            What draws the item; not needed, since its planes find the layers by themselves.
        """
        if not self.suspend():
            return
        subject = self._subject = EditSubject(loaded, Path(review), reader)
        self.controls.title.setText(f"<b>Correcting: {subject.words}</b>")
        self.controls.say("Opening ...")

        def work(_progress: Progress, should_stop: ShouldStop) -> OpenedEdit:
            return open_edit(subject, should_stop)

        self._start(work, self._on_opened, "opening an edit")

    def finish(self, save: bool) -> None:  # noqa: FBT001 - the review widget's contract
        """End the edit: write it, in a thread, or keep its strokes for the next time."""
        if not save:
            self.suspend()
            return
        edit = self._edit
        if edit is None or self.busy:
            return
        if self.controls.rescue.asking:
            self.controls.say("First say what becomes of the rescued strokes.")
            return
        if self.controls.operations.busy:
            self.controls.say("An operation still runs; stop it or wait for it.")
            return
        seconds = time.monotonic() - self._since
        self._stop_autosave()
        self.controls.allow_painting(allowed=False)
        self.controls.say("Writing ...")

        def work(_progress: Progress, _should_stop: ShouldStop) -> Edit | None:
            return write_finished(edit.subject, edit.opened, edit.saver, edit.layer.data, seconds)

        self._start(work, self._on_written, "writing an edited mask")

    def suspend(self) -> bool:
        """Bring all strokes to the disk now, and end; the next :meth:`begin` offers them.

        Returns
        -------
        False if they could not be saved, or the edit is being written: then it stays open.
        """
        if not self.editing:
            return True
        if self.busy and self._edit is not None:
            self.controls.say("The edited mask is being written; wait a moment.")
            return False
        if self._edit is not None:
            try:
                self._edit.saver.flush()
            except Exception as error:  # noqa: BLE001 - said, and the edit stays open
                self._on_strokes_not_saved(as_sentence(error, self._words))
                return False
        self._current.abandon()
        painted = self._edit is not None and (
            self._edit.layer.can_undo or self.controls.rescue.asking
        )
        self._close()
        if painted:
            self.told.emit("The strokes are kept; the next edit of this item offers them.")
        return True

    def abandon(self) -> bool:
        """Do as :meth:`suspend`."""
        return self.suspend()

    @property
    def _words(self) -> str:
        return self._subject.words if self._subject is not None else ""

    def _start(self, work: Any, then: Any, doing: str) -> None:
        job = self._current.job = Job(work, self._words, doing=doing)
        job.succeeded.connect(then)
        job.failed.connect(self._on_failed)
        job.start()

    def _on_opened(self, opened: OpenedEdit) -> None:
        self._current.job = None
        self._since = time.monotonic()
        layer = EditableMask(opened.base, opened.subject.loaded.ct)
        edit = self._edit = _Edit(opened.subject, opened, layer, StrokeSaver(layer, opened.journal))
        self._last_strokes.saver = edit.saver
        self._viewer.dims.ndisplay = 2
        self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = layer
        self._events.connect(self._viewer.layers.events.removed, self._on_layer_removed)
        self.controls.set_layer(layer, opened.subject)
        self.controls.say(f"You start from {opened.words}.")
        if opened.rescued_at is not None:
            self.controls.rescue.ask(opened.rescued_at, opened.unfit)
            self.controls.allow_painting(allowed=False)
        else:
            self._begin_painting(edit)
        self.ready.emit()

    def _go_on(self) -> None:
        edit = self._edit
        if edit is None or edit.opened.rescued is None:
            return
        self._begin_painting(edit)
        everywhere = tuple(slice(0, n) for n in edit.layer.data.shape)
        edit.layer.replace_voxels(everywhere, edit.opened.rescued == 1)
        self.controls.say("The rescued strokes are back; Undo takes them away again.")

    def _start_anew(self) -> None:
        edit = self._edit
        if edit is None:
            return
        try:
            edit.opened.journal.clear()
        except HirescamError as error:
            self.controls.say(str(error))
            return
        self._begin_painting(edit)
        self.controls.say(f"You start from {edit.opened.words}.")

    def _begin_painting(self, edit: _Edit) -> None:
        self.controls.rescue.hide_question()
        self.controls.allow_painting(allowed=True)
        self._autosave = Autosave(edit.saver, self._words, self)
        self._autosave.saved.connect(self.controls.tell_saved)
        self._autosave.failed.connect(self._on_strokes_not_saved)
        self._autosave.start()

    def _stop_autosave(self) -> None:
        autosave, self._autosave = self._autosave, None
        if autosave is not None:
            autosave.stop()
            autosave.deleteLater()

    def _on_strokes_not_saved(self, error: HirescamError) -> None:
        self.controls.say(
            f"The strokes are not on the disk: {error.reason}. {error.remedy}. They are still "
            "here, and saving is tried again every few seconds."
        )
        self.told.emit(self.controls.state.text())

    def _on_written(self, written: Edit | None) -> None:
        self._current.job = None
        edit = self._edit
        if written is not None:
            self.saved.emit(written)
        self._close()
        if written is None:
            self.told.emit("Nothing was changed, so nothing was written.")
        elif edit is not None:
            self._after.start(made_mask(edit.subject), edit.layer.data, edit.subject)

    def _on_failed(self, error: HirescamError) -> None:
        self._current.job = None
        if self._edit is None:
            self._close()
        else:
            self._begin_painting(self._edit)
            self.controls.say(f"The edit was not written, and is still open. {error}")
        self.told.emit(str(error))

    def _on_compared(self, comparison: Comparison) -> None:
        self.told.emit(f"The edit was saved. {words(comparison)}.")

    def _on_not_compared(self, error: HirescamError) -> None:
        self.told.emit(f"The edit was saved, but not compared. {error}")

    def _on_layer_removed(self, event: Any) -> None:
        edit = self._edit
        if edit is None or event.value is not edit.layer:
            return
        if not self.suspend():
            self._viewer.add_layer(edit.layer)

    def _on_save_clicked(self) -> None:
        self.finish(save=True)

    def _on_later_clicked(self) -> None:
        self.finish(save=False)

    def _close(self) -> None:
        """Take everything of this edit away; what must be kept has been kept."""
        self._events.disconnect()
        self._stop_autosave()
        edit, self._edit = self._edit, None
        self._subject = self._last_strokes.saver = None
        self.controls.set_layer(None, None)
        if edit is not None:
            if edit.layer in self._viewer.layers:
                self._viewer.layers.remove(edit.layer)
            edit.opened.journal.close()
        self.ended.emit()
