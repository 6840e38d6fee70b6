"""The two layers of a patch network's window: a point, and the outline of the box around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Layer, Points, Vectors

from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS
from napari_hirescam.plugin.window_lines import outline

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hirescam.models.window import WindowExtent
    from napari_hirescam.volume import Grid

POINT_NAME = "window centre"
BOX_NAME = "window"
COLOUR = "#ffd400"
PADDED_COLOUR = "#ff5a36"
_PIXELS = 1.8
_POINT_PIXELS = 13
_N_SLICE_AXES = 2


class WindowLayers:
    """Made when first needed, hidden rather than removed.

    Parameters
    ----------
    viewer
        Where the layers live.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._points: Points | None = None
        self._box: Vectors | None = None
        self._step = 1.0

    @property
    def points(self) -> Points | None:
        """The layer of the point, if it was made."""
        return self._points

    @property
    def box(self) -> Vectors | None:
        """The layer of the outline, if it was made."""
        return self._box

    def show(self, grid: Grid, extent: WindowExtent, at_mm: tuple[float, float, float]) -> None:
        """Draw a window; what is chosen in the list of layers stays so.

        Parameters
        ----------
        grid
            The CT's.
        extent
            Where the window lies.
        at_mm
            (I, P, L) mm of the point.
        """
        selection = self._viewer.layers.selection
        chosen = selection.active
        self._draw_point(grid, at_mm)
        self._draw_box(grid, extent)
        if selection.active is not chosen and chosen in self._viewer.layers:
            selection.active = chosen
        self.fit_sizes()

    def hide(self) -> None:
        """Show neither."""
        for layer in (self._points, self._box):
            if layer is not None:
                layer.visible = False

    def forget(self, layer: Layer) -> bool:
        """Let go of a layer that was removed; True if it was one of these."""
        if layer is self._points:
            self._points = None
        elif layer is self._box:
            self._box = None
        else:
            return False
        return True

    def fit_sizes(self) -> None:
        """Keep lines and point as large on the screen, however near the camera."""
        zoom = self._viewer.scene.camera.zoom
        if self._box is not None:
            width = _PIXELS / zoom / self._step
            if not np.isclose(self._box.edge_width, width, rtol=0.05):
                self._box.edge_width = width
        if self._points is not None and len(self._points.data):
            size = _POINT_PIXELS / zoom / float(np.mean(self._points.scale[-2:]))
            if not np.allclose(self._points.size, size, rtol=0.05):
                self._points.size = size

    def _draw_point(self, grid: Grid, at_mm: tuple[float, float, float]) -> None:
        place = grid.to_index(at_mm)[None]
        points = self._points
        if points is None:
            self._points = Points(
                place,
                name=POINT_NAME,
                # The CT's own steps, or napari's sliders would get finer ones.
                scale=grid.spacing_mm,
                translate=tuple(grid.affine[:3, 3]),
                units=UNITS,
                axis_labels=AXIS_LABELS,
                symbol="cross",
                face_color=COLOUR,
                border_width=0,
                blending="translucent_no_depth",
                metadata={METADATA_KEY: {"kind": "window"}},
            )
            self._viewer.add_layer(self._points)
            self._points.mode = "select"
            return
        if not np.array_equal(points.scale, grid.spacing_mm):
            points.scale = grid.spacing_mm
        if not np.array_equal(points.translate, grid.affine[:3, 3]):
            points.translate = tuple(grid.affine[:3, 3])
        # Set only if need be: it may be the user's hand that has just moved it.
        if points.data.shape != place.shape or not np.allclose(points.data, place, atol=1e-6):
            points.data = place
        points.visible = True

    def _draw_box(self, grid: Grid, extent: WindowExtent) -> None:
        dims = self._viewer.dims
        in_slices = dims.ndisplay == _N_SLICE_AXES
        normal = dims.order[-3] - (dims.ndim - 3) if in_slices else None
        found = outline(extent, normal)
        # One step for all axes, or lines would be wider along some; no finer than the CT's.
        self._step = max(grid.spacing_mm)
        scale, translate = np.full(3, self._step), np.zeros(3)
        if normal is not None:
            # As thick as the window's part in the CT: each slice through it shows the lines.
            thickness = extent.ct_high_mm[normal] - extent.ct_low_mm[normal]
            scale[normal] = thickness
            translate[normal] = extent.ct_low_mm[normal] + thickness / 2
        colours = np.where(found.padded, PADDED_COLOUR, COLOUR)
        lines = found.lines / self._step
        if self._box is None:
            self._box = Vectors(
                lines,
                name=BOX_NAME,
                scale=scale,
                translate=translate,
                units=UNITS,
                axis_labels=AXIS_LABELS,
                edge_color=colours,
                vector_style="line",
                opacity=1.0,
                blending="translucent_no_depth",
                metadata={METADATA_KEY: {"kind": "window"}},
            )
            self._viewer.add_layer(self._box)
            return
        self._box.data = lines
        self._box.scale, self._box.translate = scale, translate
        self._box.edge_color = colours
        self._box.visible = True
