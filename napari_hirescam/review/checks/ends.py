"""Organs that are cut off along a plane inside the scan, where the CT shows more of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray
from napari_hirescam.review.checks.subject import Subject, finding, spot
from napari_hirescam.review.item import CheckFinding

#: Rounded organs end in a smaller face than this share of their largest cross-section.
_FACE_SHARE = 0.35
_FACE_CM2 = 4.0
#: How deep into the organ its end is looked at, for slices of any thickness.
_END_MM = 3.0
#: What lies beyond the face looks like the organ itself: medians apart by less, in HU.
_ALIKE_HU = 30.0
_ALIKE_LUNG_HU = 150.0
_ENDS = (("upper", "lower"), ("front", "back"), ("right", "left"))


def check_cut(subject: Subject) -> Iterator[CheckFinding]:
    """Find flat faces across the organ, beyond which the CT shows the same tissue."""
    anatomy = subject.anatomy
    if anatomy is None or anatomy.form not in ("compact", "lung") or subject.scan.grid is None:
        return
    for axis in range(3):
        across = [k for k in range(3) if k != axis]
        area = subject.inner.sum(axis=tuple(across)).astype(float)
        for far in (False, True):
            subject.tick()
            if (axis, far) in subject.cut_ends:
                continue
            found = _face(subject, axis, area, far=far)
            if found is None:
                continue
            face, cm2, share = found
            at = np.insert(spot(face[None])[1:], axis, 0)
            at = at + [span.start for span in subject.box]
            at[axis] = subject.box[axis].stop - 1 if far else subject.box[axis].start
            yield finding(
                "cut",
                f"it ends at its {_ENDS[axis][far]} side in a flat face of {cm2:.0f} cm2, "
                "beyond which the CT looks the same",
                0.4 + 0.5 * share,
                subject.place_of(at),
            )


def _face(
    subject: Subject, axis: int, area: npt.NDArray[np.float64], *, far: bool
) -> tuple[BoolArray, float, float] | None:
    """The face at one end if it is flat and the organ goes on beyond it."""
    mm = subject.spacing_mm
    across = [mm[k] for k in range(3) if k != axis]
    cm2 = float(area[-1 if far else 0]) * across[0] * across[1] / 100
    share = float(area[-1 if far else 0] / area.max())
    # A ball of this volume ends in a face that grows with the slices' thickness.
    radius = (0.75 * subject.volume_ml * 1000 / np.pi) ** (1 / 3)
    least = max(_FACE_SHARE, 2.2 * max(mm[axis], _END_MM) / radius)
    if share < least or cm2 < _FACE_CM2:
        return None
    face = np.take(subject.inner, -1 if far else 0, axis=axis)
    index = subject.box[axis].stop if far else subject.box[axis].start - 1
    rows, columns = (subject.box[k] for k in range(3) if k != axis)
    beyond = np.take(subject.scan.ct.voxels, index, axis=axis)[rows, columns][face]
    within = np.take(subject.scan.ct.voxels, index - 1 if far else index + 1, axis=axis)[
        rows, columns
    ][face]
    lung = subject.anatomy is not None and subject.anatomy.form == "lung"
    apart = abs(float(np.median(beyond)) - float(np.median(within)))
    if apart > (_ALIKE_LUNG_HU if lung else _ALIKE_HU):
        return None
    return face, cm2, share
