"""The header of an NRRD file: its fields, and where its samples lie.

pynrrd understands the values of the fields. The lines are taken apart here, because pynrrd
loses letters beyond ASCII, as in the names of segments, and does not know a list of data files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.data_files import named_files
from napari_hirescam.io.stored_samples import Packing, Part, Samples

MAGIC = b"NRRD"

_LONGEST_HEADER = 16 << 20
_MOST_AXES = 16  # what the format allows
_CONVERT_AGAIN = "Convert it again from the original images"
_PACKINGS = {
    "raw": Packing.RAW,
    "gzip": Packing.GZIP,
    "gz": Packing.GZIP,
    "bzip2": Packing.BZIP2,
    "bz2": Packing.BZIP2,
    "txt": Packing.TEXT,
    "text": Packing.TEXT,
    "ascii": Packing.TEXT,
    "hex": Packing.HEX,
}
_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, "
    "int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPE_OF = {name: code for code, names in _TYPES.items() for name in names.split(", ")}
# The format allows both spellings of each.
_NAMES = {
    "axismins": "axis mins",
    "axismaxs": "axis maxs",
    "lineskip": "line skip",
    "byteskip": "byte skip",
    "datafile": "data file",
    "centers": "centerings",
    "spacedirections": "space directions",
    "spaceorigin": "space origin",
    "spacedimension": "space dimension",
    "spaceunits": "space units",
    "measurementframe": "measurement frame",
}
_VECTORS = {"space directions", "space origin"}
# fmt: off
_UNDERSTOOD = frozenset({
    "type", "dimension", "encoding", "endian", "line skip", "byte skip", "space",
    "space dimension", "space directions", "space origin", "space units", "spacings", "kinds",
    "units",
})
# fmt: on


@dataclass(frozen=True)
class NrrdHeader:
    """What the header says.

    Parameters
    ----------
    path
        The file.
    texts
        Each field as it is written, by its name in lower case.
    values
        Those fields that matter here, understood.
    pairs
        The key/value pairs.
    samples
        Where the voxels lie; the fastest axis first.
    """

    path: Path
    texts: dict[str, str]
    values: dict[str, Any]
    pairs: dict[str, str]
    samples: Samples

    def of_each_axis(self, name: str) -> list[Any] | None:
        """The values of a field that has one for each axis, or None if it is absent.

        Raises
        ------
        VolumeError
            If it has more or fewer.
        """
        values = self.values.get(name)
        if values is None:
            return None
        if len(values) != len(self.samples.shape):
            raise VolumeError(
                self.path,
                f"its header gives {len(values)} {name} for {len(self.samples.shape)} axes",
                _CONVERT_AGAIN,
            )
        return list(values)


def read_header(path: Path) -> NrrdHeader:
    """Read the header of an NRRD file, attached to its samples or not.

    Raises
    ------
    VolumeError
        If it cannot be understood, or names samples that are not there.
    """
    with path.open("rb") as file:
        texts, pairs, files = _take_apart(path, file.readline)
        offset = file.tell()
    values = _understand(path, texts)
    shape = _shape(path, int(values["dimension"]), texts["sizes"])
    packing = _PACKINGS.get(str(values["encoding"]).lower())
    if packing is None:
        raise VolumeError(
            path,
            f"its voxels are encoded as {values['encoding']!r}, which is not known",
            "Save it with the encoding gzip or raw",
        )
    dtype = _dtype(path, values, packing)
    parts = _parts(path, values, texts, files, offset, shape, packing)
    samples = Samples(path, parts, packing, dtype, shape)
    return NrrdHeader(path, texts, values, pairs, samples)


def _take_apart(
    path: Path, next_line: Callable[[int], bytes]
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Fields, key/value pairs, and the data files if they are listed."""
    texts: dict[str, str] = {}
    pairs: dict[str, str] = {}
    files: list[str] = []
    left = _LONGEST_HEADER
    is_list = False
    first = True
    while raw := next_line(left):
        left -= len(raw)
        if left <= 0:
            raise VolumeError(path, "its header has no end", _CONVERT_AGAIN)
        line = _decoded(raw).rstrip()
        if first:
            if not (line.startswith("NRRD") and line[4:] in {f"000{n}" for n in range(1, 6)}):
                raise VolumeError(
                    path, f"it is of an unknown version of NRRD ({line[:12]!r})", _CONVERT_AGAIN
                )
            first = False
        elif is_list:
            if line:
                files.append(line)
        elif not line:
            break
        elif not line.startswith("#"):
            _take_line(path, line, texts, pairs)
            is_list = texts.get("data file", "").split()[:1] == ["LIST"]
    return texts, pairs, files


