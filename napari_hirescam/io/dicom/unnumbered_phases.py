"""Phases that no header tells apart: by the order of their numbers, or by what they show."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.dicom.copies import Pixels, places
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import Line
from napari_hirescam.io.dicom.stack import SMALLEST_STACK

_CLEARLY = 1.5
"""Neighbours within one phase must resemble each other this much more than across phases."""

_MOST_PHASES_BY_CONTENT = 4


def untold(line: Line, pixels: Pixels) -> list[list[SliceHeader]] | None:
    """Tell apart phases by their numbers, unless what they show contradicts them, or by that.

    Returns
    -------
    The slices of each phase; None if there is no telling.
    """
    numbered, alike = _by_number(line), _by_content(line, pixels)
    if numbered is None or alike is None:
        return numbered or alike
    same = {frozenset(map(id, one)) for one in numbered} == {
        frozenset(map(id, one)) for one in alike
    }
    return numbered if same else None


def _by_number(line: Line) -> list[list[SliceHeader]] | None:
    """Phases that were numbered one after the other, or slice by slice in turns."""
    numbers = [header.instance_number for header in line.slices]
    if None in numbers or len(set(numbers)) < len(numbers):
        return None
    by_place = places(line)
    many = len(by_place[0])
    if len(by_place) < SMALLEST_STACK or any(len(place) != many for place in by_place):
        return None
    ranked = [sorted(place, key=lambda header: header.instance_number or 0) for place in by_place]
    phases = [[place[k] for place in ranked] for k in range(many)]
    table = np.array([[header.instance_number for header in phase] for phase in phases])
    for grid in (table, table[:, ::-1]):
        one_after_the_other = (np.diff(grid.ravel()) > 0).all()
        in_turns = (np.diff(grid.T.ravel()) > 0).all()
        if one_after_the_other or in_turns:
            return phases
    return None


def _by_content(line: Line, pixels: Pixels) -> list[list[SliceHeader]] | None:
    """Chains of slices each of which resembles the one before it far more than the others do."""
    by_place = places(line)
    many = len(by_place[0])
    if (
        len(by_place) < SMALLEST_STACK
        or not 1 < many <= _MOST_PHASES_BY_CONTENT
        or any(len(place) != many for place in by_place)
    ):
        return None
    chains = [[header] for header in by_place[0]]
    before = [_in_hu(header, pixels) for header in by_place[0]]
    for _, place in pairwise(by_place):
        after = [_in_hu(header, pixels) for header in place]
        cost = np.array([[np.abs(one - other).mean() for other in after] for one in before])
        ways = sorted(
            (sum(cost[k, way[k]] for k in range(many)), way) for way in permutations(range(many))
        )
        best, second = ways[0], ways[1]
        if not second[0] > _CLEARLY * best[0]:
            return None
        for k, chosen in enumerate(best[1]):
            chains[k].append(place[chosen])
        before = [after[k] for k in best[1]]
    return chains


def _in_hu(header: SliceHeader, pixels: Pixels) -> npt.NDArray[np.float32]:
    slope, intercept = header.rescale or (1.0, 0.0)
    return pixels(header).astype(np.float32) * np.float32(slope) + np.float32(intercept)
