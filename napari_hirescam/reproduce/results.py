"""The folder in which an experiment leaves its report page and its figures."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_hirescam import __version__
from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.page import Page
from napari_hirescam.evaluation.results_folder import require_results_folder
from napari_hirescam.safe_write import replace_file

REPORT = "report.html"
FIGURES = "figures.json"


def prepare_folder(out: Path, *, overwrite: bool) -> Path:
    """Make the folder of results, before anything slow begins.

    Raises
    ------
    SettingsError
        It holds results that may not be replaced, or cannot be written to.
    """
    return require_results_folder(out, (REPORT, FIGURES), overwrite=overwrite)


def how_it_was_made(command: str, seeds: str) -> dict[str, str]:
    """Facts of a report that every experiment states: command, date, seeds, software."""
    from importlib.metadata import version

    return {
        "Command": command,
        "Date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Seeds": seeds,
        "Software": f"napari-hirescam {__version__}, torch {version('torch')}, "
        f"Python {platform.python_version()}",
    }


def write_results(out: Path, page: Page, figures: Mapping[str, Any]) -> None:
    """Write ``report.html`` and ``figures.json``, each whole or not at all.

    Parameters
    ----------
    out
        See :func:`prepare_folder`.
    page
        The report.
    figures
        Its numbers, nested as one likes; NaN becomes null.

    Raises
    ------
    SettingsError
        They cannot be written.
    """
    from napari_hirescam.evaluation.page import write_page

    text = json.dumps(_plain(figures), indent=2, allow_nan=False) + "\n"
    try:
        replace_file(out / FIGURES, text.encode())
        write_page(page, out / REPORT, overwrite=True)
    except OSError as exc:
        raise SettingsError(
            out,
            f"results cannot be written there ({exc.strerror})",
            "Make room on the disk, or choose another folder",
        ) from exc


def _plain(value: Any) -> Any:
    """Turn numpy's numbers and NaN into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
