"""What a DICOM segmentation or parametric map offers to read, and what is told of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import Item
from napari_hirescam.io.dicom.channels import Channel
from napari_hirescam.io.dicom.multiframe import FrameSet
from napari_hirescam.io.reading import Reading
from napari_hirescam.source import Fact

_WORDS = {
    "BINARY": "one frame for each segment and slice",
    "FRACTIONAL": "fractions from 0 to 1",
    "LABELMAP": "one frame for each slice",
    "MAP": "values in the unit the file names",
}


def items_of(frames: FrameSet) -> tuple[Item, ...]:
    """The whole, and, if there are several, each segment or map."""
    description = frames.about.description
    kind = "SEG" if frames.kind != "MAP" else "PM"
    distinct = len({round(float(h), 2) for h in _heights(frames)})
    names = ", ".join(channel.name for channel in frames.channels)
    several = len(frames.channels) > 1
    problem = ""
    if several and (frames.kind in {"FRACTIONAL", "MAP"} or frames.about.overlap == "YES"):
        problem = "they overlap: open one of them"
    step = frames.hint_mm
    common: dict[str, Any] = {
        "kind": kind,
        "n_slices": distinct,
        "spacing_mm": None if step is None else (step, *frames.spacing_mm),
        "size": frames.size,
        "number": frames.about.number,
    }
    what = "maps" if kind == "PM" else "segments"
    whole = Item(
        key=frames.about.uid,
        title=description or names or kind,
        facts={what: names} if names else {},
        problem=problem if several else "",
        **common,
    )
    if not several:
        return (whole,)
    return (
        whole,
        *(
            Item(
                key=key_of(frames, one),
                title=f"{description}: {one.name}" if description else one.name,
                **common,
            )
            for one in frames.channels
        ),
    )


def _heights(frames: FrameSet) -> npt.NDArray[np.float64]:
    normal = np.cross(frames.orientation[:3], frames.orientation[3:])
    heights: npt.NDArray[np.float64] = frames.positions_lps_mm @ normal
    return heights


def key_of(frames: FrameSet, chosen: Channel | None) -> str:
    """Key of one channel, or of the whole."""
    if len(frames.channels) == 1:
        return frames.about.uid
    return frames.about.uid if chosen is None else f"{frames.about.uid}/{chosen.number}"


def chosen_channel(frames: FrameSet, reading: Reading) -> Channel | None:
    """The channel that was asked for, or None for the whole."""
    uid, _, number = (reading.series or "").partition("/")
    if uid != frames.about.uid or not number:
        return frames.channels[0] if len(frames.channels) == 1 else None
    for channel in frames.channels:
        if str(channel.number) == number:
            return channel
    raise VolumeError(
        frames.path,
        f"it has no segment or map {number!r}",
        "There are: " + ", ".join(f"{one.number} {one.name}" for one in frames.channels),
    )


def title_of(frames: FrameSet, chosen: Channel | None) -> str:
    """A short name, without anything that identifies the patient."""
    description = frames.about.description
    name = chosen.name if chosen is not None and len(frames.channels) > 1 else ""
    return " ".join(part for part in (description, name) if part) or (
        "map" if frames.kind == "MAP" else "segmentation"
    )


def details_of(frames: FrameSet) -> dict[str, Any]:
    """What is worth keeping of the series."""
    names = ("description", "number", "manufacturer", "series_uid", "study_uid")
    found = {name: getattr(frames.about, name) for name in (*names, "frame_of_reference_uid")}
    return {name: value for name, value in found.items() if value}


def facts_of(frames: FrameSet) -> tuple[Fact, ...]:
    """Lines of the geometry report."""
    facts = [
        Fact("File", "Kind", "Parametric map" if frames.kind == "MAP" else "Segmentation"),
        Fact("File", "Stored as", _WORDS[frames.kind]),
        Fact("File", "Frames", str(len(frames.channel_of))),
    ]
    if frames.channels:
        what = "Maps" if frames.kind == "MAP" else "Segments"
        facts.append(Fact("File", what, ", ".join(one.name for one in frames.channels)))
    return tuple(facts)
