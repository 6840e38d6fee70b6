"""Follows what a user points at by napari's own means: the slices, and points of their layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Points
from qtpy.QtCore import QObject, Signal

from napari_hirescam.plugin.ct_layers import METADATA_KEY
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.plugin.window_centre import WindowCentre, window_centre

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

_N_AXES = 3


class PlaceFollower(QObject):
    """Tells of a point the user selects in a points layer of their own.

    Parameters
    ----------
    viewer
        Its position, and the selected point of its active layer.
    """

    #: Carries (I, P, L) mm.
    point_selected = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._events, self._points_events = ViewerEvents(), ViewerEvents()
        self._events.connect(viewer.layers.selection.events.active, self._on_active_changed)

    @property
    def centre(self) -> WindowCentre | None:
        """The selected point if there is one, else the position of the slices."""
        active = self._viewer.layers.selection.active
        if active is not None and METADATA_KEY in active.metadata:
            return self.slices
        return window_centre(self._viewer)

    @property
    def slices(self) -> WindowCentre | None:
        """The position of the slices; None while the viewer shows nothing with three axes."""
        dims = self._viewer.dims
        if dims.ndim < _N_AXES:
            return None
        a, b, c = (float(x) for x in dims.point[-_N_AXES:])
        return WindowCentre((a, b, c), "the position of the slices")

    def all_events(self) -> list[ViewerEvents]:
        """Every connection to the viewer, to be ended with the widget."""
        return [self._events, self._points_events]

    def _on_active_changed(self, event: Event) -> None:
        self._points_events.disconnect()
        # Points of our own, the window's centre say, speak for themselves.
        if isinstance(event.value, Points) and METADATA_KEY not in event.value.metadata:
            chosen = event.value.selected_data.events.items_changed
            self._points_events.connect(chosen, self._on_selected)
            self._on_selected()

    def _on_selected(self, *_event: object) -> None:
        active = self._viewer.layers.selection.active
        if isinstance(active, Points) and active.ndim == _N_AXES and active.selected_data:
            centre = window_centre(self._viewer)
            if centre is not None:
                self.point_selected.emit(centre.at_mm)
