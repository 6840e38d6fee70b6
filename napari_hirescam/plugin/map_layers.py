"""The attention maps as layers. Nothing else adds, changes or removes a map layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer

from napari_hirescam.attention.result import AttentionMap, Explanation, PlacementName
from napari_hirescam.plugin import colormaps
from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS
from napari_hirescam.plugin.viewer_events import ViewerEvents
from napari_hirescam.volume import Grid

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

#: Coarsest step of the grid a map is shown on, in mm; finer steps cost time and show nothing more.
DISPLAY_STEP_MM = 5.0

# A hidden layer that waits for a map.
_UNUSED = "unused map"

MapKey = tuple[str, str]  # label, method


@dataclass(frozen=True)
class MapStyle:
    """How maps are drawn.

    Parameters
    ----------
    signed
        Show what speaks against a label, too (the raw map), not only what speaks for it.
    threshold
        Share of the map's maximum, 0 to 1, below which it is transparent.
    opacity
        Opacity of the layers, 0 to 1.
    placement
        Where cells are put; None for the explanation's default.
    """

    signed: bool = False
    threshold: float = 0.2
    opacity: float = 0.7
    placement: PlacementName | None = None


def display_grid(cells: Grid, step_mm: float = DISPLAY_STEP_MM) -> Grid:
    """Make the grid a map is shown on: finer than its cells, coarser than the CT.

    Each cell is divided into an odd number of equal parts per axis, so that its centre, and
    with it the map's peak, is one of the points; and the grid ends where the outer cells end,
    half a cell beyond their centres.
    """
    spacing = np.array(cells.spacing_mm)
    parts = 2 * np.ceil((spacing / step_mm - 1) / 2).astype(int) + 1
    parts = np.maximum(parts, 1)
    first = np.array(cells.affine[:3, 3]) - spacing / 2 + spacing / parts / 2
    affine = np.diag([*(spacing / parts), 1.0])
    affine[:3, 3] = first
    a, b, c = (int(n) for n in np.array(cells.shape) * parts)
    return Grid((a, b, c), affine)


def peak_mm(attention: AttentionMap, ct: Grid | None = None) -> tuple[float, float, float]:
    """Find the (I, P, L) mm of the cell with the largest value, among those centred in a CT.

    A window at the border of a CT reaches beyond it, where there is nothing to see.
    """
    values = attention.values
    if ct is not None:
        centres = attention.grid.to_world(np.moveaxis(np.indices(values.shape), 0, -1))
        index = ct.to_index(centres)
        inside = ((index > -0.5) & (index < np.array(ct.shape) - 0.5)).all(axis=-1)
        if inside.any():
            values = np.where(inside, values, -np.inf)
    cell = np.unravel_index(int(values.argmax()), values.shape)
    inferior, posterior, left = attention.grid.to_world(np.array(cell, dtype=float))
    return float(inferior), float(posterior), float(left)


class MapLayers:
    """The map layers of one viewer.

    Parameters
    ----------
    viewer
        Where the layers live.
    removed_by_user
        Called with (label, method) when the user deletes a map layer by hand.
    """

    def __init__(
        self, viewer: ViewerModel, removed_by_user: Callable[[str, str], None] | None = None
    ) -> None:
        self._viewer = viewer
        self._removed_by_user = removed_by_user
        self._layers: dict[MapKey, Image] = {}
        # Hidden, to be used again: napari collects garbage after every removal of a layer,
        # which holds the window for a good part of a second.
        self._spare: list[Image] = []
        self._scales: dict[str, int] = {}
        self._explanation: Explanation | None = None
        self._style = MapStyle()
        self.events = ViewerEvents()
        self.events.connect(viewer.layers.events.removed, self._on_removed)

    @property
    def layers(self) -> dict[MapKey, Image]:
        """The shown map layers by (label, method)."""
        return dict(self._layers)

    @property
    def style(self) -> MapStyle:
        """How the maps are drawn now."""
        return self._style

    def colour_of(self, label: str) -> str | None:
        """Name the colour (#rrggbb) a label's maps are drawn in, None if they are not."""
        if label not in self._scales or self._style.signed:
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
        same_maps = explanation is self._explanation and (
            style.signed == self._style.signed and style.placement == self._style.placement
        )
        self._explanation, self._style = explanation, style
        self._assign_scales([label for label, _ in wanted])
        self._spare += [layer for key, layer in self._layers.items() if key not in wanted]
        kept = {key: layer for key, layer in self._layers.items() if key in wanted}
        self._layers = {}
        for key in wanted:
            if key in kept and same_maps:
                self._layers[key] = kept[key]
                self._restyle(key, kept[key])
                continue
            attention = explanation.map(*key, placement=style.placement)
            options = self._describe(attention)
            layer = kept.get(key) or (self._spare.pop(0) if self._spare else None)
            if layer is None:
                layer = self._viewer.add_layer(Image(**options))
            else:
                _update(layer, options)
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
        style = self._style
        self._style = MapStyle(style.signed, threshold, opacity, style.placement)
        for key, layer in self._layers.items():
            self._restyle(key, layer)

    def clear(self) -> None:
        """Show no map any more."""
        self._spare += self._layers.values()
        self._layers, self._scales = {}, {}
        self._explanation = None
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

    def _colormap(self, label: str) -> Any:
        if self._style.signed:
            return colormaps.signed(self._style.threshold)
        return colormaps.positive(self._scales[label], self._style.threshold)

    def _restyle(self, key: MapKey, layer: Image) -> None:
        layer.opacity = self._style.opacity
        layer.colormap = self._colormap(key[0])

    def _describe(self, attention: AttentionMap) -> dict[str, Any]:
        from napari_hirescam.attention import METHODS

        grid = display_grid(attention.grid)
        if self._style.signed:
            # Zero lies in the middle of the colour scale, which must then be symmetric.
            largest = float(np.abs(attention.values).max())
            data = attention.on_grid(grid)
        else:
            largest = attention.maximum
            # positive() is scaled to 1; the layer shows the map in units of the logit.
            data = attention.on_grid(grid, positive=True) * np.float32(largest)
        top = largest if largest > 0 else 1.0
        return {
            "data": data,
            "name": (
                f"{METHODS[attention.method].title}: {attention.label} "
                f"(p = {attention.probability:.2f})"
            ),
            "scale": grid.spacing_mm,
            "translate": tuple(grid.affine[:3, 3]),
            "units": UNITS,
            "axis_labels": AXIS_LABELS,
            "contrast_limits": (-top if self._style.signed else 0.0, top),
            "colormap": self._colormap(attention.label),
            "opacity": self._style.opacity,
            "blending": "translucent_no_depth",
            "interpolation2d": "linear",
            "interpolation3d": "linear",
            "rendering": "mip",
            "metadata": {
                METADATA_KEY: {
                    **attention.provenance,
                    "kind": "map",
                    "view": "signed" if self._style.signed else "positive",
                    "cell_mm": list(attention.grid.spacing_mm),
                }
            },
        }

    def _on_removed(self, event: Event) -> None:
        removed: Layer = event.value
        self._spare = [layer for layer in self._spare if layer is not removed]
        for key, layer in list(self._layers.items()):
            if layer is removed:
                del self._layers[key]
                if self._removed_by_user is not None:
                    self._removed_by_user(*key)


def _retire(layer: Image) -> None:
    """Hide a layer until it is needed, with nothing of its last map in it."""
    if layer.name.startswith(_UNUSED):
        return
    layer.visible = False
    layer.data = np.zeros((2, 2, 2), np.float32)
    layer.metadata = {METADATA_KEY: {"kind": "map"}}
    layer.name = _UNUSED


def _update(layer: Image, options: dict[str, Any]) -> None:
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
    layer.metadata = options["metadata"]
    layer.name = options["name"]
    layer.visible = True
