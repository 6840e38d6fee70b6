"""Organ regions with some organs in the place of those that were drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_hirescam.organs.organ_map import BoolArray, OrganMap
from napari_hirescam.organs.organ_tables import MADE_OF


def with_organs(organs: OrganMap, masks: Mapping[str, BoolArray]) -> OrganMap:
    """Put masks in the place of organs, or beside them.

    What shares all of its voxels with a replaced organ is that region under another name, and is
    replaced with it (PARTITION's heart, mediastinum and great vessels). What was made of organs
    ("lungs") is made of them anew. Parts of a replaced whole keep what lies in it.

    Parameters
    ----------
    organs
        As they were drawn.
    masks
        Organ -> where it is, [slice, row, column] on the grid of `organs`.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    # A table of values lists absent ones, too.
    there = frozenset(np.flatnonzero(_used(organs.labels)).tolist()) - {0}
    drawn = {organ: there & frozenset(values) for organ, values in organs.values.items()}
    labels = organs.labels
    values = dict(drawn)
    for organ, mask in masks.items():
        if mask.shape != labels.shape:
            raise ValueError(f"masks of one grid have one shape, not {mask.shape} too")
        names = {organ} | {
            name
            for name, region in drawn.items()
            if region and region == drawn.get(organ) and name not in masks
        }
        labels, values = _split(labels, values, names, mask)
    _keep_parts_within(drawn, values, masks)
    for whole, parts in MADE_OF.items():
        made = all(part in drawn for part in parts) and whole in drawn and whole not in masks
        if made and drawn[whole] == frozenset().union(*(drawn[part] for part in parts)):
            values[whole] = frozenset().union(*(values[part] for part in parts))
    return replace(
        organs,
        labels=labels,
        values={organ: tuple(sorted(region)) for organ, region in values.items()},
    )


def _keep_parts_within(
    drawn: Mapping[str, frozenset[int]],
    values: dict[str, frozenset[int]],
    masks: Mapping[str, BoolArray],
) -> None:
    # Wholes before their parts, which may be made of parts in their turn.
    for whole, parts in reversed(tuple(MADE_OF.items())):
        for part in parts:
            if whole in masks and part in drawn and part not in masks:
                values[part] = values[part] & values[whole]


def _split(
    labels: npt.NDArray[np.unsignedinteger],
    values: Mapping[str, frozenset[int]],
    names: set[str],
    mask: BoolArray,
) -> tuple[npt.NDArray[np.unsignedinteger], dict[str, frozenset[int]]]:
    """Give each value two of its own, within the mask and without; `names` get those within."""
    n = int(labels.max(initial=0)) + 1
    wide: npt.NDArray[np.unsignedinteger] = labels.astype(np.min_scalar_type(2 * n - 1))
    wide[mask] += wide.dtype.type(n)
    used = _used(wide, 2 * n)
    used[0] = True  # no organ stays 0
    numbers = np.cumsum(used) - 1
    small = numbers.astype(np.min_scalar_type(int(numbers[-1])))
    within = {value for value in range(n, 2 * n) if used[value]}

    def renumbered(old: set[int]) -> frozenset[int]:
        return frozenset(int(numbers[value]) for value in old if used[value])

    new = {
        organ: renumbered(set(region) | {value + n for value in region})
        for organ, region in values.items()
    }
    new |= {name: renumbered(within) for name in sorted(names)}
    return small[wide], new


def _used(labels: npt.NDArray[np.unsignedinteger], n: int = 0) -> BoolArray:
    """Say of each value whether a voxel has it."""
    n = n or int(labels.max(initial=0)) + 1
    counts = np.zeros(n, dtype=np.int64)
    for plane in labels:  # counting all at once would take eight bytes a voxel
        counts += np.bincount(plane.ravel(), minlength=n)
    return counts > 0
