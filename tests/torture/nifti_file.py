"""Write NIfTI byte by byte, so that a file can be as wrong as it likes.

Fields and their places are those of nifti1.h and nifti2.h (nifti.nimh.nih.gov).
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from torture.judge import Made, Scan, hu_at

_ONE = [
    ("sizeof_hdr", "i4"), ("unused", "S35"), ("dim_info", "u1"), ("dim", "i2", 8),
    ("intent_p", "f4", 3), ("intent_code", "i2"), ("datatype", "i2"), ("bitpix", "i2"),
    ("slice_start", "i2"), ("pixdim", "f4", 8), ("vox_offset", "f4"), ("scl_slope", "f4"),
    ("scl_inter", "f4"), ("slice_end", "i2"), ("slice_code", "u1"), ("xyzt_units", "u1"),
    ("cal", "f4", 2), ("times", "f4", 2), ("gl", "i4", 2), ("descrip", "S80"),
    ("aux_file", "S24"), ("qform_code", "i2"), ("sform_code", "i2"), ("quatern", "f4", 3),
    ("qoffset", "f4", 3), ("srow", "f4", (3, 4)), ("intent_name", "S16"), ("magic", "S4"),
]  # fmt: skip
_TWO = [
    ("sizeof_hdr", "i4"), ("magic", "S8"), ("datatype", "i2"), ("bitpix", "i2"),
    ("dim", "i8", 8), ("intent_p", "f8", 3), ("pixdim", "f8", 8), ("vox_offset", "i8"),
    ("scl_slope", "f8"), ("scl_inter", "f8"), ("cal", "f8", 2), ("times", "f8", 2),
    ("slices", "i8", 2), ("descrip", "S80"), ("aux_file", "S24"), ("qform_code", "i4"),
    ("sform_code", "i4"), ("quatern", "f8", 3), ("qoffset", "f8", 3), ("srow", "f8", (3, 4)),
    ("slice_code", "i4"), ("xyzt_units", "i4"), ("intent_code", "i4"), ("intent_name", "S16"),
    ("dim_info", "u1"), ("unused", "S15"),
]  # fmt: skip
_CODES = {
    "u1": 2, "i2": 4, "i4": 8, "f4": 16, "c8": 32, "f8": 64, "i1": 256, "u2": 512, "u4": 768,
    "i8": 1024, "u8": 1280,
}  # fmt: skip

SHAPE = (9, 8, 5)
RAS = np.array([[-0.7, 0, 0, 21.0], [0, -0.8, 0, 32.0], [0, 0, 2.5, 8.0], [0, 0, 0, 1]])


def label_at(lps_mm: np.ndarray) -> np.ndarray:
    """A mask of two organs in nothing."""
    x, y, z = np.moveaxis(lps_mm, -1, 0)
    first = (x > -19.5) & (y < -28.3) & (z > 9)
    return np.where(first, np.where(z > 14, 7.0, 2.0), 0.0)


def rotated(ras: np.ndarray, axis: int, degrees: float) -> np.ndarray:
    """Turn a grid about a patient axis through its origin."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, two = [(1, 2), (2, 0), (0, 1)][axis]
    turn = np.eye(4)
    turn[one, one], turn[two, two], turn[one, two], turn[two, one] = c, c, -s, s
    result: np.ndarray = turn @ ras
    return result


def scan_of(
    ras: np.ndarray,
    shape: tuple[int, ...] = SHAPE,
    value: Callable[[np.ndarray], np.ndarray] = hu_at,
    **more: object,
) -> Scan:
    """What a file with this affine holds."""
    lps = np.diag([-1.0, -1, 1, 1]) @ ras
    return Scan(lps, (shape[0], shape[1]), tuple(map(float, range(shape[2]))), value, **more)


