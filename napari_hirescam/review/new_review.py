"""Making a review of a work list: its order, its hidden repeats, its checks, its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from napari_hirescam.review.form import Form, Plan
from napari_hirescam.review.item import Item, MaskFacts
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.review.work_list import WorkList

#: A hidden repeat comes at least so many items later.
LEAST_APART = 10


def arrange(
    items: Sequence[Item], plan: Plan, facts: Mapping[int, MaskFacts] | None = None
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """Put items in the plan's order, add its hidden repeats, and number them anew.

    "random" shuffles the cases; what is judged in one case stays together, so that a CT is read
    and looked through once. "worst_first" goes by each item's worst finding.

    Parameters
    ----------
    items
        In the order of the table.
    plan
        Its order, seed and share of repeats.
    facts
        Number of an item -> what the checks found; needed for "worst_first".

    Returns
    -------
    The items, and what the user should know.

    Raises
    ------
    ReviewError
        The share of repeats is none, or the checks are missing.
    """
    raise NotImplementedError


def create_review(
    path: str | Path,
    plan: Plan,
    work_list: WorkList,
    *,
    check: bool = False,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ReviewFile:
    """Make a review's file of a work list.

    Parameters
    ----------
    path
        Where; nothing may be there.
    plan
        How it is done.
    work_list
        What is judged.
    check
        Whether the automatic checks run now, in processes of their own; "worst_first" needs them
        and runs them always. Every CT and mask is then read once.
    progress
        Told (items checked, items).
    should_stop
        Asked in between; nothing is left behind.

    Raises
    ------
    ReviewError
        The file cannot be made there, or the plan makes no sense.
    Cancelled
        `should_stop` said so.
    """
    raise NotImplementedError


def read_form(path: str | Path) -> Form:
    """Read what is asked from YAML: `mask`, `attention`, `reasons`, `questions`; see docs/review.md.

    Raises
    ------
    ReviewError
        It cannot be read, or a field of it makes no sense.
    """  # noqa: D205
    raise NotImplementedError
