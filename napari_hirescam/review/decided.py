"""What several readers' answers come to: one decision for each mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_hirescam.review.event import Edit
from napari_hirescam.review.form import Decision
from napari_hirescam.review.review_file import ReviewFile


@dataclass(frozen=True)
class Decided:
    """What becomes of one mask.

    Parameters
    ----------
    decision
        None if no reader whose word counts has finished it with a decision.
    edit
        The last edited copy of those who say "use"; None if there is none.
    readers
        Whose finished decisions it comes from.
    adjudicated
        Whether an adjudicating review settled it.
    unreadable
        Why a reader could not see it, if nobody decided; else empty.
    mask_sha256
        Of the mask that they saw; empty if it is not known.
    """

    decision: Decision | None
    edit: Edit | None = None
    readers: tuple[str, ...] = ()
    adjudicated: bool = False
    unreadable: str = ""
    mask_sha256: str = ""


def decided(*reviews: ReviewFile, rule: str = "strictest") -> Mapping[tuple[str, str], Decided]:
    """Settle what becomes of every mask of one or several reviews.

    Only finished items ("done") count. Hidden repeats decide nothing: they measure the reader.

    Parameters
    ----------
    reviews
        All of them; one that adjudicates another wins over it, whatever the rule.
    rule
        "strictest" (exclude before resegment before rough before use), "majority" (the strictest
        of those that are equally frequent), or a reader's name, who alone counts.

    Returns
    -------
    (case, organ) -> what becomes of it, for every mask item.

    Raises
    ------
    ReviewError
        No such reader; or the review that one of them adjudicates is not among them.
    """
    raise NotImplementedError
