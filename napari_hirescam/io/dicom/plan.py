"""Plan how the slices of a series become a stack, before a single pixel is read.

Slices that do not fit are left out, and a place is assumed where none is given, only on the
user's word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ConsentNeededError
from napari_hirescam.io.dicom.decode import pixel_problem, stored_pixels
from napari_hirescam.io.dicom.series import Series, why_not
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import says_its_place
from napari_hirescam.io.dicom.stack import Stack, stack
from napari_hirescam.source import Repair, Repaired

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_NAMED = 3

Place = tuple[Path, int | None]
"""A file, and the frame in it if it has several."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How a series is read.

    Parameters
    ----------
    series
        What is read.
    stacked
        Its slices on their grid.
    repaired
        What was done to them, grid included.
    """

    series: Series
    stacked: Stack
    repaired: tuple[Repaired, ...]


def plan(
    path: Path,
    series: Series,
    allow: frozenset[Repair],
    undecodable: Mapping[Place, str] | None = None,
) -> Plan:
    """Plan how to read a series.

    Parameters
    ----------
    path
        File or folder, for messages.
    series
        What to read.
    allow
        Repairs the user agreed to.
    undecodable
        Slices whose pixels have turned out to be damaged, and how.

    Raises
    ------
    VolumeError
        If it is no volume; `ConsentNeededError` if a repair would make it one.
    """
    if series.trouble is not None:
        raise series.trouble
    if not series.is_stack:
        raise why_not(path, series)
    odd = _odd_slices(series, undecodable or {})
    usable = [header for header in series.slices if place_of(header) not in odd]
    if not usable:
        if pixel_problem(series.first):
            stored_pixels(series.first)  # knows what helps
        raise VolumeError(
            series.first.path, odd[place_of(series.first)], "Copy or export the series again"
        )
    repaired: list[Repaired] = []
    if odd:
        repaired.append(_leave_out(odd, len(usable), allow))
    if not all(map(says_its_place, usable)):
        usable, assumed = _assume_place(usable, allow)
        repaired.append(assumed)
    stacked = stack(path, usable, allow)
    return Plan(series, stacked, (*repaired, *stacked.repaired))


def place_of(header: SliceHeader) -> Place:
    """Where a slice lies on the disk."""
    return header.path, header.frame


# --- Odd slices ---


def _odd_slices(series: Series, undecodable: Mapping[Place, str]) -> dict[Place, str]:
    """Slices that do not fit the rest of the series, and why."""
    odd: dict[Place, str] = {}
    for error in series.damaged:
        odd[Path(error.subject), None] = error.reason
    for header in series.odd:
        odd[place_of(header)] = f"{_unlike(header, series.first)}, in the same series"
    rescaled = [header.rescale is not None for header in series.slices]
    for header in series.slices:
        fault = undecodable.get(place_of(header)) or pixel_problem(header)
        if not fault and header.rescale is None and any(rescaled):
            fault = (
                "the slice does not say how its numbers become HU, while others of the series do"
            )
        if not fault and header.has_modality_lut:
            fault = "its numbers become HU by a table (Modality LUT), not by a slope and intercept"
        if not fault and header.rescale is not None and header.rescale[0] == 0:
            fault = "its rescale slope is 0, so that all its numbers would be the same"
        if fault:
            odd[place_of(header)] = fault
    return odd


def _unlike(odd: SliceHeader, usual: SliceHeader) -> str:
    if odd.problem:
        return odd.problem
    if odd.size != usual.size:
        return f"this slice is {_by(odd.size)} pixels, the others are {_by(usual.size)}"
    if not says_its_place(odd) and says_its_place(usual):
        return "the slice does not say where it lies in the patient, the others do"
    if odd.spacing_mm != usual.spacing_mm and not np.allclose(
        odd.spacing_mm or (0, 0), usual.spacing_mm or (0, 0), atol=1e-3
    ):
        return f"its pixels are {odd.spacing_mm} mm apart, the others' {usual.spacing_mm}"
    return "it lies in another direction than the others"


def _by(size: tuple[int, int] | None) -> str:
    return "no" if size is None else f"{size[0]} x {size[1]}"


def _leave_out(odd: Mapping[Place, str], kept: int, allow: frozenset[Repair]) -> Repaired:
    (first, _), reason = next(iter(odd.items()))
    if Repair.LEAVE_OUT_ODD not in allow:
        more = "" if len(odd) == 1 else f" ({len(odd)} slices do not fit)"
        raise ConsentNeededError(
            first,
            reason + more,
            "Copy or export the series again, move the file to a folder of its own, or allow "
            f"{Repair.LEAVE_OUT_ODD!s}: the other {kept} slices are read",
            (Repair.LEAVE_OUT_ODD,),
        )
    names = [path.name if frame is None else f"{path.name} {frame}" for path, frame in odd]
    listed = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    count = "1 slice was" if len(odd) == 1 else f"{len(odd)} slices were"
    what = f"{count} left out ({listed}): {reason}."
    return Repaired(Repair.LEAVE_OUT_ODD, what, asked=True)


# --- No place ---


def _assume_place(
    headers: Sequence[SliceHeader], allow: frozenset[Repair]
) -> tuple[list[SliceHeader], Repaired]:
    """Put slices without a place one above the other in the order of their numbers."""
    lacking = next(header for header in headers if not says_its_place(header))
    reason = (
        "the slice does not say where it lies in the patient (image position, orientation or "
        "pixel spacing is missing)"
    )
    remedy = "Use the original series, not a copy made for viewing"
    first = headers[0]
    numbers = [header.instance_number for header in headers]
    known = sorted(number for number in numbers if number is not None)
    spacing = first.spacing_between_mm or first.thickness_mm
    lacks_position = any(header.position_mm is None for header in headers)
    if any(header.spacing_mm is None for header in headers):
        raise VolumeError(lacking.path, reason, remedy)
    if lacks_position and (len(set(known)) < len(headers) or not spacing or spacing <= 0):
        missing = "slice spacing" if len(set(known)) == len(headers) else "instance numbers"
        raise VolumeError(lacking.path, f"{reason}; nor has the series {missing}", remedy)
    if Repair.ASSUME_PLACE not in allow:
        raise ConsentNeededError(
            lacking.path,
            reason,
            f"{remedy}; or allow {Repair.ASSUME_PLACE!s}: the slices are put one above the other "
            "by their numbers, at no known place",
            (Repair.ASSUME_PLACE,),
        )
    across = first.orientation or _AXIAL
    placed = [replace(header, orientation=header.orientation or _AXIAL) for header in headers]
    if not lacks_position:
        what = "The slices do not say in which direction they lie; they are taken for axial ones."
        return placed, Repaired(Repair.ASSUME_PLACE, what, asked=True)
    normal = np.cross(across[:3], across[3:])
    gap = float(spacing or 0.0)
    lowest = known[0]
    placed = [
        replace(
            header,
            orientation=across,
            position_mm=tuple(
                float(x) for x in normal * gap * ((header.instance_number or 0) - lowest)
            ),
        )
        for header in placed
    ]
    directions = "" if first.orientation else " for axial ones"
    what = (
        f"The slices do not say where they lie; they are taken{directions} in the order of their "
        f"instance numbers, number {lowest} as the "
        f"{'lowest' if abs(normal[2]) > 0.7 else 'first'}, {gap:g} mm apart, and the first "
        "pixel of that one as the origin."
    )
    return placed, Repaired(Repair.ASSUME_PLACE, what, asked=True)
