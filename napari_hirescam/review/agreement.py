"""How far readers agree, beyond chance: the coefficients that papers quote.

Answers are a table [items, readers] of category numbers 0, 1, ..., NaN where a reader gave none.
The number of categories is that of the question, whether all were used or not: a step that nobody
chose still lies between its neighbours.

Cohen's kappa is scikit-learn's, Fleiss' statsmodels', alpha krippendorff's. Gwet's AC1 and AC2
and the intraclass correlation are computed here by their formulas, with the same code that
resamples them (`agreement_intervals`): irrCAC pins an old scipy (and counts a missing answer as a
category of its own under pandas 3), and pingouin brings six packages for ten lines of variance
analysis.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_hirescam.errors import SettingsError

#: [items, readers]; NaN where there is no answer.
Answers = npt.NDArray[np.float64]

#: Keys of the coefficients.
CoefficientKey = Literal[
    "percent",
    "kappa",
    "kappa_linear",
    "kappa_quadratic",
    "fleiss",
    "alpha_nominal",
    "alpha_ordinal",
    "ac1",
    "ac2",
    "icc",
]


@dataclass(frozen=True)
class Coefficient:
    """A measure of agreement.

    Parameters
    ----------
    name
        As papers write it.
    source
        Who defined it.
    ordinal
        Whether it weighs how far two answers lie apart, so that it fits scales only.
    pair
        Whether it compares two readers and no more.
    """

    name: str
    source: str
    ordinal: bool = False
    pair: bool = False


COEFFICIENTS: dict[CoefficientKey, Coefficient] = {
    "percent": Coefficient("share of agreeing pairs", "Gwet 2014"),
    "kappa": Coefficient("Cohen's kappa", "Cohen 1960", pair=True),
    "kappa_linear": Coefficient("kappa, linear weights", "Cohen 1968", ordinal=True, pair=True),
    "kappa_quadratic": Coefficient(
        "kappa, quadratic weights", "Cohen 1968", ordinal=True, pair=True
    ),
    "fleiss": Coefficient("Fleiss' kappa", "Fleiss 1971"),
    "alpha_nominal": Coefficient("Krippendorff's alpha, nominal", "Krippendorff 2011"),
    "alpha_ordinal": Coefficient(
        "Krippendorff's alpha, ordinal", "Krippendorff 2011", ordinal=True
    ),
    "ac1": Coefficient("Gwet's AC1", "Gwet 2008"),
    "ac2": Coefficient("Gwet's AC2, ordinal weights", "Gwet 2014", ordinal=True),
    "icc": Coefficient("ICC(2,1), absolute agreement", "McGraw and Wong 1996", ordinal=True),
}

#: They take only items that all readers answered.
NEED_ALL: tuple[CoefficientKey, ...] = ("fleiss", "icc")

TOO_FEW_READERS = "no item was answered by two"
ONE_CATEGORY = "all gave the same answer everywhere: there is no chance agreement to correct for"
ONE_CATEGORY_AC = "all gave the same answer everywhere: 1 by definition, and little evidence"
TOO_FEW_ITEMS = "fewer than two items were answered by all"
NO_VARIANCE = "all answers are equal: there is no variance to share out"

_PACKAGES = {
    "sklearn": "scikit-learn",
    "statsmodels": "statsmodels",
    "krippendorff": "krippendorff",
}


def missing_packages() -> tuple[str, ...]:
    """Name the packages that agreement figures need and that are not installed."""
    return tuple(
        name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None
    )


def require_agreement_packages() -> None:
    """Raise SettingsError where a package that agreement figures need is missing."""
    missing = missing_packages()
    if missing:
        raise SettingsError(
            ", ".join(missing),
            "needed for figures of agreement, and not installed",
            'Install it with: pip install "napari-hirescam[review]"',
        )


def coefficient(key: CoefficientKey, answers: Answers, n_categories: int) -> tuple[float, str]:
    """Compute a coefficient over all items.

    Parameters
    ----------
    key
        Which; those of a pair take two columns.
    answers
        [items, readers], 0 to `n_categories` - 1; NaN where there is no answer.
    n_categories
        How many answers the question has; 2 or more.

    Returns
    -------
    The figure, NaN where it is not defined; and why it is not, or what is odd about it, else "".

    Raises
    ------
    ValueError
        An answer is none of the categories, or a pair's coefficient got more than two readers.
    SettingsError
        The package that computes it is not installed.
    """
    _check(key, answers, n_categories)
    reason = undefined(key, answers)
    if reason:
        return float("nan"), reason
    if key in ("kappa", "kappa_linear", "kappa_quadratic"):
        weights = {"kappa": None, "kappa_linear": "linear", "kappa_quadratic": "quadratic"}[key]
        return _cohen(answers, n_categories, weights), ""
    if key == "fleiss":
        return _fleiss(answers, n_categories), left_out(answers)
    if key in ("alpha_nominal", "alpha_ordinal"):
        return _alpha(answers, n_categories, key.removeprefix("alpha_")), ""

    from napari_hirescam.review.agreement_intervals import replicates

    value = float(replicates(key, answers, n_categories, np.ones((1, len(answers))))[0])
    if key in ("ac1", "ac2") and _one_category(answers):
        return value, ONE_CATEGORY_AC
    return value, left_out(answers) if key == "icc" else ""


def undefined(key: CoefficientKey, answers: Answers) -> str:
    """Say why a coefficient is not defined for these answers; "" where it is."""
    if answers.shape[1] < 2 or not answered_twice(answers).any():
        return TOO_FEW_READERS
    complete = answers[np.isfinite(answers).all(axis=1)]
    if key == "fleiss" and not len(complete):
        return "no item was answered by all"
    if key == "icc":
        if len(complete) < 2:
            return TOO_FEW_ITEMS
        return NO_VARIANCE if np.ptp(complete) == 0 else ""
    if key in ("percent", "ac1", "ac2"):
        return ""
    judged = complete if key == "fleiss" else answers
    return ONE_CATEGORY if _one_category(judged) else ""


def answered_twice(answers: Answers) -> npt.NDArray[np.bool_]:
    """[items]: whether two readers or more answered."""
    return np.asarray(np.isfinite(answers).sum(axis=1) >= 2)


def counts(answers: Answers, n_categories: int) -> npt.NDArray[np.float64]:
    """[items, categories]: how many readers gave each answer."""
    table: npt.NDArray[np.float64] = (answers[:, :, None] == np.arange(n_categories)).sum(
        axis=1, dtype=np.float64
    )
    return table


def left_out(answers: Answers) -> str:
    """Say how many items a coefficient leaves out that wants an answer of all readers."""
    n = int((answered_twice(answers) & ~np.isfinite(answers).all(axis=1)).sum())
    return f"{n} items that not all answered are left out" if n else ""


def _one_category(answers: Answers) -> bool:
    judged = answers[answered_twice(answers)]
    return bool(np.nanmin(judged) == np.nanmax(judged))


def _check(key: CoefficientKey, answers: Answers, n_categories: int) -> None:
    given = answers[np.isfinite(answers)]
    if not np.isin(given, np.arange(n_categories)).all():
        raise ValueError(f"answers are not all among {n_categories} categories")
    if COEFFICIENTS[key].pair and answers.shape[1] > 2:
        raise ValueError(f"{key} compares two readers, not {answers.shape[1]}")


def _cohen(answers: Answers, n_categories: int, weights: str | None) -> float:
    require_agreement_packages()
    from sklearn.metrics import cohen_kappa_score

    both = answers[answered_twice(answers)].astype(int)
    labels = np.arange(n_categories)
    return float(cohen_kappa_score(both[:, 0], both[:, 1], labels=labels, weights=weights))


def _fleiss(answers: Answers, n_categories: int) -> float:
    require_agreement_packages()
    from statsmodels.stats.inter_rater import fleiss_kappa

    complete = answers[np.isfinite(answers).all(axis=1)]
    return float(fleiss_kappa(counts(complete, n_categories)))


def _alpha(answers: Answers, n_categories: int, level: Any) -> float:
    require_agreement_packages()
    import krippendorff

    table = counts(answers, n_categories)
    return float(krippendorff.alpha(value_counts=table, level_of_measurement=level))
