"""Where results are to go: asked before anything slow begins."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.page import missing_extra
from napari_hirescam.safe_write import require_writable

_PACKAGES = ("pandas", "pyarrow", "jinja2")


def require_report_packages() -> None:
    """Raise SettingsError where a package that tables and reports need is missing."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise missing_extra(package)


def require_results_folder(folder: Path, names: Sequence[str], *, overwrite: bool) -> Path:
    """Make a folder of results.

    Parameters
    ----------
    folder
        Where.
    names
        Of the files that will be written.
    overwrite
        Whether they may replace files that are there.

    Raises
    ------
    SettingsError
        It holds results that may not be replaced, or cannot be written to.
    """
    try:
        there = [name for name in names if (folder / name).exists()]
        if there and not overwrite:
            raise SettingsError(
                folder,
                f"it already holds {', '.join(there)}",
                "Choose another folder, or overwrite (--overwrite on the command line)",
            )
        require_writable(folder)
    except OSError as exc:
        raise SettingsError(
            folder,
            f"results cannot be written there: {exc.strerror or exc}",
            "Choose a folder that you may write to, with room on its disk",
        ) from exc
    return folder
