"""A review's results as files: tables for whoever computes, a report for whoever reads.

The window's button and the command call :func:`export_results`, so that both give the same bytes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_hirescam.errors import ReviewError, SettingsError
from napari_hirescam.evaluation.results_folder import require_results_folder
from napari_hirescam.review import export_tables as tables
from napari_hirescam.review.adjudication import disagreements
from napari_hirescam.review.case_names import CaseNames
from napari_hirescam.review.decided import decided
from napari_hirescam.review.progress_part import WHOLE, part_of
from napari_hirescam.review.results import Results, known_readers, results
from napari_hirescam.review.stored_review import StoredReview
from napari_hirescam.safe_write import Section, write_file

REPORT = "report.html"
TABLES = ("verdicts", "decisions", "history", "counts", "agreement", "edits")
NAMES = (*(f"{table}{end}" for table in TABLES for end in (".csv", ".parquet")), REPORT)

# Of the progress: reading CTs, for their edited masks and for the pictures, is what takes time.
_RESULTS_SHARE, _PICTURES_SHARE = 480, 980


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    folder
        Where.
    files
        In the order in which they were written.
    results
        What they are made of.
    notes
        What was left out and why, one clause each.
    """

    folder: Path
    files: tuple[Path, ...]
    results: Results
    notes: tuple[str, ...]


def export_results(
    review: StoredReview,
    folder: str | Path,
    *,
    readers: Iterable[str] | None = None,
    rule: str = "strictest",
    settled_by: StoredReview | None = None,
    pictures: bool = True,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Exported:
    """Write tables (CSV, and Parquet where it is installed) and the report (HTML).

    All contents are made before the first file is touched; each is whole or not there. They are
    of one moment: what readers say while they are made is not in them.

    Parameters
    ----------
    review
        Open; it is not changed.
    folder
        Made if missing.
    readers
        Whose answers are measured. Default: all. Decisions are of all readers, by `rule`.
    rule
        How several readers' decisions come to one; see `decided.decided`.
    settled_by
        The adjudicating review, whose decisions win.
    pictures
        Whether the CTs of flagged items are read for pictures.
    overwrite
        Replace results that are there.
    progress, should_stop
        Called with (done, total); asked whether to stop.

    Raises
    ------
    ReviewError
        Nobody has begun, a reader is unknown, or `settled_by` settles another review.
    SettingsError
        Results are there and may not be replaced, or cannot be written.
    Cancelled
        If `should_stop` answered True; nothing was written.
    """
    with ExitStack() as stack:
        now = stack.enter_context(review.snapshot())
        settling = None if settled_by is None else stack.enter_context(settled_by.snapshot())
        if settling is not None and settling.plan.adjudicates != now.plan.name:
            raise ReviewError(
                settling.path,
                f"it does not settle the review {now.plan.name!r}",
                "Give the review that was made to settle it",
            )
        chosen = known_readers(now, readers)
        if not chosen:
            raise ReviewError(now.path, "nobody has begun", "Export it once somebody has answered")
        folder = require_results_folder(Path(folder), NAMES, overwrite=overwrite)
        found = results(
            now,
            chosen,
            progress=part_of(progress, 0, _RESULTS_SHARE),
            should_stop=should_stop,
        )
        names = CaseNames(now.plan, found.items)
        made, notes = _tables(now, found, names, rule, settling)
        differing = disagreements(now, readers=chosen)
    notes = [*found.notes, *notes]
    contents = {f"{table}.csv": tables.as_csv(rows) for table, rows in made.items() if rows}
    if _missing("pandas", "pyarrow"):
        notes.append(_lacking("Parquet tables", _missing("pandas", "pyarrow")))
    else:
        for table, rows in made.items():
            if rows:
                contents[f"{table}.parquet"] = tables.as_parquet(rows)
    if _missing("jinja2"):
        notes.append(_lacking("the report", _missing("jinja2")))
    else:
        from napari_hirescam.evaluation.page import render
        from napari_hirescam.review.report import report_page

        page = report_page(
            found,
            names,
            differing,
            review_file=review.path.name,
            pictures=pictures,
            progress=part_of(progress, _RESULTS_SHARE, _PICTURES_SHARE),
            should_stop=should_stop,
        )
        contents[REPORT] = render(page).encode()
    _write(folder, contents, overwrite=overwrite)
    for name in set(NAMES) - set(contents):
        (folder / name).unlink(missing_ok=True)  # of an earlier export, and not of this one
    if progress is not None:
        progress(WHOLE, WHOLE)
    return Exported(folder, tuple(folder / name for name in contents), found, tuple(notes))


def _tables(
    review: StoredReview,
    found: Results,
    names: CaseNames,
    rule: str,
    settled_by: StoredReview | None,
) -> tuple[dict[str, tables.Rows], list[str]]:
    notes = []
    touched = sorted({verdict.item for verdict in found.verdicts})
    histories = {number: review.history(number) for number in touched}
    facts = {number: known for number in touched if (known := review.facts(number)) is not None}
    decisions: tables.Rows = []
    if review.plan.adjudicates:
        notes.append(
            f"decisions are not listed: this review settles {review.plan.adjudicates!r}; "
            "export that one, settled by this"
        )
    else:
        reviews = (review,) if settled_by is None else (review, settled_by)
        decisions = tables.decision_rows(decided(*reviews, rule=rule), rule)
        if names.hidden:
            notes.append("decisions are listed under the cases' own names, which trainings need")
    made = {
        "verdicts": tables.verdict_rows(found, histories, facts, names),
        "decisions": decisions,
        "history": tables.history_rows(histories, found.readers, names),
        "counts": tables.count_rows(found),
        "agreement": tables.agreement_rows(found),
        "edits": tables.edit_rows(found.edits, names),
    }
    return made, notes


def _missing(*packages: str) -> tuple[str, ...]:
    return tuple(name for name in packages if importlib.util.find_spec(name) is None)


def _lacking(what: str, packages: tuple[str, ...]) -> str:
    return (
        f"{what} could not be made: {', '.join(packages)} not installed; "
        'install with: pip install "napari-hirescam[review]"'
    )


def _write(folder: Path, contents: Mapping[str, bytes], *, overwrite: bool) -> None:
    for name, content in contents.items():
        try:
            write_file(folder / name, [Section(partial(list, [content]))], overwrite=overwrite)
        except OSError as exc:
            raise SettingsError(
                folder / name,
                f"it cannot be written: {exc.strerror or exc}",
                "Choose another folder, or make room",
            ) from exc
