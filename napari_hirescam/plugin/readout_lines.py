"""What lies under the cursor, in words: HU, attention, organ, patient mm and voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_hirescam.io.frame import IPL_TO_LPS, IPL_TO_RAS
from napari_hirescam.plugin.ct_layers import INVALID_KEY, METADATA_KEY, SOURCE_KEY
from napari_hirescam.plugin.mask_layers import segments_of
from napari_hirescam.plugin.patient_layers import is_ct, is_patient_layer
from napari_hirescam.source import Source
from napari_hirescam.volume import FloatArray, Grid

if TYPE_CHECKING:
    from napari_hirescam.plugin.attention_view import AttentionView

_N_AXES = 3
NOT_MEASURED = "not measured (padding, or filled in)"
# Masks hold a handful of organs; more lines than this would hide the picture.
_MOST_LINES = 4


class ShownMap(NamedTuple):
    """A map as it was computed, whatever its layer shows: cells, and where they lie."""

    title: str
    values: Any
    grid: Grid


def shown_maps(view: AttentionView) -> list[ShownMap]:
    """List the maps that are on the screen, with their raw cells."""
    explanation, style = view.explanation, view.maps.style
    if explanation is None:
        return []
    placement = style.placement or explanation.default_placement
    shown = []
    for key, layer in view.maps.layers.items():
        if not layer.visible:
            continue
        k = explanation.index(key.label)
        values = explanation.maps[key.method][k]
        if key.minus:
            values = values - explanation.maps[key.minus][k]
        a, b, c = values.shape
        grid = Grid((a, b, c), explanation.affines[placement])
        shown.append(ShownMap(f"{key.title()}: {key.label}", values, grid))
    return shown


def lines_at(
    position: Sequence[float], layers: Sequence[Layer], maps: Sequence[ShownMap]
) -> list[str]:
    """Describe one point.

    Parameters
    ----------
    position
        World coordinates; the last three are (I, P, L) mm.
    layers
        Of the viewer, from the bottom to the top.
    maps
        Attention to read there.

    Returns
    -------
    Lines of text; none where no CT or mask of this plugin is shown, since nothing says then
    that the world is the patient.
    """
    shown = [
        layer
        for layer in layers
        if layer.visible and isinstance(layer, Image | Labels) and is_patient_layer(layer)
    ]
    if not shown:
        return []
    at = np.asarray(position, dtype=np.float64)
    cts = [layer for layer in reversed(shown) if isinstance(layer, Image)]
    lines = [*_values(cts, at)[:_MOST_LINES], *_attention(maps, layers, at)[:_MOST_LINES]]
    masks = [layer for layer in reversed(layers) if isinstance(layer, Labels) and layer.visible]
    lines += _organs(masks, at)[:_MOST_LINES]
    lines += place_lines(at[-_N_AXES:])
    subject = next((ct for ct in cts if _index(ct, at) is not None), None)
    subject = subject or next((one for one in reversed(shown) if _index(one, at)), None)
    if subject is not None:
        lines.append(_voxel_line(subject, at))
    return lines


def lines_on_ray(
    position: Sequence[float],
    direction: Sequence[float],
    displayed: Sequence[int],
    layers: Sequence[Layer],
    maps: Sequence[ShownMap],
) -> list[str]:
    """Describe what a line of sight through the 3-D view meets: no one point lies under it.

    Parameters
    ----------
    position
        A point of the line, in world coordinates.
    direction
        Where it goes, away from the camera.
    displayed
        The viewer's displayed axes.
    layers, maps
        As of :func:`lines_at`.
    """
    ct = next((one for one in reversed(layers) if one.visible and is_ct(one)), None)
    if ct is None or ct.ndim > len(position):
        return []
    others = len(position) - ct.ndim  # axes of the viewer that the CT does not have
    start, end = ct.get_ray_intersections(
        position[others:], direction[others:], [axis - others for axis in displayed], world=True
    )
    if start is None or end is None:
        return []
    path = np.linspace(start, end, 2 * max(ct.data.shape))
    index = tuple(np.clip(np.round(path).astype(int), 0, np.array(ct.data.shape) - 1).T)
    values = np.asarray(ct.data[index])
    invalid = _invalid_of(ct)
    if invalid is not None:
        values = np.where(invalid[index[-invalid.ndim :]], values.min(), values)
    brightest = int(values.argmax())
    first, last = (np.asarray(ct.data_to_world(at))[-_N_AXES:] for at in (start, end))
    world = np.linspace(first, last, len(path))
    lines = [f"brightest on the line of sight: {_number(values[brightest])} HU"]
    for title, cells, grid in maps[:_MOST_LINES]:
        cell = np.floor(grid.to_index(world) + 0.5).astype(int)
        inside = ((cell >= 0) & (cell < np.array(grid.shape))).all(axis=1)
        if inside.any():
            strongest = float(cells[tuple(cell[inside].T)].max())
            lines.append(f"{title}: at most {strongest:+.3g} on it")
    return [*lines, "the brightest voxel lies at", *place_lines(world[brightest])]


def place_lines(ipl_mm: FloatArray) -> list[str]:
    """Write a point in the frames of DICOM and of NIfTI, in mm."""
    point = np.append(ipl_mm, 1.0)
    return [
        f"{name} {_triple((to @ point)[:3], 1)} mm"
        for name, to in (("LPS", IPL_TO_LPS), ("RAS", IPL_TO_RAS))
    ]


def _values(cts: Sequence[Image], at: FloatArray) -> list[str]:
    lines = []
    for ct in cts:
        index = _index(ct, at)
        if index is None:
            lines.append(f"outside   {ct.name}")
            continue
        invalid = _invalid_of(ct)
        unit = " HU" if is_ct(ct) else ""
        value = f"{_number(np.asarray(ct.data[index]))}{unit}"
        if invalid is not None and invalid[index[-_N_AXES:] if invalid.ndim == _N_AXES else index]:
            value = NOT_MEASURED
        lines.append(f"{value}   {ct.name}")
    return lines


def _attention(maps: Sequence[ShownMap], layers: Sequence[Layer], at: FloatArray) -> list[str]:
    lines = []
    for title, values, grid in maps:
        cell = _nearest(grid.to_index(at[-_N_AXES:]), grid.shape)
        if cell is None:
            lines.append(f"{title}: outside the map")
        else:
            lines.append(f"{title}: {float(values[cell]):+.3g}   cell {_indices(cell)}")
    for layer in reversed(layers):  # a search's scores and map are what their layers hold
        ours = layer.metadata.get(METADATA_KEY, {})
        if layer.visible and ours.get("kind") == "map" and ours.get("view") in _OF_SEARCH:
            index = _index(layer, at)
            if index is not None and np.isfinite(layer.data[index]):
                value = float(layer.data[index])
                lines.append(f"{layer.name}: {value:.3g}   cell {_indices(index)}")
    return lines


#: What `SweepLayers` notes of its layers.
_OF_SEARCH = ("scores", "stitched")


def _organs(masks: Sequence[Labels], at: FloatArray) -> list[str]:
    lines = []
    for mask in masks:
        index = _index(mask, at)
        value = int(np.asarray(mask.data[index])) if index is not None else 0
        if value:
            name = next((one.name for one in segments_of(mask) if one.value == value), "")
            lines.append(f"{name or 'label'} ({value})   {mask.name}")
    return lines


def _voxel_line(layer: Layer, at: FloatArray) -> str:
    index = _index(layer, at)
    array = _indices(index) if index is not None else ""
    ours, source = layer.metadata.get(METADATA_KEY, {}), layer.metadata.get(SOURCE_KEY)
    unchanged = ours.get("shape", [])[-_N_AXES:] == list(layer.data.shape[-_N_AXES:])
    if index is None or not isinstance(source, Source) or not unchanged:
        return f"array {array}"
    # By the index, not by the place: a layer that was moved still shows the file's voxels.
    as_read = np.array(ours["affine"], dtype=np.float64)
    ipl = as_read[:3, :3] @ np.array(index[-_N_AXES:]) + as_read[:3, 3]
    stored = source.grid.to_index(ipl)
    whole = np.allclose(stored, np.round(stored), atol=0.02)
    return f"i, j, k {_triple(stored, 0 if whole else 1)}   array {array}"


def _invalid_of(layer: Layer) -> Any:
    invalid = layer.metadata.get(INVALID_KEY)
    fits = invalid is not None and invalid.shape == layer.data.shape[-invalid.ndim :]
    return invalid if fits else None


def _index(layer: Layer, at: FloatArray) -> tuple[int, ...] | None:
    """Find the voxel of a layer that holds a point of the world."""
    if layer.ndim < _N_AXES or getattr(layer, "multiscale", False):
        return None
    return _nearest(layer.world_to_data(at), layer.data.shape)


def _nearest(index: Any, shape: Sequence[int]) -> tuple[int, ...] | None:
    nearest = np.floor(np.asarray(index, dtype=np.float64) + 0.5)
    if not ((nearest >= 0) & (nearest < np.array(shape[: len(nearest)]))).all():
        return None
    return tuple(int(k) for k in nearest)


def _number(value: Any) -> str:
    if np.issubdtype(np.asarray(value).dtype, np.integer):
        return str(int(value))
    return f"{float(value):.4g}"


def _indices(index: Sequence[int]) -> str:
    return ", ".join(str(k) for k in index)


def _triple(values: Any, digits: int) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return ", ".join(f"{round(float(x), digits) + 0.0:.{digits}f}" for x in values)