def _take_line(path: Path, line: str, texts: dict[str, str], pairs: dict[str, str]) -> None:
    name, colon, text = line.partition(":")
    if not colon:
        raise VolumeError(
            path, f"its header has a line without a colon ({line[:40]!r})", _CONVERT_AGAIN
        )
    if text.startswith("="):
        # One after the other would take the end of an escaped backslash for a line's.
        pairs[name.strip()] = re.sub(r"\\[\\n]", _unescaped, text[1:].strip())
        return
    name = name.strip().lower()
    name = _NAMES.get(name, name)
    if name in texts:
        raise VolumeError(path, f"its header gives the field {name!r} twice", _CONVERT_AGAIN)
    text = text.strip()
    if name in _VECTORS:
        # Blanks part the vectors of a field, and may also stand within them.
        text = re.sub(r"\([^()]*\)", lambda vector: "".join(vector[0].split()), text)
        text = text.replace(")(", ") (")
    texts[name] = text


def _unescaped(found: re.Match[str]) -> str:
    return {r"\n": "\n", r"\\": "\\"}[found[0]]


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _understand(path: Path, texts: dict[str, str]) -> dict[str, Any]:
    import nrrd

    lines = [f"{name}: {text}" for name, text in texts.items() if name in _UNDERSTOOD]
    try:
        values: dict[str, Any] = dict(nrrd.read_header(["NRRD0005", *lines]))
    except (nrrd.NRRDError, ValueError, IndexError, OverflowError, TypeError) as exc:
        raise VolumeError(path, f"its header cannot be understood ({exc})", _CONVERT_AGAIN) from exc
    for name in ("type", "dimension", "sizes", "encoding"):
        if name not in texts:
            raise VolumeError(path, f"its header lacks the field {name!r}", _CONVERT_AGAIN)
    return values


def _shape(path: Path, n_axes: int, sizes: str) -> tuple[int, ...]:
    try:
        # pynrrd would cut off fractions.
        shape = tuple(int(word) for word in sizes.split())
    except ValueError:
        shape = ()
    if len(shape) != n_axes or not 1 <= n_axes <= _MOST_AXES or min(shape) < 1:
        raise VolumeError(path, "the image size in its header is not valid", _CONVERT_AGAIN)
    return shape


def _dtype(path: Path, values: dict[str, Any], packing: Packing) -> np.dtype[Any]:
    name = _TYPE_OF.get(" ".join(str(values["type"]).lower().split()))
    if name is None:
        raise VolumeError(
            path,
            f"its voxels are of the type {values['type']!r}",
            "Give a volume of plain integers or floats",
        )
    dtype = np.dtype(name)
    if dtype.itemsize == 1 or packing is Packing.TEXT:
        return dtype
    order = str(values.get("endian", "")).lower()
    if order not in {"little", "big"}:
        raise VolumeError(path, "its header does not tell the order of bytes", _CONVERT_AGAIN)
    return dtype.newbyteorder("<" if order == "little" else ">")


def _parts(
    path: Path,
    values: dict[str, Any],
    texts: dict[str, str],
    listed: list[str],
    offset: int,
    shape: tuple[int, ...],
    packing: Packing,
) -> tuple[Part, ...]:
    n_lines, n_bytes = int(values.get("line skip", 0)), int(values.get("byte skip", 0))
    if n_lines < 0 or n_bytes < -1 or (n_bytes == -1 and packing is not Packing.RAW):
        raise VolumeError(path, "its header does not say where the voxels begin", _CONVERT_AGAIN)
    from_end = n_bytes == -1
    skipped = max(n_bytes, 0)
    named = texts.get("data file")
    if named is None:
        return (Part(path, offset, n_lines, skipped, from_end),)
    files = named_files(path, named, listed, shape)
    return tuple(Part(file, 0, n_lines, skipped, from_end) for file in files)
