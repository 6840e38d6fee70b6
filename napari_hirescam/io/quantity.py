"""Tell a CT in Hounsfield units from a mask and from anything else, by the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.volume import Quantity

AIR_HU = -1024
"""What stands for "nothing here" in a CT: the lower end of the usual 12-bit range."""

_LABEL_LIMIT = 1024
_MOST_LABELS = 256
_HIGHEST_CT_MINIMUM = -200
_DENSE_HU = 1500  # as hard bone; half of a scan never is
# With more values than this a mask must also look like one; the largest in use, of a whole
# body, has 118.
_PLENTY_OF_LABELS = 150
_SAMPLE = 200_000  # voxels that stand for all


def settle(
    path: Path, values: npt.NDArray[Any], *, is_mask: bool = False
) -> tuple[npt.NDArray[Any], Quantity, npt.NDArray[np.bool_] | None, tuple[str, ...]]:
    """Say what a volume's numbers are, and fill the voxels that hold none.

    Parameters
    ----------
    path
        The file, for messages.
    values
        The volume; what is not finite is overwritten in place.
    is_mask
        True if the file itself says so.

    Returns
    -------
    The values, those of a mask as integers; what they are; True where a voxel held no number
    (None if all did); sentences for the user.

    Raises
    ------
    VolumeError
        If no voxel holds a number.
    """
    notes: list[str] = []
    invalid = _without_number(values)
    if invalid is not None:
        if invalid.all():
            raise VolumeError(
                path, "all its voxels are NaN or infinite", "Convert it again from the images"
            )
        # The lowest value there is, so that they cannot sway the verdict.
        values[invalid] = np.min(values, where=~invalid, initial=np.inf)
    if is_mask and _are_labels(values):
        quantity, remark = Quantity.LABELS, None
    else:
        quantity, remark = judge(values)
    if is_mask and quantity is not Quantity.LABELS:
        notes.append("The file calls itself a mask, but its numbers are no labels.")
    if remark is not None:
        notes.append(remark)
    if invalid is not None:
        fill = {Quantity.HU: f"{AIR_HU} HU (air)", Quantity.LABELS: "0 (background)"}
        if quantity is not Quantity.UNKNOWN:
            values[invalid] = AIR_HU if quantity is Quantity.HU else 0
        notes.append(
            f"{int(invalid.sum())} voxels hold no number (NaN); they were set to "
            f"{fill.get(quantity, 'the lowest value')} and are marked."
        )
    return (
        as_labels(values) if quantity is Quantity.LABELS else values,
        quantity,
        invalid,
        tuple(notes),
    )


def judge(voxels: npt.NDArray[Any]) -> tuple[Quantity, str | None]:
    """Guess what a volume's numbers are.

    Parameters
    ----------
    voxels
        All finite.

    Returns
    -------
    The quantity, and a sentence for the user if the numbers are neither HU nor labels. A mask
    has no negative values, only whole ones below 1024 and at most 256 different ones, and with
    more than 150 its neighbours are mostly equal; a CT holds something below -200 (its air),
    and its median does not lie above 1500.
    """
    low, high = voxels.min(), voxels.max()
    if low >= 0 and high < _LABEL_LIMIT and _holds_few_whole_numbers(voxels):
        return Quantity.LABELS, None
    if low > _HIGHEST_CT_MINIMUM:
        return Quantity.UNKNOWN, (
            f"Values from {low:g} to {high:g} do not look like HU: a CT has air near -1000."
        )
    if np.median(_sample(voxels)) > _DENSE_HU:
        return Quantity.UNKNOWN, (
            f"Values from {low:g} to {high:g} do not look like HU: most lie above {_DENSE_HU}."
        )
    return Quantity.HU, None


def as_labels(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn a mask that was saved as floating point into whole numbers; others pass through."""
    if np.issubdtype(voxels.dtype, np.integer):
        return voxels
    return voxels.astype(np.uint16 if voxels.max() < 2**16 else np.int32)


def _without_number(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    # Lowest and highest tell it without a second array: a NaN shows up in both.
    if values.dtype.kind != "f" or np.isfinite([values.min(), values.max()]).all():
        return None
    invalid: npt.NDArray[np.bool_] = ~np.isfinite(values)
    return invalid


def _sample(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    step = max(1, round((voxels.size / _SAMPLE) ** (1 / 3)))
    return voxels[::step, ::step, ::step]


def _planes(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The volume as planes that lie together in memory."""
    return np.moveaxis(voxels, int(np.argmax(np.abs(voxels.strides))), 0)


def _are_labels(voxels: npt.NDArray[Any]) -> bool:
    """True if all are whole, not negative and small enough to count with."""
    if voxels.min() < 0 or voxels.max() >= 2**31:
        return False
    if np.issubdtype(voxels.dtype, np.integer):
        return True
    return all(bool((np.rint(plane) == plane).all()) for plane in _planes(voxels))


def _holds_few_whole_numbers(voxels: npt.NDArray[Any]) -> bool:
    whole = np.issubdtype(voxels.dtype, np.integer)
    seen = np.zeros(_LABEL_LIMIT, dtype=bool)
    alike = differing = 0
    for plane in _planes(voxels):
        # Plane by plane: a picture with fractions or many values is known for one at once.
        values = plane.astype(np.intp)
        if not whole and (values != plane).any():
            return False
        seen[values] = True
        if seen.sum() > _MOST_LABELS:
            return False
        inside = (values[1:] > 0) & (values[:-1] > 0)
        same = values[1:] == values[:-1]
        alike += int((inside & same).sum())
        differing += int((inside & ~same).sum())
    # An 8-bit picture has few values too, but its neighbours differ, by noise alone.
    return int(seen.sum()) <= _PLENTY_OF_LABELS or alike >= differing
