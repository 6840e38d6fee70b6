"""Agreement of a review's readers with each other, and of each with themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from napari_hirescam.errors import Cancelled
from napari_hirescam.evaluation.intervals import N_REPLICATES, SEED, Estimate
from napari_hirescam.review.agreement import (
    COEFFICIENTS,
    Answers,
    CoefficientKey,
    require_agreement_packages,
)
from napari_hirescam.review.agreement_intervals import agreement
from napari_hirescam.review.asked import (
    Asked,
    VerdictOf,
    all_asked,
    between_readers,
    first_visits,
    repeats_of,
    with_oneself,
)
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item

_SCALE: tuple[CoefficientKey, ...] = tuple(COEFFICIENTS)
_NOMINAL: tuple[CoefficientKey, ...] = tuple(
    key for key, described in COEFFICIENTS.items() if not described.ordinal
)
#: For one organ among many: what two lines of a paper would hold.
_BY_TARGET: tuple[CoefficientKey, ...] = ("percent", "kappa_quadratic", "alpha_ordinal", "ac2")
#: Two answers of one reader are a pair; Fleiss' kappa and nominal alpha add nothing there.
_ALONE_LEFT_OUT = ("fleiss", "alpha_nominal")


@dataclass(frozen=True)
class AgreementFigure:
    """One coefficient.

    Parameters
    ----------
    between
        "readers", or "visits" of one reader to the same item.
    readers
        Whose answers.
    asked
        What about: a rating, a decision, ...
    target
        Organ or label; empty for all together.
    key
        Of `agreement.COEFFICIENTS`.
    estimate
        The figure; its interval is by scan, `n` counts items.
    """

    between: Literal["readers", "visits"]
    readers: tuple[str, ...]
    asked: Asked
    target: str
    key: CoefficientKey
    estimate: Estimate


def agreement_figures(
    plan: Plan,
    items: Sequence[Item],
    verdict_of: VerdictOf,
    readers: Sequence[str],
    *,
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[AgreementFigure, ...]:
    """Compute all figures of agreement; what was never answered twice is left out.

    Raises
    ------
    SettingsError
        A package that computes them is not installed.
    Cancelled
        If `should_stop` answered True.
    """
    require_agreement_packages()
    questions = all_asked(plan)
    found: list[AgreementFigure] = []
    for done, asked in enumerate(questions):
        if should_stop is not None and should_stop():
            raise Cancelled("measuring agreement was stopped")
        if progress is not None:
            progress(done, len(questions))
        judged = first_visits(items, asked.about)
        answers = between_readers(asked, judged, verdict_of, readers)
        # Who only looked in would leave no item that all have answered.
        gave = np.asarray(np.isfinite(answers).any(axis=0))
        answers, who = answers[:, gave], [r for r, any_ in zip(readers, gave, strict=True) if any_]
        draw = _Draw(asked, n_replicates, seed)
        if len(who) > 1 and _worth_asking(asked, answers):
            found += draw.between(answers, judged, who, "", _keys(asked))
            found += _by_target(draw, answers, judged, who)
        pairs = repeats_of(items, asked.about)
        for reader in readers:
            twice = with_oneself(asked, pairs, verdict_of, reader)
            if not np.isfinite(twice).all(axis=1).any() or not _worth_asking(asked, twice):
                continue
            keys = [key for key in _keys(asked) if key not in _ALONE_LEFT_OUT]
            scans = [pair[0].case for pair in pairs]
            found += draw.figures("visits", twice, scans, (reader,), "", keys)
    if progress is not None:
        progress(len(questions), len(questions))
    return tuple(found)


def _worth_asking(asked: Asked, answers: Answers) -> bool:
    """Whether anybody answered; of a reason, whether anybody ever ticked it."""
    given = answers[np.isfinite(answers)]
    return bool(given.any()) if asked.kind == "reason" else bool(given.size)


def _keys(asked: Asked) -> tuple[CoefficientKey, ...]:
    return _SCALE if asked.is_scale else _NOMINAL


def _by_target(
    draw: _Draw, answers: Answers, items: Sequence[Item], readers: Sequence[str]
) -> list[AgreementFigure]:
    targets = sorted({item.target for item in items})
    if not draw.asked.is_scale or len(targets) < 2:
        return []
    found: list[AgreementFigure] = []
    for target in targets:
        rows = np.array([item.target == target for item in items])
        of_target = [item for item in items if item.target == target]
        if np.isfinite(answers[rows]).any():
            found += draw.between(answers[rows], of_target, readers, target, _BY_TARGET)
    return found


@dataclass(frozen=True)
class _Draw:
    """What is asked, and how scans are drawn."""

    asked: Asked
    n_replicates: int
    seed: int

    def between(
        self,
        answers: Answers,
        items: Sequence[Item],
        readers: Sequence[str],
        target: str,
        keys: Sequence[CoefficientKey],
    ) -> list[AgreementFigure]:
        """Coefficients of a pair for each pair of readers, and all others for all readers."""
        scans = [item.case for item in items]
        single = [key for key in keys if not COEFFICIENTS[key].pair]
        of_pairs = [key for key in keys if COEFFICIENTS[key].pair]
        pairs = list(combinations(range(len(readers)), 2))
        found: list[AgreementFigure] = []
        for columns in pairs:
            two = answers[:, list(columns)]
            if len(pairs) > 1 and not np.isfinite(two).all(axis=1).any():
                continue  # of many readers, two need never have met
            names = tuple(readers[column] for column in columns)
            found += self.figures("readers", two, scans, names, target, of_pairs)
        return found + self.figures("readers", answers, scans, tuple(readers), target, single)

    def figures(
        self,
        between: Literal["readers", "visits"],
        answers: Answers,
        scans: Sequence[str],
        readers: tuple[str, ...],
        target: str,
        keys: Sequence[CoefficientKey],
    ) -> list[AgreementFigure]:
        estimates = agreement(
            keys,
            answers,
            len(self.asked.answers),
            scans,
            n_replicates=self.n_replicates,
            seed=self.seed,
        )
        return [
            AgreementFigure(between, readers, self.asked, target, key, estimate)
            for key, estimate in estimates.items()
        ]
