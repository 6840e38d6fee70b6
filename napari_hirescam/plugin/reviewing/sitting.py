"""One reader at one review: where they are, what they said, what is not on the disk yet.

Knows no Qt, so that the rules of going on can be read, and tested, by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari_hirescam.errors import ReviewError
from napari_hirescam.plugin.reviewing.answer_queue import AnswerQueue, Unsaved

if TYPE_CHECKING:
    from napari_hirescam.review.event import Edit, Event, EventKind, Verdict
    from napari_hirescam.review.form import Scale, YesNoQuestion
    from napari_hirescam.review.item import Item
    from napari_hirescam.review.review_file import ReviewFile, Row, Status

#: Events that change what is final.
_ANSWERS = frozenset({"rating", "reasons", "decision", "answer", "comment", "flag", "edit"})


class Sitting:
    """A reader's way through a review.

    Parameters
    ----------
    review
        Open, and used by this thread only.
    reader
        Who answers.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, review: ReviewFile, reader: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.review = review
        self.reader = reader
        self._clock = clock
        rows = review.rows(reader)
        self._order = [row.number for row in rows]
        self._place = {number: place for place, number in enumerate(self._order)}
        self._closed = {row.number for row in rows if row.done or row.unreadable}
        self._answers = AnswerQueue(review, reader)
        self._item: Item | None = None
        self._since = 0.0
        self._mask_sha256 = ""

    # -- where the reader is ---------------------------------------------------------------

    @property
    def item(self) -> Item | None:
        """What is in front of the reader."""
        return self._item

    @property
    def total(self) -> int:
        """Items in the work list."""
        return len(self._order)

    @property
    def left(self) -> int:
        """Items that are neither final nor unreadable."""
        return len(self._order) - len(self._closed)

    def first(self) -> int | None:
        """Where to begin: where the reader was, if that is open, else the first open item."""
        last = self.review.last_item(self.reader)
        if last is not None and last not in self._closed:
            return last
        return self.next_open(last)

    def next_open(self, after: int | None = None) -> int | None:
        """Find the next open item behind one, from the start once the end is reached."""
        begin = self._place[after] + 1 if after is not None else 0
        return next(
            (n for n in (*self._order[begin:], *self._order[:begin]) if n not in self._closed),
            None,
        )

    def neighbour(self, step: int) -> int | None:
        """Give the item so many places further in the work list, final or not."""
        if self._item is None:
            return None
        place = self._place[self._item.number] + step
        return self._order[place] if 0 <= place < len(self._order) else None

    def place(self, number: int) -> int:
        """Give an item's place in the work list, from 1."""
        return self._place[number] + 1

    def go(self, number: int) -> Item:
        """Turn to an item; the reader's clock starts when it is :meth:`seen`."""
        self._item = self.review.item(number)
        self._since, self._mask_sha256 = self._clock(), ""
        return self._item

    def seen(self, mask_sha256: str) -> None:
        """Say that the item is on the screen from now on, with this mask."""
        self._since, self._mask_sha256 = self._clock(), mask_sha256
        if self._current() in self._closed and self.verdict().unreadable:
            self._write("unreadable", None, "")  # it can be read again
            self._closed.discard(self._current())
        self._write("opened", None, "")

    def rows(self, status: Status = "all", search: str = "") -> Sequence[Row]:
        """Give the work list as the reader may see it.

        Where names are hidden, a search finds the numbers and organs of items, never cases.
        """
        if self.shows_names():
            return self.review.rows(self.reader, status=status, search=search)
        wanted = search.strip().lower()
        rows = self.review.rows(self.reader, status=status)
        return [row for row in rows if wanted in row.target.lower() or wanted == str(row.number)]

    # -- what the reader says --------------------------------------------------------------

    def say(self, kind: EventKind, value: Any, about: str = "") -> bool:
        """Keep an answer; one about a final item opens it again first.

        Returns
        -------
        bool
            Whether it is on the disk. If not, it is among :attr:`unsaved` and tried again with
            the next answer.
        """
        if kind in _ANSWERS:
            self.reopen()
        saved = self._write(kind, value, about)
        if kind in {"done", "unreadable"}:
            self._closed.add(self._current())
        return saved

    def reopen(self) -> None:
        """Make the item open again if it was final: something of it changes, or has changed."""
        if self.verdict().done:
            self._closed.discard(self._current())
            self._write("reopened", None, "")

    @property
    def unsaved(self) -> tuple[Unsaved, ...]:
        """What was said and is not on the disk, oldest first."""
        return self._answers.waiting

    def save_again(self) -> bool:
        """Try once more to save what is not on the disk; True if all of it is now."""
        return self._answers.write_again()

    def verdict(self) -> Verdict:
        """What holds for the item in front of the reader, what is not saved included."""
        number = self._current()
        return self._answers.laid_over(self.review.verdict(self.reader, number))

    def missing(self) -> tuple[str, ...]:
        """Name, in words, what must be answered before the item is final."""
        item, verdict = self._item, self.verdict()
        if item is None:
            return ()
        missing = [] if verdict.rating is not None else ["the rating"]
        if item.kind == "mask" and verdict.decision is None:
            missing.append("the decision")
        unanswered = sum(one.key not in verdict.answers for one in self.questions())
        if unanswered:
            missing.append("a question" if unanswered == 1 else f"{unanswered} questions")
        return tuple(missing)

    def finish_item(self) -> tuple[str, ...]:
        """Make the item final if it is complete; else give what is missing, in words."""
        missing = self.missing()
        if not missing and not self.verdict().done:
            self.say("done", True)
        return missing

    # -- what is asked ---------------------------------------------------------------------

    def scale(self) -> Scale:
        """Give the scale that the item in front of the reader is rated on."""
        form = self.review.plan.form
        return form.attention if self._item and self._item.kind == "attention" else form.mask

    def questions(self) -> tuple[YesNoQuestion, ...]:
        """Give the yes/no questions that are asked of the item."""
        kind = self._item.kind if self._item is not None else "mask"
        return tuple(one for one in self.review.plan.form.questions if one.about == kind)

    def about(self) -> dict[str, str]:
        """Give what else the table told of the item."""
        told = self._item.about if self._item is not None else {}
        return {
            key: text
            for key, text in told.items()
            if text and key != "of item" and not key.startswith("reader ")
        }

    def to_settle(self) -> tuple[dict[str, str], dict[str, Edit]]:
        """Give what readers differed on, in words, and their corrected masks, by reader."""
        from napari_hirescam.review.adjudication import answers_of, edits_of

        if self._item is None or not self.review.plan.adjudicates:
            return {}, {}
        return answers_of(self._item), edits_of(self.review, self._item)

    def shows_checks(self) -> bool:
        """Tell whether the reader may see what the automatic checks found."""
        return not self.review.plan.blinding.scores

    def shows_names(self) -> bool:
        """Tell whether the reader may see which scan it is."""
        return not self.review.plan.blinding.names

    def others(self) -> tuple[Verdict, ...]:
        """Give what others said of the item, if the reader may know it by now."""
        if self.review.plan.blinding.other_readers and not self.verdict().done:
            return ()
        names = [name for name in self.review.readers if name != self.reader]
        verdicts = [self.review.verdict(name, self._current()) for name in names]
        return tuple(one for one in verdicts if one.done)

    def history(self) -> list[Event]:
        """Give what the reader said of the item, oldest first."""
        return self.review.history(self._current(), self.reader)

    # -- inside ----------------------------------------------------------------------------

    def _current(self) -> int:
        if self._item is None:
            raise ReviewError("the review", "no item is on the screen", "Choose one in the list")
        return self._item.number

    def _write(self, kind: EventKind, value: Any, about: str) -> bool:
        seconds = max(self._clock() - self._since, 0.0)
        one = Unsaved(self._current(), kind, about, value, seconds, self._mask_sha256, "")
        return self._answers.write(one)
