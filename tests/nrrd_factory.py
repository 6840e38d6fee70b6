"""NRRD files as other software writes them, made by hand so that every field can be wrong."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np

RNG = np.random.default_rng(11)
CT = RNG.integers(-1024, 1500, (6, 7, 8)).astype(np.int16)
ORIGIN = np.array([-90.5, -120.25, -300.0])
STEPS = np.diag([0.7, 0.7, 2.5])
TYPES = {"i2": "short", "u2": "ushort", "u1": "uchar", "f4": "float", "f8": "double", "i4": "int"}
PACKERS = {
    "raw": bytes,
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "bzip2": bz2.compress,
    "hex": lambda content: content.hex().encode(),
}


def vectors(rows) -> str:
    return " ".join("(" + ",".join(repr(float(x)) for x in row) + ")" for row in rows)


def fields_of(voxels, encoding="raw") -> dict[str, str]:
    """The header of a plain CT along LPS."""
    return {
        "type": TYPES[voxels.dtype.newbyteorder("=").str[1:]],
        "dimension": str(voxels.ndim),
        "space": "left-posterior-superior",
        "sizes": " ".join(str(n) for n in voxels.shape),
        "space directions": vectors(STEPS),
        "kinds": " ".join(["domain"] * voxels.ndim),
        "endian": "big" if voxels.dtype.byteorder == ">" else "little",
        "encoding": encoding,
        "space origin": vectors([ORIGIN]),
    }


def text_of(voxels, encoding="raw", pairs=None, **changes) -> bytes:
    """The header; a change to None leaves a field out, underscores stand for blanks."""
    fields = fields_of(voxels, encoding)
    fields |= {name.replace("_", " "): value for name, value in changes.items()}
    lines = ["NRRD0005", "# a comment: with a colon"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    lines += [f"{name}:={value}" for name, value in (pairs or {}).items()]
    return "\n".join(lines).encode() + b"\n\n"


def bytes_of(voxels, encoding="raw") -> bytes:
    if encoding == "ascii":
        return " ".join(str(x) for x in voxels.ravel("F")).encode()
    return PACKERS[encoding](voxels.tobytes(order="F"))


def save(path: Path, voxels=CT, encoding="raw", pairs=None, content=None, **changes) -> Path:
    """A file with attached voxels; `content` takes their place."""
    content = bytes_of(voxels, encoding) if content is None else content
    path.write_bytes(text_of(voxels, encoding, pairs, **changes) + content)
    return path


def value_at(volume, lps_mm) -> float:
    left, posterior, superior = lps_mm
    index = np.rint(volume.grid.to_index((-superior, posterior, left))).astype(int)
    return volume.voxels[tuple(index)]


def each_place(index, steps=STEPS, origin=ORIGIN):
    """LPS mm of a voxel."""
    return np.asarray(index) @ steps + origin
