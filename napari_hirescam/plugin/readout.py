"""The readout on the canvas: follows the cursor without holding it up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_hirescam.plugin.canvas_text import CanvasText
from napari_hirescam.plugin.readout_lines import ShownMap, lines_at, lines_on_ray
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

#: The text is written anew at most once in so many milliseconds: at once where the last time
#: lies further back, so that a new slice and its text are drawn as one picture.
EVERY_MS = 60
#: While slices are turned over, one after the other, it is written so seldom, and on slow
#: machines with every eighth slice: napari draws the picture twice for a new text.
WHILE_TURNING_MS = 500
_SLICES_PER_TEXT = 8
_POINTS = 9.0
_N_SLICE_AXES = 2


class Readout:
    """What lies under the cursor, in the lower left corner of the canvas.

    Parameters
    ----------
    viewer
        Whose cursor is followed.
    maps
        Gives the maps whose cells are read.
    """

    def __init__(self, viewer: ViewerModel, maps: Callable[[], list[ShownMap]]) -> None:
        self._viewer, self._maps = viewer, maps
        self._on = True
        self._sight: tuple[float, ...] | None = None
        self._text = CanvasText(viewer, "readout", "bottom_left", points=_POINTS)
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._write)
        self._written = self._stepped = float("-inf")
        self._across: tuple[float, ...] = ()
        self._events = ViewerEvents()
        # A step through the slices moves the cursor, too, so that both are heard here.
        self._events.connect(viewer.cursor.events.position, self._on_moved)
        self._events.connect(viewer.events.mouse_over_canvas, self._on_moved)
        for emitter in (viewer.dims.events.order, viewer.dims.events.ndisplay):
            self._events.connect(emitter, self._on_turned)
        viewer.mouse_move_callbacks.append(self._note_sight)
        self._of_layers = ViewerEvents()
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed):
            self._events.connect(emitter, self._on_layers_changed)
        self._watch_layers()

    @property
    def on(self) -> bool:
        """Whether it is wanted."""
        return self._on

    @on.setter
    def on(self, value: bool) -> None:
        self._on = value
        self.refresh()

    @property
    def text(self) -> str:
        """What is written now."""
        return self._text.text

    def refresh(self) -> None:
        """Write what is true now."""
        self._text.write("\n".join(self.lines()) if self._on else "")

    def lines(self) -> list[str]:
        """Describe what is under the cursor; nothing while it is not over the canvas."""
        viewer = self._viewer
        if not viewer.mouse_over_canvas:
            return []
        position = viewer.cursor.position
        if viewer.dims.ndisplay == _N_SLICE_AXES:
            return lines_at(position, viewer.layers, self._maps())
        if self._sight is None or len(self._sight) != len(position):
            return []
        return lines_on_ray(
            position, self._sight, viewer.dims.displayed, viewer.layers, self._maps()
        )

    def copy(self) -> str:
        """Put what is under the cursor onto the clipboard, and return it."""
        text = "\n".join(self.lines())
        if text:
            QApplication.clipboard().setText(text)
        return text

    def leave(self) -> None:
        """Follow nothing any more."""
        # Where a script ends without closing its window, Qt has deleted the timer before this.
        if isalive(self._soon):  # type: ignore[no-untyped-call]  # qtpy has no types here
            self._soon.stop()
        self._events.disconnect()
        self._of_layers.disconnect()
        if self._note_sight in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._note_sight)

    def remove(self) -> None:
        """Take the text off the canvas."""
        self._text.remove()

    def _note_sight(self, _viewer: ViewerModel, event: Event) -> None:
        """Remember where the line of sight goes; only mouse events tell it."""
        self._sight = None if event.view_direction is None else tuple(event.view_direction)

    def _on_moved(self, _event: Event) -> None:
        if not self._on:
            return
        now = 1000 * time.monotonic()
        every, wait = float(EVERY_MS), 0.0
        if self._was_step():
            gap, self._stepped = now - self._stepped, now
            if gap < WHILE_TURNING_MS:
                every = max(WHILE_TURNING_MS, _SLICES_PER_TEXT * gap)
                wait = max(EVERY_MS, 2 * gap)
        elif self._soon.isActive():
            return
        # Rest is waited for while slices are turned over, but not for ever.
        left = every - (now - self._written)
        if left <= 0:
            self._write()
        else:
            self._soon.start(int(min(left, wait or left)) + 1)

    def _was_step(self) -> bool:
        """Tell a step to another slice from a move over the same one."""
        shown = self._viewer.dims.displayed
        position = self._viewer.cursor.position
        across = tuple(x for axis, x in enumerate(position) if axis not in shown)
        before, self._across = self._across, across
        return before != across

    def _write(self) -> None:
        self._soon.stop()
        self.refresh()
        self._written = 1000 * time.monotonic()

    def _on_turned(self, _event: Event) -> None:
        # Until the mouse moves, nobody knows what it is over.
        self._sight = None
        self._text.write("")

    def _watch_layers(self) -> None:
        """Hear of what changes under a cursor that rests: a map that is hidden or another one."""
        self._of_layers.disconnect()
        for layer in self._viewer.layers:
            for emitter in (layer.events.visible, layer.events.data, layer.events.metadata):
                self._of_layers.connect(emitter, self._on_content_changed)

    def _on_layers_changed(self, event: Event) -> None:
        self._watch_layers()
        self._on_content_changed(event)

    def _on_content_changed(self, _event: Event) -> None:
        # Soon and not now: who changes a layer may not be done.
        if self._on and not self._soon.isActive():
            self._soon.start(EVERY_MS)
