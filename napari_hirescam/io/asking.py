"""What a reader asks back: which of several things to read, and whether it may mend one.

The library raises the question as an error that carries the answers; the window turns it into
a dialog, the command line into a list and an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import VolumeError
from napari_hirescam.source import Repair
from napari_hirescam.volume import Grid


@dataclass(frozen=True)
class Item:
    """One thing under a path that can be read by itself: a series, a phase, a volume, a mask.

    Parameters
    ----------
    key
        What `read_volume` takes as `series` to read it; unique under its path.
    title
        For people: series description, array name, "phase 2 of 3".
    kind
        "CT", "MR", "SEG", "localizer", "image", "labels", ...
    n_slices
        Number of slices or files; 0 if unknown before reading.
    spacing_mm
        Between slices, rows and columns; None if unknown before reading.
    size
        Rows and columns; None if unknown.
    kernel
        Convolution kernel, "" if none is named.
    number
        Series number, "" if none.
    facts
        Further columns worth showing. Nothing that identifies the patient.
    needs
        Repairs that reading it would ask for; any one of them will do.
    grid
        The grid that reading will give, as far as headers tell it; None for DICOM, and where
        the scan must be resampled.
    problem
        Why it cannot be read, or what `needs` is about; "" if it reads as it is.
    """

    key: str
    title: str
    kind: str
    n_slices: int = 0
    spacing_mm: tuple[float, float, float] | None = None
    size: tuple[int, int] | None = None
    kernel: str = ""
    number: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[Repair, ...] = ()
    problem: str = ""
    grid: Grid | None = field(default=None, compare=False)

    @property
    def is_readable(self) -> bool:
        """True if it can be read, with a repair perhaps."""
        return not self.problem or bool(self.needs)


@dataclass(frozen=True, eq=False)
class Picture:
    """One slice to look at: a thumbnail, or the first picture of a scan that is being read.

    Parameters
    ----------
    grey
        [row, column], 0 black to 255 white, head up or radiological.
    pixel_mm
        Height and width of a pixel, or (1, 1) if unknown.
    """

    grey: npt.NDArray[np.uint8]
    pixel_mm: tuple[float, float] = (1.0, 1.0)


class ChoiceNeededError(VolumeError):
    """Several things could be meant; `items` are they, each with the key to ask for it."""

    def __init__(self, subject: str | Path, reason: str, remedy: str, items: tuple[Item, ...]):
        super().__init__(subject, reason, remedy)
        self.items = items

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.reason, self.remedy, self.items)


class ConsentNeededError(VolumeError):
    """The scan can be read only with a repair; each of `repairs` would do alone."""

    def __init__(self, subject: str | Path, reason: str, remedy: str, repairs: tuple[Repair, ...]):
        super().__init__(subject, reason, remedy)
        self.repairs = repairs

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.reason, self.remedy, self.repairs)
