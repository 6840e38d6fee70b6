"""The series that a segmentation was drawn on, if its files lie beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.header import HEAD_BYTES, is_dicom, read_headers
from napari_hirescam.io.dicom.multiframe import FrameSet
from napari_hirescam.io.dicom.planes import PlaneStack, lay_out
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import SAME_PLACE_MM
from napari_hirescam.io.frame import LPS_TO_IPL
from napari_hirescam.io.reading import Reading
from napari_hirescam.source import Frame
from napari_hirescam.volume import Grid

_SAME_WITHIN = 1e-3  # direction cosines, and mm between pixels
_STEP_SHARE = 0.01  # of a step


@dataclass(frozen=True, eq=False)
class Referenced:
    """The grid of the series, the slices it is made of, and where the file's frames lie on it."""

    grid: Grid
    frames: tuple[Frame | None, ...]
    index: tuple[int, ...]


def referenced_series(frames: FrameSet, reading: Reading) -> Referenced | None:
    """Find the series among the files in the same folder.

    Returns
    -------
    None if it is not there, its slices make no regular stack, or a frame of the file lies on
    none of them.

    Raises
    ------
    Cancelled
        If the caller asked to stop.
    """
    about = frames.about
    headers = [h for h in _headers(frames.path, about.on_series, reading) if _fits(h, frames)]
    if not headers:
        return None
    # Where slices share a place, as phases do, the file says which of them it means.
    headers.sort(key=lambda header: header.sop_instance_uid not in about.on_instances)
    positions = np.array([header.position_mm for header in headers])
    orientation = np.median([header.orientation for header in headers], axis=0)
    spacing = np.median([header.spacing_mm for header in headers], axis=0)
    try:
        stack = lay_out(
            positions,
            tuple(orientation.tolist()),
            tuple(spacing.tolist()),
            frames.size,
            headers[0].thickness_mm,
        )
    except ValueError:
        return None
    index = _lie_on(frames, stack)
    if index is None:
        return None
    slices: list[Frame | None] = [None] * stack.grid.shape[2]
    for header, k in zip(headers, stack.index, strict=True):
        slices[k] = slices[k] or _frame(header)
    return Referenced(stack.grid, tuple(slices), index)


def _headers(path: Path, series: frozenset[str], reading: Reading) -> list[SliceHeader]:
    found: list[SliceHeader] = []
    if not series:
        return found
    for file in sorted(path.parent.iterdir()):
        reading.check_stop()
        if file == path or not file.is_file():
            continue
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        if not is_dicom(head):
            continue
        try:
            headers = read_headers(file)
        except VolumeError:
            # Whoever reads that series is told; here it only lends its grid.
            continue
        found += [header for header in headers if header.series_uid in series]
    return found


def _fits(header: SliceHeader, frames: FrameSet) -> bool:
    return (
        header.position_mm is not None
        and header.size == frames.size
        and header.frame_of_reference_uid == frames.about.frame_of_reference_uid
        and _close(header.orientation, frames.orientation)
        and _close(header.spacing_mm, frames.spacing_mm)
    )


def _close(one: tuple[float, ...] | None, other: tuple[float, ...]) -> bool:
    return one is not None and bool(np.abs(np.subtract(one, other)).max() <= _SAME_WITHIN)


def _lie_on(frames: FrameSet, stack: PlaneStack) -> tuple[int, ...] | None:
    """For each frame the slice of the stack at its place; None if one lies elsewhere."""
    places = frames.positions_lps_mm @ LPS_TO_IPL[:3, :3].T
    slices = np.rint(stack.grid.to_index(places)[:, 2]).astype(int)
    if slices.min() < 0 or slices.max() >= stack.grid.shape[2]:
        return None
    at = stack.grid.to_world(np.stack([0 * slices, 0 * slices, slices], axis=1))
    tolerance = max(SAME_PLACE_MM, _STEP_SHARE * stack.grid.spacing_mm[2], stack.off_mm)
    if np.abs(at - places).max() > tolerance:
        return None
    return tuple(int(k) for k in slices)


def _frame(header: Any) -> Frame:
    a, b, c = header.position_mm
    return Frame(
        header.path, header.sop_class_uid, header.sop_instance_uid, header.frame, (a, b, c)
    )
