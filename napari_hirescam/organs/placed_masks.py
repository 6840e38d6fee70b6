"""A label map as organ regions of a CT: its values as organs, its voxels on the CT's grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import OrganError
from napari_hirescam.organs.organ_map import OrganMap, voxels_of
from napari_hirescam.organs.organ_tables import BUILT_IN, OrganTable, table_from_names
from napari_hirescam.volume import FloatArray, Grid, Quantity, Volume, resample

# Grids this close to each other are one: NIfTI files round what they say of their place.
_SAME_PLACE_VOXELS = 0.05
_REACH_VOXELS = 0.5
_SPARSE_FORMAT = "DICOM SEG"
_AXES = (("superior", "inferior"), ("anterior", "posterior"), ("right", "left"))
_AIR_IN_LUNGS_HU = -300
# Both lungs are hardly ever filled by disease to such an extent.
_LEAST_AIR_IN_LUNGS = 0.25
_LUNGS = ("lungs", "right_lung", "left_lung")
_MOST_VALUES_NAMED = 12
_EXCHANGED = "its right lung lies to the left of its left lung"


def organs_from_labels(
    mask: Volume,
    table: OrganTable | None = None,
    ct: Volume | None = None,
    *,
    origin: str,
    wanted: Iterable[str] | None = None,
    lenient: bool = False,
) -> OrganMap:
    """Take a label map as organ regions.

    Parameters
    ----------
    mask
        Whole numbers; 0 is no organ.
    table
        Organ -> values. None takes the names the mask itself has for its values.
    ct
        The CT it was drawn on; None leaves it on its own grid.
    origin
        Where it came from, for messages and reports.
    wanted
        Organs there must be. None asks for none in particular.
    lenient
        Whether masks without a voxel and exchanged sides are let through, with a doubt, for
        somebody to look at.

    Raises
    ------
    OrganError
        It holds no labels or none of the table's, nothing says which value is which organ, an
        organ that is wanted is missing, or it does not lie where the CT lies.
    """
    if ct is not None:
        mask = as_drawn_on(ct, mask, origin)
    labels = unsigned_labels(mask, origin)
    if table is None:
        table = table_from_names((one.value, one.name) for one in mask.segments)
    values = _values_in(labels)
    if not table:
        raise OrganError(
            origin,
            f"it does not say which of its values ({_listed(values)}) is which organ",
            f"Give a table of organs and values: {', '.join(BUILT_IN)}, or a file",
        )
    doubts: tuple[str, ...] = ()
    if not values & {value for group in table.values() for value in group}:
        what = f"has the values {_listed(values)}" if values else "is empty"
        reason = f"it {what}, and none of those that the table of organs lists"
        # Values that no table lists are another table's; only what is empty may be looked at.
        if values or not lenient:
            raise OrganError(origin, reason, "Give the table that belongs to it")
        doubts = (reason,)
    known = {organ: tuple(group) for organ, group in table.items()}
    found = OrganMap(
        labels, mask.affine, known, origin, doubts, mask.source.notes if mask.source else ()
    )
    return on_ct(found, ct, wanted, lenient=lenient)


def on_ct(
    organs: OrganMap,
    ct: Volume | None,
    wanted: Iterable[str] | None = None,
    *,
    lenient: bool = False,
) -> OrganMap:
    """Bring organ regions onto the grid of their CT, and check that they can be of it.

    `lenient` lets exchanged sides through, with a doubt.

    Raises
    ------
    OrganError
        An organ that is wanted is missing, the regions do not reach over the CT, or left and
        right are exchanged in them.
    """
    missing = sorted(set(wanted or ()) - set(organs.values))
    if missing:
        known = ", ".join(sorted(organs.values)) or "no organ"
        raise OrganError(
            organs.origin,
            f"it has no {', '.join(missing)}; it tells of: {known}",
            "Give masks that have it, or say in the table of organs what it is called there",
        )
    if _sides_are_exchanged(organs):
        if not lenient:
            raise OrganError(
                organs.origin,
                _EXCHANGED,
                "Exchange the two in the table of organs, or write the masks anew with the CT's "
                "axes",
            )
        organs = replace(organs, doubts=(*organs.doubts, _EXCHANGED))
    if ct is None:
        return organs
    labels, notes = onto_grid(organs.labels, organs.affine, ct.grid, organs.origin)
    placed = replace(organs, labels=labels, affine=ct.affine, notes=(*organs.notes, *notes))
    doubt = _doubt_of_lungs(placed, ct)
    return replace(placed, doubts=(*organs.doubts, doubt)) if doubt else placed


def onto_grid(
    labels: npt.NDArray[Any], affine: FloatArray, target: Grid, origin: str
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Bring labels onto another grid, nearest, and say so; unchanged where the grids are one.

    Raises
    ------
    OrganError
        They do not reach over all of the other grid.
    """
    own = Grid(labels.shape, affine)
    if own.same_place_as(target, _SAME_PLACE_VOXELS * min(target.spacing_mm)):
        return labels, ()
    check_reach(own, target, origin)
    sizes = [" x ".join(map(str, grid.shape)) for grid in (own, target)]
    note = f"The masks ({sizes[0]}) were resampled onto the grid of the CT ({sizes[1]}), nearest."
    return resample(labels, affine, target, order=0), (note,)


