"""Tell apart the stacks that share one series: phases, acquisitions, scans under one UID.

Slices that lie at the same place are copies of each other, or belong to different stacks. What
the headers say decides; where they say nothing, the order in which the slices were numbered,
and at last what they show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.dicom_header import SliceHeader
from napari_hirescam.io.dicom_line import SAME_PLACE_MM, Line, line_up, says_its_place
from napari_hirescam.io.dicom_stack import SMALLEST_STACK

Pixels = Callable[[SliceHeader], npt.NDArray[Any]]

_CLEARLY = 1.5
"""Neighbours within one phase must resemble each other this much more than across phases."""

_MOST_PHASES_BY_CONTENT = 4


@dataclass(frozen=True)
class Phase:
    """Slices of a series that make up one stack.

    Parameters
    ----------
    slices
        Unsorted.
    label
        What tells it from the series' other phases, in words; "" if nothing can be named.
    copies
        Files that hold the same slice as another one, and were left out.
    """

    slices: tuple[SliceHeader, ...]
    label: str = ""
    copies: tuple[Path, ...] = ()


def separate(path: Path, headers: Sequence[SliceHeader], pixels: Pixels) -> tuple[Phase, ...]:
    """Tell apart the stacks among slices of equal size, direction and pixel spacing.

    Parameters
    ----------
    path
        For messages.
    headers
        All of one series.
    pixels
        Reads the [row, column] numbers of a slice; asked only where slices lie at one place and
        nothing in the headers tells why.

    Returns
    -------
    The phases, in order. Slices that nothing tells apart stay together.

    Raises
    ------
    VolumeError
        If a place makes no sense, or pixels that are needed cannot be read.
    """
    everything = (Phase(tuple(headers)),)
    if len(headers) < 2 or not all(map(says_its_place, headers)):
        return everything
    line = line_up(path, headers)
    if _stands_alone(line):
        return _meshed(path, line) or everything
    if _all_places(line) == 1 and len({_number(h) for h in headers}) == len(headers):
        return everything  # no stack at all
    if line.repeats:
        single, copies = _without_copies(line, pixels)
        if copies:
            again = separate(path, single, pixels)
            return tuple(
                Phase(one.slices, one.label, one.copies + (copies if k == 0 else ()))
                for k, one in enumerate(again)
            )
    for key in _KEYS:
        if key.of is _track and not line.repeats and _is_even(line):
            continue  # one stack whose slices wander, not two that mesh by chance
        parts = _split(headers, key.of)
        if parts is not None and _helps(path, line, list(parts.values())):
            return tuple(
                Phase(inner.slices, _joined(key.named, value, inner.label), inner.copies)
                for value, part in sorted(parts.items(), key=lambda item: _sortable(item[0]))
                for inner in separate(path, part, pixels)
            )
    if line.repeats:
        runs = _by_number(line) or _by_content(line, pixels)
        if runs is not None:
            return tuple(Phase(tuple(run)) for run in runs)
    return everything


def _stands_alone(line: Line) -> bool:
    return not line.repeats and line.is_straight and _is_even(line)


def _is_even(line: Line) -> bool:
    gaps = line.gaps_mm
    return bool(np.abs(gaps - np.median(gaps)).max() <= max(SAME_PLACE_MM, 0.01 * np.median(gaps)))


def _all_places(line: Line) -> int:
    return int((line.gaps_mm > SAME_PLACE_MM).sum()) + 1


def _places(line: Line) -> list[list[SliceHeader]]:
    """The slices by place, from one end of the stack to the other."""
    places = [[line.slices[0]]]
    for gap, header in zip(line.gaps_mm, line.slices[1:], strict=True):
        if gap > SAME_PLACE_MM:
            places.append([])
        places[-1].append(header)
    return places


# --- Copies ---


def _without_copies(line: Line, pixels: Pixels) -> tuple[list[SliceHeader], tuple[Path, ...]]:
    """Leave out slices that are in two files; those that merely look alike stay.

    Where all that lie at one place are alike, throughout the stack, they are copies; else only
    those that carry the same identity.
    """
    for same in (_whichever, _same_identity):
        kept: list[SliceHeader] = []
        copies: list[Path] = []
        complete = True
        for place in _places(line):
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


# --- By what the headers say ---


def _track(header: SliceHeader) -> Hashable:
    """Where a slice lies in its own plane: scans of one patient seldom share that by chance."""
    if header.orientation is None or header.position_mm is None:
        return None
    place = np.array(header.position_mm)
    row, column = np.array(header.orientation[:3]), np.array(header.orientation[3:])
    return round(float(place @ row), 1), round(float(place @ column), 1)


@dataclass(frozen=True)
class _Key:
    """One thing that may tell phases apart.

    Parameters
    ----------
    of
        What a slice says of it.
    named
        How it is named to the user; "" if it is not.
    parts_meshed
        True if stacks that differ in it are two even where their slices mesh to an even one.
    """

    of: Callable[[SliceHeader], Hashable]
    named: str = ""
    parts_meshed: bool = False


_KEYS = (
    _Key(lambda header: header.study_uid, parts_meshed=True),
    _Key(lambda header: header.frame_of_reference_uid, parts_meshed=True),
    _Key(lambda header: header.stack_id, "stack {}", parts_meshed=True),
    _Key(lambda header: header.temporal_position, "time point {}"),
    _Key(lambda header: header.trigger_time, "trigger time {} ms"),
    _Key(lambda header: header.b_value, "b-value {}"),
    _Key(lambda header: header.acquisition_number, "acquisition {}"),
    _Key(lambda header: header.image_type[:4], "{}"),
    _Key(lambda header: header.kernel, "kernel {}", parts_meshed=True),
    _Key(lambda header: header.description, "{}", parts_meshed=True),
    _Key(lambda header: header.series_number, "series number {}", parts_meshed=True),
    _Key(lambda header: header.thickness_mm, "{} mm thick", parts_meshed=True),
    _Key(lambda header: header.kvp, "{} kV", parts_meshed=True),
    _Key(lambda header: header.contrast, "contrast agent {}", parts_meshed=True),
    _Key(lambda header: header.patient_position, "{}", parts_meshed=True),
    _Key(lambda header: header.sop_instance_uid),  # of multi-frame files
    _Key(_track),
    # Times of day may help to find out who it was, so they are never shown.
    _Key(lambda header: header.acquisition_time),
)


def _split(
    headers: Sequence[SliceHeader], key: Callable[[SliceHeader], Hashable]
) -> dict[Hashable, list[SliceHeader]] | None:
    parts: dict[Hashable, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        parts[key(header)].append(header)
    if len(parts) < 2 or min(map(len, parts.values())) < SMALLEST_STACK:
        return None
    return parts


def _helps(path: Path, line: Line, parts: list[list[SliceHeader]]) -> bool:
    """Tell whether parts are better stacks than the whole they come from."""
    lines = [line_up(path, part) for part in parts]
    if line.repeats:
        most = max(map(len, _places(line)))
        return all(max(map(len, _places(one))) < most for one in lines)
    if not line.is_straight:
        return all(one.is_straight for one in lines)
    return all(map(_stands_alone, lines))


def _joined(named: str, value: Hashable, inner: str) -> str:
    shown = " ".join(map(str, value)).lower() if isinstance(value, tuple) else value
    label = named.format(shown) if named and shown not in {None, ""} else ""
    return ", ".join(part for part in (label, inner) if part)


def _sortable(value: Hashable) -> tuple[int, float, str]:
    try:
        return 0, float(str(value)), ""
    except ValueError:
        return 1, 0.0, str(value)


# --- Two stacks whose slices lie in turns ---


def _meshed(path: Path, line: Line) -> tuple[Phase, ...] | None:
    """Part an even stack into those that it was put together from by mistake.

    Two reconstructions or two scans under one UID may lie in turns, half a step apart.
    """
    for key in _KEYS:
        parts = _split(line.slices, key.of) if key.parts_meshed else None
        if parts is not None:
            lines = [line_up(path, part) for part in parts.values()]
            ends = [(one.heights_mm[0], one.heights_mm[-1]) for one in lines]
            apart = all(low[1] < high[0] for low, high in pairwise(sorted(ends)))
            if not apart and all(map(_stands_alone, lines)):
                return tuple(
                    Phase(tuple(part), _joined(key.named, value, ""))
                    for value, part in sorted(parts.items(), key=lambda item: _sortable(item[0]))
                )
    turns = line.slices[::2], line.slices[1::2]
    if len(turns[1]) < SMALLEST_STACK:
        return None
    numbers = [[header.instance_number for header in turn] for turn in turns]
    if all(_counts(turn) for turn in numbers) and set(numbers[0]) >= set(numbers[1]):
        return tuple(map(Phase, turns))
    return None


def _counts(numbers: Sequence[int | None]) -> bool:
    """Tell whether numbers count up or down by one."""
    known = np.array([number for number in numbers if number is not None])
    return len(known) == len(numbers) and abs(np.diff(known).sum()) == len(known) - 1 and (
        bool((np.abs(np.diff(known)) == 1).all())
    )  # fmt: skip


# --- By the order in which they were numbered ---


def _number(header: SliceHeader) -> Hashable:
    return header.instance_number if header.instance_number is not None else header.path


def _by_number(line: Line) -> list[list[SliceHeader]] | None:
    """Phases that were numbered one after the other, or slice by slice in turns."""
    numbers = [header.instance_number for header in line.slices]
    if None in numbers or len(set(numbers)) < len(numbers):
        return None
    places = _places(line)
    many = len(places[0])
    if len(places) < SMALLEST_STACK or any(len(place) != many for place in places):
        return None
    ranked = [sorted(place, key=lambda header: header.instance_number or 0) for place in places]
    phases = [[place[k] for place in ranked] for k in range(many)]
    table = np.array([[header.instance_number for header in phase] for phase in phases])
    for grid in (table, table[:, ::-1]):
        one_after_the_other = (np.diff(grid.ravel()) > 0).all()
        in_turns = (np.diff(grid.T.ravel()) > 0).all()
        if one_after_the_other or in_turns:
            return phases
    return None


# --- By what they show ---


def _by_content(line: Line, pixels: Pixels) -> list[list[SliceHeader]] | None:
    """Chains of slices each of which resembles the one before it far more than the others do."""
    places = _places(line)
    many = len(places[0])
    if (
        len(places) < SMALLEST_STACK
        or not 1 < many <= _MOST_PHASES_BY_CONTENT
        or any(len(place) != many for place in places)
    ):
        return None
    chains = [[header] for header in places[0]]
    before = [_in_hu(header, pixels) for header in places[0]]
    for _, place in pairwise(places):
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
