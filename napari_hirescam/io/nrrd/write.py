"""Write masks and maps as NRRD, the format of 3D Slicer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.frame import IPL_TO_LPS
from napari_hirescam.io.writing import (
    SAME_PLACE_MM,
    as_json,
    geometry_fields,
    plain_text,
    put,
    storable,
)
from napari_hirescam.safe_write import Section
from napari_hirescam.source import Segment, Source
from napari_hirescam.volume import FloatArray, Grid

_TYPES = {
    "i1": "signed char",
    "u1": "unsigned char",
    "i2": "short",
    "u2": "unsigned short",
    "i4": "int",
    "u4": "unsigned int",
    "i8": "long long",
    "u8": "unsigned long long",
    "f4": "float",
    "f8": "double",
}
_PLACING = ("space", "space directions", "space units", "space origin")
# From a space's coordinates to LPS.
_SIGNS = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}


def write_nrrd(
    path: str | Path,
    values: npt.NDArray[Any],
    grid: Grid,
    *,
    like: Source | None = None,
    segments: Sequence[Segment] = (),
    description: str = "",
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an array as a NRRD file, header and compressed voxels in one.

    Parameters
    ----------
    path
        Ends in ``.nrrd``; Slicer opens ``.seg.nrrd`` as a segmentation.
    values
        [n0, n1, n2] on `grid`; the number type is kept (bool becomes uint8, half precision
        float32).
    grid
        Index to (I, P, L) mm; need not be axis-aligned.
    like
        Where the values come from. If that is a NRRD file with this grid, the fields that
        place the voxels are taken over letter for letter.
    segments
        What the values of a mask stand for, in the fields of Slicer's segmentations.
    description
        What the file holds.
    provenance
        Anything JSON can hold.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    The path written.

    Raises
    ------
    VolumeError
        If the file exists, or the place cannot be written to.
    ValueError
        If `values` and `grid` differ in shape, or the numbers are neither integers nor floats.
    """
    path = Path(path)
    values = storable(values, grid)
    place = _stored_place(geometry_fields(like, "NRRD"), grid)
    pairs = _segment_pairs(values, segments)
    if provenance is not None:
        pairs["provenance"] = as_json(provenance)
    head = _header(values, place or _place(grid), " ".join(plain_text(description).split()), pairs)
    return put(
        path,
        [Section(lambda: [head]), Section(partial(_chunks, values), gzipped=True)],
        overwrite=overwrite,
    )


def _header(
    values: npt.NDArray[Any], place: Mapping[str, str], content: str, pairs: Mapping[str, str]
) -> bytes:
    fields = {
        "type": _TYPES[values.dtype.str[1:]],
        "dimension": "3",
        "sizes": " ".join(map(str, values.shape)),
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "gzip",
    }
    lines = ["NRRD0005", f"type: {fields.pop('type')}", f"dimension: {fields.pop('dimension')}"]
    # The space has to be known before its directions, the dimension before the sizes.
    lines += [f"{name}: {place[name]}" for name in _PLACING if name in place]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    lines += [f"content: {content}"] if content else []
    lines += [f"{key}:={_escaped(value)}" for key, value in pairs.items()]
    return ("\n".join(lines) + "\n\n").encode("utf-8")


def _escaped(text: str) -> str:
    # Universal newlines end a line of the header wherever they stand.
    flat = text.replace("\r\n", "\n").replace("\r", "\n")
    return flat.replace("\\", "\\\\").replace("\n", "\\n")


def _place(grid: Grid) -> dict[str, str]:
    lps = IPL_TO_LPS @ grid.affine + 0.0  # no negative zeros
    return {
        "space": "left-posterior-superior",
        "space directions": " ".join(_vector(lps[:3, axis]) for axis in range(3)),
        "space origin": _vector(lps[:3, 3]),
    }


def _vector(numbers: FloatArray) -> str:
    # The shortest text that reads back as the same double.
    return f"({','.join(repr(float(number)) for number in numbers)})"


def _stored_place(known: Mapping[str, Any], grid: Grid) -> dict[str, str] | None:
    """The source's own text for its place, if it says `grid`."""
    stored = {name: str(known[name]) for name in _PLACING if name in known}
    signs = _SIGNS.get(stored.get("space", "").strip().lower())
    units = re.findall(r'"([^"]*)"', stored.get("space units", ""))
    if signs is None or any(unit not in {"mm", "millimeter"} for unit in units):
        return None
    try:
        directions = _vectors(stored["space directions"])
        (origin,) = _vectors(stored["space origin"])
        lps = np.eye(4)
        lps[:3, :3] = np.diag(signs) @ np.array(directions).T
        lps[:3, 3] = np.array(signs) * origin
        same = grid.same_place_as(Grid(grid.shape, IPL_TO_LPS.T @ lps), SAME_PLACE_MM)
    except (KeyError, ValueError):
        return None
    return stored if same else None


def _vectors(text: str) -> list[list[float]]:
    return [[float(x) for x in inside.split(",")] for inside in re.findall(r"\(([^)]*)\)", text)]


def _segment_pairs(values: npt.NDArray[Any], segments: Sequence[Segment]) -> dict[str, str]:
    if not segments:
        return {}
    pairs: dict[str, str] = {}
    for k, segment in enumerate(segments):
        start, stop = _extent(values == segment.value)
        pairs[f"Segment{k}_ID"] = f"Segment_{segment.value}"
        pairs[f"Segment{k}_Name"] = plain_text(segment.name)
        pairs[f"Segment{k}_LabelValue"] = str(segment.value)
        pairs[f"Segment{k}_Layer"] = "0"
        pairs[f"Segment{k}_Extent"] = " ".join(
            f"{low} {high}" for low, high in zip(start, stop, strict=True)
        )
        if segment.colour is not None:
            pairs[f"Segment{k}_Color"] = " ".join(f"{x:.6g}" for x in segment.colour)
            pairs[f"Segment{k}_ColorAutoGenerated"] = "0"
    pairs["Segmentation_MasterRepresentation"] = "Binary labelmap"
    pairs["Segmentation_ContainedRepresentationNames"] = "Binary labelmap|"
    pairs["Segmentation_ReferenceImageExtentOffset"] = "0 0 0"
    return pairs


def _extent(inside: npt.NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """First and last index along each axis; last before first where there is nothing."""
    start, stop = [], []
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        found = np.flatnonzero(inside.any(axis=others))
        start.append(int(found[0]) if found.size else 0)
        stop.append(int(found[-1]) if found.size else -1)
    return start, stop


def _chunks(values: npt.NDArray[Any]) -> Iterable[bytes]:
    slices: Iterator[npt.NDArray[Any]] = (values[:, :, k] for k in range(values.shape[2]))
    for plane in slices:
        yield plane.tobytes(order="F")
