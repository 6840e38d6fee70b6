"""The viewer's layers that this plugin's reader opened, and what happens to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Layer
from psygnal import Signal

from napari_hirescam.plugin.ct_layers import METADATA_KEY
from napari_hirescam.plugin.time_series import KIND as TIME_SERIES
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.volume import FloatArray, Quantity

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

_N_AXES = 3
#: A layer turned by more than this cannot say where the patient's left is.
_TURNED_DEG = 10.0


class PatientLayers:
    """The CTs and masks of one viewer that lie in the patient's frame.

    Layers of other readers are never among them: their axes may run anywhere.

    Parameters
    ----------
    viewer
        Whose layers are watched until :meth:`leave`.
    """

    #: One came or went, was shown or hidden, turned or moved.
    changed = Signal()
    #: Carries a CT that was opened.
    ct_opened = Signal(Image)
    #: Carries a CT whose grey window was changed, by whomever.
    window_changed = Signal(Image)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._events = ViewerEvents()
        self._of_layer: dict[Layer, ViewerEvents] = {}
        self._events.connect(viewer.layers.events.inserted, self._on_inserted)
        self._events.connect(viewer.layers.events.removed, self._on_removed)
        self._events.connect(viewer.layers.events.reordered, self._on_changed)
        self._events.connect(viewer.layers.selection.events.active, self._on_changed)
        for layer in viewer.layers:
            self._watch(layer)

    @property
    def cts(self) -> list[Image]:
        """The CTs in HU, from the bottom of the list of layers to its top."""
        return [layer for layer in self._viewer.layers if is_ct(layer)]

    @property
    def shown_ct(self) -> Image | None:
        """The CT that is worked on: the selected one, else the topmost that is visible."""
        visible = [layer for layer in self.cts if layer.visible]
        active = self._viewer.layers.selection.active
        if active in visible:
            return active
        return visible[-1] if visible else None

    @property
    def know_directions(self) -> bool:
        """True if what is shown says where the patient's left is."""
        shown = [layer for layer in self._of_layer if layer.visible]
        return bool(shown) and all(lies_straight(layer) for layer in shown)

    def leave(self) -> None:
        """Watch nothing any more."""
        self._events.disconnect()
        for events in self._of_layer.values():
            events.disconnect()
        self._of_layer.clear()

    def _watch(self, layer: Layer) -> None:
        if not is_patient_layer(layer):
            return
        events = self._of_layer[layer] = ViewerEvents()
        told = layer.events
        for emitter in (told.visible, told.affine, told.rotate, told.scale, told.shear):
            events.connect(emitter, self._on_changed)
        if is_ct(layer):
            events.connect(told.contrast_limits, self._on_window_changed)

    def _on_inserted(self, event: Event) -> None:
        self._watch(event.value)
        if event.value in self._of_layer:
            if is_ct(event.value):
                self.ct_opened.emit(event.value)
            self.changed.emit()

    def _on_removed(self, event: Event) -> None:
        events = self._of_layer.pop(event.value, None)
        if events is not None:
            events.disconnect()
            self.changed.emit()

    def _on_changed(self, _event: Event) -> None:
        self.changed.emit()

    def _on_window_changed(self, event: Event) -> None:
        self.window_changed.emit(event.source)


def is_patient_layer(layer: Layer) -> bool:
    """True if this plugin's reader opened it: its last three axes lie in the patient's frame."""
    kind = layer.metadata.get(METADATA_KEY, {}).get("kind")
    return kind in {"volume", TIME_SERIES} and layer.ndim >= _N_AXES


def is_ct(layer: Layer) -> bool:
    """True for an image in HU that this plugin's reader opened, also for one over time."""
    quantity = layer.metadata.get(METADATA_KEY, {}).get("quantity")
    return is_patient_layer(layer) and isinstance(layer, Image) and quantity == Quantity.HU.value


def spatial_transform(layer: Layer) -> FloatArray:
    """Compose a layer's transforms to one 4x4: index along its last three axes to mm."""
    at = np.zeros(layer.ndim)
    origin = np.asarray(layer.data_to_world(at), dtype=np.float64)[-_N_AXES:]
    transform = np.eye(4)
    transform[:3, 3] = origin
    for axis in range(_N_AXES):
        step = at.copy()
        step[axis - _N_AXES] = 1
        transform[:3, axis] = np.asarray(layer.data_to_world(step))[-_N_AXES:] - origin
    return transform


def lies_straight(layer: Layer) -> bool:
    """True if a layer's axes run to inferior, posterior and left, as they were read."""
    linear = spatial_transform(layer)[:3, :3]
    cosines = np.diag(linear) / np.linalg.norm(linear, axis=0)
    return bool((cosines >= np.cos(np.radians(_TURNED_DEG))).all())
