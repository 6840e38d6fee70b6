"""OrganIoU: how much of a thresholded attention map lies where its label may be.

After Draelos & Carin (arXiv 2011.08891, 2111.12215). For a map M that is rectified and scaled by
its maximum, with P the cells above a threshold: a of them allowed, b of them not.

- **corrected**: a / (a + b); 1 when nothing leaks, 0 when nothing is inside, NaN where no cell
  is above the threshold (of a scaled map that means: no cell of it is positive).
- **reference**: a / (a + b) if neither is zero, else 0. So the published code computes it: a map
  that lies wholly inside scores 0. For comparison with its figures only.

In spite of its name it is the precision of the thresholded map: a finding fills only part of its
organ, so an organ that is not covered costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.volume import FloatArray

Definition = Literal["corrected", "reference"]
DEFINITIONS: tuple[Definition, ...] = ("corrected", "reference")

#: The thresholds tried for each label: 0.004 to 0.016 by 0.004, then 0.02 to 0.98 by 0.02.
THRESHOLDS: tuple[float, ...] = (
    0.004, 0.008, 0.012, 0.016, *(round(0.02 * k, 2) for k in range(1, 50)),
)  # fmt: skip


def organ_iou(
    positive_map: npt.NDArray[Any],
    allowed_cells: npt.NDArray[np.bool_],
    threshold: float,
    definition: Definition = "corrected",
) -> float:
    """Compute OrganIoU of one map at one threshold.

    Parameters
    ----------
    positive_map
        [d, h, w], rectified and scaled by its maximum: ``AttentionMap.positive()``.
    allowed_cells
        Which cells lie in the organs the label may be in, of the same shape.
    threshold
        A cell counts if it is strictly above.
    definition
        "corrected" or "reference"; see above.

    Returns
    -------
    0 to 1; NaN (corrected only) where no cell is above the threshold.

    Raises
    ------
    ValueError
        The shapes differ, or there is no such definition.
    """
    counts = count_cells(positive_map, allowed_cells, (threshold,))
    return float(counts.organ_iou(definition)[0])


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Cells above each of some thresholds.

    Parameters
    ----------
    inside, above
        Allowed ones, and all of them; int [thresholds].
    """

    inside: npt.NDArray[np.int64]
    above: npt.NDArray[np.int64]

    def organ_iou(self, definition: Definition = "corrected") -> FloatArray:
        """OrganIoU at each threshold, float64 [thresholds]; see :func:`organ_iou`."""
        if definition not in DEFINITIONS:
            raise ValueError(f"no definition {definition!r}; there are {', '.join(DEFINITIONS)}")
        share: FloatArray = np.full(self.above.shape, np.nan)
        np.divide(self.inside, self.above, out=share, where=self.above > 0)
        if definition == "reference":
            share[self.inside == self.above] = 0.0  # no cell above, or none of them outside
        return share


def count_cells(
    positive_map: npt.NDArray[Any],
    allowed_cells: npt.NDArray[np.bool_],
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> CellCounts:
    """Count the cells of a map above each threshold, and those of them that are allowed.

    Parameters
    ----------
    positive_map, allowed_cells
        As for :func:`organ_iou`.
    thresholds
        In any order.

    Raises
    ------
    ValueError
        The shapes differ, or the map holds NaN.
    """
    if positive_map.shape != allowed_cells.shape:
        raise ValueError(
            f"a map of {positive_map.shape} cells and a region of {allowed_cells.shape}"
        )
    if allowed_cells.dtype != np.bool_:
        raise ValueError(f"allowed cells are true or false, not {allowed_cells.dtype}")
    if np.isnan(positive_map).any():
        raise ValueError("the map holds NaN")
    every = np.sort(positive_map, axis=None)
    allowed = np.sort(positive_map[allowed_cells])
    # In the map's own precision, as `positive_map > threshold` compares: 0.3 in single precision
    # is a hair above 0.3 in double.
    at = np.asarray(thresholds, dtype=positive_map.dtype)
    return CellCounts(
        inside=allowed.size - np.searchsorted(allowed, at, side="right"),
        above=every.size - np.searchsorted(every, at, side="right"),
    )
