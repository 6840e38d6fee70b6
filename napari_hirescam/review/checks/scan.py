"""What the checks need to know of a CT, found once for all of its masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_hirescam.errors import Cancelled, OrganError
from napari_hirescam.organs import OrganMap, find_organs
from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.volume import Quantity, Volume

if TYPE_CHECKING:
    from napari_hirescam.organs.work_grid import WorkGrid


@dataclass(frozen=True, eq=False)
class Scan:
    """A CT and what was found in it; see :func:`survey_scan`.

    Parameters
    ----------
    ct
        The scan itself.
    grid
        The CT averaged over blocks of some 2.5 mm.
    outside
        On the grid: air that is surely outside the body, or was not measured.
    air
        On the grid: air inside the body, of lungs, airways and bowel.
    airways
        On the grid: windpipe and main bronchi.
    middle_mm
        Where the patient's middle lies along L; None if nothing tells.
    partition
        What PARTITION found; None if it was not asked or found nothing.
    notes
        What could not be found and why, one sentence each.
    """

    ct: Volume
    grid: WorkGrid | None = None
    outside: BoolArray | None = None
    air: BoolArray | None = None
    airways: BoolArray | None = None
    middle_mm: float | None = None
    partition: OrganMap | None = None
    notes: tuple[str, ...] = ()


def survey_scan(
    ct: Volume,
    *,
    partition: OrganMap | None = None,
    find: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> Scan:
    """Find body, middle and airways of a CT; seconds at 512 x 512 x 300.

    Parameters
    ----------
    partition
        What PARTITION found, if that is known already.
    find
        Let PARTITION search where `partition` is None.
    should_stop
        Asked often.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    import numpy as np
    from scipy import ndimage

    from napari_hirescam.organs.airways import find_airways
    from napari_hirescam.organs.body import AIR_HU, find_body
    from napari_hirescam.organs.sides import find_middle
    from napari_hirescam.organs.work_grid import make_work_grid

    def tick() -> None:
        if should_stop is not None and should_stop():
            raise Cancelled("the checks were cancelled")

    tick()
    if ct.quantity is not Quantity.HU:
        note = "The image is not in HU, so that density, body and sides were not judged."
        return Scan(ct, notes=(note,))
    notes: list[str] = []
    grid = make_work_grid(ct, tick)
    body = find_body(grid, tick)
    # What is dense is no outside: arms and hands lie apart from the trunk.
    beyond = ((grid.hu < AIR_HU) | grid.void) & ~body.mask
    outside = ndimage.binary_erosion(beyond, border_value=1)
    airways = find_airways(grid, body, tick)
    tick()
    # The middle is asked of all slices: an organ may lie where there is no lung.
    column = None
    if body.mask.any():
        outline = np.asarray(body.mask.any(axis=1))
        column = find_middle(grid, body, airways, body.mask, outline)
    middle_mm = None
    if column is None:
        notes.append("Nothing tells right from left in this scan: sides were not judged.")
    else:
        middle_mm = float(ct.affine[2, 3] + ((column + 0.5) * grid.step[2] - 0.5) * ct.affine[2, 2])
    scan = Scan(ct, grid, outside, body.air, airways.mask, middle_mm, partition, tuple(notes))
    return with_partition(scan, should_stop=should_stop) if find else scan


def with_partition(scan: Scan, *, should_stop: Callable[[], bool] | None = None) -> Scan:
    """Let PARTITION search in a scan where that was not done yet.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    if scan.partition is not None:
        return scan
    try:
        return replace(scan, partition=find_organs(scan.ct, should_stop=should_stop))
    except OrganError as error:
        note = f"There is no comparison with PARTITION: {error.reason}."
        return replace(scan, notes=(*scan.notes, note))
