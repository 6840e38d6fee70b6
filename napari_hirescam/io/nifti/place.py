"""Where a NIfTI file says its voxels lie, and what it says about that twice, or not at all.

A file can hold two placements, the sform (a matrix) and the qform (a rotation, spacings and an
offset), each with a code that is 0 where it does not count. Programs differ in which they
believe, so a file whose two differ lies in two places, and only the user can tell which is
meant.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ConsentNeededError
from napari_hirescam.io.frame import RAS_TO_IPL
from napari_hirescam.io.nifti.header import Header
from napari_hirescam.source import Fact, Repair, Repaired
from napari_hirescam.volume import FloatArray, scaling

_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
_UNIT_NAMES = {0: "not given", 1: "metre", 2: "mm", 3: "micrometre"}
_FORMS_AGREE_MM = 0.1
_PLAUSIBLE_MM = (0.01, 25.0)
# The standard's own code takes a rotation this close to a half turn for one. NIfTI-2 keeps doubles,
# but many of its files were NIfTI-1 before, so that nibabel's narrower limit refuses them.
_HALF_TURN = 1e-7
_TOO_LONG = 1e-6  # what rounding can make of a quaternion's length
_CONVERT_AGAIN = "Convert it again from the original images"

#: The header's fields that say where the voxels lie, for a writer to repeat.
_GEOMETRY_FIELDS = (
    *("sizeof_hdr", "pixdim", "xyzt_units", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)


@dataclass(frozen=True, eq=False)
class Place:
    """Where the voxels lie.

    Parameters
    ----------
    affine
        4x4, index [i, j, k] to (I, P, L) mm.
    notes
        One sentence for each thing the user should know.
    repaired
        What was settled on the user's word.
    facts
        For the geometry report.
    stored
        The header's own fields; empty where the place was assumed.
    """

    affine: FloatArray
    notes: tuple[str, ...]
    repaired: tuple[Repaired, ...]
    facts: tuple[Fact, ...]
    stored: dict[str, Any]


def place_of(path: Path, header: Header, allow: Collection[Repair]) -> Place:
    """Settle where the voxels lie.

    Parameters
    ----------
    path
        The file, for messages.
    header
        From :func:`napari_hirescam.io.nifti.header.read_header`.
    allow
        What the user agreed to.

    Raises
    ------
    ConsentNeededError
        If sform and qform contradict each other, or both do not count.
    VolumeError
        If the one that counts is not a place.
    """
    fields = header.fields
    notes: list[str] = []
    to_mm = _to_mm(fields, notes)
    sform = fields.get_sform() if fields["sform_code"] > 0 else None
    qform, fault = _qform(fields) if fields["qform_code"] > 0 else (None, "")
    repaired: tuple[Repaired, ...] = ()
    gap = None
    ras: FloatArray | None
    if sform is None and qform is None:
        ras, repaired = _assumed(path, fields, fault, allow)
    elif sform is not None and qform is not None:
        gap = _largest_gap_mm(header.shape, to_mm @ sform, to_mm @ qform)
        ras, repaired = _chosen(path, sform, qform, gap, allow)
    else:
        ras = sform if sform is not None else qform
        if fault:
            notes.append(f"The file's qform is not valid ({fault}); its sform was used.")
    if ras is None or not _is_place(ras):
        raise VolumeError(
            path, "its affine is not finite and invertible, so its voxels have no place",
            _CONVERT_AGAIN,
        )  # fmt: skip
    affine = RAS_TO_IPL @ to_mm @ ras
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (spacing >= _PLAUSIBLE_MM[0]).all() or not (spacing <= _PLAUSIBLE_MM[1]).all():
        notes.append(
            f"Voxels of {_times(spacing)} mm are not plausible for a CT: check the file's units."
        )
    notes += [f"{repair.what}" for repair in repaired]
    assumed = any(repair.repair is Repair.ASSUME_PLACE for repair in repaired)
    stored = {} if assumed else {name: _native(fields[name]) for name in _GEOMETRY_FIELDS}
    return Place(
        affine, tuple(notes), repaired, _facts(fields, ras, gap, fault, assumed=assumed), stored
    )


def _to_mm(fields: Any, notes: list[str]) -> FloatArray:
    unit = int(fields["xyzt_units"]) & 7
    factor = _MM_PER_UNIT.get(unit, 1.0)
    if factor != 1:
        notes.append(f"The file's lengths are in {_UNIT_NAMES[unit]}s; they were converted to mm.")
    return scaling((factor, factor, factor))


def _qform(fields: Any) -> tuple[FloatArray | None, str]:
    """The qform, or None and what is wrong with it."""
    from nibabel.spatialimages import HeaderDataError

    copy = fields.copy()
    spacing = np.asarray(copy["pixdim"][1:4], dtype=float)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        return None, "its voxel sizes are not positive numbers"
    if copy["pixdim"][0] == 0:
        copy["pixdim"][0] = 1  # the standard's meaning of a handedness left at zero
    parts = ("quatern_b", "quatern_c", "quatern_d")
    length = float(np.linalg.norm([float(copy[part]) for part in parts]))
    if -_TOO_LONG < 1 - length**2 < _HALF_TURN:
        for part in parts:
            copy[part] = copy[part] / length
    try:
        qform: FloatArray = copy.get_qform()
    except (HeaderDataError, ValueError):
        return None, "its rotation is not one"
    if not np.isfinite(qform).all():
        return None, "it is not finite"
    return qform, ""


def _is_place(ras: FloatArray | None) -> bool:
    if ras is None or not np.isfinite(ras).all():
        return False
    linear = ras[:3, :3]
    lengths = np.linalg.norm(linear, axis=0)
    if not lengths.all():
        return False
    return all(int(np.linalg.matrix_rank(m)) == 3 for m in (linear, linear / lengths))


def _chosen(
    path: Path, sform: FloatArray, qform: FloatArray, gap: float, allow: Collection[Repair]
) -> tuple[FloatArray, tuple[Repaired, ...]]:
    if gap <= _FORMS_AGREE_MM:
        return sform, ()
    sound = _is_place(sform)
    answers = (Repair.USE_SFORM, Repair.USE_QFORM) if sound else (Repair.USE_QFORM,)
    agreed = [answer for answer in answers if answer in allow]
    apart = f"lie up to {gap:.1f} mm apart" if np.isfinite(gap) else "do not lie in one place"
    if len(agreed) != 1:
        raise ConsentNeededError(
            path,
            f"its sform and qform {apart}, so it says two things about where it lies"
            if sound
            else "its sform is not finite and invertible, and its qform says something else",
            "Choose the one to believe; the program that made the file, or an image or mask "
            "that should coincide with it, tells which"
            if sound
            else "Agree to use the qform, or convert it again from the original images",
            answers,
        )
    name, other = ("sform", "qform") if agreed[0] is Repair.USE_SFORM else ("qform", "sform")
    what = f"The file's sform and qform {apart}; its {name} was believed, not its {other}."
    return (sform if name == "sform" else qform), (Repaired(agreed[0], what, asked=True),)


def _assumed(
    path: Path, fields: Any, fault: str, allow: Collection[Repair]
) -> tuple[FloatArray, tuple[Repaired, ...]]:
    if fault:
        raise VolumeError(
            path, f"its orientation is not valid: of its qform, {fault}", _CONVERT_AGAIN
        )
    spacing = np.asarray(fields["pixdim"][1:4], dtype=float)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise VolumeError(
            path,
            "it says neither how it lies in the patient (sform and qform codes are both 0) nor "
            "how large its voxels are",
            _CONVERT_AGAIN,
        )
    if Repair.ASSUME_PLACE not in allow:
        raise ConsentNeededError(
            path,
            "it does not say how it lies in the patient (sform and qform codes are both 0), and "
            "programs that open it place it differently, left and right exchanged",
            "Convert it again from the original images, or agree to assume that its axes run to "
            "the patient's right, front and head",
            (Repair.ASSUME_PLACE,),
        )
    # The standard's "method 1". nibabel takes the first axis to run left instead and centres
    # the volume, ITK takes the first to run left and the second to the back.
    what = (
        "The file does not say how it lies in the patient: its axes were assumed to run to the "
        f"right, front and head, with voxels of {_times(spacing)} mm. Left and right may be "
        "exchanged."
    )
    return scaling(spacing), (Repaired(Repair.ASSUME_PLACE, what, asked=True),)


def _largest_gap_mm(shape: tuple[int, ...], first: FloatArray, second: FloatArray) -> float:
    """How far apart two affines put the corners of one grid; infinite if one is no place."""
    if not (_is_place(first) and _is_place(second)):
        return float("inf")
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    apart = ((first - second) @ np.vstack([ends, np.ones(8)]))[:3]
    return float(np.linalg.norm(apart, axis=0).max())


def _facts(
    fields: Any, ras: FloatArray, gap: float | None, fault: str, *, assumed: bool
) -> tuple[Fact, ...]:
    unit = int(fields["xyzt_units"]) & 7
    sizes = np.abs(np.asarray(fields["pixdim"][1:4], dtype=float))
    lengths = np.linalg.norm(ras[:3, :3], axis=0)
    agree = np.isfinite(sizes).all() and np.allclose(sizes, lengths, rtol=0.01)
    facts = [
        Fact("Orientation", "sform", _code_name(int(fields["sform_code"]))),
        Fact("Orientation", "qform", _code_name(int(fields["qform_code"])), fault),
    ]
    if assumed:
        facts.append(Fact("Orientation", "Place", "assumed", "The file does not say how it lies"))
    if gap is not None:
        facts.append(
            Fact(
                "Orientation",
                "sform and qform",
                f"up to {gap:.3g} mm apart",
                "They contradict each other" if gap > _FORMS_AGREE_MM else "",
            )
        )
    facts += [
        Fact(
            "Grid",
            "Voxel size in the header",
            f"{_times(np.asarray(fields['pixdim'][1:4], dtype=float))}",
            "" if agree else f"the affine says {_times(lengths)}",
        ),
        Fact(
            "Grid",
            "Unit of length",
            # Most programs leave it out, and mean mm.
            "not given, taken for mm"
            if unit == 0
            else _UNIT_NAMES.get(unit, f"unknown code {unit}"),
            ""
            if unit in {0, 2}
            else "taken for mm"
            if unit not in _MM_PER_UNIT
            else "converted to mm",
        ),
    ]
    return tuple(facts)


def _code_name(code: int) -> str:
    names = {0: "not used", 1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI", 5: "template"}
    return f"code {code} ({names.get(code, 'not defined')})"


def _native(value: Any) -> Any:
    array = np.array(value)
    array = array.astype(array.dtype.newbyteorder("="))
    return array if array.ndim else array[()]


def _times(lengths: Any) -> str:
    return " x ".join(f"{n:.4g}" for n in lengths)
