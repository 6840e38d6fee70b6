"""All that is in the viewer between the first item of a sitting and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_hirescam.plugin.ct_layers import METADATA_KEY
from napari_hirescam.plugin.reviewing.attention_on_demand import AttentionOnDemand
from napari_hirescam.plugin.reviewing.canvas_fit import CanvasFit
from napari_hirescam.plugin.reviewing.canvas_mouse import CanvasMouse
from napari_hirescam.plugin.reviewing.crosshair import Crosshair
from napari_hirescam.plugin.reviewing.item_layers import ItemLayers
from napari_hirescam.plugin.reviewing.other_planes import OtherPlanes
from napari_hirescam.plugin.reviewing.planes_dock import PlanesDock
from napari_hirescam.plugin.reviewing.surface_view import SurfaceView
from napari_hirescam.plugin.reviewing.users_view import UsersView
from napari_hirescam.plugin.view_tools import view_tools_of
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    import napari
    from napari.utils.events import Event

    from napari_hirescam.plugin.readout_lines import ShownMap

_N_AXES = 3


class ViewParts(QObject):
    """Makes the parts in the order in which they need each other, and takes them out together.

    Parameters
    ----------
    viewer
        Where they live.
    """

    #: The CT was deleted in the list of layers.
    ct_removed = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self.users = UsersView(viewer)
        self.tools = view_tools_of(viewer)
        self.tools.take(id(self), _no_maps)
        self.layers = ItemLayers(viewer)
        self.surface = SurfaceView(viewer, self)
        self.planes = OtherPlanes(viewer, self.tools.windows, self.surface.is_shown)
        self.crosshair = Crosshair(viewer, self)
        self.fit = CanvasFit(viewer)
        self.attention = AttentionOnDemand(viewer, self._place, self.planes, self)
        self.mouse = CanvasMouse(viewer, self.planes.go_to, self.planes.turn_over)
        self.dock = PlanesDock(viewer, self.planes, self)
        self._viewer = viewer
        self._events = ViewerEvents()
        self._events.connect(viewer.layers.events.removed, self._on_removed)
        for events in self._all_events():
            self.planes.destroyed.connect(events.disconnect)

    def leave(self) -> None:
        """Take everything out of the viewer but the layers."""
        self._disconnect()
        self.surface.leave()
        self.attention.leave()
        self.crosshair.hide()
        self.mouse.leave()
        self.dock.remove()
        self.tools.release(id(self))
        self.deleteLater()

    def abandon(self) -> None:
        """Let go of a viewer whose window is closing."""
        self._disconnect()
        self.attention.leave()
        self.mouse.leave()
        self.tools.release(id(self), erase=False)

    def _disconnect(self) -> None:
        for events in self._all_events():
            events.disconnect()
        self.planes.leave()

    def _all_events(self) -> tuple[ViewerEvents, ...]:
        return (
            self._events,
            self.layers.events,
            self.surface.events,
            self.planes.events,
            self.crosshair.events,
            self.fit.events,
            self.attention.events,
            self.dock.events,
        )

    def _place(self) -> tuple[float, float, float]:
        a, b, c = (float(x) for x in self._viewer.dims.point[-_N_AXES:])
        return a, b, c

    def _on_removed(self, event: Event) -> None:
        kind = event.value.metadata.get(METADATA_KEY, {})
        if kind.get("review") and kind.get("kind") == "volume" and isinstance(event.value, Image):
            self.ct_removed.emit()


def _no_maps() -> list[ShownMap]:
    """The readout reads no cells in a review: a score stands beside them."""
    return []
