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
from napari_hirescam.io.dicom.channels import Channel
from napari_hirescam.io.dicom.multiframe import SEG_KINDS, FrameSet, load
from napari_hirescam.io.dicom.planes import UnevenPlanesError, lay_out, lay_out_evenly
from napari_hirescam.io.dicom.referenced import referenced_series
from napari_hirescam.io.dicom.seg_items import (
    chosen_channel,
    details_of,
    facts_of,
    items_of,
    key_of,
    title_of,
)
from napari_hirescam.io.frame import patient_letters, to_volume_axes
from napari_hirescam.io.pictures import grey_picture
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.source import Frame, Repair, Repaired, Source
from napari_hirescam.volume import Grid, Quantity, Volume

__all__ = ["SEG_KINDS", "read_seg", "seg_items", "seg_picture"]

_FORMATS = {"MAP": "DICOM Parametric Map"}


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
    chosen = chosen_channel(frames, reading)
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
        name=title_of(frames, chosen),
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
            details_of(frames),
            item=key_of(frames, chosen),
            facts=(*grid_facts(grid), *facts_of(frames)),
            repaired=repaired,
            frames=place.frames,
        ),
    )


def seg_items(path: Path, reading: Reading) -> tuple[Item, ...]:
    """List what a file holds: the whole, and its segments or maps if there are several."""
    reading.check_stop()
    return items_of(load(path))


def seg_picture(path: Path, key: str, reading: Reading) -> Picture:
    """Make a picture of the slice on which most is drawn."""
    frames = load(path)
    wanted = replace(reading, series=key, progress=None, preview=None)
    if chosen_channel(frames, wanted) is None and len(frames.channels) > 1:
        # Any one will do to know it by, and the whole may not be readable at once.
        wanted = replace(wanted, series=key_of(frames, frames.channels[0]))
    allowed = replace(wanted, allow=wanted.allow | {Repair.EVEN_SPACING})
    volume = read_seg(path, allowed)
    most = int(np.argmax(np.count_nonzero(volume.voxels, axis=(1, 2))))
    _, row_mm, column_mm = volume.spacing_mm
    return grey_picture(volume.voxels[most], (row_mm, column_mm), Quantity.UNKNOWN)


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
        highest = max(highest, frames.about.highest)
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
    for number in np.unique(pixels):
        if int(number) == frames.about.background or (
            chosen is not None and number != chosen.number
        ):
            continue
        plane[pixels == number] = values.get(int(number), int(number))


def _numbers(
    frames: FrameSet, place: _Place, chosen: Channel | None, reading: Reading
) -> npt.NDArray[Any]:
    """The fractions or the map, [column, row, slice]."""
    if chosen is None and len(frames.channels) > 1:
        raise _overlapping(frames)
    values = _room(frames, place, np.float32)
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
        slope, shift = (
            frames.rescale[k] if frames.rescale else (1 / frames.about.full_fraction, 0.0)
        )
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
        items_of(frames)[1:],
    )
