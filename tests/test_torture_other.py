"""Every awkward NRRD, MetaImage and npz file is read right, or refused in words, never wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from torture.exam import examine
from torture.other_cases import METAIMAGE_CASES, NRRD_CASES


def _judge(case, folder: Path) -> None:
    outcome = examine(case, case.make(folder))
    assert not outcome.complaint, f"{outcome.verdict}: {outcome.complaint}\n{outcome.said}"
    assert outcome.verdict in case.allowed


@pytest.mark.parametrize("case", NRRD_CASES, ids=lambda case: case.name)
def test_nrrd(case, tmp_path: Path) -> None:
    _judge(case, tmp_path)


@pytest.mark.parametrize("case", METAIMAGE_CASES, ids=lambda case: case.name)
def test_metaimage(case, tmp_path: Path) -> None:
    _judge(case, tmp_path)
