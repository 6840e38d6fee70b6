"""The files with voxels that a header names beside itself."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from napari_hirescam.errors import VolumeError


def beside(header: Path, name: str) -> Path:
    """Find a file that a header names.

    A header may come from anywhere, so it may name files in its own folder and below, no others.

    Raises
    ------
    VolumeError
        If it names one elsewhere, or there is none.
    """
    windows = PureWindowsPath(name)
    if "\0" in name or PurePosixPath(name).is_absolute() or windows.anchor or ".." in windows.parts:
        raise VolumeError(
            header,
            f"its voxels are said to lie in another folder ({name!r})",
            "Put both files into one folder and let the header name the other without a path",
        )
    found = header.parent.joinpath(*windows.parts)
    if not found.is_file():
        raise VolumeError(
            header,
            f"the file with its voxels, {name!r}, is not beside it",
            "Copy both files into one folder",
        )
    return found


def numbered(pattern: str, first: int, last: int, step: int, *, most: int) -> list[str]:
    """Names of files that are numbered after a C pattern such as ``slice%03d.raw``.

    Raises
    ------
    ValueError
        If the pattern is not one with a single whole number, or there are more than `most`.
    """
    before, _, after = pattern.partition("%")
    width = after.partition("d")[0]
    rest = after[len(width) + 1 :]
    count = (last - first) // step + 1 if step else 0
    if (
        not after[len(width) :].startswith("d")
        or (width and not width.isdigit())
        or len(width) > 2
        or "%" in rest
        or not 1 <= count <= most
    ):
        raise ValueError(f"no numbered files: {pattern!r}")
    fill = "0" if width.startswith("0") else " "
    return [
        f"{before}{str(number).rjust(int(width or 0), fill)}{rest}"
        for number in range(first, first + count * step, step)
    ]
