"""Follows where a patch network would look: a selected point, or the slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Points
from qtpy.QtCore import QObject, Signal

from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.plugin.window_centre import WindowCentre, window_centre

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event


class PlaceFollower(QObject):
    """Tells when the place may have changed.

    Parameters
    ----------
    viewer
        Its position, and the selected point of its active layer.
    """

    moved = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._events, self._points_events = ViewerEvents(), ViewerEvents()
        self._events.connect(viewer.layers.selection.events.active, self._on_active_changed)
        self._events.connect(viewer.dims.events.point, self._on_moved)

    @property
    def centre(self) -> WindowCentre | None:
        """Where a window would be cut now."""
        return window_centre(self._viewer)

    def all_events(self) -> list[ViewerEvents]:
        """Every connection to the viewer, to be ended with the widget."""
        return [self._events, self._points_events]

    def _on_active_changed(self, event: Event) -> None:
        self._points_events.disconnect()
        if isinstance(event.value, Points):
            chosen = event.value.selected_data.events.items_changed
            self._points_events.connect(chosen, self._on_moved)
        self.moved.emit()

    def _on_moved(self, *_event: object) -> None:
        self.moved.emit()
