"""Which of the air inside a body is lung, and not bowel gas, gullet or windpipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.body import Body
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.work_grid import WorkGrid

Labels = npt.NDArray[np.integer]

#: Mere gas lies below in more than half of a region, lung does not, emphysema included.
_GAS_HU = -955
#: Half of a lung that still holds air, less its rim, lies below.
_TISSUE_HU = -500
#: So much darker than most of the lung is gas, on a scanner whose air is not -1000.
_DARKER_THAN_LUNG = 60
_LEAST_PIECE_ML = 2.0
#: A lung that is whole in the scan, or cut across its middle.
_LUNG_ML = 100.0
_LUNG_ACROSS_CM2 = 40.0
_LUNG_END_ML = 5.0
#: Gas as much as this is no bowel's; such a lung has an emphysema.
_MORE_THAN_BOWEL_ML = 1200.0


@dataclass(frozen=True, eq=False)
class Pieces:
    """Air in the body, less its rim, in connected pieces.

    Parameters
    ----------
    labels
        Piece of each voxel; 0 is none.
    lung
        Labels of those that are lung.
    other
        Labels of those that are bowel or gullet.
    """

    labels: Labels
    lung: tuple[int, ...]
    other: tuple[int, ...]


def find_pieces(grid: WorkGrid, body: Body, airway: BoolArray, tick: Callable[[], None]) -> Pieces:
    """Tell lung from bowel by density, size and place; `tick` may raise to give up."""
    from scipy import ndimage

    air = body.air & ~airway
    # The rim is blurred with the wall, and thin bridges of blur join what lies apart.
    inner = ndimage.binary_erosion(air, border_value=1)
    tick()
    labels, n = ndimage.label(inner)
    ml = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_ml
    boxes = ndimage.find_objects(labels)
    medians = {
        k: float(np.median(grid.hu[boxes[k - 1]][labels[boxes[k - 1]] == k]))
        for k in range(1, n + 1)
        if ml[k] >= _LEAST_PIECE_ML
    }
    tick()
    lungs = [
        k
        for k, median in medians.items()
        if _GAS_HU < median < _TISSUE_HU or ml[k] > _MORE_THAN_BOWEL_ML
    ]
    sure = [k for k in lungs if _is_lung_by_itself(grid, body, labels, k, ml[k], boxes[k - 1])]
    if not sure:
        return Pieces(labels, (), tuple(medians))
    usual = medians[max(sure, key=lambda k: ml[k])]
    # A small piece beside a sure lung is its part; one on its own may be bowel with stool.
    near = _reach_of(labels, sure, air)
    lung = tuple(
        k
        for k in lungs
        if (medians[k] > usual - _DARKER_THAN_LUNG or ml[k] > _MORE_THAN_BOWEL_ML)
        and (k in sure or bool((near[boxes[k - 1]] & (labels[boxes[k - 1]] == k)).any()))
    )
    return Pieces(labels, lung, tuple(k for k in medians if k not in lung))


def _reach_of(labels: Labels, pieces: list[int], air: BoolArray) -> BoolArray:
    """All air that is connected with some pieces."""
    from scipy import ndimage

    connected, n = ndimage.label(air)
    met = np.zeros(n + 1, bool)
    met[connected[np.isin(labels, pieces)]] = True
    met[0] = False
    reach: BoolArray = met[connected]
    return reach


def _is_lung_by_itself(
    grid: WorkGrid, body: Body, labels: Labels, k: int, ml: float, box: tuple[slice, ...]
) -> bool:
    height_mm = (box[0].stop - box[0].start) * grid.spacing_mm[0]
    if ml >= _LUNG_ML or 10 * ml / height_mm >= _LUNG_ACROSS_CM2:
        return True
    if ml < _LUNG_END_ML:
        return False
    # The end of a lung that the scan has cut: the lower end lies at the back, the upper one is
    # cut by the last slice.
    if box[0].stop == len(labels):
        return True
    rows = np.flatnonzero(body.mask[box[0]].any(axis=(0, 2)))
    row = float(np.nonzero(labels[box] == k)[1].mean()) + box[1].start
    return bool(box[0].start == 0 and row > (rows[0] + rows[-1]) / 2)
