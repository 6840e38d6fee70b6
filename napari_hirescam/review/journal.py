"""Strokes in progress, kept where a crash does not reach them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hirescam.review.review_file import ReviewFile


class StrokeJournal:
    """An edit in progress of one reader and one item.

    Parameters
    ----------
    review
        The review, or its path.
    item, reader
        What is edited, and by whom.
    base
        uint8[slice, row, column], the mask that the edit starts from.
    affine
        4x4, of the CT's grid that `base` lies on.
    base_sha256
        Of the file that `base` was read from.
    """

    def __init__(
        self,
        review: ReviewFile | str | Path,
        item: int,
        reader: str,
        base: NDArray[np.uint8],
        *,
        affine: ArrayLike,
        base_sha256: str,
    ) -> None:
        raise NotImplementedError

    def rescued(self) -> datetime | None:
        """When strokes of an earlier session were last saved (UTC); None if there are none."""
        raise NotImplementedError

    def restore(self) -> NDArray[np.uint8] | None:
        """Put the rescued strokes onto a copy of `base`; None if there are none."""
        raise NotImplementedError

    def save(self, labels: NDArray[np.uint8]) -> int:
        """Write the 64^3 blocks that changed since the last save; gives the bytes written."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forget the strokes: the edit was written, or given up."""
        raise NotImplementedError

    def close(self) -> None:
        """Close; what was saved stays for the next session."""
        raise NotImplementedError
