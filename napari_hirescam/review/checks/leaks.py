"""Leaks of a mask: into airways and bowel, or through a thin neck into something else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.checks.subject import Floats, Subject, finding, ml_text, spot
from napari_hirescam.review.item import CheckFinding

_AIRWAY_ML = 3.0
#: Bronchi further from the windpipe run within the lung, where masks may take them in.
_BESIDE_WINDPIPE_MM = 22.0
_BOWEL_ML = 6.0
_GAS_HU = -930
#: An outgrowth hangs on a neck so thin, and is so large.
_NECKS_MM = (2.0, 3.0, 4.0, 5.0, 6.5, 8.0)
_OUTGROWTH_ML = 1.5
_OUTGROWTH_SHARE = 0.008
#: The neck is thinner than the outgrowth by this factor at least; in sound masks by 1.1.
_WAIST = 1.6


def check_airways(subject: Subject) -> Iterator[CheckFinding]:
    """Find windpipe, main bronchi and bowel gas in what should be lung."""
    scan, anatomy = subject.scan, subject.anatomy
    if anatomy is None or anatomy.form != "lung" or scan.grid is None:
        return
    if scan.airways is None or scan.air is None:
        return
    box, share = subject.on_grid
    airway = share * _windpipe(scan.airways, scan.grid.spacing_mm[2])[box]
    ml = float(airway.sum()) * scan.grid.voxel_ml
    if ml > _AIRWAY_ML:
        at = spot(airway > 0.5 * airway.max()) + [span.start for span in box]
        words = f"{ml_text(ml)} lie in the windpipe and the main bronchi"
        yield finding("leak", words, 0.35 + ml / 100, subject.place_on_grid(at))
    if scan.partition is None:
        return
    lungs = scan.partition.mask(["lungs"])
    other = subject.inner & ~lungs[subject.box]
    gas = other & (scan.ct.voxels[subject.box] < _GAS_HU)
    ml, at = _largest_lump(subject, gas, share_of_airways=scan.airways[box])
    if ml > _BOWEL_ML and at is not None:
        words = f"{ml_text(ml)} of gas that is no lung's, of bowel or stomach perhaps"
        yield finding("leak", words, 0.35 + ml / 100, at)


def _windpipe(airways: BoolArray, spacing_mm: float) -> BoolArray:
    """The airways' part near the column of the windpipe, which is their upper half."""
    found = np.zeros_like(airways)
    planes = np.flatnonzero(airways.any(axis=(1, 2)))
    if len(planes):
        upper = airways[planes[0] : planes[len(planes) // 2] + 1]
        column = float(np.median(np.nonzero(upper)[2]))
        near = np.abs(np.arange(airways.shape[2]) - column) * spacing_mm <= _BESIDE_WINDPIPE_MM
        found[:, :, near] = airways[:, :, near]
    return found


def _largest_lump(
    subject: Subject, gas: np.ndarray, *, share_of_airways: np.ndarray
) -> tuple[float, tuple[float, float, float] | None]:
    """The largest lump of gas that is no airway: its volume and place."""
    from scipy import ndimage

    grid = subject.scan.grid
    if grid is None or not gas.any():
        return 0.0, None
    box, _ = subject.on_grid
    part = np.zeros(subject.mask.shape, bool)
    part[subject.box] = gas
    on_grid = Subject(subject.scan, part, subject.organ, subject.anatomy).on_grid
    lumps = ndimage.binary_opening(on_grid[1] >= 0.5)
    offset = [a.start - b.start for a, b in zip(on_grid[0], box, strict=True)]
    cut = tuple(slice(o, o + n) for o, n in zip(offset, lumps.shape, strict=True))
    lumps &= ~share_of_airways[cut]
    labels, n = ndimage.label(lumps)
    if n == 0:
        return 0.0, None
    sizes = np.bincount(labels.ravel())[1:]
    at = spot(labels == int(sizes.argmax()) + 1) + [span.start for span in on_grid[0]]
    return float(sizes.max()) * grid.voxel_ml, subject.place_on_grid(at)


def check_outgrowth(subject: Subject) -> Iterator[CheckFinding]:
    """Find lumps that hang on a compact organ, or on a tube, by a thin neck."""
    from scipy import ndimage

    anatomy = subject.anatomy
    if anatomy is None or anatomy.form != "compact":
        return
    depth = _of_main_piece(subject)
    for neck in _NECKS_MM:
        subject.tick()
        if neck > 0.5 * float(depth.max()):
            return
        labels, n = ndimage.label(depth > neck)
        if n < 2:
            continue
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        main = int(sizes.argmax())
        deepest = ndimage.maximum(depth, labels, np.arange(1, n + 1))
        for k in np.argsort(sizes[1:])[::-1] + 1:
            if k == main or deepest[k - 1] < _WAIST * neck:
                continue
            # Grown back by what the erosion took.
            grown = ndimage.distance_transform_edt(labels != k, sampling=subject.coarse_mm) <= neck
            ml = float(np.count_nonzero(grown & subject.coarse)) * subject.coarse_ml
            if ml < max(_OUTGROWTH_ML, _OUTGROWTH_SHARE * subject.volume_ml):
                break
            words = f"{ml_text(ml)} hang on it by a neck of less than {2 * neck:.0f} mm"
            place = subject.place_of_block(spot(labels == k))
            yield finding("leak", words, 0.35 + ml / subject.volume_ml, place)
            return


def _of_main_piece(subject: Subject) -> Floats:
    """Depth within the largest piece: what lies apart from it hangs on nothing."""
    from scipy import ndimage

    labels, n = ndimage.label(subject.coarse, np.ones((3, 3, 3)))
    if n == 1:
        return subject.depth_mm
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    found: Floats = np.where(labels == sizes.argmax(), subject.depth_mm, np.float32(0))
    return found


def check_widening(subject: Subject) -> Iterator[CheckFinding]:
    """Find places where a tube is wider than it ever is."""
    anatomy = subject.anatomy
    if anatomy is None or anatomy.form != "tube" or not anatomy.radius_mm:
        return
    widest = float(subject.depth_mm.max())
    if widest <= anatomy.radius_mm:
        return
    at = np.unravel_index(int(subject.depth_mm.argmax()), subject.depth_mm.shape)
    yield finding(
        "leak",
        f"it is {2 * widest:.0f} mm wide, and this organ hardly {2 * anatomy.radius_mm:.0f}",
        0.4 + 0.3 * (widest / anatomy.radius_mm - 1),
        subject.place_of_block(np.array(at)),
    )
