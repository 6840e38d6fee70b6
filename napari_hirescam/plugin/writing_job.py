"""Writing a layer in a thread, while its window goes on: shown, and told when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari.utils import progress
from napari.utils.notifications import show_info

from napari_hirescam.errors import VolumeError
from napari_hirescam.plugin.jobs import Job, Progress, ShouldStop, tell_error

_under_way: set[Path] = set()


def patient_note(files: Sequence[Path]) -> str:
    """Say, if it is so, that files name the patient, as DICOM demands and nothing else does."""
    if not any(file.suffix.lower() == ".dcm" for file in files):
        return ""
    return " As DICOM it names the patient, like the CT it lies on: mind whom you give it to."


def write_in_thread(file: Path, write: Callable[[], Path]) -> None:
    """Write a file in a thread; GUI thread only.

    napari's activity dock shows that it is written, and a notification says when it is, or why
    not. It cannot be stopped half-way: a window that is closed meanwhile asks first, and
    the program ends when the file is whole.

    Parameters
    ----------
    file
        What is written.
    write
        Writes it whole or not at all.

    Raises
    ------
    VolumeError
        If it is being written already.
    """
    place = file.absolute()
    if place in _under_way:
        raise VolumeError(file, "it is just being written", "Save it again when that is done")

    def work(_progress: Progress, _should_stop: ShouldStop) -> Path:
        return write()

    def end() -> None:
        _under_way.discard(place)
        shown.close()

    def tell() -> None:
        show_info(f"Saved {file.name} in {place.parent}.{patient_note([file])}")

    job = Job(work, subject=str(file), doing=f"saving {file.name}")
    job.succeeded.connect(tell)
    job.cancelled.connect(tell)  # a wish to stop comes too late, and the file is there
    job.failed.connect(tell_error)
    job.ended.connect(end)
    _under_way.add(place)
    shown = progress(total=0, desc=f"Saving {file.name}")
    job.start()
