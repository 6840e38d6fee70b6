"""The attention maps as layers. Nothing else adds, changes or removes a map layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer

from napari_hirescam.attention.result import Explanation
from napari_hirescam.plugin import colormaps
from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS
from napari_hirescam.plugin.map_style import MapKey, MapStyle, describe_layer
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

# A hidden layer that waits for a map.
_UNUSED = "unused map"


class MapLayers:
    """The map layers of one viewer.

    Parameters
    ----------
    viewer
        Where the layers live.
    removed_by_user
        Called with its key when the user deletes a map layer by hand.
    """

    def __init__(
        self, viewer: ViewerModel, removed_by_user: Callable[[MapKey], None] | None = None
    ) -> None:
        self._viewer = viewer
        self._removed_by_user = removed_by_user
        self._layers: dict[MapKey, Image] = {}
        # Hidden, to be used again: napari collects garbage after every removal of a layer,
        # which holds the window for a good part of a second.
        self._spare: list[Image] = []
        self._scales: dict[str, int] = {}
        self._explanation: Explanation | None = None
        self._suffix = ""
        self._style = MapStyle()
        self.events = ViewerEvents()
        self.events.connect(viewer.layers.events.removed, self._on_removed)

    @property
    def layers(self) -> dict[MapKey, Image]:
        """The shown map layers by label, method and what is subtracted."""
        return dict(self._layers)

    @property
    def style(self) -> MapStyle:
        """How the maps are drawn now."""
        return self._style

    def colour_of(self, label: str) -> str | None:
        """Name the colour (#rrggbb) a label's maps are drawn in, None if they are not."""
        if label not in self._scales or any(
            self._style.is_signed(key) for key in self._layers if key.label == label
        ):
            return None
        return colormaps.swatch(self._scales[label])

    def show(
        self,
        explanation: Explanation,
        wanted: Sequence[MapKey],
        style: MapStyle,
        above: Layer | None = None,
    ) -> None:
        """Show exactly the wanted maps, above a CT; layers are reused where there are any.

        A layer that is not needed is hidden: changing the data of one and showing it is many
        times faster than removing it and adding another.
        """
        same_maps = explanation is self._explanation and style.same_data(self._style)
        self._explanation, self._style = explanation, style
        self._assign_scales([key.label for key in wanted])
        self._spare += [layer for key, layer in self._layers.items() if key not in wanted]
        kept = {key: layer for key, layer in self._layers.items() if key in wanted}
        self._layers = {}
        for key in wanted:
            if key in kept and same_maps:
                self._layers[key] = kept[key]
                self._restyle(key, kept[key])
                continue
            options = describe_layer(explanation, key, style, self._scales[key.label])
            options["name"] += self._suffix
            layer = kept.get(key) or (self._spare.pop(0) if self._spare else None)
            if layer is None:
                layer = self._viewer.add_layer(Image(**options))
            else:
                rewrite_layer(layer, options)
            self._layers[key] = layer
        for layer in self._spare:
            _retire(layer)
        self._raise_above(above)

    def warm_up(self, ct: Image) -> None:
        """Have a hidden layer ready, at the CT's place, while a run is under way.

        Adding a layer takes napari a tenth of a second, which is better spent then than when
        the maps are there.
        """
        if self._layers or self._spare:
            return
        layer = Image(
            np.zeros((2, 2, 2), np.float32),
            name=_UNUSED,
            scale=ct.scale,
            translate=ct.translate,
            units=UNITS,
            axis_labels=AXIS_LABELS,
            contrast_limits=(0, 1),
            blending="translucent_no_depth",
            interpolation2d="linear",
            interpolation3d="linear",
            visible=False,
            metadata={METADATA_KEY: {"kind": "map"}},
        )
        self._spare.append(self._viewer.add_layer(layer))

    def restyle(self, threshold: float, opacity: float) -> None:
        """Change threshold and opacity of what is shown."""
        self._style = replace(self._style, threshold=threshold, opacity=opacity)
        for key, layer in self._layers.items():
            self._restyle(key, layer)

    def mark(self, suffix: str) -> None:
        """End the names of the maps in some words, " [of block4]" say, and of those to come."""
        for layer in self._layers.values():
            layer.name = layer.name.removesuffix(self._suffix) + suffix
        self._suffix = suffix

    def clear(self) -> None:
        """Show no map any more."""
        self._spare += self._layers.values()
        self._layers, self._scales = {}, {}
        self._explanation, self._suffix = None, ""
        for layer in self._spare:
            _retire(layer)

    def _raise_above(self, ct: Layer | None) -> None:
        """Move shown maps that lie under the CT to the top of the list."""
        layers = self._viewer.layers
        if ct is None or ct not in layers:
            return
        for layer in self._layers.values():
            if layers.index(layer) < layers.index(ct):
                layers.move(layers.index(layer), len(layers))

    def _assign_scales(self, labels: Sequence[str]) -> None:
        # A label keeps its colour as long as it is shown.
        self._scales = {k: v for k, v in self._scales.items() if k in labels}
        for label in labels:
            if label not in self._scales:
                used = set(self._scales.values())
                free = [k for k in range(colormaps.N_SCALES) if k not in used]
                self._scales[label] = free[0] if free else len(used)

    def _restyle(self, key: MapKey, layer: Image) -> None:
        layer.opacity = self._style.opacity
        signed = self._style.is_signed(key)
        layer.colormap = self._style.colormap(self._scales[key.label], signed=signed)

    def _on_removed(self, event: Event) -> None:
        removed: Layer = event.value
        self._spare = [layer for layer in self._spare if layer is not removed]
        for key, layer in list(self._layers.items()):
            if layer is removed:
                del self._layers[key]
                if self._removed_by_user is not None:
                    self._removed_by_user(key)


def _retire(layer: Image) -> None:
    """Hide a layer until it is needed, with nothing of its last map in it."""
    if layer.name.startswith(_UNUSED):
        return
    layer.visible = False
    layer.data = np.zeros((2, 2, 2), np.float32)
    layer.metadata = {METADATA_KEY: {"kind": "map"}}
    layer.name = _UNUSED


def rewrite_layer(layer: Image, options: dict[str, Any]) -> None:
    """Have a layer show another map, as `describe_layer` describes it."""
    layer.data = options["data"]
    # Each of these makes napari slice and draw anew, changed or not.
    for name in ("scale", "translate"):
        if not np.array_equal(getattr(layer, name), options[name]):
            setattr(layer, name, options[name])
    # The range first: limits outside it would be clipped.
    layer.contrast_limits_range = options["contrast_limits"]
    layer.contrast_limits = options["contrast_limits"]
    layer.colormap = options["colormap"]
    layer.opacity = options["opacity"]
    for name in ("interpolation2d", "interpolation3d"):
        if getattr(layer, name) != options[name]:
            setattr(layer, name, options[name])
    layer.metadata = options["metadata"]
    layer.name = options["name"]
    layer.visible = True
