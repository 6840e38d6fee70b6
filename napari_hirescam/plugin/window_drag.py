"""Setting the grey window by dragging over the canvas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_hirescam.source import DisplayWindow

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.plugin.linked_windows import LinkedWindows

_LEFT, _MIDDLE = 1, 3
# A drag over so many pixels doubles the width.
_DOUBLING_PIXELS = 300.0
_NARROWEST = 1.0


class WindowDrag:
    """Ctrl and the left button, or the middle button: right widens, down raises the centre.

    napari pans with the left button alone and zooms with the right one or with Alt; in the
    modes where the left button draws or picks, only the middle button sets the window.

    Parameters
    ----------
    viewer
        Whose mouse is listened to until :meth:`leave`.
    windows
        What is set.
    """

    def __init__(self, viewer: ViewerModel, windows: LinkedWindows) -> None:
        self._viewer, self._windows = viewer, windows
        viewer.mouse_drag_callbacks.append(self._drag)

    def leave(self) -> None:
        """Listen no more."""
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)

    def _drag(self, _viewer: ViewerModel, event: Event) -> Iterator[None]:
        before = self._windows.window
        if before is None or not self._is_meant(event):
            return
        start = tuple(event.pos)
        yield
        while event.type == "mouse_move":
            self._windows.choose(dragged(before, event.pos[0] - start[0], event.pos[1] - start[1]))
            event.handled = True
            yield

    def _is_meant(self, event: Event) -> bool:
        if event.button == _MIDDLE:
            return not event.modifiers
        active = self._viewer.layers.selection.active
        moves_camera = active is None or active.mode == "pan_zoom"
        # Keys of vispy, which are equal to their names.
        only_ctrl = len(event.modifiers) == 1 and "Control" in event.modifiers
        return event.button == _LEFT and only_ctrl and moves_camera


def dragged(before: DisplayWindow, right: float, down: float) -> DisplayWindow:
    """Change a window by a drag of so many pixels, in steps that suit its width.

    A narrow window is set finely and a wide one coarsely; each step is a whole number.
    """
    step = max(before.width, _NARROWEST) / _DOUBLING_PIXELS
    width = max(before.width + step * right, _NARROWEST)
    return DisplayWindow("", float(round(before.centre + step * down)), float(round(width)))