def unsigned_labels(mask: Volume, origin: str) -> npt.NDArray[np.unsignedinteger]:
    """Take a mask's voxels as labels, in the smallest type that holds them.

    Raises
    ------
    OrganError
        They are no labels.
    """
    voxels = mask.voxels
    whole = voxels.dtype.kind in "iub"
    if mask.quantity is not Quantity.LABELS or not whole or (voxels.size and voxels.min() < 0):
        raise OrganError(
            origin,
            "it holds no labels: a mask has whole numbers from 0 on, one for each organ",
            "Choose a label map",
        )
    labels: npt.NDArray[np.unsignedinteger] = voxels.astype(
        np.min_scalar_type(int(voxels.max(initial=0))), copy=False
    )
    return labels


def as_drawn_on(ct: Volume, mask: Volume, origin: str) -> Volume:
    """Take a mask as one of this CT: see that it names no other, and add what it leaves out.

    Raises
    ------
    OrganError
        The two name different frames of reference; few files name any.
    """
    sources = [one.source for one in (mask, ct) if one.source is not None]
    frames = {source.details.get("frame_of_reference_uid") for source in sources} - {None}
    if len(frames) > 1:
        raise OrganError(
            origin,
            "it was drawn on another scan: its frame of reference is not the CT's",
            "Give the masks of this CT",
        )
    return _with_left_out_slices(mask, ct.grid)


def _with_left_out_slices(mask: Volume, target: Grid) -> Volume:
    """Add the empty slices that a DICOM segmentation leaves out, where it lies within its CT.

    In DICOM what no frame shows is not in the segment; in other files what lies beyond the mask
    was not looked at.
    """
    if mask.source is None or mask.source.format != _SPARSE_FORMAT:
        return mask
    widths = []
    for axis in range(3):
        step = mask.spacing_mm[axis]
        (low, high), (first, last) = (_extent(grid, axis) for grid in (mask.grid, target))
        gaps = np.array((low - first, last - high)) / step
        if (gaps < -_REACH_VOXELS).any():
            return mask
        widths.append(tuple(int(n) for n in np.ceil(np.maximum(gaps, 0.0) - _REACH_VOXELS)))
    affine = mask.affine.copy()
    affine[:3, 3] -= [n * step for (n, _), step in zip(widths, mask.spacing_mm, strict=True)]
    voxels = np.pad(mask.voxels, widths)
    return replace(mask, voxels=voxels, affine=affine, invalid=None)


