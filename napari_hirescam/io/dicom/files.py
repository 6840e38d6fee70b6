"""Where the DICOM files are: in a folder, beside a file, in a DICOMDIR's list or in a zip."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.header import DIRECTORY_CLASS, HEAD_BYTES, is_dicom, read_headers
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.dicom.zip import holds_dicom_files, is_zip, unpacked
from napari_hirescam.io.quiet import be_quiet
from napari_hirescam.io.reading import Reading

_LOOK_AT_FILES = 2000
_READERS = 4
_AT_A_TIME = 16
_SLOW_S = 1e-3
_IMPATIENCE_S = 0.1


@dataclass(frozen=True)
class Found:
    """The slices under a path.

    Parameters
    ----------
    headers
        In the order of the files' names, the frames of a multi-frame file one after another.
    damaged
        What is wrong with each DICOM file that cannot be understood.
    n_other
        Files that are no DICOM and were passed over.
    """

    headers: tuple[SliceHeader, ...]
    damaged: tuple[VolumeError, ...]
    n_other: int = 0


def is_dicom_source(path: Path, head: bytes) -> bool:
    """Say whether a path is a DICOM file, or a folder or zip with one in it.

    Parameters
    ----------
    path
        File or folder.
    head
        The file's first bytes.
    """
    if path.is_dir():
        return holds_dicom(path)
    return is_dicom(head) or (is_zip(head) and holds_dicom_files(path))


def holds_dicom(folder: Path) -> bool:
    """Say whether there is a DICOM file among the first files of a folder."""
    for count, path in enumerate(_files(folder)):
        if count >= _LOOK_AT_FILES:
            return False
        with path.open("rb") as stream:
            if is_dicom(stream.read(HEAD_BYTES)):
                return True
    return False


def find_slices(path: Path, reading: Reading) -> Found:
    """Read the headers of all DICOM files under a path.

    Parameters
    ----------
    path
        A folder, searched at any depth; a zip of one; a DICOMDIR, for the files it names; or
        another file, for all of its own folder.
    reading
        Progress is reported in files.

    Raises
    ------
    VolumeError
        If the path itself cannot be understood: the file the user named, a damaged zip.
    Cancelled
        If the caller asked to stop.
    """
    if path.is_dir():
        return _read_all(_all_files(path, reading), reading)
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if is_zip(head):
        folder = unpacked(path, reading.share(0, 0.5))
        return _read_all(_all_files(folder, reading), reading.share(0.5, 1))
    own = read_headers(path)
    if own[0].sop_class_uid == DIRECTORY_CLASS:
        from napari_hirescam.io.dicom.directory import referenced_files

        files, missing = referenced_files(path)
        found = _read_all(files, reading)
        return Found(found.headers, (*missing, *found.damaged), found.n_other)
    siblings, _ = _listed(path.parent)
    found = _read_all([file for file in siblings if file != path], reading)
    headers = sorted((*own, *found.headers), key=lambda header: header.path.name)
    return Found(tuple(headers), found.damaged, found.n_other)


def _all_files(folder: Path, reading: Reading) -> list[Path]:
    files = []
    for file in _files(folder):
        reading.check_stop()
        files.append(file)
    return files


def _files(folder: Path, seen: set[str] | None = None) -> Iterator[Path]:
    """Go through the files under a folder in a stable order, each folder but once.

    Links are followed, so that a folder may be reached in two ways, or from within itself. A
    folder that may not be read is an `OSError`, not an empty one.
    """
    seen = set() if seen is None else seen
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    files, folders = _listed(folder)
    yield from files
    for inner in folders:
        yield from _files(inner, seen)


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files and folders in a folder, by name, without asking the disk about each.

    What is neither is left out: pipes, links to nowhere.
    """
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    return (
        [Path(entry.path) for entry in entries if _is(entry.is_file)],
        [Path(entry.path) for entry in entries if _is(entry.is_dir)],
    )


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link that leads in a circle
        return False


def _read_all(files: Sequence[Path], reading: Reading) -> Found:
    headers: list[SliceHeader] = []
    damaged: list[VolumeError] = []
    n_other = done = 0
    reading.step(0, len(files))
    for found, batch in _in_batches(files, reading):
        for result in found:
            if isinstance(result, VolumeError):
                damaged.append(result)
            elif result is None:
                n_other += 1
            else:
                headers += result
        done += len(batch)
        reading.step(done, len(files))
    return Found(tuple(headers), tuple(damaged), n_other)


def _in_batches(
    files: Sequence[Path], reading: Reading
) -> Iterator[tuple[list[_Result], Sequence[Path]]]:
    batches = [files[k : k + _AT_A_TIME] for k in range(0, len(files), _AT_A_TIME)]
    # The first batch tells how many threads to take: several for the wait of a network drive,
    # but one for the machine's own disk, where they would only take turns.
    n_readers = 1
    for part in (batches[:1], batches[1:]):
        pool = ThreadPoolExecutor(n_readers, initializer=be_quiet)
        try:
            futures = [pool.submit(_read, batch) for batch in part]
            for batch, future in zip(part, futures, strict=True):
                results, waited_s = _patiently(future, reading)
                yield results, batch
                if waited_s > _SLOW_S * len(batch):
                    n_readers = _READERS
        finally:
            # Not waited for: a file on a drive that hangs must not hold up a wish to stop.
            pool.shutdown(wait=False, cancel_futures=True)


_Result = tuple[SliceHeader, ...] | VolumeError | None


def _patiently(
    future: Future[tuple[list[_Result], float]], reading: Reading
) -> tuple[list[_Result], float]:
    while True:
        try:
            return future.result(timeout=_IMPATIENCE_S)
        except NotYetError:
            reading.check_stop()


def _read(files: Sequence[Path]) -> tuple[list[_Result], float]:
    """Read the headers of some files; also say how many seconds went by in waiting."""
    began = time.perf_counter() - time.thread_time()
    results: list[_Result] = []
    for path in files:
        try:
            found = read_headers(path, must_be_dicom=True)
        except VolumeError as exc:
            results.append(exc)
        else:
            is_directory = bool(found) and found[0].sop_class_uid == DIRECTORY_CLASS
            results.append(None if is_directory or not found else found)
    return results, time.perf_counter() - time.thread_time() - began
