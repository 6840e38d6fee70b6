"""How a mask holds together: islands beside it, holes in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.checks.subject import Subject, finding, ml_text, spot
from napari_hirescam.review.item import CheckFinding

#: Less beside an organ, or so small a share of it, is a fringe that changes no measure.
_ISLAND_ML = 0.4
_ISLAND_SHARE = 0.005
#: A piece that is expected has so much of the whole.
_WHOLE_SHARE = 0.05
#: Larger than vessels that a threshold leaves out in a lung, and sinuses of small organs.
_HOLE_ML = 0.4
_HOLE_SHARE = 0.02


def check_pieces(subject: Subject) -> Iterator[CheckFinding]:
    """Find islands beside an organ that is all of one piece.

    Pieces that the end of the scan cuts may hang together beyond it, and do not count.
    """
    from scipy import ndimage

    expected = 1 if subject.anatomy is None else subject.anatomy.pieces
    if expected == 0:
        return
    labels, n = ndimage.label(subject.coarse, np.ones((3, 3, 3)))
    subject.tick()
    if n == 1:
        return
    sizes = np.bincount(labels.ravel())[1:] * subject.coarse_ml
    order = np.argsort(sizes)[::-1] + 1
    # Two lungs that touch are one piece: the second one is then no lung.
    expected = int((sizes[order[:expected] - 1] >= _WHOLE_SHARE * sizes.sum()).sum())
    at_end = _at_cut_ends(subject, labels, int(order[0]))
    islands = [k for k in order[expected:] if k not in at_end]
    largest = float(sizes[islands[0] - 1]) if islands else 0.0
    total = float(sum(sizes[k - 1] for k in islands))
    least = min(_ISLAND_ML, 0.05 * subject.volume_ml)
    few = total < _ISLAND_SHARE * subject.volume_ml and largest < 2 * _ISLAND_ML
    if largest < least or few:
        return
    seen = [k for k in islands if sizes[k - 1] >= 0.25 * largest]
    count = "an island" if len(seen) == 1 else f"{len(seen)} islands"
    whole = "" if expected == 1 else " pieces"
    beside = "beside it" if not whole else f"beside its {expected}{whole}"
    yield finding(
        "pieces",
        f"{count} of {ml_text(total)} lie{'s' if len(seen) == 1 else ''} {beside}",
        0.35 + total / subject.volume_ml,
        subject.place_of_block(spot(labels == islands[0])),
    )


def _at_cut_ends(subject: Subject, labels: np.ndarray, main: int) -> set[int]:
    """Pieces that touch an end of the scan which cuts the largest piece too."""
    found: set[int] = set()
    for axis, far in subject.cut_ends:
        # Two blocks of margin lie around the box.
        face = np.take(labels, labels.shape[axis] - 3 if far else 2, axis=axis)
        cut = set(np.unique(face).tolist())
        if main in cut:
            found |= cut
    return found - {0}


def check_holes(subject: Subject) -> Iterator[CheckFinding]:
    """Find cavities that the mask encloses on all sides."""
    from scipy import ndimage

    holes: BoolArray = ndimage.binary_fill_holes(subject.coarse) & ~subject.coarse
    subject.tick()
    if not holes.any():
        return
    labels, _ = ndimage.label(holes)
    sizes = np.bincount(labels.ravel())[1:] * subject.coarse_ml
    largest, total = float(sizes.max()), float(sizes.sum())
    if largest < min(_HOLE_ML, _HOLE_SHARE * subject.volume_ml):
        return
    seen = int((sizes >= 0.25 * largest).sum())
    yield finding(
        "holes",
        f"{'a hole' if seen == 1 else f'{seen} holes'} of {ml_text(total)} in it",
        0.35 + total / subject.volume_ml,
        subject.place_of_block(spot(labels == int(sizes.argmax()) + 1)),
    )
