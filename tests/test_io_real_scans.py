"""Real scans, sound and odd, from the folder beside the checkout; skipped without it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.frame import IPL_TO_LPS
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


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("nibabel_resampled_anat_moved.nii", "hold no number"),
        ("nibabel_someones_epi_oblique.nii.gz", "resampled once"),
        ("nibabel_someones_anatomy.nii.gz", "do not look like HU"),
        ("nibabel_reoriented_anat_moved.nii", "do not look like HU"),
    ],
)
def test_odd_but_sound_files_are_read_with_a_remark(shared_dir, name, note):
    path = shared_dir / "data/tricky/nifti_odd" / name
    volume = io.read_volume(path)
    image = nib.load(path)
    assert note in " ".join(volume.source.notes)
    assert volume.source.orientation == "".join(nib.aff2axcodes(image.affine))
    np.testing.assert_allclose(np.nanmax(volume.voxels), np.nanmax(image.get_fdata()), rtol=0.1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nibabel_example4d.nii.gz", "holds 2 volumes"),
        ("nibabel_example_nifti2.nii.gz", "holds 2 volumes"),
        ("nibabel_functional.nii", "holds 20 volumes"),
        ("nibabel_test.mgz", "does not begin like"),
    ],
)
def test_odd_files_that_are_no_single_volume_are_refused(shared_dir, name, reason):
    with pytest.raises(VolumeError, match=reason):
        io.read_volume(shared_dir / "data/tricky/nifti_odd" / name)


# --- DICOM ---


@pytest.fixture(scope="session")
def unpacked(shared_dir, tmp_path_factory):
    """Unpack an archive of the shared data once, and give its folder."""
    folders: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("series")
            with tarfile.open(shared_dir / "data" / name) as archive:
                archive.extractall(folders[name], filter="data")
        return folders[name]

    return unpack


def test_a_whole_chest_ct_with_names_out_of_order(unpacked):
    volume = io.read_volume(unpacked("dlwpt_lung_ct/C3N-00247_LUNG3.0_B70f_99slices_dicom.tar.xz"))
    assert volume.voxels.shape == (99, 512, 512)
    assert volume.spacing_mm == pytest.approx((3.0, 0.564453125, 0.564453125))
    assert volume.quantity is Quantity.HU
    assert volume.voxels.min() == -1024
    assert volume.source.notes == ()
    # Lowest slice at S = -288 mm, so the last along I.
    assert volume.grid.to_world((98, 0, 0)) == pytest.approx((288, -287.2, -143.2), abs=0.1)
    # The order of slices is the anatomy's: neighbours resemble each other.
    slabs = volume.voxels[:, ::8, ::8].astype(float)
    assert np.abs(slabs[1:] - slabs[:-1]).mean() < 0.8 * np.abs(slabs[5:] - slabs[:-5]).mean()


def test_a_jpeg_2000_series_and_its_labels_in_another_orientation_coincide(shared_dir):
    ct = io.read_volume(shared_dir / "data/totalseg/dicom_j2k_20slices")
    labels = io.read_volume(shared_dir / "data/totalseg/dicom_j2k_20slices_totalseg_labels.nii.gz")
    assert (ct.source.orientation, labels.source.orientation) == ("LPS", "LAS")
    assert ct.voxels.shape == labels.voxels.shape
    assert (
        np.abs(
            ct.grid.to_index(labels.grid.corners_mm()) - ct.grid.to_index(ct.grid.corners_mm())
        ).max()
        < 0.05
    )
    means = {
        name: ct.voxels[np.isin(labels.voxels, codes)].mean()
        for name, codes in {"vertebrae": range(26, 51), "lungs": range(10, 15)}.items()
        if np.isin(labels.voxels, codes).any()
    }
    assert means
    assert means.get("vertebrae", 999) > 100
    assert means.get("lungs", -999) < -500


@pytest.mark.parametrize("patient", ["0001", "0002"])
def test_radiologists_nodule_outlines_lie_on_the_nodule(unpacked, shared_dir, patient):
    ct = io.read_volume(unpacked(f"lidc/LIDC-IDRI-{patient}_partial_dicom.tar.xz"))
    mask = io.read_volume(shared_dir / f"data/lidc/LIDC-IDRI-{patient}_nodule_readers.nii.gz")
    assert ct.grid.same_place_as(mask.grid, tolerance_mm=0.01)
    agreed = mask.voxels >= 2
    assert int(agreed.sum()) == {"0001": 5428, "0002": 932}[patient]
    grown = np.zeros_like(agreed)
    z, y, x = (slice(max(0, i.min() - 6), i.max() + 7) for i in np.nonzero(agreed))
    grown[z, y, x] = True
    around = ct.voxels[grown & (mask.voxels == 0)]
    # A nodule is denser than the lung that surrounds it.
    assert ct.voxels[agreed].mean() > around[around < -500].mean() + 100


def test_a_real_tilted_gantry_is_straightened(unpacked):
    volume = io.read_volume(unpacked("tricky/d2n_gantrytilting.tar.xz"))
    assert "resampled once" in volume.source.notes[0]
    assert volume.source.grid.shape[2] == 4


def test_a_real_oblique_series_is_straightened(shared_dir):
    volume = io.read_volume(shared_dir / "data/tricky/rtstruct/tests/oriented_data")
    assert "28.3 degrees" in " ".join(volume.source.notes)
    corner = volume.source.grid.to_world((0, 0, 0))
    assert IPL_TO_LPS[:3, :3] @ corner == pytest.approx((123, -432, 30))


def test_padding_of_a_real_series_becomes_air(shared_dir):
    volume = io.read_volume(shared_dir / "data/tricky/seg_dcmqi")
    assert volume.voxels.min() == -1024
    assert "padding" in volume.source.notes[0]
    assert "SEG" in volume.source.notes[1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tricky/d2n_notavolume.tar.xz", "same place as"),
        ("tricky/d2n_sliceincrement_001.tar.xz", "1 slice is missing"),
    ],
)
def test_real_series_that_are_no_stack_are_refused(unpacked, name, reason):
    with pytest.raises(VolumeError, match=reason):
        io.read_volume(unpacked(name))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("corrupt/fo_CT1_IVRLE_BigEndian_undefined_length.dcm", "cannot be understood"),
        ("corrupt/fo_CT_RGB_FreezePattern.dcm", "colour picture"),
        ("corrupt/fo_CT_localizer_surview.dcm", "only localizer"),
        ("corrupt/fo_GE_disc_tilt5.5.dcm", "one slice|cannot be understood"),
        ("enhanced/dcmqi_23x38x3_multiframe_ct.dcm", "multi-frame"),
        ("enhanced/dcmqi_23x38x3_label.seg.dcm", "SEG"),
        ("rtstruct/tests/mock_data/rt.dcm", "RTSTRUCT"),
        ("rtstruct/tests/one_slice_data", "only one slice"),
    ],
)
def test_real_files_that_are_no_ct_volume_are_refused(shared_dir, name, reason):
    with pytest.raises(VolumeError, match=reason):
        io.read_volume(shared_dir / "data/tricky" / name)
