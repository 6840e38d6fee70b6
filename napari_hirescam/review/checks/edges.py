"""Whether a mask ends where the CT shows an edge: not so if it is moved, or drawn too wide.

The CT's gradient is averaged over shells around the mask's border. Of a sound mask the shell at
the border has the steepest one; of a displaced one the border runs anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_hirescam.review.checks.anatomy import Anatomy
from napari_hirescam.review.checks.subject import Subject, block_share, finding
from napari_hirescam.review.item import CheckFinding

Floats = npt.NDArray[np.float32]
Profile = npt.NDArray[np.float64]

#: Gradients are taken on blocks of about this size, blurred against noise.
_BLOCK_MM = 1.6
_BLUR_MM = 1.2
#: Shells of 2 mm, from inside to outside; the border's own are within 2 mm of it.
_SHELLS_MM = np.arange(-8.0, 11.0, 2.0)
_INSIDE, _BORDER, _OUTSIDE = slice(0, 3), slice(3, 6), slice(7, 10)
_MARGIN_MM = 14.0
_LEAST_BLOCKS = 20
_LEAST_ML = 1.0
#: What is denser or darker makes no steeper edge.
_SOFT_HU, _LUNG_HU = (-200.0, 300.0), (-1000.0, 200.0)
#: Steepness at the border beside that on both sides of it: sound masks have 1.3 (bowel, femur) to
#: 8 (lungs).
_BESIDE = {"lung": 2.0, "bone": 1.2, "bowel": 1.2, "tube": 1.15, "compact": 1.15, "muscle": 1.15}
#: The same beside the inside alone, for organs that are even inside: sound ones have 2.5 to 6.
_EVEN = 2.2
#: So thin that there is no inside to compare with.
_THIN = 1.6


def check_edge(subject: Subject) -> Iterator[CheckFinding]:
    """Compare how steep the CT is along the mask's border and away from it."""
    anatomy = subject.anatomy
    if anatomy is None or not anatomy.sharp or subject.scan.grid is None:
        return
    if subject.volume_ml < _LEAST_ML:
        return
    profile = edge_profile(subject, _LUNG_HU if _dark(anatomy) else _SOFT_HU)
    around = np.concatenate([profile[_INSIDE], profile[_OUTSIDE]])
    if not np.isfinite(profile[_BORDER]).any() or not np.isfinite(around).any():
        return
    border = float(np.nanmax(profile[_BORDER]))
    # An image of one number has no edge at all.
    beside = border / max(float(np.nanmean(around)), 1e-3)
    inside = profile[_INSIDE]
    if not np.isfinite(inside).any():
        bad, strength = beside < _THIN, beside / _THIN
    elif anatomy.even:
        within = border / max(float(np.nanmean(inside)), 1e-3)
        bad = within < _EVEN or beside < _BESIDE[anatomy.form]
        strength = min(within / _EVEN, beside / _BESIDE[anatomy.form])
    else:
        bad, strength = beside < _BESIDE[anatomy.form], beside / _BESIDE[anatomy.form]
    if not bad:
        return
    where = ""
    if np.isfinite(inside).any() and float(np.nanmax(inside)) > border:
        deeper = -_SHELLS_MM[_INSIDE][int(np.nanargmax(inside))]
        where = f"; the CT's own lies about {deeper:.0f} mm further inside"
    yield finding(
        "edge",
        f"its border follows no edge of the CT (there the CT is {beside:.1f} times as steep as "
        f"around it){where}",
        0.35 + 0.5 * (1 - strength),
    )


def _dark(anatomy: Anatomy) -> bool:
    return anatomy.mean_hu[1] < -300


def edge_profile(subject: Subject, window: tuple[float, float]) -> Profile:
    """Mean steepness of the CT in shells around the border, HU / mm.

    Parameters
    ----------
    subject
        The mask.
    window
        Lowest and highest HU that count.

    Returns
    -------
    For the shells at -8, -6, ... 10 mm from the border (inside is negative); NaN where a shell
    has hardly a block.
    """
    from scipy import ndimage

    mm = subject.spacing_mm
    step = tuple(max(have, round(_BLOCK_MM / s)) for have, s in zip(subject.step, mm, strict=True))
    box = []
    for span, s, k, n in zip(subject.box, mm, step, subject.mask.shape, strict=True):
        margin = int(np.ceil(_MARGIN_MM / s))
        first, last = max(0, span.start - margin), min(n, span.stop + margin)
        box.append(slice(first, first + max((last - first) // k, 1) * k))
    part = (box[0], box[1], box[2])
    blocks = (step[0], step[1], step[2])
    spacing = [s * k for s, k in zip(mm, step, strict=True)]
    marked = block_share(subject.mask[part], blocks) >= 0.5
    subject.tick()
    hu = _block_mean(subject.scan.ct.voxels[part], blocks, window)
    if min(hu.shape) < 2 or not marked.any() or marked.all():
        return np.full(len(_SHELLS_MM), np.nan)
    smooth = ndimage.gaussian_filter(hu, [_BLUR_MM / max(s, _BLUR_MM) for s in spacing])
    steep = np.zeros_like(smooth)
    for axis, s in enumerate(spacing):
        steep += np.gradient(smooth, s, axis=axis) ** 2
    np.sqrt(steep, out=steep)
    subject.tick()
    half = float(np.mean(spacing)) / 2
    away = np.where(
        marked,
        half - ndimage.distance_transform_edt(marked, sampling=spacing),
        ndimage.distance_transform_edt(~marked, sampling=spacing) - half,
    )
    shell = np.rint((away - _SHELLS_MM[0]) / 2).astype(int)
    known = (shell >= 0) & (shell < len(_SHELLS_MM))
    count = np.bincount(shell[known], minlength=len(_SHELLS_MM))
    total = np.bincount(shell[known], steep[known], minlength=len(_SHELLS_MM))
    profile: Profile = np.where(count >= _LEAST_BLOCKS, total / np.maximum(count, 1), np.nan)
    return profile


def _block_mean(
    voxels: npt.NDArray[np.generic], step: tuple[int, int, int], window: tuple[float, float]
) -> Floats:
    """Mean of blocks, HU held within the window; what is no number counts as the darkest."""
    low, high = window
    hu = np.clip(voxels, low, high).astype(np.float32)
    hu[~np.isfinite(hu)] = low
    a, b, c = (n // k for n, k in zip(hu.shape, step, strict=True))
    hu = hu[: a * step[0], : b * step[1], : c * step[2]]
    mean: Floats = hu.reshape(a, step[0], b, step[1], c, step[2]).mean(axis=(1, 3, 5))
    return mean
