"""Real scans, sound and odd, from the folder beside the checkout; skipped without it."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import ChoiceNeededError
from napari_hirescam.volume import Quantity

# --- NIfTI ---


def test_a_real_ct_and_its_organ_labels_lie_on_each_other(shared_dir):
    ct = io.read_volume(shared_dir / "data/totalseg/example_ct.nii.gz")
    labels = io.read_volume(shared_dir / "data/totalseg/example_ct_totalseg_labels.nii.gz")

    assert (ct.quantity, labels.quantity) == (Quantity.HU, Quantity.LABELS)
    assert ct.grid.same_place_as(labels.grid)
    assert ct.source.orientation == "RAS"
    lungs, liver = np.isin(labels.voxels, range(10, 15)), labels.voxels == 5
    vertebrae = np.isin(labels.voxels, range(26, 51))
    assert ct.voxels[lungs].mean() < -500
    assert 0 < ct.voxels[liver].mean() < 200
    assert ct.voxels[vertebrae].mean() > 100

    # The liver lies to the patient's right of the spleen, the lungs above the liver.
    def centre(mask):
        return ct.grid.to_world(np.argwhere(mask).mean(0))

    assert centre(liver)[2] < centre(labels.voxels == 1)[2]
    assert centre(lungs)[0] < centre(liver)[0]


def test_a_crop_of_a_real_ct_has_the_same_hu_at_the_same_place(shared_dir):
    whole = io.read_volume(shared_dir / "data/totalseg/example_ct.nii.gz")
    labels = io.read_volume(shared_dir / "data/totalseg/example_ct_totalseg_labels.nii.gz")
    crop_labels = io.read_volume(shared_dir / "data/totalseg/example_seg.nii.gz")
    crop = io.read_volume(shared_dir / "data/totalseg/example_ct_sm.nii.gz")
    assert crop.grid.same_place_as(crop_labels.grid)
    assert whole.grid.same_place_as(labels.grid)
    assert crop.voxels.dtype == np.int16
    assert whole.voxels.dtype == np.int32
    names = {segment.value: segment.name for segment in labels.segments}
    assert (names[1], names[5], names[51]) == ("spleen", "liver", "heart")


def test_masks_of_a_dissected_aorta_lie_on_its_contrast(shared_dir):
    folder = shared_dir / "data/totalseg/aorta"
    ct = io.read_volume(folder / "ct_cropped.nii.gz")
    masks = {
        name: io.read_volume(folder / f"{name}.nii.gz")
        for name in ("aorta", "aorta_true_lumen", "aorta_false_lumen", "vertebrae_T12")
    }
    assert ct.source.orientation == "LPS"
    for mask in masks.values():
        assert mask.quantity is Quantity.LABELS
        assert ct.grid.same_place_as(mask.grid)
    aorta = masks["aorta"].voxels > 0
    for lumen in ("aorta_true_lumen", "aorta_false_lumen"):
        inside = masks[lumen].voxels > 0
        assert (aorta & inside).sum() > 0.9 * inside.sum()
        assert ct.voxels[inside].mean() > 150  # contrast agent
    assert ct.voxels[masks["vertebrae_T12"].voxels > 0].mean() > 100


@pytest.mark.parametrize(
    "name",
    [
        "totalseg/example_ct.nii.gz",
        "totalseg/example_mr_sm.nii.gz",
        "totalseg/aorta/ct_cropped.nii.gz",
        "totalseg/dicom_j2k_20slices_totalseg_labels.nii.gz",
        "lidc/LIDC-IDRI-0001_nodule_readers.nii.gz",
        "tricky/nifti_odd/nibabel_anatomical.nii",
        "tricky/nifti_odd/nibabel_example4d.nii.gz",
        "tricky/nifti_odd/nibabel_example_nifti2.nii.gz",
        "tricky/nifti_odd/nibabel_functional.nii",
        "tricky/nifti_odd/nibabel_reoriented_anat_moved.nii",
        "tricky/nifti_odd/nibabel_resampled_anat_moved.nii",
        "tricky/nifti_odd/nibabel_someones_anatomy.nii.gz",
        "tricky/nifti_odd/nibabel_someones_epi_oblique.nii.gz",
    ],
)
def test_corners_centre_and_values_are_those_of_nibabel(shared_dir, name):
    path = shared_dir / "data" / name
    image = nib.load(path)
    items = io.list_items(path)
    volume = io.read_volume(path, series=items[-1].key)
    assert volume.source.orientation == "".join(nib.aff2axcodes(image.affine))
    shape = np.array(image.shape[:3])
    points = np.array([*np.ndindex(2, 2, 2)]) * (shape - 1)
    points = np.vstack([points, (shape - 1) / 2])
    ras = nib.affines.apply_affine(image.affine, points)
    stored = volume.source.grid.to_world(points)
    np.testing.assert_allclose(stored, -ras[:, ::-1], atol=0.01)
    # The voxel with the highest value lies where nibabel has it, if nothing was resampled.
    values = np.asarray(image.dataobj)
    values = np.nan_to_num(values[..., -1] if values.ndim == 4 else values, nan=-1e9)
    assert volume.voxels.max() == pytest.approx(values.max(), rel=0.1)
    if not volume.source.repaired:
        index = np.unravel_index(values.argmax(), values.shape)
        place = volume.grid.to_index(volume.source.grid.to_world(index))
        found = volume.voxels[tuple(np.rint(place).astype(int))]
        assert found == pytest.approx(values.max(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("nibabel_resampled_anat_moved.nii", "hold no number"),
        ("nibabel_someones_epi_oblique.nii.gz", "resampled once"),
        ("nibabel_someones_anatomy.nii.gz", "do not look like HU"),
        ("nibabel_reoriented_anat_moved.nii", "do not look like HU"),
        ("nibabel_anatomical.nii", "do not look like HU: most lie above"),
    ],
)
def test_odd_but_sound_files_are_read_with_a_remark(shared_dir, name, note):
    volume = io.read_volume(shared_dir / "data/tricky/nifti_odd" / name)
    assert note in " ".join(volume.source.notes)


@pytest.mark.parametrize(
    ("name", "n_volumes"),
    [
        ("nibabel_example4d.nii.gz", 2),
        ("nibabel_example_nifti2.nii.gz", 2),
        ("nibabel_functional.nii", 20),
    ],
)
def test_real_files_of_several_volumes_ask_which(shared_dir, name, n_volumes):
    path = shared_dir / "data/tricky/nifti_odd" / name
    with pytest.raises(ChoiceNeededError, match=f"holds {n_volumes} volumes") as caught:
        io.read_volume(path)
    assert len(caught.value.items) == n_volumes
    last = io.read_volume(path, series=str(n_volumes))
    wanted = np.asarray(nib.load(path).dataobj)[..., -1]
    if not last.source.repaired:
        np.testing.assert_allclose(
            np.sort(last.voxels, None), np.sort(wanted, None), rtol=1e-5, atol=1e-3
        )


def test_a_file_of_another_kind_is_not_recognised(shared_dir):
    with pytest.raises(VolumeError, match="does not begin like"):
        io.read_volume(shared_dir / "data/tricky/nifti_odd/nibabel_test.mgz")


# --- npz ---


def test_five_real_cts_in_one_archive_are_offered_and_stand_upright(shared_dir):
    path = shared_dir / "data/covid_ct_md/covid_ct_md_5patients_128px.npz"
    items = io.list_items(path)
    assert [(item.key, item.n_slices) for item in items] == [
        ("P001_hu", 148),
        ("cap001_hu", 168),
        ("cap002_hu", 131),
        ("normal001_hu", 154),
        ("normal002_hu", 167),
    ]
    volume = io.read_volume(path, series="normal001_hu")
    assert volume.voxels.shape == (154, 128, 128)
    assert volume.voxels.dtype == np.int16
    assert volume.quantity is Quantity.HU
    assert volume.spacing_mm == pytest.approx((2.0, 2.539, 2.539), abs=1e-3)
    with np.load(path, allow_pickle=False) as archive:
        heights, hu = archive["normal001_z_mm"], archive["normal001_hu"]
    assert volume.grid.to_world((0, 0, 0))[0] == pytest.approx(-heights.max())
    np.testing.assert_array_equal(volume.voxels, hu[::-1])
    # Shoulders above, belly below: more air-filled lung in the middle than at either end.
    lung = ((volume.voxels < -700) & (volume.voxels > -950))[:, 40:90, 30:100].mean((1, 2))
    assert lung[60:90].mean() > 2 * max(lung[:10].mean(), lung[-10:].mean())


def test_a_real_archive_of_crops_is_refused_by_what_it_holds(shared_dir):
    with pytest.raises(VolumeError, match="voxel 465 x 40 x 40 x 40"):
        io.read_volume(shared_dir / "data/m3dv_nodules/m3dv_nodules_40.npz")
