"""Real NRRD files from the folder beside the checkout; skipped without it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from napari_hirescam import io
from napari_hirescam.io.frame import IPL_TO_LPS
from napari_hirescam.source import Repair
from napari_hirescam.volume import Quantity

ALL = [
    ("pyradiomics/lung2_image.nrrd", Quantity.HU, "LPS"),
    ("pyradiomics/lung2_label.nrrd", Quantity.LABELS, "LPS"),
    ("pyradiomics/brain1_image.nrrd", Quantity.UNKNOWN, "LAS"),
    ("pyradiomics/brain1_label.nrrd", Quantity.LABELS, "LAS"),
    ("pyradiomics/brain2_image.nrrd", Quantity.UNKNOWN, "LAS"),
    ("pyradiomics/brain2_label.nrrd", Quantity.LABELS, "LAS"),
    ("tricky/nifti_odd/dcmqi_oblique_adc.nrrd", Quantity.UNKNOWN, "LPS"),
    ("tricky/seg_dcmqi/liver_seg.nrrd", Quantity.LABELS, "LPS"),
    ("tricky/seg_dcmqi/liver_spine_seg.nrrd", Quantity.LABELS, "LPS"),
    ("tricky/seg_dcmqi/spine_seg.nrrd", Quantity.LABELS, "LPS"),
    ("tricky/seg_dcmqi/heart_seg.nrrd", Quantity.LABELS, "LPS"),
    ("tricky/enhanced/dcmqi_23x38x3_label.nrrd", Quantity.LABELS, "LPS"),
]


@pytest.mark.parametrize(("name", "quantity", "orientation"), ALL)
def test_centre_and_corners_lie_where_itk_puts_them(shared_dir, name, quantity, orientation):
    sitk = pytest.importorskip("SimpleITK")
    path = shared_dir / "data" / name
    volume, image = io.read_volume(path), sitk.ReadImage(str(path))
    assert volume.quantity is quantity
    assert volume.source.orientation == orientation
    grid = volume.source.grid
    assert grid.shape == image.GetSize()
    middle = tuple((n - 1) / 2 for n in grid.shape)
    for index in [*product(*((0, n - 1) for n in grid.shape)), middle]:
        theirs = image.TransformContinuousIndexToPhysicalPoint([float(x) for x in index])
        ours = IPL_TO_LPS[:3, :3] @ grid.to_world(index)
        np.testing.assert_allclose(ours, theirs, atol=0.01)
    if not volume.source.repaired:
        for index in product(*((0, n // 2, n - 1) for n in grid.shape)):
            at = np.rint(volume.grid.to_index(grid.to_world(index))).astype(int)
            assert volume.voxels[tuple(at)] == image.GetPixel([int(k) for k in index])


def test_a_tumour_lies_in_the_lung(shared_dir):
    folder = shared_dir / "data/pyradiomics"
    ct, tumour = (io.read_volume(folder / f"lung2_{k}.nrrd") for k in ("image", "label"))
    assert ct.grid.same_place_as(tumour.grid)
    assert int((tumour.voxels > 0).sum()) == 24_644
    inside = ct.voxels[tumour.voxels > 0]
    assert -150 < np.median(inside) < 150
    # The patient's left lung or right: on one side of the middle, with air around.
    z, y, x = np.nonzero(tumour.voxels)
    box = ct.voxels[z.min() : z.max() + 1, y.min() - 25 : y.max() + 25, x.min() - 25 : x.max() + 25]
    assert (box < -600).mean() > 0.1


@pytest.mark.parametrize("number", [1, 2])
def test_left_handed_scans_and_their_masks_share_a_grid(shared_dir, number):
    folder = shared_dir / "data/pyradiomics"
    image, label = (io.read_volume(folder / f"brain{number}_{k}.nrrd") for k in ("image", "label"))
    assert image.grid.same_place_as(label.grid)
    handed = {fact.value for fact in image.source.facts if fact.name == "Handedness"}
    assert handed == {"left-handed"}
    # In the tumour, which enhances, the signal is higher than in the rest of the head.
    assert np.median(image.voxels[label.voxels > 0]) > np.median(image.voxels[image.voxels > 100])


def test_an_oblique_scan_is_straightened_without_moving_it(shared_dir):
    sitk = pytest.importorskip("SimpleITK")
    path = shared_dir / "data/tricky/nifti_odd/dcmqi_oblique_adc.nrrd"
    volume, image = io.read_volume(path), sitk.ReadImage(str(path))
    assert [done.repair for done in volume.source.repaired] == [Repair.STRAIGHTEN]
    assert volume.invalid is not None
    assert 0 < volume.invalid.mean() < 0.9
    # ITK interpolates the stored image at our voxels: linear there, linear here.
    picked = np.argwhere(~volume.invalid)[::4001]
    for index in picked:
        lps = IPL_TO_LPS[:3, :3] @ volume.grid.to_world(index)
        continuous = image.TransformPhysicalPointToContinuousIndex(lps.tolist())
        if all(0 <= c <= n - 1 for c, n in zip(continuous, image.GetSize(), strict=True)):
            theirs = image.EvaluateAtPhysicalPoint(lps.tolist(), sitk.sitkLinear)
            assert abs(volume.voxels[tuple(index)] - theirs) <= 1


@pytest.mark.parametrize("organ", ["liver", "spine", "heart"])
def test_masks_of_organs_lie_on_their_ct(shared_dir, organ):
    folder = shared_dir / "data/tricky/seg_dcmqi"
    mask = io.read_volume(folder / f"{organ}_seg.nrrd")
    ct = io.read_volume(folder / "ct_01.dcm")
    assert ct.grid.same_place_as(mask.grid, tolerance_mm=0.01)
    inside = ct.voxels[mask.voxels > 0]
    low, high = {"liver": (0, 200), "spine": (0, 700), "heart": (-100, 300)}[organ]
    assert low < np.median(inside) < high


def test_the_label_of_an_enhanced_ct_lies_on_its_slices(shared_dir):
    folder = shared_dir / "data/tricky/enhanced"
    mask = io.read_volume(folder / "dcmqi_23x38x3_label.nrrd")
    ct = io.read_volume(folder / "dcmqi_23x38x3_classic")
    assert ct.grid.same_place_as(mask.grid, tolerance_mm=0.01)
    assert mask.voxels.any()
