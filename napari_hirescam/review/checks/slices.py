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

#: Slices on both sides of a gap that overlap so much are one organ.
_SAME_ORGAN = 0.15
#: Smaller cross-sections change their outline from slice to slice by themselves.
_LEAST_PIXELS = 30
#: A slice jumps if it fits its neighbours by so much less than they fit each other.
_JUMP = 0.06
_JUMP_SHARE = 0.12


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
        if not _near(upper, lower):
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


def _near(upper: BoolArray, lower: BoolArray) -> bool:
    """Whether two cross-sections lie over one another."""
    smaller = min(int(upper.sum()), int(lower.sum()))
    return int((upper & lower).sum()) > _SAME_ORGAN * smaller


def check_jagged(subject: Subject) -> Iterator[CheckFinding]:
    """Find slices that are unlike both neighbours, while these are like each other."""
    jumps, weight = slice_jumps(subject.inner)
    subject.tick()
    if not weight.any():
        return
    jumping = jumps > _JUMP
    share = float((jumps.clip(0) * weight).sum() / weight.sum())
    worst = int(np.argmax(jumps * np.sqrt(weight)))
    many = float((weight * jumping).sum() / weight.sum())
    single = jumps[worst] > 0.25 and weight[worst] > 0.2 * weight.max()
    if not single and (many < _JUMP_SHARE or share < 0.02):
        return
    k = worst + 1
    around = subject.inner[k - 1] & subject.inner[k + 1]
    odd = around ^ subject.inner[k]
    row, column = spot(odd[None] if odd.any() else subject.inner[k][None])[1:]
    index = np.array([k, row, column]) + [span.start for span in subject.box]
    count = int(jumping.sum())
    slices = "1 slice" if count == 1 else f"{count} slices"
    yield finding(
        "jagged",
        f"{slices} of {len(subject.inner)} jump: Dice with the next one is lower by up to "
        f"{float(jumps[worst]):.2f} than that of the slices around",
        0.35 + max(2 * share, float(jumps[worst]) / 2),
        subject.place_of(index),
    )


def slice_jumps(mask: BoolArray) -> tuple[Floats, Floats]:
    """How much worse each inner slice fits its neighbours than they fit each other.

    Parameters
    ----------
    mask
        [slice, row, column].

    Returns
    -------
    For slices 1 to n - 2: Dice of the neighbours, less the better Dice of the slice with one of
    them (below 0 for what changes steadily); and the mean area of the three, pixels. Slices with
    a small cross-section beside them have 0 for both.
    """
    area = mask.sum(axis=(1, 2)).astype(np.float64)
    if len(area) < 3:
        return np.zeros(0), np.zeros(0)

    def dice(apart: int) -> Floats:
        both = np.array(
            [np.count_nonzero(a & b) for a, b in zip(mask[:-apart], mask[apart:], strict=True)]
        )
        found: Floats = 2 * both / np.maximum(area[:-apart] + area[apart:], 1)
        return found

    near, far = dice(1), dice(2)
    weight = (area[:-2] + area[1:-1] + area[2:]) / 3
    small = np.minimum(area[:-2], area[2:]) < _LEAST_PIXELS
    # A slice that is missing is a gap, and no jump.
    small |= area[1:-1] == 0
    jump = far - np.maximum(near[:-1], near[1:])
    return np.where(small, 0.0, jump), np.where(small, 0.0, weight)
