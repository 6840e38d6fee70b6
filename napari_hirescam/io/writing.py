"""What the writers of all formats share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.safe_write import Section, write_file
from napari_hirescam.source import Source
from napari_hirescam.volume import Grid

SAME_PLACE_MM = 1e-3
"""A grid this close to a file's own is that grid."""


def put(path: Path, sections: Sequence[Section], *, overwrite: bool) -> Path:
    """Write a file whole or not at all.

    Raises
    ------
    VolumeError
        If it exists and may not be replaced, or the place cannot be written to.
    """
    try:
        write_file(path, sections, overwrite=overwrite)
    except FileExistsError as exc:
        raise VolumeError(
            path, "there is a file of this name", "Choose another name or allow it"
        ) from exc
    except OSError as exc:
        raise VolumeError(
            path,
            f"it cannot be written ({exc.strerror or exc})",
            "Check that the folder exists, may be written to and has room",
        ) from exc
    return path


def storable(values: npt.NDArray[Any], grid: Grid) -> npt.NDArray[Any]:
    """Bring numbers into a type that every format has, little-endian.

    Raises
    ------
    ValueError
        If they do not lie on the grid, or are neither integers nor floats.
    """
    if values.shape != grid.shape:
        raise ValueError(f"values of shape {values.shape} do not lie on a grid of {grid.shape}")
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.dtype == np.float16:
        return values.astype("<f4")
    if values.dtype.kind not in "iuf" or values.dtype.itemsize > 8:
        raise ValueError(f"numbers of type {values.dtype} cannot be written")
    return values.astype(values.dtype.newbyteorder("<"), copy=False)


def plain_text(text: str) -> str:
    """Text that every format can hold: control characters become blanks.

    A name may come from anywhere, and neither XML nor the header of a NRRD file can hold, say, a
    NUL; half a surrogate pair, which stands for a file name's byte that is no letter, becomes "?".
    """
    sound = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else " " for letter in sound).strip()


def as_json(provenance: dict[str, Any]) -> str:
    """Provenance as one line of JSON in plain ASCII; equal content gives equal text."""
    return json.dumps(provenance, sort_keys=True, allow_nan=False)


def geometry_fields(like: Source | None, format_name: str) -> Mapping[str, Any]:
    """The fields that place a source's voxels, if it is a file of this format."""
    return like.stored_geometry if like is not None and like.format == format_name else {}
