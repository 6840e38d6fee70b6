"""What the user had on the screen before a review, to be given back after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from napari_hirescam.plugin.ct_layers import is_review_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel

_N_AXES = 3


class UsersView:
    """Hides the layers of a viewer and notes how it stands; one cell, slices, seen from below.

    Parameters
    ----------
    viewer
        Whose view is noted and changed.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        dims, camera, grid = viewer.dims, viewer.scene.camera, viewer.canvas.grid
        self._order, self._ndisplay = tuple(dims.order), int(dims.ndisplay)
        self._point = tuple(dims.point)
        self._camera = {"center": camera.center, "zoom": camera.zoom, "angles": camera.angles}
        self._grid = bool(grid.enabled)
        self._active = viewer.layers.selection.active
        self._layers: list[tuple[Layer, dict[str, Any]]] = []
        for layer in viewer.layers:
            if is_review_layer(layer):
                continue
            kept: dict[str, Any] = {"visible": layer.visible}
            if isinstance(layer, Image):
                # While CTs are linked, the review's grey windows reach these, too.
                kept["contrast_limits"] = tuple(layer.contrast_limits)
            self._layers.append((layer, kept))
            layer.visible = False
        grid.enabled = False
        dims.ndisplay = 2
        dims.order = tuple(range(dims.ndim))

    def restore(self) -> None:
        """Give back what is still there."""
        viewer = self._viewer
        for layer, kept in self._layers:
            if layer in viewer.layers:
                for name, value in kept.items():
                    setattr(layer, name, value)
        self._layers.clear()
        if viewer.layers and viewer.dims.ndim == len(self._order):
            viewer.dims.order = self._order
            viewer.dims.point = self._point
        if self._active in viewer.layers:
            viewer.layers.selection.active = self._active
        viewer.canvas.grid.enabled = self._grid
        viewer.dims.ndisplay = self._ndisplay
        for name, value in self._camera.items():
            setattr(viewer.scene.camera, name, value)
