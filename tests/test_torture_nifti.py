"""Every awkward NIfTI file is read right, or refused in words, and never wrong."""

from __future__ import annotations

from collections import Counter

import pytest
from torture.exam_fixture import OutcomeOf, check, remember_outcomes
from torture.judge import Verdict
from torture.nifti_cases import NIFTI_CASES


@pytest.fixture(scope="module")
def outcome_of(tmp_path_factory) -> OutcomeOf:
    return remember_outcomes(tmp_path_factory)


@pytest.mark.parametrize("case", NIFTI_CASES, ids=lambda case: case.name)
def test_file(case, outcome_of: OutcomeOf) -> None:
    check(outcome_of(case))


def test_none_is_wrong(outcome_of: OutcomeOf) -> None:
    counts = Counter(outcome_of(case).verdict for case in NIFTI_CASES)
    assert len(NIFTI_CASES) >= 45
    assert len({case.name for case in NIFTI_CASES}) == len(NIFTI_CASES)
    assert counts[Verdict.WRONG] == counts[Verdict.CRASH] == 0
