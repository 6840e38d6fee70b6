"""Looking through a table's cases before anything slow begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from napari_hirescam.cases.case import CaseTable
from napari_hirescam.errors import Cancelled


def check_cases(
    table: CaseTable,
    *,
    need_organs: bool = False,
    allowed: Mapping[str, tuple[str, ...]] | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Read the headers of every case, and raise for what would fail hours later.

    Masks are looked for on another grid or patient, without an organ that is asked for, and for
    files that are missing or damaged in their headers. What only voxels can tell is not found.

    Parameters
    ----------
    table
        The cases.
    need_organs
        Whether each present label must have an organ it may lie in, and the case's masks, where
        it has any, that organ.
    allowed
        Label -> organs, where a case does not say it itself.
    progress
        Called with (done, total) cases.
    should_stop
        Asked between cases.

    Raises
    ------
    CaseTableError
        A case would fail; the message names it, its row if it has one, and what to do.
    Cancelled
        If `should_stop` answered True.
    """
    for done, case in enumerate(table.cases):
        if should_stop is not None and should_stop():
            raise Cancelled("the check of the cases was stopped")
        if progress is not None:
            progress(done, len(table.cases))
        organs: set[str] = set()
        if need_organs:
            for label in table.labels:
                if case.labels.get(label):
                    organs.update(case.organs_of(label, allowed or {}))
        case.check(organs)
    if progress is not None:
        progress(len(table.cases), len(table.cases))
