"""How far two masks of one grid agree: overlap, surfaces, volumes, and where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.editing.change import (
    Spacing,
    StopCallback,
    as_bool,
    box_around,
    millilitres,
)
from napari_hirescam.review.surfaces import SurfacePair, edge_voxels, surface_elements

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
    spacing_mm: Spacing,
    *,
    tolerance_mm: float = 2.0,
    should_stop: StopCallback | None = None,
) -> Comparison:
    """Compare two masks.

    Surface Dice weighs each piece of surface by its area, as the authors of the measure do
    (Nikolov et al., JMIR 2021; 23:e26151); HD95 counts voxels on the outline, as is usual. Both
    are those of MONAI's `compute_surface_dice(use_subvoxels=True)` and
    `compute_hausdorff_distance(percentile=95)`.

    Parameters
    ----------
    a, b
        [slice, row, column] of one grid; inside is what is not 0. Where the scan cuts a mask,
        the cut is part of its surface.
    spacing_mm
        Of the voxels.
    tolerance_mm
        Of surface Dice.
    should_stop
        Asked between steps.

    Raises
    ------
    ValueError
        The shapes differ, the spacing is not positive, or the tolerance is negative.
    Cancelled
        If `should_stop` answered True.
    """
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"masks of {a.shape} and {b.shape} are not of one grid")
    if not (min(spacing_mm) > 0 and tolerance_mm >= 0):
        raise ValueError(f"no distances of {tolerance_mm:g} mm in voxels of {spacing_mm} mm")
    box = box_around(as_bool(a) | as_bool(b))
    one, two = as_bool(a[box]), as_bool(b[box])
    of_a, of_b, common = (int(np.count_nonzero(x)) for x in (one, two, one & two))
    if of_a and of_b:
        surface_dice = _surface_dice(one, two, spacing_mm, tolerance_mm, should_stop)
        edges = SurfacePair(edge_voxels(one), edge_voxels(two), spacing_mm)
        hd95_mm = edges.percentile_mm(95, should_stop=should_stop)
    else:
        nothing = not of_a and not of_b
        surface_dice, hd95_mm = (1.0, 0.0) if nothing else (0.0, float("nan"))
    return Comparison(
        dice=2 * common / (of_a + of_b) if of_a + of_b else 1.0,
        surface_dice=surface_dice,
        hd95_mm=hd95_mm,
        volume_a_ml=millilitres(of_a, spacing_mm),
        volume_b_ml=millilitres(of_b, spacing_mm),
        added_ml=millilitres(of_b - common, spacing_mm),
        removed_ml=millilitres(of_a - common, spacing_mm),
        tolerance_mm=tolerance_mm,
    )


def _surface_dice(
    a: BoolArray,
    b: BoolArray,
    spacing_mm: Spacing,
    tolerance_mm: float,
    should_stop: StopCallback | None,
) -> float:
    surfaces = [surface_elements(mask, spacing_mm) for mask in (a, b)]
    pair = SurfacePair(surfaces[0].there, surfaces[1].there, spacing_mm)
    astray = 0.0
    for surface, (places, distance) in zip(
        surfaces, pair.distances(reach_mm=tolerance_mm, should_stop=should_stop), strict=True
    ):
        astray += float(surface.areas(places[~np.isfinite(distance)]).sum())
    return 1 - astray / sum(surface.whole_mm2 for surface in surfaces)


def difference_labels(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Label each voxel `REMOVED`, `ADDED`, `BOTH`, or 0 where neither mask is.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"masks of {before.shape} and {after.shape} are not of one grid")
    old, new = as_bool(before).view(np.uint8), as_bool(after).view(np.uint8)
    labels: npt.NDArray[np.uint8] = old * np.uint8(REMOVED) + new * np.uint8(ADDED)
    return labels
