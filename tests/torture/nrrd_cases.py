"""NRRD files, their headers written by hand (format: teem.sourceforge.net/nrrd/format.html)."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from torture.cases import Catalogue
from torture.judge import Made, Scan, Verdict, hu_at
from torture.nifti_file import RAS, SHAPE, label_at, rotated, scan_of

nrrds = Catalogue()
case = nrrds.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
STRAIGHT = "(?i)straight|resampl|oblique"
CUT = "(?i)short|cut|incomplete|trunc|end|damag|bytes"
TYPES = {"<i2": "short", ">i2": "short", "<f4": "float", "|u1": "uchar", "<i8": "int64"}
LPS_OF = {"left-posterior-superior": (-1, -1, 1), "RAS": (1, 1, 1), "LAS": (-1, 1, 1)}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "gzip": lambda raw: gzip.compress(raw, mtime=0),
    "bzip2": bz2.compress,
    "hex": lambda raw: raw.hex().encode(),
}


def save_nrrd(
    path: Path,
    ras: np.ndarray = RAS,
    *,
    space: str = "left-posterior-superior",
    dtype: str = "<i2",
    encoding: str = "gzip",
    value: Callable[[np.ndarray], np.ndarray] = hu_at,
    voxels: np.ndarray | None = None,
    fields: Mapping[str, str | None] | None = None,
    keys: Mapping[str, str] | None = None,
    detached: str | None = None,
    spoil: Callable[[bytes], bytes] = bytes,
    to_scan: Callable[[Scan], Scan] = lambda scan: scan,
    end: str = "\n",
) -> Made:
    """Write a file; `fields` changes header lines, or leaves out those that are None."""
    scan = scan_of(ras, value=value)
    if voxels is None:
        voxels = value(scan.points())
        voxels = voxels if np.dtype(dtype).kind == "f" else np.rint(voxels)
    here = np.diag([*LPS_OF.get(space, (1, 1, 1)), 1]) @ ras

    def vector(numbers: np.ndarray) -> str:
        return "(" + ",".join(repr(float(x)) for x in numbers) + ")"

    lines: dict[str, str | None] = {
        "type": TYPES[dtype],
        "dimension": "3",
        "space": space,
        "sizes": " ".join(map(str, voxels.shape)),
        "space directions": " ".join(vector(here[:3, k]) for k in range(3)),
        "kinds": "domain domain domain",
        "endian": "big" if dtype[0] == ">" else "little",
        "encoding": encoding,
        "space origin": vector(here[:3, 3]),
        **(fields or {}),
    }
    if detached is not None:
        lines["data file"] = detached
    text = ["NRRD0005", "# made by hand"]
    text += [f"{name}: {content}" for name, content in lines.items() if content is not None]
    text += [f"{name}:={content}" for name, content in (keys or {}).items()]
    raw = voxels.astype(dtype).tobytes(order="F")
    data = spoil(PACK[encoding](raw) if encoding in PACK else raw)
    head = end.join(text).encode() + end.encode()
    if detached is None:
        path.write_bytes(head + end.encode() + data)
    else:
        path.write_bytes(head)
        if "/" not in detached and "%" not in detached and detached != "LIST":
            (path.parent / detached).write_bytes(data)
    return Made(path, (to_scan(scan),))


@case("plain, gzip")
def plain(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd")


@case("raw")
def raw(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", encoding="raw")


@case("right-anterior-superior by its short name")
def ras(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", space="RAS")


@case("left-anterior-superior by its short name")
def las(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", space="LAS")


@case("big-endian")
def big_endian(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", dtype=">i2")


@case("bzip2")
def bzip2(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", encoding="bzip2")


@case("hexadecimal")
def hexadecimal(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", encoding="hex")


@case("numbers as text")
def as_text(folder: Path) -> Made:
    def to_text(raw: bytes) -> bytes:
        return " ".join(map(str, np.frombuffer(raw, "<i2"))).encode()

    return save_nrrd(folder / "ct.nrrd", encoding="ascii", spoil=to_text)


@case("detached header")
def detached(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nhdr", encoding="raw", detached="ct.raw")


@case("detached header, gzip, lines ending as on Windows")
def detached_gzip(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nhdr", detached="ct.raw.gz", end="\r\n")


@case("detached, the data are lost", REFUSED, because="(?i)missing|no such|not beside|lack")
def detached_lost(folder: Path) -> Made:
    made = save_nrrd(folder / "ct.nhdr", detached="ct.raw.gz")
    (folder / "ct.raw.gz").unlink()
    return made


@case(
    "detached, the data said to lie outside the folder", REFUSED, because="(?i)outside|folder|path"
)
def detached_elsewhere(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nhdr", encoding="raw", detached="../../../etc/passwd")


@case("detached, a file for each slice", {RIGHT, REFUSED}, because="(?i)files|list|slice")
def detached_list(folder: Path) -> Made:
    made = save_nrrd(folder / "ct.nhdr", encoding="raw", detached="LIST")
    names = []
    for k, plane in enumerate(np.moveaxis(np.rint(hu_at(made.scans[0].points())), 2, 0)):
        names.append(f"slice{k}.raw")
        (folder / names[-1]).write_bytes(plane.astype("<i2").tobytes(order="F"))
    with made.path.open("a", encoding="ascii") as stream:
        stream.write("\n".join(names) + "\n")
    return made


@case("bytes to skip before the data")
def byte_skip(folder: Path) -> Made:
    return save_nrrd(
        folder / "ct.nhdr",
        encoding="raw",
        detached="ct.raw",
        fields={"byte skip": "37"},
        spoil=lambda data: b"#" * 37 + data,
    )


@case("data at the end of the file: byte skip -1")
def byte_skip_end(folder: Path) -> Made:
    return save_nrrd(
        folder / "ct.nhdr",
        encoding="raw",
        detached="ct.raw",
        fields={"byte skip": "-1"},
        spoil=lambda data: b"#" * 411 + data,
    )


@case(
    "no space, only spacings",
    {REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)where|space",
)
def only_spacings(folder: Path) -> Made:
    return save_nrrd(
        folder / "ct.nrrd",
        fields={
            "space": None, "space directions": None, "space origin": None,
            "spacings": "0.7 0.8 2.5",
        },
        to_scan=lambda scan: replace(scan, anywhere=True),
    )  # fmt: skip


@case(
    "a space of three dimensions without a name",
    {REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)where|space",
)
def unnamed_space(folder: Path) -> Made:
    return save_nrrd(
        folder / "ct.nrrd",
        fields={"space": None, "space dimension": "3"},
        to_scan=lambda scan: replace(scan, anywhere=True),
    )


@case(
    "space of the scanner",
    {REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)where|space",
)
def scanner_space(folder: Path) -> Made:
    return save_nrrd(
        folder / "ct.nrrd",
        fields={"space": "scanner-xyz"},
        to_scan=lambda scan: replace(scan, anywhere=True),
    )


@case("no origin", {REPAIRED, REFUSED}, repairs=("assume-place",), because="(?i)where|origin")
def no_origin(folder: Path) -> Made:
    return save_nrrd(
        folder / "ct.nrrd",
        fields={"space origin": None},
        to_scan=lambda scan: replace(scan, anywhere=True),
    )


@case("oblique", remark=STRAIGHT)
def oblique(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", rotated(rotated(RAS, 0, 15), 2, -24))


@case("axes swapped and left-handed")
def swapped(folder: Path) -> Made:
    ras = np.array([[0, 0, 0.7, -19.0], [-0.8, 0, 0, 30], [0, 2.5, 0, 8], [0, 0, 0, 1]])
    return save_nrrd(folder / "ct.nrrd", ras)


@case("lengths in micrometres", {RIGHT, REFUSED}, because="(?i)unit", remark="(?i)micro|in um")
def micrometres(folder: Path) -> Made:
    grown = RAS.copy()
    grown[:3] *= 1000
    numbers = np.rint(hu_at(scan_of(RAS).points()))
    made = save_nrrd(
        folder / "ct.nrrd", grown, voxels=numbers, fields={"space units": '"um" "um" "um"'}
    )
    return Made(made.path, (scan_of(RAS),))


@case("float with NaN", remark="(?i)NaN|no number|not a number", kind="f")
def nan(folder: Path) -> Made:
    voxels = hu_at(scan_of(RAS).points())
    padded = np.zeros(SHAPE, bool)
    padded[:, 0] = True
    voxels[padded] = np.nan
    return save_nrrd(
        folder / "ct.nrrd",
        voxels=voxels,
        dtype="<f4",
        to_scan=lambda scan: replace(scan, padded=padded),
    )


@case("64 bits")
def sixty_four(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", dtype="<i8")


@case("mask", quantity="labels")
def mask(folder: Path) -> Made:
    return save_nrrd(folder / "mask.nrrd", dtype="|u1", value=label_at)


@case("segmentation with names", quantity="labels", remark="(?s)liver.*spleen")
def segmentation(folder: Path) -> Made:
    keys = {}
    for k, name in enumerate(("liver", "spleen")):
        keys |= {
            f"Segment{k}_ID": f"Segment_{k + 1}",
            f"Segment{k}_Name": name,
            f"Segment{k}_LabelValue": str((2, 7)[k]),
            f"Segment{k}_Layer": "0",
            f"Segment{k}_Color": "0.5 0.6 0.7",
        }
    return save_nrrd(folder / "s.seg.nrrd", dtype="|u1", value=label_at, keys=keys)


@case("three times in one file", ASKED)
def times(folder: Path) -> Made:
    base = np.rint(hu_at(scan_of(RAS).points()))
    voxels = np.stack([base + 30 * k for k in range(3)])
    made = save_nrrd(
        folder / "ct.nrrd",
        voxels=voxels,
        fields={
            "dimension": "4",
            "space directions": "none (0.7,0,0) (0,0.8,0) (0,0,2.5)",
            "kinds": "list domain domain domain",
        },
    )
    scans = (replace(made.scans[0], value=lambda p, k=k: hu_at(p) + 30 * k) for k in range(3))
    return Made(made.path, tuple(scans))


@case("colours", REFUSED, because="(?i)colou?r|RGB", is_volume=False)
def colours(folder: Path) -> Made:
    return save_nrrd(
        folder / "ct.nrrd",
        voxels=np.zeros((3, *SHAPE)),
        dtype="|u1",
        fields={
            "dimension": "4",
            "space directions": "none (0.7,0,0) (0,0.8,0) (0,0,2.5)",
            "kinds": "RGB-color domain domain domain",
        },
    )


@case("vectors", REFUSED, because="(?i)vector|colou?r|compon", is_volume=False)
def vectors(folder: Path) -> Made:
    return save_nrrd(
        folder / "field.nrrd",
        voxels=np.zeros((3, *SHAPE)),
        dtype="<f4",
        fields={
            "dimension": "4",
            "space directions": "none (0.7,0,0) (0,0.8,0) (0,0,2.5)",
            "kinds": "vector domain domain domain",
        },
    )


@case("cut short", REFUSED, because=CUT)
def cut(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", encoding="raw", spoil=lambda data: data[:-9])


@case("compressed and cut short", REFUSED, because=CUT)
def cut_gzip(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", spoil=lambda data: data[:-9])


@case("a bit flipped in the compressed voxels", REFUSED, because="(?i)damag|checksum|crc|corrupt")
def flipped(folder: Path) -> Made:
    def flip(data: bytes) -> bytes:
        return data[:-60] + bytes([data[-60] ^ 16]) + data[-59:]

    return save_nrrd(folder / "ct.nrrd", spoil=flip)


@case("sizes of a hundred thousand", REFUSED, because="(?i)memory|bytes|short|hold|cut|end")
def bomb(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", fields={"sizes": "100000 100000 100000"})


@case("fewer sizes than dimensions", REFUSED, because="(?i)size|header|dim|field")
def sizes_short(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", fields={"sizes": "9 8"})


@case(
    "a direction that is not a number", REFUSED, because="(?i)direction|finite|number|place|invert"
)
def nan_direction(folder: Path) -> Made:
    return save_nrrd(
        folder / "ct.nrrd", fields={"space directions": "(nan,0,0) (0,0.8,0) (0,0,2.5)"}
    )


@case("two directions alike", REFUSED, because="(?i)direction|place|invert|singular")
def same_directions(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", fields={"space directions": "(1,0,0) (1,0,0) (0,0,2.5)"})


@case("a type that nobody knows", REFUSED, because="(?i)type")
def unknown_type(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", fields={"type": "block"})


@case("an encoding that nobody knows", REFUSED, because="(?i)encod|compress")
def unknown_encoding(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", fields={"encoding": "zstd"})


@case("16 bits without a byte order", {RIGHT, REFUSED}, because="(?i)endian|byte")
def no_endian(folder: Path) -> Made:
    return save_nrrd(folder / "ct.nrrd", fields={"endian": None})


@case("text that calls itself NRRD", REFUSED, because=".")
def text(folder: Path) -> Made:
    (folder / "ct.nrrd").write_text("NRRD, I promise", encoding="ascii")
    return Made(folder / "ct.nrrd")


NRRD_CASES = tuple(nrrds.cases)
