"""The window of a patch network in the viewer: a point to drag, and the box around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points, Vectors
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hirescam.models.window import WindowExtent, model_grid, window_extent
from napari_hirescam.plugin.ct_layers import volume_from_layer
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.plugin.window_centre import WindowCentre
from napari_hirescam.plugin.window_layers import WindowLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.models.spec import InputSpec
    from napari_hirescam.volume import Grid

    Point = tuple[float, float, float]

_N_SLICE_AXES = 2
_LEFT_BUTTON = 1


class WindowBox(QObject):
    """Shows where a patch network looks, and lets the user say where it shall look.

    The point can be dragged, or, while :attr:`placing`, put anywhere in a slice by a click or
    a drag. Both layers are made when first needed, and hidden rather than removed.

    Parameters
    ----------
    viewer
        Where the layers live.
    interval_ms
        `moved` comes at most this often; the last place of a drag is always told.
    """

    #: Carries the (I, P, L) mm the user has moved the window to.
    moved = Signal(object)
    #: The box was drawn anew: :meth:`sentence` has changed.
    drawn = Signal()
    placing_changed = Signal(bool)

    def __init__(
        self, viewer: ViewerModel, parent: QObject | None = None, *, interval_ms: int = 120
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._ct: Image | None = None
        self._grid: Grid | None = None
        self._spec: InputSpec | None = None
        self._at_mm: Point | None = None
        self._extent: WindowExtent | None = None
        self._layers = WindowLayers(viewer)
        self._placing = False
        self._writing = False
        self.events = ViewerEvents()
        for emitter, method in (
            (viewer.layers.events.removed, self._on_removed),
            (viewer.layers.selection.events.active, self._on_active_changed),
            (viewer.dims.events.order, self._on_view_changed),
            (viewer.dims.events.ndisplay, self._on_view_changed),
            (viewer.scene.camera.events.zoom, self._on_zoom),
        ):
            self.events.connect(emitter, method)
        self.destroyed.connect(self.events.disconnect)
        self._tell_soon = self._timer(interval_ms, self._tell)
        # The camera tells of every step of a zoom; widths follow when it has come to rest.
        self._fit_soon = self._timer(80, self._layers.fit_sizes)

    def _timer(self, interval_ms: int, slot: Any) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(interval_ms)
        timer.timeout.connect(slot)
        return timer

    @property
    def shown(self) -> bool:
        """True while there is a window."""
        return self._at_mm is not None

    @property
    def at_mm(self) -> Point | None:
        """(I, P, L) mm of the place, if a window is shown."""
        return self._at_mm

    @property
    def extent(self) -> WindowExtent | None:
        """Where the window lies, if one is shown."""
        return self._extent

    @property
    def centre(self) -> WindowCentre | None:
        """The place and, in words, where it comes from."""
        return None if self._at_mm is None else WindowCentre(self._at_mm, "the window you placed")

    @property
    def points(self) -> Points | None:
        """The layer of the point, if it was made."""
        return self._layers.points

    @property
    def box(self) -> Vectors | None:
        """The layer of the outline, if it was made."""
        return self._layers.box

    @property
    def placing(self) -> bool:
        """True while clicks into a slice place the window."""
        return self._placing

    def show(self, ct: Image, spec: InputSpec, at_mm: Point | None = None) -> None:
        """Show the window of a model in a CT.

        Parameters
        ----------
        ct
            The CT's layer.
        spec
            The model's input section; one that needs no point has no window.
        at_mm
            (I, P, L) mm; None keeps the place it had in this CT, or takes the CT's middle.

        Raises
        ------
        InputError
            The layer is no CT, or does not suit the model.
        """
        if not spec.needs_point:
            self.hide()
            return
        grid = volume_from_layer(ct).grid
        whole = model_grid(grid, spec)
        if at_mm is None:
            at_mm = self._at_mm if self._ct is ct else None
        if at_mm is None:
            at_mm = _point(whole.to_world((np.asarray(whole.shape) - 1) / 2))
        at_mm = _clamped(whole, at_mm)
        extent = window_extent(grid, spec, at_mm, ct.name)
        self._ct, self._grid, self._spec = ct, grid, spec
        self._at_mm, self._extent = at_mm, extent
        self._draw()

    def hide(self) -> None:
        """Show no window any more."""
        self.set_placing(on=False)
        self._tell_soon.stop()
        self._at_mm = self._extent = self._ct = None
        self._layers.hide()
        self.drawn.emit()

    def move_to(self, at_mm: Point) -> None:
        """Put the window somewhere, as the user would; places outside the CT are brought in."""
        if self._grid is None or self._spec is None or self._ct is None:
            return
        at_mm = _clamped(model_grid(self._grid, self._spec), at_mm)
        if at_mm == self._at_mm:
            return
        self._at_mm = at_mm
        self._extent = window_extent(self._grid, self._spec, at_mm, self._ct.name)
        self._draw()
        if not self._tell_soon.isActive():
            self._tell_soon.start()

    def set_placing(self, *, on: bool) -> None:
        """Let clicks into a slice place the window, or let them do what they always do."""
        on = on and self.shown
        if on == self._placing:
            return
        self._placing = on
        points = self._layers.points
        if points is not None:
            if on:
                self._viewer.layers.selection.active = points
                points.mode = "pan_zoom"
                points.mouse_pan = False  # or the picture would follow the mouse as well
            else:
                points.mouse_pan = True
                points.mode = "select"
        self.placing_changed.emit(on)

    def sentence(self) -> str:
        """Say how large the window is, where it lies, and what of it is padding."""
        extent, centre = self._extent, self.centre
        if extent is None or centre is None:
            return ""
        size = np.subtract(extent.high_mm, extent.low_mm)
        text = f"Window of {' x '.join(f'{mm:.0f}' for mm in size)} mm at {centre.place()}."
        if extent.share_padded > 0:
            short = np.subtract(extent.ct_low_mm, extent.low_mm) > 0
            long = np.subtract(extent.high_mm, extent.ct_high_mm) > 0
            # Beyond the first or last slice nothing is drawn in the plane of a slice.
            where = "dashed" if (short | long)[1:].any() else "above or below its slices"
            text += (
                f" {max(1, round(100 * extent.share_padded))} % of it lies outside the CT "
                f"({where}) and is padded: {extent.padding}."
            )
        return text

    def _draw(self) -> None:
        """Bring both layers to where the window is."""
        if self._at_mm is None or self._grid is None or self._extent is None:
            return
        known = self._layers.points
        self._writing = True
        try:
            self._layers.show(self._grid, self._extent, self._at_mm)
        finally:
            self._writing = False
        points = self._layers.points
        if points is not None and points is not known:
            points.events.data.connect(self._on_point_moved)
            points.mouse_drag_callbacks.append(self._follow_mouse)
            points.selected_data = {0}
        self.drawn.emit()

    # -- the user's hand -----------------------------------------------------------------------

    def _follow_mouse(self, layer: Points, event: Event) -> Iterator[None]:
        """Follow a click or a drag; napari tells of a dragged point only when it is let go."""
        if event.button != _LEFT_BUTTON:
            return
        placing = self._placing and len(event.dims_displayed) == _N_SLICE_AXES
        if placing:
            self.move_to(_point(event.position[-3:]))
        yield
        while event.type == "mouse_move":
            if placing:
                self.move_to(_point(event.position[-3:]))
            elif len(layer.data) == 1:
                self._follow_point()
            yield
        if not placing:
            self._follow_point()
        points = self._layers.points
        if points is not None and len(points.data) == 1:
            points.selected_data = {0}  # a click beside the point lets go of it

    def _on_point_moved(self, _event: Event) -> None:
        if not self._writing:
            self._follow_point()

    def _follow_point(self) -> None:
        points = self._layers.points
        if points is None or self._at_mm is None:
            return
        if len(points.data) == 0:  # deleted: there is always one place
            self._draw()
            return
        before = self._at_mm
        place = _point(np.asarray(points.data_to_world(points.data[-1])))
        moved = not np.allclose(place, before, atol=1e-6)
        if moved:
            self.move_to(place)
        if len(points.data) > 1 or (moved and self._at_mm == before):
            self._draw()  # one point only, and never outside the CT

    def _tell(self) -> None:
        if self._at_mm is not None:
            self.moved.emit(self._at_mm)

    # -- the viewer ------------------------------------------------------------------------------

    def _on_view_changed(self, _event: Event) -> None:
        if self.shown:
            self._draw()

    def _on_zoom(self, _event: Event) -> None:
        if self.shown:
            self._fit_soon.start()

    def _on_active_changed(self, event: Event) -> None:
        if self._placing and event.value is not None and event.value is not self._layers.points:
            self.set_placing(on=False)

    def _on_removed(self, event: Event) -> None:
        if self._layers.forget(event.value) or event.value is self._ct:
            # One of the layers alone would make no sense: the window is gone until it is shown.
            self.hide()


def _clamped(grid: Grid, at_mm: Point) -> Point:
    """Bring a place to the nearest one within the outer voxels' centres."""
    index = np.clip(grid.to_index(at_mm), 0, np.asarray(grid.shape) - 1)
    return _point(grid.to_world(index))


def _point(mm: Any) -> Point:
    return float(mm[0]), float(mm[1]), float(mm[2])
