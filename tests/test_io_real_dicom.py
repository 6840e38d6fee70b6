"""Real DICOM, sound and odd, from the folder beside the checkout; skipped without it."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from archives import unpack

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import ChoiceNeededError, ConsentNeededError
from napari_hirescam.io.frame import IPL_TO_LPS
from napari_hirescam.source import Repair
from napari_hirescam.volume import Quantity

LUNG = "dlwpt_lung_ct/C3N-00247_LUNG3.0_B70f_99slices_dicom.tar.xz"
JPEG_2000 = "totalseg/dicom_j2k_20slices"


@pytest.fixture(scope="session")
def unpacked(shared_dir, tmp_path_factory):
    """Give the folder of a series, unpacked once if it comes in an archive."""
    folders: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if not name.endswith(".xz"):
            return shared_dir / "data" / name
        if name not in folders:
            folder = tmp_path_factory.mktemp("series")
            folders[name] = unpack(shared_dir / "data" / name, folder)
        return folders[name]

    return folder_of


# --- Sound series -----------------------------------------------------------------------------


def test_a_whole_chest_ct_with_names_out_of_order(unpacked):
    volume = io.read_volume(unpacked(LUNG))
    assert volume.voxels.shape == (99, 512, 512)
    assert volume.voxels.dtype == np.int16
    assert volume.spacing_mm == pytest.approx((3.0, 0.564453125, 0.564453125))
    assert volume.quantity is Quantity.HU
    assert volume.voxels.min() == -1024
    assert volume.source.notes == ()
    assert volume.invalid is None
    assert {fact.value for fact in volume.source.facts if fact.name == "Kernel"} == {"B70f"}
    # Lowest slice at S = -288 mm, so the last along I.
    assert volume.grid.to_world((98, 0, 0)) == pytest.approx((288, -287.2, -143.2), abs=0.1)
    # The order of slices is the anatomy's: neighbours resemble each other.
    slabs = volume.voxels[:, ::8, ::8].astype(float)
    assert np.abs(slabs[1:] - slabs[:-1]).mean() < 0.8 * np.abs(slabs[5:] - slabs[:-5]).mean()


@pytest.mark.parametrize(
    "name",
    [
        LUNG,
        "lidc/LIDC-IDRI-0001_partial_dicom.tar.xz",
        "lidc/LIDC-IDRI-0002_partial_dicom.tar.xz",
        JPEG_2000,
        "tricky/seg_dcmqi",
        "tricky/rtstruct/tests/oriented_data",
        "tricky/enhanced/dcmqi_23x38x3_classic",
    ],
)
def test_corners_and_centre_lie_where_itk_puts_them(unpacked, name):
    sitk = pytest.importorskip("SimpleITK")
    volume = io.read_volume(unpacked(name))
    grid = volume.source.grid
    reader = sitk.ImageSeriesReader()
    folder = str(volume.source.frames[0].path.parent)
    series = volume.source.details.get("series_uid", "")
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder, series))
    image = reader.Execute()
    assert image.GetSize() == grid.shape
    ends = [(0, (n - 1) // 2, n - 1) for n in grid.shape]
    for index in product(*ends):
        here = IPL_TO_LPS[:3, :3] @ grid.to_world(index)
        assert np.abs(np.array(image.TransformIndexToPhysicalPoint(index)) - here).max() < 0.01
    if volume.grid.shape == grid.shape[::-1]:  # straight: the very voxels
        theirs = sitk.GetArrayFromImage(image)
        measured = theirs >= -1024
        ours = np.flip(volume.voxels, 0) if volume.source.orientation == "LPS" else volume.voxels
        np.testing.assert_array_equal(ours[measured], theirs[measured])


def test_a_jpeg_2000_series_and_its_labels_in_another_orientation_coincide(shared_dir):
    ct = io.read_volume(shared_dir / "data" / JPEG_2000)
    labels = io.read_volume(shared_dir / "data/totalseg/dicom_j2k_20slices_totalseg_labels.nii.gz")
    assert (ct.source.orientation, labels.source.orientation) == ("LPS", "LAS")
    assert ct.voxels.shape == labels.voxels.shape
    off = ct.grid.to_index(labels.grid.corners_mm()) - ct.grid.to_index(ct.grid.corners_mm())
    assert np.abs(off).max() < 0.05
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


def test_a_real_liver_lies_where_its_mask_says(shared_dir):
    ct = io.read_volume(shared_dir / "data/tricky/seg_dcmqi")
    mask = io.read_volume(shared_dir / "data/tricky/seg_dcmqi/liver_seg.nrrd")
    assert ct.grid.same_place_as(mask.grid, tolerance_mm=0.01)
    liver = ct.voxels[mask.voxels > 0]
    assert 0 < np.median(liver) < 200
    assert np.std(liver) < 100


def test_padding_of_a_real_series_becomes_air_and_is_marked(shared_dir):
    volume = io.read_volume(shared_dir / "data/tricky/seg_dcmqi")
    assert volume.voxels.min() == -1024
    assert "167316 padding" in volume.source.notes[0]
    assert volume.invalid.sum() == 167_316
    assert "SEG" in volume.source.notes[1]


def test_padding_that_is_not_declared_is_told_with_the_range(unpacked):
    volume = io.read_volume(unpacked("lidc/LIDC-IDRI-0001_partial_dicom.tar.xz"))
    assert volume.voxels.min() == -2048  # its files name another number
    (told,) = [fact.value for fact in volume.source.facts if fact.name == "Range"]
    assert "below air" in told


def test_an_enhanced_ct_is_the_classic_series_it_was_made_of(shared_dir):
    folder = shared_dir / "data/tricky/enhanced"
    enhanced = io.read_volume(folder / "dcmqi_23x38x3_multiframe_ct.dcm")
    classic = io.read_volume(folder / "dcmqi_23x38x3_classic")
    np.testing.assert_array_equal(enhanced.voxels, classic.voxels)
    assert enhanced.grid.same_place_as(classic.grid)
    assert sorted(frame.number for frame in enhanced.source.frames) == [1, 2, 3]
    with pytest.raises(ChoiceNeededError) as caught:
        io.read_volume(folder)
    assert [item.kind for item in caught.value.items if item.kind != "SEG"] == ["CT", "CT"]


def test_a_series_may_hold_another_one_and_a_report_beside_it(unpacked, shared_dir, tmp_path):
    shutil.copytree(shared_dir / "data" / JPEG_2000, tmp_path / "one")
    shutil.copytree(shared_dir / "data/tricky/seg_dcmqi", tmp_path / "two")
    shutil.copy(shared_dir / "data/tricky/rtstruct/tests/mock_data/rt.dcm", tmp_path)
    items = io.list_items(tmp_path)
    assert sorted((item.kind, item.n_slices) for item in items if item.kind != "SEG") == [
        ("CT", 3),
        ("CT", 20),
        ("RTSTRUCT", 1),
    ]
    for item in items:
        if item.kind == "CT":
            picture = io.picture_of(tmp_path, item.key)
            volume = io.read_volume(tmp_path, series=item.key)
            assert len(volume.voxels) == item.n_slices
            assert picture.grey.shape == (256, 256)


# --- Odd ones ---------------------------------------------------------------------------------


def test_a_real_tilted_gantry_is_straightened(unpacked):
    volume = io.read_volume(unpacked("tricky/d2n_gantrytilting.tar.xz"))
    (repaired,) = volume.source.repaired
    assert repaired.repair is Repair.STRAIGHTEN
    assert "tilted by 14.0 degrees" in repaired.what
    assert volume.source.grid.shape[2] == 4
    assert volume.invalid.any()


def test_a_real_oblique_series_is_straightened(shared_dir):
    volume = io.read_volume(shared_dir / "data/tricky/rtstruct/tests/oriented_data")
    assert "28.3 degrees" in " ".join(volume.source.notes)
    corner = volume.source.grid.to_world((0, 0, 0))
    assert IPL_TO_LPS[:3, :3] @ corner == pytest.approx((123, -432, 30))


def test_a_real_gap_is_filled_on_request_alone(unpacked):
    folder = unpacked("tricky/d2n_sliceincrement_001.tar.xz")
    with pytest.raises(ConsentNeededError, match="1 slice is missing") as caught:
        io.read_volume(folder)
    assert caught.value.repairs == (Repair.INSERT_MISSING,)
    volume = io.read_volume(folder, allow=["insert-missing"])
    assert volume.voxels.shape == (5, 512, 512)
    (blank,) = [k for k in range(5) if volume.invalid[k].all()]
    assert (volume.voxels[blank] == -1024).all()
    assert volume.source.frames[4 - blank] is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tricky/d2n_notavolume.tar.xz", "all its 4 slices lie at the same place"),
        ("tricky/corrupt/fo_CT1_IVRLE_BigEndian_undefined_length.dcm", "cannot be understood"),
        ("tricky/corrupt/fo_CT_RGB_FreezePattern.dcm", "colour picture"),
        ("tricky/corrupt/fo_CT_localizer_surview.dcm", "only localizer"),
        ("tricky/corrupt/fo_GE_disc_tilt5.5.dcm", "only one slice"),
        ("tricky/rtstruct/tests/mock_data", "only 2 slices"),
        ("tricky/rtstruct/tests/mock_data/rt.dcm", "RT contours"),
        ("tricky/rtstruct/tests/mock_data/ct_1.dcm", "only 2 slices"),
        ("tricky/rtstruct/tests/one_slice_data", "only one slice"),
        ("tricky/wg04_ct_compressed", "all its 6 slices lie at the same place"),
    ],
)
def test_real_files_that_are_no_volume_are_refused(unpacked, name, reason):
    with pytest.raises(VolumeError, match=reason) as caught:
        io.read_volume(unpacked(name))
    assert not isinstance(caught.value, ConsentNeededError)
    assert caught.value.remedy


def test_no_item_of_the_real_files_names_a_patient(shared_dir):
    listed = [
        item
        for folder in ("enhanced", "rtstruct/tests/mock_data", "corrupt", "seg_dcmqi")
        for item in io.list_items(shared_dir / "data/tricky" / folder)
    ]
    names = {
        fact.value
        for folder in ("enhanced", "rtstruct/tests/mock_data", "corrupt", "seg_dcmqi")
        for fact in io.identifying_facts(shared_dir / "data/tricky" / folder)
        if fact.name in {"Patient's name", "Patient ID"} and len(fact.value) > 3
    }
    assert "PHANTOM_EXAMPLE" in names  # which its makers wrote into the description as well
    assert not [item for item in listed for name in names if name in f"{item.title}{item.facts}"]
