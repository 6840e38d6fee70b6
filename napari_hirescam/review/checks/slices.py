"""Steadiness of a mask from slice to slice: none missing, none that jumps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.checks.subject import Subject, finding, spot
from napari_hirescam.review.item import CheckFinding

Floats = npt.NDArray[np.float64]

#: From one slice to the next an organ moves sideways by at most so many times the way along.
_SLANT = 3.0
_SLANT_MM = 4.0
#: Smaller cross-sections change their outline from slice to slice by themselves.
_LEAST_PIXELS = 20
#: Share of all that changes from slice to slice which the next slice takes back: sound masks
#: have up to 0.07, jagged ones 0.2 and more.
_TAKEN_BACK = 0.13
_TAKEN_BACK_OF_AREA = 0.04
#: Of fewer slices nothing can be said but that one of them is odd.
_MANY_SLICES = 5
#: The same in a single slice, as a share of its area.
_ODD_SLICE = 0.3
#: From slices thicker than this, vertebrae and flat organs turn back by themselves: limits grow.
_THICK_MM = 4.5
_LARGE = 0.25


def check_gap(subject: Subject) -> Iterator[CheckFinding]:
    """Find slices without the organ between slices that show it at one place."""
    filled = subject.inner.any(axis=(1, 2))
    if filled.all():
        return
    at = np.flatnonzero(filled)
    missing, place = 0, None
    for before, after in pairwise(at):
        if after - before == 1:
            continue
        upper, lower = subject.inner[before], subject.inner[after]
        reach = _SLANT_MM + _SLANT * float(after - before) * subject.spacing_mm[0]
        if not _near(upper, lower, reach, subject.spacing_mm[1:]):
            continue
        missing += int(after - before) - 1
        if place is None:
            row, column = spot((upper | lower)[None])[1:]
            index = np.array([(before + after) / 2, row, column])
            place = subject.place_of(index + [span.start for span in subject.box])
    if missing:
        tall = (subject.box[0].stop - subject.box[0].start) * subject.spacing_mm[0]
        slices = "1 slice" if missing == 1 else f"{missing} slices"
        yield finding(
            "gap",
            f"{slices} in between without it, {missing * subject.spacing_mm[0]:.0f} mm of "
            f"{tall:.0f}",
            0.6 + 0.4 * missing * subject.spacing_mm[0] / tall,
            place,
        )


def _near(
    upper: BoolArray, lower: BoolArray, reach_mm: float, spacing_mm: tuple[float, ...]
) -> bool:
    """Whether two cross-sections lie over one another, or nearly so."""
    from scipy import ndimage

    if (upper & lower).any():
        return True
    apart = ndimage.distance_transform_edt(~upper, sampling=spacing_mm)
    return float(apart[lower].min()) <= reach_mm


def check_jagged(subject: Subject) -> Iterator[CheckFinding]:
    """Find slices that go against both neighbours."""
    odd, change, area = odd_area(subject.inner)
    subject.tick()
    if not area.any():
        return
    taken_back = float(odd.sum() / max(change.sum(), 1))
    of_area = float(odd.sum() / area.sum())
    share = odd / np.maximum(area, 1)
    large = area > _LARGE * area.max()
    worst = int(np.argmax(np.where(large, share, 0)))
    thick = max(1.0, subject.spacing_mm[0] / _THICK_MM)
    many = (
        np.count_nonzero(area) >= _MANY_SLICES
        and taken_back > _TAKEN_BACK
        and of_area > _TAKEN_BACK_OF_AREA * thick
    )
    if not many and share[worst] <= _ODD_SLICE * thick**2:
        return
    k = worst + 1
    before, here, after = subject.inner[k - 1 : k + 2]
    against = (here & ~(before | after)) | (before & after & ~here)
    row, column = spot(against[None])[1:]
    index = np.array([k, row, column]) + [span.start for span in subject.box]
    if many:
        words = (
            f"its outline jumps from slice to slice: {of_area:.0%} of its area is unlike both "
            "neighbouring slices"
        )
    else:
        words = f"a slice of it jumps: {share[worst]:.0%} of its area are unlike both neighbours"
    yield finding(
        "jagged", words, 0.35 + max(of_area, float(share[worst]) / 4), subject.place_of(index)
    )


def odd_area(mask: BoolArray) -> tuple[Floats, Floats, Floats]:
    """Measure how far each inner slice goes against both of its neighbours.

    Parameters
    ----------
    mask
        [slice, row, column].

    Returns
    -------
    For slices 1 to n - 2, pixels: what a slice has and neither neighbour, or lacks and both have;
    what changes within the three slices; the slice's area. All are 0 for slices that are small,
    and for those that miss.
    """
    if len(mask) < 3:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    found = np.zeros((3, len(mask) - 2))
    for k, (before, here, after) in enumerate(zip(mask[:-2], mask[1:-1], mask[2:], strict=True)):
        area = np.count_nonzero(here)
        if area < _LEAST_PIXELS:
            continue
        some, both = before | after, before & after
        odd = np.count_nonzero(here & ~some) + np.count_nonzero(both & ~here)
        change = np.count_nonzero((here | some) & ~(here & both))
        found[:, k] = odd, change, area
    return found[0], found[1], found[2]
