"""What readers are asked: one form for a whole review, settled before the first answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: What is judged: the mask of an organ, or where a map of attention lies.
ItemKind = Literal["mask", "attention"]
#: What becomes of a mask.
Decision = Literal["use", "rough", "resegment", "exclude"]
#: From the mildest to the strictest.
DECISIONS: tuple[Decision, ...] = ("use", "rough", "resegment", "exclude")
#: How the work list is put in order.
Order = Literal["given", "random", "worst_first"]


@dataclass(frozen=True)
class Scale:
    """An ordinal scale from 1 upwards; keys 1 to 5 answer it.

    Parameters
    ----------
    question
        A sentence that ends in a question mark.
    captions
        What 1, 2, ... stand for, five at most.
    """

    question: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class YesNoQuestion:
    """A free question that is answered by yes or no.

    Parameters
    ----------
    key
        Its name in tables; an identifier.
    text
        A sentence that ends in a question mark.
    about
        Which items it is asked of.
    """

    key: str
    text: str
    about: ItemKind = "mask"


#: The five steps of mask quality that radiology groups use (Likert).
MASK_QUALITY = Scale(
    "How good is this mask?",
    ("unusable", "major edits", "minor edits that matter", "acceptable", "perfect"),
)
#: Where the attention lies, from the worst place to the best.
ATTENTION_PLACE = Scale(
    "Where does the attention lie?",
    ("outside the body", "on an artefact or text", "right side", "right organ", "right finding"),
)
#: What may be wrong with a mask: key -> words.
MASK_REASONS: dict[str, str] = {
    "missing_part": "a part is missing",
    "leak": "leaks into airways or bowel",
    "effusion_left_out": "effusion is left out",
    "disease_left_out": "diseased tissue is left out",
    "wrong_side": "wrong side",
    "wrong_organ": "another organ",
    "jagged": "jagged or missing slices",
    "motion_or_metal": "motion or metal",
    "other": "something else",
}


@dataclass(frozen=True)
class Blinding:
    """What readers do not see.

    Parameters
    ----------
    scores
        Model scores, labels, the automatic checks and their order.
    names
        Names of cases and patients; they see the item's number.
    other_readers
        What others answered, until the reader has finished the item.
    """

    scores: bool = False
    names: bool = False
    other_readers: bool = True


@dataclass(frozen=True)
class Form:
    """What is asked of every item.

    Parameters
    ----------
    mask, attention
        The scale for each kind of item.
    reasons
        Key -> words, for masks.
    questions
        Asked besides.
    """

    mask: Scale = MASK_QUALITY
    attention: Scale = ATTENTION_PLACE
    reasons: dict[str, str] = field(default_factory=lambda: dict(MASK_REASONS))
    questions: tuple[YesNoQuestion, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How a review is done; it never changes.

    Parameters
    ----------
    name
        Of the review, for titles.
    form, blinding
        What is asked, and what is hidden.
    order
        Of the work list.
    seed
        Of a random order and of the hidden repeats.
    repeat_share
        Share of the items that come back once, later and unannounced (0.1, say).
    adjudicates
        Name of the review whose disagreements this one settles; empty if it settles none.
    """

    name: str
    form: Form = field(default_factory=Form)
    blinding: Blinding = field(default_factory=Blinding)
    order: Order = "given"
    seed: int = 0
    repeat_share: float = 0.0
    adjudicates: str = ""
