"""From an item of the work list to what a reader looks at: the CT, and the mask on its grid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from napari_hirescam.errors import OrganError, VolumeError
from napari_hirescam.io import read_volume
from napari_hirescam.organs import read_organ_table, read_organs
from napari_hirescam.organs.mask_files import files_of_organs
from napari_hirescam.organs.organ_map import BoolArray, OrganMap
from napari_hirescam.organs.organ_tables import organ_name
from napari_hirescam.review.file_hash import file_sha256
from napari_hirescam.review.item import Item
from napari_hirescam.volume import Quantity, Volume

_WHOLE = 1000
# Of the progress: a CT is larger than its mask and is packed less well.
_CT_SHARE = 750

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
    """Read the CT of an item; it is called after the case, not after the file.

    Raises
    ------
    VolumeError
        It is not there or cannot be read, several things in it could be meant, or it is no CT.
    Cancelled
        If `should_stop` answered True.
    """
    volume = read_volume(
        item.ct, series=item.series or None, progress=progress, should_stop=should_stop
    )
    if volume.quantity is Quantity.LABELS:
        raise VolumeError(
            item.ct.name, "it holds labels, no CT", "Name the CT's file in the work list's table"
        )
    return replace(volume, name=item.case)


def load_mask(
    item: Item,
    ct: Volume,
    *,
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
) -> LoadedMask:
    """Read the mask of an item onto the grid of its CT.

    A mask without a voxel and lungs with exchanged sides are for the reader to see: they are
    loaded, and `notes` says so. A mask on another grid that reaches over all of the CT is
    resampled, nearest, and `notes` says so.

    Raises
    ------
    VolumeError
        The mask's file is not there or cannot be read.
    OrganError
        It holds no labels, it does not tell of the item's organ, it is of another scan, or it
        does not reach over the CT.
    Cancelled
        If `should_stop` answered True.
    """
    if item.mask is None:
        return LoadedMask(None, None, "")
    try:
        sha256 = mask_sha256(item, should_stop=should_stop)
    except OrganError:
        if item.kind == "mask":
            raise
        note = f"The folder of masks has none of {item.target}, so the map is shown without one."
        return LoadedMask(None, None, "", (note,))
    table = read_organ_table(item.organ_table) if item.organ_table else None
    organ = organ_name(item.target)
    # A label that a map is made for need not be an organ.
    wanted = [organ] if item.kind == "mask" or item.mask.is_dir() else None
    organs = read_organs(
        item.mask,
        table,
        ct,
        wanted=wanted,
        unnamed=organ,
        lenient=True,
        progress=progress,
        should_stop=should_stop,
    )
    return LoadedMask(_mask_of(item, organs), organs, sha256, _notes_of(organs))


def mask_sha256(item: Item, *, should_stop: StopCallback | None = None) -> str:
    """Hash the mask of an item, so that it can be told later whether it is what was judged.

    Returns
    -------
    SHA-256 of its file. Of a folder: over the names and the hashes of the files that hold the
    organ (all files of a DICOM series). Empty if the item has no mask.

    Raises
    ------
    VolumeError
        A file is not there or cannot be read.
    OrganError
        The folder has no file of the organ.
    """
    if item.mask is None:
        return ""
    try:
        if not item.mask.is_dir():
            return file_sha256(item.mask, should_stop=should_stop)
        whole = hashlib.sha256()
        for file in files_of_organs(item.mask, [item.target]):
            name = file.relative_to(item.mask).as_posix()
            digest = file_sha256(file, should_stop=should_stop)
            whole.update(f"{name}\n{digest}\n".encode())
        return whole.hexdigest()
    except FileNotFoundError as exc:
        raise VolumeError(
            item.mask, "there is no such mask", "Put it back, or mend the work list"
        ) from exc
    except OSError as exc:
        raise VolumeError(
            item.mask, f"it cannot be read ({exc.strerror or exc})", "See that you may read it"
        ) from exc


def load_item(
    item: Item,
    *,
    previous: LoadedItem | None = None,
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
) -> LoadedItem:
    """Read the CT and the mask of an item.

    Parameters
    ----------
    item
        Of the work list.
    previous
        What was loaded before: its CT and its label map are not read again if they are the same
        files.
    progress
        Called with (done, total).
    should_stop
        Asked while reading.

    Raises
    ------
    HirescamError
        What :func:`load_ct` and :func:`load_mask` raise: one clear sentence, for the event
        "unreadable".
    Cancelled
        If `should_stop` answered True.
    """
    known = previous is not None and previous.ct_key == ct_key(item)
    if previous is not None and known:
        ct = replace(previous.ct, name=item.case)
    else:
        ct = load_ct(item, progress=_share(progress, 0, _CT_SHARE), should_stop=should_stop)
    kept = None
    if previous is not None and known:
        kept = _label_map_of(previous, item, should_stop)
    if previous is not None and kept is not None:
        sha256 = previous.mask_sha256
        found = LoadedMask(_mask_of(item, kept), kept, sha256, _notes_of(kept))
    else:
        share = _share(progress, _CT_SHARE, _WHOLE)
        found = load_mask(item, ct, progress=share, should_stop=should_stop)
    if progress is not None:
        progress(_WHOLE, _WHOLE)
    told = ct.source.notes if ct.source else ()
    notes = tuple(dict.fromkeys((*told, *found.notes)))
    return LoadedItem(item, ct, found.mask, found.others, found.sha256, notes, ct_key(item))


def _label_map_of(
    previous: LoadedItem, item: Item, should_stop: StopCallback | None
) -> OrganMap | None:
    """Give the label map that was read before, if it is the one that the item's organ is in."""
    before, organs = previous.item, previous.others
    if item.mask is None or (item.mask, item.organ_table) != (before.mask, before.organ_table):
        return None
    if organs is None or item.mask.is_dir() or organ_name(item.target) not in organs.values:
        return None
    # The file may have been replaced meanwhile.
    same = mask_sha256(item, should_stop=should_stop) == previous.mask_sha256
    return organs if same else None


def _mask_of(item: Item, organs: OrganMap) -> BoolArray | None:
    organ = organ_name(item.target)
    if organ not in organs.values:
        return None
    labels = organs.labels
    if labels.dtype == np.uint8 and set(organs.values[organ]) == {1} and labels.max() <= 1:
        # The same memory: a mask of a whole scan is not copied while the reader waits.
        return labels.view(np.bool_)
    return organs.mask([organ])


def _notes_of(organs: OrganMap) -> tuple[str, ...]:
    doubts = (f"{doubt[:1].upper()}{doubt[1:]}." for doubt in organs.doubts)
    return (*organs.notes, *doubts)


def _share(progress: ProgressCallback | None, first: int, last: int) -> ProgressCallback | None:
    """Give a step its part of the whole progress."""
    if progress is None:
        return None

    def part(done: int, total: int) -> None:
        progress(first + round((last - first) * done / max(total, 1)), _WHOLE)

    return part
