"""Edited masks against the mask that was judged, and against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from napari_hirescam.errors import Cancelled, HirescamError
from napari_hirescam.review.asked import VerdictOf
from napari_hirescam.review.comparing import Comparison, compare_masks
from napari_hirescam.review.edited_masks import read_edit
from napari_hirescam.review.item import Item
from napari_hirescam.review.loading import LoadedItem, load_item
from napari_hirescam.review.words import fault_words

#: Stands for the mask that was judged, where a reader's name stands else.
ORIGINAL = ""


@dataclass(frozen=True)
class EditComparison:
    """Two masks of one item.

    Parameters
    ----------
    item
        Its number.
    first, second
        Readers whose edits they are; :data:`ORIGINAL` for the mask that was judged.
    comparison
        `first` against `second`; None if one of them could not be read.
    problem
        Why not; else empty.
    """

    item: int
    first: str
    second: str
    comparison: Comparison | None
    problem: str = ""


def compare_edits(
    items: Sequence[Item],
    verdict_of: VerdictOf,
    readers: Sequence[str],
    *,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[EditComparison, ...]:
    """Compare every edit with its original, and the edits of any two readers of one item.

    Files that cannot be read are said in `problem`; the others go on.

    Raises
    ------
    Cancelled
        If `should_stop` answered True.
    """
    edited = [(item, _editors(item, verdict_of, readers)) for item in items]
    # Organs of one scan one after the other, so that its CT is read once.
    todo = sorted(
        ((item, whose) for item, whose in edited if whose),
        key=lambda each: (str(each[0].ct), each[0].series, each[0].number),
    )
    found: list[EditComparison] = []
    loaded: LoadedItem | None = None
    for done, (item, whose) in enumerate(todo):
        if should_stop is not None and should_stop():
            raise Cancelled("comparing edited masks was stopped")
        if progress is not None:
            progress(done, len(todo))
        try:
            loaded = load_item(item, previous=loaded, should_stop=should_stop)
        except HirescamError as exc:
            why = fault_words(item, exc)
            found += [EditComparison(item.number, ORIGINAL, who, None, why) for who in whose]
            continue
        found += _of_item(loaded, verdict_of, whose, should_stop)
    if progress is not None and todo:
        progress(len(todo), len(todo))
    return tuple(sorted(found, key=lambda each: (each.item, each.first, each.second)))


def _editors(item: Item, verdict_of: VerdictOf, readers: Sequence[str]) -> list[str]:
    return [
        reader
        for reader in readers
        if (verdict := verdict_of.get((item.number, reader))) and verdict.edit
    ]


def _of_item(
    loaded: LoadedItem,
    verdict_of: VerdictOf,
    whose: Sequence[str],
    should_stop: Callable[[], bool] | None,
) -> list[EditComparison]:
    number = loaded.item.number
    masks = {} if loaded.mask is None else {ORIGINAL: np.asarray(loaded.mask)}
    found = []
    for reader in whose:
        edit = verdict_of[number, reader].edit
        if edit is None:
            continue
        try:
            masks[reader] = read_edit(edit, loaded.ct)
        except HirescamError as exc:
            why = fault_words(loaded.item, exc)
            found.append(EditComparison(number, ORIGINAL, reader, None, why))
    for first, second in combinations(masks, 2):
        comparison = compare_masks(
            masks[first], masks[second], loaded.ct.spacing_mm, should_stop=should_stop
        )
        found.append(EditComparison(number, first, second, comparison))
    return found
