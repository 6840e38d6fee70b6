"""Saving the shown maps: asking where, asking before anything is replaced, writing in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from napari_hirescam.errors import HirescamError
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error
from napari_hirescam.plugin.writing_job import patient_note

if TYPE_CHECKING:
    from napari_hirescam.attention.export import MapFormat
    from napari_hirescam.attention.result import Explanation, PlacementName
    from napari_hirescam.volume import Volume

_FORMATS: dict[str, MapFormat] = {
    "NIfTI (.nii.gz)": "nii.gz",
    "NRRD (.nrrd)": "nrrd",
    "DICOM Parametric Map over the CT's series (.dcm)": "dicom",
}


class MapSaver(QObject):
    """Writes maps of one explanation.

    Parameters
    ----------
    parent
        The widget dialogs belong to.
    """

    progressed = Signal(str, int, int)
    busy_changed = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._widget = parent
        self._last_format = ""  # the one chosen before is offered first
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)

    @property
    def job(self) -> Job | None:
        """The saving that is going on."""
        return self._current.job

    def ask_and_save(
        self,
        explanation: Explanation,
        volume: Volume,
        labels: Sequence[str],
        methods: Sequence[str],
        placement: PlacementName,
    ) -> None:
        """Ask for a format and a folder, and before replacing files in it; then save."""
        from napari_hirescam.attention.export import existing_files, map_file_names

        if self._current.job is not None:
            show_info("Maps are still being saved; save these when that is done.")
            return
        map_format = self._ask_format(volume)
        if map_format is None:
            return
        name = QFileDialog.getExistingDirectory(self._widget, "Folder for the maps")
        if not name:
            return
        folder = Path(name)
        names = map_file_names(volume.name, labels, methods, map_format)
        there = existing_files(folder, names.values())
        if there and not _may_replace(self._widget, folder, there):
            return
        self.save(
            explanation,
            volume,
            labels,
            methods,
            placement,
            folder,
            map_format=map_format,
            overwrite=bool(there),
        )

    def save(
        self,
        explanation: Explanation,
        volume: Volume,
        labels: Sequence[str],
        methods: Sequence[str],
        placement: PlacementName,
        folder: Path,
        *,
        map_format: MapFormat = "nii.gz",
        overwrite: bool = False,
    ) -> None:
        """Write the maps and the scores in a thread."""
        if self._current.job is not None:
            return

        def work(progress: Progress, should_stop: ShouldStop) -> list[Path]:
            from napari_hirescam.attention.export import save_maps

            return save_maps(
                explanation,
                volume,
                labels,
                methods,
                folder,
                map_format=map_format,
                overwrite=overwrite,
                placement=placement,
                progress=progress,
                should_stop=should_stop,
            )

        self._current.job = Job(work, subject=str(folder))
        self._current.job.progressed.connect(self._on_progress)
        self._current.job.succeeded.connect(self._on_saved)
        self._current.job.failed.connect(self._on_failed)
        self._current.job.ended.connect(self._on_ended)
        self.progressed.emit("Saving maps", 0, 0)
        self.busy_changed.emit()
        self._current.job.start()

    def _ask_format(self, volume: Volume) -> MapFormat | None:
        """Ask how to write; DICOM is offered over a CT that has a series."""
        has_series = volume.source is not None and bool(volume.source.frames)
        offered = [name for name, key in _FORMATS.items() if has_series or key != "dicom"]
        first = offered.index(self._last_format) if self._last_format in offered else 0
        name, agreed = QInputDialog.getItem(
            self._widget, "Save maps", "Format of the maps:", offered, first, False
        )
        if not agreed:
            return None
        self._last_format = name
        return _FORMATS[name]

    def abandon(self) -> None:
        """Stop what runs and report nothing any more."""
        self._current.abandon()

    def _on_progress(self, done: int, total: int) -> None:
        self.progressed.emit("Saving maps", done, total)

    def _on_saved(self, files: list[Path]) -> None:
        show_info(f"Saved {len(files)} files in {files[-1].parent}.{patient_note(files)}")

    def _on_failed(self, error: HirescamError) -> None:
        tell_error(error)

    def _on_ended(self) -> None:
        self._current.job = None
        self.busy_changed.emit()


def _may_replace(parent: QWidget, folder: Path, names: Sequence[str]) -> bool:
    answer = QMessageBox.question(
        parent,
        "Replace files?",
        f"{folder} already holds {', '.join(names)}. Replace them?",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
        QMessageBox.StandardButton.No,
    )
    return bool(answer == QMessageBox.StandardButton.Yes)
