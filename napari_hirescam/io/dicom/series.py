"""Sort DICOM slices into stacks: by series, kind, size, direction, spacing and phase.

Nothing is concatenated across series, and no file is left out in silence: a slice that does
not fit its series stays with it as an odd one, and other series are named in the notes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.copies import Pixels
from napari_hirescam.io.dicom.phases import Phase, separate
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import angle_deg, cut_name
from napari_hirescam.io.dicom.stack import SMALLEST_STACK

_SCOUT_ANGLE_DEG = 30.0
_SAME_WITHIN = 1e-3  # direction cosines, and mm between pixels
_IMAGES = {"CT", "MR", "PT"}
_CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",  # enhanced
    "1.2.840.10008.5.1.4.1.1.2.2",  # legacy converted
}

MASK_KINDS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",  # label map
    "1.2.840.10008.5.1.4.1.1.30": "PM",
}
"""SOP classes that are read by :mod:`napari_hirescam.io.dicom.seg`."""
_DERIVED = {"MPR", "CSA MPR", "REFORMATTED", "PROJECTION IMAGE", "MIP", "MIN_IP", "VOLUME", "RANGE"}

_OTHERS = {
    "RTSTRUCT": "RT contours (RTSTRUCT), not images",
    "RTDOSE": "an RT dose, not CT images",
    "RTPLAN": "an RT plan, not images",
    "SR": "a structured report, not images",
    "PR": "a presentation state, not images",
    "KO": "a selection of key images, not images",
    "DOC": "a document, not images",
    "REG": "a registration, not images",
    "SEG": "a segmentation",
}


@dataclass(frozen=True)
class Series:
    """Slices that belong together, still unsorted.

    Parameters
    ----------
    phase
        The slices, and what tells them from others of the series.
    number
        Which stack of its series it is, from 1.
    count
        How many there are.
    odd
        Slices of the series that fit neither this stack nor any other.
    damaged
        Files that cannot be understood and lie among those of the series.
    key
        What the caller asks for it by.
    trouble
        Why its slices could not be told apart, if so.
    """

    phase: Phase
    number: int = 1
    count: int = 1
    odd: tuple[SliceHeader, ...] = ()
    damaged: tuple[VolumeError, ...] = ()
    key: str = ""
    trouble: VolumeError | None = None

    @property
    def slices(self) -> tuple[SliceHeader, ...]:
        """Its slices, unsorted, without copies and odd ones."""
        return self.phase.slices

    @property
    def first(self) -> SliceHeader:
        """One of the slices, for what they all share."""
        return self.slices[0]

    @property
    def is_stack(self) -> bool:
        """True if it can be a volume at all."""
        return is_image(self.first)

    @property
    def is_mask(self) -> bool:
        """True if it is a DICOM SEG or Parametric Map."""
        return self.first.sop_class_uid in MASK_KINDS

    @property
    def kind(self) -> str:
        """What it holds, in a word."""
        if self.is_mask:
            return MASK_KINDS[self.first.sop_class_uid]
        if self.first.is_localizer:
            return "localizer"
        return self.first.modality or "no modality"

    @property
    def title(self) -> str:
        """For people; names no patient."""
        first = self.first
        title = first.description or (
            f"{self.kind} series {first.series_number}" if first.series_number else self.kind
        )
        if self.count == 1:
            return title
        part = self.phase.label or f"stack {self.number} of {self.count}"
        return f"{title}, {part}"

    def __str__(self) -> str:
        first = self.first
        name = f' "{first.description}"' if first.description else ""
        number = f"series {first.series_number}" if first.series_number else "a series"
        label = f", {self.phase.label}" if self.count > 1 and self.phase.label else ""
        count = len(self.slices)
        unit = "file" if first.frame is None else "frame"
        return f"{number}{name}{label} ({self.kind}, {count} {unit}{'' if count == 1 else 's'})"


def is_image(header: SliceHeader) -> bool:
    """Tell whether a slice can be one of a volume."""
    return (
        header.modality in _IMAGES
        and header.size is not None
        and header.samples == 1
        and not header.is_localizer
        and not header.problem
        and header.sop_class_uid not in MASK_KINDS
    )


def group(
    path: Path, headers: Iterable[SliceHeader], damaged: Iterable[VolumeError], pixels: Pixels
) -> tuple[Series, ...]:
    """Sort slices into stacks.

    Parameters
    ----------
    path
        For messages.
    headers
        Of any number of series.
    damaged
        Files that could not be understood.
    pixels
        Reads one slice; asked only where several lie at one place.
    """
    by_uid: dict[str, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        by_uid[header.series_uid].append(_with_modality(header))
    found: list[Series] = []
    broken = list(damaged)
    for ours in by_uid.values():
        folders = {header.path.parent for header in ours if is_image(header)}
        # Nobody knows a damaged file's series, so among these it is taken for one of them.
        lost = tuple(error for error in broken if Path(error.subject).parent in folders)
        found += _stacks(path, ours, lost, pixels)
    return _with_keys(found)


def _with_modality(header: SliceHeader) -> SliceHeader:
    """Take a CT that does not say so by its class, as some anonymisers leave it."""
    is_silent_ct = not header.modality and header.sop_class_uid in _CT_CLASSES
    return replace(header, modality="CT") if is_silent_ct else header


def _stacks(
    path: Path, ours: list[SliceHeader], damaged: tuple[VolumeError, ...], pixels: Pixels
) -> list[Series]:
    alike = _alike(ours)
    main = max(alike, key=lambda one: (is_image(one[0]), len(one)))
    odd: list[SliceHeader] = []
    kept: list[list[SliceHeader]] = []
    for one in alike:
        if one is not main and _is_stray(one, main):
            odd += one
        else:
            kept.append(one)
    found: list[Series] = []
    several = sum(is_image(one[0]) for one in kept) > 1
    for one in kept:
        strays = (tuple(odd), damaged) if one is main else ((), ())
        trouble = None
        phases: tuple[Phase, ...] = (Phase(tuple(one)),)
        if is_image(one[0]):
            try:
                phases = separate(path, one, pixels)
            except VolumeError as exc:
                trouble = exc
            if several:
                phases = tuple(_with_cut(phase) for phase in phases)
        most = max(phases, key=lambda phase: len(phase.slices))
        for phase in phases:
            mine = strays if phase is most else ((), ())
            found.append(Series(phase, odd=mine[0], damaged=mine[1], trouble=trouble))
    stacks = [one for one in found if one.is_stack]
    return [
        replace(one, number=1 + stacks.index(one), count=len(stacks)) if one.is_stack else one
        for one in found
    ]


def _with_cut(phase: Phase) -> Phase:
    """Name the direction of a stack first, where one series holds stacks of several kinds."""
    first = phase.slices[0]
    size = "" if first.size is None else f"{cut_name(first)}, {first.size[0]} x {first.size[1]}"
    return replace(phase, label=", ".join(part for part in (size, phase.label) if part))


def _is_stray(few: list[SliceHeader], main: list[SliceHeader]) -> bool:
    """Tell whether slices are odd ones of a stack, rather than a picture kept beside it."""
    one, usual = few[0], main[0]
    if len(few) >= min(SMALLEST_STACK, len(main)) or not is_image(usual):
        return False
    # What is no image for another reason than a fault of its pixels is none of the stack.
    if not is_image(one) and not (
        one.problem and one.size == usual.size and one.samples == one.frames == 1
    ):
        return False
    if one.size != usual.size and angle_deg(one, usual) > _SCOUT_ANGLE_DEG:
        return False  # a scout that does not call itself one
    return one.modality == usual.modality and _derivation(one) == _derivation(usual)


def _derivation(header: SliceHeader) -> tuple[str, ...]:
    return (*header.image_type[:1], *sorted(_DERIVED & set(header.image_type)))


def _alike(headers: list[SliceHeader]) -> list[list[SliceHeader]]:
    groups: list[list[SliceHeader]] = []
    for header in headers:
        for other in groups:
            if _belong_together(other[0], header):
                other.append(header)
                break
        else:
            groups.append([header])
    return groups


def _belong_together(one: SliceHeader, other: SliceHeader) -> bool:
    return (
        one.modality == other.modality
        and one.is_localizer == other.is_localizer
        and one.samples == other.samples
        and one.size == other.size
        and (one.frame is None) == (other.frame is None)
        and (one.problem == "") == (other.problem == "")
        and (one.position_mm is None) == (other.position_mm is None)
        and _close(one.orientation, other.orientation)
        and _close(one.spacing_mm, other.spacing_mm)
    )


def _close(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= _SAME_WITHIN


def _with_keys(found: list[Series]) -> tuple[Series, ...]:
    """Give each a key that can be typed: its series number, and where needed which of these."""

    def order(one: Series) -> tuple[float, str, str, int]:
        number = one.first.series_number
        rank = float(number) if number.removeprefix("-").isdecimal() else float("inf")
        return rank, number, one.first.series_uid, one.number

    by_number: dict[str, list[Series]] = defaultdict(list)
    for one in sorted(found, key=order):
        by_number[one.first.series_number or "none"].append(one)
    keyed: list[Series] = []
    for number, ours in by_number.items():
        for k, one in enumerate(ours, 1):
            key = number if len(ours) == 1 else f"{number}-{k}"
            keyed.append(replace(one, key=key))
    return tuple(keyed)


def why_not(path: Path, series: Series) -> VolumeError:
    """Say why a series can be no volume at all."""
    first = next((header for header in series.slices if header.path == path), series.first)
    if first.sop_class_uid in MASK_KINDS:
        return VolumeError(first.path, "it is a mask", "Open it by itself")
    if first.modality in _OTHERS:
        return VolumeError(
            first.path, f"it holds {_OTHERS[first.modality]}", "Choose the series of CT images"
        )
    if first.is_localizer:
        return VolumeError(
            path, "it holds only localizer (scout) images", "Choose the series of CT slices"
        )
    if first.problem:
        return VolumeError(first.path, first.problem, "Choose the original CT series")
    if first.modality not in _IMAGES:
        held = first.modality or "no modality"
        return VolumeError(path, f"it holds {held} and no CT images", "Choose a CT series")
    return VolumeError(first.path, "it holds no image", "Choose a CT series")
