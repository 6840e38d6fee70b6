"""The names and colours of a mask's segments, on a Labels layer and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_hirescam.source import Segment

if TYPE_CHECKING:
    from napari.layers import Layer

#: Key of the segments, as they were read, in a layer's metadata.
SEGMENTS_KEY = "napari_hirescam_segments"
# Columns of the features; napari looks labels up in "index" and shows the others when the
# mouse is over one.
_VALUE, _NAME = "index", "name"


def describe_segments(segments: Sequence[Segment]) -> dict[str, Any]:
    """Make the options of a Labels layer that name and colour its segments.

    Parameters
    ----------
    segments
        As the file has them; none gives no options, so that napari colours the labels.
    """
    if not segments:
        return {}
    options: dict[str, Any] = {
        "features": {
            _VALUE: [0, *(segment.value for segment in segments)],
            _NAME: ["background", *(segment.name for segment in segments)],
        }
    }
    colours = _colours(segments)
    if colours is not None:
        options["colormap"] = colours
    return options


def segments_of(layer: Layer) -> tuple[Segment, ...]:
    """Return what a Labels layer's values stand for, in the words its features have now.

    A layer's features can be edited, so they count more than what was read; colours and
    further facts are still those of the file.
    """
    read = {segment.value: segment for segment in layer.metadata.get(SEGMENTS_KEY, ())}
    table = getattr(layer, "features", None)
    if table is None or _VALUE not in table or _NAME not in table:
        return tuple(read.values())
    named: list[Segment] = []
    for value, name in zip(table[_VALUE], table[_NAME], strict=True):
        if value == 0 or not isinstance(name, str) or not name:
            continue
        known = read.get(int(value))
        named.append(
            Segment(
                int(value),
                name,
                known.colour if known else None,
                known.details if known else {},
            )
        )
    return tuple(named)


def _colours(segments: Sequence[Segment]) -> Any:
    """Make a colour map of the file's colours; None if it gives none."""
    from napari.utils.colormaps import DirectLabelColormap, label_colormap

    given = {segment.value: segment.colour for segment in segments if segment.colour}
    if not given:
        return None
    others = label_colormap()
    colours: dict[int | None, Any] = {None: (0.5, 0.5, 0.5, 1.0), 0: (0.0, 0.0, 0.0, 0.0)}
    for segment in segments:
        colour = given.get(segment.value)
        colours[segment.value] = (*colour, 1.0) if colour else others.map(segment.value)
    return DirectLabelColormap(color_dict=colours)
