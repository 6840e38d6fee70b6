"""Findings as files: a table (CSV), a plot (PNG), and all else (JSON)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

from napari_hirescam.attention.export import map_file_name
from napari_hirescam.errors import VolumeError
from napari_hirescam.evaluation.findings import Finding
from napari_hirescam.evaluation.plots import LIGHT, draw
from napari_hirescam.safe_write import replace_file

_ENDINGS = (".csv", ".png", ".json")
_INCHES = (9.0, 6.0)
_DOTS_PER_INCH = 150


def report_file_names(ct: str, label: str, method: str, key: str) -> list[str]:
    """Names of the files of one test of one map: CT, label, method, test."""
    stem = f"{map_file_name(ct, label, method).removesuffix('.nii.gz')}_{key}"
    return [f"{stem}{ending}" for ending in _ENDINGS]


def refuse_existing(folder: str | Path, names: Iterable[str]) -> None:
    """Raise VolumeError if any of these files are in the folder already."""
    there = [name for name in names if (Path(folder) / name).exists()]
    if there:
        raise VolumeError(
            folder,
            f"it already holds {', '.join(there)}",
            "Choose another folder, or overwrite (--overwrite on the command line)",
        )


def save_finding(finding: Finding, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write the table, the plot and the facts of a finding.

    Parameters
    ----------
    folder
        Made if missing.
    overwrite
        Replace files that are there; otherwise none is touched.

    Returns
    -------
    The files written: CSV, PNG, JSON.

    Raises
    ------
    VolumeError
        A file exists already, or cannot be written.
    """
    folder = Path(folder)
    about = finding.subject
    names = report_file_names(about.ct, about.label, about.method, finding.key)
    if not overwrite:
        refuse_existing(folder, names)
    facts = json.dumps(finding.facts(), indent=1, allow_nan=False, ensure_ascii=False)
    contents = (table_as_csv(finding).encode(), plot_as_png(finding), f"{facts}\n".encode())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(names, contents, strict=True):
            replace_file(folder / name, content)
    except OSError as exc:
        raise VolumeError(
            folder, f"it cannot be written: {exc.strerror or exc}", "Choose another folder"
        ) from exc
    return [folder / name for name in names]


def table_as_csv(finding: Finding) -> str:
    """Write every number of a finding's curves; an empty field where there is none (NaN)."""
    header, rows = finding.table()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow("" if value != value else value for value in row)
    return text.getvalue()


def plot_as_png(finding: Finding) -> bytes:
    """Draw a finding's curves for paper; needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure, finding, LIGHT)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=_DOTS_PER_INCH)
    return image.getvalue()
