"""Paths in a review's file, so that the group may mount its folder wherever it likes."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

#: So many folders above the review's own still count as near it.
_NEAR = 3
#: From the root, or from a drive of Windows on, wherever this runs.
_WHOLE = re.compile(r"/|[A-Za-z]:[/\\]")


class StoredPaths:
    """Writes paths into a review's file, and reads them back.

    A path under the review's folder, or under one at most three above it, is written from that
    folder on, with slashes; any other is written whole.

    Parameters
    ----------
    folder
        The review's.
    """

    def __init__(self, folder: Path) -> None:
        # Without links: ".." means another folder on either side of one.
        self._folder = folder.resolve()
        self._resolved = lru_cache(maxsize=4096)(Path.resolve)

    def to_text(self, path: Path) -> str:
        """Give what to write for a path; a relative one counts from where the program runs."""
        whole = Path(os.path.normpath(path.absolute()))
        # The last part may be a link that stands for the file, and stays.
        real = self._resolved(whole.parent) / whole.name
        try:
            common = Path(os.path.commonpath([real, self._folder]))
        except ValueError:  # drives of Windows
            return whole.as_posix()
        up = len(self._folder.parts) - len(common.parts)
        if up > _NEAR or common == Path(common.anchor):
            return whole.as_posix()
        return Path(*[".."] * up, *real.parts[len(common.parts) :]).as_posix()

    def to_path(self, text: str) -> Path:
        """Give the path that was written, from where the review lies now."""
        if _WHOLE.match(text):
            return Path(text)
        return Path(os.path.normpath(f"{self._folder}/{text}"))
