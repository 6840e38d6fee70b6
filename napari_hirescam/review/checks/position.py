"""Where a mask lies: in the body, on its side, off other organs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.organ_tables import MADE_OF, organ_name
from napari_hirescam.review.checks.anatomy import side_of
from napari_hirescam.review.checks.subject import Subject, finding, ml_text, spot
from napari_hirescam.review.item import CheckFinding

_OUTSIDE_ML = 1.0
_OUTSIDE_SHARE = 0.005
_OUTSIDE_OF_SMALL = 0.15
_SIDES = {-1: "right", 1: "left"}
#: An organ that lies mostly on one side may reach so far over the middle.
_BEYOND_MM = 5.0
_WRONG_SHARE = 0.6
_ENDS = (("upper", "lower"), ("front", "back"), ("right", "left"))
_TOUCHED_CM2 = 0.2
_SHARED_ML = 1.0
_SHARED_SHARE = 0.01
#: Regions that hold other organs by what they are.
_HOLDS_OTHERS = {"body", "skin", "mediastinum", "great_vessel", "spine", "heart", "lungs"}


def check_outside_body(subject: Subject) -> Iterator[CheckFinding]:
    """Find what is marked in the air around the body."""
    scan = subject.scan
    if scan.outside is None or scan.grid is None:
        return
    box, share = subject.on_grid
    beyond = share * scan.outside[box]
    ml = float(beyond.sum()) * scan.grid.voxel_ml
    least = min(_OUTSIDE_ML, _OUTSIDE_OF_SMALL * subject.volume_ml)
    if ml <= max(least, _OUTSIDE_SHARE * subject.volume_ml):
        return
    at = spot(beyond > 0.5 * beyond.max()) + [span.start for span in box]
    yield finding(
        "outside_body",
        f"{ml_text(ml)} lie outside the body",
        0.5 + ml / subject.volume_ml,
        subject.place_on_grid(at),
    )


def check_side(subject: Subject) -> Iterator[CheckFinding]:
    """Find organs of one side that lie on the other."""
    middle, side = subject.scan.middle_mm, side_of(subject.organ)
    if middle is None:
        return
    if side == 0:
        yield from _off_middle(subject, middle)
        return
    columns = subject.box[2]
    per_column = subject.inner.sum(axis=(0, 1)).astype(float)
    at_mm = subject.scan.ct.affine[2, 3] + subject.spacing_mm[2] * np.arange(
        columns.start, columns.stop
    )
    beyond = side * (at_mm - middle) < -_BEYOND_MM
    share = float(per_column[beyond].sum() / per_column.sum())
    if share <= _WRONG_SHARE:
        return
    wrong = subject.inner & beyond
    at = spot_of_columns(wrong) + [span.start for span in subject.box]
    yield finding(
        "left_right",
        f"{share:.0%} of it lie on the patient's {_SIDES[-side]}, but it is an organ of the "
        f"{_SIDES[side]}",
        0.6 + 0.4 * share,
        subject.place_of(at),
    )


def _off_middle(subject: Subject, middle: float) -> Iterator[CheckFinding]:
    """An organ of the middle that lies at a side."""
    if subject.anatomy is None or not subject.anatomy.off_middle_mm:
        return
    per_column = subject.inner.sum(axis=(0, 1)).astype(float)
    column = float(per_column @ np.arange(len(per_column)) / per_column.sum())
    column += subject.box[2].start
    off = float(subject.scan.ct.affine[2, 3] + subject.spacing_mm[2] * column) - middle
    if abs(off) <= subject.anatomy.off_middle_mm:
        return
    at = spot_of_columns(subject.inner) + [span.start for span in subject.box]
    yield finding(
        "left_right",
        f"its middle lies {abs(off):.0f} mm to the {_SIDES[1 if off > 0 else -1]} of the "
        f"patient's, and this organ's hardly {subject.anatomy.off_middle_mm:.0f} mm",
        0.4 + 0.2 * (abs(off) / subject.anatomy.off_middle_mm - 1),
        subject.place_of(at),
    )


def spot_of_columns(mask: np.ndarray) -> np.ndarray:
    """A marked voxel near the middle of a mask, for masks too large to be labelled."""
    slices = mask.sum(axis=(1, 2)).cumsum()
    k = int(np.searchsorted(slices, slices[-1] / 2))
    at = np.argwhere(mask[k])
    nearest = at[((at - at.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return np.array([k, *nearest])


def check_border(subject: Subject) -> Iterator[CheckFinding]:
    """Say where the scan, or its round field of view, ends within the organ: true of many."""
    ends = []
    place, largest = None, 0.0
    for axis, far in subject.cut_ends:
        face = np.take(subject.inner, -1 if far else 0, axis=axis)
        across = [mm for k, mm in enumerate(subject.spacing_mm) if k != axis]
        cm2 = float(np.count_nonzero(face)) * across[0] * across[1] / 100
        if cm2 < _TOUCHED_CM2:
            continue
        ends.append(
            f"{cm2:.0f} cm2 at its {_ENDS[axis][far]} end"
            if cm2 >= 1
            else f"{cm2:.1f} cm2 at its {_ENDS[axis][far]} end"
        )
        if cm2 > largest:
            largest = cm2
            at = np.insert(spot(face[None])[1:], axis, 0)
            at = at + [span.start for span in subject.box]
            at[axis] = subject.box[axis].stop - 1 if far else subject.box[axis].start
            place = subject.place_of(at)
    if ends:
        words = "the scan ends within it: " + " and ".join(ends)
        yield finding("border", words, 0.15, place)


def check_overlap(subject: Subject, others: OrganMap | None) -> Iterator[CheckFinding]:
    """Find voxels that another organ has too."""
    if others is None or others.labels.shape != subject.mask.shape:
        return
    own = _parts(subject.organ)
    if subject.organ in _HOLDS_OTHERS:
        return
    inside = others.labels[subject.box][subject.inner]
    count = np.bincount(inside.ravel())
    for name, values in others.values.items():
        other = organ_name(name)
        if other in _HOLDS_OTHERS or _parts(other) & own:
            continue
        ml = float(sum(count[v] for v in set(values) if v < len(count))) * subject.voxel_ml
        if ml <= max(_SHARED_ML, _SHARED_SHARE * subject.volume_ml):
            continue
        shared = np.isin(others.labels[subject.box], values) & subject.inner
        at = spot_of_columns(shared) + [span.start for span in subject.box]
        yield finding(
            "overlap",
            f"{ml_text(ml)} are marked as {other.replace('_', ' ')} too",
            0.35 + ml / subject.volume_ml,
            subject.place_of(at),
        )


def _parts(organ: str) -> set[str]:
    """An organ with all that it is made of."""
    found = {organ}
    for part in MADE_OF.get(organ, ()):
        found |= _parts(part)
    return found
