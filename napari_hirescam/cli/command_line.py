"""What was run, in words for a report that leaves this machine."""

from __future__ import annotations

import shlex
from pathlib import Path


def command_line(command: str, **options: object) -> str:
    """Write a command with the options that its figures depend on.

    Parameters
    ----------
    command
        ``evaluate``, say.
    options
        Name, with underscores for hyphens, and value. None, False and an empty list are left
        out; True stands for a flag, a list for an option that is repeated, a tuple for one with
        several values. Of a path only the last part is told: folders have names of people.
    """
    words = ["napari-hirescam", *command.split()]
    for name, value in options.items():
        if value is None or value is False:
            continue
        for one in value if isinstance(value, list) else [value]:
            words.append(f"--{name.replace('_', '-').strip('-')}")
            if one is not True:
                words += map(_told, one if isinstance(one, tuple) else (one,))
    return shlex.join(words)


def _told(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value.name or "." if isinstance(value, Path) else str(value)
