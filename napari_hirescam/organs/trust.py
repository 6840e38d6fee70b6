"""Why a search for the lungs should not be trusted.

The reference refuses its own regions when the lungs' box ends too far from the image's sides, in
voxels of one scanner's grid. Here the same is asked of the body, and more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from napari_hirescam.organs.airways import Airways
from napari_hirescam.organs.body import Body
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.organs.sides import Sides
from napari_hirescam.organs.work_grid import WorkGrid
from napari_hirescam.volume import Volume

#: A lung that holds less than this share of the other's air is as good as missing.
MISSING_SHARE = 0.12
_SMALL_SHARE = 0.35
_REACH_SHARE = 0.6
_CUT_ACROSS_CM2 = 8.0
_CUT_AT_SIDE_ML = 10.0
_LAYER_SHARE = 0.05
_OVER_SHARE = 0.25
_FEW_SLICES = 8
_THICK_MM = 8.0
_TALL_MM = 150.0
_LITTLE_AIR_ML = 1200.0
_BONE_HU = 180
_SPINE_MM = 30.0
_WINDPIPE_BELOW_MM = 20.0
_WITH_CARINA_MM = 200.0
#: A spine has twice as much bone, a breastbone less than half. Contrast medium in the heart adds
#: to the front only, so that the back alone is asked.
_SPINE_ML_PER_CM = 6.0


def doubts_about(
    grid: WorkGrid,
    body: Body,
    sides: Sides,
    airways: Airways,
    layers: Mapping[str, BoolArray],
    volume: Volume,
) -> Iterator[str]:
    """Say why the regions should not be trusted, one clause each.

    Parameters
    ----------
    layers
        "right" and "left" -> the part of that lung that was guessed from the ribs.
    volume
        The CT itself.
    """
    air = {"right": sides.right, "left": sides.left}
    both = sides.right | sides.left
    yield from _missing(grid, air)
    yield from _ends(grid, both)
    if (body.cut & both).sum() * grid.voxel_ml > _CUT_AT_SIDE_ML:
        yield "the side of the field of view cuts a lung"
    if sides.cut_by_plane:
        yield "nothing but the middle of the body tells where one lung ends and the other begins"
    for side, layer in layers.items():
        share = layer.sum() / max(layer.sum() + air[side].sum(), 1)
        if share > _LAYER_SHARE:
            yield (
                f"{share:.0%} of the {side} lung is a layer without air along the chest wall, "
                "whose border is guessed from the ribs"
            )
    yield from _over_the_middle(grid, sides, air)
    yield from _turned(grid, body, sides)
    yield from _upside_down(grid, airways, both)
    n, apart = volume.voxels.shape[0], volume.spacing_mm[0]
    if n < _FEW_SLICES:
        yield "there is one slice only" if n == 1 else f"there are {n} slices only"
    if apart > _THICK_MM:
        yield f"slices are {apart:.3g} mm apart"


def missing_side(sides: Sides) -> str | None:
    """The lung that is missing or holds hardly any air, "right" or "left"."""
    right, left = int(sides.right.sum()), int(sides.left.sum())
    if min(right, left) >= MISSING_SHARE * max(right, left):
        return None
    return "right" if right < left else "left"


def _missing(grid: WorkGrid, air: Mapping[str, BoolArray]) -> Iterator[str]:
    ml = {side: float(mask.sum()) * grid.voxel_ml for side, mask in air.items()}
    small, large = sorted(ml, key=lambda side: ml[side])
    share = ml[small] / ml[large]
    if ml[small] == 0:
        yield f"no {small} lung was found"
    elif share < MISSING_SHARE:
        yield f"the {small} lung is missing or holds hardly any air ({ml[small]:.0f} mL)"
    elif share < _SMALL_SHARE:
        yield (
            f"the {small} lung holds {share:.0%} of the {large} one's air, so disease may hide "
            "much of it"
        )
    height_mm = np.flatnonzero((air["right"] | air["left"]).any(axis=(1, 2))).size
    if height_mm * grid.spacing_mm[0] > _TALL_MM and sum(ml.values()) < _LITTLE_AIR_ML:
        yield f"both lungs together hold {sum(ml.values()):.0f} mL of air only"


def _ends(grid: WorkGrid, lungs: BoolArray) -> Iterator[str]:
    across = lungs.sum(axis=(1, 2)) * grid.spacing_mm[1] * grid.spacing_mm[2] / 100
    top, bottom = across[0] > _CUT_ACROSS_CM2, across[-1] > _CUT_ACROSS_CM2
    if top and bottom:
        yield "the scan shows part of the chest: it begins and ends within the lungs"
    elif top:
        yield "the scan shows part of the chest: it begins below the tops of the lungs"
    elif bottom:
        yield "the scan shows part of the chest: it ends above the bases of the lungs"


def _turned(grid: WorkGrid, body: Body, sides: Sides) -> Iterator[str]:
    """A patient lies as he likes, but his spine is at his back."""
    with_lung: BoolArray = np.asarray((sides.right | sides.left).any(axis=(1, 2)))
    wide = grid.voxels(_SPINE_MM, axis=2)
    near = slice(max(0, round(sides.middle) - wide), round(sides.middle) + wide + 1)
    mask = body.mask[with_lung][:, :, near]
    rows = np.flatnonzero(mask.any(axis=(0, 2)))
    if len(rows) == 0:
        return
    bone = (grid.hu[with_lung][:, :, near] > _BONE_HU) & mask
    half = (rows[0] + rows[-1] + 1) // 2
    per_cm = grid.voxel_ml / (with_lung.sum() * grid.spacing_mm[0] / 10)
    front, back = (float(part.sum()) * per_cm for part in (bone[:, :half], bone[:, half:]))
    if front > back and back < _SPINE_ML_PER_CM:
        yield (
            "the spine seems to lie in front, so the scan may be stored turned or mirrored, and "
            "right and left may be swapped"
        )


def _upside_down(grid: WorkGrid, airways: Airways, lungs: BoolArray) -> Iterator[str]:
    """A windpipe comes down from the neck, past the tops of the lungs."""
    mm = grid.spacing_mm[0]
    at = np.flatnonzero(airways.mask.any(axis=(1, 2)))
    across = lungs.sum(axis=(1, 2)) * grid.spacing_mm[1] * grid.spacing_mm[2] / 100
    whole = max(across[0], across[-1]) <= _CUT_ACROSS_CM2
    # What a scan shows of cut lungs may begin below the carina.
    least_mm = _TALL_MM if whole else _WITH_CARINA_MM
    tall = np.flatnonzero(across).size * mm > least_mm
    if at.size and (at[0] - np.flatnonzero(across)[0]) * mm > _WINDPIPE_BELOW_MM:
        seen = "the windpipe begins below the tops of the lungs"
    elif tall and not at.size:
        seen = "no windpipe is to be seen above the lungs"
    else:
        return
    yield f"{seen}, so the scan may be stored upside down, and right and left may be swapped"


def _over_the_middle(grid: WorkGrid, sides: Sides, air: Mapping[str, BoolArray]) -> Iterator[str]:
    columns = np.arange(sides.right.shape[2])
    reach = {}
    for side, outward in (("right", -1), ("left", 1)):
        per_column = air[side].sum(axis=(0, 1))
        if not per_column.any():
            return
        off = outward * (columns - sides.middle)
        reach[side] = float(off[per_column > 0].max())
        over = per_column[off * grid.spacing_mm[2] < -10].sum() / per_column.sum()
        if over > _OVER_SHARE and not sides.cut_by_plane:
            yield f"{over:.0%} of the {side} lung lies over the body's middle"
    near, far = sorted(reach, key=lambda side: reach[side])
    if reach[near] < _REACH_SHARE * reach[far]:
        yield f"the {near} lung reaches much less far to the side than the {far} one"
