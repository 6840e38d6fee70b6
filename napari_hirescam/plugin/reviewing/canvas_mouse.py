"""What the mouse does on napari's canvas during a review: it turns over slices and points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

_LEFT = 1
_N_AXES, _N_SLICE_AXES = 3, 2
#: A press that moves no farther than this is a click.
_CLICK_PIXELS = 3.0
_ZOOM_STEP = 1.1


class CanvasMouse:
    """The wheel turns over slices, with Ctrl it zooms; a click points, Shift and a drag, too.

    That is what readers of CTs are used to; napari has wheel and Ctrl the other way round, and
    gets that back from :meth:`leave`. While a layer draws or picks, clicks are its own.

    Parameters
    ----------
    viewer
        Whose mouse is listened to.
    point_at
        Called with the (I, P, L) mm that were pointed at.
    scroll
        Called with an axis of (I, P, L) and a number of slices.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        point_at: Callable[[Sequence[float]], None],
        scroll: Callable[[int, int], None],
    ) -> None:
        self._viewer, self._point_at, self._scroll = viewer, point_at, scroll
        self._progress = 0.0
        self._napari_wheel = list(viewer.mouse_wheel_callbacks)
        viewer.mouse_wheel_callbacks[:] = [self._wheel]
        viewer.mouse_drag_callbacks.append(self._drag)

    def leave(self) -> None:
        """Give the mouse back."""
        wheel = self._viewer.mouse_wheel_callbacks
        if self._wheel in wheel:
            others = [one for one in wheel if one != self._wheel]
            wheel[:] = [*self._napari_wheel, *others]
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)

    def _wheel(self, viewer: ViewerModel, event: Event) -> None:
        dims = viewer.dims
        zooms = len(event.modifiers) == 1 and "Control" in event.modifiers
        if dims.ndisplay != _N_SLICE_AXES or dims.ndim < _N_AXES or (event.modifiers and not zooms):
            for callback in self._napari_wheel:
                callback(viewer, event)
            return
        event.handled = True
        if zooms:
            self._zoom(event)
            return
        # Some systems turn the wheel's sense round; napari reads it so, too.
        way = 1 if event.native.inverted() else -1
        self._progress += way * float(np.clip(event.delta[1], -1, 1))
        steps = int(self._progress)
        if steps:
            self._progress -= steps
            self._scroll(dims.order[-3] - (dims.ndim - _N_AXES), steps)

    def _zoom(self, event: Event) -> None:
        """Zoom about the cursor."""
        camera = self._viewer.scene.camera
        factor = _ZOOM_STEP ** float(event.delta[1])
        middle = np.array(camera.center[-2:])
        cursor = np.array([event.position[axis] for axis in self._viewer.dims.displayed[-2:]])
        camera.zoom *= factor
        camera.center = (0.0, *(cursor + (middle - cursor) / factor))

    def _drag(self, _viewer: ViewerModel, event: Event) -> Iterator[None]:
        if not self._is_meant(event):
            return
        follows = "Shift" in event.modifiers
        start, moved = np.array(event.pos), False
        if follows:
            self._point_at(event.position[-_N_AXES:])
        yield
        while event.type == "mouse_move":
            moved = moved or float(np.abs(np.array(event.pos) - start).max()) > _CLICK_PIXELS
            if follows:
                self._point_at(event.position[-_N_AXES:])
                event.handled = True
            yield
        if not moved:
            self._point_at(event.position[-_N_AXES:])

    def _is_meant(self, event: Event) -> bool:
        dims = self._viewer.dims
        if dims.ndisplay != _N_SLICE_AXES or dims.ndim < _N_AXES or event.button != _LEFT:
            return False
        if len(event.modifiers) > 1 or (event.modifiers and "Shift" not in event.modifiers):
            return False
        active = self._viewer.layers.selection.active
        return active is None or active.mode == "pan_zoom"
