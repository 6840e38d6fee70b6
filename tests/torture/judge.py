"""What is true of a made-up scan, and whether an answer to it is right.

A scan is a function of the patient: every point in LPS mm has its HU. Files are samples of it, so
an answer is right when each of its voxels holds the value of the place it claims to lie at,
whatever its grid, order or resampling. Nothing of the package is used to say what is true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

AIR = -1000
"""At or below this a voxel shows nothing: what readers put outside a scan."""

_LOWEST_AIR = -1100  # below, it is a number that no scanner measures
_NEXT_TO = 0.06  # of a voxel: nearer than this it is the stored voxel, not one between
_THE_SAME = 1e-3
_EVENED = 3.0  # HU more for a slice made up between two far ones
_INTERPOLATED = 0.9  # HU more in a resampled volume: rounded twice, and the patient is curved


def hu_at(lps_mm: np.ndarray) -> np.ndarray:
    """The patient, [..., 3] mm to [...] HU, not rounded.

    Rises differently along each axis, so that a swap or a flip shows, and bends a little, so that
    no shift or turn leaves it as it was.
    """
    x, y, z = np.moveaxis(np.asarray(lps_mm, dtype=np.float64), -1, 0)
    bend = 0.04 * x * y + 0.06 * y * z - 0.05 * x * z + 0.03 * z**2
    return 16 * x + 25 * y + 17 * z + bend


def later_hu_at(lps_mm: np.ndarray) -> np.ndarray:
    """The same patient with contrast medium: a second phase."""
    return 0.8 * hu_at(lps_mm) + 90


@dataclass(frozen=True, eq=False)
class Scan:
    """What a file or series truly holds.

    Parameters
    ----------
    affine
        4x4, (column, row, level) to LPS mm. A level counts slices and need not be whole.
    size
        Columns and rows.
    levels
        Those of the measured slices, ascending.
    value
        What is measured at a point.
    within
        How far a stored number may lie off `value`, by rounding or lossy compression.
    padded
        [column, row, slice], True where the file says that nothing was measured.
    labels
        Of a mask: the values that may occur at all; empty for a scan.
    anywhere
        The file does not say where it lies: only spacing and order can be judged.
    """

    affine: np.ndarray
    size: tuple[int, int]
    levels: tuple[float, ...]
    value: Callable[[np.ndarray], np.ndarray] = hu_at
    within: float = 0.51
    padded: np.ndarray | None = None
    labels: tuple[int, ...] = ()
    anywhere: bool = False

    def points(self) -> np.ndarray:
        """Centres of the stored voxels, [column, row, slice, 3] LPS mm."""
        axes = (np.arange(self.size[0]), np.arange(self.size[1]), np.array(self.levels))
        index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]

    def without(self, *slices: int) -> Scan:
        """The scan when some of its slices are lost."""
        kept = (level for k, level in enumerate(self.levels) if k not in slices)
        return replace(self, levels=tuple(kept))

    def index_of(self, lps_mm: np.ndarray) -> np.ndarray:
        """(column, row, level) of points [..., 3]."""
        return (lps_mm - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T


@dataclass(frozen=True, eq=False)
class Answer:
    """What a reader gave back.

    Parameters
    ----------
    values
        Three-dimensional.
    affine
        4x4, index of `values` to LPS mm.
    invalid
        True where the reader says that nothing was measured; None if it cannot say so.
    says_invalid
        Whether this reader has a way to say so: then padding and blank slices must be marked.
    """

    values: np.ndarray
    affine: np.ndarray
    invalid: np.ndarray | None = None
    says_invalid: bool = False


class Verdict(StrEnum):
    """What became of a case."""

    RIGHT = "right"
    ASKED = "right, after asking which"
    REPAIRED = "right, with consent to a repair"
    REFUSED = "refused"
    WRONG = "SILENTLY WRONG"
    WARNED = "wrong, with a warning"
    CRASH = "CRASH"


@dataclass(frozen=True, eq=False)
class Made:
    """A case on the disk: what to open, and what it truly holds."""

    path: Path
    scans: tuple[Scan, ...] = ()


def fault(answer: Answer, scan: Scan) -> str:
    """Say what is wrong with an answer, "" if nothing is."""
    if answer.values.ndim != 3:
        return f"{answer.values.ndim} axes instead of three"
    if scan.anywhere:
        return _fault_of_unplaced(answer, scan)
    return _fault_in_reach(answer, scan) or _fault_in_values(answer, scan)


def _fault_in_reach(answer: Answer, scan: Scan) -> str:
    """Every measured voxel must lie within the answer, and be no worse than measured there."""
    points = scan.points()
    index = (points - answer.affine[:3, 3]) @ np.linalg.inv(answer.affine[:3, :3]).T
    beyond = np.maximum(-index, index - (np.array(answer.values.shape) - 1)).max(axis=-1)
    if beyond.max() > 0.51:
        worst = points[np.unravel_index(beyond.argmax(), beyond.shape)]
        return f"what was measured at {_mm(worst)} is not in it"
    if answer.invalid is None:
        return ""
    nearest = np.rint(index).astype(int)
    off = np.abs(index - nearest).max(axis=-1)
    # A resampled voxel beside a stored one may lean on a neighbour that was not measured.
    is_stored = off < (_NEXT_TO if (off < _NEXT_TO).all() else _THE_SAME)
    if scan.padded is not None:
        is_stored &= ~scan.padded
    lost = is_stored & answer.invalid[tuple(np.moveaxis(nearest, -1, 0))]
    return f"{lost.sum()} measured voxels are called invalid" if lost.any() else ""


def _fault_in_values(answer: Answer, scan: Scan) -> str:
    """Every voxel of the answer must hold what is true at its place."""
    index = np.stack(np.meshgrid(*map(np.arange, answer.values.shape), indexing="ij"), axis=-1)
    places = index @ answer.affine[:3, :3].T + answer.affine[:3, 3]
    stored = scan.index_of(places)
    first = np.array([0, 0, scan.levels[0]])
    last = np.array([scan.size[0] - 1, scan.size[1] - 1, scan.levels[-1]])
    levels = np.array(scan.levels)
    thickness = np.array([1, 1, np.diff(levels).max(initial=0) or 1])
    outside = (np.maximum(first - stored, stored - last) / thickness).max(axis=-1)
    off_level = np.abs(stored[..., 2, None] - levels).min(axis=-1)
    off_pixel = np.abs(stored[..., :2] - np.rint(stored[..., :2])).max(axis=-1)
    between = np.maximum(off_level, off_pixel) > _NEXT_TO
    values = answer.values.astype(np.float64)
    if np.isnan(values).any():
        return "it holds NaN"
    if scan.labels and not np.isin(values, scan.labels).all():
        return "it holds labels that the mask does not have"

    expected = scan.value(places)
    off = np.abs(values - expected)
    # A grid may be called straight although it is off by less than shows: then the stored
    # number may stand a hair beside its place.
    nearest = np.concatenate([np.rint(stored[..., :2]), _nearest(levels, stored[..., 2:])], axis=-1)
    at_nearest = scan.value(nearest @ scan.affine[:3, :3].T + scan.affine[:3, 3])
    off = np.where(between, off, np.minimum(off, np.abs(values - at_nearest)))
    inside = outside <= 1e-3
    within = scan.within + (_INTERPOLATED if (between & inside).any() else 0)
    wrong = inside & (off > within)
    # Between the outermost centres and the ends of their voxels a reader may repeat or blend.
    wrong |= (outside > 0.6) & (values > AIR) & (off > within)
    if answer.invalid is not None:
        # What is marked is no measurement; on the file's own grid it is blank or interpolated.
        is_blank = (values <= AIR) & (values >= _LOWEST_AIR)
        resampled = (between & inside & ~answer.invalid).any()
        wrong &= ~answer.invalid | (inside & ~resampled & ~is_blank & (off > within + _EVENED))
    if scan.padded is not None:
        wrong = _with_padding(answer, scan, stored, wrong)
    if not wrong.any():
        return ""
    at = np.unravel_index(np.where(wrong, off, -1).argmax(), off.shape)
    return (
        f"{wrong.sum()} of {wrong.size} voxels: at {_mm(places[at])} it has {values[at]:g}, "
        f"true is {expected[at]:.0f}"
    )


def _nearest(levels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return levels[np.abs(wanted - levels).argmin(axis=-1)][..., None]


def _with_padding(answer: Answer, scan: Scan, stored: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Where nothing was measured the answer must look like air, and say so if it can."""
    assert scan.padded is not None
    limit = np.array(scan.padded.shape) - 1
    is_stored = np.abs(stored - np.rint(stored)).max(axis=-1) < _NEXT_TO

    def is_padded(corner: np.ndarray) -> np.ndarray:
        index = np.clip(corner.astype(int), 0, limit)
        return scan.padded[tuple(np.moveaxis(index, -1, 0))]

    here = is_padded(np.rint(stored)) & is_stored
    # What lies between stored voxels may be blended with padding beside it.
    beside = ~is_stored & (
        np.any([is_padded(np.floor(stored) + step) for step in np.ndindex(2, 2, 2)], axis=0)
    )
    empty = answer.values <= AIR
    if answer.says_invalid:
        marked = np.zeros_like(empty) if answer.invalid is None else answer.invalid
        empty = marked & empty & (answer.values >= _LOWEST_AIR)
    return np.where(here, ~empty, wrong & ~beside)


def _fault_of_unplaced(answer: Answer, scan: Scan) -> str:
    """Without a place, the voxels must be those of the file, in order, and the right size."""
    truth = scan.value(scan.points())
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    for order in ((0, 1, 2), (2, 1, 0)):  # readers hand out (column, row, slice) or the reverse
        turned = answer.values.transpose(order)
        if turned.shape != truth.shape:
            continue
        sizes = np.linalg.norm(answer.affine[:3, :3], axis=0)[list(order)]
        if not np.allclose(sizes, spacing, atol=1e-3):
            return f"its voxels are {sizes} mm, true is {spacing}"
        for flips in np.ndindex(2, 2, 2):
            steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
            if np.abs(turned[steps] - truth).max() <= scan.within:
                return ""
    return "its voxels are not those of the file in their order"


def _mm(point: np.ndarray) -> str:
    return "LPS (" + ", ".join(f"{x:.1f}" for x in point) + ")"
