"""Answering a cancel at once, however long the layer that is running takes.

A forward pass can be left only between two layers, and one convolution over a large CT can take
seconds. So the work runs in a thread of its own; who waits for it asks whether to go on, and
leaves it behind if not. The thread then ends at the next layer; until it does it holds the
network (see :func:`napari_hirescam.models.borrow.borrowed`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from napari_hirescam.attention.stopping import Progress, ShouldStop
from napari_hirescam.errors import Cancelled

Result = TypeVar("Result")

_ASK_EVERY_S = 0.05
#: How long a cancelled thread is waited for, so that mostly nothing is left running.
_GRACE_S = 0.25


def cancel_promptly(
    work: Callable[[Progress, ShouldStop], Result],
    progress: Progress | None,
    should_stop: ShouldStop | None,
) -> Result:
    """Run `work` and return what it returns, or raise what it raises.

    Parameters
    ----------
    work
        Called with a progress and a should_stop of its own, in another thread.
    progress, should_stop
        The caller's; called in the caller's thread only, every 50 ms. Without `should_stop`
        there is nothing to wait for, and `work` runs in the caller's thread.

    Raises
    ------
    Cancelled
        `should_stop` said so; within half a second.
    """
    tell = progress or (lambda _done, _total: None)
    if should_stop is None:
        return work(tell, lambda: False)
    left_behind = threading.Event()
    finished = threading.Event()
    results: list[Result] = []
    failures: list[BaseException] = []
    latest: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        latest[:] = [(done, total)]

    def run() -> None:
        try:
            results.append(work(note, left_behind.is_set))
        except BaseException as exc:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(exc)
        finally:
            finished.set()

    thread = threading.Thread(target=copy_context().run, args=(run,), daemon=True)

    def go_on_or_cancel() -> None:
        if latest:
            tell(*latest.pop())
        if should_stop():
            raise Cancelled("the computation was cancelled")

    go_on_or_cancel()
    thread.start()
    try:
        while not finished.wait(_ASK_EVERY_S):
            go_on_or_cancel()
    except BaseException:
        left_behind.set()
        finished.wait(_GRACE_S)
        raise
    if latest:
        tell(*latest.pop())
    if failures:
        raise failures[0]
    return results[0]
