"""Organ regions as named, coloured values: what a mask file and a Labels layer show of them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from napari_hirescam.organs.organ_map import OrganMap
from napari_hirescam.organs.organ_tables import MADE_OF
from napari_hirescam.source import Segment

# Parts a value's name where several organs hold it; the tables of organs use it alike.
BETWEEN_NAMES = "; "

_COLOURS = {
    "right_lung": (0.34, 0.71, 0.91),
    "left_lung": (0.0, 0.62, 0.45),
    "lungs": (0.34, 0.71, 0.91),
    "heart": (0.84, 0.37, 0.0),
    "mediastinum": (0.84, 0.37, 0.0),
    "aorta": (0.8, 0.2, 0.3),
}


def organ_segments(organs: OrganMap) -> tuple[Segment, ...]:
    """Name the values of an organ map.

    A value that several organs hold is called after all of them ("heart; mediastinum"), and
    `table_from_names` reads that again. Organs that are made of others ("lungs") are left out.

    Returns
    -------
    One segment for each value that an organ holds, in the order of the values.
    """
    named: dict[int, list[str]] = {}
    for organ, values in organs.values.items():
        parts = MADE_OF.get(organ, ())
        if parts and all(part in organs.values for part in parts):
            continue
        for value in values:
            named.setdefault(value, []).append(organ)
    return tuple(
        Segment(
            value,
            BETWEEN_NAMES.join(names),
            next((_COLOURS[name] for name in names if name in _COLOURS), None),
        )
        for value, names in sorted(named.items())
    )


def volumes_ml(organs: OrganMap) -> dict[str, float]:
    """Measure each organ's volume in millilitres."""
    slice_mm, row_mm, column_mm = organs.grid.spacing_mm
    voxel_ml = slice_mm * row_mm * column_mm / 1000.0
    counts: Counter[int] = Counter()
    for plane in organs.labels:
        values, times = np.unique(plane, return_counts=True)
        counts.update(dict(zip(values.tolist(), times.tolist(), strict=True)))
    return {
        name: voxel_ml * sum(counts[value] for value in set(values))
        for name, values in organs.values.items()
    }
