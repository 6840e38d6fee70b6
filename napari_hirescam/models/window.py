"""Which voxels of a CT a network sees: worked out from grids alone, before any voxel is touched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_hirescam.errors import InputError
from napari_hirescam.models.placing import (
    Box,
    Point,
    box_ends_mm,
    grid_at_spacing,
    reoriented_grid,
    resized_grid,
)
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.volume import Grid

#: Axial slices that make one image of an `axial_triples` network.
TRIPLE = 3
#: A CT that fills less than this share of the network's input along an axis is refused.
_LEAST_COVERAGE = 0.1


@dataclass(frozen=True)
class WindowExtent:
    """Where a network looks, as boxes along the patient's axes.

    Parameters
    ----------
    low_mm, high_mm
        (I, P, L) mm of the outer faces of what the network is given.
    ct_low_mm, ct_high_mm
        Of the part of it that lies in the CT; the rest is padding.
    share_padded
        Share of the volume that is padding, 0 to 1.
    padding
        In words: what the padding consists of.
    """

    low_mm: Point
    high_mm: Point
    ct_low_mm: Point
    ct_high_mm: Point
    share_padded: float
    padding: str


def model_grid(grid: Grid, spec: InputSpec) -> Grid:
    """Work out where the voxels of :func:`prepare_ct` will lie, from the CT's grid alone."""
    grid = reoriented_grid(grid, spec.orientation)
    if spec.spacing_mm is not None:
        grid = grid_at_spacing(grid, spec.spacing_mm)
    if spec.fit == "resize" and spec.layout != "slice":
        grid = resized_grid(grid, spec.shape)
    return grid


def place_window(grid: Grid, spec: InputSpec, at_mm: Point | None, name: str) -> Box:
    """Find the voxels of :func:`model_grid` that the network sees.

    Where a window has an even number of voxels, the point lies in the first voxel behind its
    middle.

    Raises
    ------
    InputError
        As for :func:`prepare`.
    """
    if spec.needs_point and at_mm is None:
        seen = "one slice" if spec.layout == "slice" else "a window"
        raise InputError(
            name,
            f"the model sees {seen} of {_times(spec.shape)} voxels, and nobody said where",
            "Give the point to look at (a Points layer, the crosshair, or --at L,P,S)",
        )
    if at_mm is not None and not spec.needs_point:
        raise InputError(name, "the model sees the whole CT, not a window", "Leave the point out")
    if spec.fit == "resize" and spec.layout != "slice":
        # It has the shape already, and was judged before.
        starts = [0, 0, 0]
        lengths: list[int] = list(grid.shape)
    else:
        require_coverage(grid.shape, spec, name)
        in_plane = spec.layout == "slice" and spec.fit == "resize"
        wanted = (1, None, None) if in_plane else spec.shape
        lengths = [n if m is None else m for n, m in zip(grid.shape, wanted, strict=True)]
        starts = [_centred(n, m) for n, m in zip(grid.shape, lengths, strict=True)]
    if spec.layout == "axial_triples":
        lengths[0] = -(-lengths[0] // TRIPLE) * TRIPLE
    if at_mm is not None:
        voxel = _voxel_at(grid, at_mm, name)
        for axis in range(3) if spec.fit == "window" else (0,):
            starts[axis] = voxel[axis] - lengths[axis] // 2
    return Box((starts[0], starts[1], starts[2]), (lengths[0], lengths[1], lengths[2]))


def window_extent(grid: Grid, spec: InputSpec, at_mm: Point | None, name: str) -> WindowExtent:
    """Work out where a network would look, from the CT's grid alone.

    Parameters
    ----------
    grid
        The CT's.
    name
        Of the CT, for messages.

    Raises
    ------
    InputError
        As for :func:`prepare`.
    """
    whole = model_grid(grid, spec)
    box = place_window(whole, spec, at_mm, name)
    inside = box.inside(whole.shape)
    part = Box(
        (inside[0].start, inside[1].start, inside[2].start),
        (
            inside[0].stop - inside[0].start,
            inside[1].stop - inside[1].start,
            inside[2].stop - inside[2].start,
        ),
    )
    share = 1.0 - float(np.prod(part.shape)) / float(np.prod(box.shape))
    return WindowExtent(
        *box_ends_mm(box.on(whole)), *box_ends_mm(part.on(whole)), share, padding_in_words(spec)
    )


def _centred(n: int, wanted: int) -> int:
    """Offset of the reference's symmetric padding or centre crop (paper code, 7.2).

    Both put the odd voxel at the far end: padding before is int((N - n) / 2), the crop starts
    at int((n - N) / 2).
    """
    return (n - wanted) // 2 if n >= wanted else -((wanted - n) // 2)


def require_coverage(shape: tuple[int, ...], spec: InputSpec, name: str) -> None:
    """Raise InputError if a CT of this shape fills hardly anything of the network's input."""
    if any(
        wanted is not None and n < _LEAST_COVERAGE * wanted
        for n, wanted in zip(shape, spec.shape, strict=True)
    ):
        raise InputError(
            name,
            f"on the model's grid it has {_times(shape)} voxels, and the model expects "
            f"{_times(spec.shape)}",
            "Use a CT that covers the region the model was trained on",
        )


def _voxel_at(grid: Grid, at_mm: Point, name: str) -> tuple[int, ...]:
    index = grid.to_index(at_mm)
    if not ((index >= -0.5) & (index <= np.asarray(grid.shape) - 0.5)).all():
        inferior, posterior, left = at_mm
        raise InputError(
            name,
            f"the point L {left:.1f}, P {posterior:.1f}, S {-inferior:.1f} mm lies outside the CT",
            "Choose a point inside it",
        )
    nearest = np.floor(index + 0.5).astype(int)
    return tuple(int(i) for i in np.clip(nearest, 0, np.asarray(grid.shape) - 1))


def padding_in_words(spec: InputSpec) -> str:
    """Say what stands where the network's input reaches beyond the CT."""
    return {"edge": "its border repeated", "minimum": "its lowest value"}.get(
        str(spec.padding), f"{spec.padding} HU"
    )


def _times(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if n is None else str(n) for n in shape)
