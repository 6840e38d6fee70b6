"""What a caller asks of a reader, and the road back for its progress."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io.asking import Picture
from napari_hirescam.source import Repair

PictureCallback = Callable[[Picture], None]
ProgressCallback = Callable[[int, int], None]
StopCallback = Callable[[], bool]

_LINUX_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Reading:
    """One request to read a volume.

    Parameters
    ----------
    series
        Which of several things under the path: the key of an item; for a DICOM series also the
        beginning of its UID, or its number. None if there is but one to choose.
    allow
        Repairs the user agreed to.
    progress
        Called with (done, total), in bytes or slices.
    should_stop
        Asked between steps; the reader gives up when it answers True.
    preview
        Called as soon as there is a slice to show, before the rest is read.
    """

    series: str | None = None
    allow: frozenset[Repair] = frozenset()
    progress: ProgressCallback | None = None
    should_stop: StopCallback | None = None
    preview: PictureCallback | None = None

    def check_stop(self) -> None:
        """Raise :class:`Cancelled` if the caller no longer wants the volume."""
        if self.should_stop is not None and self.should_stop():
            raise Cancelled("reading was stopped")

    def share(self, first: float, last: float) -> Reading:
        """Give a step of the reading its part, from 0 to 1, of the whole progress."""
        whole, report = 1000, self.progress
        if report is None:
            return self

        def part(done: int, total: int) -> None:
            report(round(whole * (first + (last - first) * done / max(total, 1))), whole)

        return replace(self, progress=part)

    def step(self, done: int, total: int) -> None:
        """Report progress and honour a wish to stop."""
        self.check_stop()
        if self.progress is not None:
            self.progress(done, total)


def available_memory() -> int | None:
    """Bytes that could be allocated now without swapping, or None where nothing tells."""
    # SC_AVPHYS_PAGES leaves out the page cache, so it would refuse ordinary files on a
    # machine that has been reading for a while; the kernel's own estimate does not.
    if _LINUX_MEMORY.exists():
        for line in _LINUX_MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def check_memory(subject: Path, needed: int) -> None:
    """Refuse a volume before allocating it if it cannot fit into memory.

    Parameters
    ----------
    subject
        The file the volume comes from.
    needed
        Bytes that reading it takes at its peak.

    Raises
    ------
    VolumeError
        If fewer bytes are available.
    """
    available = available_memory()
    if available is not None and needed > available:
        raise VolumeError(
            subject,
            f"reading it takes {needed / 2**30:.1f} GiB of memory and only "
            f"{available / 2**30:.1f} GiB are free",
            "Close other programs, or crop or resample the volume first",
        )
