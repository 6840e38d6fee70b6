"""Tell a CT in Hounsfield units from a mask and from anything else, by the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.volume import Quantity

AIR_HU = -1024
"""What stands for "nothing here" in a CT: the lower end of the usual 12-bit range."""

_LABEL_LIMIT = 1024
_MOST_LABELS = 256
_HIGHEST_CT_MINIMUM = -200


def judge(voxels: npt.NDArray[Any]) -> tuple[Quantity, str | None]:
    """Guess what a volume's numbers are.

    Parameters
    ----------
    voxels
        All finite.

    Returns
    -------
    The quantity, and a sentence for the user if the numbers are neither HU nor labels. A mask
    has no negative values, only whole ones below 1024 and at most 256 different ones; a CT
    holds something below -200 (its air).
    """
    low, high = voxels.min(), voxels.max()
    if low >= 0 and high < _LABEL_LIMIT and _holds_few_whole_numbers(voxels):
        return Quantity.LABELS, None
    if low > _HIGHEST_CT_MINIMUM:
        return Quantity.UNKNOWN, (
            f"Values from {low:g} to {high:g} do not look like HU: a CT has air near -1000."
        )
    return Quantity.HU, None


def _holds_few_whole_numbers(voxels: npt.NDArray[Any]) -> bool:
    whole = np.issubdtype(voxels.dtype, np.integer)
    seen = np.zeros(_LABEL_LIMIT, dtype=bool)
    for plane in np.moveaxis(voxels, int(np.argmax(voxels.strides)), 0):
        # Plane by plane: a picture with fractions or many values is known for one at once.
        values = plane.astype(np.intp)
        if not whole and (values != plane).any():
            return False
        seen[values] = True
        if seen.sum() > _MOST_LABELS:
            return False
    return True


def as_labels(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn a mask that was saved as floating point into whole numbers; others pass through."""
    return voxels.astype(np.uint16) if np.issubdtype(voxels.dtype, np.floating) else voxels
