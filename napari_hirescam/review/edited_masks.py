"""Edited masks on the disk: beside the review's file, whole, and never one over another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.editing.change import Mask
from napari_hirescam.review.event import Edit
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.volume import Volume

StopCallback = Callable[[], bool]


def edits_folder(review: ReviewFile | Path) -> Path:
    """Where the edited masks of a review lie: ``review.edits`` beside ``review.db``."""
    raise NotImplementedError


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
    """Write an edited mask, and record it as the reader's edit of this item."""
    raise NotImplementedError


def read_edit(edit: Edit, ct: Volume) -> BoolArray:
    """Read an edited mask back, on the CT's grid, once its hash has been compared."""
    raise NotImplementedError
