"""Bring the slices of a series onto a regular grid, and say where it lies in the patient.

What is missing or uneven is mended on the user's word alone, and marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ConsentNeededError
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.slice_order import (
    LINE_TOLERANCE,
    SAME_PLACE_MM,
    Line,
    are_rounded,
    line_up,
    mean_gap,
    usual_gap,
)
from napari_hirescam.io.frame import LPS_TO_IPL
from napari_hirescam.source import Repair, Repaired
from napari_hirescam.volume import FloatArray

SMALLEST_STACK = 3
"""Fewer slices are no volume: two do not even show whether one is missing between them."""

_STEP_TOLERANCE = 0.01  # of a step, and no less than SAME_PLACE_MM
_MOST_INVENTED = 8  # grid slices for each measured one


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices on a regular grid.

    Parameters
    ----------
    line
        The measured slices in order.
    at
        [measured slice], where it lies on the grid, in grid slices; whole numbers unless the
        spacing had to be evened out.
    n_slices
        Of the grid; more than are measured where some were inserted.
    affine
        4x4; maps (column, row, slice) of the grid to (I, P, L) mm; sheared if the gantry was
        tilted.
    repaired
        What was done to come to a regular grid.
    """

    line: Line
    at: FloatArray
    n_slices: int
    affine: FloatArray
    repaired: tuple[Repaired, ...] = ()

    @property
    def slices(self) -> tuple[SliceHeader, ...]:
        """The measured slices in order."""
        return self.line.slices

    @property
    def is_evened(self) -> bool:
        """True if measured slices lie between those of the grid."""
        return bool(np.abs(self.at - np.rint(self.at)).max() > 1e-9)

    @property
    def is_rounded(self) -> bool:
        """True if slices look uneven since their positions are rounded, and are taken for even."""
        gaps = self.line.gaps_mm
        even = np.diff(self.at) * (gaps.sum() / self.at[-1])
        tolerance = np.maximum(SAME_PLACE_MM, _STEP_TOLERANCE * gaps)
        return not self.is_evened and bool((np.abs(gaps - even) > tolerance).any())


def stack(path: Path, headers: Sequence[SliceHeader], allow: frozenset[Repair]) -> Stack:
    """Bring the slices of one series onto a regular grid.

    Parameters
    ----------
    path
        File or folder, for messages.
    headers
        Slices of equal size, direction and pixel spacing, no two at one place.
    allow
        Repairs the user agreed to.

    Raises
    ------
    VolumeError
        If there are too few slices, or they do not stand one above the other.
    ConsentNeededError
        If slices are missing or unevenly spaced and the repair was not allowed.
    """
    line = line_up(path, headers)
    if len(line.slices) < SMALLEST_STACK:
        count = len(line.slices)
        few = "one slice" if count == 1 else f"{count} slices"
        raise VolumeError(
            path, f"the series has only {few}, which is not a volume", "Choose the whole series"
        )
    extent = float(line.heights_mm[-1] - line.heights_mm[0])
    if extent <= SAME_PLACE_MM:
        raise VolumeError(
            path,
            f"all its {len(line.slices)} slices lie at the same place, so they are no volume",
            "If it is a series over time or a screening of several takes, choose another series",
        )
    if line.repeats:
        k = int(np.flatnonzero(line.gaps_mm <= SAME_PLACE_MM)[0])
        raise VolumeError(
            line.slices[k + 1].path,
            f"it lies at the same place as {line.slices[k].path.name} and shows something else",
            "If the series holds several phases, put the files of one into their own folder",
        )
    if not line.is_straight:
        raise VolumeError(
            path,
            f"its slices are shifted by up to {line.off_line_mm:.2f} mm off a straight stack",
            "Use the original series",
        )
    at, spacing, repaired = _regular(path, line, allow)
    n_slices = int(np.ceil(at[-1] - 1e-3)) + 1
    lps = np.eye(4)
    # DICOM gives the distance between rows first; columns are counted along a row.
    lps[:3, 0] = line.along_row * line.pixel_mm[1]
    lps[:3, 1] = line.along_column * line.pixel_mm[0]
    lps[:3, 2] = line.step * spacing
    lps[:3, 3] = line.slices[0].position_mm
    return Stack(line, at, n_slices, LPS_TO_IPL @ lps, repaired)


