"""How a map is drawn: on which grid, in which colours, between which limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from napari_hirescam.attention.result import AttentionMap, Explanation, PlacementName
from napari_hirescam.plugin import colormaps
from napari_hirescam.plugin.ct_layers import AXIS_LABELS, METADATA_KEY, UNITS
from napari_hirescam.plugin.proof import largest_difference
from napari_hirescam.volume import Grid

#: Coarsest step of the grid a map is shown on, in mm; finer steps cost time and show nothing more.
DISPLAY_STEP_MM = 5.0


class MapKey(NamedTuple):
    """Which picture: a label's map by a method, less its map by another where one is named."""

    label: str
    method: str
    minus: str = ""

    def title(self) -> str:
        """Name the method, or the two that are compared."""
        from napari_hirescam.attention import METHODS

        titles = [METHODS[key].title for key in (self.method, self.minus) if key]
        # A minus sign rather than a hyphen: titles have hyphens of their own.
        return " − ".join(titles)  # noqa: RUF001


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
    smooth
        Blend from cell to cell; otherwise each cell is one flat block.
    """

    signed: bool = False
    threshold: float = 0.2
    opacity: float = 0.7
    placement: PlacementName | None = None
    smooth: bool = True

    def same_data(self, other: MapStyle) -> bool:
        """True if the other draws the same numbers, if in other colours."""
        mine = (self.signed, self.placement, self.smooth)
        return mine == (other.signed, other.placement, other.smooth)

    def colormap(self, scale: int, *, signed: bool) -> Any:
        """Make the colour map of one map."""
        if signed:
            return colormaps.signed(self.threshold)
        return colormaps.positive(scale, self.threshold)

    def is_signed(self, key: MapKey) -> bool:
        """True if zero lies in the middle of the colours; of a difference it always does."""
        return self.signed or bool(key.minus)


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


def describe_layer(
    explanation: Explanation, key: MapKey, style: MapStyle, scale: int
) -> dict[str, Any]:
    """Make all that a map's image layer is built, or rewritten, from."""
    attention = explanation.map(key.label, key.method, placement=style.placement)
    grid = display_grid(attention.grid) if style.smooth else attention.grid
    signed = style.is_signed(key)
    data, largest, facts = _picture(explanation, attention, key, grid, signed=signed)
    top = largest if largest > 0 else 1.0
    interpolation = "linear" if style.smooth else "nearest"
    return {
        "data": data,
        "name": f"{key.title()}: {key.label} (p = {attention.probability:.2f})",
        "scale": grid.spacing_mm,
        "translate": tuple(grid.affine[:3, 3]),
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
        "contrast_limits": (-top if signed else 0.0, top),
        "colormap": style.colormap(scale, signed=signed),
        "opacity": style.opacity,
        "blending": "translucent_no_depth",
        "interpolation2d": interpolation,
        "interpolation3d": interpolation,
        "rendering": "mip",
        "metadata": {
            METADATA_KEY: {
                **attention.provenance,
                **facts,
                "kind": "map",
                "view": "signed" if signed else "positive",
                "cell_mm": list(attention.grid.spacing_mm),
            }
        },
    }


def _picture(
    explanation: Explanation, attention: AttentionMap, key: MapKey, grid: Grid, *, signed: bool
) -> tuple[Any, float, dict[str, Any]]:
    """Sample a map at the points of a grid; with it its largest value, and what to note of it."""
    if key.minus:
        other = explanation.map(key.label, key.minus)
        largest = largest_difference(explanation, key.label, key.method, key.minus)
        values = attention.values - other.values
        if not largest:  # rounding, which the limits would blow up to a picture
            values = np.zeros_like(values)
        # Both in units of the logit: neither is scaled, so the difference keeps its meaning.
        difference = AttentionMap(
            values,
            attention.affine,
            key.label,
            key.method,
            attention.logit,
            attention.probability,
        )
        facts = {
            "minus": key.minus,
            "rule": "raw difference of the two maps, cell by cell, in units of the logit",
            "guarantee": "not for a difference",
        }
        return difference.on_grid(grid), largest, facts
    if signed:
        return attention.on_grid(grid), float(np.abs(attention.values).max()), {}
    # positive() is scaled to 1; the layer shows the map in units of the logit.
    largest = attention.maximum
    return attention.on_grid(grid, positive=True) * np.float32(largest), largest, {}
