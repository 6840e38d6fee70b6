"""PARTITION on real scans, from the folder beside the checkout; skipped without it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from napari_hirescam import io
from napari_hirescam.errors import OrganError
from napari_hirescam.organs import OrganMap, find_organs
from napari_hirescam.volume import Volume, scaling


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@cache
def whole_chest(shared_dir: Path, patient: str) -> tuple[Volume, np.ndarray]:
    """A scan and its lungs by threshold, which holds windpipe and bowel gas too."""
    with np.load(shared_dir / "data/covid_ct_md/covid_ct_md_5patients_128px.npz") as file:
        hu = file[f"{patient}_hu"]
        spacing = file[f"{patient}_spacing_zyx"]
        packed = file[f"{patient}_lung_threshold_mask"]
    mask = np.unpackbits(packed, axis=1)[:, : 128 * 128].reshape(hu.shape).astype(bool)
    # The slices are stored upwards.
    return Volume(np.ascontiguousarray(hu[::-1]), scaling(spacing), patient), mask[::-1]


@cache
def found(shared_dir: Path, patient: str) -> OrganMap:
    return find_organs(whole_chest(shared_dir, patient)[0])


@pytest.mark.parametrize("patient", ["normal001", "normal002"])
def test_a_normal_chest_agrees_with_its_threshold(shared_dir: Path, patient: str) -> None:
    _, threshold = whole_chest(shared_dir, patient)
    organs = found(shared_dir, patient)
    assert dice(organs.mask(["lungs"]), threshold) > 0.98
    assert organs.doubts == ()
    # The right lung is the larger one, and lies at the lower columns.
    right, left = organs.mask(["right_lung"]), organs.mask(["left_lung"])
    assert right.sum() > left.sum()
    assert np.nonzero(right)[2].mean() < np.nonzero(left)[2].mean()


@pytest.mark.parametrize("patient", ["P001", "cap001", "cap002"])
def test_a_sick_lung_is_more_than_its_threshold_finds(shared_dir: Path, patient: str) -> None:
    ct, threshold = whole_chest(shared_dir, patient)
    lungs = found(shared_dir, patient).mask(["lungs"])
    assert dice(lungs, threshold) > 0.95
    # Denser than any rim that a threshold may take or leave.
    filled = ct.voxels >= -200
    gained, lost = (lungs & ~threshold & filled).sum(), (threshold & ~lungs & filled).sum()
    assert gained > 1.2 * lost
    assert gained * np.prod(ct.spacing_mm) / 1000 > 10


@pytest.mark.parametrize("patient", ["P001", "normal001"])
def test_a_scan_stored_upside_down_is_doubted(shared_dir: Path, patient: str) -> None:
    ct, _ = whole_chest(shared_dir, patient)
    over = Volume(np.flip(ct.voxels, (0, 2)).copy(), ct.affine, patient)
    assert any("upside down" in doubt for doubt in find_organs(over).doubts)
    assert not any("upside down" in doubt for doubt in found(shared_dir, patient).doubts)


def test_the_bases_of_the_lungs_are_found_and_flagged(shared_dir: Path) -> None:
    ct = io.read_volume(shared_dir / "data/totalseg/example_ct.nii.gz")
    labels = io.read_volume(shared_dir / "data/totalseg/example_ct_totalseg_labels.nii.gz").voxels
    organs = find_organs(ct)
    assert dice(organs.mask(["lungs"]), np.isin(labels, range(10, 15))) > 0.93
    assert dice(organs.mask(["left_lung"]), np.isin(labels, (10, 11))) > 0.93
    assert dice(organs.mask(["right_lung"]), np.isin(labels, (12, 13, 14))) > 0.93
    assert any("begins below the tops of the lungs" in doubt for doubt in organs.doubts)


@pytest.mark.parametrize("first", [8, 30])
def test_the_abdomen_alone_is_refused(shared_dir: Path, first: int) -> None:
    ct = io.read_volume(shared_dir / "data/totalseg/example_ct.nii.gz")
    with pytest.raises(OrganError, match="no lung"):
        find_organs(Volume(ct.voxels[first:], ct.affine, "abdomen"))


def test_lungs_cut_by_a_small_field_of_view_are_found_and_flagged(shared_dir: Path) -> None:
    folder = shared_dir / "data/totalseg/aorta"
    ct = io.read_volume(folder / "ct_cropped.nii.gz")
    aorta = io.read_volume(folder / "aorta.nii.gz").voxels > 0
    organs = find_organs(ct)
    assert any("field of view" in doubt for doubt in organs.doubts)
    assert (organs.mask(["great_vessel"]) & aorta).sum() > 0.9 * aorta.sum()
    dark = (ct.voxels < -600) & (ct.voxels > -900)
    assert (organs.mask(["lungs"]) & dark).sum() > 0.95 * dark.sum()


@pytest.mark.parametrize("name", ["pyradiomics/brain1_image.nrrd", "totalseg/example_mr_sm.nii.gz"])
def test_an_mr_is_refused_whatever_it_is_said_to_be(shared_dir: Path, name: str) -> None:
    mr = io.read_volume(shared_dir / "data" / name)
    with pytest.raises(OrganError, match="Hounsfield"):
        find_organs(mr)
    with pytest.raises(OrganError, match=r"as dark as air|denser than tissue"):
        find_organs(Volume(mr.voxels, mr.affine, "said to be HU"))


def test_a_large_tumour_is_within_the_lung_or_between_the_lungs(shared_dir: Path) -> None:
    ct = io.read_volume(shared_dir / "data/pyradiomics/lung2_image.nrrd")
    tumour = io.read_volume(shared_dir / "data/pyradiomics/lung2_label.nrrd").voxels > 0
    organs = find_organs(ct)
    assert (organs.mask(["lungs", "heart"]) & tumour).sum() > 0.9 * tumour.sum()
