"""What the panel of an edit is made of, and which of it can be used now."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_hirescam.plugin.reviewing.difference_view import DifferenceView
from napari_hirescam.plugin.reviewing.edit_keys import EditKeys
from napari_hirescam.plugin.reviewing.marked_slices import MarkedSlices
from napari_hirescam.plugin.reviewing.operations_box import OperationsBox
from napari_hirescam.plugin.reviewing.paint_tools import PaintTools
from napari_hirescam.plugin.reviewing.rescue_bar import RescueBar

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.plugin.reviewing.editable_mask import EditableMask
    from napari_hirescam.plugin.reviewing.open_edit import EditSubject


class EditControls(QWidget):
    """The parts of the panel in one column, and the keys that press them.

    Parameters
    ----------
    viewer
        In which is edited.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._layer: EditableMask | None = None
        self._subject: EditSubject | None = None
        self.title, self.state = QLabel(), QLabel()
        self.state.setWordWrap(True)
        self.rescue = RescueBar()
        self.tools = PaintTools()
        self.undo = _button("Undo", "Take back the last stroke or operation (Ctrl+Z)", self._undo)
        self.redo = _button("Redo", "Do again what was taken back (Ctrl+Shift+Z)", self._redo)
        self.marks = MarkedSlices(viewer)
        self.operations = OperationsBox(self.tools, self.marks)
        self.difference = DifferenceView(viewer)
        self.save = _button("Save the edit (E)", "Write the edited mask beside the review and end")
        self.later = _button("Later (Esc)", "End without writing; the strokes are kept")
        self.operations.told.connect(self.say)
        self.operations.busy_changed.connect(self._on_operation)
        self._lay_out()
        self._keys = EditKeys(self)
        self.allow_painting(allowed=False)

    @property
    def painting(self) -> bool:
        """Whether tools and operations can be used."""
        return self.save.isEnabled()

    def set_layer(self, layer: EditableMask | None, subject: EditSubject | None) -> None:
        """Work on this layer from now on; None ends it."""
        if self._layer is not None:
            self._layer.events.edited.disconnect(self._on_edited)
            self._layer.events.paint.disconnect(self._on_edited)
        self._layer, self._subject = layer, subject
        self.rescue.hide_question()
        self.tools.set_layer(layer, subject.loaded.item.target if subject else "")
        self.operations.set_layer(layer, subject)
        self.marks.set_layer(layer)
        self.difference.set_edit(layer, subject)
        if layer is not None:
            layer.events.edited.connect(self._on_edited)
            layer.events.paint.connect(self._on_edited)
        self.allow_painting(allowed=False)

    def allow_painting(self, *, allowed: bool) -> None:
        """Let the mask be changed, or not; ending the edit is possible either way."""
        if self._layer is not None:
            self._layer.frozen = not allowed
        allowed = allowed and self._layer is not None
        for part in (self.tools, self.marks, self.difference, self.save):
            part.setEnabled(allowed)
        for button in self.operations.buttons.values():
            button.setEnabled(allowed)
        self.later.setEnabled(self._layer is not None)
        self._on_edited()
        self._keys.update()

    def say(self, sentence: str) -> None:
        """Write a sentence at the bottom."""
        self.state.setText(sentence)

    def escape(self) -> None:
        """Give up the outline that is being drawn; if there is none, end the edit."""
        if self._layer is None or not self._layer.abort_drawing():
            self.later.click()

    def toggle_visible(self) -> None:
        """Show or hide the edited mask."""
        if self._layer is not None:
            self._layer.visible = not self._layer.visible

    def tell_saved(self) -> None:
        """Say when the strokes were brought to the disk."""
        self.say(f"Strokes saved at {time.strftime('%H:%M:%S')}.")

    def _undo(self) -> None:
        if self._layer is not None:
            self._layer.undo()

    def _redo(self) -> None:
        if self._layer is not None:
            self._layer.redo()

    def _on_edited(self) -> None:
        layer = self._layer
        self.undo.setEnabled(layer is not None and self.painting and layer.can_undo)
        self.redo.setEnabled(layer is not None and self.painting and layer.can_redo)

    def _on_operation(self, busy: bool) -> None:  # noqa: FBT001 - Qt's slot
        self.allow_painting(allowed=not busy)

    def _lay_out(self) -> None:
        steps = QHBoxLayout()
        steps.addWidget(self.undo)
        steps.addWidget(self.redo)
        steps.addWidget(self.marks, 1)
        ends = QHBoxLayout()
        ends.addWidget(self.save, 1)
        ends.addWidget(self.later)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addWidget(self.rescue)
        layout.addWidget(self.tools)
        layout.addLayout(steps)
        layout.addWidget(self.operations)
        layout.addWidget(self.difference)
        layout.addLayout(ends)
        layout.addWidget(self.state)


def _button(text: str, tip: str, press: Callable[[], None] | None = None) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    if press is not None:
        button.clicked.connect(press)
    return button
