"""Find the DICOM series in a folder by their headers, and choose one.

Nothing is concatenated across series, and no file is left out in silence: a slice that does
not fit its series is a reason to refuse, and other series are named in the notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom_header import HEAD_BYTES, SliceHeader, is_dicom, read_header
from napari_hirescam.io.reading import Reading

SMALLEST_STACK = 3
"""Fewer slices are no volume: two do not even show whether one is missing between them."""

_MANY_SERIES = 8
_LOOK_AT_FILES = 2000
_SAME_WITHIN = 1e-3  # direction cosines, and mm between pixels


@dataclass(frozen=True)
class Series:
    """Files that belong together, still unsorted."""

    slices: tuple[SliceHeader, ...]

    @property
    def first(self) -> SliceHeader:
        """One of the slices, for what they all share."""
        return self.slices[0]

    @property
    def is_stack(self) -> bool:
        """True if it can be a CT volume at all."""
        return self.first.modality == "CT" and self.first.size is not None and not (
            self.first.is_localizer or self.first.frames > 1 or self.first.samples > 1
        )  # fmt: skip

    def __str__(self) -> str:
        first = self.first
        name = f' "{first.description}"' if first.description else ""
        number = f"series {first.series_number}" if first.series_number else "a series"
        kind = "localizer" if first.is_localizer else first.modality or "no modality"
        count = len(self.slices)
        return f"{number}{name} ({kind}, {count} {'file' if count == 1 else 'files'})"


def dicom_files(folder: Path, *, nested: bool = True) -> Iterator[Path]:
    """Go through the DICOM files in a folder, in the order of their names."""
    for path in sorted(folder.rglob("*") if nested else folder.iterdir()):
        if path.is_file() and path.name.upper() != "DICOMDIR":
            with path.open("rb") as stream:
                head = stream.read(HEAD_BYTES)
            if is_dicom(head):
                yield path


def holds_dicom(folder: Path) -> bool:
    """Say whether there is a DICOM file among the first files of a folder."""
    for count, path in enumerate(folder.rglob("*")):
        if count >= _LOOK_AT_FILES:
            return False
        if path.is_file():
            with path.open("rb") as stream:
                if is_dicom(stream.read(HEAD_BYTES)):
                    return True
    return False


def choose_series(path: Path, reading: Reading) -> tuple[Series, tuple[str, ...]]:
    """Scan a folder, or the folder around a file, and choose the series to read.

    Returns
    -------
    A CT series, its files unsorted, and notes that name the others.

    Raises
    ------
    VolumeError
        If there is no CT series, the one asked for is not there or not unique, or a file of
        the chosen one does not fit or cannot be understood.
    Cancelled
        If the caller asked to stop.
    """
    headers: list[SliceHeader] = []
    unreadable: list[VolumeError] = []
    folder = path if path.is_dir() else path.parent
    for file in dicom_files(folder, nested=path.is_dir()):
        reading.check_stop()
        try:
            headers.append(read_header(file))
        except VolumeError as exc:
            if file == path:
                raise
            unreadable.append(exc)
    if not headers:
        if unreadable:
            raise unreadable[0]
        raise VolumeError(path, "the folder holds no DICOM file", "Choose another folder")
    series = _group(headers)
    chosen = _select(path, series, reading.series)
    if not chosen.is_stack:
        raise _not_a_stack(path, chosen)
    _refuse_strays(chosen, series)
    folders = {header.path.parent for header in chosen.slices}
    for error in unreadable:
        # Its series is unknown, so among this one's files it has to be taken for one of them.
        if Path(error.subject).parent in folders:
            raise error
    others = [str(one) for one in series if one is not chosen]
    notes = [f"Not read: {one}." for one in others[:_MANY_SERIES]]
    if len(others) > _MANY_SERIES:
        notes.append(f"Not read: {len(others) - _MANY_SERIES} further series.")
    notes += [f"Not read: {error}" for error in unreadable]
    return chosen, tuple(notes)


def _group(headers: Iterable[SliceHeader]) -> list[Series]:
    groups: list[list[SliceHeader]] = []
    for header in headers:
        for group in groups:
            if _belong_together(group[0], header):
                group.append(header)
                break
        else:
            groups.append([header])
    return [Series(tuple(group)) for group in groups]


def _belong_together(one: SliceHeader, other: SliceHeader) -> bool:
    return (
        one.series_uid == other.series_uid
        and one.is_localizer == other.is_localizer
        and one.size == other.size
        and (one.frames > 1) == (other.frames > 1)
        and _close(one.orientation, other.orientation)
        and _close(one.spacing_mm, other.spacing_mm)
    )


def _close(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= _SAME_WITHIN


def _select(path: Path, series: list[Series], wanted: str | None) -> Series:
    candidates = series
    if wanted is not None:
        exact = [s for s in series if wanted in {s.first.series_uid, s.first.series_number}]
        candidates = exact or [s for s in series if s.first.series_uid.startswith(wanted)]
        if not candidates or len({s.first.series_uid for s in candidates}) > 1:
            count = "no" if not candidates else "more than one"
            raise VolumeError(
                path,
                f"{count} series in it is numbered {wanted!r} or has a UID that begins so",
                "There are: " + "; ".join(f"{s}, UID {s.first.series_uid}" for s in series),
            )
    elif not path.is_dir():
        candidates = [s for s in series if any(header.path == path for header in s.slices)]
    stacks = [s for s in candidates if s.is_stack]
    return max(stacks or candidates, key=lambda s: (s.first.modality == "CT", len(s.slices)))


def _refuse_strays(chosen: Series, series: list[Series]) -> None:
    """Refuse if slices of the series differ in size, direction or spacing from the rest.

    A second stack under the same UID, a reformat say, is left alone and named in the notes;
    one or two odd slices belong to this stack, where something is wrong with them.
    """
    usual = chosen.first
    for other in series:
        odd = other.first
        if (
            other is chosen
            or odd.series_uid != usual.series_uid
            or len(other.slices) >= SMALLEST_STACK
            or not other.is_stack
        ):
            continue
        if odd.size != usual.size:
            reason = f"this slice is {_by(odd.size)} pixels, the others are {_by(usual.size)}"
        elif not _close(odd.spacing_mm, usual.spacing_mm):
            reason = f"its pixels are {odd.spacing_mm} mm apart, the others' {usual.spacing_mm}"
        else:
            reason = "it lies in another direction than the others"
        raise VolumeError(
            odd.path, f"{reason}, in the same series", "Move it to a folder of its own"
        )


def _by(size: tuple[int, int] | None) -> str:
    return "no" if size is None else f"{size[0]} x {size[1]}"


def _not_a_stack(path: Path, series: Series) -> VolumeError:
    first = series.first
    if first.modality != "CT":
        held = first.modality or "no modality"
        return VolumeError(path, f"it holds {held} and no CT images", "Choose a CT series")
    if first.frames > 1:
        return VolumeError(
            first.path,
            "it is an enhanced multi-frame file, which is not supported yet",
            "Convert it to NIfTI, or export it as single slices",
        )
    if first.is_localizer:
        return VolumeError(
            path, "it holds only localizer (scout) images", "Choose the series of CT slices"
        )
    if first.samples > 1:
        return VolumeError(
            first.path, "it is a colour picture, not a CT slice", "Choose the original CT series"
        )
    return VolumeError(first.path, "it holds no image", "Choose a CT series")
