"""Unpacking the real series, which come as archives."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a tar archive into a folder, which is made."""
    # Pythons before 3.11.4 know no filters.
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as opened:
        opened.extractall(folder, **options)  # noqa: S202 - our own test data
    return folder
