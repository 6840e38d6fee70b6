"""Keep the warnings of the DICOM libraries to ourselves while we read and write.

They quote header values, the patient's name among them, and would reach the console, log files
and napari's notifications. What a user needs to know of a file is said in its notes.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOGGERS = ("pydicom", "highdicom", "highdicom.base", "highdicom.image")
"""A filter acts on what is logged under its logger's very name."""

_state = threading.local()


def be_quiet() -> None:
    """Silence this thread for good, as the `initializer` of a pool of threads that only read."""
    _silence()
    _state.depth = _depth() + 1


@contextmanager
def quietly() -> Iterator[None]:
    """Silence this thread, and no other, within the block."""
    be_quiet()
    try:
        yield
    finally:
        _state.depth -= 1


def _depth() -> int:
    return getattr(_state, "depth", 0)


class _Here:
    """Stands where a filter of warnings has the regular expression for their text.

    `warnings.catch_warnings` would not do: it changes the filters of all threads, and puts back
    the wrong ones where two threads overlap.
    """

    def match(self, _text: str) -> bool:
        return _depth() > 0


_FILTER: Any = ("ignore", _Here(), UserWarning, None, 0)


def _filter(_record: logging.LogRecord) -> bool:
    return _depth() == 0


def _silence() -> None:
    """Put the filters in front, once more if somebody has put others there."""
    filters: Any = warnings.filters
    if not filters or filters[0] is not _FILTER:
        filters.insert(0, _FILTER)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)  # but once
