"""NIfTI files whose numbers are scaled, typed or meant in awkward ways."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from torture.cases import Catalogue
from torture.judge import Made, Verdict, hu_at
from torture.nifti_file import RAS, SHAPE, label_at, save_nifti, scan_of

numbers = Catalogue()
case = numbers.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
HEAD = 352
CUT = "(?i)short|cut|incomplete|trunc|end|damag|bytes"


@case("plain")
def plain(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii")


@case("compressed")
def compressed(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz")


@case("NIfTI-2")
def version_2(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", version=2)


@case("NIfTI-2, compressed")
def version_2_compressed(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", version=2)


@case("big-endian")
def big_endian(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", dtype=">i2")


@case("NIfTI-2, big-endian")
def version_2_big_endian(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", dtype=">i2", version=2)


@case("slope 0: no scaling, whatever the intercept")
def slope_zero(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"scl_slope": 0, "scl_inter": 500})


@case("slope NaN")
def slope_nan(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"scl_slope": np.nan, "scl_inter": np.nan})


@case("slope infinite", {RIGHT, REFUSED}, because="(?i)slope|scal")
def slope_infinite(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"scl_slope": np.inf})


@case("intercept NaN", {RIGHT, REFUSED}, because="(?i)intercept|scal")
def intercept_nan(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"scl_inter": np.nan})


@case("unsigned with intercept -1024")
def unsigned(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", dtype="<u2", inter=-1024)


@case("slope 2")
def slope_two(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", slope=2, inter=-1000)


@case("slope 0.5", kind="f")
def slope_half(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", slope=0.5)


@case("negative slope")
def slope_negative(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", slope=-1)


@case("8 bits with slope 4")
def eight_bits(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", dtype="|u1", slope=4, inter=-1000)


@case("8 bits signed")
def eight_bits_signed(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", dtype="|i1", slope=4, inter=-600)


@case("32 bits")
def thirty_two_bits(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", dtype="<i4")


@case("32 bits unsigned with intercept -1024")
def unsigned_32(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", dtype="<u4", inter=-1024)


@case("64 bits")
def sixty_four_bits(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", dtype="<i8")


@case("float32", kind="")
def float_32(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", dtype="<f4")


@case("float64", kind="")
def float_64(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", dtype="<f8")


@case("float64, big-endian, with slope", kind="")
def float_64_big(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", dtype=">f8", slope=0.25, inter=-1000)


@case("an intercept that leaves 16 bits")
def beyond_16_bits(folder: Path) -> Made:
    def metal(points: np.ndarray) -> np.ndarray:
        return np.where(points[..., 2] > 17, hu_at(points) + 39000, hu_at(points))

    return save_nifti(folder / "ct.nii", value=metal, dtype="<u2", inter=-1024)


@case("mask of 8 bits", quantity="labels")
def mask(folder: Path) -> Made:
    return save_nifti(folder / "mask.nii.gz", dtype="|u1", value=label_at)


@case("mask as float64", quantity="labels")
def mask_float(folder: Path) -> Made:
    return save_nifti(folder / "mask.nii.gz", dtype="<f8", value=label_at)


@case("mask with the intent of labels and large numbers", quantity="labels")
def mask_by_intent(folder: Path) -> Made:
    return save_nifti(
        folder / "mask.nii",
        dtype="<i2",
        value=lambda p: 3000 * label_at(p),
        fields={"intent_code": 1002},
    )


@case("mask with slope 1 and intercept 0 of an anatomy program, empty", quantity="labels")
def mask_empty(folder: Path) -> Made:
    return save_nifti(folder / "mask.nii.gz", dtype="<i2", value=lambda p: 0 * label_at(p))


@case("magnetic resonance: no HU", quantity="unknown", remark="(?i)HU")
def resonance(folder: Path) -> Made:
    return save_nifti(folder / "mr.nii.gz", value=lambda p: 3000 + 2 * hu_at(p))


@case("HU shifted by 1024, as stored by a scanner", quantity="unknown", remark="(?i)HU")
def shifted(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", dtype="<u2", value=lambda p: 2000 + 3 * hu_at(p) / 2)


@case("NaN outside the field of view", kind="f", remark="(?i)NaN|no number|not a number")
def with_nan(folder: Path) -> Made:
    voxels = hu_at(scan_of(RAS).points())
    padded = np.zeros(SHAPE, bool)
    padded[0] = padded[:, -1] = True
    voxels[padded] = np.nan
    return save_nifti(
        folder / "ct.nii.gz",
        voxels=voxels,
        dtype="<f4",
        to_scan=lambda scan: replace(scan, padded=padded),
    )


@case(
    "infinities outside the field of view", {RIGHT, REFUSED}, because="(?i)infin|finite", kind="f"
)
def with_infinities(folder: Path) -> Made:
    voxels = hu_at(scan_of(RAS).points())
    padded = np.zeros(SHAPE, bool)
    padded[0] = True
    voxels[padded] = -np.inf
    return save_nifti(
        folder / "ct.nii",
        voxels=voxels,
        dtype="<f4",
        to_scan=lambda scan: replace(scan, padded=padded),
    )


@case("nothing but NaN", REFUSED, because="(?i)NaN|number")
def only_nan(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", voxels=np.full(SHAPE, np.nan), dtype="<f4")


def _at_times(folder: Path, name: str, n: int = 3, **options: object) -> Made:
    base = hu_at(scan_of(RAS).points())
    voxels = np.rint(np.stack([base + 30 * k for k in range(n)], axis=-1))
    made = save_nifti(folder / name, voxels=voxels, **options)
    scans = (
        replace(made.scans[0], value=lambda p, k=k: hu_at(p) + 30 * k, within=0.51)
        for k in range(n)
    )
    return Made(made.path, tuple(scans))


@case("4-D with one volume")
def one_time(folder: Path) -> Made:
    return _at_times(folder, "ct.nii.gz", n=1)


@case("4-D with three volumes", ASKED)
def three_times(folder: Path) -> Made:
    return _at_times(folder, "ct.nii")


@case("4-D with three volumes, compressed", ASKED)
def three_times_compressed(folder: Path) -> Made:
    return _at_times(folder, "ct.nii.gz", dtype=">i2")


@case("4-D by dim[0], the fourth length 0", {RIGHT, REFUSED}, because="(?i)dim|length|axes|size")
def no_time(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"dim": (4, *SHAPE, 0, 1, 1, 1)})


@case("5-D vectors", REFUSED, because="(?i)vector|axes|dimension|5-D|compon", is_volume=False)
def vectors(folder: Path) -> Made:
    voxels = np.zeros((*SHAPE, 1, 3))
    return save_nifti(folder / "field.nii", voxels=voxels, fields={"intent_code": 1007})


def _packed(folder: Path, code: int, n_bytes: int) -> Made:
    fields = {"datatype": code, "bitpix": 8 * n_bytes}
    return save_nifti(
        folder / "ct.nii",
        fields=fields,
        spoil=lambda whole: whole[:HEAD] + bytes(n_bytes * int(np.prod(SHAPE))),
    )


@case("RGB", REFUSED, because="(?i)RGB|colou?r", is_volume=False)
def rgb(folder: Path) -> Made:
    return _packed(folder, 128, 3)


@case("RGBA", REFUSED, because="(?i)RGB|colou?r", is_volume=False)
def rgba(folder: Path) -> Made:
    return _packed(folder, 2304, 4)


@case("complex numbers", REFUSED, because="(?i)complex", is_volume=False)
def complex_numbers(folder: Path) -> Made:
    return _packed(folder, 32, 8)


@case("one bit per voxel", REFUSED, because="(?i)type|bit")
def bits(folder: Path) -> Made:
    return save_nifti(folder / "mask.nii", fields={"datatype": 1, "bitpix": 1})


@case("datatype unknown", REFUSED, because="(?i)type")
def unknown_type(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"datatype": 777})


@case("bitpix contradicts the datatype", {RIGHT, REFUSED}, because="(?i)bit")
def wrong_bits(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"bitpix": 8})


@case(
    "64 bits unsigned, beyond what is signed",
    {RIGHT, REFUSED},
    because="(?i)large|range|bits|type",
    quantity="unknown",
    kind="",
)
def unsigned_64(folder: Path) -> Made:
    voxels = np.full(SHAPE, 2**63, np.uint64)

    def value(points: np.ndarray) -> np.ndarray:
        return np.full(points.shape[:-1], float(2**63))

    made = save_nifti(folder / "ct.nii", voxels=voxels, dtype="<u8")
    return Made(made.path, (replace(made.scans[0], value=value, within=1e12),))
