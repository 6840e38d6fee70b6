"""A mask together with another, or with the CT's numbers."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from napari_hirescam.review.editing.change import Edited, Mask, Spacing


def within_hu(
    mask: Mask, spacing_mm: Spacing, ct: npt.NDArray[Any], lowest_hu: float, highest_hu: float
) -> Edited:
    """Keep the voxels whose HU lie in a range, both ends included."""
    raise NotImplementedError


def add(mask: Mask, spacing_mm: Spacing, other: Mask) -> Edited:
    """Add another mask."""
    raise NotImplementedError


def subtract(mask: Mask, spacing_mm: Spacing, other: Mask) -> Edited:
    """Take another mask away."""
    raise NotImplementedError


def keep_common(mask: Mask, spacing_mm: Spacing, other: Mask) -> Edited:
    """Keep what lies in another mask too."""
    raise NotImplementedError
