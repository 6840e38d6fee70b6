"""Looking at the attention inside the body, and going back to slices as they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image

if TYPE_CHECKING:
    from napari.components import ViewerModel

# From the front, a little from above and from the patient's right; head up.
_VIEW_DIRECTION = (0.12, 1.0, -0.25)
_HEAD_UP = (-1.0, 0.0, 0.0)

# The skeleton, near parts brighter than far ones, in a faint body: the heat keeps its place
# between the ribs and everything soft lets it through.
_CT_IN_3D: dict[str, Any] = {
    "rendering": "attenuated_mip",
    "attenuation": 0.05,
    "contrast_limits": (-200.0, 1200.0),
    "opacity": 0.9,
    "colormap": "gray",
}


class View3D:
    """The 3-D view of one viewer.

    Parameters
    ----------
    viewer
        Whose display is changed by :meth:`enter` and restored by :meth:`leave`.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._before: list[tuple[Image, dict[str, Any]]] = []
        self._camera: dict[str, Any] | None = None
        self._grid = False

    @property
    def active(self) -> bool:
        """True while the 3-D view is on."""
        return self._camera is not None

    def enter(self, cts: list[Image], others: Sequence[Image] = ()) -> None:
        """Show the skeletons of the CTs, with the maps among them; hide the other volumes."""
        if self.active:
            return
        camera = self._viewer.scene.camera
        self._camera = {"center": camera.center, "zoom": camera.zoom}
        self._grid = self._viewer.canvas.grid.enabled
        for layer in cts:
            self._set(layer, _CT_IN_3D)
        for layer in others:
            self._set(layer, {"visible": False})
        self._viewer.dims.ndisplay = 3
        self._viewer.fit_to_view(layers=cts or None, margin=0)
        camera.set_view_direction(view_direction=_VIEW_DIRECTION, up_direction=_HEAD_UP)

    def leave(self) -> None:
        """Go back to slices, camera and rendering included."""
        if self._camera is None:
            return
        before, self._before = self._before, []
        camera, self._camera = self._camera, None
        self._viewer.dims.ndisplay = 2
        for layer, values in before:
            if layer in self._viewer.layers:
                for name, value in values.items():
                    setattr(layer, name, value)
        if self._viewer.canvas.grid.enabled == self._grid:
            for name, value in camera.items():
                setattr(self._viewer.scene.camera, name, value)
        else:  # another camera's place
            self._viewer.fit_to_view(margin=0)

    def _set(self, layer: Image, values: dict[str, Any]) -> None:
        self._before.append((layer, {name: getattr(layer, name) for name in values}))
        for name, value in values.items():
            setattr(layer, name, value)
