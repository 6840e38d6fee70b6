"""Where the body is, and the air inside it, the scanner's air and its couch left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.work_grid import WorkGrid

#: Between lung and soft tissue.
AIR_HU = -400
#: The scanner's own air lies below this, a lung that is cut by the image's border above.
_OUTSIDE_HU = -955
_LEAST_CUT_LUNG_MM2 = 300.0
#: The shell of a couch is thinner than this.
_SHELL_MM = 6.0
#: Labels and dilates in each axial slice by itself, all slices in one call.
IN_PLANE = np.zeros((3, 3, 3), bool)
IN_PLANE[1] = True
CROSS_IN_PLANE = IN_PLANE.copy()
CROSS_IN_PLANE[1, ::2, ::2] = False


@dataclass(frozen=True, eq=False)
class Body:
    """What is body on a work grid.

    Parameters
    ----------
    mask
        Tissue, and the air that it encloses.
    air
        Air inside: lungs, airways, bowel.
    cut
        The part of it that the side of the field of view cuts.
    """

    mask: BoolArray
    air: BoolArray
    cut: BoolArray

    def cropped(self, box: tuple[slice, slice, slice]) -> Body:
        """The part of it in a box."""
        return Body(self.mask[box], self.air[box], self.cut[box])


def find_body(grid: WorkGrid, tick: Callable[[], None]) -> Body:
    """Tell body from outside air and couch; `tick` may raise to give up."""
    from scipy import ndimage

    edge = _beyond(grid)
    air = (grid.hu < AIR_HU) & ~edge
    tissue = (grid.hu >= AIR_HU) & ~edge
    # The couch is a thin shell, or touches the body in thin places only.
    reach = grid.voxels(_SHELL_MM / 2)
    tick()
    solid = _largest(ndimage.binary_opening(tissue, IN_PLANE, iterations=reach))
    tick()
    labels, n = ndimage.label(air, CROSS_IN_PLANE)
    at_edge = np.zeros(n + 1, bool)
    at_edge[labels[_touched(edge)]] = True
    tick()
    cut = at_edge & _as_dense_as_lung(grid, air, labels, n)
    area = np.bincount(labels.ravel(), minlength=n + 1)
    within = np.bincount(labels[_hull(solid, tick)], minlength=n + 1)
    # Whatever the foam of a couch looks like, it lies behind the back.
    inside = (cut | ~at_edge) & (within > 0.5 * area)
    inside[0] = False
    tick()
    mask = inside[labels] | ndimage.binary_dilation(solid, IN_PLANE, iterations=reach, mask=tissue)
    for plane in mask:
        plane[:] = ndimage.binary_fill_holes(plane)
    return Body(mask, inside[labels], (inside & cut)[labels])


def _beyond(grid: WorkGrid) -> BoolArray:
    """What was not measured and reaches the border of its axial slice."""
    from scipy import ndimage

    labels, n = ndimage.label(grid.void, IN_PLANE)
    kept = np.zeros(n + 1, bool)
    for border in (labels[:, [0, -1]], labels[:, :, [0, -1]]):
        kept[border] = True
    kept[0] = False
    found: BoolArray = kept[labels]
    return found


def _touched(edge: BoolArray) -> BoolArray:
    """Voxels at the border of the field of view of their axial slice."""
    from scipy import ndimage

    border = edge.copy()
    border[:, [0, -1]] = True
    border[:, :, [0, -1]] = True
    touched: BoolArray = border | ndimage.binary_dilation(edge, CROSS_IN_PLANE)
    return touched


def _as_dense_as_lung(
    grid: WorkGrid, air: BoolArray, labels: npt.NDArray[np.integer], n: int
) -> BoolArray:
    """Which regions of air are no mere air, and large enough to tell."""
    from scipy import ndimage

    inner = ndimage.binary_erosion(air, IN_PLANE, border_value=1)
    count = np.bincount(labels[inner], minlength=n + 1)
    dense = np.bincount(labels[inner & (grid.hu > _OUTSIDE_HU)], minlength=n + 1)
    area = count * grid.spacing_mm[1] * grid.spacing_mm[2]
    lung: BoolArray = (dense > 0.6 * count) & (area > _LEAST_CUT_LUNG_MM2)
    return lung


def _hull(solid: BoolArray, tick: Callable[[], None]) -> BoolArray:
    """Convex hull of each axial slice."""
    from skimage.morphology import convex_hull_image

    hull = np.zeros_like(solid)
    for k in np.flatnonzero(solid.sum(axis=(1, 2)) > 10):
        tick()
        hull[k] = convex_hull_image(  # type: ignore[no-untyped-call]
            solid[k], offset_coordinates=False
        )
    return hull


def _largest(mask: BoolArray) -> BoolArray:
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    sizes: npt.NDArray[np.intp] = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: BoolArray = (labels == sizes.argmax()) & mask
    return largest
