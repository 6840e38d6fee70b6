"""How well scores tell the scans with a finding from those without: AUROC and AP.

Both are read off one curve: the cases in the order of their scores, ties together. With the
weights of a replicate it is what scikit-learn computes with ``sample_weight``, for all replicates
at once.
"""

from __future__ import annotations

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
from napari_hirescam.volume import FloatArray

#: Why there is no area under a curve.
ONE_CLASS = "all cases have the finding, or none has it"

_NUMBERS_AT_ONCE = 4_000_000


def discrimination(
    present: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: Weights,
    of_case: npt.NDArray[np.intp] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Area under the ROC curve, and average precision, in each replicate.

    Parameters
    ----------
    present
        [n], whether the finding is there.
    scores
        [n]; logits rank as probabilities do, and do not saturate.
    weights
        How often each case was drawn, [replicates, cases].
    of_case
        [n], whose score it is, where a case has several (of several labels); None: its own.

    Returns
    -------
    Two float64 [replicates]; NaN where only one of the two classes was drawn.

    Raises
    ------
    ValueError
        Lengths differ, or a score is NaN.
    """
    truth = np.asarray(present, dtype=bool)
    score = np.asarray(scores, dtype=np.float64)
    case = np.arange(weights.shape[1]) if of_case is None else of_case
    if not truth.shape == score.shape == case.shape:
        raise ValueError(
            f"{truth.shape} labels, {score.shape} scores and weights of {case.shape} cases"
        )
    if np.isnan(score).any():
        raise ValueError("a score is NaN")
    # A few replicates at a time: of many scores all of them take gigabytes.
    at_once = max(1, _NUMBERS_AT_ONCE // max(score.size, 1))
    parts = [
        _areas(truth, score, weights[first : first + at_once], case)
        for first in range(0, len(weights), at_once)
    ]
    return np.concatenate([auroc for auroc, _ in parts]), np.concatenate([ap for _, ap in parts])


def _areas(
    truth: npt.NDArray[np.bool_], score: FloatArray, weights: Weights, case: npt.NDArray[np.intp]
) -> tuple[FloatArray, FloatArray]:
    falling = np.argsort(-score, kind="stable")
    # A threshold takes in all cases of equal score.
    last_of_tie = np.append(np.flatnonzero(np.diff(score[falling])), score.size - 1)
    drawn = weights[:, case[falling]]
    hits = np.cumsum(drawn * truth[falling], axis=1)[:, last_of_tie]
    alarms = np.cumsum(drawn * ~truth[falling], axis=1)[:, last_of_tie]
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = _from_zero(hits / hits[:, -1:])
        one_minus_specificity = _from_zero(alarms / alarms[:, -1:])
        middles = (sensitivity[:, 1:] + sensitivity[:, :-1]) / 2
        auroc = (np.diff(one_minus_specificity, axis=1) * middles).sum(axis=1)
        # Nothing was drawn above a threshold: no precision, and no step of the sensitivity.
        precision = np.nan_to_num(hits / (hits + alarms))
        average_precision = (np.diff(sensitivity, axis=1) * precision).sum(axis=1)
    one_class = (hits[:, -1] == 0) | (alarms[:, -1] == 0)
    return np.where(one_class, np.nan, auroc), np.where(one_class, np.nan, average_precision)


def _from_zero(curve: FloatArray) -> FloatArray:
    return np.concatenate([np.zeros((len(curve), 1)), curve], axis=1)


def bootstrap_auroc(
    present: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    n_replicates: int = N_REPLICATES,
    seed: int = SEED,
) -> Estimate:
    """AUROC with an interval by resampling groups (patients).

    Returns
    -------
    NaN with the reason in `note` where all cases are of one class.
    """
    truth = np.asarray(present, dtype=bool)
    weights = resample(np.asarray(groups).tolist(), n_replicates, seed)
    auroc, _ = discrimination(truth, scores, weights)
    return estimate(auroc, truth.size, "" if np.isfinite(auroc[0]) else ONE_CLASS)
