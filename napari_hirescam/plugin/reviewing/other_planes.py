"""The planes that napari's canvas does not show, linked with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QBoxLayout, QWidget

from napari_hirescam.plugin.ct_layers import is_review_layer
from napari_hirescam.plugin.reviewing.plane_view import PlaneView
from napari_hirescam.plugin.reviewing.planes import PLANES
from napari_hirescam.plugin.reviewing.review_layers import drawn_in_planes
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.plugin.window_drag import dragged

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event
    from qtpy.QtGui import QResizeEvent

    from napari_hirescam.plugin.linked_windows import LinkedWindows
    from napari_hirescam.source import DisplayWindow
    from napari_hirescam.volume import Grid

_N_AXES, _N_SLICE_AXES = 3, 2
#: What changes the picture of a layer. "edited" is what the review's own edit layer tells, also
#: of undo and redo, of which napari tells nothing.
_OF_IMAGES = ("data", "contrast_limits", "gamma", "colormap", "scale", "translate", "affine")
_OF_LABELS = (
    "data",
    "paint",
    "labels_update",
    "colormap",
    "contour",
    "selected_label",
    "show_selected_label",
    "scale",
    "translate",
    "affine",
    "edited",
)


class OtherPlanes(QWidget):
    """Two planes beside the one on the canvas, or all three beside a 3-D view.

    They show the layers of the review where the viewer's sliders stand, and move these when one
    points at something. Double-clicked, a plane changes places with the one on the canvas.

    Parameters
    ----------
    viewer
        Whose layers are drawn.
    windows
        Sets the grey window.
    is_shown
        Whether a layer is to be drawn; in the 3-D view its `visible` does not tell.
    """

    #: A plane was taken onto the canvas; carries the axis across it.
    taken = Signal(int)

    def __init__(
        self,
        viewer: ViewerModel,
        windows: LinkedWindows,
        is_shown: Callable[[Layer], bool],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._windows, self._is_shown = viewer, windows, is_shown
        self._grid: Grid | None = None
        self._window_before: DisplayWindow | None = None
        self.views = tuple(PlaneView(plane, self._drawn, self) for plane in PLANES)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        for view in self.views:
            self._layout.addWidget(view)
            view.pointed.connect(self.go_to)
            view.scrolled.connect(self.turn_over)
            view.chosen.connect(self.take)
            view.window_drag_began.connect(self._note_window)
            view.window_dragged.connect(self._drag_window)
        self.events = ViewerEvents()
        self._of_layers: dict[Layer, ViewerEvents] = {}
        dims, layers = viewer.dims.events, viewer.layers.events
        self.events.connect(dims.point, self._on_moved)
        for emitter in (dims.order, dims.ndisplay):
            self.events.connect(emitter, self._on_turned)
        self.events.connect(layers.inserted, self._on_inserted)
        self.events.connect(layers.removed, self._on_removed)
        self.events.connect(layers.reordered, self._on_restacked)
        for layer in viewer.layers:
            self._watch(layer)
        self._choose_planes()

    @property
    def on_canvas(self) -> int | None:
        """Axis across the plane that napari's canvas shows; None while that is 3-D."""
        dims = self._viewer.dims
        if dims.ndisplay != _N_SLICE_AXES or dims.ndim < _N_AXES:
            return None
        normal: int = dims.order[-3] - (dims.ndim - _N_AXES)
        return normal if normal >= 0 else None

    def show_grid(self, grid: Grid | None) -> None:
        """Show the patient as far as this grid reaches; None shows nothing."""
        self._grid = grid
        for view in self.views:
            view.forget()
            if grid is None:
                view.show_nothing()
                continue
            low = grid.to_world((-0.5, -0.5, -0.5))
            high = grid.to_world([n - 0.5 for n in grid.shape])
            view.show_box(low.tolist(), high.tolist())
        self._move()

    def go_to(self, place_mm: Sequence[float]) -> None:
        """Move all planes to the CT's voxel at a place, (I, P, L) in mm; outside, to the border."""
        grid = self._grid
        if grid is None or self._viewer.dims.ndim < _N_AXES:
            return
        index = np.clip(np.round(grid.to_index(place_mm)), 0, np.array(grid.shape) - 1)
        self._viewer.dims.set_point((-3, -2, -1), grid.to_world(index).tolist())

    def turn_over(self, axis: int, steps: int) -> None:
        """Turn over slices of the CT along an axis of (I, P, L)."""
        if self._grid is None or self._viewer.dims.ndim < _N_AXES:
            return
        place = list(self._viewer.dims.point[-_N_AXES:])
        place[axis] += steps * self._grid.spacing_mm[axis]
        self.go_to(place)

    def take(self, normal: int) -> None:
        """Have the canvas show the plane across this axis."""
        dims = self._viewer.dims
        before = dims.ndim - _N_AXES
        others = tuple(range(before))
        dims.order = (*others, *(before + axis for axis in PLANES[normal].order))
        self.taken.emit(normal)

    def leave(self) -> None:
        """Watch nothing any more."""
        self.events.disconnect()
        for events in self._of_layers.values():
            events.disconnect()
        self._of_layers.clear()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Lie side by side under the canvas, one below the other beside it."""
        wide = self.width() >= self.height()
        ways = QBoxLayout.Direction
        self._layout.setDirection(ways.LeftToRight if wide else ways.TopToBottom)
        super().resizeEvent(event)

    def _drawn(self) -> list[Image | Labels]:
        return [one for one in drawn_in_planes(self._viewer.layers) if self._is_shown(one)]

    def _choose_planes(self) -> None:
        for view in self.views:
            view.setVisible(view.plane.normal != self.on_canvas)

    def _move(self) -> None:
        dims, grid = self._viewer.dims, self._grid
        if grid is None or dims.ndim < _N_AXES:
            return
        place = dims.point[-_N_AXES:]
        index = grid.to_index(place)
        for view in self.views:
            normal = view.plane.normal
            view.caption = f"{round(float(index[normal])) + 1} / {grid.shape[normal]}"
            view.show_place(place)

    def _watch(self, layer: Layer) -> None:
        if layer in self._of_layers or not is_review_layer(layer):
            return
        if not isinstance(layer, Image | Labels):
            return
        events = self._of_layers[layer] = ViewerEvents()
        for name in _OF_LABELS if isinstance(layer, Labels) else _OF_IMAGES:
            emitter = getattr(layer.events, name, None)
            if emitter is not None:
                events.connect(emitter, self._on_changed)
        for emitter in (layer.events.visible, layer.events.opacity):
            events.connect(emitter, self._on_restacked)

    def _note_window(self) -> None:
        self._window_before = self._windows.window

    def _drag_window(self, right: int, down: int) -> None:
        if self._window_before is not None:
            self._windows.choose(dragged(self._window_before, right, down))

    def _on_moved(self, _event: Event) -> None:
        self._move()

    def _on_turned(self, _event: Event) -> None:
        self._choose_planes()
        self._move()

    def _on_inserted(self, event: Event) -> None:
        self._watch(event.value)
        self._on_restacked()

    def _on_removed(self, event: Event) -> None:
        events = self._of_layers.pop(event.value, None)
        if events is not None:
            events.disconnect()
        for view in self.views:
            view.forget(event.value)

    def _on_changed(self, event: Event) -> None:
        for view in self.views:
            view.forget(event.source)

    def _on_restacked(self, _event: Event | None = None) -> None:
        for view in self.views:
            view.update()
