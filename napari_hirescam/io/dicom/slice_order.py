"""The slices of a stack in the order in which they lie in the patient.

The position of each slice is the only header field that can be trusted for this: file names,
instance numbers and the stated distance between slices are wrong often enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.volume import FloatArray

SAME_PLACE_MM = 0.01
LINE_TOLERANCE = 0.1
"""Of a voxel: what a slice may lie off its place."""

_ROUNDED_TO_MM = 0.1
_WRITTEN_EXACTLY = 1e-6  # tenths
_STEP_TO_ROUNDING = 3.0  # a step at least so many times as long cannot be mistaken

_STRAIGHT = 0.8  # cosine between a normal and the axis that a cut is named after
_LENGTH_TOLERANCE = 0.05  # of a direction cosine vector, which ought to have length 1


@dataclass(frozen=True, eq=False)
class Line:
    """Slices in the order in which they lie along their common normal.

    Parameters
    ----------
    slices
        Along the normal, the cross product of row and column direction.
    along_row, along_column, normal
        LPS unit vectors: of growing column index, of growing row index, and across both.
    pixel_mm
        Distance between rows, then between columns.
    heights_mm
        [slice], position along the normal.
    step
        LPS mm from slice to slice for one mm along the normal; not the normal itself where the
        gantry was tilted.
    off_line_mm
        Farthest that a slice lies off the straight line through the first and the last.
    """

    slices: tuple[SliceHeader, ...]
    along_row: FloatArray
    along_column: FloatArray
    normal: FloatArray
    pixel_mm: FloatArray
    heights_mm: FloatArray
    step: FloatArray
    off_line_mm: float

    @property
    def gaps_mm(self) -> FloatArray:
        """[slice - 1], distance along the normal from each slice to the next."""
        return np.diff(self.heights_mm)

    @property
    def repeats(self) -> bool:
        """True if two slices lie at one height."""
        return bool((self.gaps_mm <= SAME_PLACE_MM).any())

    @property
    def is_straight(self) -> bool:
        """True if the slices are not shifted against each other, but for a constant shear."""
        if len(self.slices) < 2 or self.repeats:
            return True
        usual = float(np.median(self.gaps_mm))
        return self.off_line_mm <= LINE_TOLERANCE * min(float(self.pixel_mm.min()), usual)

    @property
    def tilt_deg(self) -> float:
        """Angle between the line of the slices and their normal."""
        return float(np.degrees(np.arctan(np.linalg.norm(self.step - self.normal))))


def line_up(path: Path, headers: Sequence[SliceHeader]) -> Line:
    """Order slices by their positions.

    Parameters
    ----------
    path
        File or folder, for messages.
    headers
        At least one, of equal size, direction and pixel spacing, each with its place.

    Raises
    ------
    VolumeError
        If a place is missing or makes no sense.
    """
    for header in headers:
        if not says_its_place(header):
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
    positions = np.array([header.position_mm for header in headers], dtype=np.float64)
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    positions, heights = positions[order], heights[order]
    extent = heights[-1] - heights[0]
    step = (positions[-1] - positions[0]) / extent if extent > SAME_PLACE_MM else normal
    expected = positions[0] + (heights - heights[0])[:, None] * step
    off_line = float(np.linalg.norm(positions - expected, axis=1).max())
    ordered = tuple(headers[k] for k in order)
    return Line(
        ordered, along_row, along_column, normal, pixel_mm, heights, step, off_line_mm=off_line
    )


def are_rounded(positions_mm: FloatArray, normal: FloatArray, at: npt.NDArray[np.floating]) -> bool:
    """Tell whether planes look uneven for no other reason than that their positions are rounded.

    Some scanners and archives write tenths of a millimetre whatever the slice spacing: 0.625 mm
    then reads as 0.6 and 0.7 in turns.

    Parameters
    ----------
    positions_mm
        [plane, 3] along the patient's axes, ascending along `normal`.
    normal
        Unit vector.
    at
        [plane], where each ought to lie, counted in steps of one length.
    """
    tenths = positions_mm / _ROUNDED_TO_MM
    if np.abs(tenths - np.rint(tenths)).max() > _WRITTEN_EXACTLY:
        return False
    heights = positions_mm @ normal
    step, start = np.polyfit(at, heights, 1)
    off = np.abs(start + step * at - heights).max()
    # Half a tenth in each coordinate, and a little since the fit is not the closest one.
    most = 0.55 * _ROUNDED_TO_MM * np.abs(normal).sum()
    return bool(off <= most and step >= _STEP_TO_ROUNDING * _ROUNDED_TO_MM)


def says_its_place(header: SliceHeader) -> bool:
    """Tell whether a slice has a position, directions and a pixel spacing."""
    return None not in (header.position_mm, header.orientation, header.spacing_mm)


def _directions(path: Path, orientation: FloatArray) -> tuple[FloatArray, FloatArray]:
    along_row, along_column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if (
        not np.allclose(lengths, 1, atol=_LENGTH_TOLERANCE)
        or abs(float(along_row @ along_column)) > 0.01
    ):
        raise VolumeError(
            path,
            f"its image orientation {orientation.tolist()} is not two perpendicular directions",
            "Use the original series",
        )
    return along_row / lengths[0], along_column / lengths[1]


def mean_gap(gaps_mm: FloatArray) -> float:
    """As :func:`usual_gap`, but the mean, which rounding leaves alone."""
    return float(np.mean(gaps_mm[gaps_mm < 1.5 * gaps_mm.min()]))


def usual_gap(gaps_mm: FloatArray) -> float:
    """The finest distance from slice to slice that is no mere jitter of another one."""
    return float(np.median(gaps_mm[gaps_mm < 1.5 * gaps_mm.min()]))


def cut_name(header: SliceHeader) -> str:
    """Name the direction of a slice: axial, coronal, sagittal or oblique."""
    if header.orientation is None:
        return "no direction"
    normal = np.abs(np.cross(header.orientation[:3], header.orientation[3:]))
    straight = normal.max() > _STRAIGHT * np.linalg.norm(normal)
    return ("sagittal", "coronal", "axial")[int(normal.argmax())] if straight else "oblique"


def angle_deg(one: SliceHeader, other: SliceHeader) -> float:
    """Between the normals of two slices; 0 if one of them has no direction."""
    if one.orientation is None or other.orientation is None:
        return 0.0
    normals = [np.cross(o[:3], o[3:]) for o in (one.orientation, other.orientation)]
    lengths = [float(np.linalg.norm(normal)) for normal in normals]
    if min(lengths) == 0:
        return 0.0
    cosine = abs(float(normals[0] @ normals[1])) / (lengths[0] * lengths[1])
    return float(np.degrees(np.arccos(min(cosine, 1.0))))
