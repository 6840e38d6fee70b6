"""The formats this package reads, told apart by what the files hold, not by their names.

A new format is one module with a `sniff` and a `read`, and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.asking import Item, Picture
from napari_hirescam.io.dicom import reader as dicom
from napari_hirescam.io.metaimage import reader as metaimage
from napari_hirescam.io.nifti import reader as nifti
from napari_hirescam.io.npz import reader as npz
from napari_hirescam.io.nrrd import reader as nrrd
from napari_hirescam.io.quiet import quietly
from napari_hirescam.io.reading import (
    PictureCallback,
    ProgressCallback,
    Reading,
    StopCallback,
)
from napari_hirescam.source import Fact, Repair
from napari_hirescam.volume import Volume

_HEAD_BYTES = 4096
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Format:
    """One family of files.

    Parameters
    ----------
    name
        As users know it.
    sniff
        Given a path and its first bytes (none for a folder), says whether `read` is the one to
        judge it. Cheap, and never raises except for `OSError`.
    read
        Turns the path into a volume or raises `VolumeError`; `ChoiceNeededError` where several
        things could be meant, `ConsentNeededError` where it may not mend without being asked.
    items
        Lists what can be read under the path, from headers alone.
    picture
        Makes a picture of one item's middle slice, given its key.
    identity
        Reads what identifies the patient, where files of this kind say so.
    """

    name: str
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path, Reading], Volume]
    items: Callable[[Path, Reading], tuple[Item, ...]]
    picture: Callable[[Path, str, Reading], Picture]
    identity: Callable[[Path], tuple[Fact, ...]] = lambda _path: ()


FORMATS: tuple[Format, ...] = (
    Format("NIfTI", nifti.sniff, nifti.read, nifti.items, nifti.picture, nifti.identifying_facts),
    Format("NRRD", nrrd.sniff, nrrd.read, nrrd.items, nrrd.picture),
    Format("MetaImage", metaimage.sniff, metaimage.read, metaimage.items, metaimage.picture),
    Format("npz", npz.sniff, npz.read, npz.items, npz.picture),
    Format("DICOM", dicom.sniff, dicom.read, dicom.items, dicom.picture, dicom.identifying_facts),
)


def _find_format(path: Path) -> Format | None:
    head = b""
    if not path.is_dir():
        if path.exists() and not path.is_file():
            return None  # opening a pipe would wait for somebody to write into it
        if not path.is_file():  # opening a named pipe would wait for whoever fills it
            return None
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    return next((entry for entry in FORMATS if entry.sniff(path, head)), None)


def can_read(path: object) -> bool:
    """Say whether a file or folder looks like one of the known formats.

    Looks at the first bytes only, or for one DICOM file in a folder. Never raises.
    """
    if not isinstance(path, (str, Path)):
        return False
    try:
        return _find_format(Path(path)) is not None
    except (OSError, ValueError):  # a NUL in the name is a ValueError
        return False


def read_volume(
    path: str | Path,
    *,
    series: str | None = None,
    allow: Iterable[Repair | str] = (),
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
    preview: PictureCallback | None = None,
) -> Volume:
    """Read a CT, or a mask on its grid, from a file or a folder.

    Parameters
    ----------
    path
        A NIfTI, NRRD, MetaImage or npz file; a folder with DICOM files (at any depth), a zip of
        one, a DICOMDIR, or one file of a DICOM series, whose whole series is then read.
    series
        Which of several things under the path, by its key (see :func:`list_items`). For DICOM
        also the beginning of a series UID, or a series number.
    allow
        Repairs the user agrees to, by their names.
    progress
        Called with (done, total): bytes of a file, slices of a DICOM series.
    should_stop
        Asked every few megabytes or slices whether to give up.
    preview
        Called with the first slice that can be shown, before the rest is read.

    Returns
    -------
    The volume along (I, P, L) mm, with the stored grid and every remark in its `source`.

    Raises
    ------
    VolumeError
        If the path does not hold a sound volume; says what is wrong and what helps. The kinds
        `ChoiceNeededError` and `ConsentNeededError` carry the possible answers.
    Cancelled
        If `should_stop` answered True.
    """
    agreed = frozenset(Repair(repair) for repair in allow)
    request = Reading(series, agreed, progress, should_stop, preview)
    return _with_format(path, lambda entry, found: entry.read(found, request))


def list_items(
    path: str | Path,
    *,
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
) -> tuple[Item, ...]:
    """List what can be read under a path: series, phases, volumes, masks.

    Only headers are read.

    Raises
    ------
    VolumeError
        If nothing under the path can be understood.
    Cancelled
        If `should_stop` answered True.
    """
    request = Reading(progress=progress, should_stop=should_stop)
    return _with_format(path, lambda entry, found: entry.items(found, request))


def picture_of(path: str | Path, key: str, *, should_stop: StopCallback | None = None) -> Picture:
    """Make a picture of the middle slice of one item.

    Raises
    ------
    VolumeError
        If that slice cannot be read.
    Cancelled
        If `should_stop` answered True.
    """
    request = Reading(series=key, should_stop=should_stop)
    return _with_format(path, lambda entry, found: entry.picture(found, key, request))


def identifying_facts(path: str | Path) -> tuple[Fact, ...]:
    """Read what identifies the patient: name, number, dates, hospital.

    Nothing else of this package reads these, or keeps them.

    Returns
    -------
    Rows for the geometry report; none for formats that have no such fields.

    Raises
    ------
    VolumeError
        If the path cannot be understood.
    """
    return _with_format(path, lambda entry, found: entry.identity(found))


def _with_format(path: str | Path, use: Callable[[Format, Path], _Result]) -> _Result:
    path = Path(path)
    try:
        if not path.exists():
            raise VolumeError(path, "there is no such file or folder", "Check the path")
        if not (path.is_file() or path.is_dir()):
            # Opening a pipe would wait for somebody to write into it.
            raise VolumeError(path, "it is neither a file nor a folder", "Give one of these")
        found = _find_format(path)
        if found is None:
            raise _unknown(path)
        with quietly():
            return use(found, path)
    except OSError as exc:
        raise VolumeError(
            exc.filename or path,
            f"it cannot be read ({exc.strerror or exc})",
            "Check the disk and that you may read the file",
        ) from exc
    except MemoryError as exc:
        raise VolumeError(
            path, "there is not enough memory to read it", "Close other programs, or crop it first"
        ) from exc


def _unknown(path: Path) -> VolumeError:
    names = " or ".join(entry.name for entry in FORMATS)
    if path.is_dir():
        return VolumeError(
            path,
            "no DICOM file was found in the folder",
            "Choose the folder of a CT series, or name a scan's file",
        )
    if path.stat().st_size == 0:
        return VolumeError(path, "the file is empty", "Copy or export it again")
    return VolumeError(
        path,
        f"it does not begin like a {names} file",
        f"Give a {names} file; if its name says it is one, it is damaged: copy it again",
    )
