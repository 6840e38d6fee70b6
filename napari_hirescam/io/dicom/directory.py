"""The files a DICOMDIR names: DICOM PS3.10 8, PS3.3 F."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_hirescam.errors import VolumeError

_MANY = 5


def referenced_files(path: Path) -> tuple[list[Path], tuple[VolumeError, ...]]:
    """List the files a DICOMDIR names, in its order.

    Returns
    -------
    The files that are there, and an error that names those that are not.

    Raises
    ------
    VolumeError
        If it cannot be understood, or names files outside its folder.
    """
    import pydicom

    try:
        dataset = pydicom.dcmread(path, force=True)
        records = [
            (str(record.get("DirectoryRecordType", "")), record.get("ReferencedFileID"))
            for record in dataset.get("DirectoryRecordSequence") or ()
        ]
    except Exception as exc:  # damaged, pydicom raises anything
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise VolumeError(
            path,
            f"the DICOMDIR cannot be understood ({exc})",
            "Open the folder it lies in instead",
        ) from exc
    files: dict[Path, None] = {}
    missing: list[str] = []
    listings: dict[Path, dict[str, Path]] = {}
    for kind, file_id in records:
        if not file_id:
            continue
        parts = [file_id] if isinstance(file_id, str) else [str(part) for part in file_id]
        found = _resolved(path, parts, listings)
        if found is None:
            missing.append(f"{'/'.join(parts)} ({kind.lower() or 'file'})")
        else:
            files[found] = None
    if not files and not missing:
        raise VolumeError(path, "the DICOMDIR names no files", "Open the folder it lies in instead")
    return list(files), _missing(path, missing)


def _missing(path: Path, names: list[str]) -> tuple[VolumeError, ...]:
    if not names:
        return ()
    listed = ", ".join(names[:_MANY]) + (", ..." if len(names) > _MANY else "")
    count = "1 file that is" if len(names) == 1 else f"{len(names)} files that are"
    error = VolumeError(
        path, f"it names {count} not there: {listed}", "Copy the whole disc or folder again"
    )
    return (error,)


def _resolved(path: Path, parts: list[str], listings: dict[Path, dict[str, Path]]) -> Path | None:
    """Find a file by its id, whatever the case its name is written in on this disk."""
    # Some writers put a whole path into one component.
    split = [piece for part in parts for piece in part.replace("\\", "/").split("/") if piece]
    if not split or any(piece in {".", ".."} or ":" in piece for piece in split):
        raise VolumeError(
            path,
            f"it names a file outside its folder ({'/'.join(parts)[:80]})",
            "Open the folder of the images itself",
        )
    here = path.parent
    for piece in split:
        entries: Any = listings.get(here)
        if entries is None:
            if not here.is_dir():
                return None
            entries = listings[here] = {_plain(entry.name): entry for entry in here.iterdir()}
        exact = here / piece
        here = exact if exact.exists() else entries.get(_plain(piece), exact)
    return here if here.is_file() else None


def _plain(name: str) -> str:
    """A name without what ISO 9660 discs change: case, version number, final dot."""
    return name.upper().split(";")[0].rstrip(".")
