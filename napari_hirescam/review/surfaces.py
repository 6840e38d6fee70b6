"""Surfaces of two masks of one grid, and how far they lie from each other.

The figures are those of MONAI's metrics, which tests hold to them; MONAI's own way takes a minute
and several gigabytes for two lungs of a whole chest. What is done here besides: parts of the
surfaces that are the same in both masks lie at distance 0 and need no search, searches end where
the answer no longer depends on them, and what lies far away is looked up in a distance transform,
since a search tree is slow for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.editing.change import Spacing, StopCallback, check_stop

FloatArray = npt.NDArray[np.float64]

# Up to here a search tree is quick.
_NEAR_MM = 10.0
_ROUNDING_MM = 1e-6


@dataclass(frozen=True, eq=False)
class SurfacePair:
    """Surfaces of two masks.

    Parameters
    ----------
    on_a, on_b
        Where each surface runs, bool of one shape.
    spacing_mm
        Between neighbours in them.
    """

    on_a: BoolArray
    on_b: BoolArray
    spacing_mm: Spacing

    def distances(
        self, *, reach_mm: float, should_stop: StopCallback | None = None
    ) -> Iterator[tuple[npt.NDArray[np.intp], FloatArray]]:
        """Distances from a to b, then from b to a, of what is not on both.

        Yields
        ------
        Places in the flattened array, and the distance of each from the other surface in mm;
        infinite where it is more than `reach_mm`.
        """
        for one, other in ((self.on_a, self.on_b), (self.on_b, self.on_a)):
            check_stop(should_stop)
            places = np.flatnonzero(one & ~other)
            yield places, self._to(other, places, reach_mm, should_stop)

    def _to(
        self,
        other: BoolArray,
        places: npt.NDArray[np.intp],
        reach_mm: float,
        should_stop: StopCallback | None,
    ) -> FloatArray:
        from scipy.spatial import cKDTree

        if not places.size or not other.any():
            return np.full(places.size, np.inf)
        tree = cKDTree(np.argwhere(other) * self.spacing_mm)
        points = np.stack(np.unravel_index(places, other.shape), axis=-1) * self.spacing_mm
        check_stop(should_stop)
        reach = reach_mm + _ROUNDING_MM
        return np.asarray(tree.query(points, distance_upper_bound=reach)[0], dtype=np.float64)

    def percentile_mm(self, percent: float, *, should_stop: StopCallback | None = None) -> float:
        """The larger of the two directed percentiles of the distances.

        Infinite if one of the surfaces is nowhere, NaN if both are.
        """
        directed = []
        counts = (np.count_nonzero(self.on_a), np.count_nonzero(self.on_b))
        near = self.distances(reach_mm=_NEAR_MM, should_stop=should_stop)
        for (places, found), count, other in zip(near, counts, (self.on_b, self.on_a), strict=True):
            everywhere = np.zeros(count)
            everywhere[: found.size] = found
            # Infinite ones are the largest: which they are matters only if one is asked for.
            if not np.isfinite(_percentile(everywhere, percent)) and other.any():
                check_stop(should_stop)
                far = ~np.isfinite(found)
                found[far] = self._looked_up(other, places[far])
                everywhere[: found.size] = found
            directed.append(_percentile(everywhere, percent))
        return max(directed)

    def _looked_up(self, other: BoolArray, places: npt.NDArray[np.intp]) -> FloatArray:
        from scipy import ndimage

        distance = ndimage.distance_transform_edt(~other, sampling=self.spacing_mm)
        found: FloatArray = distance.ravel()[places]
        return found


def _percentile(values: FloatArray, percent: float) -> float:
    """The percentile, linear between the two values next to it; NaN of none."""
    if not values.size:
        return float("nan")
    with np.errstate(invalid="ignore"):  # from infinity to infinity there is no way
        found = float(np.percentile(values, percent))
    return float("inf") if np.isnan(found) else found


def edge_voxels(mask: BoolArray) -> BoolArray:
    """Voxels of a mask with a face outside; what lies beyond the array is outside."""
    inner = np.pad(mask, 1)
    core = mask.copy()
    for axis in range(3):
        for shift in (0, 2):
            part = [slice(1, -1)] * 3
            part[axis] = slice(shift, shift + mask.shape[axis])
            core &= inner[tuple(part)]
    return mask & ~core


@dataclass(frozen=True, eq=False)
class SurfaceElements:
    """Pieces of the surface between each eight voxels that touch at a corner.

    Parameters
    ----------
    there
        At which corners the surface runs, bool, one longer than the mask along each axis.
    codes
        Which of the eight voxels are inside.
    area_mm2
        Code -> area.
    """

    there: BoolArray
    codes: npt.NDArray[np.uint8]
    area_mm2: FloatArray

    def areas(self, places: npt.NDArray[np.intp]) -> FloatArray:
        """Area at each of some places in the flattened array, in mm2."""
        found: FloatArray = self.area_mm2[self.codes.ravel()[places]]
        return found

    @property
    def whole_mm2(self) -> float:
        """Area of the whole surface."""
        return float(np.bincount(self.codes[self.there], minlength=256) @ self.area_mm2)


def surface_elements(mask: BoolArray, spacing_mm: Spacing) -> SurfaceElements:
    """Cut a surface into pieces whose areas are known (Nikolov et al., JMIR 2021; 23:e26151).

    What lies beyond the array is outside.
    """
    from monai.metrics import utils

    tables: Any = utils.get_code_to_measure_table
    table, kernel = tables(spacing_mm)
    padded = np.pad(mask, 1).view(np.uint8)
    codes = np.zeros([n - 1 for n in padded.shape], np.uint8)
    for corner in product((0, 1), repeat=3):
        part = tuple(slice(at, at + n) for at, n in zip(corner, codes.shape, strict=True))
        codes += padded[part] * np.uint8(kernel[0][0][corner])
    area: npt.NDArray[Any] = table.numpy().astype(np.float64)
    return SurfaceElements((codes > 0) & (codes < 255), codes, area)
