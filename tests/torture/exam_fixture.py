"""Each case is made and read once, however many tests ask what became of it."""

from __future__ import annotations

from collections.abc import Callable

from torture.cases import Case
from torture.exam import Outcome, examine

OutcomeOf = Callable[[Case], Outcome]


def remember_outcomes(folders) -> OutcomeOf:
    """Return a function from case to outcome; `folders` is pytest's tmp_path_factory."""
    known: dict[str, Outcome] = {}

    def outcome_of(case: Case) -> Outcome:
        if case.name not in known:
            known[case.name] = examine(case, case.make(folders.mktemp("case")))
        return known[case.name]

    return outcome_of


def check(outcome: Outcome) -> None:
    """Fail with the reader's words if anything is wrong with an outcome."""
    words = f"\nthe reader said: {outcome.said}" if outcome.said else ""
    assert not outcome.complaint, f"{outcome.verdict}: {outcome.complaint}{words}"
