"""The least and the greatest number of an array, looked for while the array is being filled."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt


class Ends:
    """Finds the ends of the range in a thread of its own, while the next bytes are unpacked.

    Afterwards, in memory that has long left the cache, the same would take another tenth of the
    time of a whole reading. To be used as a context.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._found: list[Future[tuple[Any, Any]]] = []

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def look_at(self, part: npt.NDArray[Any]) -> None:
        """Take in a part of the array that will not change any more."""
        self._found.append(self._pool.submit(_ends, part))

    def result(self) -> tuple[Any, Any]:
        """Wait for the least and the greatest number of all parts; NaN if one of them is."""
        lows, highs = zip(*(found.result() for found in self._found), strict=True)
        return np.min(lows), np.max(highs)


def _ends(part: npt.NDArray[Any]) -> tuple[Any, Any]:
    return part.min(), part.max()
