"""Reading items in threads: the one that is wanted now, and the next while this is looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_hirescam.errors import HirescamError, ReviewError
from napari_hirescam.plugin.jobs import CurrentJob, Job, Progress, ShouldStop

if TYPE_CHECKING:
    from napari_hirescam.review.item import Item
    from napari_hirescam.review.loading import LoadedItem

#: What is kept besides the item on the screen: six whole chests of 512 x 512 x 300.
MOST_BYTES = 1_200_000_000
_BETWEEN_NEWS_S = 0.1


class ItemLoader(QObject):
    """Loads items; keeps a few of them, and never reads a CT again that is still there.

    At most one thread reads at a time: two would read from one disk no sooner.

    Parameters
    ----------
    most_bytes
        What is kept, the item that was asked for last excepted.
    """

    #: Carries the LoadedItem that was asked for.
    loaded = Signal(object)
    #: Carries the item that was asked for, and a HirescamError.
    failed = Signal(object, object)
    #: Carries (done, total) of what is being read for the screen.
    progressed = Signal(int, int)

    def __init__(self, parent: QObject | None = None, *, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(parent)
        self._most_bytes = most_bytes
        # The latest last.
        self._kept: dict[int, LoadedItem] = {}
        self._current = CurrentJob()
        self.destroyed.connect(self._current.abandon)
        self._reading: Item | None = None
        self._wanted: Item | None = None
        self._next: list[Item] = []
        # Items that could not be read ahead; why is told when their turn comes.
        self._tried: set[int] = set()
        self._shown = 0

    @property
    def waiting(self) -> bool:
        """True while the screen waits for what was asked for."""
        return self._wanted is not None

    def has(self, number: int) -> bool:
        """Tell whether an item could be shown at once."""
        return number in self._kept

    def load(self, item: Item) -> None:
        """Load an item for the screen; `loaded` comes at once if it is there already."""
        self._next = []
        self._tried.discard(item.number)
        kept = self._kept.pop(item.number, None)
        if kept is not None:
            self._kept[item.number] = kept
            self._wanted, self._shown = None, item.number
            self.loaded.emit(kept)
            return
        self._wanted = item
        if self._reading is None or self._reading.number != item.number:
            self._read(item)

    def prefetch(self, *items: Item | None) -> None:
        """Load these, one after the other, as soon as nothing else is asked for."""
        self._next = [one for one in items if one is not None]
        self._go_on()

    def forget(self) -> None:
        """Stop reading and keep nothing."""
        self._current.abandon()
        self._reading = self._wanted = None
        self._next = []
        self._kept.clear()
        self._tried.clear()

    def _go_on(self) -> None:
        if self._reading is not None or self._wanted is not None:
            return
        waiting = (n for n in self._next if n.number not in self._kept)
        item = next((n for n in waiting if n.number not in self._tried), None)
        if item is not None:
            self._read(item)

    def _read(self, item: Item) -> None:
        self._current.abandon()
        self._reading = item
        previous = self._neighbour(item)
        job = self._current.job = Job(
            _reading_of(item, previous),
            f"item {item.number}",
            doing=f"reading item {item.number} of the review",
        )
        job.progressed.connect(self._on_progressed)
        job.succeeded.connect(self._on_loaded)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        job.start()

    def _neighbour(self, item: Item) -> LoadedItem | None:
        """Find what is kept of the same scan."""
        from napari_hirescam.review.loading import ct_key

        same = [one for one in self._kept.values() if one.ct_key == ct_key(item)]
        return same[-1] if same else None

    def _on_progressed(self, done: int, total: int) -> None:
        if self._wanted is not None:
            self.progressed.emit(done, total)

    def _on_loaded(self, loaded: LoadedItem) -> None:
        self._current.job = self._reading = None
        wanted = self._wanted is not None and self._wanted.number == loaded.item.number
        self._kept[loaded.item.number] = loaded
        if wanted:
            self._wanted, self._shown = None, loaded.item.number
        self._make_room(loaded)
        if wanted:
            self.loaded.emit(loaded)
        self._go_on()

    def _on_failed(self, error: HirescamError) -> None:
        item, self._reading = self._reading, None
        self._current.job = None
        if item is None:
            return
        if self._wanted is not None and self._wanted.number == item.number:
            self._wanted = None
            self.failed.emit(item, error)
        else:
            self._tried.add(item.number)
        self._go_on()

    def _on_cancelled(self) -> None:
        # napari's own list of tasks can end it too.
        self._current.job = self._reading = None
        if self._wanted is not None:
            item, self._wanted = self._wanted, None
            error = ReviewError(f"item {item.number}", "reading it was stopped", "Choose it again")
            self.failed.emit(item, error)

    def _make_room(self, newest: LoadedItem) -> None:
        """Forget the oldest until the rest fits; never the newest, nor what is on the screen."""
        for number in list(self._kept):
            if _size(self._kept.values()) <= self._most_bytes:
                return
            if number not in {newest.item.number, self._shown}:
                del self._kept[number]


def _reading_of(
    item: Item, previous: LoadedItem | None
) -> Callable[[Progress, ShouldStop], LoadedItem]:
    def read(progress: Progress, should_stop: ShouldStop) -> LoadedItem:
        from napari_hirescam.review.loading import load_item

        told = -_BETWEEN_NEWS_S

        def now_and_then(done: int, total: int) -> None:
            # Whenever the window is told, it and this thread wait for each other.
            nonlocal told
            if time.monotonic() - told >= _BETWEEN_NEWS_S:
                told = time.monotonic()
                progress(done, total)

        return load_item(item, previous=previous, progress=now_and_then, should_stop=should_stop)

    return read


def _size(kept: Iterable[LoadedItem]) -> int:
    """Add up what items hold; arrays that several share count once."""
    arrays: dict[int, int] = {}
    for one in kept:
        held = [one.ct.voxels]
        if one.mask is not None:
            held.append(one.mask)
        if one.others is not None:
            held.append(one.others.labels)
        arrays |= {id(array): array.nbytes for array in held}
    return sum(arrays.values())
