"""What a cohort's report says in words."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from napari_hirescam.evaluation.cohort import CohortResult
from napari_hirescam.evaluation.cohort_case import CaseProblem
from napari_hirescam.evaluation.cohort_plots import title_of
from napari_hirescam.evaluation.cohort_tables import Figures, interval_text

SCORES = (
    "AUROC is the probability that a scan with the finding gets a higher score than one without. "
    "It says nothing of why."
)
NO_ORGANS = (
    "No case has organ masks that tell of the findings' organs, so nothing can be said of where "
    "the attention lies. Give masks in the table, or have the organs found."
)
ATTENTION = (
    "OrganIoU is the share of the cells above the threshold that lie in an organ where the "
    "finding can be. Share inside takes all positive attention by its strength, without a "
    "threshold. A hit is a map whose strongest cell lies in the organ. Chance is what a map of "
    "random cells, or an even map, would score: a large organ is easily hit.\n\n"
    "All three ask whether the attention is in the right organ, none whether it is on the finding."
)
LESIONS = (
    "The same questions about the outlined finding itself, which is mostly far smaller than a "
    "cell's neighbourhood. IoU takes each cell for its whole box, so coarse cells cannot reach 1; "
    "the best that any choice of cells could reach stands beside it. Its chance is a map that "
    "marks every cell."
)
ABSENT = (
    "A finding that is absent should be shown nowhere. A cell of HiResCAM's map is what it adds "
    "to the logit, so the sum of the positive cells says how much spoke for the finding all the "
    "same."
)
#: Cases that a shared remark names.
_NAMED = 3
REMOVAL = (
    "Cells are set to zero, or put back, in the order of the map and at random. Above zero, the "
    "map's order takes the score down (brings it back) sooner than chance. This asks whether the "
    "map tells what the network uses, not whether that is right."
)
PICTURES = (
    "Of each finding the scan with the largest and the smallest share inside by {method}, at the "
    "slice through the strongest cell; the extremes of a cohort, not its average. Blue: the "
    "organs allowed. Green: the outlined finding, if there is one. Colour begins at a tenth of "
    "the map's maximum. The patient's right is on the left. Between its cells a map is "
    "interpolated for the eye; the figures are of the cells themselves."
)
THRESHOLDS = (
    "For each finding and method, the one of 53 thresholds with the best mean OrganIoU on cases "
    "that are not among those above; the first of them where several are best. They were fixed "
    "before the test cases were looked at. A high threshold keeps little more than the strongest "
    "cell, and OrganIoU then comes near to the hit."
)
MEANING = (
    "A figure counts for something where its interval lies clear of chance. Intervals come from "
    "drawing patients, so they say how much another sample of such patients would differ; they "
    "know nothing of another hospital, scanner or seed of training. With few patients they are "
    "too narrow. A figure that every draw gives alike, an AUROC of 1 say or one of a single "
    "patient, has no interval: drawing patients cannot say how sure it is.\n\n"
    "Attention in the right organ does not prove that the model looks at the finding, and "
    "attention outside does not prove that its score is wrong. Where the guarantee holds, "
    "HiResCAM's map says what each cell added to the score. A cell sees far more of the CT than "
    "its box, so the map is exact about cells and coarse about places.\n\n"
    "Many findings are judged at once: of twenty intervals, one misses by chance."
)

#: Means that differ by less are the same but for rounding.
_ROUNDING = 1e-9


def lead(result: CohortResult, figures: Figures) -> str:
    """Say the result in a few sentences."""
    n = len(result.cases)
    sentences = []
    auroc = figures.row("macro", "", "", "auroc")
    if auroc and np.isfinite(auroc["value"]):
        sentences.append(
            f"On {n} scans the scores reach a mean AUROC of {interval_text(auroc)}; chance is 0.5."
        )
    else:
        sentences.append(f"{n} scans were scored; no finding is both there and absent among them.")
    inside = [
        f"{title_of(method)} {interval_text(row)}"
        for method in result.methods
        if (row := figures.row("micro", "", method, "organ_iou"))
    ]
    chance = figures.row("micro", "", result.methods[0], "organ_iou")
    if inside and chance:
        sentences.append(
            f"Attention in the allowed organs, mean OrganIoU over all maps: {', '.join(inside)}; "
            f"chance is {chance['chance']:.3f}."
        )
    for other in result.methods[1:]:
        key = f"{result.methods[0]} - {other}"
        row = figures.row("micro", "", key, "organ_iou")
        if not row:
            continue
        first, second = title_of(result.methods[0]), title_of(other)
        if np.isfinite(row["low"]):
            if row["low"] > 0:
                verdict = f"{first} lies inside more than {second}"
            elif row["high"] < 0:
                verdict = f"{second} lies inside more than {first}"
            else:
                verdict = f"no difference between {first} and {second} can be told"
            sentences.append(f"On the same maps {verdict}: {interval_text(row)}.")
        elif abs(row["value"]) < _ROUNDING:
            sentences.append(f"On average there is no difference between {first} and {second}.")
    left_out = sum(problem.measured == "nothing" for problem in result.problems)
    if left_out:
        what = "case failed and is" if left_out == 1 else "cases failed and are"
        sentences.append(f"{left_out} {what} left out; the reasons stand below.")
    return " ".join(sentences)


def problems_told_once(problems: Iterable[CaseProblem]) -> tuple[tuple[str, str, str, str], ...]:
    """Bring remarks on cases into rows, one for each reason, however many cases share it.

    A data set can say the same of thousands of its scans; what is said of one would be lost there.

    Returns
    -------
    Rows of cases (the first three by name), splits, reason, and what was measured, in the order
    in which reasons first came up.
    """
    sharing: dict[tuple[str, str], dict[str, str]] = {}
    for problem in problems:
        cases = sharing.setdefault((problem.reason, problem.measured), {})
        cases[problem.case] = problem.split or ""
    rows = []
    for (reason, measured), cases in sharing.items():
        names = list(cases)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        splits = ", ".join(sorted(filter(None, set(cases.values()))))
        rows.append((", ".join(names[:_NAMED]) + more, splits, reason, measured))
    return tuple(rows)


def where_tuned(result: CohortResult) -> str:
    """Say where the thresholds come from."""
    tuned = result.thresholds.tuned_on
    how = "tuned here on" if result.tuning else "frozen earlier on"
    return f"{how} {len(tuned.scans)} scans of {tuned.table}"


def guarantee(result: CohortResult) -> str:
    """Say whether the maps add up to the scores."""
    states = sorted({case.guarantee for case in result.cases})
    return (
        "Where the guarantee holds, the cells of HiResCAM's map and the bias add up to the logit; "
        f"what remains is rounding. Of this model: {'; '.join(states)}."
    )
