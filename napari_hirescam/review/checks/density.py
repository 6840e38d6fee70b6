"""Volume and density of a mask beside those of its organ, to its very rim."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.checks.subject import Subject, finding, ml_text, spot
from napari_hirescam.review.item import CheckFinding

#: Of the rim, blurred with what lies beside it.
_RIM_FOREIGN = 0.45


def check_volume(subject: Subject) -> Iterator[CheckFinding]:
    """Compare the volume with that of adults; an organ that the scan cuts may be smaller."""
    if subject.anatomy is None:
        return
    low, high = subject.anatomy.ml
    ml = subject.volume_ml
    usual = f"adults have {low:g} to {high:g} mL"
    if ml > high:
        words = f"{ml_text(ml)} are too much: {usual}"
        yield finding("volume", words, 0.4 + 0.2 * (ml / high - 1))
    elif ml < low and not subject.cut_ends:
        words = f"{ml_text(ml)} are too little: {usual}"
        yield finding("volume", words, 0.4 + 0.6 * (1 - ml / low))


def check_mean_hu(subject: Subject) -> Iterator[CheckFinding]:
    """Compare the mean density with that of the organ, with and without contrast medium."""
    if subject.anatomy is None or subject.scan.grid is None or subject.hu.size == 0:
        return
    low, high = subject.anatomy.mean_hu
    mean = float(subject.hu.mean(dtype=np.float64))
    if low <= mean <= high:
        return
    off = low - mean if mean < low else mean - high
    yield finding(
        "mean_hu",
        f"its mean of {mean:.0f} HU is {'below' if mean < low else 'above'} the usual "
        f"{low:.0f} to {high:.0f}",
        0.45 + off / 300,
    )


def check_tissue(subject: Subject) -> Iterator[CheckFinding]:
    """Find tissue that the organ has not, inside the mask and along its rim."""
    if subject.anatomy is None or subject.scan.grid is None:
        return
    low, high = subject.anatomy.tissue_hu
    voxels = subject.scan.ct.voxels[subject.box]
    foreign: BoolArray = subject.inner & ((voxels < low) | (voxels > high))
    if subject.scan.ct.invalid is not None:
        foreign &= ~subject.scan.ct.invalid[subject.box]
    share = float(np.count_nonzero(foreign)) / max(subject.hu.size, 1)
    rim, rim_share = _rim(subject, foreign)
    usual = subject.anatomy.foreign
    if share <= usual and rim_share <= _RIM_FOREIGN:
        return
    strange = voxels[foreign]
    what = _tissue(float(np.median(strange)))
    at = _deepest(subject, foreign if share > usual else foreign & rim)
    if share > usual:
        words = f"{share:.0%} of it are {what}, which this organ has less of"
        yield finding("tissue", words, 0.35 + (share - usual), at)
    else:
        words = f"{rim_share:.0%} of its rim are {what}: it may be drawn too wide"
        yield finding("tissue", words, 0.3 + 0.5 * (rim_share - _RIM_FOREIGN), at)


def _rim(subject: Subject, foreign: BoolArray) -> tuple[BoolArray, float]:
    """The outermost voxels of a mask, and how much of them is another's tissue."""
    from scipy import ndimage

    padded = np.pad(subject.inner, 1)
    inner = ndimage.binary_erosion(padded)[1:-1, 1:-1, 1:-1]
    rim: BoolArray = subject.inner & ~inner
    return rim, float(np.count_nonzero(foreign & rim)) / max(int(np.count_nonzero(rim)), 1)


def _deepest(subject: Subject, foreign: BoolArray) -> tuple[float, float, float]:
    """The middle of the largest lump of foreign tissue."""
    from scipy import ndimage

    lumps = ndimage.binary_opening(foreign)
    index = spot(lumps if lumps.any() else foreign)
    return subject.place_of(index + [span.start for span in subject.box])


def _tissue(hu: float) -> str:
    for below, name in ((-930, "gas"), (-300, "air or lung"), (-30, "fat"), (160, "soft tissue")):
        if hu < below:
            return name
    return "bone or contrast medium"
