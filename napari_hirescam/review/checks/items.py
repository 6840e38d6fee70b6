"""Checks of items as the work list has them: CT and mask are read here, and whatever is wrong with
the files is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from napari_hirescam.review.item import Item, MaskFacts

Progress = Callable[[int, int], None]
ShouldStop = Callable[[], bool]


def check_item(
    item: Item, *, progress: Progress | None = None, should_stop: ShouldStop | None = None
) -> MaskFacts:
    """Read CT and mask of an item and check the mask.

    What cannot be read, or does not lie on the CT, is a finding of severity 1 ("unreadable",
    "grid") in facts whose figures are NaN. An item without a mask has no findings.

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    raise NotImplementedError


def check_items(
    items: Iterable[Item],
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Iterator[tuple[Item, MaskFacts]]:
    """Check many; items of one CT that follow one another share what is found in it.

    Parameters
    ----------
    progress
        Called with (items done, items in all).

    Raises
    ------
    Cancelled
        `should_stop` said so.
    """
    raise NotImplementedError
