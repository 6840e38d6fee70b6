"""MetaImage files, their headers written by hand (itk.org/Wiki/ITK/MetaIO/Documentation)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from torture.cases import Catalogue
from torture.judge import Made, Scan, Verdict, hu_at
from torture.nifti_file import RAS, SHAPE, label_at, rotated, scan_of

metaimages = Catalogue()
case = metaimages.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
STRAIGHT = "(?i)straight|resampl|oblique"
CUT = "(?i)short|cut|incomplete|trunc|end|damag|bytes"
TYPES = {
    "<i2": "MET_SHORT", ">i2": "MET_SHORT", "<f4": "MET_FLOAT", "|u1": "MET_UCHAR",
    "<f8": "MET_DOUBLE", "<u2": "MET_USHORT", "<i4": "MET_INT", "<i8": "MET_LONG_LONG",
}  # fmt: skip


def save_metaimage(
    path: Path,
    ras: np.ndarray = RAS,
    *,
    dtype: str = "<i2",
    compressed: bool = False,
    value: Callable[[np.ndarray], np.ndarray] = hu_at,
    voxels: np.ndarray | None = None,
    fields: Mapping[str, str | None] | None = None,
    data_file: str = "LOCAL",
    spoil: Callable[[bytes], bytes] = bytes,
    to_scan: Callable[[Scan], Scan] = lambda scan: scan,
) -> Made:
    """Write a file; `fields` changes header lines, or leaves out those that are None."""
    scan = scan_of(ras, value=value)
    if voxels is None:
        voxels = value(scan.points())
        voxels = voxels if np.dtype(dtype).kind == "f" else np.rint(voxels)
    sizes = np.linalg.norm(scan.affine[:3, :3], axis=0)
    # Each triple is the direction of one index axis.
    matrix = (scan.affine[:3, :3] / sizes).T.ravel()
    raw = voxels.astype(dtype).tobytes(order="F")
    data = spoil(zlib.compress(raw) if compressed else raw)

    def row(numbers: np.ndarray) -> str:
        return " ".join(repr(float(x)) for x in numbers)

    lines: dict[str, str | None] = {
        "ObjectType": "Image",
        "NDims": str(voxels.ndim),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(dtype[0] == ">"),
        "CompressedData": str(compressed),
        "CompressedDataSize": str(len(data)) if compressed else None,
        "TransformMatrix": row(matrix),
        "Offset": row(scan.affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": row(sizes),
        "DimSize": " ".join(map(str, voxels.shape)),
        "ElementType": TYPES[dtype],
        **(fields or {}),
        "ElementDataFile": data_file,
    }
    head = "".join(f"{name} = {text}\n" for name, text in lines.items() if text is not None)
    if data_file == "LOCAL":
        path.write_bytes(head.encode() + data)
    else:
        path.write_bytes(head.encode())
        if "/" not in data_file and data_file != "LIST":
            (path.parent / data_file).write_bytes(data)
    return Made(path, (to_scan(scan),))


@case("plain")
def plain(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha")


@case("compressed")
def compressed(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", compressed=True)


@case("header and data apart")
def apart(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mhd", data_file="ct.raw")


@case("header and compressed data apart")
def apart_compressed(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mhd", data_file="ct.zraw", compressed=True)


@case("big-endian")
def big_endian(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", dtype=">i2")


@case("big-endian by the other name of the key")
def big_endian_element(folder: Path) -> Made:
    fields = {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "True"}
    return save_metaimage(folder / "ct.mha", dtype=">i2", fields=fields)


@case("oblique", remark=STRAIGHT)
def oblique(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", rotated(rotated(RAS, 0, 15), 1, -24))


@case("axes swapped")
def swapped(folder: Path) -> Made:
    ras = np.array([[0, 0, 0.7, -19.0], [-0.8, 0, 0, 30], [0, 2.5, 0, 8], [0, 0, 0, 1]])
    return save_metaimage(folder / "ct.mha", ras)


@case("Position and Orientation instead of Offset and TransformMatrix")
def synonyms(folder: Path) -> Made:
    ras = np.array([[0, 0, 0.7, -19.0], [-0.8, 0, 0, 30], [0, 2.5, 0, 8], [0, 0, 0, 1]])
    made = save_metaimage(folder / "ct.mha", ras)
    whole = made.path.read_bytes()
    whole = whole.replace(b"TransformMatrix", b"Orientation").replace(b"Offset", b"Position")
    made.path.write_bytes(whole)
    return made


@case("Origin and Rotation instead of Offset and TransformMatrix")
def more_synonyms(folder: Path) -> Made:
    made = save_metaimage(folder / "ct.mha")
    whole = made.path.read_bytes()
    made.path.write_bytes(
        whole.replace(b"TransformMatrix", b"Rotation").replace(b"Offset", b"Origin")
    )
    return made


@case("AnatomicalOrientation contradicts the matrix")
def contradiction(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", fields={"AnatomicalOrientation": "LPI"})


@case(
    "neither matrix nor offset",
    {RIGHT, REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)where|place|offset|matrix",
)
def no_place(folder: Path) -> Made:
    return save_metaimage(
        folder / "ct.mha",
        fields={"TransformMatrix": None, "Offset": None},
        to_scan=lambda scan: replace(scan, anywhere=True),
    )


@case(
    "no spacing: 1 mm is a guess",
    {REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)spacing|size|where",
    remark="(?i)spacing.*1 mm|1 mm.*spacing|ElementSpacing",
)
def no_spacing(folder: Path) -> Made:
    def guessed(scan: Scan) -> Scan:
        affine = scan.affine.copy()
        affine[:3, :3] /= np.linalg.norm(affine[:3, :3], axis=0)
        to_true = scan.affine @ np.linalg.inv(affine)

        def value(points: np.ndarray) -> np.ndarray:
            return hu_at(points @ to_true[:3, :3].T + to_true[:3, 3])

        return replace(scan, affine=affine, value=value, anywhere=True)

    return save_metaimage(folder / "ct.mha", fields={"ElementSpacing": None}, to_scan=guessed)


@case(
    "a negative spacing, which turns its axis round", {RIGHT, REFUSED}, because="(?i)spacing|size"
)
def negative_spacing(folder: Path) -> Made:
    """As ITK reads it, whose format it is."""
    turned = RAS.copy()
    turned[1, 1] *= -1
    return save_metaimage(
        folder / "ct.mha",
        turned,
        fields={"ElementSpacing": "0.7 -0.8 2.5", "TransformMatrix": "1 0 0 0 1 0 0 0 1"},
    )


@case("spacing 0", REFUSED, because="(?i)spacing|size|place|invert")
def zero_spacing(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", fields={"ElementSpacing": "0.7 0.8 0"})


@case("a matrix without volume", REFUSED, because="(?i)matrix|direction|place|invert")
def singular(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", fields={"TransformMatrix": "1 0 0 1 0 0 0 0 1"})


@case("a matrix with NaN", REFUSED, because="(?i)matrix|direction|place|finite|number")
def nan_matrix(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", fields={"TransformMatrix": "nan 0 0 0 1 0 0 0 1"})


@case("cut short", REFUSED, because=CUT)
def cut(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", spoil=lambda data: data[:-30])


@case("compressed and cut short", REFUSED, because=CUT)
def cut_compressed(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", compressed=True, spoil=lambda data: data[:-30])


@case("a bit flipped in the compressed voxels", REFUSED, because="(?i)damag|checksum|corrupt")
def flipped(folder: Path) -> Made:
    def flip(data: bytes) -> bytes:
        return data[:-60] + bytes([data[-60] ^ 16]) + data[-59:]

    return save_metaimage(folder / "ct.mha", compressed=True, spoil=flip)


@case(
    "size of the compressed data is wrong",
    {RIGHT, REFUSED},
    because="(?i)size|bytes|damag|cut|short",
)
def wrong_compressed_size(folder: Path) -> Made:
    fields = {"CompressedDataSize": "99"}
    return save_metaimage(folder / "ct.mha", compressed=True, fields=fields)


@case("size of the compressed data is not said")
def no_compressed_size(folder: Path) -> Made:
    return save_metaimage(
        folder / "ct.mhd", data_file="ct.zraw", compressed=True, fields={"CompressedDataSize": None}
    )


@case("bytes to skip before the data")
def header_size(folder: Path) -> Made:
    return save_metaimage(
        folder / "ct.mhd",
        data_file="ct.raw",
        fields={"HeaderSize": "21"},
        spoil=lambda data: b"#" * 21 + data,
    )


@case("data at the end of their file: HeaderSize -1")
def header_size_end(folder: Path) -> Made:
    return save_metaimage(
        folder / "ct.mhd",
        data_file="ct.raw",
        fields={"HeaderSize": "-1"},
        spoil=lambda data: b"#" * 1234 + data,
    )


@case("a file for each slice", {RIGHT, REFUSED}, because="(?i)files|list|slice")
def one_file_each(folder: Path) -> Made:
    made = save_metaimage(folder / "ct.mhd", data_file="LIST")
    names = []
    for k, plane in enumerate(np.moveaxis(np.rint(hu_at(made.scans[0].points())), 2, 0)):
        names.append(f"slice{k}.raw")
        (folder / names[-1]).write_bytes(plane.astype("<i2").tobytes(order="F"))
    with made.path.open("a", encoding="ascii") as stream:
        stream.write("\n".join(names) + "\n")
    return made


@case("the data are lost", REFUSED, because="(?i)missing|no such|not beside|lack")
def lost(folder: Path) -> Made:
    made = save_metaimage(folder / "ct.mhd", data_file="ct.raw")
    (folder / "ct.raw").unlink()
    return made


@case("the data said to lie outside the folder", REFUSED, because="(?i)outside|folder|path")
def elsewhere(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mhd", data_file="/etc/passwd")


@case("three channels", REFUSED, because="(?i)channel|colou?r|several numbers", is_volume=False)
def channels(folder: Path) -> Made:
    return save_metaimage(
        folder / "ct.mha",
        fields={"ElementNumberOfChannels": "3"},
        spoil=lambda data: data * 3,
    )


@case("three times in one file", ASKED)
def times(folder: Path) -> Made:
    base = np.rint(hu_at(scan_of(RAS).points()))
    voxels = np.stack([base + 30 * k for k in range(3)], axis=-1)
    fields = {
        "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
        "Offset": "-21 -32 8 0",
        "CenterOfRotation": "0 0 0 0",
        "AnatomicalOrientation": None,
        "ElementSpacing": "0.7 0.8 2.5 1",
    }
    made = save_metaimage(folder / "ct.mha", voxels=voxels, fields=fields)
    scans = (replace(made.scans[0], value=lambda p, k=k: hu_at(p) + 30 * k) for k in range(3))
    return Made(made.path, tuple(scans))


@case("two-dimensional", REFUSED, because="(?i)dimension|2-D|slice|axes|three", is_volume=False)
def flat(folder: Path) -> Made:
    fields = {"TransformMatrix": "1 0 0 1", "Offset": "0 0", "ElementSpacing": "1 1"}
    return save_metaimage(
        folder / "ct.mha",
        voxels=np.zeros(SHAPE[:2]),
        fields={**fields, "CenterOfRotation": "0 0", "AnatomicalOrientation": None},
    )


@case("float", kind="")
def floats(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", dtype="<f4", compressed=True)


@case("double", kind="")
def doubles(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", dtype="<f8")


@case("64 bits")
def sixty_four(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", dtype="<i8")


@case("mask", quantity="labels")
def mask(folder: Path) -> Made:
    return save_metaimage(folder / "mask.mha", dtype="|u1", value=label_at, compressed=True)


@case("numbers as text", {RIGHT, REFUSED}, because="(?i)text|ascii|binary")
def as_text(folder: Path) -> Made:
    def to_text(raw: bytes) -> bytes:
        return " ".join(map(str, np.frombuffer(raw, "<i2"))).encode()

    return save_metaimage(folder / "ct.mha", fields={"BinaryData": "False"}, spoil=to_text)


@case(
    "a hundred thousand in each direction", REFUSED, because="(?i)memory|bytes|short|hold|cut|end"
)
def bomb(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", fields={"DimSize": "100000 100000 100000"})


@case("fewer sizes than dimensions", REFUSED, because="(?i)size|dim")
def sizes_short(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", fields={"DimSize": "9 8"})


@case("a type that nobody knows", REFUSED, because="(?i)type")
def unknown_type(folder: Path) -> Made:
    return save_metaimage(folder / "ct.mha", fields={"ElementType": "MET_FANCY"})


@case("text that calls itself MetaImage", REFUSED, because=".")
def text(folder: Path) -> Made:
    (folder / "ct.mha").write_text("MetaImage, I promise", encoding="ascii")
    return Made(folder / "ct.mha")


METAIMAGE_CASES = tuple(metaimages.cases)
