"""NIfTI files whose numbers, sizes or bytes are awkward; those of place have their own file."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from torture.cases import Catalogue
from torture.judge import Made, Scan, Verdict, hu_at
from torture.nifti_file import RAS, SHAPE, label_at, save_nifti, scan_of
from torture.nifti_place_cases import place

numbers = Catalogue()
case = numbers.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
HEAD = 352
CUT = "(?i)short|cut|incomplete|trunc|end|damag|bytes"


def _names(made: Made, scans: tuple[Scan, ...]) -> Made:
    return Made(made.path, scans)


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


def _pair(folder: Path, magic: bytes = b"ni1") -> Made:
    made = save_nifti(folder / "ct.nii", fields={"magic": magic, "vox_offset": 0})
    whole = made.path.read_bytes()
    made.path.unlink()
    (folder / "ct.hdr").write_bytes(whole[:HEAD])
    (folder / "ct.img").write_bytes(whole[HEAD:])
    return _names(Made(folder / "ct.hdr"), made.scans)


@case("a pair of files, header named")
def pair(folder: Path) -> Made:
    return _pair(folder)


@case("a pair of files, image named")
def pair_by_image(folder: Path) -> Made:
    return Made(folder / "ct.img", _pair(folder).scans)


@case("a pair whose image is missing", REFUSED, because=r"(?i)\.img|missing|pair|no such")
def pair_without_image(folder: Path) -> Made:
    made = _pair(folder)
    (folder / "ct.img").unlink()
    return made


@case("Analyze 7.5", REFUSED, because="Analyze")
def analyze(folder: Path) -> Made:
    return _pair(folder, magic=b"")


@case("Analyze 7.5, its image named", REFUSED, because="Analyze")
def analyze_by_image(folder: Path) -> Made:
    return Made(folder / "ct.img", _pair(folder, magic=b"").scans)


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
        value=lambda p: 5000 * label_at(p),
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


@case("5-D vectors", REFUSED, because="(?i)vector|axes|dimension|5-D|compon")
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


@case("RGB", REFUSED, because="(?i)RGB|colou?r")
def rgb(folder: Path) -> Made:
    return _packed(folder, 128, 3)


@case("RGBA", REFUSED, because="(?i)RGB|colou?r")
def rgba(folder: Path) -> Made:
    return _packed(folder, 2304, 4)


@case("complex numbers", REFUSED, because="(?i)complex")
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


@case("two-dimensional", REFUSED, because="(?i)dimension|2-D|slice|axes|three")
def flat(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", voxels=np.zeros(SHAPE[:2]))


@case("one slice", {RIGHT, REFUSED}, because="(?i)slice|two-dim")
def one_slice(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", shape=(9, 8, 1))


@case("dim[0] is 3, rubbish in the dims behind")
def rubbish_dims(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"dim": (3, *SHAPE, -7, 0, 321, 32767)})


@case("dim[0] is 0", REFUSED, because="(?i)dim|axes|size")
def no_dims(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"dim": (0, *SHAPE, 1, 1, 1, 1)})


@case("dim[0] is 8", REFUSED, because="(?i)dim|axes|header|endian")
def many_dims(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"dim": (8, *SHAPE, 1, 1, 1, 1)})


@case("a negative length", REFUSED, because="(?i)length|size|dim|axes")
def negative_length(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"dim": (3, 9, -8, 5, 1, 1, 1, 1)})


@case("a length of 0", REFUSED, because="(?i)length|size|dim|axes|empty|no voxel")
def no_length(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"dim": (3, 9, 8, 0, 1, 1, 1, 1)})


BOMB = {"dim": (3, 32767, 32767, 32767, 1, 1, 1, 1)}


@case("32767 in each direction", REFUSED, because="(?i)memory|bytes|short|hold|cut|end")
def bomb(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields=BOMB)


@case("32767 in each direction, compressed", REFUSED, because="(?i)memory|bytes|short|hold|cut|end")
def bomb_compressed(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", fields=BOMB)


@case("cut short", REFUSED, because=CUT)
def cut(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", spoil=lambda whole: whole[:-100])


@case("cut short before compression", REFUSED, because=CUT)
def cut_compressed(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", spoil=lambda whole: whole[:-100])


def _damaged(folder: Path, damage: object) -> Made:
    made = save_nifti(folder / "ct.nii.gz")
    whole = bytearray(made.path.read_bytes())
    made.path.write_bytes(bytes(damage(whole)))  # type: ignore[operator]
    return made


def _flip(at: int) -> object:
    def flip(whole: bytearray) -> bytearray:
        whole[at] ^= 16
        return whole

    return flip


@case("compressed file cut in half", REFUSED, because=CUT)
def half(folder: Path) -> Made:
    return _damaged(folder, lambda whole: whole[: len(whole) // 2])


@case("compressed file without its last four bytes", REFUSED, because=CUT)
def without_length(folder: Path) -> Made:
    return _damaged(folder, lambda whole: whole[:-4])


@case("a bit flipped in the compressed voxels", REFUSED, because="(?i)damag|checksum|crc|corrupt")
def flipped(folder: Path) -> Made:
    return _damaged(folder, _flip(-60))


@case("a bit flipped in the checksum", REFUSED, because="(?i)damag|checksum|crc|corrupt")
def flipped_checksum(folder: Path) -> Made:
    return _damaged(folder, _flip(-6))


@case("bytes behind the voxels", {RIGHT, REFUSED}, because="(?i)more|long|behind|bytes|trail")
def trailing(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", spoil=lambda whole: whole + b"\1\2\3" * 50)


@case(
    "rubbish behind the compressed stream",
    {RIGHT, REFUSED},
    because="(?i)behind|trail|damag|after|gzip",
)
def trailing_compressed(folder: Path) -> Made:
    return _damaged(folder, lambda whole: whole + b"rubbish " * 9)


@case("compressed in several members")
def members(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii")
    whole = made.path.read_bytes()
    made.path.unlink()
    parts = (whole[:100], whole[100:400], whole[400:])
    (folder / "ct.nii.gz").write_bytes(b"".join(gzip.compress(part) for part in parts))
    return Made(folder / "ct.nii.gz", made.scans)


@case("compressed, but its name does not say so")
def hidden_compression(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii.gz")
    return Made(made.path.rename(folder / "ct.nii"), made.scans)


@case("called .nii.gz, but not compressed")
def false_compression(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii")
    return Made(made.path.rename(folder / "ct.nii.gz"), made.scans)


@case("vox_offset 0 in a single file", {RIGHT, REFUSED}, because="(?i)offset|begin")
def offset_zero(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"vox_offset": 0})


@case("vox_offset inside the header", REFUSED, because="(?i)offset|begin")
def offset_inside(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"vox_offset": 100})


@case("vox_offset behind the end", REFUSED, because="(?i)offset|begin|incomplete")
def offset_behind(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"vox_offset": 1e6})


@case("vox_offset NaN", REFUSED, because="(?i)offset|begin")
def offset_nan(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"vox_offset": np.nan})


def _extension(content: bytes, size: int | None = None, code: int = 6) -> bytes:
    content += b"\0" * (-(len(content) + 8) % 16)
    size = len(content) + 8 if size is None else size
    return size.to_bytes(4, "little", signed=True) + code.to_bytes(4, "little") + content


@case("an extension before the voxels")
def extension(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii.gz", extension=_extension(b"a comment"))


@case("an extension that claims two gigabytes", {RIGHT, REFUSED}, because="(?i)extension")
def extension_huge(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", extension=_extension(b"x" * 8, size=2**31 - 16))


@case("an extension of negative length", {RIGHT, REFUSED}, because="(?i)extension")
def extension_negative(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", extension=_extension(b"x" * 8, size=-16))


@case("a mask whose extension names its organs", quantity="labels", remark="(?s)liver.*spleen")
def extension_names(folder: Path) -> Made:
    names = b"""<?xml version="1.0" encoding="UTF-8"?> <CaretExtension> <Date><![CDATA[2013-07-14T05:45:09]]></Date> <VolumeInformation Index="0"> <LabelTable><Label Key="1" Red="0.2" Green="0.3" Blue="0.4" Alpha="1"><![CDATA[liver]]></Label><Label Key="2" Red="0.6" Green="0.3" Blue="0.1" Alpha="1"><![CDATA[spleen]]></Label></LabelTable> <StudyMetaDataLinkSet> </StudyMetaDataLinkSet> <VolumeType><![CDATA[Label]]></VolumeType> </VolumeInformation></CaretExtension>"""  # noqa: E501
    return save_nifti(
        folder / "seg.nii.gz", dtype="|u1", value=label_at, extension=_extension(names, code=30)
    )


@case(
    "a mask whose extension is a bomb of entities", {RIGHT, REFUSED}, because=".", quantity="labels"
)
def extension_bomb(folder: Path) -> Made:
    names = b'<!DOCTYPE a [<!ENTITY b "' + b"lol" * 99 + b'">]><CaretExtension>&b;</CaretExtension>'
    return save_nifti(
        folder / "seg.nii.gz", dtype="|u1", value=label_at, extension=_extension(names, code=30)
    )


@case("the magic is missing", REFUSED, because="(?i)analyze|magic|nifti")
def no_magic(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", fields={"magic": b"xyz"})


@case("an empty file", REFUSED, because="(?i)empty")
def empty(folder: Path) -> Made:
    (folder / "ct.nii").write_bytes(b"")
    return Made(folder / "ct.nii")


@case("only the header", REFUSED, because=CUT)
def only_header(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", spoil=lambda whole: whole[:HEAD])


@case("half a header", REFUSED, because=".")
def half_header(folder: Path) -> Made:
    return save_nifti(folder / "ct.nii", spoil=lambda whole: whole[:200])


@case("text that calls itself NIfTI", REFUSED, because=".")
def text(folder: Path) -> Made:
    (folder / "ct.nii").write_text("These are not voxels.\n" * 40, encoding="ascii")
    return Made(folder / "ct.nii")


@case("compressed text that calls itself NIfTI", REFUSED, because=".")
def compressed_text(folder: Path) -> Made:
    (folder / "ct.nii.gz").write_bytes(gzip.compress(b"These are not voxels.\n" * 40))
    return Made(folder / "ct.nii.gz")


@case("a gzip header with a name, a comment and a checksum")
def gzip_header(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii.gz")
    whole = made.path.read_bytes()
    head = bytearray(whole[:10])
    head[3] = 2 | 8 | 16
    head += b"ct.nii\0made by hand\0"
    check = zlib.crc32(head) & 0xFFFF
    made.path.write_bytes(bytes(head) + check.to_bytes(2, "little") + whole[10:])
    return made


@case("gzip that stores without compressing, an empty member at the end")
def gzip_stored(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii")
    whole = made.path.read_bytes()
    made.path.unlink()
    (folder / "ct.nii.gz").write_bytes(gzip.compress(whole, 0) + gzip.compress(b""))
    return Made(folder / "ct.nii.gz", made.scans)


@case("a name in capitals")
def capitals(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii.gz")
    return Made(made.path.rename(folder / "CT.NII.GZ"), made.scans)


@case("a name that says nothing")
def unnamed(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii.gz")
    return Made(made.path.rename(folder / "download"), made.scans)


@case("voxels begin at an odd byte")
def odd_offset(folder: Path) -> Made:
    return save_nifti(
        folder / "ct.nii",
        fields={"vox_offset": 357},
        spoil=lambda whole: whole[:HEAD] + b"12345" + whole[HEAD:],
    )


@case("5-D, with one volume")
def one_of_five(folder: Path) -> Made:
    fields = {"dim": (5, *SHAPE, 1, 1, 1, 1)}
    return save_nifti(folder / "ct.nii", fields=fields)


@case("a pair of compressed files", {RIGHT, REFUSED}, because=".")
def compressed_pair(folder: Path) -> Made:
    made = _pair(folder)
    for name in ("ct.hdr", "ct.img"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    return Made(folder / "ct.hdr.gz", made.scans)


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


@case("no such file", REFUSED, because="(?i)no such")
def absent(folder: Path) -> Made:
    return Made(folder / "ct.nii")


NIFTI_CASES = (*numbers.cases, *place.cases)
