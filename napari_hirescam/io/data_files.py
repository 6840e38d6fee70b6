"""The files with voxels that a header names beside itself."""

from __future__ import annotations

from math import prod
from pathlib import Path, PureWindowsPath

from napari_hirescam.errors import VolumeError

# One for each slice, of which no scan has more; a header of a few bytes can ask for millions.
_MOST_FILES = 1 << 14
_CONVERT_AGAIN = "Convert it again from the original images"


def beside(header: Path, name: str) -> Path:
    """Find a file that a header names.

    A header may come from anywhere, so it may name files in its own folder and below, no others.

    Raises
    ------
    VolumeError
        If it names one elsewhere, or there is none.
    """
    # Windows' rules know both kinds of slash and a path from the root, so they suffice.
    relative = PureWindowsPath(name)
    if "\0" in name or relative.anchor or ".." in relative.parts:
        raise VolumeError(
            header,
            f"its voxels are said to lie in another folder ({name!r})",
            "Put both files into one folder and let the header name the other without a path",
        )
    found = header.parent.joinpath(*relative.parts)
    if not found.is_file():
        raise VolumeError(
            header,
            f"the file with its voxels, {name!r}, is not beside it",
            "Copy both files into one folder",
        )
    return found


def named_files(
    header: Path, named: str, listed: list[str], shape: tuple[int, ...]
) -> tuple[Path, ...]:
    """Find all files with voxels, in order: one, a list of them, or numbered ones.

    Parameters
    ----------
    header
        The file that names them.
    named
        A name; ``LIST`` and how many axes each file holds; or a pattern for numbered names, the
        first, the last and the step, and how many axes. Without a number of axes each file
        holds all but the slowest.
    listed
        The names that follow a ``LIST``.
    shape
        Lengths of all axes, the fastest first.

    Raises
    ------
    VolumeError
        If this cannot be understood, does not fit the shape, or a file is not there.
    """
    words = named.split()
    n_axes = len(shape) - 1
    try:
        if words[:1] == ["LIST"] and len(words) <= 2:
            names = listed
            n_axes = int(words[1].rstrip("dD")) if len(words) > 1 else n_axes
        elif len(words) in {4, 5} and "%" in words[0]:
            names = _numbered(words[0], *(int(word) for word in words[1:4]))
            n_axes = int(words[4]) if len(words) > 4 else n_axes
        else:
            return (beside(header, named),)
    except ValueError as exc:
        raise VolumeError(
            header,
            f"its header names the files with its voxels in a way not known ({named[:60]!r})",
            _CONVERT_AGAIN,
        ) from exc
    if len(names) > _MOST_FILES:
        raise VolumeError(
            header,
            f"its voxels lie in more than {_MOST_FILES:,} files",
            "Save it in one file",
        )
    # A file may also hold several steps of the slowest axis.
    is_slab = n_axes == len(shape) and bool(names) and shape[-1] % len(names) == 0
    if not 1 <= n_axes <= len(shape) or not (is_slab or len(names) == prod(shape[n_axes:])):
        raise VolumeError(
            header,
            f"its header names {len(names)} files, which is not what its image size needs",
            _CONVERT_AGAIN,
        )
    return tuple(beside(header, name) for name in names)


def _numbered(pattern: str, first: int, last: int, step: int) -> list[str]:
    """Names of files that are numbered after a C pattern such as ``slice%03d.raw``.

    Of too many, no more than show that they are too many.

    Raises
    ------
    ValueError
        If the pattern is not one with a single whole number, or no file is named.
    """
    before, _, after = pattern.partition("%")
    width = after.partition("d")[0]
    rest = after[len(width) + 1 :]
    count = (last - first) // step + 1 if step else 0
    if (
        not after[len(width) :].startswith("d")
        or (width and not width.isdecimal())
        or len(width) > 2
        or "%" in rest
        or count < 1
    ):
        raise ValueError(f"no numbered files: {pattern!r}")
    count = min(count, _MOST_FILES + 1)
    fill = "0" if width.startswith("0") else " "
    return [
        f"{before}{str(number).rjust(int(width or 0), fill)}{rest}"
        for number in range(first, first + count * step, step)
    ]
