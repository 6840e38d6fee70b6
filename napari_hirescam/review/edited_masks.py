"""Edited masks on the disk: beside the review's file, whole, and never one over another."""

from __future__ import annotations

import os
import re
import unicodedata
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam import __version__
from napari_hirescam.errors import ReviewError
from napari_hirescam.io import on_source_grid, read_volume, write_volume
from napari_hirescam.io.frame import upright
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.writing import refuse_dicom
from napari_hirescam.review.editing.change import Mask, StopCallback, as_bool, check_stop
from napari_hirescam.review.event import Edit
from napari_hirescam.review.file_hash import file_sha256
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.safe_write import remove_leftovers, require_writable
from napari_hirescam.source import Segment
from napari_hirescam.volume import Volume


def edits_folder(review: ReviewFile | Path) -> Path:
    """Where the edited masks of a review lie: ``review.db.edits`` beside ``review.db``."""
    path = review if isinstance(review, Path) else review.path
    return path.with_name(f"{path.name}.edits")


def write_edit(
    review: ReviewFile,
    item: Item,
    reader: str,
    mask: Mask,
    ct: Volume,
    *,
    base_sha256: str,
    seconds: float = 0.0,
    dicom_seg: bool = False,
    should_stop: StopCallback | None = None,
) -> Edit:
    """Write an edited mask, and record it as the reader's edit of this item.

    When this returns, file and event are on the disk. The file has a name of its own, made of
    the item's number, the organ, the reader and the time, so that every edit of the history
    stays. Its affine is that of the CT's file, and its axes are stored alike; where reading
    resampled an oblique or tilted CT it has the straight grid that the mask was drawn on, so
    that no voxel changes.

    Parameters
    ----------
    review
        Takes the event; the file goes into :func:`edits_folder`.
    item, reader
        Whose edit of what.
    mask
        [slice, row, column] on the grid of `ct`; all but 0 is inside.
    ct
        As it was loaded for this item.
    base_sha256
        Of the mask that was edited.
    seconds
        As for :meth:`ReviewFile.record`.
    dicom_seg
        Whether to write a DICOM segmentation beside it. It belongs to the patient, as DICOM
        demands: it repeats the name and the number that the CT's files have.
    should_stop
        Asked until the file is written.

    Raises
    ------
    ReviewError
        The folder or the review cannot be written, or what was written reads back differently.
        A file that could not be recorded is kept, and named.
    VolumeError
        The disk is full, or a DICOM copy is asked for over a CT that is no DICOM series.
        Nothing is recorded then.
    ValueError
        The mask is not on the grid of the CT.
    Cancelled
        If `should_stop` answered True; nothing is recorded then.
    """
    if mask.shape != ct.voxels.shape:
        raise ValueError(f"a mask of {mask.shape} is not on the grid of a CT of {ct.voxels.shape}")
    inside = as_bool(mask)
    if dicom_seg:
        refuse_dicom("edit.dcm", ct)
    folder = edits_folder(review)
    try:
        require_writable(folder)
        remove_leftovers(folder)
    except OSError as exc:
        raise ReviewError(
            folder,
            f"edited masks cannot be written there ({exc.strerror or exc})",
            "Make room, or see that you may write to the folder, and save again",
        ) from exc
    file = _free_name(folder, item, reader)
    check_stop(should_stop)
    labels = inside.astype(np.uint8)
    straight = upright(ct.export_grid)
    stored = straight is not None and straight.same_place_as(ct.grid)
    about = _about(item, reader, ct, base_sha256)
    write_volume(
        file,
        on_source_grid(labels, ct, order=0) if stored else labels,
        ct.export_grid if stored else ct.grid,
        like=ct.source if stored else None,
        **about,
    )
    edit = Edit(file, file_sha256(file))
    value = {"file": str(file), "sha256": edit.sha256}
    if not np.array_equal(read_edit(edit, ct), inside):
        file.unlink()
        raise ReviewError(
            file,
            "the edited mask reads back differently",
            "Save it again, to another disk if need be",
        )
    if dicom_seg:
        copy = file.with_name(file.name.removesuffix(_ENDING) + ".dcm")
        sampled = on_source_grid(labels, ct, order=0)
        write_volume(copy, sampled, ct.export_grid, like=ct.source, **about)
        value["dicom"] = str(copy)
    _flush_names(folder)
    try:
        review.record(reader, item.number, "edit", value, seconds=seconds, mask_sha256=base_sha256)
    except ReviewError as exc:
        remedy = f"{exc.remedy}; this edited mask is kept as {file}"
        raise ReviewError(exc.subject, exc.reason, remedy) from exc
    return edit


def read_edit(edit: Edit, ct: Volume) -> BoolArray:
    """Read an edited mask, once its hash has been compared.

    Returns
    -------
    Bool [slice, row, column] on the grid of `ct`.

    Raises
    ------
    ReviewError
        The file is not there, is not the one that was recorded, or lies on another grid than
        this CT.
    VolumeError
        It cannot be read.
    """
    try:
        found = file_sha256(edit.file)
    except OSError as exc:
        reason = "the edited mask is not there"
        if not isinstance(exc, FileNotFoundError):
            reason = f"the edited mask cannot be read ({exc.strerror or exc})"
        raise ReviewError(
            edit.file, reason, "Keep the folder of edits beside the review's file"
        ) from exc
    if found != edit.sha256:
        raise ReviewError(
            edit.file,
            "it is not the edited mask that was recorded: its SHA-256 differs",
            "Put the file back as it was, or edit the mask anew",
        )
    mask = read_volume(edit.file)
    if not mask.grid.same_place_as(ct.grid):
        raise ReviewError(
            edit.file,
            "the edited mask does not lie on the grid of this CT",
            "See whether the CT was moved or replaced since",
        )
    return as_bool(mask.voxels)


_ENDING = ".nii.gz"


def _free_name(folder: Path, item: Item, reader: str) -> Path:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{item.number:05d}_{_plain(item.target)}_{_plain(reader)}_{now}"
    names = (f"{name}{f'_{k}' if k > 1 else ''}{_ENDING}" for k in count(1))
    return next(folder / one for one in names if not (folder / one).exists())


def _plain(text: str) -> str:
    """Make a word that is a file name on every system."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", letters).strip("_")[:40] or "x"


def _about(item: Item, reader: str, ct: Volume, base_sha256: str) -> dict[str, Any]:
    of_ct = ct.source.as_provenance() if ct.source else {"ct": ct.name}
    return {
        "segments": (Segment(1, item.target),),
        "description": f"edited mask, {item.target}",
        "provenance": {
            "software": f"napari-hirescam {__version__}",
            **of_ct,
            "item": item.number,
            "reader": reader,
            "edited_from_sha256": base_sha256,
        },
    }


def _flush_names(folder: Path) -> None:
    """See that a new file's name is on the disk, before an event names it."""
    if os.name == "nt":  # folders cannot be opened there, and their entries are journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
