"""Slices that lie at the same place, and those among them that are in two files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import SAME_PLACE_MM, Line

Pixels = Callable[[SliceHeader], npt.NDArray[Any]]
"""Reads the stored [row, column] numbers of a slice."""


def places(line: Line) -> list[list[SliceHeader]]:
    """The slices by place, from one end of the stack to the other."""
    places = [[line.slices[0]]]
    for gap, header in zip(line.gaps_mm, line.slices[1:], strict=True):
        if gap > SAME_PLACE_MM:
            places.append([])
        places[-1].append(header)
    return places


def without_copies(line: Line, pixels: Pixels) -> tuple[list[SliceHeader], tuple[Path, ...]]:
    """Leave out slices that are in two files; those that merely look alike stay.

    Where all that lie at one place are alike, throughout the stack, they are copies; else only
    those that carry the same identity.
    """
    for same in (_whichever, _same_identity):
        kept: list[SliceHeader] = []
        copies: list[Path] = []
        complete = True
        for place in places(line):
            ours: list[SliceHeader] = []
            for header in sorted(place, key=_copy_order):
                twin = next((one for one in ours if same(one, header)), None)
                if twin is None or not _same_image(twin, header, pixels):
                    complete = complete and twin is None
                    ours.append(header)
                else:
                    copies.append(header.path)
            kept += ours
            if not complete:
                break
        if complete and copies:
            return kept, tuple(copies)
    return list(line.slices), ()


def _copy_order(header: SliceHeader) -> tuple[int, str]:
    # Of two copies the one that lies less deep, and whose name comes first, counts.
    return len(header.path.parts), str(header.path)


def _whichever(_one: SliceHeader, _other: SliceHeader) -> bool:
    return True


def _same_identity(one: SliceHeader, other: SliceHeader) -> bool:
    return bool(one.sop_instance_uid) and one.sop_instance_uid == other.sop_instance_uid


def _same_image(one: SliceHeader, other: SliceHeader, pixels: Pixels) -> bool:
    lateral = np.subtract(one.position_mm or (), other.position_mm or ())
    if np.abs(lateral).max(initial=0.0) > SAME_PLACE_MM or one.rescale != other.rescale:
        return False
    return np.array_equal(pixels(one), pixels(other))
