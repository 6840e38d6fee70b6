"""A cohort's results as files: tables, thresholds and the report."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hirescam.errors import SettingsError
from napari_hirescam.evaluation.cohort_frame import pandas, records
from napari_hirescam.evaluation.cohort_report import build_page
from napari_hirescam.evaluation.cohort_store import CaseStore
from napari_hirescam.evaluation.intervals import N_REPLICATES, SEED
from napari_hirescam.evaluation.page import render
from napari_hirescam.evaluation.results_folder import (
    require_report_packages,
    require_results_folder,
)
from napari_hirescam.safe_write import Section, write_file

if TYPE_CHECKING:
    import pandas as pd

    from napari_hirescam.evaluation.cohort import CohortResult

CASES = "cases.parquet"
TUNING = "tuning_cases.parquet"
SUMMARY = "summary.parquet"
SUMMARY_TEXT = "summary.csv"
THRESHOLDS = "thresholds.json"
REPORT = "report.html"
#: Cases of an evaluation that is under way, or was interrupted.
UNFINISHED = ".unfinished"
NAMES = (CASES, TUNING, SUMMARY, SUMMARY_TEXT, THRESHOLDS, REPORT)


def prepare_folder(folder: str | Path, *, overwrite: bool) -> Path:
    """Make the folder of results and see that they can be written, before anything slow begins.

    Raises
    ------
    SettingsError
        It holds results that may not be replaced, cannot be written to, or a package for
        writing them is not installed.
    """
    require_report_packages()
    return require_results_folder(Path(folder), NAMES, overwrite=overwrite)


def save_cohort(
    result: CohortResult,
    folder: str | Path,
    *,
    overwrite: bool = False,
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
    command: str = "",
    facts: Mapping[str, str] | None = None,
    summary: pd.DataFrame | None = None,
) -> list[Path]:
    """Write the tables (Parquet, CSV), the thresholds (JSON) and the report (HTML).

    All contents are made before the first file is touched; each file is whole or not there, and
    the report comes last.

    Parameters
    ----------
    result
        What was measured.
    folder
        Made if missing.
    overwrite
        Replace results that are there.
    n_replicates, seed
        Of the intervals.
    command, facts
        For the report: what the user ran, and more lines about how it was made.
    summary
        ``result.summary(n_replicates, seed)``, if it was made already.

    Raises
    ------
    SettingsError
        Results are there and may not be replaced, or cannot be written.
    """
    folder = prepare_folder(folder, overwrite=overwrite)
    if summary is None:
        summary = result.summary(n_replicates, seed)
    page = build_page(
        result, summary, command=command, n_replicates=n_replicates, seed=seed, facts=facts
    )
    contents = {
        CASES: _parquet(result.records),
        SUMMARY: _parquet(summary),
        SUMMARY_TEXT: summary.to_csv(index=False, lineterminator="\n").encode(),
        THRESHOLDS: result.thresholds.as_json(),
        REPORT: render(page).encode(),
    }
    if result.tuning:
        contents = {TUNING: _parquet(records(result.tuning, None)), **contents}
    _write(folder, contents.items(), overwrite=overwrite)
    if not result.tuning:
        (folder / TUNING).unlink(missing_ok=True)  # of an earlier run, and not of this one
    CaseStore(folder / UNFINISHED, {}).clear()
    return [folder / name for name in contents]


def _parquet(frame: pd.DataFrame) -> bytes:
    pandas()
    stream = io.BytesIO()
    frame.to_parquet(stream, index=False)
    return stream.getvalue()


def _write(folder: Path, contents: Iterable[tuple[str, bytes]], *, overwrite: bool) -> None:
    for name, content in contents:
        try:
            write_file(folder / name, [Section(partial(_once, content))], overwrite=overwrite)
        except OSError as exc:
            raise SettingsError(
                folder / name,
                f"it cannot be written: {exc.strerror or exc}",
                "Choose another folder, or make room",
            ) from exc


def _once(content: bytes) -> list[bytes]:
    return [content]
