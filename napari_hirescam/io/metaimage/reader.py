"""Read MetaImage files (.mha; .mhd with its voxels beside it).

Header and bytes are read here, not through ITK: for a compressed file with one flipped bit, a
wrong compressed size or a wrong header size ITK hands out other voxels, and tells nobody but
the console.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ConsentNeededError, Item, Picture
from napari_hirescam.io.assembling import assemble
from napari_hirescam.io.frame import LPS_TO_IPL, patient_letters
from napari_hirescam.io.length_units import mm_per
from napari_hirescam.io.metaimage.header import MetaHeader, looks_like_one, read_header
from napari_hirescam.io.pictures import middle_picture
from napari_hirescam.io.reading import Reading
from napari_hirescam.io.segment_names import names_beside
from napari_hirescam.io.stored_samples import Packing, read_samples
from napari_hirescam.io.volume_items import choose, numbered_items, volume_item
from napari_hirescam.source import Fact, Repair, Repaired
from napari_hirescam.volume import FloatArray, Grid, Volume

_CONVERT_AGAIN = "Convert it again from the original images"
_OPPOSITE = str.maketrans("RLAPIS", "LRPASI")
_GEOMETRY = (
    "TransformMatrix",
    "Offset",
    "ElementSpacing",
    "CenterOfRotation",
    "AnatomicalOrientation",
)
_UNIT_LENGTH = 1e-3


@dataclass(frozen=True)
class _Place:
    grid: Grid
    notes: tuple[str, ...]
    repaired: tuple[Repaired, ...]


def sniff(path: Path, head: bytes) -> bool:
    """Say whether a file begins like a MetaImage."""
    return not path.is_dir() and looks_like_one(head)


def read(path: Path, reading: Reading) -> Volume:
    """Read a volume from a MetaImage file.

    Parameters
    ----------
    path
        The file with the header.
    reading
        `series` is the number of a volume where there are several, from 1. Progress is
        reported in bytes.

    Raises
    ------
    VolumeError
        If the file is damaged, incomplete, no volume, or does not fit into memory.
    ChoiceNeededError
        If it holds several volumes.
    ConsentNeededError
        If it does not say how it lies in the patient.
    Cancelled
        If the caller asked to stop.
    """
    header = read_header(path)
    place = _place(header, reading.allow)
    n = _n_volumes(header)
    chosen = ""
    pick = None
    if n > 1:
        chosen = choose(path, numbered_items(place.grid, n), reading.series, f"{n} volumes")
        pick = (3, int(chosen) - 1)
    stored = read_samples(header.samples, reading, pick=pick)
    notes = place.notes
    if not header.tells_byte_order:
        notes += ("The file does not tell the order of its bytes; little-endian was assumed.",)
    return assemble(
        path,
        "MetaImage",
        stored.reshape(place.grid.shape, order="F"),
        place.grid.affine,
        name=stem(path),
        notes=notes,
        facts=_facts(header, n),
        repaired=place.repaired,
        stored_geometry=_geometry(header, place),
        find_names=partial(names_beside, path, stem(path)),
        item=chosen,
    )


def items(path: Path, reading: Reading) -> tuple[Item, ...]:
    """List the volumes in a file."""
    reading.check_stop()
    header = read_header(path)
    needs: tuple[Repair, ...] = ()
    problem = ""
    try:
        place = _place(header, reading.allow)
    except ConsentNeededError as question:
        needs, problem = question.repairs, question.reason
        place = _place(header, frozenset(question.repairs))
    n = _n_volumes(header)
    listed = (
        numbered_items(place.grid, n)
        if n > 1
        else (volume_item(place.grid, "", stem(path), "image"),)
    )
    return tuple(replace(item, needs=needs, problem=problem) for item in listed)


def picture(path: Path, key: str, reading: Reading) -> Picture:
    """Make a picture of the middle slice."""
    asked = replace(reading, series=key or None, allow=reading.allow | {Repair.ASSUME_PLACE})
    return middle_picture(read(path, asked))


def stem(path: Path) -> str:
    """The name of a file without what marks it as a MetaImage."""
    return path.stem if path.suffix.lower() in {".mha", ".mhd"} else path.name


def _n_volumes(header: MetaHeader) -> int:
    shape = header.samples.shape
    return shape[3] if len(shape) > 3 else 1


def _place(header: MetaHeader, allow: frozenset[Repair]) -> _Place:
    """Work out where the voxels lie."""
    path, shape = header.path, header.samples.shape
    n = len(shape)
    if n < 3 or min(shape[:3]) < 2:
        raise VolumeError(
            path, "it is a two-dimensional image, not a volume", "Give the whole volume"
        )
    if n > 4:
        raise VolumeError(
            path, f"it has {n} axes, not three", "Save the volume you want as a file of its own"
        )
    matrix = header.numbers("TransformMatrix", n * n)
    offset = header.numbers("Offset", n)
    spacing = header.numbers("ElementSpacing", n)
    given = {"TransformMatrix": matrix, "Offset": offset, "ElementSpacing": spacing}
    unknown = [name for name, values in given.items() if values is None]
    rows = np.array(matrix or np.eye(n).ravel()).reshape(n, n)
    if n == 4 and (rows[:3, 3].any() or rows[3, :3].any()):
        raise VolumeError(path, "its fourth axis runs through the patient too", _CONVERT_AGAIN)
    factor, notes = _factor(header)
    if np.abs(np.linalg.norm(rows, axis=1) - 1).max() > _UNIT_LENGTH:
        notes += ("The rows of its TransformMatrix are not of length 1; they scale the spacing.",)
    steps = np.array(spacing or [1.0] * n)[:3] * factor
    lps = np.eye(4)
    # Each row of the matrix is the direction of an axis, so it is a column here.
    lps[:3, :3] = rows[:3, :3].T * steps
    lps[:3, 3] = np.array(offset or [0.0] * n)[:3] * factor
    if np.linalg.matrix_rank(lps[:3, :3]) < 3:
        raise VolumeError(
            path,
            "its spacing or its TransformMatrix is not valid, so its voxels have no place",
            _CONVERT_AGAIN,
        )
    repaired: tuple[Repaired, ...] = ()
    if unknown:
        lacking = ", ".join(unknown)
        if Repair.ASSUME_PLACE not in allow:
            raise ConsentNeededError(
                path,
                f"it does not say how it lies in the patient (its header lacks {lacking})",
                "Allow to take what lacks for the usual (axes to left, posterior and superior, "
                "origin 0, 1 mm), as ITK does, or convert it again from the original images",
                (Repair.ASSUME_PLACE,),
            )
        what = (
            f"The file does not say how it lies in the patient (its header lacks {lacking}); the "
            f"usual was taken: axes to left, posterior and superior, origin 0, 1 mm."
        )
        notes = (*notes, what)
        repaired = (Repaired(Repair.ASSUME_PLACE, what, asked=True),)
    affine = LPS_TO_IPL @ lps
    notes = (*notes, *_contradiction(header, affine))
    return _Place(Grid((shape[0], shape[1], shape[2]), affine), notes, repaired)


def _factor(header: MetaHeader) -> tuple[float, tuple[str, ...]]:
    """Millimetres in the file's unit of length."""
    unit = header.text("DistanceUnits") or ""
    factor = mm_per(unit)
    if factor is None:
        return 1.0, (f"The file's unit of length, {unit[:20]!r}, is unknown; mm were assumed.",)
    if factor != 1:
        return factor, (f"The file's lengths are in {unit}; they were converted to mm.",)
    return 1.0, ()


