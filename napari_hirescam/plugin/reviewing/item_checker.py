"""Running the automatic checks on the mask that is on the screen, in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop

if TYPE_CHECKING:
    from napari_hirescam.review.checks import Scan
    from napari_hirescam.review.item import MaskFacts
    from napari_hirescam.review.loading import CtKey, LoadedItem


class ItemChecker(QObject):
    """Checks one mask at a time; a new one drops the one before."""

    #: Carries the item's number and its MaskFacts.
    checked = Signal(int, object)
    #: Carries a HirescamError.
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._current = CurrentJob()
        self._number = 0
        # What is worked out of a CT once, and serves all its masks.
        self._scan: tuple[CtKey, Scan] | None = None
        self.destroyed.connect(self._current.abandon)

    def check(self, loaded: LoadedItem) -> None:
        """Check the mask of an item."""
        self._current.abandon()
        self._number = loaded.item.number
        known = self._scan[1] if self._scan and self._scan[0] == loaded.ct_key else None

        def work(_progress: Progress, should_stop: ShouldStop) -> tuple[CtKey, Scan, MaskFacts]:
            from napari_hirescam.review.checks import check_mask, survey_scan

            if loaded.mask is None:
                raise ValueError("there is no mask to check")
            scan = known or survey_scan(loaded.ct, find=True, should_stop=should_stop)
            facts = check_mask(
                loaded.ct,
                loaded.mask,
                loaded.item.target,
                others=loaded.others,
                scan=scan,
                should_stop=should_stop,
            )
            return loaded.ct_key, scan, facts

        job = self._current.job = Job(
            work,
            f"the checks of item {self._number}",
            doing=f"checking the mask of item {self._number}",
        )
        job.succeeded.connect(self._on_checked)
        job.failed.connect(self._on_failed)
        job.start()

    def abandon(self) -> None:
        """Stop checking, and report nothing."""
        self._current.abandon()

    def forget(self) -> None:
        """Stop checking and keep nothing."""
        self.abandon()
        self._scan = None

    def _on_checked(self, found: tuple[CtKey, Scan, MaskFacts]) -> None:
        self._current.job = None
        key, scan, facts = found
        self._scan = key, scan
        self.checked.emit(self._number, facts)

    def _on_failed(self, error: object) -> None:
        self._current.job = None
        self.failed.emit(error)
