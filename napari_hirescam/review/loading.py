"""From an item of the work list to what a reader looks at: the CT, and the mask on its grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_hirescam.organs.organ_map import BoolArray, OrganMap
from napari_hirescam.review.item import Item
from napari_hirescam.volume import Volume

ProgressCallback = Callable[[int, int], None]
StopCallback = Callable[[], bool]

CtKey = tuple[str, str]
"""Path and series of a CT; items with the same key show the same scan."""


@dataclass(frozen=True, eq=False)
class LoadedMask:
    """The mask of an item, on the grid of its CT.

    Parameters
    ----------
    mask
        Where the organ is, [slice, row, column]; None for a map whose label no organ is called.
    others
        Everything that was read of the mask's file, the organ itself included; of a folder with
        a file for each organ that organ alone is read. None if the item has no mask.
    sha256
        See :func:`mask_sha256`.
    notes
        What the reader should know of it, one sentence each: it was resampled, say.
    """

    mask: BoolArray | None
    others: OrganMap | None
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LoadedItem:
    """An item with all that one screen of the review shows of its files.

    Parameters
    ----------
    item
        What was loaded.
    ct
        The scan.
    mask, others, mask_sha256
        See :class:`LoadedMask`.
    notes
        Of the CT's reading and of the mask's, one sentence each.
    ct_key
        See :data:`CtKey`.
    """

    item: Item
    ct: Volume
    mask: BoolArray | None
    others: OrganMap | None
    mask_sha256: str
    notes: tuple[str, ...]
    ct_key: CtKey


def ct_key(item: Item) -> CtKey:
    """Tell which scan an item shows, without reading anything."""
    return str(item.ct), item.series


def load_ct(
    item: Item,
    *,
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
) -> Volume:
    """Read the CT of an item."""
    raise NotImplementedError


def load_mask(
    item: Item,
    ct: Volume,
    *,
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
) -> LoadedMask:
    """Read the mask of an item onto the grid of its CT."""
    raise NotImplementedError


def mask_sha256(item: Item, *, should_stop: StopCallback | None = None) -> str:
    """Hash the file that holds an item's mask."""
    raise NotImplementedError


def load_item(
    item: Item,
    *,
    previous: LoadedItem | None = None,
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
) -> LoadedItem:
    """Read CT and mask of an item; what `previous` has of the same files is not read again."""
    raise NotImplementedError
