"""Zip archives of DICOM files, as PACS and research portals hand them out."""

from __future__ import annotations

import atexit
import errno
import shutil
import tempfile
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.header import HEAD_BYTES, is_dicom
from napari_hirescam.io.reading import Reading

_LOOK_AT_MEMBERS = 2000  # a disc's viewer may come first
_STEP = 1 << 20
_ENCRYPTED = 1  # of a member's flags
_LOCAL_HEADER = 30  # bytes before a member's name
_DISK_RESERVE = 256 << 20
_HARMLESS, _MOST_PACKED = 1 << 30, 200
"""Bytes that may be unpacked from however few; beyond, times the zip's own size: no CT is packed
so well, but a few bytes that are to fill a disk are."""
_WHAT_ZIPS_RAISE = (
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError,
)  # fmt: skip
"""Damage, unknown compression, a password, an early end, nonsense in the list of members."""

_unpacked: dict[tuple[str, int, int], Path] = {}
_lock = threading.Lock()


def is_zip(head: bytes) -> bool:
    """Say whether a file's first bytes are those of a zip archive."""
    return head[:4] == b"PK\x03\x04"


def holds_dicom_files(path: Path) -> bool:
    """Say whether to read a zip as one of DICOM files.

    That is, if one of its first members is a DICOM file, or they cannot be told for damage or a
    password. Other formats that are zips inside (numpy's) are left to their own readers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in _members(archive)[:_LOOK_AT_MEMBERS]:
                if member.flag_bits & _ENCRYPTED:
                    return True  # and refused for it
                with archive.open(member) as stream:
                    if is_dicom(stream.read(HEAD_BYTES)):
                        return True
    except zipfile.BadZipFile:
        return not _begins_with_an_array(path)
    except _WHAT_ZIPS_RAISE:
        # Whatever it is, some other reader judges it.
        return False
    return False


def unpacked(path: Path, reading: Reading) -> Path:
    """Unpack the DICOM files of a zip into a temporary folder, which lasts until Python ends.

    The same zip is unpacked once. Every member's checksum is compared.

    Raises
    ------
    VolumeError
        If it is damaged, encrypted, does not fit on the disk, or a member's name leads out of
        the folder.
    Cancelled
        If the caller asked to stop.
    """
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    with _lock:
        known = _unpacked.get(key)
        if known is not None and known.is_dir():
            return known
        folder = Path(tempfile.mkdtemp(prefix="napari-hirescam-"))
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(path, archive, folder, reading)
        except BaseException as exc:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(exc, _WHAT_ZIPS_RAISE):
                raise _damaged(path, exc) from exc
            raise
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _unpacked[key] = folder
        return folder


def _begins_with_an_array(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(_LOCAL_HEADER + 256)
    name_length = int.from_bytes(head[26:28], "little")
    return head[_LOCAL_HEADER : _LOCAL_HEADER + name_length].endswith(b".npy")


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [member for member in archive.infolist() if not member.is_dir()]


def _unpack(path: Path, archive: zipfile.ZipFile, folder: Path, reading: Reading) -> None:
    wanted = []
    for member in _members(archive):
        reading.check_stop()
        with archive.open(member) as stream:
            if is_dicom(stream.read(HEAD_BYTES)):
                wanted.append((member, _inside(path, folder, member)))
    if not wanted:
        raise VolumeError(path, "it holds no DICOM files", "Choose the zip of a CT series")
    total = sum(member.file_size for member, _ in wanted)
    if total > max(_HARMLESS, _MOST_PACKED * path.stat().st_size):
        raise VolumeError(
            path,
            f"it would unpack to {total / 2**30:.1f} GiB, more than {_MOST_PACKED} times its size, "
            "as no CT does",
            "Do not trust this archive; ask whoever made it",
        )
    free = shutil.disk_usage(folder).free - _DISK_RESERVE
    if total > free:
        raise VolumeError(
            path,
            f"unpacking it takes {total / 2**30:.1f} GiB and only {max(free, 0) / 2**30:.1f} GiB "
            f"are free in {tempfile.gettempdir()}",
            "Make room there, or unpack it elsewhere and open the folder",
        )
    done = 0
    for member, target in wanted:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = target.open("xb")
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
                raise
            raise VolumeError(
                path,
                f"one of its files cannot be unpacked under its name ({member.filename[:80]}): "
                f"{exc.strerror}",
                "Unpack it yourself and open the folder",
            ) from exc
        with copy, archive.open(member) as source:
            while part := source.read(_STEP):  # compares the checksum at its end
                copy.write(part)
                done += len(part)
                reading.step(done, max(total, done))


def _inside(path: Path, folder: Path, member: zipfile.ZipInfo) -> Path:
    """Where to unpack a member; a name that leads out of the folder is refused."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or any(":" in part for part in name.parts):
        raise VolumeError(
            path,
            f"one of its files would be unpacked outside of the folder ({member.filename[:80]})",
            "Do not trust this archive; ask whoever made it",
        )
    return folder.joinpath(*name.parts)


def _damaged(path: Path, exc: BaseException) -> VolumeError:
    if isinstance(exc, RuntimeError) and "password" in str(exc):
        return VolumeError(path, "the zip is locked with a password", "Unpack it yourself first")
    return VolumeError(
        path, f"the zip is damaged ({str(exc) or type(exc).__name__})", "Copy or download it again"
    )
