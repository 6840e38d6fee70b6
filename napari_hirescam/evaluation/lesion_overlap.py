"""Overlap of a thresholded map with an outlined lesion, by exact volumes.

A cell above the threshold stands for its whole box, and the lesion fills a part of it. So a map
of coarse cells cannot reach 1 on a small lesion; the best that any choice of cells would reach
stands beside each figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.evaluation.organ_iou import THRESHOLDS
from napari_hirescam.volume import FloatArray


@dataclass(frozen=True, eq=False)
class LesionCounts:
    """Volumes in units of one cell's box.

    Parameters
    ----------
    inside
        Of the lesion within the cells above each threshold, float64 [thresholds].
    above
        Of those cells, int [thresholds].
    lesion
        Of the whole lesion, what lies outside the map included.
    best
        Largest IoU that any choice of cells can reach.
    """

    inside: FloatArray
    above: npt.NDArray[np.int64]
    lesion: float
    best: float

    def iou(self) -> FloatArray:
        """Intersection over union at each threshold; NaN for a lesion without a voxel."""
        union = self.above + self.lesion - self.inside
        if self.lesion <= 0:
            return np.full(len(self.inside), np.nan)
        return np.asarray(self.inside / union)


def count_overlap(
    positive_map: npt.NDArray[Any],
    inside: FloatArray,
    lesion: float,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> LesionCounts:
    """Add up what of a lesion lies in the cells above each threshold.

    Parameters
    ----------
    positive_map
        [d, h, w], rectified and scaled by its maximum.
    inside
        Share of each cell's box that the lesion fills, of the same shape.
    lesion
        Volume of the lesion in units of one cell's box.
    thresholds
        A cell counts if it is strictly above.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    if positive_map.shape != inside.shape:
        raise ValueError(f"a map of {positive_map.shape} cells and a lesion on {inside.shape}")
    order = np.argsort(positive_map, axis=None, kind="stable")
    values, filled = positive_map.ravel()[order], inside.ravel()[order]
    at = np.asarray(thresholds, dtype=positive_map.dtype)
    first = np.searchsorted(values, at, side="right")
    # What lies from each cell of the order on.
    from_here = np.append(np.cumsum(filled[::-1])[::-1], 0.0)
    return LesionCounts(
        inside=from_here[first],
        above=values.size - first,
        lesion=float(lesion),
        best=_best(inside, lesion),
    )


def _best(inside: FloatArray, lesion: float) -> float:
    """IoU of the cells that the lesion fills most, taking as many as is best."""
    if lesion <= 0:
        return float("nan")
    gained = np.cumsum(np.sort(inside, axis=None)[::-1])
    taken = np.arange(1, gained.size + 1)
    return float((gained / (taken + lesion - gained)).max())
