"""Which of several volumes in one file is meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_hirescam.io.asking import ChoiceNeededError, Item
from napari_hirescam.io.frame import index_axes, upright
from napari_hirescam.volume import Grid


def volume_item(grid: Grid | None, key: str, title: str, kind: str) -> Item:
    """Describe a volume before it is read.

    Parameters
    ----------
    grid
        As stored, the axes in any order; None if nothing says where it lies.
    key, title, kind
        Of the item.
    """
    item = Item(key, title, kind)
    if grid is None:
        return item
    along_i, along_p, along_l = index_axes(grid.affine)
    mm = grid.spacing_mm
    return replace(
        item,
        n_slices=grid.shape[along_i],
        spacing_mm=(mm[along_i], mm[along_p], mm[along_l]),
        size=(grid.shape[along_p], grid.shape[along_l]),
        grid=upright(grid),
    )


def numbered_items(grid: Grid | None, n_volumes: int, kind: str = "image") -> tuple[Item, ...]:
    """Describe volumes that have nothing but their numbers, which start at 1."""
    return tuple(
        replace(volume_item(grid, str(k), f"volume {k} of {n_volumes}", kind), number=str(k))
        for k in range(1, n_volumes + 1)
    )


def choose(path: Path, items: tuple[Item, ...], series: str | None, what: str) -> str:
    """Find the key that was asked for.

    Parameters
    ----------
    path
        The file.
    items
        What there is.
    series
        The key asked for, or None.
    what
        "3 volumes", say.

    Raises
    ------
    ChoiceNeededError
        If none was asked for, or one that is not there.
    """
    if any(series == item.key for item in items):
        return str(series)
    reason = f"it holds {what}"
    if series is not None:
        reason += f", and none of them is called {series!r}"
    raise ChoiceNeededError(path, reason, "Say which one to read", items)
