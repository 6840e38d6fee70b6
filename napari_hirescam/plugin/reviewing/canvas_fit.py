"""Fitting a CT into napari's canvas, also after the window was divided anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from napari.utils.events import Event

_N_SLICE_AXES = 2


class CanvasFit:
    """Keeps a layer as large as the canvas until the reader zooms or moves it.

    Parameters
    ----------
    viewer
        Whose camera is set.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Layer | None = None
        self._fitted: tuple[float, ...] = ()
        self.events = ViewerEvents()
        self.events.connect(viewer.canvas.events.size, self._on_resized)
        self.events.connect(viewer.dims.events.order, self._on_resized)

    def fit(self, layer: Layer | None) -> None:
        """Show the whole of a layer's slice."""
        self._layer = layer
        if layer is None or layer not in self._viewer.layers:
            return
        self._viewer.fit_to_view(layers=[layer], margin=0)
        self._fitted = self._camera()

    def forget(self) -> None:
        """Leave the camera where it is."""
        self._layer = None

    def _camera(self) -> tuple[float, ...]:
        camera = self._viewer.scene.camera
        return float(camera.zoom), *(float(x) for x in camera.center[-2:])

    def _on_resized(self, event: Event) -> None:
        if self._layer is None or self._viewer.dims.ndisplay != _N_SLICE_AXES:
            return
        turned = event.type == "order"  # what was fitted, or zoomed into, is another plane
        if turned or np.allclose(self._camera(), self._fitted, rtol=1e-3):
            self.fit(self._layer)
