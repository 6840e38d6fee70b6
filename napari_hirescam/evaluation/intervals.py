"""Confidence intervals by resampling patients.

The labels of one scan, and the scans of one patient, go together, so neither is drawn alone: a
replicate draws as many patients as there are, with replacement, and each brings all its cases.
A replicate is held as weights, how often each case was drawn; means, areas under curves and
differences between methods are then computed with the same replicates, and a difference of two
methods is paired by itself. Intervals are the percentiles of the replicates (Efron).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_hirescam.volume import FloatArray

#: Replicates and seed of every interval, unless said otherwise.
N_REPLICATES = 1000
SEED = 0
LEVEL = 0.95

#: Share of replicates without a figure from which on it is said.
_WORTH_SAYING = 0.01
#: Replicates that differ by less are the same but for rounding.
_ROUNDING = 1e-9

#: Why a figure has no interval though it was computed: it would have no width.
SAME_IN_EVERY_DRAW = "no interval: all draws give the same, which is no certainty"

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Parameters
    ----------
    value
        Over all cases; NaN where it is not defined.
    low, high
        Ends of the interval; NaN where there is none.
    n
        Cases it rests on.
    note
        Why there is no figure or no interval, or what the interval leaves out; "" where none.
    """

    value: float
    low: float
    high: float
    n: int
    note: str = ""

    @property
    def interval(self) -> str:
        """Both ends, for a table; a dash where there is none."""
        if not np.isfinite(self.low):
            return "\N{EN DASH}"
        return f"{self.low:.3f} to {self.high:.3f}"


def resample(
    groups: Sequence[Hashable], n_replicates: int = N_REPLICATES, seed: int = SEED
) -> Weights:
    """Draw patients with replacement.

    Parameters
    ----------
    groups
        The patient of each case.
    n_replicates, seed
        How many draws, and of which random stream.

    Returns
    -------
    float64 [1 + n_replicates, cases]: how often each case was drawn. The first row is all ones:
    the cases themselves.

    Raises
    ------
    ValueError
        There is no case, or no replicate is asked for.
    """
    if not groups or n_replicates < 1:
        raise ValueError(f"{len(groups)} cases cannot be drawn {n_replicates} times")
    index: dict[Hashable, int] = {}
    of_case = np.array([index.setdefault(group, len(index)) for group in groups])
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(index), np.full(len(index), 1 / len(index)), size=n_replicates)
    weights: Weights = np.ones((1 + n_replicates, len(groups)))
    weights[1:] = drawn[:, of_case]
    return weights


def weighted_means(values: npt.ArrayLike, weights: Weights) -> FloatArray:
    """Mean of the values that are defined, in each replicate.

    Parameters
    ----------
    values
        [cases] or [cases, maps of a case]; NaN where a value is not defined.
    weights
        From :func:`resample`.

    Returns
    -------
    float64 [replicates]; NaN where no case with a value was drawn.
    """
    table = np.asarray(values, dtype=np.float64).reshape(weights.shape[1], -1)
    sums = weights @ np.nansum(table, axis=1)
    counts = weights @ np.isfinite(table).sum(axis=1).astype(np.float64)
    means: FloatArray = np.full(len(weights), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def mean_over_labels(replicates: Sequence[FloatArray]) -> FloatArray:
    """Mean of several labels' figures in each replicate, of those that have one there.

    Parameters
    ----------
    replicates
        [labels, replicates].

    Returns
    -------
    float64 [replicates]; NaN where no label has a figure.
    """
    table = np.array(replicates)
    counts = np.isfinite(table).sum(axis=0)
    mean: FloatArray = np.full(table.shape[1], np.nan)
    np.divide(np.nansum(table, axis=0), counts, out=mean, where=counts > 0)
    return mean


def mean_of_defined(values: npt.ArrayLike) -> float:
    """Mean of the values that are finite; NaN if none is."""
    table = np.asarray(values, dtype=np.float64)
    defined = table[np.isfinite(table)]
    return float(defined.mean()) if defined.size else float("nan")


def estimate(replicates: FloatArray, n: int, note: str = "", level: float = LEVEL) -> Estimate:
    """Turn a figure's replicates into the figure and its interval.

    Parameters
    ----------
    replicates
        [1 + replicates]; the first is the figure over the cases themselves. NaN where a
        replicate had none.
    n
        Cases it rests on.
    note
        Why there is no figure.
    level
        Coverage of the interval.
    """
    value, drawn = float(replicates[0]), replicates[1:]
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not defined.size:
        return Estimate(value, float("nan"), float("nan"), n, note)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    left_out = drawn.size - defined.size
    if left_out > _WORTH_SAYING * drawn.size and not note:
        note = f"{left_out} of {drawn.size} replicates had no figure and are left out"
    if np.ptp(defined) < _ROUNDING:
        low = high = np.nan
        note = f"{note}; {SAME_IN_EVERY_DRAW}" if note else SAME_IN_EVERY_DRAW
    return Estimate(value, float(low), float(high), n, note)


def bootstrap_mean(
    values: npt.NDArray[Any] | Sequence[float],
    groups: Sequence[Hashable],
    *,
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
) -> Estimate:
    """Mean of one value per case, with an interval by resampling groups (patients).

    Parameters
    ----------
    values
        [cases]; NaN counts as not there.
    groups
        Whose case it is.
    """
    table = np.asarray(values, dtype=np.float64)
    weights = resample(groups, n_replicates, seed)
    return estimate(weighted_means(table, weights), int(np.isfinite(table).sum()))
