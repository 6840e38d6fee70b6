"""Which lung is the right one, and where one ends and the other begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_hirescam.organs.airways import Airways
from napari_hirescam.organs.body import Body
from napari_hirescam.organs.lungs import Pieces
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.work_grid import WorkGrid

_BONE_HU = 180
_SPINE_MM = 30.0
#: Bone in so wide a strip of the back. Spines have 6 or more, ribs beside one another up to 4.
_SPINE_ML_PER_CM = 5.0
_BESIDE_MM = 40.0
#: Less of the slices are cut at a side where the skin is to be seen.
_CUT_SHARE = 0.2
#: A lung may reach so far over the middle, in mm, and this share of it further.
_OVER_MM = 10.0
_OVER_SHARE = 0.12
#: More than this share beyond the middle is another lung that nothing parts from the first.
_JOINED_SHARE = 0.25
#: Lungs that lie against each other are parted by eroding them by up to so much.
_ERODE_MM = np.arange(2.0, 22.0, 2.0)
_LEAST_ML = 2.0


@dataclass(frozen=True, eq=False)
class Sides:
    """Both lungs' air.

    Parameters
    ----------
    right, left
        Masks on the work grid.
    middle
        Column of the body's middle.
    cut_by_plane
        True if nothing but the middle of the body tells where one lung ends.
    """

    right: BoolArray
    left: BoolArray
    middle: float
    cut_by_plane: bool


def find_middle(
    grid: WorkGrid, body: Body, airways: Airways, lungs: BoolArray, outline: BoolArray
) -> float | None:
    """Column that parts left from right, from spine and windpipe, or else the body's outline.

    The image's own middle says nothing: a patient may lie beside it, or the image may show one
    half of the chest only.

    Parameters
    ----------
    outline
        [slice of the grid, column of the whole scan]: whether there is any body.

    Returns
    -------
    None where nothing tells. It may lie beyond the grid, if one lung alone is to be seen.
    """
    with_lung: BoolArray = np.asarray(lungs.any(axis=(1, 2)))
    spine = _spine(grid, body, with_lung)
    if spine is not None:
        return spine if airways.column is None else (spine + airways.column) / 2
    middle = _middle_of(outline[with_lung])
    if middle is None:
        return None
    middle -= grid.first[2]
    # Without a spine beside it, it may be a large bronchus of a lung that is seen alone.
    beside = airways.column is not None and abs(airways.column - middle) < grid.voxels(
        _BESIDE_MM, axis=2
    )
    return airways.column if beside else middle


def _middle_of(outline: BoolArray) -> float | None:
    """Middle of the body's outline, or the border beyond which it lies; None if that is unknown."""
    cut_right, cut_left = outline[:, 0], outline[:, -1]
    whole = ~(cut_right | cut_left)
    centres = [np.flatnonzero(line)[[0, -1]].mean() for line in outline[whole] if line.any()]
    if centres:
        return float(np.median(centres))
    # Where the skin is seen at one side only, the middle lies towards the other.
    right, left = float(cut_right.mean()), float(cut_left.mean())
    if left == 1 and right < _CUT_SHARE:
        return float(outline.shape[1])
    if right == 1 and left < _CUT_SHARE:
        return -1.0
    return None


def _spine(grid: WorkGrid, body: Body, slices: BoolArray) -> float | None:
    """Column of the spine: most of the bone in the back half of the body; None if it is little."""
    from scipy import ndimage

    rows = np.flatnonzero(body.mask[slices].any(axis=(0, 2)))
    if len(rows) == 0:
        return None
    back = slice((rows[0] + rows[-1]) // 2, None)
    bone = (grid.hu[slices, back] > _BONE_HU) & body.mask[slices, back]
    per_column = bone.sum(axis=(0, 1)).astype(np.float64)
    if not per_column.any():
        return None
    wide = grid.voxels(_SPINE_MM, axis=2)
    smooth = ndimage.uniform_filter1d(per_column, wide, mode="constant")
    peak = int(smooth.argmax())
    ml = float(smooth[peak]) * wide * grid.voxel_ml
    if ml < _SPINE_ML_PER_CM * slices.sum() * grid.spacing_mm[0] / 10:
        return None
    near = np.arange(max(0, peak - wide), min(len(smooth), peak + wide + 1))
    return float((near * per_column[near]).sum() / per_column[near].sum())


def part_sides(
    grid: WorkGrid, air: BoolArray, pieces: Pieces, middle: float, tick: Callable[[], None]
) -> Sides:
    """Give each voxel of the lungs' air to one lung; `tick` may raise to give up.

    Parameters
    ----------
    air
        Air inside the body without the airways.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    right, left, other = 1, 3, 2
    markers = np.zeros(air.shape, np.int32)
    markers[np.isin(pieces.labels, pieces.other)] = other
    cut = False
    for k in pieces.lung:
        piece = pieces.labels == k
        tick()
        parts, joined = _parted(grid, piece, middle, tick)
        cut |= joined
        for part in parts:
            column = float(np.nonzero(part)[2].mean())
            markers[part] = right if column < middle else left
        if joined:
            columns = np.arange(air.shape[2])
            markers[piece] = np.where(columns < middle, right, left)[np.nonzero(piece)[2]]
    depth = ndimage.distance_transform_edt(air, sampling=grid.spacing_mm)
    tick()
    parted = watershed(-depth, markers, mask=air)  # type: ignore[no-untyped-call]
    tick()
    return Sides(parted == right, parted == left, middle, cut)


def _parted(
    grid: WorkGrid, piece: BoolArray, middle: float, tick: Callable[[], None]
) -> tuple[list[BoolArray], bool]:
    """Cores of a piece that each lie on one side; True if it is two lungs that do not part."""
    from scipy import ndimage

    share = _share_beyond(grid, piece, middle)
    if share <= _OVER_SHARE:
        return [piece], False
    depth = ndimage.distance_transform_edt(piece, sampling=grid.spacing_mm)
    for mm in _ERODE_MM:
        tick()
        labels, n = ndimage.label(depth > mm)
        ml = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_ml
        cores = [labels == k for k in range(1, n + 1) if ml[k] >= _LEAST_ML]
        if not cores:
            break
        if all(_share_beyond(grid, core, middle) <= _OVER_SHARE for core in cores):
            return cores, False
    # A single lung may have spread over the middle; two of like size are both lungs.
    return [piece], share > _JOINED_SHARE


def _share_beyond(grid: WorkGrid, mask: BoolArray, middle: float) -> float:
    """Share of a mask on its smaller side of the middle, leaving out what lies close to it."""
    per_column = mask.sum(axis=(0, 1))
    off = (np.arange(mask.shape[2]) - middle) * grid.spacing_mm[2]
    a, b = per_column[off < -_OVER_MM].sum(), per_column[off > _OVER_MM].sum()
    return float(min(a, b) / max(a + b, 1))
