"""Read NRRD files, attached and detached, and the segmentations that Slicer saves as NRRD."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError, Item, Picture
from napari_hirescam.io.assembling import assemble
from napari_hirescam.io.nrrd.header import MAGIC, NrrdHeader, read_header
from napari_hirescam.io.nrrd.place import NrrdPlace, place_of
from napari_hirescam.io.nrrd.slicer_segments import Layered, combined, segments_by_layer
from napari_hirescam.io.pictures import middle_picture
from napari_hirescam.io.reading import Reading
from napari_hirescam.io.segment_names import names_beside
from napari_hirescam.io.stored_samples import Packing, read_samples
from napari_hirescam.io.volume_items import choose, numbered_items, volume_item
from napari_hirescam.source import Fact, Repair, Segment
from napari_hirescam.volume import Grid, Volume

_EVERY_LAYER = "all"


def sniff(path: Path, head: bytes) -> bool:
    """Say whether a file begins like an NRRD file."""
    return not path.is_dir() and head.startswith(MAGIC)


def read(path: Path, reading: Reading) -> Volume:
    """Read a volume from an NRRD file.

    Parameters
    ----------
    path
        The file with the header.
    reading
        `series` is the number of a volume where there are several, from 1; of a layer of a
        segmentation, or ``"all"`` for its layers in one mask. Progress is reported in bytes.

    Raises
    ------
    VolumeError
        If the file is damaged, incomplete, no volume, or does not fit into memory.
    ChoiceNeededError
        If it holds several volumes, or several layers of segments.
    ConsentNeededError
        If it does not say how it lies in the patient.
    Cancelled
        If the caller asked to stop.
    """
    header = read_header(path)
    place = place_of(header, reading.allow)
    several = _listing_axis(header, place)
    layers = _layers(header, several)
    segments = layers.segments[0] if layers.segments else ()
    chosen = ""
    if several is None:
        stored = read_samples(header.samples, reading)
    else:
        kind = "layers of segments" if layers.segments else "volumes"
        what = f"{header.samples.shape[several]} {kind}"
        chosen = choose(path, _choices(header, place, layers, several), reading.series, what)
        if chosen == _EVERY_LAYER:
            stored, segments = _all_layers(header, place, layers, several, reading)
        else:
            number = int(chosen)
            stored = read_samples(header.samples, reading, pick=(several, number - 1))
            segments = layers.segments[number - 1] if layers.segments else ()
    stored = stored.reshape(_lengths(header, place), order="F")
    return assemble(
        path,
        "NRRD",
        stored,
        place.affine,
        name=stem(path),
        is_mask=bool(layers.segments),
        notes=place.notes + layers.remarks,
        facts=_facts(header, several),
        repaired=place.repaired,
        stored_geometry=place.geometry,
        segments=segments,
        find_names=partial(names_beside, path, stem(path)),
        item=chosen,
    )


def items(path: Path, reading: Reading) -> tuple[Item, ...]:
    """List the volumes, or the layers of segments, in a file."""
    reading.check_stop()
    header = read_header(path)
    needs: tuple[Repair, ...] = ()
    problem = ""
    try:
        place = place_of(header, reading.allow)
    except ConsentNeededError as question:
        needs, problem = question.repairs, question.reason
        place = place_of(header, frozenset(question.repairs))
    several = _listing_axis(header, place)
    layers = _layers(header, several)
    if several is None:
        kind = "labels" if layers.segments else "image"
        listed: tuple[Item, ...] = (volume_item(_grid(header, place), "", stem(path), kind),)
    else:
        listed = _choices(header, place, layers, several)
    return tuple(replace(item, needs=needs, problem=problem) for item in listed)


def picture(path: Path, key: str, reading: Reading) -> Picture:
    """Make a picture of the middle slice."""
    asked = replace(reading, series=key or None, allow=reading.allow | {Repair.ASSUME_PLACE})
    return middle_picture(read(path, asked))


def stem(path: Path) -> str:
    """The name of a file without what marks it as an NRRD."""
    name = path.name
    for suffix in (".nrrd", ".nhdr", ".seg"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name or path.name


def _listing_axis(header: NrrdHeader, place: NrrdPlace) -> int | None:
    """The axis along which there are several volumes, if there is one."""
    return next((axis for axis in place.others if header.samples.shape[axis] > 1), None)


def _layers(header: NrrdHeader, several: int | None) -> Layered:
    return segments_by_layer(header.pairs, 1 if several is None else header.samples.shape[several])


def _lengths(header: NrrdHeader, place: NrrdPlace) -> tuple[int, int, int]:
    a, b, c = (header.samples.shape[axis] for axis in place.axes)
    return a, b, c


def _grid(header: NrrdHeader, place: NrrdPlace) -> Grid:
    return Grid(_lengths(header, place), place.affine)


def _choices(header: NrrdHeader, place: NrrdPlace, layers: Layered, axis: int) -> tuple[Item, ...]:
    n = header.samples.shape[axis]
    grid = _grid(header, place)
    if not layers.segments:
        return numbered_items(grid, n)
    listed = [
        volume_item(grid, str(k), f"layer {k} of {n}: {_named(segments)}", "labels")
        for k, segments in enumerate(layers.segments, 1)
    ]
    title = "all layers in one mask, if no segments overlap"
    return (volume_item(grid, _EVERY_LAYER, title, "labels"), *listed)


def _named(segments: tuple[Segment, ...]) -> str:
    names = [segment.name for segment in segments[:4]]
    return ", ".join(names) + (", ..." if len(segments) > len(names) else "")


def _all_layers(
    header: NrrdHeader, place: NrrdPlace, layers: Layered, axis: int, reading: Reading
) -> tuple[npt.NDArray[Any], tuple[Segment, ...]]:
    every = read_samples(header.samples, reading)
    whole = np.moveaxis(every, axis, 0).reshape((-1, *_lengths(header, place)), order="F")
    mask, segments = combined(header.path, whole, layers)
    if mask is None:
        choices = _choices(header, place, layers, axis)
        raise ChoiceNeededError(
            header.path,
            "its segments overlap, so one mask cannot hold them all",
            "Read one layer at a time",
            tuple(item for item in choices if item.key != _EVERY_LAYER),
        )
    return mask, segments


def _facts(header: NrrdHeader, several: int | None) -> tuple[Fact, ...]:
    samples, texts = header.samples, header.texts
    space = texts.get("space", "")
    facts = [
        Fact("File", "Format", "NRRD"),
        Fact(
            "File",
            "Space",
            space or "not named",
            "" if space else "does not tell the patient's axes",
        ),
        Fact("File", "Stored type", samples.dtype.name),
        Fact("File", "Encoding", samples.packing.value + _check_of(samples.packing)),
    ]
    if len(samples.parts) > 1 or samples.parts[0].path != header.path:
        facts.append(Fact("File", "Voxels in", f"{len(samples.parts)} separate file(s)"))
    if several is not None:
        facts.append(Fact("File", "Volumes", str(samples.shape[several])))
    return tuple(facts)


def _check_of(packing: Packing) -> str:
    return "" if packing in {Packing.GZIP, Packing.ZLIB, Packing.BZIP2} else ", without a checksum"
