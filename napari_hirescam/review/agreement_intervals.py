"""Intervals of agreement: every coefficient in each of a thousand draws of the scans at once.

Organs of one scan are judged together, so a draw takes scans, each with all its items. A draw is
a row of weights, how often each item was drawn. Each coefficient rests on sums over items, and a
sum over the items of all draws is one product of matrices: nothing is approximated, and a test
holds each row to what the library says of the items so repeated.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from napari_hirescam.evaluation.intervals import (
    N_REPLICATES,
    SEED,
    Estimate,
    Weights,
    estimate,
    resample,
)
from napari_hirescam.review.agreement import (
    COEFFICIENTS,
    NEED_ALL,
    Answers,
    CoefficientKey,
    answered_twice,
    coefficient,
    counts,
)
from napari_hirescam.volume import FloatArray

#: Chance-expected disagreement below this is none but for rounding.
_NONE = 1e-12


def agreement(
    keys: Sequence[CoefficientKey],
    answers: Answers,
    n_categories: int,
    scans: Sequence[Hashable],
    *,
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
) -> dict[CoefficientKey, Estimate]:
    """Compute coefficients with intervals by resampling scans.

    Parameters
    ----------
    keys
        Which coefficients.
    answers
        [items, readers]; see `agreement`.
    n_categories
        How many answers the question has.
    scans
        The scan of each item.
    n_replicates, seed
        Draws of the scans.

    Returns
    -------
    For each key the figure, its 95 % interval, the items it rests on (those that two readers or
    more answered; all readers, for Fleiss' kappa and the ICC), and a note where there is no figure
    or no interval.
    """
    # What nobody answered tells nothing, and its scans are none of the sample.
    answered = np.asarray(np.isfinite(answers).any(axis=1))
    answers = answers[answered]
    scans = [scan for scan, kept in zip(scans, answered, strict=True) if kept]
    several, everybody = answered_twice(answers), np.isfinite(answers).all(axis=1)
    n = int(several.sum())
    weights = resample(scans, n_replicates, seed) if n else np.ones((1, len(answers)))
    found: dict[CoefficientKey, Estimate] = {}
    for key in keys:
        value, note = coefficient(key, answers, n_categories)
        if np.isnan(value):
            found[key] = Estimate(value, value, value, n, note)
            continue
        drawn = replicates(key, answers, n_categories, weights)
        drawn[0] = value
        rests_on = several & everybody if key in NEED_ALL else several
        found[key] = estimate(drawn, int(rests_on.sum()), note)
    return found


def replicates(
    key: CoefficientKey, answers: Answers, n_categories: int, weights: Weights
) -> FloatArray:
    """Compute a coefficient in each draw.

    Parameters
    ----------
    key, answers, n_categories
        As for `agreement.coefficient`.
    weights
        [draws, items]: how often each item was drawn.

    Returns
    -------
    float64 [draws]; NaN where the coefficient is not defined.
    """
    if COEFFICIENTS[key].pair:
        return _cohen(answers, n_categories, weights, key)
    if key == "icc":
        return _icc(answers, weights)
    table = counts(answers, n_categories)
    if key == "fleiss":
        complete = np.isfinite(answers).all(axis=1)
        return _fleiss(table[complete], weights[:, complete])
    if key in ("alpha_nominal", "alpha_ordinal"):
        return _alpha(table, weights, ordinal=key == "alpha_ordinal")
    similar = ordinal_weights(n_categories) if key == "ac2" else np.eye(n_categories)
    observed, expected = _gwet(table, weights, similar)
    return observed if key == "percent" else _over_chance(observed, expected)


def ordinal_weights(n_categories: int) -> FloatArray:
    """Gwet's ordinal weights: 1 less the share of pairs of categories from one to the other.

    1 - C(|k - l| + 1, 2) / C(q, 2) (Gwet 2014), [q, q].
    """
    steps = np.arange(n_categories)
    apart = np.abs(steps[:, None] - steps[None, :]) + 1.0
    weights: FloatArray = 1 - apart * (apart - 1) / (n_categories * (n_categories - 1))
    return weights


def _cohen(
    answers: Answers, n_categories: int, weights: Weights, key: CoefficientKey
) -> FloatArray:
    both = answered_twice(answers)
    pairs = answers[both].astype(int)
    cell = np.zeros((len(pairs), n_categories**2))
    cell[np.arange(len(pairs)), pairs[:, 0] * n_categories + pairs[:, 1]] = 1
    table = _shares(weights[:, both] @ cell).reshape(-1, n_categories, n_categories)
    by_chance = table.sum(axis=2)[:, :, None] * table.sum(axis=1)[:, None, :]
    steps = np.arange(n_categories)
    apart = np.abs(steps[:, None] - steps[None, :])
    cost = {"kappa": apart > 0, "kappa_linear": apart, "kappa_quadratic": apart**2}[key]
    disagree = (table * cost).sum(axis=(1, 2))
    return _ratio(disagree, (by_chance * cost).sum(axis=(1, 2)))


def _fleiss(table: FloatArray, weights: Weights) -> FloatArray:
    n_readers = float(table[0].sum())
    agree = (table**2).sum(axis=1) - n_readers
    observed = _mean(weights, agree / (n_readers * (n_readers - 1)))
    share = _shares(weights @ table)
    return _over_chance(observed, (share**2).sum(axis=1))


def _alpha(table: FloatArray, weights: Weights, *, ordinal: bool) -> FloatArray:
    several = table.sum(axis=1) >= 2
    table, weights = table[several], weights[:, several]
    size = table.shape[1]
    pairs = table[:, :, None] * table[:, None, :] - table[:, :, None] * np.eye(size)
    pairs /= (table.sum(axis=1) - 1)[:, None, None]
    seen = (weights @ pairs.reshape(len(table), -1)).reshape(-1, size, size)
    values = seen.sum(axis=2)
    outer = values[:, :, None] * values[:, None, :] - values[:, :, None] * np.eye(size)
    n = values.sum(axis=1)
    by_chance = np.divide(
        outer, (n - 1)[:, None, None], out=np.zeros_like(outer), where=n[:, None, None] > 1
    )
    cost: FloatArray = 1 - np.eye(size)[None]
    if ordinal:
        # Krippendorff counts half of either end and all that lies between: a distance of ranks.
        rank = np.cumsum(values, axis=1) - values / 2
        cost = (rank[:, :, None] - rank[:, None, :]) ** 2
    return _ratio((seen * cost).sum(axis=(1, 2)), (by_chance * cost).sum(axis=(1, 2)))


def _gwet(
    table: FloatArray, weights: Weights, similar: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Observed and expected agreement of AC1 (identity) and AC2, each [draws]."""
    answered = table.sum(axis=1)
    several = answered >= 2
    agree = (table * (table @ similar - 1)).sum(axis=1)[several]
    agree /= (answered * (answered - 1))[several]
    observed = _mean(weights[:, several], agree)
    anyone = answered >= 1
    share = _shares(weights[:, anyone] @ (table[anyone] / answered[anyone, None]))
    size = table.shape[1]
    hard = (share * (1 - share)).sum(axis=1) / (size * (size - 1))
    return observed, similar.sum() * hard


def _icc(answers: Answers, weights: Weights) -> FloatArray:
    """ICC(2,1) = ICC(A,1): two-way random, absolute agreement, one reader."""
    complete = np.isfinite(answers).all(axis=1)
    x, w = answers[complete], weights[:, complete]
    k = x.shape[1]
    n = w.sum(axis=1)
    readers = _divide(w @ x, n[:, None])
    mean = readers.mean(axis=1)
    between_items = k * (w @ x.mean(axis=1) ** 2 - n * mean**2)
    between_readers = n * ((readers - mean[:, None]) ** 2).sum(axis=1)
    total = w @ (x**2).sum(axis=1) - n * k * mean**2
    ms_items = _divide(between_items, n - 1)
    ms_readers = between_readers / (k - 1)
    ms_error = _divide(total - between_items - between_readers, (n - 1) * (k - 1))
    whole = ms_items + (k - 1) * ms_error + k * _divide(ms_readers - ms_error, n)
    return _divide(ms_items - ms_error, np.where(np.abs(whole) < _NONE, 0.0, whole))


def _mean(weights: Weights, values: FloatArray) -> FloatArray:
    return _divide(weights @ values, weights.sum(axis=1))


def _shares(totals: FloatArray) -> FloatArray:
    return _divide(totals, totals.sum(axis=1, keepdims=True))


def _over_chance(observed: FloatArray, expected: FloatArray) -> FloatArray:
    return _ratio(1 - observed, 1 - expected)


def _ratio(disagreement: FloatArray, by_chance: FloatArray) -> FloatArray:
    """1 less observed over expected disagreement; NaN where none is expected."""
    kept = np.where(by_chance > _NONE, by_chance, 0.0)
    return 1 - _divide(disagreement, kept)


def _divide(top: npt.NDArray[np.float64], bottom: npt.NDArray[np.float64]) -> FloatArray:
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    quotient: FloatArray = np.full(shape, np.nan)
    np.divide(top, bottom, out=quotient, where=np.broadcast_to(bottom != 0, shape))
    return quotient
