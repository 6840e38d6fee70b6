"""Whether a folder lies on another machine, where a write-ahead log cannot be shared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

#: What the systems call drives that more than one machine may have mounted.
_SHARED = frozenset(
    """
    nfs nfs4 cifs smb smb3 smbfs afs afpfs ncpfs 9p virtiofs webdav davfs ceph lustre gpfs beegfs
    glusterfs orangefs ocfs2 gfs2 vboxsf vmhgfs prl_fs drvfs fuse.sshfs fuse.glusterfs
    fuse.ceph-fuse fuse.rclone fuse.s3fs fuse.davfs2 fuse.vmhgfs-fuse fuse.smbnetfs
    fuse.gvfsd-fuse macfuse osxfuse
    """.split()  # noqa: SIM905 - one to a line would be a page
)


def network_drive(folder: Path) -> str:
    """Name the kind of network drive that a folder lies on.

    Returns
    -------
    "nfs4", "cifs", ...; empty for a drive of this machine, and where the system does not tell.
    """
    if sys.platform == "win32":
        return _on_windows(folder)
    try:
        if sys.platform == "darwin":
            told = subprocess.run(
                ["/sbin/mount"], capture_output=True, text=True, timeout=5, check=True
            ).stdout
            kind = kind_by_mount(told, folder.resolve())
        else:
            told = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
            kind = kind_by_mountinfo(told, folder.resolve())
    except (OSError, subprocess.SubprocessError):
        return ""
    return kind if kind in _SHARED else ""


def kind_by_mountinfo(mountinfo: str, folder: Path) -> str:
    """Find a folder's kind of file system in what Linux tells of its mounts.

    Parameters
    ----------
    mountinfo
        Of /proc/self/mountinfo: the fifth field is the place, the first after " - " the kind.
    folder
        Absolute, without links.
    """
    mounts = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) >= 5 and after:
            mounts.append((_unescaped(fields[4]), after.split()[0]))
    return _innermost(mounts, folder)


def kind_by_mount(lines: str, folder: Path) -> str:
    """Find a folder's kind of file system in what macOS' `mount` prints.

    Parameters
    ----------
    lines
        Like "//ann@server/ct on /Volumes/ct (smbfs, nodev, nosuid)".
    folder
        Absolute, without links.
    """
    found = re.finditer(r"^.*? on (/.*?) \(([^,)]+)[^()]*\)$", lines, re.MULTILINE)
    return _innermost([(hit[1], hit[2]) for hit in found], folder)


def _innermost(mounts: list[tuple[str, str]], folder: Path) -> str:
    parts, best, kind = folder.parts, -1, ""
    for place, kind_there in mounts:
        head = Path(place).parts
        # The later of two mounts at one place covers the earlier.
        if parts[: len(head)] == head and len(head) >= best:
            best, kind = len(head), kind_there
    return kind


def _unescaped(place: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda hit: chr(int(hit[1], 8)), place)


def _on_windows(folder: Path) -> str:
    drive = os.path.splitdrive(folder.resolve())[0]
    if drive.startswith("\\\\"):
        return "smb"
    import ctypes

    windows: Any = ctypes
    remote = 4  # DRIVE_REMOTE
    return "smb" if windows.windll.kernel32.GetDriveTypeW(f"{drive}\\") == remote else ""
