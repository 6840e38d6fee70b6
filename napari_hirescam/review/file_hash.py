"""The hash by which a file is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from napari_hirescam.errors import Cancelled

_CHUNK_BYTES = 1 << 20


def file_sha256(file: Path, *, should_stop: Callable[[], bool] | None = None) -> str:
    """SHA-256 of what a file holds, in hexadecimal.

    Raises
    ------
    OSError
        It cannot be read.
    Cancelled
        If `should_stop`, asked every MiB, answered True.
    """
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            if should_stop is not None and should_stop():
                raise Cancelled("reading was stopped")
            content.update(chunk)
    return content.hexdigest()
