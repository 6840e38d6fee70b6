"""What a search found, as two layers: the score of each window, and the stitched map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.colormaps import Colormap

from napari_hirescam.plugin import colormaps
from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS
from napari_hirescam.plugin.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_hirescam.attention.sweep import SweepResult
    from napari_hirescam.volume import Grid

SCORES, STITCHED = "scores", "stitched"
#: Probabilities below this are transparent.
_FAINT = 0.05
#: Share of the stitched map's largest magnitude where its colour begins.
_THRESHOLD = 0.15
# Of the scores: a colour that no map of a label begins with.
_SCORE_COLOUR = (0.85, 0.25, 0.95)


class SweepLayers:
    """The layers of the last search; made when first needed, hidden rather than removed.

    Parameters
    ----------
    viewer
        Where the layers live.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layers: dict[str, Image] = {}
        self.events = ViewerEvents()
        self.events.connect(viewer.layers.events.removed, self._on_removed)

    @property
    def layers(self) -> dict[str, Image]:
        """The layers that were made, by :data:`SCORES` and :data:`STITCHED`."""
        return dict(self._layers)

    def show(self, result: SweepResult, above: Layer | None = None) -> None:
        """Show a search's scores, and its stitched map, hidden at first, if there is one."""
        selection = self._viewer.layers.selection
        chosen = selection.active
        self._put(
            SCORES,
            f"Search: p({result.label}) by window",
            result.probabilities,
            result.lattice,
            (0.0, 1.0),
            _score_colours(),
            result.provenance,
            smooth=False,
        )
        if result.stitched is not None:
            attention = result.stitched.attention
            largest = float(np.abs(attention.values).max()) or 1.0
            self._put(
                STITCHED,
                f"Search: stitched map of {result.label}",
                attention.values,
                attention.grid,
                (-largest, largest),
                colormaps.signed(_THRESHOLD),
                attention.provenance,
                smooth=True,
            )
            self._layers[STITCHED].visible = False
        elif STITCHED in self._layers:
            self._layers[STITCHED].visible = False
        layers = self._viewer.layers
        for layer in self._layers.values():
            # Right above the CT: point and outline of the window stay on top.
            if above in layers and layers.index(layer) != layers.index(above) + 1:
                layers.move(layers.index(layer), layers.index(above) + 1)
        if chosen in layers:
            selection.active = chosen

    def set_visible(self, which: str, *, on: bool) -> None:
        """Show or hide one of the two."""
        if which in self._layers:
            self._layers[which].visible = on

    def hide(self) -> None:
        """Show neither."""
        for layer in self._layers.values():
            layer.visible = False

    def _put(
        self,
        which: str,
        name: str,
        values: Any,
        grid: Grid,
        limits: tuple[float, float],
        colormap: Any,
        provenance: dict[str, Any],
        *,
        smooth: bool,
    ) -> None:
        metadata = {METADATA_KEY: {**provenance, "kind": "map", "view": which}}
        layer = self._layers.get(which)
        scale, translate = grid.spacing_mm, tuple(grid.affine[:3, 3])
        if layer is None:
            layer = Image(
                values,
                name=name,
                scale=scale,
                translate=translate,
                units=UNITS,
                axis_labels=AXIS_LABELS,
                contrast_limits=limits,
                colormap=colormap,
                opacity=0.6,
                blending="translucent_no_depth",
                interpolation2d="linear" if smooth else "nearest",
                interpolation3d="linear" if smooth else "nearest",
                rendering="mip",
                metadata=metadata,
            )
            self._layers[which] = self._viewer.add_layer(layer)
            return
        layer.data = values
        layer.scale, layer.translate = scale, translate
        layer.contrast_limits_range = limits
        layer.contrast_limits = limits
        layer.colormap = colormap
        layer.metadata = metadata
        layer.name = name
        layer.visible = True

    def _on_removed(self, event: Event) -> None:
        self._layers = {k: layer for k, layer in self._layers.items() if layer is not event.value}


def _score_colours() -> Colormap:
    """One colour, the more opaque the more probable; nothing where no window was scored."""
    return Colormap(
        [(*_SCORE_COLOUR, 0.0), (*_SCORE_COLOUR, 0.0), (*_SCORE_COLOUR, 0.9)],
        controls=[0.0, _FAINT, 1.0],
        name="HiResCAM scores",
        nan_color="transparent",
    )