def _regular(
    path: Path, line: Line, allow: frozenset[Repair]
) -> tuple[FloatArray, float, tuple[Repaired, ...]]:
    """Where the slices lie on a regular grid, its spacing in mm, and what that took."""
    gaps = line.gaps_mm
    usual = usual_gap(gaps)
    tolerance = np.maximum(SAME_PLACE_MM, _STEP_TOLERANCE * gaps)
    extent = float(line.heights_mm[-1] - line.heights_mm[0])
    whole = np.rint(gaps / usual)
    total = int(whole.sum())
    at = np.concatenate([[0.0], np.cumsum(whole)])
    # Gaps that differ by less than the tolerance can still add up.
    drift = float(np.abs(line.heights_mm - line.heights_mm[0] - at * (extent / total)).max())
    is_regular = bool((np.abs(gaps - whole * usual) <= tolerance).all()) and (
        drift <= max(SAME_PLACE_MM, LINE_TOLERANCE * usual)
    )
    if not is_regular:
        by_mean = np.rint(gaps / mean_gap(gaps))
        places = np.concatenate([[0.0], np.cumsum(by_mean)])
        positions = np.array([header.position_mm for header in line.slices], dtype=np.float64)
        if are_rounded(positions, line.normal, places):
            is_regular, whole, at, total = True, by_mean, places, int(places[-1])
            usual = extent / total
    if is_regular and total <= _MOST_INVENTED * len(gaps):
        if (whole == 1).all():
            return at, extent / total, ()
        repairs: tuple[Repair, ...] = (Repair.INSERT_MISSING,)
        if _spacing_changes(whole):
            repairs = (Repair.EVEN_SPACING, Repair.INSERT_MISSING)
        if not allow.intersection(repairs):
            raise _consent_for_missing(path, line, whole, usual, repairs)
        if repairs[0] in allow or Repair.EVEN_SPACING not in repairs:
            repair = repairs[0]
        else:
            repair = Repair.INSERT_MISSING
        if repair is Repair.INSERT_MISSING:
            count = total + 1 - len(line.slices)
            what = (
                f"{_slices(count)} missing, the widest gap {_widest(line)}; blank ones, marked "
                f"invalid, were put there, {usual:.2f} mm apart like the others."
            )
            return at, extent / total, (Repaired(repair, what, asked=True),)
        return at, extent / total, (_evened(at, line, usual),)
    if Repair.EVEN_SPACING not in allow:
        raise ConsentNeededError(
            path,
            f"its slices are unevenly spaced, by {gaps.min():.2f} to {gaps.max():.2f} mm "
            f"(widest {_widest(line)})",
            f"Use a reconstruction with one slice spacing, or allow {Repair.EVEN_SPACING!s}: "
            "slices are interpolated at the finest spacing, and those that were not measured "
            "are marked",
            (Repair.EVEN_SPACING,),
        )
    at = (line.heights_mm - line.heights_mm[0]) / usual
    if at[-1] > _MOST_INVENTED * len(gaps):
        raise VolumeError(
            path,
            f"its slices lie {gaps.min():.2f} to {gaps.max():.2f} mm apart, too unevenly to be "
            "evened out",
            "Use a reconstruction with one slice spacing",
        )
    near = np.abs(at - np.rint(at)) * usual <= np.maximum(SAME_PLACE_MM, _STEP_TOLERANCE * usual)
    at[near] = np.rint(at[near])
    return at, usual, (_evened(at, line, usual),)


def _spacing_changes(whole: FloatArray) -> bool:
    """True if several equally wide gaps follow each other: slices seldom get lost that way."""
    return bool(((whole[1:] == whole[:-1]) & (whole[1:] > 1)).any())


