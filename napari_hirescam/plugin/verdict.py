"""What is proven of a picture, in plain words: a symbol, a colour, a few words and a why."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from napari_hirescam.attention.result import Guarantee, GuaranteeState

GOOD_COLOUR = "#4caf7d"
SAME_COLOUR = "#5aa9e6"
DOUBT_COLOUR = "#d28c1e"
WRONG_COLOUR = "#e5534b"


@dataclass(frozen=True)
class Verdict:
    """How far a picture can be trusted; never told by its colour alone.

    Parameters
    ----------
    symbol, colour, words
        What is shown.
    why
        The tool tip: what the words mean for whoever reads the picture.
    """

    symbol: str
    colour: str
    words: str
    why: str

    def html(self) -> str:
        """Write symbol and words in the verdict's colour."""
        return f'<span style="color:{self.colour}">{self.symbol} <b>{escape(self.words)}</b></span>'


EXACT = Verdict(
    "✔",
    GOOD_COLOUR,
    "Exact",
    "Between the target layer and the score everything is linear. So the cells of a HiResCAM map "
    "add up, with the bias, to the score itself: each cell is its own part of the score.",
)
IDENTICAL = Verdict(
    "≡",
    SAME_COLOUR,
    "Identical by construction",
    "The model averages each feature map over all its cells and weighs the averages. HiResCAM "
    "and Grad-CAM are then one and the same map, and it adds up, with the bias, to the score.",
)
LOCAL = Verdict(
    "≈",
    DOUBT_COLOUR,
    "Local approximation",
    "Between the target layer and the score something is not linear. The map says how the score "
    "answers to small changes at this CT; its cells are not parts of the score.",
)
NOT_PARTS = Verdict(
    "≠",
    DOUBT_COLOUR,
    "Not the score's own parts",
    "This method weighs the features by something else than what each place of them adds to the "
    "score. A cell of it is not a part of the score, and may lie where the model took nothing "
    "from.",
)
BROKEN = Verdict(
    "✘",
    WRONG_COLOUR,
    "Does not add up",
    "The cells should add up to the score here, and do not. Do not trust this map.",
)


def verdict_of(guarantee: Guarantee) -> Verdict:
    """Put what is known of a target layer into words."""
    if not guarantee.holds:
        return LOCAL
    if guarantee.state is GuaranteeState.IDENTICAL or guarantee.same_picture:
        return IDENTICAL
    return EXACT
