"""Read CT volumes from numpy's ``.npz`` files, those of RAD-ChestCT among them.

The bytes are read here and not by `np.load`: twice as fast, never unpickling anything, and
with each member's checksum verified.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError, Item, Picture
from napari_hirescam.io.assembling import assemble
from napari_hirescam.io.ends import Ends
from napari_hirescam.io.frame import upright
from napari_hirescam.io.gzip_bytes import fill
from napari_hirescam.io.npz import rad_chestct
from napari_hirescam.io.npz.npy_header import StoredArray, stored_arrays
from napari_hirescam.io.npz.place import Place, place_of
from napari_hirescam.io.pictures import middle_picture
from napari_hirescam.io.reading import Reading, check_memory
from napari_hirescam.io.zip_member import open_member
from napari_hirescam.source import Fact, Repair
from napari_hirescam.volume import Grid, Volume

_ZIP_MAGIC = b"PK\x03\x04"
_SCRATCH_BYTES = 64 << 20
_MOST_NAMED = 6


def sniff(path: Path, head: bytes) -> bool:
    """Say whether a file is an ``.npz`` that may hold volumes.

    One without any array of three axes or more is left to other programs.
    """
    if path.is_dir() or not head.startswith(_ZIP_MAGIC):
        return False
    length = int.from_bytes(head[26:28], "little")
    if not head[30 : 30 + length].endswith(b".npy"):
        return False
    try:
        return any(len(array.shape) >= 3 for array in stored_arrays(path))
    except VolumeError:
        return True  # ours to say what is wrong with it


def read(path: Path, reading: Reading) -> Volume:
    """Read a three-dimensional array.

    Parameters
    ----------
    path
        The file.
    reading
        `series` is the name of an array, where there are several; progress is in bytes.

    Raises
    ------
    ChoiceNeededError
        If it holds several volumes and none was chosen.
    ConsentNeededError
        If nothing tells how the volume lies in the patient.
    VolumeError
        If the file is damaged, holds no volume, or does not fit into memory.
    Cancelled
        If the caller asked to stop.
    """
    arrays = stored_arrays(path)
    candidates = _volumes(path, arrays)
    array = _chosen(path, candidates, arrays, reading.series)
    known = rad_chestct.recognised(path, array, arrays)
    place = (
        place_of(path, array, arrays, reading.allow)
        if known is None
        else rad_chestct.place_of(path, array, known, reading.allow)
    )
    ends = Ends()
    voxels = _numbers(path, array, reading, ends)
    if known is not None and not rad_chestct.has_its_range(*ends.result()):
        # The name alone is no proof; nobody knows where such a thing would lie.
        known, place = None, place_of(path, array, arrays, reading.allow)
    several = len(candidates) > 1
    return assemble(
        path,
        "npz" if known is None else "RAD-ChestCT",
        voxels,
        place.affine,
        name=f"{path.stem} {array.name}" if several else path.stem,
        is_mask=array.dtype.kind == "b",
        notes=place.notes,
        details={} if known is None else known.details,
        facts=(*_facts(array, place), *(() if known is None else known.facts)),
        repaired=place.repaired,
        item=array.name if several else "",
        ends=ends.result(),
    )


def items(path: Path, reading: Reading) -> tuple[Item, ...]:
    """List the volumes in the file, from the headers of its arrays."""
    reading.check_stop()
    arrays = stored_arrays(path)
    candidates = _volumes(path, arrays)
    return tuple(_item(path, array, arrays, several=len(candidates) > 1) for array in candidates)


def picture(path: Path, key: str, reading: Reading) -> Picture:
    """Make a picture of a volume's middle slice."""
    allow = frozenset({Repair.ASSUME_PLACE})  # a picture settles nothing
    return middle_picture(read(path, replace(reading, series=key or None, allow=allow)))


def _volumes(path: Path, arrays: tuple[StoredArray, ...]) -> tuple[StoredArray, ...]:
    found = tuple(array for array in arrays if array.volume_shape is not None)
    if found:
        return found
    named = [_described(array) for array in arrays[:_MOST_NAMED]]
    more = f" and {len(arrays) - _MOST_NAMED} more" if len(arrays) > _MOST_NAMED else ""
    raise VolumeError(
        path,
        f"none of its arrays is a three-dimensional one of numbers ({', '.join(named)}{more})"
        if named
        else "it holds no array of numbers",
        "Save the volume you want as an array of its own",
    )


def _described(array: StoredArray) -> str:
    lengths = " x ".join(str(n) for n in array.shape) or "a single value"
    return f"{array.name} {lengths}" + (" of Python objects" if array.dtype.hasobject else "")


def _chosen(
    path: Path,
    candidates: tuple[StoredArray, ...],
    arrays: tuple[StoredArray, ...],
    series: str | None,
) -> StoredArray:
    if not series and len(candidates) == 1:
        return candidates[0]
    for array in candidates:
        if array.name == series:
            return array
    raise ChoiceNeededError(
        path,
        f"it holds {len(candidates)} volumes" + (f" and no {series!r}" if series else ""),
        "Choose one by its name: " + ", ".join(array.name for array in candidates[:20]),
        tuple(_item(path, array, arrays, several=True) for array in candidates),
    )


def _item(
    path: Path, array: StoredArray, arrays: tuple[StoredArray, ...], *, several: bool
) -> Item:
    shape = array.volume_shape
    if shape is None:
        raise ValueError(f"{array.name} is no volume")
    problem, spacing, grid = "", None, None
    needs: tuple[Repair, ...] = ()
    try:
        known = rad_chestct.recognised(path, array, arrays)
        place = (
            place_of(path, array, arrays, ())
            if known is None
            else rad_chestct.place_of(path, array, known, ())
        )
        a, b, c = np.linalg.norm(place.affine[:3, :3], axis=0)
        spacing = (float(a), float(b), float(c))
        grid = upright(Grid(shape, place.affine))
    except ConsentNeededError as exc:
        problem, needs = exc.reason, exc.repairs
    except VolumeError as exc:
        problem = exc.reason
    return Item(
        key=array.name if several else "",
        title=array.name if several else path.name,
        kind="labels" if array.dtype.kind == "b" else "image",
        n_slices=shape[0],
        spacing_mm=spacing,
        size=shape[1:],
        needs=needs,
        problem=problem,
        grid=grid,
    )


def _numbers(
    path: Path, array: StoredArray, reading: Reading, ends: Ends
) -> npt.NDArray[np.generic]:
    same = array.dtype.itemsize in {1, 2, 4} and array.dtype != np.float16
    check_memory(path, array.n_bytes * (1 if same else 2) + _SCRATCH_BYTES)
    order = "F" if array.is_fortran else "C"
    # A byte that is neither 0 nor 1 is no truth value, but numpy would take it for one.
    kind = np.dtype(np.uint8) if array.dtype.kind == "b" else array.dtype
    voxels: npt.NDArray[np.generic] = np.empty(array.shape, kind, order=order)  # type: ignore[call-overload]
    with open_member(path, array.info) as stream:
        stream.read(array.header_bytes)
        fill(path, stream, voxels, reading, ends=ends)
    if array.volume_shape is not None:
        voxels = voxels.reshape(array.volume_shape, order=order)  # type: ignore[call-overload]
    if not voxels.dtype.isnative:
        voxels = voxels.byteswap(inplace=True).view(voxels.dtype.newbyteorder("="))
    return voxels


def _facts(array: StoredArray, place: Place) -> tuple[Fact, ...]:
    return (
        Fact("File", "Array", array.name),
        Fact("File", "Type in the file", array.dtype.newbyteorder("=").name),
        *place.facts,
    )
