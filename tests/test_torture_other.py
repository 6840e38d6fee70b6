"""Every awkward NRRD, MetaImage and npz file is read right, or refused in words, never wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from torture.exam import examine
from torture.exam_fixture import check
from torture.other_cases import METAIMAGE_CASES, NPZ_CASES, NRRD_CASES


@pytest.mark.parametrize("case", NRRD_CASES, ids=lambda case: case.name)
def test_nrrd(case, tmp_path: Path) -> None:
    check(examine(case, case.make(tmp_path)))


@pytest.mark.parametrize("case", METAIMAGE_CASES, ids=lambda case: case.name)
def test_metaimage(case, tmp_path: Path) -> None:
    check(examine(case, case.make(tmp_path)))


@pytest.mark.parametrize("case", NPZ_CASES, ids=lambda case: case.name)
def test_npz(case, tmp_path: Path) -> None:
    check(examine(case, case.make(tmp_path)))
