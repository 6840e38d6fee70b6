"""Faults that masks have in practice, planted into sound ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_hirescam.review.checks.anatomy import anatomy_of, side_of
from napari_hirescam.volume import Volume

# Each fault has the same arguments, whether it draws lots or not.
# ruff: noqa: ARG001

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Case:
    """A scan with sound masks.

    Parameters
    ----------
    name
        Of the patient.
    ct, masks
        In HU; organ -> [slice, row, column].
    airways
        Windpipe and main bronchi, if they are known.
    """

    name: str
    ct: Volume
    masks: dict[str, BoolArray]
    airways: BoolArray | None = None

    @property
    def mm(self) -> npt.NDArray[np.float64]:
        """Spacing."""
        return np.array(self.ct.spacing_mm)


@dataclass(frozen=True, eq=False)
class Fault:
    """A way to damage a mask.

    Parameters
    ----------
    name
        For the table.
    checks
        Those that should catch it.
    plant
        (case, organ, random numbers) -> the damaged copy, or None where this fault is none.
    """

    name: str
    checks: tuple[str, ...]
    plant: Callable[[Case, str, np.random.Generator], BoolArray | None]


def _form(organ: str) -> str:
    known = anatomy_of(organ)
    return "" if known is None else known.form


def _box(mask: BoolArray) -> tuple[slice, ...]:
    return ndimage.find_objects(mask.astype(np.uint8))[0]


def _cut_ends(mask: BoolArray) -> bool:
    return any(
        span.start == 0 or span.stop == n for span, n in zip(_box(mask), mask.shape, strict=True)
    )


def _depth(case: Case, mask: BoolArray) -> npt.NDArray[np.float64]:
    """Distance to the outside of a mask, mm; what the scan's end cuts goes on behind it."""
    box = _box(mask)
    # One voxel around, which repeats the mask where the scan ends and is empty elsewhere.
    widths = [
        (int(span.start > 0), int(span.stop < n)) for span, n in zip(box, mask.shape, strict=True)
    ]
    part = np.pad(mask[box], widths)
    part = np.pad(part, [(1 - a, 1 - b) for a, b in widths], mode="edge")
    depth = np.zeros(mask.shape)
    depth[box] = ndimage.distance_transform_edt(part, sampling=case.mm)[1:-1, 1:-1, 1:-1]
    return depth


def _around(case: Case, mask: BoolArray, reach_mm: float) -> tuple[slice, ...]:
    """The box of a mask with a margin."""
    margin = np.ceil(reach_mm / case.mm).astype(int)
    return tuple(
        slice(max(0, span.start - k), span.stop + k)
        for span, k in zip(_box(mask), margin, strict=True)
    )


