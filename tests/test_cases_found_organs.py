"""Organs that PARTITION finds are found once for each CT, and kept."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from napari_hirescam.cases import check_cases, found_organs, phantom_table, with_found_organs
from napari_hirescam.errors import CaseTableError, OrganError
from napari_hirescam.organs import OrganMap
from napari_hirescam.organs.partition import VALUES

TABLE = phantom_table(2, 0, 0, spacing_mm=(10.0, 8.0, 8.0), labels=["mass", "cardiomegaly"])


@pytest.fixture
def searches(monkeypatch):
    """Stand in for the search, which takes seconds; counts it."""
    asked = []

    def search(ct, *, rough=False):
        asked.append((ct.name, rough))
        labels = np.zeros(ct.voxels.shape, dtype=np.uint8)
        labels[2, 3, 4] = 3
        return OrganMap(labels, ct.affine, VALUES, "PARTITION", ("a doubt",), ("a note",))

    monkeypatch.setattr(found_organs, "find_organs", search)
    return asked


def test_what_was_found_is_kept_as_it_was(tmp_path, searches):
    table = with_found_organs(TABLE, tmp_path / "kept")
    first = table.cases[0].organs()
    again = table.cases[0].organs(table.cases[0].ct())
    assert len(searches) == 1
    np.testing.assert_array_equal(again.labels, first.labels)
    np.testing.assert_array_equal(again.affine, table.cases[0].ct().affine)
    np.testing.assert_array_equal(np.argwhere(again.mask(["left_lung"])), [[2, 3, 4]])
    assert again.values == first.values
    assert (again.origin, again.doubts, again.notes) == ("PARTITION", ("a doubt",), ("a note",))


def test_each_ct_and_each_way_of_searching_has_its_own(tmp_path, searches):
    for rough in (False, True):
        for case in with_found_organs(TABLE, tmp_path, rough=rough).cases * 2:
            case.organs()
    assert len(searches) == 4
    assert len(list(tmp_path.iterdir())) == 4


def test_another_release_searches_anew(tmp_path, searches, monkeypatch):
    case = with_found_organs(TABLE, tmp_path).cases[0]
    case.organs()
    monkeypatch.setattr(found_organs, "__version__", "99.0")
    case.organs()
    assert len(searches) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_a_damaged_file_is_found_anew(tmp_path, searches, content):
    case = with_found_organs(TABLE, tmp_path).cases[0]
    case.organs()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (content, whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        assert case.organs().doubts == ("a doubt",)
        assert file.read_bytes() == whole
    assert len(searches) == 3


def test_a_refusal_is_passed_on_and_nothing_is_kept(tmp_path, monkeypatch):
    def refuse(ct, *, rough=False):
        raise OrganError(ct.name, "this is a head", "Give a chest")

    monkeypatch.setattr(found_organs, "find_organs", refuse)
    with pytest.raises(OrganError, match="this is a head"):
        with_found_organs(TABLE, tmp_path / "kept").cases[0].organs()
    assert not (tmp_path / "kept").exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path, searches):
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(OrganError, match="cannot be kept there"):
        with_found_organs(TABLE, tmp_path / "kept").cases[0].organs()


def test_all_else_is_the_case_s_own(tmp_path, searches):
    for case, base in zip(with_found_organs(TABLE, tmp_path).cases, TABLE.cases, strict=True):
        assert (case.name, case.patient, case.split) == (base.name, base.patient, base.split)
        assert (case.labels, case.allowed) == (base.labels, base.allowed)
        np.testing.assert_array_equal(case.ct().voxels, base.ct().voxels)
        assert case.lesions().keys() == base.lesions().keys()
        assert pickle.loads(pickle.dumps(case)) == case  # noqa: S301 - for worker processes
        assert case.fingerprint() != base.fingerprint()


def test_organs_that_partition_does_not_find_are_refused_before_it_searches(tmp_path, searches):
    table = with_found_organs(TABLE, tmp_path)
    check_cases(table, need_organs=True)
    with pytest.raises(CaseTableError, match="PARTITION finds no liver"):
        table.cases[0].check(["lungs", "liver"])
    assert not searches
