"""Organ masks from files: named, on the grid of their CT, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_io_dicom_seg import others_seg, overlapping, read_series

from napari_hirescam.errors import Cancelled, OrganError, VolumeError
from napari_hirescam.io import read_volume, write_volume
from napari_hirescam.organs import OrganMap, read_organs
from napari_hirescam.organs.mask_files import files_of_organs
from napari_hirescam.organs.organ_tables import PARTITION, TOTALSEGMENTATOR
from napari_hirescam.organs.placed_masks import organs_from_labels
from napari_hirescam.organs.writing import write_organs
from napari_hirescam.source import Segment
from napari_hirescam.volume import Quantity, Volume

SPACING = np.array((4.0, 2.0, 2.0))
FIRST = np.array((-100.0, -30.0, -50.0))
# Slice, row and column of a voxel in each organ; the patient's left is where columns are high.
PLACES = {"right_lung": (2, 5, 3), "heart": (3, 6, 10), "left_lung": (2, 5, 17)}
SHAPE = (6, 12, 20)


def affine_of(spacing=SPACING, first=FIRST) -> np.ndarray:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = first
    return affine


def make_ct() -> Volume:
    voxels = np.full(SHAPE, 40, np.int16)
    for organ in ("right_lung", "left_lung"):
        voxels[around(organ)] = -850
    return Volume(voxels, affine_of(), "ct")


def around(organ: str) -> tuple[slice, ...]:
    return tuple(slice(k - 1, k + 2) for k in PLACES[organ])


def make_labels(values: dict[str, int] | None = None) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for organ, value in (values or {"right_lung": 1, "heart": 2, "left_lung": 3}).items():
        labels[around(organ)] = value
    return labels


def mask_of(labels: np.ndarray, affine=None, names: tuple[Segment, ...] = ()) -> Volume:
    affine = affine_of() if affine is None else affine
    return Volume(labels, affine, "mask", Quantity.LABELS, segments=names)


def assert_in_place(organs: OrganMap) -> None:
    for organ, place in PLACES.items():
        inside = organs.mask([organ])
        assert inside[place], organ
        assert inside.sum() == 27, organ


def test_a_label_map_is_read_by_a_table(tmp_path) -> None:
    file = write_volume(tmp_path / "m.nii.gz", make_labels(), make_ct().grid)
    organs = read_organs(file, PARTITION, make_ct())
    assert_in_place(organs)
    assert organs.mask(["lungs"]).sum() == 54
    assert (organs.origin, organs.doubts, organs.notes) == ("m.nii.gz", (), ())


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nrrd"])
def test_names_in_the_file_need_no_table(tmp_path, name) -> None:
    names = [Segment(1, "Lung right"), Segment(2, "heart"), Segment(3, "Lung left")]
    file = write_volume(tmp_path / name, make_labels(), make_ct().grid, segments=names)
    organs = read_organs(file, None, make_ct())
    assert_in_place(organs)
    assert organs.values["lungs"] == (1, 3)


def test_a_table_counts_more_than_the_names_in_the_file(tmp_path) -> None:
    names = [Segment(1, "heart")]
    file = write_volume(tmp_path / "m.nii.gz", make_labels(), make_ct().grid, segments=names)
    assert_in_place(read_organs(file, PARTITION, make_ct()))


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nrrd"])
def test_what_is_written_is_read_as_the_same_organs(tmp_path, name) -> None:
    ct = make_ct()
    organs = OrganMap(make_labels(), ct.affine, PARTITION, "PARTITION", ("it is a block",))
    again = read_organs(write_organs(organs, ct, tmp_path / name), None, ct)
    assert again.values == PARTITION
    assert np.array_equal(again.labels, organs.labels)


def test_organs_go_back_onto_the_stored_grid_of_the_ct(tmp_path) -> None:
    """An LPS file: the mask beside it is stored along the same axes."""
    import nibabel as nib

    stored = np.transpose(make_ct().voxels, (2, 1, 0)).astype(np.int16)  # L, P, I
    ras = np.diag([-2.0, -2.0, -4.0, 1.0])
    ras[:3, 3] = (50.0, 30.0, 100.0)
    nib.save(nib.Nifti1Image(stored, ras), tmp_path / "ct.nii.gz")
    ct = read_volume(tmp_path / "ct.nii.gz")
    assert np.allclose(ct.affine, affine_of())
    organs = OrganMap(make_labels(), ct.affine, PARTITION, "PARTITION")
    file = write_organs(organs, ct, tmp_path / "m.nii.gz")
    image = nib.load(file)
    assert np.array_equal(image.affine, ras)
    assert np.asarray(image.dataobj)[PLACES["left_lung"][::-1]] == 3
    assert_in_place(read_organs(file, None, ct))


def test_a_single_organ_may_be_told_by_the_files_name(tmp_path) -> None:
    labels = make_labels({"heart": 255})
    file = write_volume(tmp_path / "Heart.nii.gz", labels, make_ct().grid)
    assert read_organs(file, None, make_ct()).mask(["heart"]).sum() == 27
    other = write_volume(tmp_path / "mask.nii.gz", labels, make_ct().grid)
    with pytest.raises(OrganError, match=r"which of its values \(255\) is which organ.*partition"):
        read_organs(other, None, make_ct())


# -- a folder with a file for each organ -----------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """As TotalSegmentator writes it, and the CT among the masks."""
    ct = make_ct()
    folder = tmp_path / "segmentations"
    folder.mkdir()
    parts = {
        "lung_upper_lobe_right": "right_lung",
        "lung_upper_lobe_left": "left_lung",
        "heart": "heart",
    }
    for name, organ in parts.items():
        write_volume(folder / f"{name}.nii.gz", make_labels({organ: 1}), ct.grid)
    for empty in ("lung_middle_lobe_right", "lung_lower_lobe_right", "lung_lower_lobe_left"):
        write_volume(folder / f"{empty}.nii.gz", np.zeros(SHAPE, np.uint8), ct.grid)
    write_volume(folder / "ct.nii.gz", ct.voxels, ct.grid)
    (folder / "statistics.json").write_text("{}")
    return folder


def test_a_folder_gives_whole_lungs_of_their_lobes(folder) -> None:
    told = []
    organs = read_organs(
        folder, None, make_ct(), wanted=["lungs", "heart"], progress=lambda *at: told.append(at)
    )
    assert_in_place(organs)
    assert organs.mask(["lungs"]).sum() == 54
    assert told == [(k, 6) for k in range(1, 7)]
    assert organs.values["lung_middle_lobe_right"] == ()


def test_only_what_is_needed_is_read_from_a_folder(folder) -> None:
    (folder / "heart.nii.gz").write_bytes(b"damaged")
    assert read_organs(folder, None, make_ct(), wanted=["left_lung"]).mask(["left_lung"]).any()
    with pytest.raises(VolumeError, match="heart"):
        read_organs(folder, None, make_ct(), wanted=["heart"])


def test_masks_of_a_folder_may_overlap(folder) -> None:
    both = make_labels({"heart": 1, "left_lung": 1})
    write_volume(folder / "mediastinum.nii.gz", both, make_ct().grid)
    organs = read_organs(folder, None, make_ct(), wanted=["heart", "mediastinum"])
    assert organs.mask(["heart"]).sum() == 27
    assert organs.mask(["mediastinum"]).sum() == 54


def test_a_lung_with_a_missing_lobe_is_no_lung(folder) -> None:
    (folder / "lung_lower_lobe_left.nii.gz").unlink()
    with pytest.raises(OrganError, match="no file of lung_lower_lobe_left"):
        read_organs(folder, None, make_ct(), wanted=["left_lung"])


def test_a_file_that_is_no_mask_is_named(folder) -> None:
    with pytest.raises(OrganError, match=r"^ct: it holds no labels"):
        read_organs(folder, None, make_ct())


def test_a_folder_needs_no_table(folder) -> None:
    with pytest.raises(OrganError, match="needs no table"):
        read_organs(folder, PARTITION, make_ct())


def test_two_files_of_one_organ_are_refused(folder) -> None:
    (folder / "lung_right.nii.gz").touch()
    (folder / "right_lung.nii.gz").touch()
    with pytest.raises(OrganError, match=r"lung_right.nii.gz and right_lung.nii.gz are of one"):
        read_organs(folder, None, make_ct(), wanted=["right_lung"])


def test_reading_a_folder_can_be_stopped(folder) -> None:
    with pytest.raises(Cancelled):
        read_organs(folder, None, make_ct(), wanted=["heart"], should_stop=lambda: True)


# -- DICOM segmentations -----------------------------------------------------------------------


def test_segments_that_overlap_are_taken_one_by_one(tmp_path) -> None:
    ct = read_series(tmp_path / "ct")
    pixels = overlapping()
    names = ["Lung right", "heart"]
    file = others_seg(tmp_path / "ct" / "seg.dcm", tmp_path / "ct", pixels, names)
    organs = read_organs(file, None, ct)
    for name, k in (("right_lung", 0), ("heart", 1)):
        assert np.array_equal(organs.mask([name]), pixels[::-1, :, :, k] != 0)
    assert organs.mask(["heart", "right_lung"]).sum() < pixels.sum()


def test_another_frame_of_reference_is_another_scan(shared_dir) -> None:
    file = shared_dir / "data/tricky/seg_dcmqi/seg_liver.dcm"
    mask = read_volume(file)
    ct = Volume(np.zeros(mask.voxels.shape, np.int16), mask.affine, "ct", source=mask.source)
    assert read_organs(file, None, ct).mask(["liver"]).any()
    elsewhere = {**mask.source.details, "frame_of_reference_uid": "1.2.3"}
    other = replace(ct, source=replace(mask.source, details=elsewhere))
    with pytest.raises(OrganError, match="another scan"):
        read_organs(file, None, other)


def test_slices_that_a_segmentation_leaves_out_are_empty(tmp_path) -> None:
    ct = read_series(tmp_path / "ct")
    pixels = np.zeros((6, 6, 9), np.uint8)
    pixels[4, 2, 7] = 1
    (tmp_path / "seg").mkdir()
    file = others_seg(tmp_path / "seg" / "seg.dcm", tmp_path / "ct", pixels, ["heart"])
    assert read_volume(file).voxels.shape[0] == 1
    organs = read_organs(file, None, ct)
    assert np.array_equal(organs.mask(["heart"]), pixels[::-1] != 0)
    assert organs.notes == ()


# -- the place of the masks --------------------------------------------------------------------


def test_masks_of_half_the_spacing_are_resampled_and_it_is_said() -> None:
    fine = make_labels().repeat(2, 0).repeat(2, 1).repeat(2, 2)
    affine = affine_of(SPACING / 2, FIRST - SPACING / 4)
    organs = organs_from_labels(mask_of(fine, affine), PARTITION, make_ct(), origin="fine")
    assert_in_place(organs)
    assert "(12 x 24 x 40) were resampled onto the grid of the CT (6 x 12 x 20)" in organs.notes[0]


def test_masks_of_a_larger_scan_serve_its_crop() -> None:
    larger = np.pad(make_labels(), 3)
    affine = affine_of(first=FIRST - 3 * SPACING)
    organs = organs_from_labels(mask_of(larger, affine), PARTITION, make_ct(), origin="larger")
    assert_in_place(organs)


def test_a_place_rounded_by_a_file_is_the_same_place() -> None:
    affine = affine_of(first=FIRST + 0.01)
    organs = organs_from_labels(mask_of(make_labels(), affine), PARTITION, make_ct(), origin="m")
    assert organs.notes == ()
    assert np.array_equal(organs.affine, make_ct().affine)


def test_masks_that_end_short_of_the_ct_are_refused() -> None:
    part = mask_of(make_labels()[:4])
    with pytest.raises(OrganError, match="covers 67% of the CT, ending 8 mm short of its inferior"):
        organs_from_labels(part, PARTITION, make_ct(), origin="part")


@pytest.mark.parametrize(
    ("axis", "end"),
    [(0, "superior"), (1, "anterior"), (2, "right")],
)
def test_each_side_has_its_name(axis, end) -> None:
    shift = np.zeros(3)
    shift[axis] = 3 * SPACING[axis]
    moved = mask_of(make_labels(), affine_of(first=FIRST + shift))
    with pytest.raises(OrganError, match=f"short of its {end} end"):
        organs_from_labels(moved, PARTITION, make_ct(), origin="moved")


def test_masks_of_another_place_are_refused() -> None:
    elsewhere = mask_of(make_labels(), affine_of(first=FIRST + 500))
    with pytest.raises(OrganError, match="lies wholly outside the CT"):
        organs_from_labels(elsewhere, PARTITION, make_ct(), origin="elsewhere")


def test_exchanged_sides_are_refused() -> None:
    swapped = mask_of(make_labels()[:, :, ::-1])
    with pytest.raises(OrganError, match="right lung lies to the left of its left lung"):
        organs_from_labels(swapped, PARTITION, make_ct(), origin="swapped")


def test_lungs_without_air_are_doubted() -> None:
    ct = make_ct()
    solid = Volume(np.full(SHAPE, 40, np.int16), ct.affine, "solid")
    (doubt,) = organs_from_labels(mask_of(make_labels()), PARTITION, solid, origin="m").doubts
    assert "0% of what it calls lung holds air" in doubt
    assert not organs_from_labels(mask_of(make_labels()), PARTITION, ct, origin="m").doubts


def test_voxels_that_were_not_measured_speak_neither_way() -> None:
    ct = make_ct()
    solid = Volume(
        np.full(SHAPE, 40, np.int16), ct.affine, "solid", invalid=make_labels().astype(bool)
    )
    assert not organs_from_labels(mask_of(make_labels()), PARTITION, solid, origin="m").doubts


# -- what is no mask -------------------------------------------------------------------------


def test_an_organ_that_is_wanted_and_missing_is_named() -> None:
    table = {"lungs": (1, 3)}
    with pytest.raises(OrganError, match="no heart, liver; it tells of: lungs"):
        organs_from_labels(
            mask_of(make_labels()), table, make_ct(), origin="m", wanted=["heart", "liver", "lungs"]
        )


def test_a_table_of_other_values_is_refused() -> None:
    with pytest.raises(OrganError, match="has the values 1, 2, 3, and none of those"):
        organs_from_labels(mask_of(make_labels()), TOTALSEGMENTATOR, make_ct(), origin="m")


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(OrganError, match="it is empty"):
        organs_from_labels(mask_of(np.zeros(SHAPE, np.uint8)), PARTITION, make_ct(), origin="m")


def test_a_ct_is_no_mask(tmp_path) -> None:
    ct = make_ct()
    file = write_volume(tmp_path / "ct.nii.gz", ct.voxels, ct.grid)
    with pytest.raises(OrganError, match="holds no labels"):
        read_organs(file, PARTITION, ct)


def test_a_mask_with_holes_of_nan_says_how_they_were_filled(tmp_path) -> None:
    labels = make_labels().astype(np.float32)
    labels[0, 0, 0] = np.nan
    file = write_volume(tmp_path / "m.nii.gz", labels, make_ct().grid)
    organs = read_organs(file, PARTITION, make_ct())
    assert_in_place(organs)
    assert "no number (NaN); they were set to 0 (background)" in organs.notes[0]


# -- real masks ---------------------------------------------------------------------------------


def test_real_masks_of_totalsegmentator(shared_dir) -> None:
    folder = shared_dir / "data/totalseg"
    ct = read_volume(folder / "example_ct.nii.gz")
    organs = read_organs(folder / "example_ct_totalseg_labels.nii.gz", None, ct, wanted=["lungs"])
    by_number = organs_from_labels(
        read_volume(folder / "example_ct_totalseg_labels.nii.gz"),
        TOTALSEGMENTATOR,
        ct,
        origin="by number",
    )
    lungs = organs.mask(["lungs"])
    assert lungs.sum() == 4115
    assert np.array_equal(lungs, by_number.mask(["lungs"]))
    assert not organs.doubts
    # The patient's liver lies on the right.
    columns = [np.flatnonzero(organs.mask([o]).any((0, 1))).mean() for o in ("liver", "spleen")]
    assert columns[0] < columns[1]


def test_masks_of_a_block_do_not_serve_the_whole_scan(shared_dir) -> None:
    folder = shared_dir / "data/totalseg"
    whole = read_volume(folder / "example_ct.nii.gz")
    with pytest.raises(OrganError, match="covers 27% of the CT, ending 246 mm short"):
        read_organs(folder / "example_seg.nii.gz", None, whole)


def test_one_file_of_a_folder_of_real_masks(shared_dir) -> None:
    folder = shared_dir / "data/totalseg/aorta"
    ct = read_volume(folder / "ct_cropped.nii.gz")
    wanted = ["aorta", "aorta_true_lumen"]
    organs = read_organs(folder, None, ct, wanted=wanted)
    alone = read_organs(folder / "aorta.nii.gz", None, ct)
    assert np.array_equal(organs.mask(["aorta"]), alone.mask(["aorta"]))
    # The true lumen lies within the aorta: masks that overlap.
    inside = organs.mask(["aorta"]) & organs.mask(["aorta_true_lumen"])
    assert inside.sum() > 0.9 * organs.mask(["aorta_true_lumen"]).sum()


def test_whoever_looks_at_masks_may_see_empty_ones_and_exchanged_sides(tmp_path) -> None:
    ct = make_ct()
    exchanged = make_labels({"right_lung": 3, "heart": 2, "left_lung": 1})
    file = write_volume(tmp_path / "exchanged.nii.gz", exchanged, ct.grid)
    with pytest.raises(OrganError, match="right lung lies to the left"):
        read_organs(file, PARTITION, ct)
    shown = read_organs(file, PARTITION, ct, lenient=True)
    assert shown.doubts == ("its right lung lies to the left of its left lung",)
    assert shown.mask(["right_lung"])[PLACES["left_lung"]]

    empty = write_volume(tmp_path / "empty.nii.gz", np.zeros(SHAPE, np.uint8), ct.grid)
    with pytest.raises(OrganError, match="it is empty"):
        read_organs(empty, PARTITION, ct)
    shown = read_organs(empty, PARTITION, ct, lenient=True)
    assert not shown.mask(["heart"]).any()
    assert "it is empty" in shown.doubts[0]

    strange = write_volume(tmp_path / "other.nii.gz", make_labels({"heart": 9}), ct.grid)
    with pytest.raises(OrganError, match="has the values 9"):
        read_organs(strange, PARTITION, ct, lenient=True)


def test_a_mask_of_one_thing_is_what_the_caller_says_it_is(tmp_path) -> None:
    ct = make_ct()
    file = write_volume(tmp_path / "mask.nii.gz", make_labels({"heart": 255}), ct.grid)
    assert read_organs(file, None, ct, unnamed="Spleen").mask(["spleen"])[PLACES["heart"]]
    named = write_volume(tmp_path / "heart.nii.gz", make_labels({"heart": 255}), ct.grid)
    assert read_organs(named, None, ct, unnamed="spleen").organs == ("heart",)
    several = write_volume(tmp_path / "several.nii.gz", make_labels(), ct.grid)
    with pytest.raises(OrganError, match=r"which of its values \(1, 2, 3\) is which organ"):
        read_organs(several, None, ct, unnamed="spleen")


def test_the_files_of_an_organ_are_told_without_reading_them(tmp_path) -> None:
    for name in ("lung_upper_lobe_left", "lung_lower_lobe_left", "heart"):
        (tmp_path / f"{name}.nii.gz").touch()
    assert files_of_organs(tmp_path, ["Left lung"]) == (
        tmp_path / "lung_upper_lobe_left.nii.gz",
        tmp_path / "lung_lower_lobe_left.nii.gz",
    )
    assert files_of_organs(tmp_path / "heart.nii.gz", ["aorta"]) == (tmp_path / "heart.nii.gz",)
    with pytest.raises(OrganError, match="it has no file of aorta"):
        files_of_organs(tmp_path, ["aorta"])
