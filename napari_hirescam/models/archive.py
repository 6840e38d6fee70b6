"""Model folders that travel as one zip: checked name by name, then unpacked once.

A zip can name places outside the folder it is unpacked into, claim to be small and swell, or
hold a name twice so that two readers see two things. All of that is refused before a byte is
written. What is unpacked lies in the user's cache, in a folder named by the zip's digest.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.weights import sha256_of

logger = logging.getLogger(__name__)

#: Bounds of what is unpacked: bytes in all, files, and swelling beyond what weights ever do.
MAX_BYTES = 8 << 30
MAX_FILES = 2000
_MAX_SWELLING = 200
_SWELLING_FROM = 64 << 20
_BLOCK = 1 << 20
#: What operating systems leave in zips without being asked.
_LITTER = re.compile(r"(^|/)(__MACOSX(/|$)|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")
# Drive letters, alternate streams, other separators, and what no file system shows.
_BAD_CHARACTERS = re.compile(r'[\\:\x00-\x1f<>"|?*]')
_DIGEST_LETTERS = 32
_FILE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def unpack(file: Path, markers: Collection[str]) -> Path:
    """Unpack a zipped model and return the folder that holds it.

    Parameters
    ----------
    file
        The zip.
    markers
        Paths of which one marks the wanted folder, 'model.yaml' say. It is looked for at the
        zip's root and in its one top folder.

    Raises
    ------
    ModelFileError
        Not a zip, damaged, unsafe, too large, or without any of `markers`.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _checked(archive.infolist(), file)
            top = _top_folder(entries, markers, file)
            return _unpacked_once(file, archive, entries) / top
    except FileNotFoundError as exc:
        raise ModelFileError(file, "there is no such file", "Choose a model folder") from exc
    except _FILE_ERRORS as exc:
        raise ModelFileError(
            file, f"it cannot be unpacked: {' '.join(str(exc).split())}", "Copy the zip again"
        ) from exc
    except OSError as exc:
        raise ModelFileError(
            file, f"it cannot be unpacked: {exc}", "Unzip it by hand and choose the folder"
        ) from exc


def _checked(found: list[zipfile.ZipInfo], file: Path) -> list[zipfile.ZipInfo]:
    """Return the entries that are files; refuse the zip if any entry is unsafe."""
    if len(found) > MAX_FILES:
        raise _unsafe(file, f"it holds {len(found)} files, and a model has at most {MAX_FILES}")
    entries = [e for e in found if not e.is_dir() and not _LITTER.search(e.filename)]
    seen: set[str] = set()
    for entry in found:
        _require_plain_name(entry, file)
    for entry in entries:
        key = entry.filename.casefold()
        if key in seen:
            raise _unsafe(file, f"it holds {entry.filename!r} twice")
        seen.add(key)
    for name in seen:
        if any(str(parent) in seen for parent in PurePosixPath(name).parents):
            raise _unsafe(file, f"it holds {name!r} inside another file")
    size = sum(e.file_size for e in entries)
    if size > MAX_BYTES:
        raise _unsafe(file, f"it would fill {size / 2**30:.1f} GiB")
    packed = max(sum(e.compress_size for e in entries), 1)
    if size > _SWELLING_FROM and size / packed > _MAX_SWELLING:
        raise _unsafe(file, f"it would swell to {size // packed} times its size")
    return entries


def _require_plain_name(entry: zipfile.ZipInfo, file: Path) -> None:
    # The name as it was stored counts, for zipfile itself cuts names at a NUL; and the name that
    # it goes by, for newer zipfiles take that from an extra field (0x7075), whatever is stored.
    name = entry.orig_filename
    for known in (name, entry.filename):
        parts = known.rstrip("/").split("/")
        if (
            _BAD_CHARACTERS.search(known)
            or known.startswith("/")
            or any(part in ("", ".", "..") or part != part.strip() for part in parts)
        ):
            raise _unsafe(file, f"it holds {known!r}, which points out of its folder")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe(file, f"it holds {name!r}, which is a link or a device")
    if entry.flag_bits & 0x1:
        raise ModelFileError(file, "it is locked with a password", "Unzip it and choose the folder")


def _unsafe(file: Path, reason: str) -> ModelFileError:
    return ModelFileError(
        file, reason, "Ask whoever made this zip for a plain one, or unzip it by hand"
    )


def _top_folder(entries: list[zipfile.ZipInfo], markers: Collection[str], file: Path) -> str:
    names = {e.filename for e in entries}
    tops = {name.split("/")[0] for name in names if "/" in name}
    for top in ("", *sorted(tops)):
        if any(f"{top}/{marker}".lstrip("/") in names for marker in markers):
            if top and len({name.split("/")[0] for name in names}) > 1:
                break
            return top
    raise ModelFileError(
        file,
        f"it holds no model: there is no {' or '.join(markers)} at its top, or in its one folder",
        "Zip one model folder",
    )


def _unpacked_once(file: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> Path:
    name = sha256_of(file)[:_DIGEST_LETTERS]
    try:
        cache = _cache()
        cache.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=cache))
    except OSError as exc:
        logger.info("no cache for unpacked models: %s", exc)
        temporary = Path(tempfile.mkdtemp(prefix="napari-hirescam-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        _extract(archive, entries, temporary, file)
        return temporary
    final = cache / name
    try:
        if not _is_whole(final, entries):
            _extract(archive, entries, place, file)
            # Half a folder of an earlier version, or one that somebody changed, gives way.
            shutil.rmtree(final, ignore_errors=True)
            try:
                os.replace(place, final)  # noqa: PTH105 - the words of the standard library
            except OSError:
                if not _is_whole(final, entries):  # another process was not faster either
                    raise
        return final
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _is_whole(folder: Path, entries: list[zipfile.ZipInfo]) -> bool:
    """True if a folder holds just what the zip holds, byte for byte by the zip's checksums."""
    if not folder.is_dir():
        return False
    wanted = {folder / e.filename: e for e in entries}
    there = {f for f in folder.rglob("*") if f.is_symlink() or not f.is_dir()}
    return there == set(wanted) and all(
        not f.is_symlink() and f.stat().st_size == e.file_size and _crc(f) == e.CRC
        for f, e in wanted.items()
    )


def _crc(file: Path) -> int:
    value = 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def _extract(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], folder: Path, file: Path
) -> None:
    if sum(e.file_size for e in entries) > shutil.disk_usage(folder).free:
        raise ModelFileError(
            file, "there is no room on the disk to unpack it", f"Make room in {folder.parent}"
        )
    for entry in entries:
        target = folder / entry.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with archive.open(entry) as source, target.open("xb") as sink:
            while block := source.read(_BLOCK):
                written += len(block)
                if written > entry.file_size:
                    raise _unsafe(file, f"{entry.filename!r} is larger than it says")
                sink.write(block)


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("napari-hirescam", appauthor=False) / "models"
