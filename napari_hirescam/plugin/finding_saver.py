"""Saving the plot and the table of a finding: asking where, and before anything is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop, tell_error

if TYPE_CHECKING:
    from napari_hirescam.evaluation.findings import Finding


class FindingSaver(QObject):
    """Writes a finding in a thread.

    Parameters
    ----------
    parent
        The widget dialogs belong to.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._widget = parent
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)

    @property
    def job(self) -> Job | None:
        """The saving that is going on."""
        return self._current.job

    def ask_and_save(self, finding: Finding) -> None:
        """Ask for a folder, and before replacing files in it; then save."""
        from napari_hirescam.evaluation.report import report_file_names

        if self._current.job is not None:
            show_info("A plot is still being saved; save this one when that is done.")
            return
        name = QFileDialog.getExistingDirectory(self._widget, "Folder for the plot and the table")
        if not name:
            return
        folder, about = Path(name), finding.subject
        names = report_file_names(about.ct, about.label, about.method, finding.key)
        there = [file for file in names if (folder / file).exists()]
        if there and not self._may_replace(folder, there):
            return
        self.save(finding, folder, overwrite=bool(there))

    def save(self, finding: Finding, folder: Path, *, overwrite: bool = False) -> None:
        """Write table, plot and facts in a thread."""
        if self._current.job is not None:
            return

        def work(_progress: Progress, _should_stop: ShouldStop) -> list[Path]:
            from napari_hirescam.evaluation.report import save_finding

            return save_finding(finding, folder, overwrite=overwrite)

        self._current.job = job = Job(work, subject=str(folder))
        job.succeeded.connect(self._on_saved)
        job.failed.connect(tell_error)
        job.ended.connect(self._on_ended)
        job.start()

    def abandon(self) -> None:
        """Hear no more of what is being saved."""
        self._current.abandon()

    def _may_replace(self, folder: Path, names: list[str]) -> bool:
        answer = QMessageBox.question(
            self._widget,
            "Replace files?",
            f"{folder} already holds {', '.join(names)}. Replace them?",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _on_saved(self, files: list[Path]) -> None:
        show_info(f"Saved {', '.join(file.name for file in files)} in {files[-1].parent}.")

    def _on_ended(self) -> None:
        self._current.job = None
