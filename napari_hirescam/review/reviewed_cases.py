"""Cases as a review left them: without those it rejected, with the masks it corrected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from napari_hirescam.cases import CaseTable


def reviewed_cases(
    table: CaseTable,
    review: str | Path | Sequence[str | Path],
    *,
    rule: str = "strictest",
    unreviewed: Literal["keep", "leave"] = "keep",
) -> CaseTable:
    """Let a review's decisions reach the cases it judged.

    A case leaves if any of its masks is excluded or to be segmented anew. Where "rough" was
    decided, rough regions take the organ's place; where a mask was corrected, the last corrected
    copy does, if its SHA-256 is still what it was.

    Parameters
    ----------
    table
        The cases; their names are those of the review.
    review
        Its file, or several: a review and the one that adjudicates it, or of parts of the table.
    rule
        Whose word counts; see :func:`decided`.
    unreviewed
        Whether cases with a mask that nobody decided on stay as they are, or leave.

    Returns
    -------
    The cases that stay; `notes` says what left and why, with counts.

    Raises
    ------
    ReviewError
        A review cannot be opened, has no such reader or no case of the table, or leaves none.
    """
    raise NotImplementedError
