"""Arrays that are costly to make, kept in memory and on disk, within bounds."""

from __future__ import annotations

import errno
import logging
import os
import time
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

Arrays = dict[str, npt.NDArray[Any]]
# Files written between two looks at what others have put into the folder.
_LOOK_EVERY = 100
# Nobody takes a day to write one.
_SURELY_LEFT_S = 24 * 3600


class SampleCache:
    """A store by key that may forget, and never gives back anything but what was put.

    Each process that reads cases has one; those of one folder share what is on disk. What is
    there first stays: in a training each case is asked for once an epoch, so that throwing out
    the oldest would throw out everything before it is asked for again.

    Parameters
    ----------
    ram_bytes
        Most that is held in memory.
    folder
        Where it is kept on disk; None for nowhere.
    disk_bytes
        Most that the folder may hold.
    """

    def __init__(
        self, ram_bytes: float = 0, folder: Path | None = None, disk_bytes: float = 0
    ) -> None:
        self._room = ram_bytes
        self._held: dict[str, Arrays] = {}
        self._folder = folder
        self._disk_bytes = disk_bytes
        self._used = 0
        self._puts = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what is held in memory: a worker makes its own."""
        return {**vars(self), "_held": {}}

    def get(self, key: str) -> Arrays | None:
        """Give back what was put under a key, or None if it was not kept."""
        found = self._held.get(key)
        if found is None and self._folder is not None:
            found = self._read(self._folder / f"{key}.npz")
            if found is not None:
                self._hold(key, found)
        return found

    def put(self, key: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep arrays if there is room.

        Parameters
        ----------
        key
            A hash of all that they depend on; the name of the file.
        arrays
            Without Python objects in them.
        """
        own = dict(arrays)
        self._hold(key, own)
        if self._folder is not None:
            self._write(self._folder, key, own)

    def _hold(self, key: str, arrays: Arrays) -> None:
        size = sum(array.nbytes for array in arrays.values())
        if key not in self._held and size <= self._room:
            for array in arrays.values():
                array.setflags(write=False)
            self._held[key] = arrays
            self._room -= size

    @staticmethod
    def _read(file: Path) -> Arrays | None:
        try:
            # Opened here: of what is no archive, numpy leaves the file open.
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                return {name: content[name] for name in content.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as exc:
            # Cut short by a full disk or a fallen machine; each member has a checksum.
            logger.warning("%s in the cache is damaged and is made anew: %s", file.name, exc)
            file.unlink(missing_ok=True)
            return None

    def _write(self, folder: Path, key: str, arrays: Arrays) -> None:
        file = folder / f"{key}.npz"
        size = sum(array.nbytes for array in arrays.values())
        part = folder / f".{key}.{uuid.uuid4().hex}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Looking through a large folder each time would take longer than writing.
            if self._puts % _LOOK_EVERY == 0:
                self._used = _bytes_in(folder)
            self._puts += 1
            if file.exists() or self._used + size > self._disk_bytes:
                return
            with part.open("xb") as stream:
                # Not compressed: reading back must be faster than making anew.
                save: Any = np.savez
                save(stream, **arrays)
            self._used += part.stat().st_size
            part.replace(file)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            logger.warning("the disk of the cache is full; it takes no more: %s", folder)
            self._disk_bytes = 0
        finally:
            part.unlink(missing_ok=True)


def _bytes_in(folder: Path) -> int:
    """Count what is there, and clear away what killed writers left half written."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                facts = entry.stat()
            except FileNotFoundError:  # renamed or removed by another process meanwhile
                continue
            if entry.name.endswith(".part") and time.time() - facts.st_mtime > _SURELY_LEFT_S:
                Path(entry.path).unlink(missing_ok=True)
            else:
                total += facts.st_size
    return total
