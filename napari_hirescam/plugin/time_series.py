"""Several volumes on one grid as one layer with a time axis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.plugin.ct_layers import (
    AXIS_LABELS,
    METADATA_KEY,
    UNITS,
    LayerData,
    layer_from_volume,
    layer_name,
)
from napari_hirescam.plugin.mask_layers import SEGMENTS_KEY
from napari_hirescam.volume import Volume

if TYPE_CHECKING:
    from napari_hirescam.source import Repair

#: What a layer's metadata says of its kind.
KIND = "time series"


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """Volumes of one grid, one after the other.

    Parameters
    ----------
    voxels
        [time, slice, row, column].
    first
        The first of the volumes: its place, name and source are those of all.
    keys
        Of the items, in the order of the first axis.
    """

    voxels: npt.NDArray[Any]
    first: Volume
    keys: tuple[str, ...]


def read_time_series(
    path: Path,
    keys: Sequence[str],
    *,
    allow: Collection[Repair] = (),
    progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> TimeSeries:
    """Read items of one path into one array.

    Raises
    ------
    VolumeError
        One of them cannot be read, or they do not lie on the same grid.
    Cancelled
        `should_stop` said so.
    """
    from napari_hirescam.io import read_volume
    from napari_hirescam.io.reading import check_memory

    voxels: npt.NDArray[Any] | None = None
    first: Volume | None = None
    for number, key in enumerate(keys):

        def tell(done: int, total: int, number: int = number) -> None:
            progress(number * total + done, len(keys) * total)

        volume = read_volume(path, series=key, allow=allow, progress=tell, should_stop=should_stop)
        if voxels is None or first is None:
            first = volume
            check_memory(path, volume.voxels.nbytes * len(keys))
            voxels = np.empty((len(keys), *volume.voxels.shape), volume.voxels.dtype)
        elif not volume.grid.same_place_as(first.grid):
            raise VolumeError(
                path,
                f"what is called {key} lies on another grid than what is called {keys[0]}",
                "Open them one by one",
            )
        if volume.voxels.dtype != voxels.dtype:
            voxels = voxels.astype(np.promote_types(voxels.dtype, volume.voxels.dtype))
        voxels[number] = volume.voxels
    if voxels is None or first is None:
        raise VolumeError(path, "nothing was chosen", "Choose at least one volume")
    return TimeSeries(voxels, first, tuple(keys))


def layer_from_time_series(series: TimeSeries) -> LayerData:
    """Describe a time series as a layer data tuple: the fourth axis counts the volumes."""
    first = series.first
    _, options, kind = layer_from_volume(first)
    options |= {
        "name": f"{_name(first)} ({len(series.keys)} times)",
        "scale": (1.0, *first.spacing_mm),
        "translate": (0.0, *first.affine[:3, 3]),
        "units": ("pixel", *UNITS),
        "axis_labels": ("time", *AXIS_LABELS),
        # Not a "volume": nothing that works on one CT is to take this for one.
        "metadata": {
            METADATA_KEY: {
                "kind": KIND,
                "quantity": first.quantity.value,
                "frame": "time, then inferior, posterior, left (mm)",
                "items": list(series.keys),
                "path": str(first.source.path) if first.source else "",
            },
            SEGMENTS_KEY: first.segments,
        },
    }
    return series.voxels, options, kind


def _name(first: Volume) -> str:
    """Name the whole: a file of several volumes as such, not by its first volume."""
    if first.source is not None and first.source.path.is_file():
        return first.source.path.name.split(".")[0]
    return layer_name(first)
