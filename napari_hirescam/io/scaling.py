"""What stored numbers stand for: slope, intercept, and the type that holds the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES = (np.int16, np.int32, np.int64)


@dataclass(frozen=True)
class Scaling:
    """How a stored number becomes a value: times `slope`, plus `intercept`."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_identity(self) -> bool:
        """True if stored numbers are the values."""
        return self.slope == 1 and self.intercept == 0

    @property
    def is_whole(self) -> bool:
        """True if it makes whole numbers of whole numbers."""
        return self.slope.is_integer() and self.intercept.is_integer()


def scaled(voxels: npt.NDArray[Any], scaling: Scaling) -> npt.NDArray[Any]:
    """Apply slope and intercept.

    Parameters
    ----------
    voxels
        [i, j, k], the first axis fastest, in native byte order; overwritten where the values
        find room in its memory.
    scaling
        What to apply.

    Returns
    -------
    Integers where integers were stored and the values are whole, in the stored type or the
    smallest signed one that holds them; float32 otherwise.
    """
    is_integer = voxels.dtype.kind in "iu"
    if scaling.is_identity and (voxels.dtype == np.float32 or (is_integer and voxels.itemsize < 8)):
        return voxels
    if is_integer and scaling.is_whole:
        slope, intercept = int(scaling.slope), int(scaling.intercept)
        ends = [int(voxels.min()), int(voxels.max())]
        results = [end * slope + intercept for end in ends]
        fitting = [t for t in _TYPES if _fits(results, t)]
        if fitting and _fits(ends, np.int64):
            small = _fits([*ends, *results, slope, intercept], np.int32)
            work = np.int32 if small else np.int64
            return _mapped(voxels, fitting[0], work, slope, intercept)
    # Half and double precision have no use for a CT and trouble many libraries.
    return _mapped(voxels, np.float32, np.float64, scaling.slope, scaling.intercept)


def _fits(numbers: list[int], kind: Any) -> bool:
    limits = np.iinfo(kind)
    return limits.min <= min(numbers) and max(numbers) <= limits.max


def _mapped(
    voxels: npt.NDArray[Any], kind: Any, work: Any, slope: float, intercept: float
) -> npt.NDArray[Any]:
    """Slice by slice in a wider type, since unsigned numbers would wrap around below zero."""
    kind = np.dtype(kind)
    if kind.itemsize == voxels.itemsize:
        values: npt.NDArray[Any] = voxels.view(kind)
    else:
        values = np.empty(voxels.shape, kind, order="F")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is no number any more
        for k in range(voxels.shape[2]):
            plane = voxels[:, :, k].astype(work)
            plane *= slope
            plane += intercept
            values[:, :, k] = plane
    return values
