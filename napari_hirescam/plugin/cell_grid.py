"""The borders of a map's cells, drawn over the slice that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Layer, Vectors
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.volume import FloatArray, Grid

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

_COLOUR = "#ffffff8c"
_PIXELS = 1.2
_N_SLICE_AXES = 2


def border_lines(grid: Grid, normal: int) -> FloatArray:
    """List the borders of the cells of one plane of a grid, as lines.

    Parameters
    ----------
    grid
        The cells.
    normal
        Axis across the plane; lines lie at 0 along it.

    Returns
    -------
    [n, 2, 3]: start (in mm) and extent of each line along (I, P, L).
    """
    first, second = (axis for axis in range(3) if axis != normal)
    begin = grid.to_world((-0.5, -0.5, -0.5))
    spacing = np.array(grid.spacing_mm)
    lines = []
    for along, across in ((first, second), (second, first)):
        n = grid.shape[across] + 1
        line = np.zeros((n, 2, 3))
        line[:, 0, along] = begin[along]
        line[:, 0, across] = begin[across] + spacing[across] * np.arange(n)
        line[:, 1, along] = spacing[along] * grid.shape[along]
        lines.append(line)
    return np.concatenate(lines)


class CellGrid(QObject):
    """One vectors layer that is made when first asked for, and hidden rather than removed.

    The lines need no redrawing while slices are turned over: the layer is as thick as the map
    along the axis across the slices, so that each slice through the map shows them, and no
    other.
    """

    #: The user deleted the layer.
    removed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Vectors | None = None
        self._grid: Grid | None = None
        self._drawn: tuple[Grid, int] | None = None
        self.events = ViewerEvents()
        self.events.connect(viewer.layers.events.removed, self._on_removed)
        self.events.connect(viewer.dims.events.order, self._on_view_changed)
        self.events.connect(viewer.dims.events.ndisplay, self._on_view_changed)
        self.events.connect(viewer.scene.camera.events.zoom, self._on_zoom)
        # The camera tells of every step of a zoom; widths follow when it has come to rest.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(80)
        self._soon.timeout.connect(self._fit_width)

    @property
    def layer(self) -> Vectors | None:
        """The layer, if it was made."""
        return self._layer

    def show(self, grid: Grid, above: Layer | None = None) -> None:
        """Draw the borders of these cells, above a CT."""
        self._grid = grid
        self._draw()
        layers = self._viewer.layers
        if self._layer is None or above is None or above not in layers:
            return
        if layers.index(self._layer) < layers.index(above):
            layers.move(layers.index(self._layer), len(layers))

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
        if dims.ndisplay != _N_SLICE_AXES:
            if self._layer is not None:
                self._layer.visible = False
            return
        normal = dims.order[-3] - (dims.ndim - 3)
        drawn = self._drawn
        if self._layer is not None and drawn is not None:
            same = drawn[1] == normal and drawn[0].same_place_as(grid)
            if same:
                self._layer.visible = True
                return
        self._drawn = (grid, normal)
        spacing = np.array(grid.spacing_mm)
        # In the plane one step for both axes, or lines would be wider along one of them; no
        # finer than the cells, so that napari's sliders keep the CT's steps.
        step = float(max(spacing[axis] for axis in range(3) if axis != normal))
        scale, translate = np.full(3, step), np.zeros(3)
        scale[normal] = spacing[normal] * grid.shape[normal]
        translate[normal] = grid.to_world((np.array(grid.shape) - 1) / 2)[normal]
        lines = border_lines(grid, normal) / step
        lines[:, :, normal] = 0
        self._put(lines, scale, translate)

    def _put(self, lines: FloatArray, scale: FloatArray, translate: FloatArray) -> None:
        width = _PIXELS / self._viewer.scene.camera.zoom / scale.min()
        if self._layer is None:
            selection = self._viewer.layers.selection
            chosen = selection.active
            self._layer = Vectors(
                lines,
                name="cells of the map",
                scale=scale,
                translate=translate,
                units=UNITS,
                axis_labels=AXIS_LABELS,
                edge_color=_COLOUR,
                edge_width=width,
                vector_style="line",
                blending="translucent_no_depth",
                metadata={METADATA_KEY: {"kind": "cells"}},
            )
            self._viewer.add_layer(self._layer)
            selection.active = chosen
            return
        self._layer.data = lines
        self._layer.scale, self._layer.translate = scale, translate
        self._layer.edge_color = _COLOUR
        self._layer.visible = True
        self._fit_width()

    def _fit_width(self) -> None:
        """Keep lines a bit more than one pixel wide, however near the camera."""
        layer = self._layer
        if layer is None or not layer.visible:
            return
        width = _PIXELS / self._viewer.scene.camera.zoom / float(min(layer.scale))
        if not np.isclose(layer.edge_width, width, rtol=0.05):
            layer.edge_width = width

    def _on_zoom(self, _event: Event) -> None:
        if self._layer is not None and self._layer.visible:
            self._soon.start()

    def _on_view_changed(self, _event: Event) -> None:
        if self._grid is not None:
            self._draw()

    def _on_removed(self, event: Event) -> None:
        if event.value is self._layer:
            self._layer, self._drawn = None, None
            if self._grid is not None:
                self._grid = None
                self.removed.emit()
