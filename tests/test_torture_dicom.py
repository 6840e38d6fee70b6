"""Every awkward DICOM series is read right, or refused in words, and never wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from torture.dicom_cases import DICOM_CASES
from torture.exam import examine


@pytest.mark.parametrize("case", DICOM_CASES, ids=lambda case: case.name)
def test_series(case, tmp_path: Path) -> None:
    outcome = examine(case, case.make(tmp_path))
    assert not outcome.complaint, f"{outcome.verdict}: {outcome.complaint}\n{outcome.said}"
    assert outcome.verdict in case.allowed
