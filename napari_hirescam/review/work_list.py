"""From a table or a folder to what is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_hirescam.review.item import Item
from napari_hirescam.review.table_columns import Recognised, Role


@dataclass(frozen=True)
class Problem:
    """Why a row or file gave no item.

    Parameters
    ----------
    row
        As a spreadsheet counts: the heading is row 1; None for a folder.
    case
        Its name, as far as it is known.
    reason
        One clause.
    """

    row: int | None
    case: str
    reason: str


@dataclass(frozen=True)
class WorkList:
    """What there is to judge, in the order of the table.

    Parameters
    ----------
    items
        Numbered from 1 on.
    notes
        What the user should know, one sentence each.
    problems
        What was left out.
    """

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def plan_items(
    path: str | Path | Recognised,
    *,
    columns: Mapping[Role, str] | None = None,
    organs: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    organ_table: str | None = None,
    model: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> WorkList:
    """Make the items of a table or folder.

    Parameters
    ----------
    path
        As for :func:`recognise`, or what it answered.
    columns
        As for :func:`recognise`.
    organs
        Organs to judge in every scan; () judges none. None takes those that the masks tell of: by
        their columns, files' names, or table of values; masks are opened only where none of these
        says it.
    labels
        Labels whose maps are judged; () judges none. None takes those that have a map, and, where
        there is a model, those that are present in the scan.
    organ_table
        Which value of a label map is which organ, where the table does not say: a file, or the
        name of a built-in table.
    model
        Model that makes the maps, where the table does not say.
    progress
        Called with (done, total).
    should_stop
        Asked in between.

    Raises
    ------
    ReviewError
        It cannot be read, or nothing in it can be judged; with the first rows' reasons.
    Cancelled
        `should_stop` said so.
    """
    raise NotImplementedError
