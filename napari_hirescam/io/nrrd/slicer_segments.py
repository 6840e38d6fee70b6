"""The segments of a segmentation that 3D Slicer saved as NRRD (.seg.nrrd)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.segment_names import MOST_SEGMENTS, cleaned, colour_from
from napari_hirescam.source import Segment

_FIELD = re.compile(r"Segment(\d{1,6})_(\w+)")
_TERMS = "TerminologyEntry"


@dataclass(frozen=True)
class Layered:
    """The segments of each layer of a segmentation.

    Parameters
    ----------
    segments
        One entry for each layer; empty if the file describes no segments.
    remarks
        What could not be understood, a sentence each.
    """

    segments: tuple[tuple[Segment, ...], ...] = ()
    remarks: tuple[str, ...] = ()


def segments_by_layer(pairs: Mapping[str, str], n_layers: int) -> Layered:
    """Understand the ``Segment0_Name``, ... pairs of an NRRD header.

    Parameters
    ----------
    pairs
        All key/value pairs.
    n_layers
        Number of volumes in the file. Segments overlap only across them.

    Notes
    -----
    Written before Slicer 4.11, a file with several segments has one layer for each, and names
    neither value nor layer.
    """
    fields: dict[int, dict[str, str]] = {}
    for key, text in pairs.items():
        match = _FIELD.fullmatch(key)
        if match and len(fields) < MOST_SEGMENTS:
            fields.setdefault(int(match[1]), {})[match[2]] = text
    if not fields:
        return Layered()
    layers: list[dict[int, Segment]] = [{} for _ in range(n_layers)]
    remarks = []
    for number in sorted(fields):
        field = fields[number]
        name = cleaned(field.get("Name") or field.get("ID") or f"segment {number + 1}")
        try:
            value = int(field.get("LabelValue", 1))
            layer = int(field.get("Layer", number if n_layers > 1 else 0))
        except ValueError:
            value = layer = -1
        if not (0 < value < 2**31 and 0 <= layer < n_layers) or value in layers[layer]:
            remarks.append(
                f"The file's segment {name!r} was left out of the names: its value or layer is "
                f"not valid."
            )
            continue
        colour = colour_from(field.get("Color", "").split(), 1.0)
        layers[layer][value] = Segment(value, name, colour, _details(field))
    return Layered(tuple(tuple(layer.values()) for layer in layers), tuple(remarks))


def _details(field: Mapping[str, str]) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if field.get("ID"):
        details["id"] = cleaned(field["ID"])
    for tag in field.get("Tags", "").split("|"):
        key, _, text = tag.partition(":")
        if key != _TERMS:
            continue
        # Context, category, type, modifier, ...: each code is scheme^value^meaning.
        for name, code in zip(("category", "type"), text.split("~")[1:3], strict=False):
            words = tuple(cleaned(word) for word in code.split("^"))
            if len(words) == 3 and all(words):
                details[name] = words
    return details


def combined(
    path: Path, layers: npt.NDArray[Any], described: Layered
) -> tuple[npt.NDArray[Any] | None, tuple[Segment, ...]]:
    """Put all layers into one mask.

    Parameters
    ----------
    path
        The file, for messages.
    layers
        [layer, n0, n1, n2].
    described
        Their segments.

    Returns
    -------
    The mask, None if segments overlap; and its segments. They keep their values where no two
    have the same, and are numbered from 1 otherwise.

    Raises
    ------
    VolumeError
        If a layer holds a value that no segment has.
    """
    everything = [(k, one) for k, layer in enumerate(described.segments) for one in layer]
    are_distinct = len({one.value for _, one in everything}) == len(everything)
    mask = np.zeros(layers.shape[1:], np.int32, order="F")
    segments = []
    for number, (k, one) in enumerate(everything, 1):
        value = one.value if are_distinct else number
        here = layers[k] == one.value
        if mask[here].any():
            return None, ()
        mask[here] = value
        segments.append(Segment(value, one.name, one.colour, one.details))
    covered = sum(int(np.count_nonzero(layer)) for layer in layers)
    if covered != np.count_nonzero(mask):
        raise VolumeError(
            path, "it holds values that belong to none of its segments", "Read one layer at a time"
        )
    if mask.max() < 2**16:
        mask = mask.astype(np.uint16)
    return mask, tuple(segments)
