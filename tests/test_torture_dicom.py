"""Every awkward DICOM series is read right, or refused in words, and never wrong."""

from __future__ import annotations

from collections import Counter

import pytest
from torture.dicom_cases import DICOM_CASES
from torture.exam_fixture import OutcomeOf, check, remember_outcomes
from torture.judge import Verdict


@pytest.fixture(scope="module")
def outcome_of(tmp_path_factory) -> OutcomeOf:
    return remember_outcomes(tmp_path_factory)


@pytest.mark.parametrize("case", DICOM_CASES, ids=lambda case: case.name)
def test_series(case, outcome_of: OutcomeOf) -> None:
    check(outcome_of(case))


def test_none_is_wrong_and_four_of_five_are_opened(outcome_of: OutcomeOf) -> None:
    counts = Counter(outcome_of(case).verdict for case in DICOM_CASES)
    assert len(DICOM_CASES) >= 50
    assert len({case.name for case in DICOM_CASES}) == len(DICOM_CASES)
    assert counts[Verdict.WRONG] == counts[Verdict.CRASH] == 0
    opened = counts[Verdict.RIGHT] + counts[Verdict.ASKED] + counts[Verdict.REPAIRED]
    assert opened >= 0.8 * len(DICOM_CASES), counts
