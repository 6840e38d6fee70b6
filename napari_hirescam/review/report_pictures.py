"""Pictures of masks for a report: three planes of the CT with outlines, drawn without a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_hirescam.ct_windows import window_of_organ
from napari_hirescam.evaluation.page_plots import as_png, new_figure
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.loading import LoadedItem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The mask that was judged, and readers' edits after it.
_OUTLINES = ("#ffd60a", "#22d3ee", "#f472b6", "#4ade80")
_HEIGHT = 3.0  # inches of the planes
_WIDEST = 9.4  # inches of the whole


@dataclass(frozen=True)
class _Plane:
    """How a plane is laid out: axis across it, then down and along it, with the letters there."""

    name: str
    across: int
    down: int
    along: int
    letters: tuple[str, str, str, str]  # left, right, top, bottom


# Axes run along (I, P, L): drawn as they are, each plane is as radiologists see it.
_PLANES = (
    _Plane("axial", 0, 1, 2, ("R", "L", "A", "P")),
    _Plane("coronal", 1, 0, 2, ("R", "L", "S", "I")),
    _Plane("sagittal", 2, 0, 1, ("A", "P", "S", "I")),
)


def picture(loaded: LoadedItem, edits: Mapping[str, BoolArray]) -> bytes:
    """Draw the axial, the coronal and the sagittal plane that hold most of a mask.

    Parameters
    ----------
    loaded
        CT and mask.
    edits
        Reader -> edited mask on the CT's grid.

    Returns
    -------
    PNG: the CT in the organ's window, the mask's outline and those of its edits.
    """
    masks = {} if loaded.mask is None else {"mask": loaded.mask}
    masks.update({f"edit by {reader}": mask for reader, mask in edits.items()})
    spacing = loaded.ct.spacing_mm
    shape = loaded.ct.voxels.shape
    middle = middle_of(list(masks.values()), shape)
    window = window_of_organ(loaded.item.target)
    low, high = window.centre - window.width / 2, window.centre + window.width / 2
    sizes = [
        (shape[plane.along] * spacing[plane.along], shape[plane.down] * spacing[plane.down])
        for plane in _PLANES
    ]
    ratios = [width / height for width, height in sizes]
    height = min(_HEIGHT, _WIDEST / sum(ratios))
    figure = new_figure(height * sum(ratios), height + 0.55)
    figure.set_facecolor("black")
    axes = figure.subplots(1, 3, width_ratios=ratios)
    for ax, plane in zip(axes, _PLANES, strict=True):
        hu = np.take(loaded.ct.voxels, middle[plane.across], axis=plane.across)
        aspect = spacing[plane.down] / spacing[plane.along]
        ax.imshow(hu, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="bilinear")
        for mask, colour in zip(masks.values(), _OUTLINES, strict=False):
            _outline(ax, np.take(mask, middle[plane.across], axis=plane.across), colour)
        _letters(ax, plane)
        ax.set_xlim(-0.5, hu.shape[1] - 0.5)
        ax.set_ylim(hu.shape[0] - 0.5, -0.5)
        ax.set_axis_off()
    handles = [_line(name, colour) for name, colour in zip(masks, _OUTLINES, strict=False)]
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8,
            frameon=False, labelcolor="white",
        )  # fmt: skip
    return as_png(figure)


def middle_of(masks: list[BoolArray], shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Index along each axis of the plane that holds most of the masks; the CT's own if empty."""
    together = np.zeros(shape, dtype=bool)
    for mask in masks:
        together |= mask
    if not together.any():
        return shape[0] // 2, shape[1] // 2, shape[2] // 2
    found = [
        int(np.argmax(together.sum(axis=tuple(other for other in range(3) if other != axis))))
        for axis in range(3)
    ]
    return found[0], found[1], found[2]


def _outline(ax: Axes, mask: npt.NDArray[np.bool_], colour: str) -> None:
    if mask.any():
        # A rim of nothing, so that a mask that touches the border is closed there.
        padded = np.pad(mask, 1).astype(np.float32)
        columns, rows = np.arange(padded.shape[1]) - 1, np.arange(padded.shape[0]) - 1
        ax.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.1)


def _letters(ax: Axes, plane: _Plane) -> None:
    from matplotlib.patheffects import withStroke

    places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.98), (0.5, 0.02))
    for letter, (x, y) in zip(plane.letters, places, strict=True):
        ax.text(
            x, y, letter, transform=ax.transAxes, color="white", fontsize=8,
            path_effects=[withStroke(linewidth=1.6, foreground="black")],
            ha="left" if x < 0.1 else "right" if x > 0.9 else "center",
            va="bottom" if y < 0.1 else "top" if y > 0.9 else "center",
        )  # fmt: skip


def _line(name: str, colour: str) -> object:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, lw=1.6, label=name)
