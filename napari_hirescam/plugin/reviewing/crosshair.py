"""The crosshair on napari's own canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors
from qtpy.QtCore import QObject, QTimer

from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS
from napari_hirescam.plugin.reviewing.plane_view import CROSSHAIR_COLOUR, GAP_PIXELS
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.volume import FloatArray, Grid

_PIXELS = 1.0
_N_SLICE_AXES = 2
_LONGEST_WAIT_MS = 80


def crosshair_lines(
    place_mm: FloatArray, low_mm: FloatArray, high_mm: FloatArray, normal: int, gap_mm: float
) -> FloatArray:
    """List the four lines of a crosshair that leaves its middle free.

    Parameters
    ----------
    place_mm, low_mm, high_mm
        (I, P, L) mm: the middle, and the box that the lines end at.
    normal
        Axis across the plane; lines lie at 0 along it.
    gap_mm
        From the middle to where the lines begin.

    Returns
    -------
    [4, 2, 3]: start and extent of each line, in mm.
    """
    lines = np.zeros((4, 2, 3))
    axes = [axis for axis in range(3) if axis != normal]
    for k, along in enumerate(axes):
        across = axes[1 - k]
        before = max(place_mm[along] - gap_mm, low_mm[along])
        after = min(place_mm[along] + gap_mm, high_mm[along])
        for line, start, end in (
            (lines[2 * k], low_mm[along], before),
            (lines[2 * k + 1], after, high_mm[along]),
        ):
            line[0, across] = place_mm[across]
            line[0, along], line[1, along] = start, end - start
    return lines


class Crosshair(QObject):
    """A vectors layer that is made when first needed.

    It is as thick as the CT along the axis across the slices, so that turning over slices
    needs no redrawing.

    Parameters
    ----------
    viewer
        On whose canvas it lies.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Vectors | None = None
        self._grid: Grid | None = None
        self.events = ViewerEvents()
        self.events.connect(viewer.dims.events.point, self._on_moved)
        self.events.connect(viewer.dims.events.order, self._on_moved)
        self.events.connect(viewer.dims.events.ndisplay, self._on_moved)
        self.events.connect(viewer.layers.events.removed, self._on_removed)
        self.events.connect(viewer.scene.camera.events.zoom, self._on_zoom)
        # The camera tells of every step of a zoom; gap and width follow when it has come to rest.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_LONGEST_WAIT_MS)
        self._soon.timeout.connect(self._draw)
        self._drawn: tuple[float, ...] = ()

    @property
    def layer(self) -> Vectors | None:
        """The layer, if it was made."""
        return self._layer

    def show(self, grid: Grid) -> None:
        """Draw it over the CT of this grid."""
        self._grid = grid
        self._drawn = ()
        self._draw()

    def hide(self) -> None:
        """Draw nothing."""
        self._grid = None
        self._soon.stop()
        if self._layer is not None:
            self._layer.visible = False

    def _draw(self) -> None:
        grid, dims = self._grid, self._viewer.dims
        if grid is None:
            return
        if dims.ndisplay != _N_SLICE_AXES or dims.ndim < len(UNITS):
            if self._layer is not None:
                self._layer.visible = False
            return
        normal = dims.order[-3] - (dims.ndim - 3)
        place = np.array(dims.point[-3:])
        pixel = 1 / self._viewer.scene.camera.zoom
        drawn = (normal, *np.delete(place, normal), pixel)
        if drawn == self._drawn and self._layer is not None:
            self._layer.visible = True
            return
        self._drawn = drawn
        # From the first voxel's centre to the last one's, as the CT's layer counts its extent:
        # sliders that begin half a voxel before it would stop between its slices.
        low, high = grid.to_world((0, 0, 0)), grid.to_world(np.array(grid.shape) - 1)
        lines = crosshair_lines(place, low, high, normal, GAP_PIXELS * pixel)
        # One step for the plane's axes, or lines would be wider along one of them; and no finer
        # than the CT's, whose steps the sliders take then.
        step = float(max(grid.spacing_mm))
        scale, translate = np.full(3, step), np.zeros(3)
        scale[normal] = high[normal] - low[normal] + grid.spacing_mm[normal]
        translate[normal] = (low[normal] + high[normal]) / 2
        self._put(lines / step, scale, translate, _PIXELS * pixel / step)

    def _put(
        self, lines: FloatArray, scale: FloatArray, translate: FloatArray, width: float
    ) -> None:
        layer = self._layer
        if layer is None:
            selection = self._viewer.layers.selection
            chosen = selection.active
            self._layer = Vectors(
                lines,
                name="crosshair",
                scale=scale,
                translate=translate,
                units=UNITS,
                axis_labels=AXIS_LABELS,
                edge_color=CROSSHAIR_COLOUR,
                edge_width=width,
                vector_style="line",
                opacity=0.75,
                blending="translucent_no_depth",
                metadata={METADATA_KEY: {"kind": "crosshair", "review": True}},
            )
            self._viewer.add_layer(self._layer)
            selection.active = chosen
            return
        layer.data = lines
        for name, value in (("scale", scale), ("translate", translate)):
            if not np.array_equal(getattr(layer, name), value):
                setattr(layer, name, value)
        if not np.isclose(layer.edge_width, width, rtol=0.05):
            layer.edge_width = width
        layer.visible = True

    def _on_moved(self, _event: Event) -> None:
        self._draw()

    def _on_zoom(self, _event: Event) -> None:
        if self._grid is not None:
            self._soon.start()

    def _on_removed(self, event: Event) -> None:
        if event.value is self._layer:
            self._layer, self._drawn = None, ()
