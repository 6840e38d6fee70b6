"""Tell a CT in Hounsfield units from a mask and from anything else, by the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

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
# With more values than this a mask must also look like one: a CT cut to the greys of the brain
# has some 80, many a mask of a whole body 118.
_PLENTY_OF_LABELS = 20
_SAMPLE = 200_000  # voxels that stand for all


class Settled(NamedTuple):
    """A volume's numbers, and what they are.

    Parameters
    ----------
    values
        Those of a mask as integers.
    quantity
        What they are.
    missing
        True where a voxel held no number and was filled; None if all did.
    notes
        Sentences for the user.
    lowest, highest
        Of the values.
    """

    values: npt.NDArray[Any]
    quantity: Quantity
    missing: npt.NDArray[np.bool_] | None
    notes: tuple[str, ...]
    lowest: float
    highest: float


def settle(
    path: Path,
    values: npt.NDArray[Any],
    *,
    is_mask: bool = False,
    ends: tuple[Any, Any] | None = None,
) -> Settled:
    """Say what a volume's numbers are, and fill the voxels that hold none.

    Parameters
    ----------
    path
        The file, for messages.
    values
        The volume; what is not finite is overwritten in place.
    is_mask
        True if the file itself says so.
    ends
        The least and the greatest of the values, if they are known; NaN if one of them is.

    Raises
    ------
    VolumeError
        If no voxel holds a number.
    """
    notes: list[str] = []
    # Each look at all voxels costs a tenth of the time it takes to unpack them.
    low, high = (values.min(), values.max()) if ends is None else ends
    missing: npt.NDArray[np.bool_] | None = None
    if not np.isfinite([low, high]).all():  # a NaN shows up in both
        missing = ~np.isfinite(values)
        if missing.all():
            raise VolumeError(
                path, "all its voxels are NaN or infinite", "Convert it again from the images"
            )
        low = np.min(values, where=~missing, initial=np.inf)
        high = np.max(values, where=~missing, initial=-np.inf)
        values[missing] = low  # so that they cannot sway the verdict
    if is_mask and _are_labels(values, low, high):
        quantity, remark = Quantity.LABELS, None
    else:
        quantity, remark = judge(values, low, high)
    if is_mask and quantity is not Quantity.LABELS:
        notes.append("The file calls itself a mask, but its numbers are no labels.")
    if remark is not None:
        notes.append(remark)
    if missing is not None:
        fill = {Quantity.HU: AIR_HU, Quantity.LABELS: 0}.get(quantity, low)
        values[missing] = fill
        low, high = min(low, fill), max(high, fill)
        said = {Quantity.HU: f"{AIR_HU} HU (air)", Quantity.LABELS: "0 (background)"}
        notes.append(
            f"{int(missing.sum()):,} voxels hold no number (NaN); they were set to "
            f"{said.get(quantity, 'the lowest value')} and are marked."
        )
    if quantity is Quantity.LABELS:
        values = _as_labels(values, high)
    return Settled(values, quantity, missing, tuple(notes), float(low), float(high))


def judge(voxels: npt.NDArray[Any], low: Any, high: Any) -> tuple[Quantity, str | None]:
    """Guess what a volume's numbers are.

    Parameters
    ----------
    voxels
        All finite.
    low, high
        The lowest and the highest of them.

    Returns
    -------
    The quantity, and a sentence for the user if the numbers are neither HU nor labels. A mask
    has no negative values, only whole ones below 1024 and at most 256 different ones, and with
    more than 20 few neighbours differ; a CT holds something below -200 (its air),
    and its median does not lie above 1500.
    """
    if low >= 0 and high < _LABEL_LIMIT and _holds_few_whole_numbers(voxels, high):
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


def _as_labels(voxels: npt.NDArray[Any], high: Any) -> npt.NDArray[Any]:
    """Turn a mask that was saved as floating point into whole numbers; others pass through."""
    if np.issubdtype(voxels.dtype, np.integer):
        return voxels
    return voxels.astype(np.uint16 if high < 2**16 else np.int32)


def _sample(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    step = max(1, round((voxels.size / _SAMPLE) ** (1 / 3)))
    return voxels[::step, ::step, ::step]


def _planes(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The volume as planes that lie together in memory."""
    return np.moveaxis(voxels, int(np.argmax(np.abs(voxels.strides))), 0)


def _are_labels(voxels: npt.NDArray[Any], low: Any, high: Any) -> bool:
    """True if all are whole, not negative and small enough to count with."""
    if low < 0 or high >= 2**31:
        return False
    if np.issubdtype(voxels.dtype, np.integer):
        return True
    return all(bool((np.rint(plane) == plane).all()) for plane in _planes(voxels))


def _holds_few_whole_numbers(voxels: npt.NDArray[Any], high: Any) -> bool:
    whole = np.issubdtype(voxels.dtype, np.integer)
    seen = np.zeros(_LABEL_LIMIT, dtype=bool)
    alike = differing = n_between = 0
    for plane in _planes(voxels):
        # Plane by plane: a picture with fractions or many values is known for one at once.
        if not whole and (np.rint(plane) != plane).any():
            return False
        # The ends do not count: a picture that was cut to a window has large patches of both.
        between = (plane > 0) & (plane < high)
        if plane.min() == 0:
            seen[0] = True
        if plane.max() == high:
            seen[int(high)] = True
        if not between.any():
            continue
        seen[plane[between].astype(np.intp)] = True
        if seen.sum() > _MOST_LABELS:
            return False
        n_between += int(np.count_nonzero(between))
        inside = between[1:] & between[:-1]
        same = plane[1:] == plane[:-1]
        alike += int(np.count_nonzero(inside & same))
        differing += int(np.count_nonzero(inside & ~same))
    # A picture may have few values too, but its neighbours differ, by noise alone. Those of a
    # mask of single points are background.
    is_noisy = differing > max(alike, n_between // 10)
    return int(seen.sum()) <= _PLENTY_OF_LABELS or not is_noisy
