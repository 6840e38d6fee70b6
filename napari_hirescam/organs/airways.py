"""The windpipe and the main bronchi, followed slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.body import CROSS_IN_PLANE, IN_PLANE, Body
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.work_grid import WorkGrid

#: Mere air, as in windpipe and bowel; a lung that is not all emphysema is denser.
GAS_HU = -930
_LUMEN_MM2 = (25.0, 700.0)
_WIDEST_MM = 38.0
#: A windpipe is followed through at least so much of the patient.
_LEAST_LENGTH_MM = 18.0
#: Or, in a scan of a few slices, through this share of it.
_LEAST_SHARE = 0.7
#: Main bronchi run free in the mediastinum for less than this below the carina.
_BRONCHI_MM = 45.0

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Airways:
    """What was found of the windpipe.

    Parameters
    ----------
    mask
        Windpipe and main bronchi.
    column
        Of the windpipe, on the work grid; None if there is none to be seen.
    """

    mask: BoolArray
    column: float | None

    def cropped(self, box: tuple[slice, slice, slice]) -> Airways:
        """The part of it in a box."""
        column = None if self.column is None else self.column - box[2].start
        return Airways(self.mask[box], column)


def find_airways(grid: WorkGrid, body: Body, tick: Callable[[], None]) -> Airways:
    """Follow round gas near the middle of the body; `tick` may raise to give up."""
    from scipy import ndimage

    nothing = Airways(np.zeros_like(body.air), None)
    gas = body.air & (grid.hu < GAS_HU)
    labels, n = ndimage.label(gas, CROSS_IN_PLANE)
    if n == 0:
        return nothing
    tick()
    pixel = grid.spacing_mm[1] * grid.spacing_mm[2]
    area = np.bincount(labels.ravel(), minlength=n + 1) * pixel
    low, high = _LUMEN_MM2
    is_round = (area >= low) & (area <= high)
    is_round[0] = False
    boxes = ndimage.find_objects(labels)
    for k in np.flatnonzero(is_round):
        _, rows, columns = boxes[k - 1]
        tall = (rows.stop - rows.start) * grid.spacing_mm[1]
        wide = (columns.stop - columns.start) * grid.spacing_mm[2]
        is_round[k] = max(tall, wide) < _WIDEST_MM and area[k] > 0.45 * tall * wide
    tick()
    windpipe = _windpipe(grid, body, is_round[labels])
    if windpipe is None:
        return nothing
    mask = _with_bronchi(grid, labels, area, windpipe, tick)
    # The lumen's rim is blurred with its wall.
    lumen = ndimage.binary_dilation(mask, IN_PLANE) & body.air
    return Airways(lumen, float(np.median(np.nonzero(windpipe)[2])))


def _windpipe(grid: WorkGrid, body: Body, round_gas: BoolArray) -> BoolArray | None:
    """Which tube is the longest of those high up near the middle of the body."""
    from scipy import ndimage

    tubes, _ = ndimage.label(round_gas)
    rows, columns = np.nonzero(body.mask.any(axis=0))
    middle, width = (columns.min() + columns.max()) / 2, np.ptp(columns) + 1
    lung = (body.air & (grid.hu > GAS_HU) & (grid.hu < -600)).sum(axis=(1, 2)).cumsum()
    if lung[-1] == 0:
        return None
    half_down = int(np.searchsorted(lung, lung[-1] / 2))
    height = len(lung) * grid.spacing_mm[0]
    best, best_length = None, min(_LEAST_LENGTH_MM, _LEAST_SHARE * height)
    for k, box in enumerate(ndimage.find_objects(tubes), start=1):
        length = (box[0].stop - box[0].start) * grid.spacing_mm[0]
        across = (box[2].start + box[2].stop - 1) / 2
        deep = ((box[1].start + box[1].stop - 1) / 2 - rows.min()) / (np.ptp(rows) + 1)
        central = abs(across - middle) < 0.2 * width and 0.2 < deep < 0.75
        if central and length >= best_length and box[0].start < half_down:
            best, best_length = k, length
    return None if best is None else np.asarray(tubes == best)


def _with_bronchi(
    grid: WorkGrid,
    labels: Labels,
    area: npt.NDArray[np.floating],
    windpipe: BoolArray,
    tick: Callable[[], None],
) -> BoolArray:
    """Add the gas in each slice that continues the airways of the next one."""
    found = windpipe.copy()
    reach = np.flatnonzero(windpipe.any(axis=(1, 2)))
    last = min(int(reach[-1]) + round(_BRONCHI_MM / grid.spacing_mm[0]), len(labels) - 1)
    down = [(k, k - 1) for k in range(reach[0] + 1, last + 1)]
    up = [(k, k + 1) for k in range(reach[0] - 1, -1, -1)]
    for here, before in down + up:
        tick()
        met = np.unique(labels[here][found[before]])
        small = [k for k in met if k and area[k] <= _LUMEN_MM2[1]]
        found[here] |= np.isin(labels[here], small)
    return found
