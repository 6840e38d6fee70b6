"""Put the slices of a series in order and say where the stack lies in the patient.

The position of each slice is the only header field that can be trusted for this: file names,
instance numbers and the stated distance between slices are wrong often enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom_header import SliceHeader
from napari_hirescam.io.dicom_series import SMALLEST_STACK
from napari_hirescam.io.frame import LPS_TO_IPL
from napari_hirescam.volume import FloatArray

_SAME_PLACE_MM = 0.01
_STEP_TOLERANCE = 0.01  # of a step, and no less than _SAME_PLACE_MM
_LINE_TOLERANCE = 0.1  # of a voxel


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order.

    Parameters
    ----------
    slices
        Along the normal, the cross product of row and column direction.
    affine
        4x4; maps (column, row, slice) to (I, P, L) mm; sheared if the gantry was tilted.
    notes
        What was left out.
    """

    slices: tuple[SliceHeader, ...]
    affine: FloatArray
    notes: tuple[str, ...]


def stack(
    path: Path,
    headers: Sequence[SliceHeader],
    same_image: Callable[[SliceHeader, SliceHeader], bool],
) -> Stack:
    """Order the slices of one series by their positions.

    Parameters
    ----------
    path
        File or folder, for messages.
    headers
        Slices of equal size, direction and pixel spacing.
    same_image
        Compares the pixels of two slices; asked only where two lie at one place.

    Raises
    ------
    VolumeError
        If positions are missing or contradict each other, slices are missing or unevenly
        spaced, or there are too few.
    """
    for header in headers:
        if header.position_mm is None or header.orientation is None or header.spacing_mm is None:
            raise VolumeError(
                header.path,
                "the slice does not say where it lies in the patient "
                "(image position, orientation or pixel spacing is missing)",
                "Use the original series, not a copy made for viewing",
            )
    orientation = np.median([header.orientation for header in headers], axis=0)
    pixel_mm = np.median([header.spacing_mm for header in headers], axis=0)
    along_row, along_column = _directions(path, orientation)
    if not (np.isfinite(pixel_mm).all() and pixel_mm.min() > 0):
        raise VolumeError(
            path, f"its pixel spacing {pixel_mm.tolist()} mm is not valid", "Export it again"
        )
    normal = np.cross(along_row, along_column)
    normal /= np.linalg.norm(normal)

    def height(header: SliceHeader) -> float:
        return float(np.dot(normal, np.array(header.position_mm)))

    kept, notes = _without_duplicates(sorted(headers, key=height), height, same_image)
    if len(kept) < SMALLEST_STACK:
        few = "one slice" if len(kept) == 1 else f"{len(kept)} slices"
        raise VolumeError(
            path, f"the series has only {few}, which is not a volume", "Choose the whole series"
        )
    _refuse_uneven(path, [height(header) for header in kept])
    positions = np.array([header.position_mm for header in kept])
    step = (positions[-1] - positions[0]) / (len(kept) - 1)
    line = positions[0] + np.arange(len(kept))[:, None] * step
    off_line = np.abs(positions - line).max()
    if off_line > _LINE_TOLERANCE * min(pixel_mm.min(), np.linalg.norm(step)):
        raise VolumeError(
            path,
            f"its slices are shifted by up to {off_line:.2f} mm off a straight stack",
            "Use the original series",
        )
    lps = np.eye(4)
    # DICOM gives the distance between rows first; columns are counted along a row.
    lps[:3, 0] = along_row * pixel_mm[1]
    lps[:3, 1] = along_column * pixel_mm[0]
    lps[:3, 2] = step
    lps[:3, 3] = positions[0]
    return Stack(tuple(kept), LPS_TO_IPL @ lps, notes)


def _directions(path: Path, orientation: FloatArray) -> tuple[FloatArray, FloatArray]:
    along_row, along_column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not (np.allclose(lengths, 1, atol=0.01) and abs(float(along_row @ along_column)) < 0.01):
        raise VolumeError(
            path,
            f"its image orientation {orientation.tolist()} is not two perpendicular directions",
            "Use the original series",
        )
    return along_row / lengths[0], along_column / lengths[1]


def _without_duplicates(
    ordered: Sequence[SliceHeader],
    height: Callable[[SliceHeader], float],
    same_image: Callable[[SliceHeader, SliceHeader], bool],
) -> tuple[list[SliceHeader], tuple[str, ...]]:
    kept: list[SliceHeader] = []
    dropped: list[str] = []
    for header in ordered:
        if not kept or height(header) - height(kept[-1]) > _SAME_PLACE_MM:
            kept.append(header)
        elif same_image(kept[-1], header):
            dropped.append(header.path.name)
        else:
            raise VolumeError(
                header.path,
                f"it lies at the same place as {kept[-1].path.name} and shows something else",
                "If the series holds several phases, put the files of one into their own folder",
            )
    if not dropped:
        return kept, ()
    count = "1 slice is" if len(dropped) == 1 else f"{len(dropped)} slices are"
    names = ", ".join(dropped[:3]) + (", ..." if len(dropped) > 3 else "")
    return kept, (
        f"{count} there twice, with the same pixels; the copies were left out ({names}).",
    )


def _refuse_uneven(path: Path, heights: list[float]) -> None:
    steps = np.diff(heights)
    usual = float(np.median(steps))
    tolerance = max(_SAME_PLACE_MM, _STEP_TOLERANCE * usual)
    uneven = np.flatnonzero(np.abs(steps - usual) > tolerance)
    if not uneven.size:
        return
    worst = int(uneven[np.argmax(steps[uneven])])
    where = f"between {heights[worst]:.2f} and {heights[worst + 1]:.2f} mm along the stack"
    multiple = steps / usual
    whole = np.abs(multiple - np.rint(multiple)) <= np.maximum(tolerance / usual, _STEP_TOLERANCE)
    if whole.all():
        count = int(np.rint(multiple - 1).sum())
        missing = "1 slice is" if count == 1 else f"{count} slices are"
        raise VolumeError(
            path,
            f"{missing} missing, the widest gap {where}; the others are {usual:.2f} mm apart",
            "Copy the whole series again",
        )
    raise VolumeError(
        path,
        f"its slices are unevenly spaced, by {steps.min():.2f} to {steps.max():.2f} mm "
        f"(widest {where})",
        "Use a reconstruction with one slice spacing, or resample it first",
    )
