"""What the reviewer sees: the CT and the mask in three linked planes, its surface, attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_hirescam.ct_windows import window_of_organ
from napari_hirescam.plugin.ct_layers import is_review_layer
from napari_hirescam.plugin.grey_windows import ends_of, window_by_content
from napari_hirescam.plugin.reviewing.view_parts import ViewParts
from napari_hirescam.plugin.viewer_events import without_proxy

if TYPE_CHECKING:
    import napari

    from napari_hirescam.plugin.reviewing.other_planes import OtherPlanes
    from napari_hirescam.review.loading import LoadedItem

_N_AXES = 3
#: Share of the canvas, about its middle, in which a place may lie without the camera moving.
_CALM = 0.8
_ROWS_COUNTED = 64


class ReviewViews(QObject):
    """Draws one item of a review; every call belongs into the GUI thread.

    The canvas shows one plane, a dock below it the others; a crosshair, the grey window and the
    layers are one for all. Layers are filled anew for each item rather than removed, which takes
    napari long. What the user had in the viewer is hidden meanwhile and comes back by
    :meth:`leave`.

    Parameters
    ----------
    viewer
        Not used before the first :meth:`show`.
    """

    #: Carries a sentence for the reader.
    told = Signal(str)
    #: Carries whether a map is being read or computed.
    attention_busy = Signal(bool)
    #: Carries (done, total) of that.
    attention_progressed = Signal(int, int)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = without_proxy(viewer)
        self._loaded: LoadedItem | None = None
        self._windows: dict[str, tuple[float, float]] = {}
        self._here: ViewParts | None = None

    @property
    def loaded(self) -> LoadedItem | None:
        """The item on the screen."""
        return self._loaded

    @property
    def ct_layer(self) -> Image | None:
        """The CT, if one is on the screen."""
        return self._here.layers.ct if self._here is not None else None

    @property
    def mask_layer(self) -> Labels | None:
        """The mask that is judged, if the item on the screen has one."""
        return self._here.layers.mask if self._here is not None else None

    @property
    def planes(self) -> OtherPlanes | None:
        """The planes beside the canvas, from the first :meth:`show` to :meth:`leave`."""
        return self._here.planes if self._here is not None else None

    @property
    def place_mm(self) -> tuple[float, float, float]:
        """The (I, P, L) mm where the crosshair is."""
        a, b, c = (float(x) for x in self._viewer.dims.point[-_N_AXES:])
        return a, b, c

    @property
    def in_3d(self) -> bool:
        """True while the surface is shown."""
        return self._here is not None and self._here.surface.active

    @property
    def attention_on(self) -> bool:
        """Whether the attention is wanted on the screen."""
        return self._here is not None and self._here.attention.on

    def show(self, loaded: LoadedItem) -> None:
        """Put an item on the screen, in slices, at the largest slice of its mask."""
        here = self._enter()
        before, self._loaded = self._loaded, loaded
        here.surface.take(loaded)
        here.attention.take(loaded)
        grid = loaded.ct.grid
        same_scan = before is not None and _same_scan(before, loaded)
        self._keep_window(before)
        here.layers.show(loaded, self._window_for(loaded))
        if not same_scan:
            here.planes.show_grid(grid)
            here.fit.fit(here.layers.ct)
        here.dock.settle()
        if not here.dock.aside:
            here.crosshair.show(grid)
        # Readers' keys are then those of an image layer, which has few of its own.
        self._viewer.layers.selection.active = here.layers.ct
        self.go_to(first_place(loaded))

    def clear(self) -> None:
        """Show nothing, and stop what is being looked for."""
        here = self._here
        if here is None:
            return
        self._keep_window(self._loaded)
        self._loaded = None
        here.surface.take(None)
        here.attention.take(None)
        here.planes.show_grid(None)
        here.crosshair.hide()
        here.fit.forget()
        here.layers.hide()

    def toggle_mask(self) -> None:
        """Show the mask, or what lies under it."""
        if self._here is None:
            return
        if self._here.surface.active:
            self._here.surface.toggle_surface()
        else:
            self._here.layers.toggle_mask()

    def toggle_others(self) -> None:
        """Show the outlines of the file's other organs, or hide them."""
        if self._here is None or self._loaded is None:
            return
        if not self._here.layers.toggle_others(self._loaded):
            self.told.emit("The mask's file holds no other organs.")

    def toggle_3d(self) -> None:
        """Go to the mask's surface, or back to the slices."""
        if self._here is not None:
            self._here.surface.toggle()

    def go_to(self, place_mm: Sequence[float]) -> None:
        """Show a place, (I, P, L) in mm, in all planes; outside the CT, its nearest voxel."""
        here = self._here
        if here is None or self._loaded is None:
            return
        if here.surface.active:
            here.surface.toggle()
        here.planes.go_to(place_mm)
        self._bring_into_view()

    def show_attention(self, on: bool) -> None:  # noqa: FBT001 - a slot of a check box
        """Show the attention, which is read or computed first; or hide it."""
        if self._here is not None:
            self._here.attention.show(on=on)

    def leave(self) -> None:
        """Leave the viewer as it was before the first item; again, it does nothing."""
        here, self._here = self._here, None
        if here is None:
            return
        self._loaded = None
        here.leave()
        for layer in [one for one in self._viewer.layers if is_review_layer(one)]:
            self._viewer.layers.remove(layer)
        here.users.restore()

    def abandon(self) -> None:
        """Watch nothing any more where the window itself is closing, and touch it no more."""
        here, self._here = self._here, None
        self._loaded = None
        if here is not None:
            here.abandon()

    def _enter(self) -> ViewParts:
        if self._here is None:
            self._here = ViewParts(self._viewer, self)
            self._here.ct_removed.connect(self._on_ct_removed)
            self._here.dock.aside_changed.connect(self._on_aside_changed)
            self._here.surface.told.connect(self.told)
            self._here.attention.told.connect(self.told)
            self._here.attention.busy_changed.connect(self.attention_busy)
            self._here.attention.progressed.connect(self.attention_progressed)
        return self._here

    def _keep_window(self, loaded: LoadedItem | None) -> None:
        """Remember how the reader set the grey window for this organ."""
        ct = self.ct_layer
        if loaded is not None and ct is not None:
            low, high = ct.contrast_limits
            self._windows[loaded.item.target] = float(low), float(high)

    def _window_for(self, loaded: LoadedItem) -> tuple[float, float]:
        target = loaded.item.target
        if target in self._windows:
            return self._windows[target]
        if loaded.item.kind == "mask":
            return ends_of(window_of_organ(target))
        return ends_of(window_by_content(loaded.ct.voxels, loaded.ct.quantity))

    def _bring_into_view(self) -> None:
        """Move the camera if the crosshair lies near the border of the canvas or beyond."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        down, right = (dims.point[axis] for axis in dims.displayed[-2:])
        reach = np.array(self._viewer.canvas.size) / camera.zoom / 2 * _CALM
        offset = np.abs(np.array([down, right]) - np.array(camera.center[-2:]))
        if (offset > reach).any():
            camera.center = (0.0, down, right)

    def _on_aside_changed(self, aside: bool) -> None:  # noqa: FBT001 - Qt's slot
        """Leave the crosshair to the other plugin: in its planes ours would be thick bars."""
        if self._here is None or self._loaded is None:
            return
        if aside:
            self._here.crosshair.hide()
        else:
            self._here.crosshair.show(self._loaded.ct.grid)

    def _on_ct_removed(self) -> None:
        """Show nothing more of an item whose CT was deleted in the list of layers."""
        self.clear()
        self.told.emit("The CT was removed from the list of layers; go to the item again.")


def first_place(loaded: LoadedItem) -> tuple[float, float, float]:
    """Choose where an item opens: in the mask's largest slice, in its middle; else in the CT's.

    Returns
    -------
    (I, P, L) in mm.
    """
    grid, mask = loaded.ct.grid, loaded.mask
    index = (np.array(grid.shape) - 1) / 2
    if mask is not None:
        # Every n-th row tells as well which slice is the largest, and the reader waits.
        coarse = [np.count_nonzero(one[:: max(1, mask.shape[1] // _ROWS_COUNTED)]) for one in mask]
        areas = coarse if any(coarse) else [np.count_nonzero(one) for one in mask]
        largest = int(np.argmax(areas))
        if mask[largest].any():
            rows, columns = np.nonzero(mask[largest])
            index = np.array([largest, rows.mean(), columns.mean()])
    a, b, c = (float(x) for x in grid.to_world(index))
    return a, b, c


def _same_scan(one: LoadedItem, other: LoadedItem) -> bool:
    return one.ct_key == other.ct_key and one.ct.grid.same_place_as(other.ct.grid)
