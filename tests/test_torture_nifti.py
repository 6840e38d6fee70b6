"""Every awkward NIfTI file is read right, or refused in words, and never wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from torture.exam import examine
from torture.nifti_cases import NIFTI_CASES


@pytest.mark.parametrize("case", NIFTI_CASES, ids=lambda case: case.name)
def test_file(case, tmp_path: Path) -> None:
    outcome = examine(case, case.make(tmp_path))
    assert not outcome.complaint, f"{outcome.verdict}: {outcome.complaint}\n{outcome.said}"
    assert outcome.verdict in case.allowed
