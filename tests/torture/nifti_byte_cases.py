"""NIfTI files whose sizes, offsets, extensions or bytes are awkward or damaged."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from torture.cases import Catalogue
from torture.judge import Made, Verdict
from torture.nifti_file import SHAPE, label_at, save_nifti

sizes = Catalogue()
case = sizes.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
HEAD = 352
FINE = np.diag([-0.1, -0.1, 0.3, 1.0]) + np.array(
    [[0, 0, 0, 21.0], [0, 0, 0, 32], [0, 0, 0, 8], [0] * 4]
)
BOMB = {"dim": (3, 32767, 32767, 32767, 1, 1, 1, 1)}
CUT = "(?i)short|cut|incomplete|trunc|end|damag|bytes"


def _pair(folder: Path, magic: bytes = b"ni1") -> Made:
    made = save_nifti(folder / "ct.nii", fields={"magic": magic, "vox_offset": 0})
    whole = made.path.read_bytes()
    made.path.unlink()
    (folder / "ct.hdr").write_bytes(whole[:HEAD])
    (folder / "ct.img").write_bytes(whole[HEAD:])
    return Made(folder / "ct.hdr", made.scans)


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


@case("two-dimensional", REFUSED, because="(?i)dimension|2-D|slice|axes|three", is_volume=False)
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
    names = b"""<?xml version="1.0" encoding="UTF-8"?> <CaretExtension> <Date><![CDATA[2013-07-14T05:45:09]]></Date> <VolumeInformation Index="0"> <LabelTable><Label Key="2" Red="0.2" Green="0.3" Blue="0.4" Alpha="1"><![CDATA[liver]]></Label><Label Key="7" Red="0.6" Green="0.3" Blue="0.1" Alpha="1"><![CDATA[spleen]]></Label></LabelTable> <StudyMetaDataLinkSet> </StudyMetaDataLinkSet> <VolumeType><![CDATA[Label]]></VolumeType> </VolumeInformation></CaretExtension>"""  # noqa: E501
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


@case("no such file", REFUSED, because="(?i)no such")
def absent(folder: Path) -> Made:
    return Made(folder / "ct.nii")


@case("a bit flipped in the checksum of a larger file", REFUSED, because="(?i)damag|checksum|crc")
def flipped_checksum_large(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii.gz", shape=(96, 96, 48), ras=FINE)
    whole = bytearray(made.path.read_bytes())
    whole[-6] ^= 16
    made.path.write_bytes(whole)
    return made


@case(
    "a larger file with a number changed and the checksum kept",
    REFUSED,
    because="(?i)damag|checksum|crc",
)
def swapped_large(folder: Path) -> Made:
    made = save_nifti(folder / "ct.nii.gz", shape=(96, 96, 48), ras=FINE)
    whole = made.path.read_bytes()
    raw = bytearray(gzip.decompress(whole))
    raw[len(raw) // 2] ^= 64
    made.path.write_bytes(gzip.compress(bytes(raw), 6, mtime=0)[:-8] + whole[-8:])
    return made
