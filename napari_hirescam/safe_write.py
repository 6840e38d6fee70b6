"""Writing a file so that it is either the old one or the new one, never half of either."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_DAY_S = 86_400.0


@dataclass(frozen=True)
class Section:
    """A stretch of a file.

    Parameters
    ----------
    chunks
        Makes its bytes, piece by piece; called twice, to write and to compare.
    gzipped
        Whether it is compressed. Such a section is the file's last.
    """

    chunks: Callable[[], Iterable[bytes | memoryview]]
    gzipped: bool = False


def replace_file(file: Path, content: bytes) -> None:
    """Write bytes in the place of whatever the file held before.

    Raises
    ------
    OSError
        The place cannot be written; what was there before is untouched.
    """
    write_file(file, [Section(lambda: [content])], overwrite=True)


def require_writable(folder: Path) -> None:
    """Make a folder and see that a file can be written there, before anything slow begins.

    Raises
    ------
    OSError
        It cannot be made or written, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A name of its own: others may look at the same folder at this moment.
    probe = folder / f".{uuid.uuid4().hex}.part"
    try:
        probe.write_bytes(b".")
    finally:
        probe.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the half-written files that killed programs left in a folder of our own.

    What is younger than a day may be somebody's who writes at this moment; what is another's to
    remove stays, for it harms nobody.
    """
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _DAY_S:
                part.unlink()


def write_file(file: Path, sections: Sequence[Section], *, overwrite: bool) -> None:
    """Write beside a file's place, see that it is on the disk, compare it, and rename.

    Parameters
    ----------
    file
        Where it is to stand.
    sections
        Its content.
    overwrite
        Whether a file that stands there may be replaced.

    Raises
    ------
    FileExistsError
        There is a file, and it may not be replaced.
    OSError
        The place cannot be written, or reads back differently; what was there before is
        untouched.
    """
    if not overwrite and file.exists():
        raise _is_there(file)
    # A name of its own: two writers at once must not share a half-written file.
    part = file.with_name(f".{file.name[:60]}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as stream:
            for section in sections:
                _write(stream, section)
            stream.flush()
            os.fsync(stream.fileno())
        with part.open("rb") as stream:
            same = all(_reads_same(stream, section) for section in sections)
            if not same or stream.read(1):
                raise OSError(errno.EIO, "what was written reads back differently", str(file))
        rename_file(part, file, overwrite=overwrite)
    finally:
        part.unlink(missing_ok=True)


def _write(stream: IO[bytes], section: Section) -> None:
    with ExitStack() as stack:
        target = stream
        if section.gzipped:
            from isal import igzip

            # No name and no time inside, so that equal content gives equal files.
            pack: Any = igzip.IGzipFile
            target = stack.enter_context(pack(filename="", mode="wb", fileobj=stream, mtime=0))
        for chunk in section.chunks():
            # A disk may take a part of it, and only say so in the answer.
            if target.write(chunk) != len(chunk):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _reads_same(stream: IO[bytes], section: Section) -> bool:
    with ExitStack() as stack:
        source = stream
        if section.gzipped:
            from isal import igzip

            unpack: Any = igzip.IGzipFile
            source = stack.enter_context(unpack(fileobj=stream, mode="rb"))
        try:
            if any(source.read(len(chunk)) != chunk for chunk in section.chunks()):
                return False
            # Reading past the end is what makes the checksum be compared.
            return not section.gzipped or not source.read(1)
        except (EOFError, OSError) as exc:
            if isinstance(exc, OSError) and exc.errno is not None:
                raise
            return False  # not even sound


def rename_file(part: Path, file: Path, *, overwrite: bool) -> None:
    """Put a file that is written whole into its place, in the same folder.

    Raises
    ------
    FileExistsError
        There is a file, and it may not be replaced.
    """
    if overwrite:
        part.replace(file)
        return
    try:
        os.link(part, file)  # unlike renaming, never takes the place of another
    except FileExistsError:
        raise _is_there(file) from None
    except OSError as exc:  # no links on this kind of disk
        if file.exists():
            raise _is_there(file) from exc
        part.rename(file)


def _is_there(file: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "there is a file of this name", str(file))
