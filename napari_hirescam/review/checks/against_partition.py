"""Agreement of a mask with what PARTITION finds by morphology alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_hirescam.organs.organ_map import BoolArray, OrganMap
from napari_hirescam.review.checks.subject import Subject, finding, ml_text, spot
from napari_hirescam.review.item import CheckFinding

_LUNGS = ("lungs", "right_lung", "left_lung")
_LOBES = "lung_"
#: Below, one of the two is wrong; sound masks of diseased lungs have 0.93 and more.
_LEAST_DICE = 0.9
#: Aerated lung that is left out, in one lump.
_LEFT_OUT_ML = 15.0
_LEFT_OUT_SHARE = 0.01
_AERATED_HU = -500
#: A part of the lung, or of what lies between the lungs, lies in PARTITION's region so far.
_LEAST_INSIDE = 0.8
_BETWEEN = ("heart", "great_vessel", "aorta", "pulmonary_artery", "superior_vena_cava")
#: Where PARTITION doubts itself, it speaks less loudly.
_DOUBTED = 0.6
#: Less says nothing of where an organ lies.
_LEAST_ML = 2.0


def is_compared(organ: str) -> bool:
    """Whether an organ is one that PARTITION can say something of."""
    return organ in (*_LUNGS, *_BETWEEN) or organ.startswith(_LOBES)


def check_partition(subject: Subject) -> Iterator[CheckFinding]:
    """Compare lungs and lobes with PARTITION's lungs, the heart with what it finds between."""
    partition = subject.scan.partition
    if partition is None or partition.labels.shape != subject.mask.shape:
        return
    if subject.volume_ml < _LEAST_ML:
        return
    trust = _DOUBTED if partition.doubts else 1.0
    if subject.organ in _LUNGS:
        yield from _lungs(subject, partition.mask([subject.organ]), trust)
    elif subject.organ.startswith(_LOBES):
        yield from _inside(subject, partition.mask(["lungs"]), "PARTITION's lungs", trust)
    elif subject.organ in _BETWEEN and "heart" in partition.values:
        yield from _between(subject, partition, trust)


def _lungs(subject: Subject, found: BoolArray, trust: float) -> Iterator[CheckFinding]:
    both = float(np.count_nonzero(found[subject.box] & subject.inner))
    dice = 2 * both / (np.count_nonzero(found) + np.count_nonzero(subject.inner))
    left_out, place = _left_out(subject, found)
    if left_out > max(_LEFT_OUT_ML, _LEFT_OUT_SHARE * subject.volume_ml):
        words = f"{ml_text(left_out)} of lung that PARTITION finds are left out (Dice {dice:.2f})"
        yield finding("partition", words, 0.4 + trust * left_out / subject.volume_ml, place)
    elif dice < _LEAST_DICE:
        words = f"Dice with PARTITION's {subject.organ.replace('_', ' ')} is {dice:.2f}"
        yield finding("partition", words, 0.35 + trust * (1 - dice), _beyond(subject, found))


def _left_out(
    subject: Subject, found: BoolArray
) -> tuple[float, tuple[float, float, float] | None]:
    """The largest lump of aerated lung that the mask lacks, mL, and its place."""
    from scipy import ndimage

    scan = subject.scan
    if scan.grid is None:
        return 0.0, None
    lacking = Subject(scan, found & ~subject.mask, subject.organ, None)
    if not lacking.mask.any():
        return 0.0, None
    box, share = lacking.on_grid
    aerated = (share >= 0.5) & (scan.grid.hu[box] < _AERATED_HU)
    lumps = ndimage.binary_opening(aerated)
    labels, n = ndimage.label(lumps)
    if n == 0:
        return 0.0, None
    sizes = np.bincount(labels.ravel())[1:]
    at = spot(labels == int(sizes.argmax()) + 1) + [span.start for span in box]
    return float(sizes.max()) * scan.grid.voxel_ml, subject.place_on_grid(at)


def _between(subject: Subject, partition: OrganMap, trust: float) -> Iterator[CheckFinding]:
    """What lies between the lungs, at their height."""
    planes = np.flatnonzero(partition.mask(["lungs"]).any(axis=(1, 2)))
    if len(planes) == 0:
        return
    height = slice(int(planes[0]), int(planes[-1]) + 1)
    at_height = np.zeros_like(subject.mask)
    at_height[height] = subject.mask[height]
    if at_height.any():
        part = Subject(subject.scan, at_height, subject.organ, subject.anatomy, subject.tick)
        region = partition.mask(["heart"])
        yield from _inside(part, region, "the region between the lungs that PARTITION finds", trust)


def _inside(
    subject: Subject, region: BoolArray, called: str, trust: float
) -> Iterator[CheckFinding]:
    share = float(np.count_nonzero(region[subject.box] & subject.inner)) / np.count_nonzero(
        subject.inner
    )
    if share >= _LEAST_INSIDE:
        return
    words = f"{share:.0%} of it lie in {called}"
    yield finding("partition", words, 0.35 + trust * (1 - share) / 2, _beyond(subject, region))


def _beyond(subject: Subject, region: BoolArray) -> tuple[float, float, float]:
    """Where the mask and a region differ most, in the mask's box."""
    from scipy import ndimage

    differ = subject.inner & ~region[subject.box]
    if not differ.any():
        differ = subject.inner ^ region[subject.box]
    lumps = ndimage.binary_opening(differ)
    at = spot(lumps if lumps.any() else differ)
    return subject.place_of(at + [span.start for span in subject.box])
