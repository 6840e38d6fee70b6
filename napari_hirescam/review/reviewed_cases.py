"""Cases as a review left them: without those it rejected, with the masks it corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

from napari_hirescam.cases import Case, CaseTable
from napari_hirescam.errors import ReviewError
from napari_hirescam.organs.organ_tables import organ_name
from napari_hirescam.organs.partition import VALUES
from napari_hirescam.review.decided import Decided, decided
from napari_hirescam.review.item import Item
from napari_hirescam.review.review_file import ReviewFile
from napari_hirescam.review.reviewed_case import ReviewedCase, reads_another_mask

_MOST_NAMED = 5


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
        A review cannot be opened, is damaged, has no such reader or no case of the table, or
        leaves none.
    """
    paths = [review] if isinstance(review, (str, Path)) else list(review)
    with ExitStack() as stack:
        files = [stack.enter_context(ReviewFile.open(path, read_only=True)) for path in paths]
        opened = [stack.enter_context(file.snapshot()) for file in files]
        for one in opened:
            one.verify()
        if not opened:
            raise ReviewError("reviewed", "no review is named", "Name its file")
        found = decided(*opened, rule=rule)
        judged = {
            (item.case, item.target): item
            for one in opened
            for item in one.items()
            if item.kind == "mask"
        }
        names = "the review " if len(opened) == 1 else "the reviews "
        names += " and ".join(repr(one.plan.name) for one in opened)
    by_case: dict[str, dict[str, Decided]] = {}
    for (name, organ), what in found.items():
        by_case.setdefault(name, {})[organ] = what
    if not any(case.name in by_case for case in table.cases):
        raise ReviewError(
            paths[0],
            f"it has judged masks of no case of {table.name}",
            "Give the review of these cases; they have the names that they had there",
        )
    tally = _Tally(names, len(table.cases))
    cases = []
    for case in table.cases:
        why = _why_it_leaves(by_case.get(case.name, {}), unreviewed)
        if why is not None:
            tally.leaves(case.name, why)
            continue
        cases.append(_as_reviewed(case, by_case.get(case.name, {}), judged, tally))
    if not cases:
        raise ReviewError(
            paths[0], f"it leaves no case of {table.name}: {tally.reasons()}", "Review more cases"
        )
    known = {case.name for case in table.cases}
    notes = tally.notes(sorted(known - set(by_case)), sorted(set(by_case) - known), unreviewed)
    return replace(table, cases=tuple(cases), notes=(*table.notes, *notes))


def _why_it_leaves(
    judged: Mapping[str, Decided], unreviewed: Literal["keep", "leave"]
) -> str | None:
    decisions = {what.decision for what in judged.values()}
    if "exclude" in decisions:
        return "excluded"
    if "resegment" in decisions:
        return "to be segmented anew"
    impossible = sorted(
        organ
        for organ, what in judged.items()
        if what.decision == "rough" and organ_name(organ) not in VALUES
    )
    if impossible:
        return f"without a region to take for a rough {impossible[0]}"
    if unreviewed == "leave" and (not judged or None in decisions):
        return "not decided on"
    return None


def _as_reviewed(
    case: Case,
    judged: Mapping[str, Decided],
    items: Mapping[tuple[str, str], Item],
    tally: _Tally,
) -> Case:
    """Wrap a case that stays, if anything in it is to be replaced or held to its word."""
    edits, rough, seen = {}, [], {}
    for organ, what in sorted(judged.items()):
        name = organ_name(organ)
        if what.decision is None:
            tally.undecided += 1
            tally.unreadable += bool(what.unreadable)
        elif what.decision == "rough":
            rough.append(name)
        elif what.edit is not None:
            edits[name] = what.edit
        elif what.mask_sha256:
            seen[name] = (items[case.name, organ], what.mask_sha256)
            tally.elsewhere += reads_another_mask(case, items[case.name, organ])
    tally.rough += len(rough)
    tally.corrected += len(edits)
    if not (edits or rough or seen):
        return case
    return ReviewedCase(
        case.name,
        case.patient,
        case.split,
        case.labels,
        case.allowed,
        base=case,
        edits=edits,
        rough=tuple(rough),
        seen=seen,
    )


class _Tally:
    """Counts what becomes of cases and masks, for the notes."""

    def __init__(self, reviews: str, n_cases: int) -> None:
        self.reviews, self.n_cases = reviews, n_cases
        self.why: dict[str, list[str]] = {}
        self.rough = self.corrected = self.undecided = self.unreadable = self.elsewhere = 0

    def leaves(self, case: str, why: str) -> None:
        """Count a case that leaves."""
        self.why.setdefault(why, []).append(case)

    def reasons(self) -> str:
        """How many leave for what, and some of their names."""
        told = []
        for why, names in self.why.items():
            told.append(f"{len(names)} {why} ({_some(names)})")
        return "; ".join(told)

    def notes(
        self,
        unknown: Sequence[str],
        others: Sequence[str],
        unreviewed: Literal["keep", "leave"],
    ) -> tuple[str, ...]:
        """What the user should know, one sentence each.

        Parameters
        ----------
        unknown, others
            Cases that only the table, and only the review, tells of.
        unreviewed
            What becomes of the former.
        """
        leaving = sum(map(len, self.why.values()))
        notes = [
            f"By {self.reviews}, {leaving} of {self.n_cases} cases leave"
            + (f": {self.reasons()}." if leaving else ".")
        ]
        if self.corrected:
            notes.append(f"{_masks(self.corrected)} by a corrected copy.")
        if self.rough:
            notes.append(f"{_masks(self.rough)} by rough regions.")
        if self.undecided:
            unreadable = f" ({self.unreadable} of them unreadable)" if self.unreadable else ""
            count = f"{self.undecided} masks" if self.undecided > 1 else "A mask"
            stay = "stay" if self.undecided > 1 else "stays"
            notes.append(f"{count} that nobody finished deciding on{unreadable} {stay} as drawn.")
        if self.elsewhere:
            notes.append(
                "Masks that were agreed to and are not the files that the table names: "
                f"{self.elsewhere}. Whether those are the same was not looked at."
            )
        if unknown and unreviewed == "keep":
            notes.append(
                "Cases of the table that are not in the review, and stay as drawn: "
                f"{len(unknown)} ({_some(unknown)})."
            )
        if others:
            notes.append(
                f"Cases of the review that are not in the table: {len(others)} ({_some(others)})."
            )
        return tuple(notes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")


def _masks(count: int) -> str:
    return "A mask is replaced" if count == 1 else f"{count} masks are replaced"