def _rod(case: Case, begin: npt.ArrayLike, end: npt.ArrayLike, radius_mm: float) -> BoolArray:
    """Everything that lies near the line between two voxels."""
    a, b = np.asarray(begin, float), np.asarray(end, float)
    reach = np.ceil(radius_mm / case.mm) + 1
    low = np.maximum(np.minimum(a, b) - reach, 0).astype(int)
    high = np.minimum(np.maximum(a, b) + reach + 1, case.ct.voxels.shape).astype(int)
    axes = [(np.arange(m, n) - c) * mm for m, n, c, mm in zip(low, high, a, case.mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    line = (b - a) * case.mm
    length = max(float(line @ line), 1e-9)
    along = np.clip((z * line[0] + y * line[1] + x * line[2]) / length, 0, 1)
    away = (z - along * line[0]) ** 2 + (y - along * line[1]) ** 2 + (x - along * line[2]) ** 2
    found = np.zeros(case.ct.voxels.shape, bool)
    found[tuple(slice(m, n) for m, n in zip(low, high, strict=True))] = away <= radius_mm**2
    return found


def _ball(case: Case, centre: npt.ArrayLike, radius_mm: float) -> BoolArray:
    return _rod(case, centre, centre, radius_mm)


def _radius_mm(case: Case, mask: BoolArray) -> float:
    return float((0.75 * mask.sum() * case.mm.prod() / np.pi) ** (1 / 3))


def _moved(mask: BoolArray, by: npt.ArrayLike) -> BoolArray:
    moved = np.zeros_like(mask)
    source, target = [], []
    for n, step in zip(mask.shape, np.asarray(by, int), strict=True):
        source.append(slice(max(0, -step), n - max(0, step)))
        target.append(slice(max(0, step), n - max(0, -step)))
    moved[tuple(target)] = mask[tuple(source)]
    return moved


@lru_cache(maxsize=2)
def _body(case: Case) -> BoolArray:
    """The largest piece of tissue, with all that it encloses in each slice."""
    # Slice by slice: some scans have three only.
    tissue = ndimage.binary_opening(case.ct.voxels > -300, np.ones((1, 3, 3)), iterations=2)
    labels, n = ndimage.label(tissue)
    if n == 0:
        return tissue
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    trunk = labels == sizes.argmax()
    for plane in trunk:
        plane[:] = ndimage.binary_fill_holes(plane)
    return trunk


@lru_cache(maxsize=2)
def _body_depth(case: Case) -> npt.NDArray[np.float64]:
    """Distance to the body's surface and to the ends of the scan, mm."""
    return ndimage.distance_transform_edt(np.pad(_body(case), 1), sampling=case.mm)[
        1:-1, 1:-1, 1:-1
    ]


def erase(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Nothing is left."""
    return np.zeros_like(case.masks[organ])


def keep_a_remnant(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Leave a twentieth around the deepest point, of a whole organ of known size."""
    mask = case.masks[organ]
    if anatomy_of(organ) is None or _cut_ends(mask):
        return None
    away = np.linalg.norm(
        (np.argwhere(mask) - np.unravel_index(_depth(case, mask).argmax(), mask.shape)) * case.mm,
        axis=1,
    )
    left = np.zeros_like(mask)
    left[tuple(np.argwhere(mask)[away <= np.quantile(away, 0.05)].T)] = True
    return left


def move_out(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Move it sideways until some third of it lies outside the body."""
    mask, body = case.masks[organ], _body(case)
    if body[:, :, [0, -1]].mean() > 0.2 or mask.sum() * case.mm.prod() < 3000:
        return None
    side = side_of(organ) or int(rng.choice([-1, 1]))
    for mm in range(10, 400, 10):
        moved = _moved(mask, [0, 0, side * round(mm / case.mm[2])])
        if not moved.any() or moved.sum() < 0.5 * mask.sum():
            return None
        if (moved & ~body).sum() > 0.33 * moved.sum():
            return moved
    return None


def mirror(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Exchange right and left about the middle of the body."""
    if side_of(organ) == 0:
        return None
    columns = np.flatnonzero(_body(case).any(axis=(0, 1)))
    n = case.ct.voxels.shape[2]
    shift = int(columns[0] + columns[-1]) - (n - 1)
    return _moved(case.masks[organ][:, :, ::-1], [0, 0, shift])


def add_island(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Add a ball within the body, well apart from the organ."""
    mask = case.masks[organ]
    known = anatomy_of(organ)
    if known is not None and known.pieces == 0:
        return None
    radius = float(np.clip(0.25 * _radius_mm(case, mask), 5, 12))
    box = _around(case, mask, 60)
    apart = ndimage.distance_transform_edt(~mask[box], sampling=case.mm)
    # Not where the scan ends, as a piece that is cut there may hang together beyond it.
    inside = _body_depth(case)[box] > radius + 2
    free = np.argwhere(inside & (apart > radius + 10) & (apart < 60))
    if len(free) == 0:
        return None
    first = [span.start for span in box]
    return mask | _ball(case, free[rng.integers(len(free))] + first, radius)


def carve_hole(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Carve a ball out of the inside."""
    mask = case.masks[organ]
    depth = _depth(case, mask)
    if depth.max() < 7 or depth.max() < 3 * case.mm.max():
        return None
    deep = np.argwhere(depth > 0.8 * depth.max())
    hole = _ball(case, deep[rng.integers(len(deep))], min(0.6 * depth.max(), 9))
    touched = ndimage.binary_dilation(hole)
    # A hole at the scan's end would be a notch.
    return mask & ~hole if (touched & ~mask).sum() == 0 and not _at_end(touched) else None


def _at_end(mask: BoolArray) -> bool:
    return any(np.take(mask, [0, -1], axis=axis).any() for axis in range(3))


def drop_slices(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Leave out one to three slices in a row."""
    mask = case.masks[organ].copy()
    first, last = _box(mask)[0].start, _box(mask)[0].stop
    if last - first < 9:
        return None
    at = int(rng.integers(first + 3, last - 5))
    mask[at : at + int(rng.integers(1, 4))] = False
    return mask


def jag(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Move each slice by itself, some millimetres to and fro."""
    mask = case.masks[organ]
    first, last = _box(mask)[0].start, _box(mask)[0].stop
    area = mask.sum(axis=(1, 2))[first:last]
    if last - first < 8 or np.median(area) < 30:
        return None
    amplitude = max(0.25 * np.sqrt(np.median(area) * case.mm[1] * case.mm[2] / np.pi), 3.0)
    jagged = mask.copy()
    for k in range(first, last):
        by = rng.normal(0, min(amplitude, 6.0), 2) / case.mm[1:]
        jagged[k] = _moved(mask[k : k + 1], [0, *np.rint(by)])[0]
    return jagged


def leak(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Let a lung run into the airways, and a compact organ through a thin neck into others."""
    mask = case.masks[organ]
    if _form(organ) == "lung":
        if case.airways is None or (case.airways & ~mask).sum() * case.mm.prod() < 8000:
            return None
        return mask | case.airways if organ in ("lungs", "left_lung", "right_lung") else None
    if _form(organ) != "compact" or mask.sum() * case.mm.prod() < 25_000:
        return None
    radius = float(np.clip(0.3 * _radius_mm(case, mask), 9, 16))
    box = _around(case, mask, 40)
    apart, nearest = ndimage.distance_transform_edt(
        ~mask[box], sampling=case.mm, return_indices=True
    )
    inside = _body_depth(case)[box] > radius
    free = np.argwhere(inside & (np.abs(apart - radius - 6) < 2))
    if len(free) == 0:
        return None
    end = free[rng.integers(len(free))]
    begin = nearest[:, *end]
    first = np.array([span.start for span in box])
    neck = _rod(
        case, first + 1.5 * begin - 0.5 * end, first + end, max(2.5, 0.6 * float(case.mm.max()))
    )
    return mask | neck | _ball(case, first + end, radius)


def widen(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Draw it 6 mm too wide."""
    if anatomy_of(organ) is None:
        return None
    mask = case.masks[organ].copy()
    box = _around(case, mask, 10)
    mask[box] = ndimage.distance_transform_edt(~mask[box], sampling=case.mm) <= 6
    return mask


#: An organ is taken for one that is unlike it; two kidneys cannot be told apart by anything here
#: but their side.
_UNLIKE = {
    "lung": ("bone", "compact", "muscle"),
    "compact": ("lung", "bone", "tube"),
    "tube": ("lung", "compact", "bone"),
    "bone": ("compact", "muscle", "lung"),
    "muscle": ("bone", "lung", "tube"),
    "bowel": ("bone", "lung", "compact"),
}


def exchange(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Give another organ's mask under its name."""
    unlike = _UNLIKE.get(_form(organ), ())
    others = [name for name in case.masks if _form(name) in unlike]
    return case.masks[str(rng.choice(others))] if others else None


def cut_off(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Cut it off along a slice across its middle, keeping the end that is whole."""
    mask = case.masks[organ].copy()
    if _form(organ) not in ("compact", "lung"):
        return None
    first, last = _box(mask)[0].start, _box(mask)[0].stop
    if last - first < 8 or (first == 0 and last == len(mask)):
        return None
    at = (first + last) // 2
    mask[slice(at, None) if last < len(mask) else slice(None, at)] = False
    return mask


def leave_part_out(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Leave out a ball of lung at the chest wall, as if it were no lung."""
    mask = case.masks[organ]
    if organ not in ("lungs", "left_lung", "right_lung"):
        return None
    depth = _depth(case, mask)
    near = np.argwhere(np.abs(depth - 15) < 2)
    if len(near) == 0:
        return None
    left_out = mask & ~_ball(case, near[rng.integers(len(near))], 32)
    aerated = mask & ~left_out & (case.ct.voxels < -600)
    return left_out if aerated.sum() * case.mm.prod() > 40_000 else None


def shift(case: Case, organ: str, rng: np.random.Generator) -> BoolArray | None:
    """Move it by 25 mm in any direction."""
    mask = case.masks[organ]
    if anatomy_of(organ) is None:
        return None
    direction = rng.normal(size=3)
    by = np.rint(25 * direction / np.linalg.norm(direction) / case.mm)
    moved = _moved(mask, by)
    return moved if moved.sum() > 0.7 * mask.sum() else None


_DENSITY = ("tissue", "mean_hu", "edge")
FAULTS = (
    Fault("erased", ("empty",), erase),
    Fault("a remnant of 5 %", ("volume",), keep_a_remnant),
    Fault("moved out of the body", ("outside_body",), move_out),
    Fault("mirrored", ("left_right",), mirror),
    Fault("an island", ("pieces",), add_island),
    Fault("a hole", ("holes",), carve_hole),
    Fault("slices left out", ("gap",), drop_slices),
    Fault("jagged", ("jagged",), jag),
    Fault("a leak", ("leak",), leak),
    Fault("6 mm too wide", (*_DENSITY, "volume", "outside_body", "partition"), widen),
    Fault("an unlike organ", (*_DENSITY, "volume", "left_right", "partition"), exchange),
    Fault("cut off", ("cut", "partition"), cut_off),
    Fault("a part left out", ("partition",), leave_part_out),
    Fault("moved by 25 mm", (*_DENSITY, "outside_body", "partition", "left_right"), shift),
)
