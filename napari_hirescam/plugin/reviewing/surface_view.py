"""The 3-D view of a review: the surface of the mask, and nothing that is slow to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer, Surface
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QObject, Signal

from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS, is_review_layer
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop
from napari_hirescam.plugin.reviewing.mask_surface import Mesh, surface_of
from napari_hirescam.plugin.reviewing.review_layers import review_metadata
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.errors import HirescamError
    from napari_hirescam.review.loading import LoadedItem
    from napari_hirescam.volume import Grid

# From the front, a little from above and from the patient's right; head up.
_VIEW_DIRECTION = (0.2, 1.0, 0.3)
_HEAD_UP = (-1.0, 0.0, 0.0)
_COLOUR = (0.95, 0.76, 0.35, 1.0)
_N_SLICE_AXES, _N_AXES = 2, 3
#: Kind of the layer in which a mask is being corrected.
EDIT_KIND = "review_edit"


class _Before(NamedTuple):
    """How the slices stood."""

    point: tuple[float, ...]
    center: tuple[float, ...]
    zoom: float


class SurfaceView(QObject):
    """Shows the mask's surface in 3-D, whoever turns the 3-D view on.

    Volumes are hidden meanwhile: without a graphics card a Labels volume takes half a minute to
    draw, its surface an instant. Where the mask is being corrected, it is the surface of that.

    Parameters
    ----------
    viewer
        Whose display is used.
    """

    #: Carries a sentence for the reader.
    told = Signal(str)
    #: The surface is being looked for, or was found.
    busy_changed = Signal(bool)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._loaded: LoadedItem | None = None
        self._layer: Surface | None = None
        self._mesh: Mesh | None = None
        self._hidden: list[Layer] = []
        self._before: _Before | None = None
        self._noted: _Before | None = None
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self.events = ViewerEvents()
        self.events.connect(viewer.dims.events.ndisplay, self._on_ndisplay_changed)
        self.events.connect(viewer.layers.events.removed, self._on_removed)

    @property
    def active(self) -> bool:
        """True while the 3-D view is on."""
        return self._before is not None

    @property
    def layer(self) -> Surface | None:
        """The surface, if it was made."""
        return self._layer

    def is_shown(self, layer: Layer) -> bool:
        """True if a layer is visible, or will be when the slices are back."""
        return layer.visible or layer in self._hidden

    def take(self, loaded: LoadedItem | None) -> None:
        """Turn to another item, as slices."""
        if self.active:
            self._viewer.dims.ndisplay = _N_SLICE_AXES
        self._stop()
        self._loaded, self._mesh = loaded, None

    def toggle(self) -> None:
        """Go to the surface, or back to the slices."""
        if self.active:
            self._viewer.dims.ndisplay = _N_SLICE_AXES
        elif self._loaded is None or self._mask() is None:
            self.told.emit("There is no mask on the screen whose surface could be shown.")
        else:
            self._noted = self._note()
            self._hide_volumes()  # before napari prepares them for 3-D
            self._viewer.dims.ndisplay = _N_AXES

    def toggle_surface(self) -> None:
        """Hide the surface, or show it."""
        if self._layer is not None:
            self._layer.visible = not self._layer.visible

    def leave(self) -> None:
        """Go back to slices, and watch nothing any more."""
        self.take(None)
        self.events.disconnect()

    def _mask(self) -> tuple[npt.NDArray[Any], Grid] | None:
        """Give the mask whose surface is wanted: the one being corrected, else the item's."""
        loaded = self._loaded
        if loaded is None:
            return None
        for layer in self._viewer.layers:
            edited = layer.metadata.get(METADATA_KEY, {}).get("kind") == EDIT_KIND
            if edited and isinstance(layer, Labels):
                return np.asarray(layer.data), loaded.ct.grid
        return None if loaded.mask is None else (loaded.mask, loaded.ct.grid)

    def _on_ndisplay_changed(self, event: Event) -> None:
        if event.value == _N_AXES and self._loaded is not None and not self.active:
            self._enter()
        elif event.value == _N_SLICE_AXES and self.active:
            self._return()

    def _enter(self) -> None:
        camera = self._viewer.scene.camera
        self._before = self._noted or self._note()
        self._noted = None
        self._hide_volumes()
        camera.set_view_direction(view_direction=_VIEW_DIRECTION, up_direction=_HEAD_UP)
        wanted = self._mask()
        if wanted is None:
            self.told.emit("This item has no mask whose surface could be shown.")
            return
        mask, grid = wanted
        if self._mesh is not None and self._loaded is not None and mask is self._loaded.mask:
            self._draw(self._mesh)
            return
        self._start(mask, grid)

    def _return(self) -> None:
        self._stop()
        if self._layer is not None:
            self._layer.visible = False
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            if layer in self._viewer.layers:
                layer.visible = True
        before, self._before = self._before, None
        if before is not None:
            # napari takes the middle of the 3-D view for the slice to go back to.
            self._viewer.dims.point = before.point
            self._viewer.scene.camera.center = before.center
            self._viewer.scene.camera.zoom = before.zoom

    def _note(self) -> _Before:
        camera, dims = self._viewer.scene.camera, self._viewer.dims
        return _Before(tuple(dims.point), tuple(camera.center), float(camera.zoom))

    def _hide_volumes(self) -> None:
        for layer in self._viewer.layers:
            slow = isinstance(layer, Image | Labels) or is_review_layer(layer)
            if slow and layer.visible and layer is not self._layer:
                layer.visible = False
                self._hidden.append(layer)

    def _start(self, mask: npt.NDArray[Any], grid: Grid) -> None:
        of_item = self._loaded is not None and mask is self._loaded.mask

        def work(_progress: Progress, should_stop: ShouldStop) -> tuple[Mesh | None, bool]:
            return surface_of(mask, grid.affine, should_stop=should_stop), of_item

        subject = self._loaded.item.target if self._loaded is not None else "mask"
        job = self._current.job = Job(work, subject, doing="finding the surface of the mask")
        job.succeeded.connect(self._on_found)
        job.failed.connect(self._on_failed)
        job.ended.connect(self._on_ended)
        job.start()
        self.busy_changed.emit(True)

    def _stop(self) -> None:
        if self._current.job is not None:
            self._current.abandon()
            self.busy_changed.emit(False)

    def _on_found(self, found: tuple[Mesh | None, bool]) -> None:
        mesh, of_item = found
        if mesh is None:
            self.told.emit("The mask is empty: there is no surface.")
            return
        if of_item:
            self._mesh = mesh
        self._draw(mesh)

    def _draw(self, mesh: Mesh) -> None:
        loaded = self._loaded
        if loaded is None or not self.active:
            return
        grid = loaded.ct.grid
        # In the CT's indices, with its steps as scale, and no further than its outermost voxels'
        # centres: napari's sliders then stop where the CT's slices are.
        index = np.clip(grid.to_index(mesh.vertices_mm), 0, np.array(grid.shape) - 1)
        data = (index, mesh.faces, np.ones(len(index)))
        name = f"surface: {loaded.item.target}"
        selection = self._viewer.layers.selection
        chosen = selection.active
        if self._layer is None:
            self._layer = Surface(
                data,
                name=name,
                scale=grid.spacing_mm,
                translate=tuple(grid.affine[:3, 3]),
                units=UNITS,
                axis_labels=AXIS_LABELS,
                colormap=Colormap([_COLOUR, _COLOUR], name="mask surface"),
                contrast_limits=(0, 1),
                shading="smooth",
                metadata=review_metadata("volume"),
            )
            self._viewer.add_layer(self._layer)
        else:
            self._layer.scale = grid.spacing_mm
            self._layer.translate = tuple(grid.affine[:3, 3])
            self._layer.data = data
            self._layer.name = name
            self._layer.visible = True
        if chosen in self._viewer.layers:
            selection.active = chosen
        self._viewer.fit_to_view(layers=[self._layer], margin=0.05)

    def _on_failed(self, error: HirescamError) -> None:
        self.told.emit(str(error))

    def _on_ended(self) -> None:
        self._current.job = None
        self.busy_changed.emit(False)

    def _on_removed(self, event: Event) -> None:
        if event.value is self._layer:
            self._layer = None
        if event.value in self._hidden:
            self._hidden.remove(event.value)
