"""What readers did. Events are only ever added; what holds now is the last of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from napari_hirescam.review.form import Decision

#: What an event says. "answer" has the question's key in `about`; "done" holds until "reopened".
EventKind = Literal[
    "opened",
    "rating",
    "reasons",
    "decision",
    "answer",
    "comment",
    "flag",
    "edit",
    "unreadable",
    "done",
    "reopened",
]


@dataclass(frozen=True)
class Event:
    """One thing that a reader did to one item.

    Parameters
    ----------
    number
        Its place among all events of the review.
    item
        The item's number.
    reader
        Who.
    kind, about
        What; see :data:`EventKind`.
    value
        JSON: a rating's int, the keys of reasons, a decision, true or false, a comment's text, an
        edited mask's file and SHA-256. None takes back what was said.
    time
        UTC.
    seconds
        How long the item had been in front of the reader.
    software
        Version of this package.
    mask_sha256
        Of the mask that was seen; empty if there was none.
    """

    number: int
    item: int
    reader: str
    kind: EventKind
    about: str
    value: Any
    time: datetime
    seconds: float
    software: str
    mask_sha256: str


@dataclass(frozen=True)
class Edit:
    """An edited copy of a mask.

    Parameters
    ----------
    file
        NIfTI on the CT's grid, 1 inside; the mask that was judged is never touched.
    sha256
        Of the file.
    """

    file: Path
    sha256: str


@dataclass(frozen=True)
class Verdict:
    """What holds now for one item and one reader: the last event of each kind.

    Parameters
    ----------
    item, reader
        Whose.
    rating
        1 to 5; None if not given.
    reasons
        Keys of the form's reasons.
    decision
        None if not taken.
    answers
        Question's key -> yes or no.
    comment, flagged
        As said.
    edit
        The last edited copy; None if there is none.
    unreadable
        Why CT or mask could not be shown; empty if they could.
    done
        Whether the reader says it is final.
    seconds
        In front of the reader, all visits together.
    last
        Time of the last event; None if there is none.
    """

    item: int
    reader: str
    rating: int | None = None
    reasons: tuple[str, ...] = ()
    decision: Decision | None = None
    answers: Mapping[str, bool] = field(default_factory=dict)
    comment: str = ""
    flagged: bool = False
    edit: Edit | None = None
    unreadable: str = ""
    done: bool = False
    seconds: float = 0.0
    last: datetime | None = None
