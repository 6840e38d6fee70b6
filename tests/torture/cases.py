"""The form of one case, and how they are collected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from torture.judge import Made, Verdict

Maker = Callable[[Path], Made]


@dataclass(frozen=True, eq=False)
class Case:
    """One awkward file or series.

    Parameters
    ----------
    name
        What is awkward about it.
    make
        Writes it into an empty folder.
    allowed
        The verdicts a safe reader may earn.
    because
        Pattern that the reason of a refusal or of a question must match.
    repairs
        Which repairs it takes, by name; the user agrees to these only.
    remark
        Pattern that the notes, facts or repairs of an opened scan must match.
    quantity
        What the numbers are: "HU", "labels" or "unknown".
    kind
        Of the voxel type: "i" any integer, "f" floating point, "" either.
    is_volume
        False if it holds something else (colours, vectors, one picture), which this package
        refuses and a reader of images in general may rightly hand out.
    """

    name: str
    make: Maker
    allowed: frozenset[Verdict]
    because: str = ""
    repairs: tuple[str, ...] = ()
    remark: str = ""
    quantity: str = "HU"
    kind: str = "i"
    is_volume: bool = True


@dataclass
class Catalogue:
    """The cases of one family, in the order they were written."""

    cases: list[Case] = field(default_factory=list)

    def case(
        self, name: str, allowed: Verdict | Iterable[Verdict] = Verdict.RIGHT, **more: object
    ) -> Callable[[Maker], Maker]:
        """Enter a maker as a case."""
        verdicts = frozenset({allowed} if isinstance(allowed, Verdict) else allowed)

        def enter(make: Maker) -> Maker:
            self.cases.append(Case(name, make, verdicts, **more))  # type: ignore[arg-type]
            return make

        return enter
