"""Correcting a mask without a window: pure functions that say what they changed.

Masks are bool or 0/1 [slice, row, column]; distances are in mm and volumes in mL, so that each
function takes the spacing of the voxels. All return an :class:`Edited`: a new mask, and the
:class:`Change` that leads to it and back.
"""

from napari_hirescam.review.editing.change import Change, Edited, change_between
from napari_hirescam.review.editing.combining import add, keep_common, subtract, within_hu
from napari_hirescam.review.editing.islands import fill_holes, keep_largest, remove_small
from napari_hirescam.review.editing.outlines import grow, shrink, smooth
from napari_hirescam.review.editing.slices import empty_gaps, interpolate

__all__ = [
    "Change",
    "Edited",
    "add",
    "change_between",
    "empty_gaps",
    "fill_holes",
    "grow",
    "interpolate",
    "keep_common",
    "keep_largest",
    "remove_small",
    "shrink",
    "smooth",
    "subtract",
    "within_hu",
]
