"""Organ masks in files: a label map, a segmentation, or a folder with a file for each organ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from napari_hirescam.errors import OrganError
from napari_hirescam.organs.organ_map import BoolArray, OrganMap
from napari_hirescam.organs.organ_tables import (
    BUILT_IN,
    MADE_OF,
    OrganTable,
    organ_name,
    with_whole_organs,
)
from napari_hirescam.organs.placed_masks import (
    as_drawn_on,
    on_ct,
    onto_grid,
    organs_from_labels,
    unsigned_labels,
)
from napari_hirescam.volume import Quantity, Volume

_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")

ProgressCallback = Callable[[int, int], None]
StopCallback = Callable[[], bool]


def read_organs(
    path: str | Path,
    table: OrganTable | None = None,
    ct: Volume | None = None,
    *,
    wanted: Iterable[str] | None = None,
    unnamed: str | None = None,
    lenient: bool = False,
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
) -> OrganMap:
    """Read organ masks: a label map, or a folder with one file for each organ.

    Parameters
    ----------
    path
        A file that `read_volume` reads as labels, a DICOM segmentation whose segments overlap
        among them; or a folder of such files, each called after its organ, as TotalSegmentator
        writes them.
    table
        Organ -> values of a label map. None takes the names in the file, or, for a file that
        holds one organ, the file's own name.
    ct
        The CT that they lie on; None leaves them on their own grid.
    wanted
        Organs that are needed, so that not every file of a folder is read. None reads all.
    unnamed
        The organ that a file with a single value is of, if neither it nor its name says which.
    lenient
        Whether masks without a voxel and exchanged sides are let through, with a doubt, for
        somebody to look at.
    progress
        Called with (done, total).
    should_stop
        Asked while reading.

    Returns
    -------
    The regions on the grid of the CT. Masks on another grid that reaches over all of the CT are
    resampled, nearest, and `notes` says so.

    Raises
    ------
    VolumeError
        A file cannot be read.
    OrganError
        It holds no labels, it is not said which value is which organ, an organ that is wanted is
        missing, or it does not lie where the CT lies.
    Cancelled
        If `should_stop` answered True.
    """
    from napari_hirescam.io import ChoiceNeededError, read_volume

    path = Path(path)
    needed = None if wanted is None else tuple(dict.fromkeys(map(organ_name, wanted)))
    files = organ_files(path)
    if files:
        _refuse_table(path, table)
        chosen = tuple(files) if needed is None else _needed(path, files, needed)
        readers = {
            organ: partial(read_volume, files[organ], should_stop=should_stop) for organ in chosen
        }
        return _Masks(readers, ct, progress).combined("a folder of masks", needed, lenient=lenient)
    try:
        volume = read_volume(path, progress=progress, should_stop=should_stop)
    except ChoiceNeededError as error:
        # The segments of a DICOM segmentation that overlap: each has a key of its own.
        keys = [item.key for item in error.items if item.kind == "SEG" and "/" in item.key]
        if not keys or table is not None:
            raise
        segments = [read_volume(path, series=key, should_stop=should_stop) for key in keys]
        named = {organ_name(one.segments[0].name): one for one in segments if one.segments}
        readers = {organ: partial(_itself, one) for organ, one in named.items()}
        return _Masks(readers, ct, progress).combined(path.name, needed, lenient=lenient)
    table = table or _of_one_organ(path, volume, unnamed)
    return organs_from_labels(volume, table, ct, origin=path.name, wanted=needed, lenient=lenient)


def files_of_organs(path: str | Path, organs: Iterable[str]) -> tuple[Path, ...]:
    """Tell which files :func:`read_organs` reads for some organs: one, or some of a folder's.

    Raises
    ------
    OrganError
        The folder has no file of one of them.
    """
    path = Path(path)
    files = organ_files(path)
    if files:
        return tuple(files[name] for name in _needed(path, files, map(organ_name, organs)))
    if path.is_dir():  # a DICOM series
        return tuple(file for file in sorted(path.rglob("*")) if file.is_file())
    return (path,)


def _itself(volume: Volume) -> Volume:
    return volume


def organ_files(path: Path) -> dict[str, Path]:
    """Organ -> file, of a folder that holds volumes other than DICOM; else none."""
    if not path.is_dir():
        return {}
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        ending = next((end for end in _ENDINGS if file.name.lower().endswith(end)), None)
        if ending is None or file.name.startswith("."):
            continue
        organ = organ_name(file.name[: -len(ending)])
        if organ in found:
            raise OrganError(
                path,
                f"{found[organ].name} and {file.name} are of one organ",
                "Leave one of them in the folder",
            )
        found[organ] = file
    return found


def _refuse_table(path: Path, table: OrganTable | None) -> None:
    if table is not None:
        raise OrganError(
            path,
            "a folder with a file for each organ needs no table of values",
            "Leave the table out; the files' names tell the organs",
        )


def _needed(path: Path, files: Mapping[str, Path], wanted: Iterable[str]) -> tuple[str, ...]:
    """Names of the files that the organs are in, or their parts."""
    names: dict[str, None] = {}
    for organ in wanted:
        parts = (organ,) if organ in files else MADE_OF.get(organ)
        if parts is None:
            known = ", ".join(with_whole_organs(dict.fromkeys(files, ())))
            raise OrganError(
                path,
                f"it has no file of {organ}; it tells of: {known}",
                f"Put it there as {organ}.nii.gz",
            )
        if parts == (organ,):
            names[organ] = None
        else:
            names.update(dict.fromkeys(_needed(path, files, parts)))
    return tuple(names)


class _Masks(Mapping[str, BoolArray]):
    """Masks of one grid, each read when it is asked for.

    Parameters
    ----------
    readers
        Organ -> what reads its file.
    ct
        Whose grid they are brought onto; None takes the grid of the first one.
    progress
        Told of each mask.
    """

    def __init__(
        self,
        readers: Mapping[str, Callable[[], Volume]],
        ct: Volume | None,
        progress: ProgressCallback | None,
    ) -> None:
        self._readers, self._ct, self._progress = readers, ct, progress
        self._grid = None if ct is None else ct.grid
        self.notes: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __getitem__(self, organ: str) -> BoolArray:
        volume = self._readers[organ]()
        if self._ct is not None:
            volume = as_drawn_on(self._ct, volume, organ)
        labels = unsigned_labels(volume, organ)
        if self._grid is None:
            self._grid = volume.grid
        labels, notes = onto_grid(labels, volume.affine, self._grid, organ)
        told = volume.source.notes if volume.source else ()
        self.notes.update(dict.fromkeys((*told, *notes)))
        if self._progress is not None:
            self._progress(tuple(self._readers).index(organ) + 1, len(self._readers))
        inside: BoolArray = labels > 0
        return inside

    def combined(self, origin: str, wanted: Iterable[str] | None, *, lenient: bool) -> OrganMap:
        """Lay all of them over one another, and add the organs that they are parts of."""
        found = OrganMap.from_masks(self, np.eye(4), origin)
        if self._grid is None:  # from_masks has read at least one
            raise AssertionError
        whole = replace(
            found,
            affine=self._grid.affine,
            values=with_whole_organs(found.values),
            notes=tuple(self.notes),
        )
        return on_ct(whole, self._ct, wanted, lenient=lenient)


def _of_one_organ(path: Path, volume: Volume, unnamed: str | None) -> OrganTable | None:
    """Take a mask of a single value without a name for what its file, or else the caller, says."""
    if volume.segments or volume.quantity is not Quantity.LABELS:
        return None
    ending = next((end for end in _ENDINGS if path.name.lower().endswith(end)), "")
    organ = organ_name(path.name.removesuffix(ending))
    known = {name for table in BUILT_IN.values() for name in table}
    if organ not in known:
        if unnamed is None:
            return None
        organ = organ_name(unnamed)
    highest = int(volume.voxels.max(initial=0))
    may_lie_between = highest > 1 or not np.issubdtype(volume.voxels.dtype, np.integer)
    if may_lie_between and ((volume.voxels > 0) & (volume.voxels < highest)).any():
        return None
    return {organ: (max(highest, 1),)}
