"""Pictures of an image with a map over it and an outline around what it should show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import SettingsError
from napari_hirescam.safe_write import replace_file

_PICTURES = "pictures"
_INCHES = 2.4
_MOST_OPAQUE = 0.7


@dataclass(frozen=True, eq=False)
class Overlay:
    """One panel.

    Parameters
    ----------
    title
        Above it.
    image
        [row, column] of grey values, or [row, column, 3] of uint8.
    heat
        [row, column] of the image, 0 to 1 as a share of the whole map's maximum; None for the
        bare image.
    outlines
        bool [row, column]; each is drawn as a line.
    aspect
        Height of a pixel over its width.
    grey_range
        Values that are black and white; None takes the image's own.
    """

    title: str
    image: npt.NDArray[Any]
    heat: npt.NDArray[np.floating] | None = None
    outlines: tuple[npt.NDArray[np.bool_], ...] = ()
    aspect: float = 1.0
    grey_range: tuple[float, float] | None = None


def draw_rows(rows: list[list[Overlay]]) -> bytes:
    """Draw panels in rows, as a PNG. All maps share one scale, from 0 to their own maximum."""
    from napari_hirescam.evaluation.page_plots import as_png, new_figure

    columns = max(len(row) for row in rows)
    figure = new_figure(_INCHES * columns, (_INCHES + 0.25) * len(rows))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, row in zip(grid, rows, strict=True):
        for axes, panel in zip(line, row, strict=False):
            _draw(axes, panel)
    return as_png(figure)


def _draw(axes: Any, panel: Overlay) -> None:
    low, high = panel.grey_range or (None, None)
    axes.imshow(panel.image, cmap="gray", vmin=low, vmax=high, aspect=panel.aspect)
    if panel.heat is not None:
        heat = np.clip(panel.heat, 0.0, 1.0)
        axes.imshow(
            heat, cmap="inferno", vmin=0, vmax=1, alpha=_MOST_OPAQUE * heat, aspect=panel.aspect
        )
    for outline in panel.outlines:
        if outline.any() and not outline.all():
            axes.contour(outline.astype(float), levels=[0.5], colors="deepskyblue", linewidths=0.9)
    axes.set_title(panel.title, fontsize=7)


def write_pictures(out: Path, pictures: Mapping[str, bytes]) -> None:
    """Write PNGs into the folder ``pictures`` of an experiment's results, each whole or not.

    Raises
    ------
    SettingsError
        They cannot be written.
    """
    folder = out / _PICTURES
    try:
        folder.mkdir(exist_ok=True)
        for name, png in pictures.items():
            replace_file(folder / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}.png", png)
    except OSError as exc:
        raise SettingsError(
            folder,
            f"pictures cannot be written there ({exc.strerror})",
            "Make room on the disk, or choose another folder",
        ) from exc
