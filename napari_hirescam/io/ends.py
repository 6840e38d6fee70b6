"""The least and the greatest number of an array, looked for while the array is being filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Ends:
    """Takes in an array part by part, each as soon as it is there.

    Afterwards, in memory that has long left the processor's cache, the same would take another
    tenth of the time of a whole reading; in a second thread, it would wait for its turn.
    """

    def __init__(self) -> None:
        self._found: list[tuple[Any, Any]] = []

    def look_at(self, part: npt.NDArray[Any]) -> None:
        """Take in a part of the array that will not change any more."""
        self._found.append((part.min(), part.max()))

    def result(self) -> tuple[Any, Any]:
        """Give the least and the greatest number of all parts; NaN if one of them is."""
        lows, highs = zip(*self._found, strict=True)
        return np.min(lows), np.max(highs)