def check_reach(own: Grid, target: Grid, origin: str) -> None:
    """See that masks reach over all of a CT.

    Parameters
    ----------
    own, target
        Grids of the masks and of the CT, both along (I, P, L).
    origin
        The masks, for the message.

    Raises
    ------
    OrganError
        They end more than half a voxel short of it.
    """
    short: list[str] = []
    share = 1.0
    for axis, ends in enumerate(_AXES):
        steps = own.spacing_mm[axis], target.spacing_mm[axis]
        (low, high), (first, last) = (_extent(grid, axis) for grid in (own, target))
        # Scans are cut to whole voxels when they are resampled.
        slack = max(steps) * _REACH_VOXELS + 1e-3
        beyond = (low - first, last - high)
        short += [
            f"{gap:.0f} mm short of its {end} end"
            for gap, end in zip(beyond, ends, strict=True)
            if gap > slack
        ]
        share *= max(0.0, min(high, last) - max(low, first)) / (last - first)
    if not short:
        return
    if share == 0:
        reason = "it lies wholly outside the CT"
    else:
        reason = f"it covers {share:.0%} of the CT, ending {' and '.join(short)}"
    raise OrganError(
        origin, reason, "Give masks that were drawn on this very CT and on the whole of it"
    )


def _extent(grid: Grid, axis: int) -> tuple[float, float]:
    """Where a grid's outermost voxels end along an axis, in mm."""
    step, first = grid.spacing_mm[axis], float(grid.affine[axis, 3])
    return first - step / 2, first + step * (grid.shape[axis] - 0.5)


def _sides_are_exchanged(organs: OrganMap) -> bool:
    if not {"right_lung", "left_lung"} <= set(organs.values):
        return False
    right, left = (_middle_column(organs, side) for side in ("right_lung", "left_lung"))
    return right is not None and left is not None and right > left


def _middle_column(organs: OrganMap, organ: str) -> float | None:
    per_column = organs.mask([organ]).sum(axis=(0, 1))
    total = per_column.sum()
    return float(per_column @ np.arange(len(per_column)) / total) if total else None


def _doubt_of_lungs(organs: OrganMap, ct: Volume) -> str:
    """Say if what is called lung is not of air in this CT, as with another patient's masks."""
    values = {value for name in _LUNGS for value in organs.values.get(name, ())}
    if ct.quantity is not Quantity.HU or not values:
        return ""
    n_lung = n_air = 0
    # Plane by plane, as they lie in memory: volumes of whole scans would take longer to be
    # given room than to be looked at.
    axis = int(np.argmax(np.abs(organs.labels.strides)))
    for k in range(organs.labels.shape[axis]):
        here = (slice(None),) * axis + (k,)
        lungs = voxels_of(organs.labels[here], values)
        if ct.invalid is not None:
            lungs &= ~ct.invalid[here]
        n_lung += int(np.count_nonzero(lungs))
        n_air += int(np.count_nonzero((ct.voxels[here] < _AIR_IN_LUNGS_HU) & lungs))
    if not n_lung:
        return ""
    air = n_air / n_lung
    if air >= _LEAST_AIR_IN_LUNGS:
        return ""
    return (
        f"only {air:.0%} of what it calls lung holds air in this CT: the masks may be of another "
        "scan or patient"
    )


def _values_in(labels: npt.NDArray[np.unsignedinteger]) -> set[int]:
    found: set[int] = set()
    # Plane by plane as they lie in memory; along any other axis each would be copied together.
    for plane in np.moveaxis(labels, int(np.argmax(np.abs(labels.strides))), 0):
        # Sorting out the background first leaves little to sort.
        found.update(np.unique(plane[plane != 0]).tolist())
    return found


def _listed(values: set[int]) -> str:
    shown = ", ".join(map(str, sorted(values)[:_MOST_VALUES_NAMED]))
    return f"{shown} ..." if len(values) > _MOST_VALUES_NAMED else shown or "none"
