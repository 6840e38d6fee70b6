"""Read DICOM segmentations and parametric maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError, Item, Picture
from napari_hirescam.io.assembling import grid_facts
from napari_hirescam.io.dicom_multiframe import SEG_KINDS, Channel, FrameSet, load
from napari_hirescam.io.dicom_planes import UnevenPlanesError, lay_out, lay_out_evenly
from napari_hirescam.io.dicom_referenced import referenced_series
from napari_hirescam.io.frame import patient_letters, to_volume_axes
from napari_hirescam.io.pictures import grey_picture
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.source import Fact, Frame, Repair, Repaired, Source
from napari_hirescam.volume import Grid, Quantity, Volume

__all__ = ["SEG_KINDS", "read_seg", "seg_items", "seg_picture"]

_FORMATS = {"MAP": "DICOM Parametric Map"}
_WORDS = {
    "BINARY": "one frame for each segment and slice",
    "FRACTIONAL": "fractions from 0 to 1",
    "LABELMAP": "one frame for each slice",
    "MAP": "values in the unit the file names",
}


@dataclass(frozen=True, eq=False)
class _Place:
    """Where the frames of a file go.

    `index` is the slice of the grid for each frame, or, where slices were evened out, the
    number of its plane, of which `takes` chooses one for each slice.
    """

    grid: Grid
    index: tuple[int, ...]
    frames: tuple[Frame | None, ...] = ()
    notes: tuple[str, ...] = ()
    repaired: tuple[Repaired, ...] = ()
    takes: npt.NDArray[np.intp] | None = None
    between: npt.NDArray[np.bool_] | None = None

    @property
    def n_planes(self) -> int:
        """Number of planes that frames may lie on."""
        return self.grid.shape[2] if self.takes is None else max(self.index) + 1


def read_seg(path: Path, reading: Reading) -> Volume:
    """Read a mask or a map from one DICOM file.

    Slices that the file leaves out, since nothing is drawn on them, are background. If the
    series it was drawn on lies in the same folder, the volume has exactly its grid.

    Parameters
    ----------
    path
        A segmentation (binary, fractional or label map) or parametric map.
    reading
        `series` may be the key of one of :func:`seg_items`; anything else means the whole.

    Raises
    ------
    ChoiceNeededError
        If segments overlap, or there are several fractional segments or maps.
    ConsentNeededError
        If its planes are unevenly spaced.
    VolumeError
        If it is damaged or incomplete, or does not say where it lies in the patient.
    Cancelled
        If the caller asked to stop.
    """
    frames = load(path)
    chosen = _chosen(frames, reading)
    place = _place(frames, reading)
    is_mask = frames.kind in {"BINARY", "LABELMAP"}
    make = _labels if is_mask else _numbers
    stored = make(frames, place, chosen, reading)
    missing = None
    if place.takes is not None and place.between is not None:
        stored = stored[:, :, place.takes]
        missing = np.broadcast_to(place.between, stored.shape)
    notes = list(place.notes)
    if not is_mask and not np.isfinite(stored).all():
        blank = ~np.isfinite(stored)
        stored[blank] = 0
        missing = blank if missing is None else missing | blank
        notes.append(f"{int(blank.sum())} voxels hold no number (NaN); they were set to 0.")
    quantity = Quantity.LABELS if is_mask else Quantity.UNKNOWN
    grid = place.grid
    voxels, affine, resampled = to_volume_axes(stored, grid.affine, quantity=quantity, subject=path)
    repaired = place.repaired
    if resampled:
        repaired += (Repaired(Repair.STRAIGHTEN, resampled[0], asked=False),)
    invalid = None
    if missing is not None:
        marked, _, _ = to_volume_axes(
            missing.astype(np.uint8), grid.affine, quantity=Quantity.LABELS, subject=path
        )
        invalid = marked.astype(bool)
    channels = [one for one in frames.channels if chosen is None or one is chosen]
    return Volume(
        voxels,
        affine,
        name=_title(frames, chosen),
        quantity=quantity,
        segments=tuple(one.segment for one in channels if one.segment is not None)
        if is_mask
        else (),
        invalid=invalid,
        source=Source(
            path,
            _FORMATS.get(frames.kind, "DICOM SEG"),
            grid,
            patient_letters(grid.affine),
            (*notes, *resampled),
            _details(frames),
            item=_key(frames, chosen),
            facts=(*grid_facts(grid), *_facts(frames)),
            repaired=repaired,
            frames=place.frames,
        ),
    )


def seg_items(path: Path, reading: Reading) -> tuple[Item, ...]:
    """List what a file holds: the whole, and its segments or maps if there are several."""
    reading.check_stop()
    return _items(load(path))


def seg_picture(path: Path, key: str, reading: Reading) -> Picture:
    """Make a picture of the slice on which most is drawn."""
    frames = load(path)
    wanted = replace(reading, series=key, progress=None, preview=None)
    if _chosen(frames, wanted) is None and len(frames.channels) > 1:
        # Any one will do to know it by, and the whole may not be readable at once.
        wanted = replace(wanted, series=_key(frames, frames.channels[0]))
    allowed = replace(wanted, allow=wanted.allow | {Repair.EVEN_SPACING})
    volume = read_seg(path, allowed)
    most = int(np.argmax(np.count_nonzero(volume.voxels, axis=(1, 2))))
    _, row_mm, column_mm = volume.spacing_mm
    return grey_picture(volume.voxels[most], (row_mm, column_mm), Quantity.UNKNOWN)


def _items(frames: FrameSet) -> tuple[Item, ...]:
    description = str(frames.dataset.get("SeriesDescription") or "").strip()
    kind = "SEG" if frames.kind != "MAP" else "PM"
    distinct = len({round(float(h), 2) for h in _heights(frames)})
    names = ", ".join(channel.name for channel in frames.channels)
    overlap = str(frames.dataset.get("SegmentsOverlap") or "")
    several = len(frames.channels) > 1
    problem = ""
    if several and (frames.kind in {"FRACTIONAL", "MAP"} or overlap == "YES"):
        problem = "they overlap: open one of them"
    step = frames.hint_mm
    common: dict[str, Any] = {
        "kind": kind,
        "n_slices": distinct,
        "spacing_mm": None if step is None else (step, *frames.spacing_mm),
        "size": frames.size,
        "number": str(frames.dataset.get("SeriesNumber") or ""),
    }
    what = "maps" if kind == "PM" else "segments"
    whole = Item(
        key=frames.uid,
        title=description or names or kind,
        facts={what: names} if names else {},
        problem=problem if several else "",
        **common,
    )
    if not several:
        return (whole,)
    return (
        whole,
        *(
            Item(
                key=_key(frames, one),
                title=f"{description}: {one.name}" if description else one.name,
                **common,
            )
            for one in frames.channels
        ),
    )


def _heights(frames: FrameSet) -> npt.NDArray[np.float64]:
    normal = np.cross(frames.orientation[:3], frames.orientation[3:])
    heights: npt.NDArray[np.float64] = frames.positions_lps_mm @ normal
    return heights


def _key(frames: FrameSet, chosen: Channel | None) -> str:
    return frames.uid if chosen is None else f"{frames.uid}/{chosen.number}"


def _chosen(frames: FrameSet, reading: Reading) -> Channel | None:
    """The channel that was asked for, or None for the whole."""
    uid, _, number = (reading.series or "").partition("/")
    if uid != frames.uid or not number:
        return frames.channels[0] if len(frames.channels) == 1 else None
    for channel in frames.channels:
        if str(channel.number) == number:
            return channel
    raise VolumeError(
        frames.path,
        f"it has no segment or map {number!r}",
        "There are: " + ", ".join(f"{one.number} {one.name}" for one in frames.channels),
    )


def _place(frames: FrameSet, reading: Reading) -> _Place:
    found = referenced_series(frames, reading)
    if found is not None:
        return _Place(found.grid, found.index, found.frames)
    geometry = (frames.positions_lps_mm, frames.orientation, frames.spacing_mm, frames.size)
    try:
        stack = lay_out(*geometry, frames.hint_mm)
    except UnevenPlanesError as exc:
        if Repair.EVEN_SPACING not in reading.allow:
            raise ConsentNeededError(
                frames.path,
                f"{exc}, no multiples of one distance, and the series it was drawn on is not in "
                "its folder",
                "Put it beside that series, or allow its slices to be evened out "
                f"({Repair.EVEN_SPACING})",
                (Repair.EVEN_SPACING,),
            ) from exc
        return _evened(frames, geometry)
    except ValueError as exc:
        raise VolumeError(
            frames.path, str(exc), "Put it beside the series that it was drawn on"
        ) from exc
    blank = stack.grid.shape[2] - len(set(stack.index))
    slices = "1 slice" if blank == 1 else f"{blank} slices"
    notes = (f"{slices} between the frames of the file are not in it: background.",)
    return _Place(stack.grid, stack.index, notes=notes if blank else ())


def _evened(frames: FrameSet, geometry: Any) -> _Place:
    try:
        stack = lay_out_evenly(*geometry)
    except ValueError as exc:
        raise VolumeError(
            frames.path, str(exc), "Put it beside the series that it was drawn on"
        ) from exc
    count = int(stack.between.sum())
    what = (
        f"The planes are unevenly spaced; they were put {stack.grid.spacing_mm[2]:.2f} mm apart, "
        f"and {count} slices between them repeat the nearest one."
    )
    repaired = Repaired(Repair.EVEN_SPACING, what, asked=True)
    return _Place(stack.grid, stack.plane_of, (), (what,), (repaired,), stack.takes, stack.between)


def _labels(
    frames: FrameSet, place: _Place, chosen: Channel | None, reading: Reading
) -> npt.NDArray[Any]:
    """The mask, [column, row, slice]."""
    values = {one.number: one.segment.value for one in frames.channels if one.segment}
    highest = max(values.values(), default=1)
    if frames.kind == "LABELMAP":
        highest = max(highest, (1 << int(frames.dataset.BitsAllocated)) - 1)
    mask = _room(frames, place, np.uint8 if highest < 256 else np.uint16)
    for k, pixels in enumerate(frames.frames(reading)):
        plane = mask[place.index[k]]
        if frames.kind == "LABELMAP":
            _put_labels(frames, plane, pixels, values, chosen)
            continue
        if chosen is not None and frames.channel_of[k] != chosen.number:
            continue
        value = values[frames.channel_of[k]]
        inside = pixels != 0
        if ((plane[inside] != 0) & (plane[inside] != value)).any():
            raise _overlapping(frames)
        plane[inside] = value
    return mask.transpose(2, 1, 0)


def _put_labels(
    frames: FrameSet,
    plane: npt.NDArray[Any],
    pixels: npt.NDArray[Any],
    values: dict[int, int],
    chosen: Channel | None,
) -> None:
    background = int(frames.dataset.get("PixelPaddingValue") or 0)
    for number in np.unique(pixels):
        if int(number) == background or (chosen is not None and number != chosen.number):
            continue
        plane[pixels == number] = values.get(int(number), int(number))


def _numbers(
    frames: FrameSet, place: _Place, chosen: Channel | None, reading: Reading
) -> npt.NDArray[Any]:
    """The fractions or the map, [column, row, slice]."""
    if chosen is None and len(frames.channels) > 1:
        raise _overlapping(frames)
    values = _room(frames, place, np.float32)
    most = float(frames.dataset.get("MaximumFractionalValue") or 255)
    filled: set[int] = set()
    for k, pixels in enumerate(frames.frames(reading)):
        if chosen is not None and frames.channel_of[k] != chosen.number:
            continue
        if place.index[k] in filled:
            raise VolumeError(
                frames.path,
                f"its frame {k + 1} lies where another one does",
                "Export the maps one by one",
            )
        filled.add(place.index[k])
        slope, shift = frames.rescale[k] if frames.rescale else (1 / most, 0.0)
        values[place.index[k]] = pixels if (slope, shift) == (1, 0) else pixels * slope + shift
    return values.transpose(2, 1, 0)


def _room(frames: FrameSet, place: _Place, kind: Any) -> npt.NDArray[Any]:
    shape = (place.n_planes, *frames.size)
    voxels = int(np.prod(shape, dtype=object))
    evened = 0 if place.takes is None else int(np.prod(place.grid.shape, dtype=object))
    check_memory(frames.path, (voxels + 2 * evened) * np.dtype(kind).itemsize)
    return np.zeros(shape, kind)


def _overlapping(frames: FrameSet) -> ChoiceNeededError:
    what = "maps" if frames.kind == "MAP" else "segments"
    return ChoiceNeededError(
        frames.path,
        f"its {len(frames.channels)} {what} overlap, and a volume holds one value for each voxel",
        "Choose one of them",
        _items(frames)[1:],
    )


def _title(frames: FrameSet, chosen: Channel | None) -> str:
    description = str(frames.dataset.get("SeriesDescription") or "").strip()
    name = chosen.name if chosen is not None and len(frames.channels) > 1 else ""
    return " ".join(part for part in (description, name) if part) or (
        "map" if frames.kind == "MAP" else "segmentation"
    )


def _details(frames: FrameSet) -> dict[str, Any]:
    found = {
        "description": frames.dataset.get("SeriesDescription"),
        "number": frames.dataset.get("SeriesNumber"),
        "manufacturer": frames.dataset.get("Manufacturer"),
        "series_uid": frames.dataset.get("SeriesInstanceUID"),
        "study_uid": frames.dataset.get("StudyInstanceUID"),
        "frame_of_reference_uid": frames.dataset.get("FrameOfReferenceUID"),
    }
    return {name: str(value) for name, value in found.items() if value}


def _facts(frames: FrameSet) -> tuple[Fact, ...]:
    facts = [
        Fact("File", "Kind", "Parametric map" if frames.kind == "MAP" else "Segmentation"),
        Fact("File", "Stored as", _WORDS[frames.kind]),
        Fact("File", "Frames", str(len(frames.channel_of))),
    ]
    if frames.channels:
        what = "Maps" if frames.kind == "MAP" else "Segments"
        facts.append(Fact("File", what, ", ".join(one.name for one in frames.channels)))
    return tuple(facts)
