"""What came of a review: counts, agreement, edited masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from napari_hirescam.errors import ReviewError
from napari_hirescam.evaluation.intervals import N_REPLICATES, SEED
from napari_hirescam.review.agreement import missing_packages
from napari_hirescam.review.asked import VerdictOf, by_item_and_reader
from napari_hirescam.review.edit_comparisons import EditComparison, compare_edits
from napari_hirescam.review.event import Verdict
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item
from napari_hirescam.review.progress_part import WHOLE, part_of
from napari_hirescam.review.reader_agreement import AgreementFigure, agreement_figures
from napari_hirescam.review.reader_counts import ReaderCount, reader_counts
from napari_hirescam.review.stored_review import StoredReview

_INSTALL = 'install with: pip install "napari-hirescam[review]"'
# Of the progress: figures take seconds, reading CTs for their edited masks minutes.
_AGREEMENT_SHARE = 100


@dataclass(frozen=True)
class Results:
    """All that a report is made of.

    Parameters
    ----------
    plan, items
        Of the review.
    readers
        Whose answers count here, by name.
    verdicts
        By item and reader.
    counts
        Per reader, kind and target.
    agreement
        Between readers and of readers with themselves; empty where the packages are missing.
    edits
        Comparisons of edited masks; empty if they were not asked for.
    n_replicates, seed
        Of the intervals.
    notes
        What the figures leave out, one clause each.
    """

    plan: Plan
    items: tuple[Item, ...]
    readers: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    counts: tuple[ReaderCount, ...]
    agreement: tuple[AgreementFigure, ...]
    edits: tuple[EditComparison, ...]
    n_replicates: int = N_REPLICATES
    seed: int = SEED
    notes: tuple[str, ...] = ()

    @property
    def verdict_of(self) -> VerdictOf:
        """Verdicts by (item, reader)."""
        return by_item_and_reader(self.verdicts)


def results(
    review: StoredReview,
    readers: Iterable[str] | None = None,
    *,
    edits: bool = True,
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Results:
    """Gather what a review came to.

    Agreement and ratings count what readers have called done. Between readers the first showing
    of each item counts; hidden repeats measure each reader against themselves.

    Parameters
    ----------
    review
        Open; it is not changed.
    readers
        Whose answers count. Default: all.
    edits
        Whether edited masks are read and compared, which is slow.
    n_replicates, seed
        Draws of the scans.
    progress, should_stop
        Called with (done, total); asked whether to stop.

    Raises
    ------
    ReviewError
        A reader is unknown, or the file is damaged: what it says now is not what was recorded.
    Cancelled
        If `should_stop` answered True.
    """
    chosen = known_readers(review, readers)
    review.verify()
    items = review.items()
    verdicts = tuple(review.verdicts(chosen))
    verdict_of = by_item_and_reader(verdicts)
    notes = _what_is_left_out(items, verdicts, chosen)
    missing = missing_packages()
    figures: tuple[AgreementFigure, ...] = ()
    if missing:
        notes = (
            *notes,
            f"agreement was not measured: {', '.join(missing)} not installed; {_INSTALL}",
        )
    else:
        figures = agreement_figures(
            review.plan,
            items,
            verdict_of,
            chosen,
            n_replicates=n_replicates,
            seed=seed,
            progress=part_of(progress, 0, _AGREEMENT_SHARE),
            should_stop=should_stop,
        )
    compared: tuple[EditComparison, ...] = ()
    if edits:
        compared = compare_edits(
            items,
            verdict_of,
            chosen,
            progress=part_of(progress, _AGREEMENT_SHARE, WHOLE),
            should_stop=should_stop,
        )
    if progress is not None:
        progress(WHOLE, WHOLE)
    return Results(
        plan=review.plan,
        items=items,
        readers=chosen,
        verdicts=verdicts,
        counts=reader_counts(review.plan, items, verdict_of, chosen),
        agreement=figures,
        edits=compared,
        n_replicates=n_replicates,
        seed=seed,
        notes=notes,
    )


def known_readers(review: StoredReview, readers: Iterable[str] | None) -> tuple[str, ...]:
    """Return the readers that were asked for, by name, or all.

    Raises
    ------
    ReviewError
        One of them has recorded nothing in this review.
    """
    if readers is None:
        return tuple(sorted(review.readers))
    chosen = tuple(dict.fromkeys(readers))
    for reader in chosen:
        if reader not in review.readers:
            raise ReviewError(
                reader,
                "no reader of this name has recorded anything",
                f"Name one of: {', '.join(review.readers) or 'nobody has begun'}",
            )
    return tuple(sorted(chosen))


def _what_is_left_out(
    items: tuple[Item, ...], verdicts: tuple[Verdict, ...], readers: tuple[str, ...]
) -> tuple[str, ...]:
    notes = []
    if not readers:
        return ("nobody has begun",)
    finished = {verdict.reader for verdict in verdicts if verdict.done}
    if len(finished) < 2:
        notes.append("agreement between readers needs two who have finished items")
    if all(item.repeat_of is None for item in items):
        notes.append("agreement of readers with themselves needs hidden repeats")
    for reader in readers:
        open_ = sum(
            v.reader == reader and not v.done and (v.rating is not None or v.decision is not None)
            for v in verdicts
        )
        if open_:
            notes.append(f"{open_} answers of {reader} are not final and are left out")
    return tuple(notes)
