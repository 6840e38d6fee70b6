"""Organ regions as Labels layers, and any Labels layer as organ regions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_hirescam.errors import OrganError
from napari_hirescam.organs import OrganMap, OrganTable
from napari_hirescam.organs.organ_segments import organ_segments
from napari_hirescam.organs.organ_tables import PARTITION, TOTALSEGMENTATOR, table_from_names
from napari_hirescam.plugin.ct_layers import (
    AXIS_LABELS,
    METADATA_KEY,
    LayerData,
    layer_from_volume,
    volume_from_layer,
)
from napari_hirescam.plugin.mask_layers import segments_of
from napari_hirescam.volume import Quantity, Volume

if TYPE_CHECKING:
    from napari.layers import Labels

#: A table that was made of the names the layer has for its values.
BY_NAMES = "names"
_OPACITY = 0.45
# Values that hardly any other label map than TotalSegmentator's has for lobes of the lungs.
_LOBES = frozenset(range(10, 15))


def layer_from_organs(organs: OrganMap, ct: Volume) -> LayerData:
    """Describe organ regions on the grid of a CT as the data of a Labels layer.

    Saved by napari, the layer is written on the grid of the CT's file.
    """
    volume = Volume(
        organs.labels,
        organs.affine,
        f"{organs.origin}: organs of {ct.name}",
        Quantity.LABELS,
        ct.source,
        organ_segments(organs),
    )
    voxels, options, kind = layer_from_volume(volume)
    options["opacity"] = _OPACITY
    options["metadata"][METADATA_KEY] |= {
        "organs": {name: list(values) for name, values in organs.values.items()},
        "origin": organs.origin,
        "doubts": list(organs.doubts),
    }
    return voxels, options, kind


def doubts_of(layer: Labels) -> tuple[str, ...]:
    """Return why the regions of a layer that was made here should not be trusted."""
    return tuple(layer.metadata.get(METADATA_KEY, {}).get("doubts", ()))


def mask_from_layer(layer: Labels) -> Volume:
    """Take a Labels layer as a label map, where it lies in the world now.

    Its voxels are those of the layer: copy them before they may be painted on.

    Raises
    ------
    InputError, OrganError
        It is not one three-dimensional array along the world's axes, or has values below 0.
    """
    volume = volume_from_layer(layer)
    if volume.voxels.size and volume.voxels.min() < 0:
        raise OrganError(layer.name, "it has values below 0", "Choose a layer of organ masks")
    return volume


class NamedValues(NamedTuple):
    """Which of a layer's values is which organ, as far as can be told.

    Parameters
    ----------
    table
        Organ -> values; empty if nothing tells.
    by
        "names" of the layer's own, or the name of the built-in table that its values look like.
    """

    table: OrganTable
    by: str

    @property
    def guessed(self) -> bool:
        """True if only the values themselves speak for it."""
        return bool(self.table) and self.by != BY_NAMES


def named_values(layer: Labels) -> NamedValues:
    """Find which of a layer's values is which organ."""
    described = layer.metadata.get(METADATA_KEY, {}).get("organs")
    names = table_from_names((one.value, one.name) for one in segments_of(layer))
    if described and not names:
        names = {organ: tuple(values) for organ, values in described.items()}
    if names or layer.ndim != len(AXIS_LABELS) or layer.multiscale:
        return NamedValues(names, BY_NAMES)
    voxels = np.asarray(layer.data)
    if int(voxels.max(initial=0)) == max(PARTITION["lungs"]):
        return NamedValues(PARTITION, "partition")
    # Lobes are large: every few voxels will do, and take a hundredth of the time.
    if _LOBES & set(np.unique(voxels[::2, ::4, ::4]).tolist()):
        return NamedValues(TOTALSEGMENTATOR, "totalsegmentator")
    return NamedValues({}, BY_NAMES)


def for_organs(table: OrganTable, organs: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Take the values of some organs from a table; none for an organ it does not tell of."""
    return {organ: tuple(table.get(organ, ())) for organ in organs}
