"""Scan a path for DICOM series once, and remember the last scan.

A folder is asked for its list, for pictures of each series and for one of them in turn; reading
twenty thousand headers each time would not do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.decode import stored_pixels
from napari_hirescam.io.dicom.files import find_slices
from napari_hirescam.io.dicom.identity import without_identity
from napari_hirescam.io.dicom.series import Series, group
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.reading import Reading

_JUST_NOW_S = 2.0

_Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Scan:
    """What was found under a path.

    Parameters
    ----------
    path
        The path.
    series
        In the order of their numbers.
    damaged
        Files that could not be understood.
    """

    path: Path
    series: tuple[Series, ...]
    damaged: tuple[VolumeError, ...]


_last: tuple[Path, _Signature, Scan] | None = None


def scan(path: Path, reading: Reading) -> Scan:
    """Find the series under a path.

    Raises
    ------
    VolumeError
        If there is no DICOM file that can be understood.
    Cancelled
        If the caller asked to stop.
    """
    global _last
    began = time.time()
    signature = tuple(_files(path, reading))
    if _last is not None and _last[:2] == (path, signature):
        return _last[2]
    found = find_slices(path, reading)
    if not found.headers:
        if found.damaged:
            raise found.damaged[0]
        raise VolumeError(path, "the folder holds no DICOM file", "Choose another folder")

    def pixels(header: SliceHeader) -> npt.NDArray[Any]:
        reading.check_stop()
        return stored_pixels(header)

    series = group(path, found.headers, found.damaged, pixels)
    result = Scan(path, tuple(map(without_identity, series)), found.damaged)
    # A file that is being written may change again without its time stamp telling.
    newest = max((changed for _, changed, _ in signature), default=0)
    if newest < (began - _JUST_NOW_S) * 1e9:
        _last = path, signature, result
    return result


def _files(path: Path, reading: Reading) -> Iterator[tuple[str, int, int]]:
    """Name, time of change and size of all that the result of a scan may depend on."""
    if path.is_dir():
        folders = [str(path)]
    else:
        about = path.stat()
        yield str(path), about.st_mtime_ns, about.st_size
        folders = [str(path.parent)]
    nested = path.is_dir() or path.name.upper() == "DICOMDIR"
    while folders:
        reading.check_stop()
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    if nested:
                        folders.append(entry.path)
                    continue
                try:
                    status = entry.stat()
                except OSError:  # a link to nothing or to itself
                    continue
                yield entry.path, status.st_mtime_ns, status.st_size
