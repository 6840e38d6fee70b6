"""NIfTI files that lie awkwardly, or contradict themselves about where they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from torture.cases import Catalogue
from torture.judge import Made, Verdict
from torture.nifti_file import RAS, rotated, save_nifti, scan_of

place = Catalogue()
case = place.case
RIGHT, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.REPAIRED, Verdict.REFUSED
STRAIGHT = "(?i)straight|resampl|oblique"
DIFFER = "(?i)sform|qform|disagree"
MOVED = RAS + np.array([[0, 0, 0, 4.0], [0, 0, 0, -3.0], [0, 0, 0, 0], [0, 0, 0, 0]])


def _permuted(order: tuple[int, int, int], signs: tuple[int, int, int]) -> np.ndarray:
    """An affine whose index axes run along other patient axes."""
    ras = np.eye(4)
    ras[:3, :3] = 0
    for index_axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        ras[patient_axis, index_axis] = sign * (0.7, 0.8, 2.5)[index_axis]
    ras[:3, 3] = (19.0, 30.0, 14.0)
    return ras


@case("right-anterior-superior")
def ras(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", _permuted((0, 1, 2), (1, 1, 1)))


@case("left-anterior-superior, as FSL likes it")
def las(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", _permuted((0, 1, 2), (-1, 1, 1)))


@case("slices are coronal")
def coronal(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", _permuted((0, 2, 1), (-1, -1, 1)))


@case("slices are sagittal")
def sagittal(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", _permuted((1, 2, 0), (-1, -1, 1)))


@case("first axis along the body")
def body_first(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", _permuted((2, 0, 1), (1, -1, -1)))


@case("qform only")
def qform_only(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", sform=0, qform=1)


@case("qform only, left-handed")
def qform_left(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", _permuted((0, 1, 2), (-1, 1, 1)), sform=0, qform=2)


@case("qform only, its handedness left at 0")
def qfac_zero(folder: Path) -> Made:
    return save_nifti(
        folder / "ct.nii",
        sform=0,
        qform=1,
        fields={"pixdim": (0, 0.7, 0.8, 2.5, 1, 1, 1, 1)},
    )


@case("qform only, oblique", remark=STRAIGHT)
def qform_oblique(folder: Path) -> Made:
    turned = rotated(rotated(RAS, 0, 20), 2, 15)
    return save_nifti(folder / "ct.nii.gz", turned, sform=0, qform=1)


@case("sform and qform agree")
def both(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", sform=1, qform=1)


@case("sform and qform agree, oblique, NIfTI-2", remark=STRAIGHT)
def both_oblique(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", rotated(RAS, 1, -17), sform=1, qform=1, version=2)


@case("sform and qform differ by 0.03 mm")
def nearly_both(folder: Path) -> Made:
    off = RAS.copy()
    off[0, 3] += 0.03
    return save_nifti(folder / "ct.nii", sform=1, qform=1, qform_ras=off)


@case(
    "sform and qform lie 5 mm apart, the sform is meant",
    REPAIRED,
    repairs=("use-sform",),
    because=DIFFER,
)
def sform_meant(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", sform=2, qform=1, qform_ras=MOVED)


@case(
    "sform and qform lie 5 mm apart, the qform is meant",
    REPAIRED,
    repairs=("use-qform",),
    because=DIFFER,
)
def qform_meant(folder: Path) -> Made:
    voxels = np.rint(scan_of(MOVED).value(scan_of(MOVED).points()))
    made = save_nifti(folder / "ct.nii", voxels=voxels, sform=1, qform=1, qform_ras=MOVED)
    return Made(made.path, (scan_of(MOVED),))


@case(
    "sform mirrors the qform left to right",
    REPAIRED,
    repairs=("use-qform",),
    because=DIFFER,
)
def mirrored(folder: Path) -> Made:
    flipped = RAS.copy()
    flipped[0] *= -1
    voxels = np.rint(scan_of(RAS).value(scan_of(RAS).points()))
    made = save_nifti(folder / "ct.nii", flipped, voxels=voxels, sform=1, qform=1, qform_ras=RAS)
    return Made(made.path, (scan_of(RAS),))


@case(
    "sform turned against the qform, as after registration",
    REPAIRED,
    repairs=("use-qform",),
    because=DIFFER,
)
def registered(folder: Path) -> Made:
    turned = rotated(RAS, 2, 8)
    voxels = np.rint(scan_of(RAS).value(scan_of(RAS).points()))
    made = save_nifti(folder / "ct.nii", turned, voxels=voxels, sform=2, qform=1, qform_ras=RAS)
    return Made(made.path, (scan_of(RAS),))


@case(
    "neither sform nor qform",
    {REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)where|sform|qform",
)
def neither(folder: Path) -> Made:
    return save_nifti(
        folder / "ct.nii.gz",
        sform=0,
        qform=0,
        to_scan=lambda scan: replace(scan, anywhere=True),
    )


@case("sform of a template space")
def template(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", sform=4)


@case("sform of an undefined code", {RIGHT, REFUSED}, because="(?i)code|form")
def strange_code(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", sform=99)


@case(
    "negative form codes", {REPAIRED, REFUSED}, repairs=("assume-place",), because="(?i)form|where"
)
def negative_codes(folder: Path) -> Made:
    return save_nifti(
        folder / "ct.nii",
        fields={"sform_code": -1, "qform_code": -1},
        to_scan=lambda scan: replace(scan, anywhere=True),
    )


@case("oblique by 20 degrees", remark=STRAIGHT)
def oblique(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", rotated(RAS, 0, 20))


@case("oblique about three axes", remark=STRAIGHT)
def doubly_oblique(folder: Path) -> Made:
    turned = rotated(rotated(rotated(RAS, 0, 14), 1, -21), 2, 33)
    return save_nifti(folder / "ct.nii.gz", turned)


@case("oblique by a hundredth of a degree")
def nearly_straight(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", rotated(RAS, 0, 0.01))


@case("sheared sform, as of a tilted gantry", remark=STRAIGHT)
def sheared(folder: Path) -> Made:
    tilted = RAS.copy()
    tilted[1, 2] = 0.6
    return save_nifti(folder / "ct.nii.gz", tilted)


@case("oblique mask: no value between the labels", quantity="labels", remark=STRAIGHT)
def oblique_mask(folder: Path) -> Made:
    turned = rotated(RAS, 0, 20)
    places = scan_of(turned).points()
    middle = places.mean(axis=(0, 1, 2))

    def organs(points: np.ndarray) -> np.ndarray:
        return np.where(points[..., 2] > middle[2], 7.0, np.where(points[..., 0] > middle[0], 2, 0))

    def judged(points: np.ndarray) -> np.ndarray:
        """The label, or NaN (not judged) near a border, where the nearest voxel decides."""
        steps = np.array([(x, 0, z) for x in (-0.5, 0.5) for z in (-1.8, 1.8)])
        around = np.stack([organs(points + step) for step in steps])
        return np.where((around == around[0]).all(axis=0), organs(points), np.nan)

    voxels = organs(places)
    assert set(voxels.ravel()) == {0, 2, 7}
    made = save_nifti(folder / "mask.nii.gz", turned, voxels=voxels, dtype="|u1")
    return Made(made.path, (scan_of(turned, value=judged, within=0.0, labels=(0, 2, 7)),))


@case("pixdim contradicts the sform")
def other_pixdim(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"pixdim": (1, 1, 1, 1, 1, 1, 1, 1)})


@case("pixdim 0 beside a sound sform")
def zero_pixdim(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"pixdim": np.zeros(8)})


@case("pixdim 0 and a qform only", REFUSED, because="(?i)pixdim|spacing|voxel|orient|form|place")
def zero_pixdim_qform(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", sform=0, qform=1, fields={"pixdim": np.zeros(8)})


@case("pixdim negative and a qform only", {RIGHT, REFUSED}, because="(?i)pixdim|spacing|neg|orient")
def negative_pixdim(folder: Path) -> Made:
    return save_nifti(
        folder / "ct.nii",
        sform=0,
        qform=1,
        fields={"pixdim": (1, -0.7, 0.8, 2.5, 1, 1, 1, 1)},
    )


def _in_units(folder: Path, factor: float, code: int) -> Made:
    stored = RAS.copy()
    stored[:3] *= factor
    voxels = np.rint(scan_of(RAS).value(scan_of(RAS).points()))
    made = save_nifti(folder / "ct.nii", stored, voxels=voxels, fields={"xyzt_units": code})
    return Made(made.path, (scan_of(RAS),))


@case("lengths in micrometres", remark="(?i)micro")
def micrometres(folder: Path) -> Made:
    return _in_units(folder, 1000, 3)


@case("lengths in metres", remark="(?i)met(re|er)s")
def metres(folder: Path) -> Made:
    return _in_units(folder, 0.001, 1)


@case("unit of lengths not said", remark="(?i)unit")
def no_unit(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"xyzt_units": 0})


@case("unit of lengths undefined", {RIGHT, REFUSED}, because="(?i)unit")
def strange_unit(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"xyzt_units": 7})


@case("unit of time beside that of lengths")
def time_unit(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"xyzt_units": 2 | 8})


@case("sform singular", REFUSED, because="(?i)affine|sform|place|invert|singular")
def singular(folder: Path) -> Made:
    flat = RAS[:3].copy()
    flat[2] = flat[1]
    return save_nifti(folder / "ct.nii", fields={"srow": flat})


@case(
    "sform all zeros, code 1, a sound qform",
    {RIGHT, REPAIRED, REFUSED},
    repairs=("use-qform",),
    because=".",
)
def empty_sform(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", qform=1, fields={"srow": np.zeros((3, 4))})


@case("sform with NaN", REFUSED, because="(?i)affine|sform|finite|nan|place")
def nan_sform(folder: Path) -> Made:
    broken = RAS[:3].copy()
    broken[0, 0] = np.nan
    return save_nifti(folder / "ct.nii", fields={"srow": broken})


@case("sform with a place at infinity", REFUSED, because="(?i)affine|sform|finite|place")
def infinite_sform(folder: Path) -> Made:
    broken = RAS[:3].copy()
    broken[1, 3] = np.inf
    return save_nifti(folder / "ct.nii", fields={"srow": broken})


@case("qform that is no rotation", REFUSED, because="(?i)qform|orient|rotation|quatern")
def wrong_quaternion(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", sform=0, qform=1, fields={"quatern": (0.9, 0.8, 0.7)})


@case("qform that is no rotation beside a sound sform", {RIGHT, REPAIRED}, repairs=("use-sform",))
def wrong_quaternion_sform(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", sform=1, qform=1, fields={"quatern": (0.9, 0.8, 0.7)})


@case("voxels of 5 micrometres, said in mm")
def tiny(folder: Path) -> Made:
    small = RAS.copy()
    small[:3, :3] *= 0.005
    return save_nifti(folder / "ct.nii", small)


@case("a name in another alphabet, in a long folder")
def names(folder: Path) -> Made:
    inside = folder / ("Größe " * 12).strip() / "胸部"
    inside.mkdir(parents=True)
    return save_nifti(inside / "Томография лёгких.nii.gz")


@case("scaled axes of different handedness and shear, large", remark=STRAIGHT)
def awkward(folder: Path) -> Made:
    made = rotated(_permuted((2, 0, 1), (1, -1, 1)), 1, 11)
    made[0, 1] += 0.15
    return save_nifti(folder / "ct.nii.gz", made, shape=(7, 6, 8))
