"""Rough regions for a CT in which the lungs cannot be found.

The paper (2011.08891) falls back on columns of the image when its search fails: the middle four
of six for the heart, halves for the lungs. Here they are columns of the body's box.
"""

from __future__ import annotations

import numpy as np

from napari_hirescam.organs.organ_map import BoolArray, OrganMap
from napari_hirescam.volume import Volume

ORIGIN = "rough regions"


def rough_regions(volume: Volume, body: tuple[slice, slice, slice], reason: str) -> OrganMap:
    """Divide the body's box, [slice, row, column] of the volume, into lungs and heart.

    Lungs and heart overlap: no one knows where in the box they meet.

    Parameters
    ----------
    reason
        Why the lungs could not be found, a clause.
    """
    slices, rows, columns = body
    # On a coarse grid a sixth is no whole number of columns.
    edges = np.rint(np.linspace(columns.start, columns.stop, 7)).astype(int)

    def region(first: int, last: int) -> BoolArray:
        mask = np.zeros(volume.voxels.shape, bool)
        mask[slices, rows, edges[first] : edges[last]] = True
        return mask

    right, left, heart = region(0, 3), region(3, 6), region(1, 5)
    masks = {
        "right_lung": right,
        "left_lung": left,
        "lungs": right | left,
        "heart": heart,
        "mediastinum": heart,
        "great_vessel": heart,
    }
    doubt = f"these are rough regions, columns of the body's box, because {reason}"
    return OrganMap.from_masks(masks, volume.affine, ORIGIN, (doubt,))