def quaternion(ras: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(b, c, d), the pixdims and qfac of an affine without shear."""
    sizes = np.linalg.norm(ras[:3, :3], axis=0)
    turn = ras[:3, :3] / sizes
    qfac = float(np.sign(np.linalg.det(turn)))
    turn = turn * np.array([1, 1, qfac])
    # The eigenvector to the largest eigenvalue is the quaternion (Bar-Itzhack 2000).
    (xx, yx, zx), (xy, yy, zy), (xz, yz, zz) = turn.T
    k = np.array([
        [xx - yy - zz, 0, 0, 0],
        [yx + xy, yy - xx - zz, 0, 0],
        [zx + xz, zy + yz, zz - xx - yy, 0],
        [yz - zy, zx - xz, xy - yx, xx + yy + zz],
    ])  # fmt: skip
    x, y, z, w = np.linalg.eigh(k / 3)[1][:, -1]
    if abs(turn - _turn_of(x, y, z, w)).max() > 1e-6:
        x, y, z = -x, -y, -z
    assert abs(turn - _turn_of(x, y, z, w)).max() < 1e-6, "no quaternion was found"
    return np.array([x, y, z]) * (1 if w >= 0 else -1), sizes, qfac


def _turn_of(b: float, c: float, d: float, a: float) -> np.ndarray:
    return np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ])  # fmt: skip


def save_nifti(
    path: Path,
    ras: np.ndarray = RAS,
    *,
    shape: tuple[int, ...] = SHAPE,
    voxels: np.ndarray | None = None,
    value: Callable[[np.ndarray], np.ndarray] = hu_at,
    dtype: str = "<i2",
    slope: float = 1.0,
    inter: float = 0.0,
    sform: int = 1,
    qform: int = 0,
    qform_ras: np.ndarray | None = None,
    version: int = 1,
    extension: bytes = b"",
    fields: Mapping[str, object] | None = None,
    spoil: Callable[[bytes], bytes] = lambda whole: whole,
    to_scan: Callable[[Scan], Scan] = lambda scan: scan,
) -> Made:
    """Write a file whose stored numbers become `value` by slope and intercept.

    `fields` overrides header fields; `spoil` changes the bytes before a name ending in `.gz`
    compresses them; `extension` stands behind the header, its length a multiple of 16.
    """
    scan = scan_of(ras, shape, value, within=0.51 * abs(slope))
    order = "<" if dtype[0] in "<|" else ">"
    if voxels is None:
        numbers = (value(scan.points()) - inter) / slope
        voxels = numbers if np.dtype(dtype).kind == "f" else np.rint(numbers)
    header = np.zeros((), np.dtype(_ONE if version == 1 else _TWO).newbyteorder(order))
    b_c_d, sizes, qfac = quaternion(RAS if qform_ras is None else qform_ras)
    if qform_ras is None:
        sizes = np.linalg.norm(ras[:3, :3], axis=0)
        if qform:
            b_c_d, sizes, qfac = quaternion(ras)
    header["sizeof_hdr"] = 348 if version == 1 else 540
    header["dim"] = (len(voxels.shape), *voxels.shape, *[1] * (7 - voxels.ndim))
    header["datatype"] = _CODES[dtype.lstrip("<>|")]
    header["bitpix"] = 8 * np.dtype(dtype).itemsize
    header["pixdim"] = (qfac, *sizes, 1, 1, 1, 1)
    header["vox_offset"] = header.nbytes + 4 + len(extension)
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["xyzt_units"] = 2
    header["sform_code"], header["qform_code"] = sform, qform
    header["srow"] = ras[:3] if sform else 0
    if qform:
        header["quatern"] = b_c_d
        header["qoffset"] = (ras if qform_ras is None else qform_ras)[:3, 3]
    header["magic"] = b"n+1" if version == 1 else b"n+2\0\r\n\x1a\n"
    for name, content in (fields or {}).items():
        header[name] = content
    data = np.asarray(voxels).astype(dtype).tobytes(order="F")
    flag = bytes([int(bool(extension)), 0, 0, 0])
    whole = spoil(header.tobytes() + flag + extension + data)
    path.write_bytes(gzip.compress(whole, 6, mtime=0) if path.name.endswith(".gz") else whole)
    return Made(path, (to_scan(scan),))
