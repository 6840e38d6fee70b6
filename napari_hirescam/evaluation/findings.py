"""What a test of an explanation found: which map it was about, and how numbers are worded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

Row = tuple[str | int | float, ...]
#: Column names, and the rows below them.
Table = tuple[tuple[str, ...], list[Row]]


@dataclass(frozen=True)
class MapFacts:
    """Which map was tested.

    Parameters
    ----------
    label, method, method_title
        The label, the method's key and its name.
    ct, model, target_layer
        Names.
    logit, probability
        The label's score.
    promised
        True if each cell of the map is meant to be what it adds to the logit.
    reason
        Why it is, or is not.
    seed
        Of whatever was random.
    provenance
        Of the explanation; plain JSON values.
    """

    label: str
    method: str
    method_title: str
    ct: str
    model: str
    target_layer: str
    logit: float
    probability: float
    promised: bool
    reason: str
    seed: int
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """One line that names the map."""
        return f"{self.label}, {self.method_title} at {self.target_layer}"


class Finding(Protocol):
    """The outcome of one test of one map."""

    #: Short name of the test, for files and for choosing.
    key: ClassVar[str]

    @property
    def subject(self) -> MapFacts:
        """The map that was tested."""

    def sentences(self) -> tuple[str, ...]:
        """Say what was found: the headline first."""

    def table(self) -> Table:
        """Every number of the curves."""

    def facts(self) -> dict[str, Any]:
        """Everything but the curves, as plain JSON values."""


def number(value: float, like: float | None = None) -> str:
    """Write a number as people read it: two decimals, or two digits if it is small.

    `like` is another number it will be compared with: both get the same number of decimals.
    """
    size = max(abs(value), abs(like)) if like is not None else abs(value)
    if size == 0:
        return "0"
    if size < 1e-4 or size >= 1e5:
        text = f"{value:.1e}"
    else:
        text = f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")


def takes(falls: float, *, plural: bool = False) -> str:
    """Write "takes 3.41 from", or "adds 0.20 to" where a score rises instead."""
    if falls >= 0:
        return f"take{'' if plural else 's'} {number(falls)} from"
    return f"add{'' if plural else 's'} {number(-falls)} to"


def signed(value: float) -> str:
    """Write a number with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def count_cells(count: int, which: str, article: str = "") -> str:
    """Write "12 strongest cells", or "strongest cell" after an article of its own."""
    return f"{article} {which} cell".strip() if count == 1 else f"{count} {which} cells"


def subject_facts(subject: MapFacts) -> dict[str, Any]:
    """Say which map it was, in plain JSON values."""
    facts = asdict(subject)
    return {**facts.pop("provenance"), **facts}
