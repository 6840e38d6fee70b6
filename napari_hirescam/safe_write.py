"""Writing a file so that it is either the old one or the new one, never half of either."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_file(file: Path, content: bytes) -> None:
    """Write bytes beside a file's place, make sure they are on the disk, and rename.

    Raises
    ------
    OSError
        The place cannot be written; what was there before is untouched.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name[:60]}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files for the owner alone; a result is for whoever may read the folder.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
