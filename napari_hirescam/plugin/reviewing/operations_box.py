"""The buttons of the operations: in a thread, to be stopped, undone like a stroke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.reviewing.mask_operations import OPERATIONS, Operation, OperationInput
from napari_hirescam.plugin.reviewing.paint_tools import PaintTools, give_keys_back

if TYPE_CHECKING:
    from napari_hirescam.errors import HirescamError
    from napari_hirescam.plugin.reviewing.editable_mask import Box, EditableMask
    from napari_hirescam.plugin.reviewing.marked_slices import MarkedSlices
    from napari_hirescam.plugin.reviewing.open_edit import EditSubject


@dataclass(frozen=True, eq=False)
class _Result:
    """An operation's result, unpacked in the thread that made it."""

    box: Box
    after: npt.NDArray[Any]
    words: str


class OperationsBox(QWidget):
    """Buttons of the operations and their settings; tells what the last one did.

    Parameters
    ----------
    tools
        Tell the HU range.
    marks
        Tell the marked slices.
    """

    #: An operation began or ended; meanwhile nothing may be painted.
    busy_changed = Signal(bool)
    #: A sentence.
    told = Signal(str)

    def __init__(self, tools: PaintTools, marks: MarkedSlices) -> None:
        super().__init__()
        self._tools, self._marks = tools, marks
        self._layer: EditableMask | None = None
        self._subject: EditSubject | None = None
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self.buttons = {operation.text: self._button(operation) for operation in OPERATIONS}
        self.width_mm = _spin_box(2.0, 0.5, 30.0, " mm", "Of smoothing, growing and shrinking")
        self.volume_ml = _spin_box(0.5, 0.01, 100.0, " mL", "Pieces below it are small")
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.cancel = QPushButton("Stop")
        self.cancel.clicked.connect(self.stop)
        self._running = QWidget()
        running = QHBoxLayout(self._running)
        running.setContentsMargins(0, 0, 0, 0)
        running.addWidget(self.progress, 1)
        running.addWidget(self.cancel)
        self._running.hide()

        settings = QHBoxLayout()
        settings.addWidget(QLabel("Width"))
        settings.addWidget(self.width_mm, 1)
        settings.addWidget(QLabel("Small"))
        settings.addWidget(self.volume_ml, 1)
        grid = QGridLayout()
        grid.setSpacing(2)
        for k, button in enumerate(self.buttons.values()):
            grid.addWidget(button, k // 2, k % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(grid)
        layout.addLayout(settings)
        layout.addWidget(self._running)

    @property
    def busy(self) -> bool:
        """True while an operation runs."""
        return self._current.job is not None

    def set_layer(self, layer: EditableMask | None, subject: EditSubject | None) -> None:
        """Work on this mask from now on; None stops what runs."""
        if layer is None:
            self._current.abandon()
            self._show_busy(busy=False)
        self._layer, self._subject = layer, subject

    def run(self, operation: Operation) -> None:
        """Do one; nothing can be painted until it has ended."""
        layer, subject = self._layer, self._subject
        if layer is None or subject is None or self.busy or layer.frozen:
            return
        given = OperationInput(
            layer.data,
            subject.loaded,
            self._tools.hu_range,
            self.width_mm.value(),
            self.volume_ml.value(),
            self._marks.axis,
            self._marks.indices,
        )

        def work(_progress: Progress, should_stop: ShouldStop) -> _Result:
            edited = operation.run(given, should_stop)
            return _Result(edited.change.box, edited.change.after, edited.words)

        job = self._current.job = Job(work, operation.text, doing="an operation on a mask")
        job.succeeded.connect(self._on_done)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        job.ended.connect(self._on_ended)
        self._show_busy(busy=True)  # nothing is painted meanwhile: the voxels are not copied
        job.start()

    def stop(self) -> None:
        """Ask the operation that runs to stop."""
        if self._current.job is not None:
            self._current.job.stop()

    def _on_done(self, result: _Result) -> None:
        layer = self._layer
        if layer is None:
            return
        layer.frozen = False
        layer.replace_voxels(result.box, result.after)
        self.told.emit(result.words)

    def _on_failed(self, error: HirescamError) -> None:
        self.told.emit(str(error))

    def _on_cancelled(self) -> None:
        self.told.emit("Stopped; the mask is as it was.")

    def _on_ended(self) -> None:
        self._current.job = None
        self._show_busy(busy=False)

    def _show_busy(self, *, busy: bool) -> None:
        self._running.setVisible(busy)
        self.busy_changed.emit(busy)

    def _button(self, operation: Operation) -> QPushButton:
        button = QPushButton(f"{operation.text}  {operation.key}")
        button.setToolTip(f"{operation.tip} ({operation.key})")
        button.clicked.connect(lambda: self.run(operation))
        return button


def _spin_box(value: float, low: float, high: float, unit: str, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setSingleStep(0.5)
    box.setValue(value)
    box.setSuffix(unit)
    box.setToolTip(tip)
    give_keys_back(box)
    return box
