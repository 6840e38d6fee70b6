"""From the work grid back to the CT's own voxels, with the border where the CT shows it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_hirescam.axis_sampling import sample_by_axis
from napari_hirescam.organs.body import AIR_HU
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.work_grid import WorkGrid
from napari_hirescam.volume import Volume

_SLAB = 8
#: Sure of the lung and sure of its surroundings, as shares of eroded, plain and dilated mask.
_CORE, _RIM = 5 / 6, 1 / 6

Labels = npt.NDArray[np.uint8]


def refine(volume: Volume, grid: WorkGrid, lungs: Labels, tick: Callable[[], None]) -> Labels:
    """Draw the lungs on the CT's own grid, [slice, row, column].

    Within about one block of their border a voxel is lung if it holds air. Where the lung itself
    holds none the border stays where the search put it.

    Parameters
    ----------
    lungs
        Value of each voxel of the work grid; 0 is no lung. Air with 0 is airway, bowel or lies
        outside the body.
    tick
        Called every few slices; may raise to give up.
    """
    from scipy import ndimage

    mask = lungs > 0
    inner = ndimage.binary_erosion(mask, border_value=1)
    outer = mask | (ndimage.binary_dilation(mask) & (grid.hu >= AIR_HU))
    tick()
    level = (inner.astype(np.float32) + mask + outer) / 3
    soft = (mask & (grid.hu >= AIR_HU)).astype(np.float32)
    value = np.where(mask, lungs, ndimage.grey_dilation(lungs, size=(3, 3, 3)))
    tick()
    step = np.array(grid.step)
    steps = 1.0 / step
    start = -(step - 1) / 2 / step - np.array(grid.first)
    shape = volume.voxels.shape
    whole = tuple(slice(0, n) for n in lungs.shape)
    slices, rows, columns = grid.in_ct((whole[0], whole[1], whole[2]), shape)
    result = np.zeros(shape, np.uint8)
    for begin in range(slices.start, slices.stop, _SLAB):
        tick()
        box = (slice(begin, min(begin + _SLAB, slices.stop)), rows, columns)
        at = start + steps * [span.start for span in box]
        size = tuple(span.stop - span.start for span in box)
        near = sample_by_axis(level, steps, at, size, 1)
        filled = sample_by_axis(soft, steps, at, size, 1) >= 0.5
        which = sample_by_axis(value, steps, at, size, 0)
        holds_air = _holds_air(volume, box)
        lung = (near > _CORE) | ((near > _RIM) & holds_air) | ((near > 0.5) & filled)
        result[box] = np.where(lung, which, 0)
    return result


def _holds_air(volume: Volume, box: tuple[slice, slice, slice]) -> BoolArray:
    part = volume.voxels[box]
    # A comparison with NaN is False: what was not measured holds nothing that is known.
    with np.errstate(invalid="ignore"):
        holds: BoolArray = part < AIR_HU
    return holds
