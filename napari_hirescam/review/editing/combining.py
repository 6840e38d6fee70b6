"""A mask together with another, or with the CT's numbers."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from napari_hirescam.review.editing.change import Edited, Mask, Spacing, as_bool, edited


def within_hu(
    mask: Mask, spacing_mm: Spacing, ct: npt.NDArray[Any], lowest_hu: float, highest_hu: float
) -> Edited:
    """Keep the voxels whose HU lie in a range, both ends included.

    Raises
    ------
    ValueError
        The CT is of another shape, or the range is empty.
    """
    _check_shape(mask, ct)
    if not lowest_hu <= highest_hu:
        raise ValueError(f"no HU lie between {lowest_hu:g} and {highest_hu:g}")
    kept = as_bool(mask) & (ct >= lowest_hu) & (ct <= highest_hu)
    what = f"Restricted to {lowest_hu:g} to {highest_hu:g} HU"
    return edited(mask, kept, spacing_mm, what)


def add(mask: Mask, spacing_mm: Spacing, other: Mask) -> Edited:
    """Add another mask."""
    _check_shape(mask, other)
    return edited(mask, as_bool(mask) | as_bool(other), spacing_mm, "Added another mask")


def subtract(mask: Mask, spacing_mm: Spacing, other: Mask) -> Edited:
    """Take another mask away."""
    _check_shape(mask, other)
    return edited(mask, as_bool(mask) & ~as_bool(other), spacing_mm, "Took another mask away")


def keep_common(mask: Mask, spacing_mm: Spacing, other: Mask) -> Edited:
    """Keep what lies in another mask too."""
    _check_shape(mask, other)
    return edited(mask, as_bool(mask) & as_bool(other), spacing_mm, "Kept what both masks have")


def _check_shape(mask: Mask, other: npt.NDArray[Any]) -> None:
    if mask.shape != other.shape:
        raise ValueError(f"{other.shape} is not the grid of a mask of {mask.shape}")
