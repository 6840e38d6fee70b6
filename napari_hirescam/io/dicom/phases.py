"""Tell apart the stacks that share one series: phases, acquisitions, scans under one UID.

Slices that lie at the same place are copies of each other, or belong to different stacks. What
the headers say decides; where they say nothing, the order in which the slices were numbered,
and at last what they show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from napari_hirescam.io.dicom.copies import Pixels, places, without_copies
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import SAME_PLACE_MM, Line, line_up, says_its_place
from napari_hirescam.io.dicom.stack import SMALLEST_STACK
from napari_hirescam.io.dicom.unnumbered_phases import untold

_MOST_IN_TURNS = 4


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
    if len(places(line)) == 1 and len({_number(h) for h in headers}) == len(headers):
        return everything  # no stack at all
    if line.repeats:
        single, copies = without_copies(line, pixels)
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
        runs = untold(line, pixels)
        if runs is not None:
            return tuple(Phase(tuple(run)) for run in runs)
    else:
        return _in_turns(path, line) or everything
    return everything


def _stands_alone(line: Line) -> bool:
    return not line.repeats and line.is_straight and _is_even(line)


def _number(header: SliceHeader) -> Hashable:
    return header.instance_number if header.instance_number is not None else header.path


def _is_even(line: Line) -> bool:
    gaps = line.gaps_mm
    return bool(np.abs(gaps - np.median(gaps)).max() <= max(SAME_PLACE_MM, 0.01 * np.median(gaps)))


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
    parts_adjoining
        True if they are two even where one begins just where the other ends.
    """

    of: Callable[[SliceHeader], Hashable]
    named: str = ""
    parts_meshed: bool = False
    parts_adjoining: bool = False


_KEYS = (
    # Places of two studies or frames of reference have nothing to do with each other.
    _Key(lambda header: header.study_uid, parts_meshed=True, parts_adjoining=True),
    _Key(lambda header: header.frame_of_reference_uid, parts_meshed=True, parts_adjoining=True),
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
    _Key(lambda header: header.patient_position, "{}", parts_meshed=True, parts_adjoining=True),
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
        most = max(map(len, places(line)))
        return all(max(map(len, places(one))) < most for one in lines)
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

    Two reconstructions or two scans under one UID may lie in turns, half a step apart; two
    patients' may adjoin.
    """
    for key in _KEYS:
        parts = _split(line.slices, key.of) if key.parts_meshed else None
        if parts is not None:
            lines = [line_up(path, part) for part in parts.values()]
            ends = [(one.heights_mm[0], one.heights_mm[-1]) for one in lines]
            apart = all(low[1] < high[0] for low, high in pairwise(sorted(ends)))
            if (key.parts_adjoining or not apart) and all(map(_stands_alone, lines)):
                return tuple(
                    Phase(tuple(part), _joined(key.named, value, ""))
                    for value, part in sorted(parts.items(), key=lambda item: _sortable(item[0]))
                )
    return _in_turns(path, line)


def _in_turns(path: Path, line: Line) -> tuple[Phase, ...] | None:
    """Part stacks that lie in turns by their numbers, which count up along each of them."""
    for many in range(2, _MOST_IN_TURNS + 1):
        turns = [line.slices[k::many] for k in range(many)]
        if len(turns[-1]) < SMALLEST_STACK:
            return None
        numbers = [[header.instance_number for header in turn] for turn in turns]
        if not all(map(_counts, numbers)):
            continue
        known = sorted(sorted(n for n in turn if n is not None) for turn in numbers)
        each_for_itself = all(set(one) <= set(known[0]) for one in known)
        one_after_the_other = all(one[-1] < other[0] for one, other in pairwise(known))
        if (each_for_itself or one_after_the_other) and all(
            _stands_alone(line_up(path, turn)) for turn in turns
        ):
            return tuple(map(Phase, turns))
    return None


def _counts(numbers: Sequence[int | None]) -> bool:
    """Tell whether numbers count up or down by one."""
    known = np.array([number for number in numbers if number is not None])
    return len(known) == len(numbers) and abs(np.diff(known).sum()) == len(known) - 1 and (
        bool((np.abs(np.diff(known)) == 1).all())
    )  # fmt: skip
