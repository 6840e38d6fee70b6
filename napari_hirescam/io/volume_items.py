"""Which of several volumes in one file is meant."""

from __future__ import annotations

from pathlib import Path

from napari_hirescam.io.asking import ChoiceNeededError, Item
from napari_hirescam.volume import Grid


def volume_item(grid: Grid, key: str, title: str, kind: str) -> Item:
    """Describe a volume before it is read.

    Parameters
    ----------
    grid
        As stored: columns, rows, slices in most files.
    key, title, kind
        Of the item.
    """
    across, down, n_slices = grid.shape
    column_mm, row_mm, slice_mm = grid.spacing_mm
    return Item(
        key,
        title,
        kind,
        n_slices=n_slices,
        spacing_mm=(slice_mm, row_mm, column_mm),
        size=(down, across),
    )


def numbered_items(grid: Grid, n_volumes: int) -> tuple[Item, ...]:
    """Describe volumes that have nothing but their numbers, which start at 1."""
    return tuple(
        volume_item(grid, str(k), f"volume {k} of {n_volumes}", "image")
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
