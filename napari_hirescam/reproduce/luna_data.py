"""Nodules with outlines: LIDC scans with four readers' marks, and crops with masks."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import CaseTableError
from napari_hirescam.volume import Volume, scaling

Point = tuple[float, float, float]

#: End of the name of a label map whose values count the readers that marked a voxel.
READERS = "_nodule_readers.nii.gz"
#: HU of the grey values 0 and 255 of the published nodule crops: lung and muscle come out right.
CROP_WINDOW_HU = (-1000.0, 400.0)
_CROP_SPACING_MM = 1.0
_CROP_PARTS = ("voxel", "seg")
_MOST_CROP_BYTES = 4 * 2**30
_READERS_OF_CENTRE = 2


@dataclass(frozen=True, eq=False)
class Nodule:
    """A nodule in its surroundings, with outlines.

    Parameters
    ----------
    name
        For reports.
    kind
        'scan' or 'crop'.
    ct
        What surrounds it, in HU.
    readers
        uint8 on the CT's grid: how many readers marked the voxel (of a crop: 1 in its mask).
    centre_mm
        (I, P, L) mm of the middle of what most readers marked, or of the crop.
    """

    name: str
    kind: str
    ct: Volume
    readers: npt.NDArray[np.uint8]
    centre_mm: Point

    @property
    def levels(self) -> range:
        """Numbers of readers, from 1 to as many as agreed somewhere."""
        return range(1, int(self.readers.max()) + 1)

    def outline(self, at_least: int) -> npt.NDArray[np.bool_]:
        """Voxels that at least so many readers marked."""
        marked: npt.NDArray[np.bool_] = self.readers >= at_least
        return marked


@dataclass(frozen=True)
class NoduleFiles:
    """What a folder holds, checked before anything is computed.

    Parameters
    ----------
    scans
        CT and the readers' marks that belong to it.
    crops
        npz files, with how many crops each holds.
    """

    scans: tuple[tuple[Path, Path], ...]
    crops: tuple[tuple[Path, int], ...]

    @property
    def n_crops(self) -> int:
        """Number of crops in all files."""
        return sum(count for _, count in self.crops)

    def read_scans(self) -> Iterator[Nodule]:
        """Read the scans one after the other; see :func:`read_scan`."""
        for ct, readers in self.scans:
            yield read_scan(ct, readers)

    def read_crops(self, at_most: int | None = None, seed: int = 0) -> Iterator[Nodule]:
        """Read crops, all or a random choice of them, in the order of the files.

        Parameters
        ----------
        at_most
            How many; None is all.
        seed
            Of the choice.
        """
        chosen = np.arange(self.n_crops)
        if at_most is not None and at_most < self.n_crops:
            chosen = np.sort(
                np.random.default_rng(seed).choice(self.n_crops, at_most, replace=False)
            )
        first = 0
        for file, count in self.crops:
            wanted = chosen[(chosen >= first) & (chosen < first + count)] - first
            first += count
            if wanted.size:
                yield from _crops_of(file, wanted)


def find_nodules(folders: Sequence[Path]) -> NoduleFiles:
    """Look through folders for scans with readers' marks and for files of crops.

    A scan is any file or folder that the package reads and whose name begins like that of its
    marks: ``LIDC-0001_nodule_readers.nii.gz`` beside ``LIDC-0001.nii.gz`` or the DICOM folder
    ``LIDC-0001_dicom``. Crops are an npz with ``voxel`` (uint8 [n, d, h, w], grey 0 to 255 for
    -1000 to 400 HU, 1 mm apart) and ``seg`` (their masks, each packed to bits or bool).

    Raises
    ------
    CaseTableError
        A folder is missing, marks have no scan, a file of crops is malformed, or there is
        nothing.
    """
    scans: list[tuple[Path, Path]] = []
    crops: list[tuple[Path, int]] = []
    for folder in folders:
        if not folder.is_dir():
            raise CaseTableError(
                folder, "there is no such folder", "Give the folder that holds the nodules"
            )
        scans += [(_scan_of(marks), marks) for marks in sorted(folder.rglob(f"*{READERS}"))]
        for file in sorted(folder.rglob("*.npz")):
            count = _count_crops(file)
            if count:
                crops.append((file, count))
    if not scans and not crops:
        raise CaseTableError(
            ", ".join(map(str, folders)),
            f"it holds neither marks (*{READERS}) nor an npz of crops with {_names()}",
            "See the section luna of docs/results.md for what the folder should hold",
        )
    return NoduleFiles(tuple(scans), tuple(crops))


def read_scan(ct: Path, readers: Path) -> Nodule:
    """Read a scan and the marks on it.

    Raises
    ------
    VolumeError
        A file cannot be read.
    CaseTableError
        The marks lie elsewhere than the scan, or mark nothing.
    """
    from napari_hirescam.io import read_volume

    name = readers.name.removesuffix(READERS)
    volume, marks = read_volume(ct), read_volume(readers)
    if volume.voxels.shape != marks.voxels.shape or not volume.grid.same_place_as(
        marks.grid, tolerance_mm=0.01
    ):
        raise CaseTableError(
            readers, "it lies on another grid than the scan", "Give marks made on this very scan"
        )
    found = marks.voxels.astype(np.uint8)
    level = min(_READERS_OF_CENTRE, int(found.max()))
    if level == 0:
        raise CaseTableError(readers, "it marks no voxel", "Leave this scan out")
    inferior, posterior, left = marks.grid.to_world(np.argwhere(found >= level).mean(0))
    return Nodule(name, "scan", volume, found, (float(inferior), float(posterior), float(left)))


def _scan_of(marks: Path) -> Path:
    stem = marks.name.removesuffix(READERS)
    beside = [
        path
        for path in sorted(marks.parent.iterdir())
        if path.name.startswith(stem) and path != marks and not path.name.endswith(READERS)
    ]
    # LIDC-1 must not take LIDC-10.
    beside = [path for path in beside if not path.name[len(stem) :][:1].isalnum()]
    readable = [path for path in beside if path.is_dir() or ".tar" not in path.suffixes]
    if len(readable) == 1:
        return readable[0]
    if readable:
        raise CaseTableError(
            marks,
            f"{' and '.join(path.name for path in readable)} could both be its scan",
            f"Leave one whose name begins with {stem} beside it",
        )
    raise CaseTableError(
        marks,
        f"its scan is still packed in {beside[0].name}"
        if beside
        else f"no scan whose name begins with {stem} lies beside it",
        f"Put the DICOM files into a folder {stem} beside it",
    )


def _names() -> str:
    return " and ".join(map(repr, _CROP_PARTS))


def _count_crops(file: Path) -> int:
    """Count the crops of an npz from its headers; 0 if it holds other things."""
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            if not names.issuperset(_CROP_PARTS):
                return 0
            size = sum(archive.getinfo(f"{part}.npy").file_size for part in _CROP_PARTS)
            for part in _CROP_PARTS:
                with archive.open(f"{part}.npy") as stream:
                    version = np.lib.format.read_magic(stream)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shapes[part] = read(stream)[0]
    except (zipfile.BadZipFile, ValueError, OSError) as exc:
        raise CaseTableError(file, f"it cannot be read as npz: {exc}", "Copy it again") from exc
    voxel, seg = (shapes[part] for part in _CROP_PARTS)
    packed = (-(-int(np.prod(voxel[1:])) // 8),)
    if len(voxel) != 4 or seg[:1] != voxel[:1] or seg[1:] not in (packed, voxel[1:]):
        raise CaseTableError(
            file,
            f"'voxel' {voxel} and 'seg' {seg} are not crops and their masks",
            "Give voxel as [n, d, h, w] and seg alike, or each mask packed to bits",
        )
    if size > _MOST_CROP_BYTES:
        raise CaseTableError(
            file, f"it unpacks to {size / 2**30:.0f} GiB", "Split it into smaller files"
        )
    return voxel[0]


def _crops_of(file: Path, wanted: npt.NDArray[np.intp]) -> Iterator[Nodule]:
    with np.load(file, allow_pickle=False) as content:
        voxels, masks = (content[part] for part in _CROP_PARTS)
    shape = voxels.shape[1:]
    low, high = CROP_WINDOW_HU
    affine = scaling((_CROP_SPACING_MM,) * 3)
    middle = tuple(_CROP_SPACING_MM * (length - 1) / 2 for length in shape)
    for index in wanted:
        mask = masks[index]
        if mask.shape != shape:
            mask = np.unpackbits(mask, count=int(np.prod(shape))).reshape(shape)
        grey: npt.NDArray[Any] = voxels[index].astype(np.float32) / np.float32(255)
        yield Nodule(
            f"{file.stem} {index}",
            "crop",
            Volume(low + grey * np.float32(high - low), affine, f"{file.stem} {index}"),
            mask.astype(np.uint8),
            (middle[0], middle[1], middle[2]),
        )
