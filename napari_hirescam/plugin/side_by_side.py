"""Two methods beside each other: napari's grid with a second CT in the right cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hirescam.plugin.ct_layers import METADATA_KEY
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

# Point sizes of the titles, and pixels that a letter of one point takes.
_SMALLEST, _LARGEST = 6.0, 10.0
_PIXELS_PER_POINT = 0.96

# What the two CTs share: a window set on one is set on the other.
_LINKED = ("contrast_limits", "gamma", "colormap", "rendering", "opacity", "attenuation")


class SideBySide(QObject):
    """Left: the CT, everything the user has, the first method. Right: a second CT, the second.

    Parameters
    ----------
    viewer
        Its grid is used, and restored by :meth:`leave`.
    right_maps
        Gives the map layers that belong into the right cell.
    """

    #: The two views ended otherwise than by :meth:`leave`: a CT was deleted, the grid put off.
    ended = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        right_maps: Callable[[], Sequence[Layer]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._right_maps = right_maps
        self._ct: Image | None = None
        self._copy: Image | None = None
        # The hidden copy of the last time. Adding a layer takes napari a while, removing one
        # longer, and doing so while it tells of another removal ends badly.
        self._spare: Image | None = None
        self._before: dict[str, Any] = {}
        self._camera: dict[str, Any] = {}
        self._ndisplay = 2
        self._events = ViewerEvents()
        self.destroyed.connect(self._events.disconnect)
        # The list must not be reordered while napari is still telling others of a change.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._settle)
        self._resized = QTimer(self)
        self._resized.setSingleShot(True)
        self._resized.setInterval(50)
        self._resized.timeout.connect(self._write_titles)

    @property
    def active(self) -> bool:
        """True while two cells are shown."""
        return self._copy is not None

    def enter(self, ct: Image) -> None:
        """Show two cells, both with this CT."""
        if self._ct is ct:
            self.arrange()
            return
        self.leave()
        grid = self._viewer.canvas.grid
        self._before = {
            "stride": grid.stride,
            "shape": grid.shape,
            "spacing": grid.spacing,
            "enabled": grid.enabled,
        }
        camera = self._viewer.scene.camera
        self._camera = {"center": camera.center, "zoom": camera.zoom}
        self._ndisplay = self._viewer.dims.ndisplay
        self._ct = ct
        self._copy = self._second_view_of(ct)
        link_layers([ct, self._copy], _LINKED)
        self._events.connect(self._viewer.layers.events.inserted, self._on_inserted)
        self._events.connect(self._viewer.layers.events.removed, self._on_removed)
        self._events.connect(grid.events.enabled, self._on_grid_toggled)
        self._events.connect(self._viewer.canvas.events.size, self._on_resized)
        self.arrange()
        grid.shape, grid.spacing, grid.enabled = (1, 2), 0.01, True
        self._viewer.fit_to_view(layers=[ct, self._copy], margin=0)
        self._viewer.layers.selection.active = ct
        self._write_titles()

    def leave(self) -> None:
        """Go back to one cell and to the grid the user had."""
        if self._copy is None or self._ct is None:
            return
        copy, ct = self._copy, self._ct
        self._copy = self._ct = None
        self._soon.stop()
        self._resized.stop()
        self._events.disconnect()
        unlink_layers([ct, copy])
        if copy in self._viewer.layers:
            copy.visible = False
            self._spare = copy
            if ct not in self._viewer.layers:  # let go of its voxels
                copy.data = np.zeros((2, 2, 2), ct.data.dtype)
        grid = self._viewer.canvas.grid
        for name, value in self._before.items():
            setattr(grid, name, value)
        if self._viewer.dims.ndisplay == self._ndisplay:
            for name, value in self._camera.items():
                setattr(self._viewer.scene.camera, name, value)
        else:  # another camera's place
            self._viewer.fit_to_view(margin=0)
        for layer in self._viewer.layers:
            if layer.metadata.get(METADATA_KEY, {}).get("kind") == "map":
                layer.name_overlay.visible = False

    def _second_view_of(self, ct: Image) -> Image:
        copy, self._spare = self._spare, None
        if copy is None or copy not in self._viewer.layers:
            added: Image = self._viewer.add_layer(_second(ct))
            return added
        if copy.data is not ct.data:
            copy.data = ct.data
        for name in ("scale", "translate", "affine", "contrast_limits_range", *_LINKED):
            setattr(copy, name, getattr(ct, name))
        copy.name = _second_name(ct)
        copy.visible = True
        return copy

    def arrange(self) -> None:
        """Bring the second CT and its maps to the top of the list, which is the right cell."""
        if self._copy is None:
            return
        layers = self._viewer.layers
        right: list[Layer] = [self._copy, *self._right_maps()]
        right = [layer for layer in right if layer in layers]
        left = [layer for layer in layers if layer not in right]
        wanted = [*left, *right]
        for position, layer in enumerate(wanted):
            here = layers.index(layer)
            if here != position:
                layers.move(here, position)
        # The left cell holds at least as many layers as the right one, so that one stride
        # divides the list where the right cell begins.
        self._viewer.canvas.grid.stride = max(len(left), 1)
        self._write_titles()

    def _write_titles(self) -> None:
        """Write each map's name above it, as large as its half of the window allows."""
        if self._copy is None:
            return
        _height, width = self._viewer.canvas.viewbox_size(self._viewer.layers)
        for layer in self._viewer.layers:
            if layer.metadata.get(METADATA_KEY, {}).get("kind") == "map":
                fitting = (width - 20) / (_PIXELS_PER_POINT * max(len(layer.name), 1))
                layer.name_overlay.font_size = min(max(fitting, _SMALLEST), _LARGEST)
                layer.name_overlay.visible = True

    def _on_resized(self, _event: Event) -> None:
        self._resized.start()

    def _on_inserted(self, _event: Event) -> None:
        self._soon.start()

    def _on_removed(self, event: Event) -> None:
        if event.value is self._ct or event.value is self._copy:
            self.leave()
        self._soon.start()

    def _on_grid_toggled(self, event: Event) -> None:
        if not event.value:
            self.leave()
            self._soon.start()

    def _settle(self) -> None:
        if self.active:
            self.arrange()
        else:
            self.ended.emit()


def _second_name(ct: Image) -> str:
    return f"{ct.name} (second view)"


def _second(ct: Image) -> Image:
    copy = Image(
        ct.data,
        name=_second_name(ct),
        scale=ct.scale,
        translate=ct.translate,
        affine=ct.affine,
        units=ct.units,
        axis_labels=ct.axis_labels,
        contrast_limits=ct.contrast_limits,
        colormap=ct.colormap,
        gamma=ct.gamma,
        opacity=ct.opacity,
        blending=ct.blending,
        rendering=ct.rendering,
        attenuation=ct.attenuation,
        interpolation2d=ct.interpolation2d,
        interpolation3d=ct.interpolation3d,
        metadata={METADATA_KEY: {"kind": "copy"}},
    )
    copy.contrast_limits_range = ct.contrast_limits_range
    return copy
