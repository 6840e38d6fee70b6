"""The header of a MetaImage file: its fields, and where its voxels lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.data_files import named_files
from napari_hirescam.io.stored_samples import Packing, Part, Samples

_LONGEST_HEADER = 4 << 20
_CONVERT_AGAIN = "Convert it again from the original images"
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # four bytes on every system, whatever C says
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
# Several names for one thing, the usual one first.
_SYNONYMS = {
    "transformmatrix": ("transformmatrix", "rotation", "orientation"),
    "offset": ("offset", "position", "origin"),
    "elementspacing": ("elementspacing", "elementsize"),
    "byteordermsb": ("binarydatabyteordermsb", "elementbyteordermsb"),
}
_FALSE = {"false", "f", "0", "no", "n"}
_TRUE = {"true", "t", "1", "yes", "y"}
_START = re.compile(rb"\A\s*(ObjectType\s*=\s*Image|NDims\s*=|Comment\s*=)", re.IGNORECASE)


@dataclass(frozen=True)
class MetaHeader:
    """What the header says.

    Parameters
    ----------
    path
        The file.
    texts
        Each field as it is written, by its name in lower case.
    samples
        Where the voxels lie; the fastest axis first.
    tells_byte_order
        False if it had to be assumed.
    """

    path: Path
    texts: dict[str, str]
    samples: Samples
    tells_byte_order: bool

    def text(self, name: str) -> str | None:
        """The text of a field under any of its names, or None if it is absent.

        Raises
        ------
        VolumeError
            If two of its names say different things.
        """
        return _text(self.path, self.texts, name.lower())

    def numbers(self, name: str, count: int) -> list[float] | None:
        """The numbers of a field, or None if it is absent.

        Raises
        ------
        VolumeError
            If they are not as many finite numbers as expected.
        """
        text = self.text(name)
        if text is None:
            return None
        values = [_number(word) for word in text.split()]
        if len(values) != count or not np.isfinite(values).all():
            raise VolumeError(
                self.path, f"its {name} is not {count} numbers ({text[:60]!r})", _CONVERT_AGAIN
            )
        return values


def looks_like_one(head: bytes) -> bool:
    """Say whether a file begins like a MetaImage."""
    return _START.match(head) is not None and re.search(rb"(?im)^NDims\s*=", head) is not None


def read_header(path: Path) -> MetaHeader:
    """Read the header of a MetaImage, with its voxels in the same file or not.

    Raises
    ------
    VolumeError
        If it cannot be understood, or names voxels that are not there.
    """
    texts, listed, offset = _take_apart(path)
    for name in ("NDims", "DimSize", "ElementType"):
        if name.lower() not in texts:
            raise VolumeError(path, f"its header lacks the field {name!r}", _CONVERT_AGAIN)
    if texts.get("objecttype", "image").lower() != "image":
        raise VolumeError(path, "it holds no image", "Give the file of an image")
    shape = _shape(path, texts)
    _check_single_numbers(path, texts)
    is_compressed = _flag(path, texts, "compresseddata", default=False)
    is_binary = _flag(path, texts, "binarydata", default=True)
    unpacked = Packing.RAW if is_binary else Packing.TEXT
    packing = Packing.ZLIB if is_compressed else unpacked
    size = _whole(path, texts, "compresseddatasize") if is_compressed else None
    is_big = _flag(path, texts, "byteordermsb", default=False)
    dtype = np.dtype(_TYPES[texts["elementtype"].upper()])
    if packing is not Packing.TEXT:
        dtype = dtype.newbyteorder(">" if is_big else "<")
    parts = _parts(path, texts, listed, offset, shape, packing)
    tells = _text(path, texts, "byteordermsb") is not None or dtype.itemsize == 1
    return MetaHeader(path, texts, Samples(path, parts, packing, dtype, shape, size), tells)


def _take_apart(path: Path) -> tuple[dict[str, str], list[str], int]:
    """Fields, names of the listed files, and where the header ends."""
    texts: dict[str, str] = {}
    listed: list[str] = []
    with path.open("rb") as file:
        left = _LONGEST_HEADER
        while "elementdatafile" not in texts:
            raw = file.readline(left)
            left -= len(raw)
            if not raw or left <= 0:
                raise VolumeError(path, "its header has no end", _CONVERT_AGAIN)
            line = raw.decode("utf-8", "replace").strip()
            if not line:
                continue
            name, equals, text = line.partition("=")
            if not equals:
                raise VolumeError(
                    path, f"its header has a line without '=' ({line[:40]!r})", _CONVERT_AGAIN
                )
            _add(path, texts, name.strip().lower(), text.strip())
        offset = file.tell()
        if texts["elementdatafile"].split()[:1] == ["LIST"]:
            rest = file.read(left).decode("utf-8", "replace")
            listed = [line.strip() for line in rest.splitlines() if line.strip()]
    return texts, listed, offset


def _add(path: Path, texts: dict[str, str], name: str, text: str) -> None:
    if texts.setdefault(name, text) != text:
        raise VolumeError(path, f"its header gives the field {name!r} twice", _CONVERT_AGAIN)


def _text(path: Path, texts: dict[str, str], name: str) -> str | None:
    given = [texts[other] for other in _SYNONYMS.get(name, (name,)) if other in texts]
    if name == "elementspacing":  # the size of a voxel may rightly differ from the spacing
        given = given[:1]
    if len({tuple(text.split()) for text in given}) > 1:
        raise VolumeError(path, f"its header gives the field {name!r} twice", _CONVERT_AGAIN)
    return given[0] if given else None


def _flag(path: Path, texts: dict[str, str], name: str, *, default: bool) -> bool:
    text = _text(path, texts, name)
    if text is None:
        return default
    if text.lower() not in _TRUE | _FALSE:
        raise VolumeError(
            path, f"its {name} is neither True nor False ({text[:20]!r})", _CONVERT_AGAIN
        )
    return text.lower() in _TRUE


def _whole(path: Path, texts: dict[str, str], name: str) -> int | None:
    text = texts.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as exc:
        raise VolumeError(
            path, f"its {name} is no whole number ({text[:20]!r})", _CONVERT_AGAIN
        ) from exc


def _shape(path: Path, texts: dict[str, str]) -> tuple[int, ...]:
    try:
        shape = tuple(int(word) for word in texts["dimsize"].split())
        n_axes = int(texts["ndims"])
    except ValueError:
        shape, n_axes = (), 0
    if len(shape) != n_axes or not 1 <= n_axes <= 10 or min(shape) < 1:
        raise VolumeError(path, "the image size in its header is not valid", _CONVERT_AGAIN)
    return shape


def _check_single_numbers(path: Path, texts: dict[str, str]) -> None:
    """Refuse voxels that are not single numbers, as they are stored."""
    kind = texts["elementtype"].upper()
    if kind.endswith("_ARRAY") or (_whole(path, texts, "elementnumberofchannels") or 1) != 1:
        raise VolumeError(
            path, "each of its voxels holds several numbers", "Give a volume of single numbers"
        )
    if kind not in _TYPES:
        raise VolumeError(
            path, f"its voxels are of the type {kind[:30]!r}", "Give a volume of integers or floats"
        )
    slope = texts.get("elementtointensityfunctionslope", "1")
    shift = texts.get("elementtointensityfunctionoffset", "0")
    if _number(slope) != 1 or _number(shift) != 0:
        # ITK leaves these out of account, others do not: no reading is right for both.
        raise VolumeError(
            path,
            f"its header scales the voxels (slope {slope[:20]}, offset {shift[:20]}), which "
            f"programs do not agree on",
            "Save it with the numbers meant",
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _parts(
    path: Path,
    texts: dict[str, str],
    listed: list[str],
    offset: int,
    shape: tuple[int, ...],
    packing: Packing,
) -> tuple[Part, ...]:
    skipped = _whole(path, texts, "headersize") or 0
    named = texts["elementdatafile"]
    is_local = named.upper() == "LOCAL"
    if skipped < -1 or (skipped == -1 and packing is not Packing.RAW) or (is_local and skipped > 0):
        raise VolumeError(path, "its header does not say where the voxels begin", _CONVERT_AGAIN)
    from_end = skipped == -1
    if is_local:
        return (Part(path, offset, from_end=from_end),)
    files = named_files(path, named, listed, shape)
    if len(files) > 1 and packing is Packing.ZLIB:
        raise VolumeError(
            path, "its voxels are compressed in several files", "Save it uncompressed, or as .mha"
        )
    return tuple(Part(file, max(skipped, 0), from_end=from_end) for file in files)
