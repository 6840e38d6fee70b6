"""The layers of the item on screen: the CT, the outline of the mask, those of other organs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap

from napari_hirescam.organs.organ_tables import organ_name
from napari_hirescam.plugin.ct_layers import AXIS_LABELS, HU_RANGE, UNITS
from napari_hirescam.plugin.reviewing.review_layers import review_metadata
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.volume import Quantity

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.review.loading import LoadedItem
    from napari_hirescam.volume import Volume

MASK_COLOUR = (1.0, 0.8, 0.1, 1.0)
_OTHERS_COLOUR = (0.45, 0.85, 0.6, 1.0)
_OTHERS_OPACITY = 0.45
_NOTHING = (0.0, 0.0, 0.0, 0.0)
#: How wide an outline is on napari's canvas, which counts in voxels; one of them would vanish
#: where a large matrix is shown small.
_OUTLINE_MM = 1.4


class ItemLayers:
    """Made for the first item and filled anew for each further one.

    Parameters
    ----------
    viewer
        Where they live.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._ct: Image | None = None
        self._mask: Labels | None = None
        self._others: Labels | None = None
        self._has_mask = self._is_shown = False
        self.events = ViewerEvents()
        self.events.connect(viewer.layers.events.removed, self._on_removed)

    @property
    def ct(self) -> Image | None:
        """The CT, if one is shown."""
        return self._ct if self._is_shown else None

    @property
    def mask(self) -> Labels | None:
        """The mask, if the item has one."""
        return self._mask if self._has_mask else None

    def show(self, loaded: LoadedItem, contrast_limits: tuple[float, float]) -> None:
        """Fill the layers with an item; names tell neither its case nor its files.

        Parameters
        ----------
        loaded
            The item.
        contrast_limits
            HU that are black and white.
        """
        self._is_shown = True
        self._show_ct(loaded.ct, contrast_limits)
        self._show_mask(loaded)
        if self._others is not None:
            # Of another item, and large: what is not on the screen should not be in memory.
            self._viewer.layers.remove(self._others)

    def hide(self) -> None:
        """Show nothing, and let go of the voxels."""
        self._has_mask = self._is_shown = False
        for layer in (self._ct, self._mask, self._others):
            if layer is not None:
                layer.visible = False
                layer.data = np.zeros((2, 2, 2), layer.data.dtype)

    def toggle_mask(self) -> None:
        """Show the mask or hide it."""
        if self.mask is not None:
            self.mask.visible = not self.mask.visible

    def toggle_others(self, loaded: LoadedItem) -> bool:
        """Show the outlines of the other organs or hide them; False if there are none."""
        if self._others is not None:
            self._others.visible = not self._others.visible
            return True
        others = loaded.others
        own = organ_name(loaded.item.target)
        if others is None or not any(organ_name(one) != own for one in others.values):
            return False
        colours: dict[int | None, Any] = {None: _OTHERS_COLOUR, 0: _NOTHING}
        for organ, values in others.values.items():
            if organ_name(organ) == own:
                colours |= dict.fromkeys(values, _NOTHING)
        layer = Labels(
            others.labels,
            name="other organs",
            colormap=DirectLabelColormap(color_dict=colours),
            opacity=_OTHERS_OPACITY,
            metadata=review_metadata("review_others"),
            **_placed(others.affine),
        )
        layer.contour = _thickness(loaded.ct)
        self._add(layer, below=self._mask)
        layer.editable = False
        self._others = layer
        return True

    def _show_ct(self, ct: Volume, contrast_limits: tuple[float, float]) -> None:
        # What other parts of the plugin need to know of a CT in the patient's frame.
        metadata = review_metadata(
            "volume",
            quantity=ct.quantity.value,
            affine=ct.affine.tolist(),
            shape=list(ct.voxels.shape),
        )
        layer = self._ct
        if layer is None:
            layer = Image(
                ct.voxels,
                name="CT",
                colormap="gray",
                interpolation2d="linear",
                contrast_limits=contrast_limits,
                metadata=metadata,
                **_placed(ct.affine),
            )
            self._add(layer)
            self._ct = layer
        else:
            layer.metadata = metadata
            _fill(layer, ct.voxels, ct.affine)
        low, high = HU_RANGE if ct.quantity is Quantity.HU else contrast_limits
        layer.contrast_limits_range = min(low, contrast_limits[0]), max(high, contrast_limits[1])
        layer.contrast_limits = contrast_limits
        layer.visible = True

    def _show_mask(self, loaded: LoadedItem) -> None:
        self._has_mask = loaded.mask is not None
        if loaded.mask is None:
            if self._mask is not None:
                self._mask.visible = False
                self._mask.data = np.zeros((2, 2, 2), np.uint8)
            return
        # The same memory, which nobody can write to through the layer: what is judged stays.
        voxels = loaded.mask.view(np.uint8)
        voxels.flags.writeable = False
        layer = self._mask
        if layer is None:
            layer = Labels(
                voxels,
                name="mask",
                colormap=DirectLabelColormap(
                    color_dict={None: _NOTHING, 0: _NOTHING, 1: MASK_COLOUR}
                ),
                opacity=1.0,
                metadata=review_metadata("volume", quantity=Quantity.LABELS.value),
                **_placed(loaded.ct.affine),
            )
            layer.contour = _thickness(loaded.ct)
            self._add(layer)
            self._mask = layer
        else:
            _fill(layer, voxels, loaded.ct.affine)
            layer.contour = _thickness(loaded.ct)
        layer.name = f"mask: {loaded.item.target}"
        layer.editable = False
        layer.visible = True

    def _add(self, layer: Layer, below: Layer | None = None) -> None:
        """Add a layer without choosing it."""
        selection = self._viewer.layers.selection
        chosen = selection.active
        layers = self._viewer.layers
        layers.insert(layers.index(below) if below in layers else len(layers), layer)
        selection.active = chosen

    def _on_removed(self, event: Event) -> None:
        if event.value is self._ct:
            self._ct, self._is_shown = None, False
        elif event.value is self._mask:
            self._mask, self._has_mask = None, False
        elif event.value is self._others:
            self._others = None


def _placed(affine: Any) -> dict[str, Any]:
    return {
        "scale": tuple(np.diag(affine)[:3]),
        "translate": tuple(affine[:3, 3]),
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
    }


def _fill(layer: Layer, voxels: Any, affine: Any) -> None:
    if layer.data is not voxels:
        layer.data = voxels
    for name, value in (("scale", np.diag(affine)[:3]), ("translate", affine[:3, 3])):
        # Each makes napari slice and draw anew, changed or not.
        if not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, tuple(value))


def _thickness(ct: Volume) -> int:
    return max(1, round(_OUTLINE_MM / min(ct.spacing_mm[1:])))
