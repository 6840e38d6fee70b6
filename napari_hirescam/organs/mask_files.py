"""Organ regions that somebody else drew, brought onto the grid of their CT."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from napari_hirescam.organs.organ_map import OrganMap
from napari_hirescam.organs.organ_tables import OrganTable
from napari_hirescam.volume import Volume


def read_organs(
    path: str | Path,
    table: OrganTable | None = None,
    ct: Volume | None = None,
    *,
    wanted: Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> OrganMap:
    """Read organ masks: a label map, or a folder with one file for each organ.

    Parameters
    ----------
    path
        A file that `read_volume` reads as labels; or a folder of such files, each called after its
        organ, as TotalSegmentator writes them.
    table
        Organ -> values of a label map. None takes the names in the file, or, for a file that
        holds one organ, the file's own name.
    ct
        The CT that they lie on; None leaves them on their own grid.
    wanted
        Organs that are needed, so that not every file of a folder is read. None reads all.
    progress
        Called with (done, total).
    should_stop
        Asked while reading.

    Returns
    -------
    The regions on the grid of the CT. Masks on another grid that reaches over all of the CT are
    resampled, nearest, and `notes` says so.

    Raises
    ------
    VolumeError
        A file cannot be read.
    OrganError
        It holds no labels, it is not said which value is which organ, an organ that is wanted is
        missing, or it does not lie where the CT lies.
    Cancelled
        If `should_stop` answered True.
    """
    raise NotImplementedError
