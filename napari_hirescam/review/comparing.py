"""How far two masks of one grid agree: overlap, surfaces, volumes, and where they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

StopCallback = Callable[[], bool]
#: Values of :func:`difference_labels`.
REMOVED, ADDED, BOTH = 1, 2, 3


@dataclass(frozen=True)
class Comparison:
    """Two masks, a and b, of one grid; b is what became of a where one was made from the other.

    Parameters
    ----------
    dice
        1 where both are empty.
    surface_dice
        Share of both surfaces that lies within the tolerance of the other; 1 where both are
        empty, 0 where one is.
    hd95_mm
        The larger of the two directed 95th percentiles of surface distances; 0 where both are
        empty, NaN where one is: nothing is no distance away from nothing.
    volume_a_ml, volume_b_ml
        Of each.
    added_ml, removed_ml
        Of b without a, and of a without b.
    tolerance_mm
        Of `surface_dice`.
    """

    dice: float
    surface_dice: float
    hd95_mm: float
    volume_a_ml: float
    volume_b_ml: float
    added_ml: float
    removed_ml: float
    tolerance_mm: float


def compare_masks(
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    spacing_mm: tuple[float, float, float],
    *,
    tolerance_mm: float = 2.0,
    should_stop: StopCallback | None = None,
) -> Comparison:
    """Compare two masks [slice, row, column]."""
    raise NotImplementedError


def difference_labels(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Label each voxel `REMOVED`, `ADDED`, `BOTH`, or 0 where neither mask is."""
    raise NotImplementedError
