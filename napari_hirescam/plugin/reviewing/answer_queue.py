"""Answers on their way to the disk, in the order in which they were given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ReviewError
from napari_hirescam.review.event import EventKind, Verdict

if TYPE_CHECKING:
    from napari_hirescam.review.review_file import ReviewFile


@dataclass(frozen=True)
class Unsaved:
    """An answer that was given and is not on the disk, and why.

    Parameters
    ----------
    item, kind, about, value
        As :meth:`~napari_hirescam.review.review_file.ReviewFile.record` takes them.
    seconds
        How long the item had been in front of the reader.
    mask_sha256
        Of the mask that was seen.
    why
        What the disk said.
    """

    item: int
    kind: EventKind
    about: str
    value: Any
    seconds: float
    mask_sha256: str
    why: str


class AnswerQueue:
    """Writes answers at once; what cannot be written waits, and nothing overtakes it.

    Parameters
    ----------
    review
        Where they are kept.
    reader
        Whose they are.
    """

    def __init__(self, review: ReviewFile, reader: str) -> None:
        self._review = review
        self._reader = reader
        self._waiting: list[Unsaved] = []

    @property
    def waiting(self) -> tuple[Unsaved, ...]:
        """What was said and is not on the disk, oldest first."""
        return tuple(self._waiting)

    def write(self, one: Unsaved) -> bool:
        """Write an answer; True if it is on the disk."""
        if self._waiting and not self.write_again():
            self._waiting.append(replace(one, why=self._waiting[0].why))
            return False
        failed = self._record(one)
        if failed is not None:
            self._waiting.append(failed)
        return failed is None

    def write_again(self) -> bool:
        """Try once more what is not on the disk; True if all of it is now."""
        waiting, self._waiting = self._waiting, []
        for place, one in enumerate(waiting):
            failed = self._record(one)
            if failed is not None:
                # In the order in which they were said: the last of a kind is what holds.
                self._waiting = [failed, *waiting[place + 1 :]]
                return False
        return True

    def laid_over(self, verdict: Verdict) -> Verdict:
        """Lay what is not saved over what is."""
        for one in self._waiting:
            if one.item == verdict.item:
                verdict = _with(verdict, one)
        return verdict

    def _record(self, one: Unsaved) -> Unsaved | None:
        try:
            self._review.record(
                self._reader,
                one.item,
                one.kind,
                one.value,
                about=one.about,
                seconds=one.seconds,
                mask_sha256=one.mask_sha256,
            )
        except ReviewError as error:
            return replace(one, why=str(error))
        return None


def _with(verdict: Verdict, one: Unsaved) -> Verdict:
    """Lay an answer that is not saved over what is."""
    value = one.value
    match one.kind:
        case "rating":
            return replace(verdict, rating=value)
        case "reasons":
            return replace(verdict, reasons=tuple(value or ()))
        case "decision":
            return replace(verdict, decision=value)
        case "answer":
            answers = {key: said for key, said in verdict.answers.items() if key != one.about}
            return replace(verdict, answers=answers | ({} if value is None else {one.about: value}))
        case "comment":
            return replace(verdict, comment=value or "")
        case "flag":
            return replace(verdict, flagged=bool(value))
        case "unreadable":
            return replace(verdict, unreadable=value or "")
        case "done" | "reopened":
            return replace(verdict, done=one.kind == "done")
    return verdict
