"""Making a review's file of a work list, with automatic checks where they are wanted."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam.errors import Cancelled, ReviewError
from napari_hirescam.review.answers import require_plan
from napari_hirescam.review.database import is_there
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item, MaskFacts
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.review.work_list import WorkList
from napari_hirescam.review.work_order import arrange

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]

#: Each holds a CT and what is worked out of it, 1 to 2 GB.
_MOST_PROCESSES = 4
_LOOK_EVERY_S = 0.2


def create_review(
    path: str | Path,
    plan: Plan,
    work_list: WorkList,
    *,
    check: bool = False,
    workers: int | None = None,
    note: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> ReviewFile:
    """Make a review's file of a work list.

    Parameters
    ----------
    path
        Where; nothing may be there.
    plan
        How it is done.
    work_list
        What is judged.
    check
        Whether the automatic checks run now; "worst_first" needs them and runs them always. Every
        CT and mask is then read once.
    workers
        Processes that check; None takes up to four, as many as there are cores; 1 checks in this
        process.
    note
        Told what the user should know: of repeats that found no place, say.
    progress
        Told (items checked, items).
    should_stop
        Asked in between; nothing is left behind.

    Raises
    ------
    ReviewError
        The file cannot be made there, or the plan makes no sense.
    Cancelled
        `should_stop` said so.
    """
    place = Path(path).expanduser().absolute()
    # What makes no sense is said before anything slow.
    _refuse_place(place)
    require_plan(plan, place)
    facts: dict[int, MaskFacts] = {}
    if check or plan.order == "worst_first":
        masks = [item for item in work_list.items if item.kind == "mask"]
        facts = check_all(masks, workers=workers, progress=progress, should_stop=should_stop)
    items, notes = arrange(work_list.items, plan, facts)
    for text in notes:
        if note is not None:
            note(text)
    if should_stop is not None and should_stop():
        raise Cancelled("making the review was stopped")
    review = ReviewFile.create(place, plan, items)
    with _closed_on_failure(review):
        _put_facts(review, work_list.items, items, facts)
    return review


def check_all(
    items: Sequence[Item],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[int, MaskFacts]:
    """Run the automatic checks on many masks.

    Parameters
    ----------
    items
        Masks; those of one CT share the reading of it.
    workers, progress, should_stop
        As for :func:`create_review`.

    Returns
    -------
    Number of the item -> what was found.

    Raises
    ------
    ReviewError
        A process that checks ended by itself.
    Cancelled
        `should_stop` said so.
    """
    from napari_hirescam.review.checks import check_items

    by_ct = sorted(items, key=lambda item: (str(item.ct), item.series, item.number))
    groups = [list(same) for _, same in groupby(by_ct, key=lambda item: (item.ct, item.series))]
    processes = min(workers or min(_cores(), _MOST_PROCESSES), len(groups))
    if processes <= 1:
        checked = check_items(by_ct, progress=progress, should_stop=should_stop)
        return {item.number: found for item, found in checked}
    facts: dict[int, MaskFacts] = {}
    # Forking a process that has threads, as a window has, may lock up.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_begin, initargs=(stop,)
    ) as pool:
        waiting = {pool.submit(_check_group, group) for group in groups}
        try:
            for found in _as_they_come(waiting, should_stop):
                facts |= found
                if progress is not None:
                    progress(len(facts), len(items))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return facts


def _as_they_come(
    waiting: set[Future[dict[int, MaskFacts]]], should_stop: ShouldStop | None
) -> Iterator[dict[int, MaskFacts]]:
    while waiting:
        done, waiting = wait(waiting, _LOOK_EVERY_S, FIRST_COMPLETED)
        if should_stop is not None and should_stop():
            raise Cancelled("the checks were stopped")
        for future in done:
            yield _answer(future)


def _answer(future: Future[dict[int, MaskFacts]]) -> dict[int, MaskFacts]:
    try:
        return future.result()
    except BrokenProcessPool as exc:
        raise ReviewError(
            "checks",
            "a process that checks masks ended by itself, for want of memory perhaps",
            "Check with fewer processes, or leave the checks to the window",
        ) from exc


_stop: Event | None = None


def _begin(stop: Event) -> None:
    """Keep, in a process that checks, what tells it to end."""
    global _stop
    _stop = stop


def _check_group(items: Sequence[Item]) -> dict[int, MaskFacts]:
    from napari_hirescam.review.checks import check_items

    should_stop = _stop.is_set if _stop is not None else None
    return {item.number: facts for item, facts in check_items(items, should_stop=should_stop)}


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _refuse_place(place: Path) -> None:
    if is_there(place):
        raise ReviewError(place, "there is a file of this name", "Choose another name")
    if not place.parent.is_dir():
        raise ReviewError(place, "its folder is not there", "Make the folder, or choose another")


def _put_facts(
    review: ReviewFile,
    planned: Sequence[Item],
    arranged: Sequence[Item],
    facts: Mapping[int, MaskFacts],
) -> None:
    number_of = {(item.case, item.kind, item.target): item.number for item in planned}
    for item in arranged:
        found = facts.get(number_of[item.case, item.kind, item.target])
        if found is not None:
            review.put_facts(item.number, found)


@contextmanager
def _closed_on_failure(review: ReviewFile) -> Iterator[None]:
    """Leave no file behind that lacks a part."""
    try:
        yield
    except BaseException:
        review.close()
        review.path.unlink(missing_ok=True)
        raise