def _contradiction(header: MetaHeader, affine: FloatArray) -> tuple[str, ...]:
    """What to say if the letters of the file's orientation are not those of its matrix."""
    letters = (header.text("AnatomicalOrientation") or "").upper()
    # The file's letters tell where the axes come from, ours where they go to.
    wanted = patient_letters(affine).translate(_OPPOSITE)
    if len(letters) != 3 or set(letters) - set("RLAPIS") or letters == wanted:
        return ()
    note = (
        f"The file's AnatomicalOrientation is {letters}, its TransformMatrix says {wanted}; the "
        f"matrix was used."
    )
    return (note,)


def _geometry(header: MetaHeader, place: _Place) -> dict[str, str]:
    if place.repaired or len(header.samples.shape) > 3:
        return {}
    given = {name: header.text(name) for name in _GEOMETRY}
    return {name: text for name, text in given.items() if text is not None}


def _facts(header: MetaHeader, n_volumes: int) -> tuple[Fact, ...]:
    samples = header.samples
    unchecked = "" if samples.packing is Packing.ZLIB else ", without a checksum"
    facts = [
        Fact("File", "Format", "MetaImage"),
        Fact("File", "Stored type", samples.dtype.name),
        Fact("File", "Encoding", samples.packing.value + unchecked),
    ]
    if len(samples.parts) > 1 or samples.parts[0].path != header.path:
        facts.append(Fact("File", "Voxels in", f"{len(samples.parts)} separate file(s)"))
    if n_volumes > 1:
        facts.append(Fact("File", "Volumes", str(n_volumes)))
    return tuple(facts)
