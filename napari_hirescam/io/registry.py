"""The formats this package reads, told apart by what the files hold, not by their names.

A new format is one module with a `sniff` and a `read`, and one line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.errors import VolumeError
from napari_hirescam.io import dicom, nifti
from napari_hirescam.io.reading import ProgressCallback, Reading, StopCallback
from napari_hirescam.volume import Volume

_HEAD_BYTES = 4096


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
        Turns the path into a volume or raises `VolumeError`.
    """

    name: str
    sniff: Callable[[Path, bytes], bool]
    read: Callable[[Path, Reading], Volume]


FORMATS: tuple[Format, ...] = (
    Format("NIfTI", nifti.sniff, nifti.read),
    Format("DICOM", dicom.sniff, dicom.read),
)


def _find_format(path: Path) -> Format | None:
    head = b""
    if not path.is_dir():
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
    progress: ProgressCallback | None = None,
    should_stop: StopCallback | None = None,
) -> Volume:
    """Read a CT, or a mask on its grid, from a NIfTI file or a DICOM series.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file, a folder with DICOM files (at any depth), or one file
        of a DICOM series, whose whole series is then read from the same folder.
    series
        Which DICOM series: its UID, the beginning of it, or its number. By default the CT
        series with the most slices; the others are named in the volume's notes.
    progress
        Called with (done, total): bytes of a NIfTI file, slices of a DICOM series.
    should_stop
        Asked every few megabytes or slices whether to give up.

    Returns
    -------
    The volume along (I, P, L) mm, with the stored grid and every remark in its `source`.

    Raises
    ------
    VolumeError
        If the path does not hold a sound volume; says what is wrong and what helps.
    Cancelled
        If `should_stop` answered True.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise VolumeError(path, "there is no such file or folder", "Check the path")
        found = _find_format(path)
        if found is None:
            raise _unknown(path)
        return found.read(path, Reading(series, progress, should_stop))
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
            path, "no DICOM file was found in the folder", "Choose the folder of a CT series"
        )
    if path.stat().st_size == 0:
        return VolumeError(path, "the file is empty", "Copy or export it again")
    return VolumeError(
        path,
        f"it does not begin like a {names} file",
        f"Give a {names} file; if its name says it is one, it is damaged: copy it again",
    )