def _consent_for_missing(
    path: Path, line: Line, whole: FloatArray, usual: float, repairs: tuple[Repair, ...]
) -> ConsentNeededError:
    count = int(whole.sum()) - len(whole)
    reason = (
        f"{_slices(count)} missing, the widest gap {_widest(line)}; the others are "
        f"{usual:.2f} mm apart"
    )
    remedy = (
        f"Copy the whole series again, or allow {Repair.INSERT_MISSING!s}: blank slices, marked "
        "as invalid, are put there"
    )
    if Repair.EVEN_SPACING in repairs:
        reason = (
            f"its slice spacing changes, by {line.gaps_mm.min():.2f} to "
            f"{line.gaps_mm.max():.2f} mm, or {reason}"
        )
        remedy = (
            f"Copy the whole series again, or allow {Repair.EVEN_SPACING!s}: slices are "
            f"interpolated and marked; or {Repair.INSERT_MISSING!s}: blank slices, marked as "
            "invalid, are put there"
        )
    return ConsentNeededError(path, reason, remedy, repairs)


def _evened(at: FloatArray, line: Line, spacing: float) -> Repaired:
    n_grid = int(np.ceil(at[-1] - 1e-3)) + 1
    measured = int((np.abs(at - np.rint(at)) < 1e-9).sum())
    what = (
        f"The slices lie {line.gaps_mm.min():.2f} to {line.gaps_mm.max():.2f} mm apart and were "
        f"interpolated to one every {spacing:.2f} mm; {n_grid - measured} of {n_grid} slices are "
        "not measured, and marked invalid."
    )
    return Repaired(Repair.EVEN_SPACING, what, asked=True)


def _slices(count: int) -> str:
    return "1 slice is" if count == 1 else f"{count} slices are"


def _widest(line: Line) -> str:
    k = int(np.argmax(line.gaps_mm))
    return f"between {line.heights_mm[k]:.2f} and {line.heights_mm[k + 1]:.2f} mm along the stack"


def onto_grid(
    measured: npt.NDArray[Any],
    invalid: npt.NDArray[np.bool_] | None,
    stacked: Stack,
    blank: float,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Put measured slices on the regular grid of their stack.

    Parameters
    ----------
    measured
        [measured slice, row, column].
    invalid
        The same shape, True where there is no measurement; None if there is one everywhere.
    stacked
        Says where each slice lies.
    blank
        Value of inserted slices.

    Returns
    -------
    [grid slice, row, column] in the type of `measured` (interpolated integers are rounded), and
    what of it is no measurement.
    """
    if stacked.n_slices == len(measured) and not stacked.is_evened:
        return measured, invalid
    evened = any(one.repair is Repair.EVEN_SPACING for one in stacked.repaired)
    shape = (stacked.n_slices, *measured.shape[1:])
    voxels = np.full(shape, blank, dtype=measured.dtype)
    no_measurement = np.ones(shape, dtype=bool)
    for k in range(stacked.n_slices):
        above = int(np.searchsorted(stacked.at, k - 1e-9))
        if above < len(stacked.at) and abs(stacked.at[above] - k) < 1e-9:
            voxels[k] = measured[above]
            no_measurement[k] = False if invalid is None else invalid[above]
        elif evened:
            voxels[k] = _between(measured, stacked.at, k, above)
    return voxels, no_measurement


def _between(measured: npt.NDArray[Any], at: FloatArray, k: int, above: int) -> npt.NDArray[Any]:
    if above == len(at):  # the last grid slice may lie beyond the last measured one
        last: npt.NDArray[Any] = measured[-1]
        return last
    share = (k - at[above - 1]) / (at[above] - at[above - 1])
    low = measured[above - 1].astype(np.float32)
    mixed: npt.NDArray[Any] = low + np.float32(share) * (measured[above] - low)
    if np.issubdtype(measured.dtype, np.integer):
        np.rint(mixed, out=mixed)
    return mixed
