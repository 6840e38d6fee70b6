"""Flagged items of a review's report, as pictures with what was said of them."""

from __future__ import annotations

from collections.abc import Callable

from napari_hirescam.errors import Cancelled, HirescamError
from napari_hirescam.evaluation.page import Figure, Section
from napari_hirescam.review.case_names import CaseNames
from napari_hirescam.review.edited_masks import read_edit
from napari_hirescam.review.loading import LoadedItem, load_item
from napari_hirescam.review.report_pictures import picture
from napari_hirescam.review.results import Results
from napari_hirescam.review.words import fault_words, verdict_words

#: So many flagged items are shown as pictures; a report of all of thousands would be no report.
MOST_PICTURES = 24


def flagged_section(
    results: Results,
    names: CaseNames,
    progress: Callable[[int, int], None] | None,
    should_stop: Callable[[], bool] | None,
) -> list[Section]:
    """Draw what readers flagged; no section where nothing is.

    Raises
    ------
    Cancelled
        If `should_stop` answered True.
    """
    flagged = {verdict.item for verdict in results.verdicts if verdict.flagged}
    items = [item for item in results.items if item.number in flagged]
    if not items:
        return []
    shown = items[:MOST_PICTURES]
    figures: dict[int, Figure] = {}
    problems = []
    loaded: LoadedItem | None = None
    # Organs of one scan one after the other, so that its CT is read once.
    for done, item in enumerate(sorted(shown, key=lambda each: (str(each.ct), each.number))):
        if should_stop is not None and should_stop():
            raise Cancelled("drawing the report's pictures was stopped")
        if progress is not None:
            progress(done, len(shown))
        try:
            loaded = load_item(item, previous=loaded, should_stop=should_stop)
            figures[item.number] = _picture(results, loaded, names)
        except HirescamError as exc:
            problems.append(f"Item {item.number} has no picture: {fault_words(item, exc)}")
    text = " ".join(problems)
    if len(items) > len(shown):
        text = f"The first {len(shown)} of {len(items)}. {text}"
    return [Section("Flagged", text, figures=tuple(figures[number] for number in sorted(figures)))]


def _picture(results: Results, loaded: LoadedItem, names: CaseNames) -> Figure:
    item = loaded.item
    said = [verdict for verdict in results.verdicts if verdict.item == item.number]
    edits = {v.reader: read_edit(v.edit, loaded.ct) for v in said if v.edit is not None}
    words = [
        f"{verdict.reader}{' (flagged)' if verdict.flagged else ''}: "
        f"{verdict_words(item, verdict, results.plan.form)}"
        for verdict in said
    ]
    return Figure(
        picture(loaded, edits), f"Item {item.number}, {names.item(item)}. {'. '.join(words)}."
    )
