"""Arrays in npz files, with and without what tells where they lie."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from torture.cases import Catalogue
from torture.judge import Made, Scan, Verdict, hu_at

npzs = Catalogue()
case = npzs.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
SIZE, SPACING, HEIGHTS = (9, 8), (2.5, 0.8, 0.7), (-60.0, -57.5, -55.0, -52.5, -50.0)
DAMAGED = "(?i)damag|checksum|crc|corrupt|cut|incomplete|zip"
UNPLACED = "(?i)how|where|whether|lies|run"


def scan_at(heights: tuple[float, ...] = HEIGHTS, **more: object) -> Scan:
    """Slices at heights to the head, rows to the back, columns to the left, from 0 on."""
    affine = np.diag([SPACING[2], SPACING[1], heights[1] - heights[0], 1.0])
    affine[2, 3] = heights[0]
    return Scan(affine, SIZE, tuple(map(float, range(len(heights)))), **more)


def voxels_of(scan: Scan, dtype: str = "<i2") -> np.ndarray:
    """[slice, row, column]."""
    values = scan.value(scan.points()).transpose(2, 1, 0)
    return (values if np.dtype(dtype).kind == "f" else np.rint(values)).astype(dtype)


def save_npz(
    path: Path,
    scan: Scan | None = None,
    *,
    change: Callable[[np.ndarray], np.ndarray] = lambda voxels: voxels,
    write: Callable[..., None] = np.savez_compressed,
    heights: tuple[float, ...] | None = HEIGHTS,
    spacing: tuple[float, ...] | None = SPACING,
    **more: np.ndarray,
) -> Made:
    """Write an array with its place; None leaves out what tells it."""
    scan = scan or scan_at()
    arrays = {"chest_hu": change(voxels_of(scan)), **more}
    if spacing is not None:
        arrays["chest_spacing_zyx"] = np.array(spacing)
    if heights is not None:
        arrays["chest_z_mm"] = np.array(heights)
    write(path, **arrays)
    return Made(path, (scan,))


@case("plain, compressed")
def plain(folder: Path) -> Made:
    return save_npz(folder / "ct.npz")


@case("stored without compression")
def stored(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", write=np.savez)


@case("slices run to the feet")
def to_the_feet(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", scan_at(HEIGHTS[::-1]), heights=HEIGHTS[::-1])


@case("columns before rows in memory")
def fortran(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", change=np.asfortranarray)


@case("big-endian")
def big_endian(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", change=lambda voxels: voxels.astype(">i2"))


@case("64 bits")
def sixty_four(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", change=lambda voxels: voxels.astype("<i8"))


@case("double", kind="")
def double(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", change=lambda voxels: voxels.astype("<f8"))


@case("half precision", kind="f")
def half(folder: Path) -> Made:
    scan = scan_at(within=0.8)
    return save_npz(folder / "ct.npz", scan, change=lambda voxels: voxels.astype("<f2"))


@case("NaN outside the field of view", kind="f", remark="(?i)NaN|no number")
def with_nan(folder: Path) -> Made:
    padded = np.zeros((*SIZE, 5), bool)
    padded[0] = True

    def blank(voxels: np.ndarray) -> np.ndarray:
        return np.where(padded.transpose(2, 1, 0), np.nan, voxels).astype("<f4")

    return save_npz(folder / "ct.npz", scan_at(padded=padded), change=blank)


@case("mask of true and false", quantity="labels")
def mask(folder: Path) -> Made:
    def inside(points: np.ndarray) -> np.ndarray:
        return (hu_at(points) > np.median(hu_at(scan_at().points()))).astype(float)

    scan = scan_at(value=inside)
    return save_npz(folder / "mask.npz", scan, change=lambda voxels: voxels.astype(bool))


@case("heights are not told", REPAIRED, repairs=("assume-place",), because=UNPLACED)
def no_heights(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", scan_at(anywhere=True), heights=None)


@case("nothing is told", REPAIRED, repairs=("assume-place",), because=UNPLACED, remark="1 mm")
def nothing_told(folder: Path) -> Made:
    def guessed(points: np.ndarray) -> np.ndarray:
        index = (points - (0, 0, HEIGHTS[0])) * (SPACING[2], SPACING[1], SPACING[0])
        index[..., 2] += HEIGHTS[0]
        return hu_at(index)

    affine = np.eye(4)
    affine[2, 3] = HEIGHTS[0]
    scan = Scan(affine, SIZE, (0.0, 1, 2, 3, 4), guessed, anywhere=True)
    return save_npz(folder / "ct.npz", scan, heights=None, spacing=None)


@case(
    "RAD-ChestCT, without its tables",
    {RIGHT, REPAIRED},
    repairs=("assume-place",),
    because=UNPLACED,
)
def rad_chestct(folder: Path) -> Made:
    def clipped(points: np.ndarray) -> np.ndarray:
        return np.clip(20 * hu_at(points), -1000, 1000)

    scan = Scan(np.diag([0.8, 0.8, -0.8, 1.0]), (12, 12), (0.0, 1, 2, 3, 4, 5), clipped)
    path = folder / "trn00001.npz"
    np.savez_compressed(path, ct=voxels_of(scan))
    return Made(path, (replace(scan, anywhere=True, within=0.51),))


@case("two scans in one file", ASKED)
def two(folder: Path) -> Made:
    other = scan_at(tuple(h + 20 for h in HEIGHTS))
    made = save_npz(
        folder / "ct.npz",
        abdomen_hu=voxels_of(other),
        abdomen_spacing_zyx=np.array(SPACING),
        abdomen_z_mm=np.array(HEIGHTS) + 20,
    )
    return Made(made.path, (*made.scans, other))


@case("heights are uneven", REFUSED, because="(?i)spac|even")
def uneven(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", heights=(-60, -57.5, -54, -52.5, -50))


@case("more heights than slices", REFUSED, because="(?i)height|slices")
def too_many_heights(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", heights=(*HEIGHTS, -47.5))


@case("spacing 0", REFUSED, because="(?i)spacing|length")
def no_spacing(folder: Path) -> Made:
    return save_npz(folder / "ct.npz", spacing=(2.5, 0, 0.7))


@case(
    "an array of Python objects, which could run code",
    REFUSED,
    because="(?i)object|pickle|array|number",
)
def objects(folder: Path) -> Made:
    path = folder / "ct.npz"
    np.savez(path, ct=np.full((3, 4, 5), {"a": 1}, dtype=object))
    return Made(path)


@case("complex numbers", REFUSED, because="(?i)complex|number|type")
def complex_numbers(folder: Path) -> Made:
    path = folder / "ct.npz"
    np.savez(path, ct=np.zeros((3, 4, 5), complex))
    return Made(path)


@case("tables only, no volume", REFUSED, because=".")
def tables(folder: Path) -> Made:
    path = folder / "ct.npz"
    np.savez(path, scores=np.zeros((30, 4)))
    return Made(path)


@case("cut short", REFUSED, because=DAMAGED)
def cut(folder: Path) -> Made:
    made = save_npz(folder / "ct.npz")
    made.path.write_bytes(made.path.read_bytes()[:-200])
    return made


@case("a bit flipped in the compressed voxels", REFUSED, because=DAMAGED)
def flipped(folder: Path) -> Made:
    made = save_npz(folder / "ct.npz")
    whole = bytearray(made.path.read_bytes())
    whole[300] ^= 8
    made.path.write_bytes(whole)
    return made


@case("a bit flipped in stored voxels", REFUSED, because=DAMAGED)
def flipped_stored(folder: Path) -> Made:
    made = save_npz(folder / "ct.npz", write=np.savez)
    whole = bytearray(made.path.read_bytes())
    whole[400] ^= 8
    made.path.write_bytes(whole)
    return made


def _with_header(folder: Path, shape: str, n_bytes: int) -> Made:
    """An array whose header claims a shape."""
    header = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    content = io.BytesIO()
    content.write(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(n_bytes))
    with zipfile.ZipFile(folder / "ct.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ct.npy", content.getvalue())
    return Made(folder / "ct.npz")


@case(
    "a hundred thousand in each direction", REFUSED, because="(?i)memory|bytes|cut|short|incomplete"
)
def bomb(folder: Path) -> Made:
    return _with_header(folder, "(100000, 100000, 100000)", 400)


@case("fewer voxels than announced", REFUSED, because="(?i)bytes|cut|short|incomplete|damag")
def short(folder: Path) -> Made:
    return _with_header(folder, "(5, 8, 9)", 700)


@case("a header that is a program", REFUSED, because=".")
def program(folder: Path) -> Made:
    return _with_header(folder, "(__import__('os').getpid(), 2, 3)", 700)


@case("a negative length", REFUSED, because=".")
def negative(folder: Path) -> Made:
    return _with_header(folder, "(-5, 8, -9)", 720)


NPZ_CASES = tuple(npzs.cases)
