"""What a reader is shown of an item: its CT, its mask where it lies, or one clear sentence."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from test_mask_files import PLACES, SHAPE, make_ct, make_labels

from napari_hirescam.errors import Cancelled, HirescamError
from napari_hirescam.io import write_volume
from napari_hirescam.io.frame import IPL_TO_RAS
from napari_hirescam.review.item import Item
from napari_hirescam.review.loading import ct_key, load_ct, load_item, load_mask, mask_sha256
from napari_hirescam.source import Segment
from napari_hirescam.volume import Grid


@pytest.fixture
def folder(tmp_path) -> Path:
    """A CT with a label map of PARTITION's values beside it."""
    ct = make_ct()
    write_volume(tmp_path / "ct.nii.gz", ct.voxels, ct.grid)
    write_volume(tmp_path / "labels.nii.gz", make_labels(), ct.grid)
    return tmp_path


def item_of(folder: Path, target="heart", mask="labels.nii.gz", table="partition", **more) -> Item:
    path = None if mask is None else folder / mask
    given = {"kind": "mask", "mask": path, "organ_table": table, **more}
    return Item(1, "case 7", "p7", target=target, ct=folder / "ct.nii.gz", **given)


def save_as(path: Path, voxels: np.ndarray, grid: Grid, letters: str) -> Path:
    """A NIfTI file of the same place whose axes are stored along other directions."""
    image = nib.Nifti1Image(voxels, IPL_TO_RAS @ grid.affine)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(letters)
    )
    nib.save(image.as_reoriented(turn), path)
    return path


# -- where things lie --------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["RAS", "LPS", "SAR", "PIR"])
def test_a_point_lies_at_the_same_mm_in_ct_and_mask_however_either_is_stored(folder, stored):
    ct = make_ct()
    save_as(folder / "mask.nii.gz", make_labels({"heart": 1}), ct.grid, stored)
    save_as(folder / "ct.nii.gz", ct.voxels, ct.grid, stored[::-1])
    loaded = load_item(item_of(folder, mask="mask.nii.gz", table=""))
    place = PLACES["heart"]
    assert np.allclose(loaded.ct.grid.to_world(place), ct.grid.to_world(place))
    assert loaded.mask is not None
    assert loaded.mask.dtype == bool
    assert loaded.mask[place]
    assert loaded.mask.sum() == 27
    assert loaded.others is not None
    assert loaded.others.grid.same_place_as(loaded.ct.grid)
    assert (loaded.ct.name, loaded.ct_key) == ("case 7", ct_key(loaded.item))


def test_a_mask_of_finer_voxels_is_resampled_and_it_is_said(folder) -> None:
    fine = make_labels().repeat(2, axis=1).repeat(2, axis=2)
    affine = make_ct().affine @ np.diag([1, 0.5, 0.5, 1])
    affine[1:3, 3] -= 0.5
    write_volume(folder / "fine.nii.gz", fine, Grid(fine.shape, affine))
    loaded = load_item(item_of(folder, mask="fine.nii.gz"))
    assert loaded.mask is not None
    assert np.array_equal(loaded.mask, make_labels() == 2)
    assert any("(6 x 24 x 40) were resampled" in note for note in loaded.notes)


# -- which organ -------------------------------------------------------------------------------


def test_all_organs_of_a_label_map_come_with_the_one_that_is_judged(folder) -> None:
    loaded = load_item(item_of(folder, "Right lung"))
    assert loaded.mask is not None
    assert loaded.others is not None
    assert loaded.mask[PLACES["right_lung"]]
    assert not loaded.mask[PLACES["heart"]]
    assert loaded.others.mask(["heart"])[PLACES["heart"]]


def test_names_in_the_masks_file_need_no_table(folder) -> None:
    names = [Segment(1, "Lung right"), Segment(2, "Spleen"), Segment(3, "Lung left")]
    write_volume(folder / "named.nii.gz", make_labels(), make_ct().grid, segments=names)
    loaded = load_item(item_of(folder, "spleen", "named.nii.gz", ""))
    assert loaded.mask is not None
    assert loaded.mask[PLACES["heart"]]


def test_a_file_of_one_thing_is_the_organ_that_the_work_list_names(folder) -> None:
    write_volume(folder / "c7_seg.nii.gz", make_labels({"heart": 255}), make_ct().grid)
    loaded = load_item(item_of(folder, "spleen", "c7_seg.nii.gz", ""))
    assert loaded.mask is not None
    assert loaded.mask.sum() == 27


@pytest.fixture
def organ_files(folder) -> Path:
    """A folder with a file for each organ, as TotalSegmentator writes them."""
    masks = folder / "segmentations"
    masks.mkdir()
    for organ in ("right_lung", "left_lung", "heart"):
        lit = (make_labels({organ: 1}) > 0).astype(np.uint8)
        write_volume(masks / f"{organ}.nii.gz", lit, make_ct().grid)
    return masks


def test_of_a_folder_only_the_organs_own_files_are_read(folder, organ_files) -> None:
    (organ_files / "heart.nii.gz").write_bytes(b"damaged")
    loaded = load_item(item_of(folder, "lungs", "segmentations", ""))
    assert loaded.mask is not None
    assert loaded.mask.sum() == 54
    assert loaded.mask[PLACES["left_lung"]]


def test_empty_masks_and_exchanged_sides_are_shown_with_a_note(folder, organ_files) -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    write_volume(folder / "nothing.nii.gz", nothing, make_ct().grid)
    loaded = load_item(item_of(folder, mask="nothing.nii.gz"))
    assert loaded.mask is not None
    assert not loaded.mask.any()
    assert any("It is empty" in note for note in loaded.notes)

    (organ_files / "right_lung.nii.gz").rename(organ_files / "kept.nii.gz")
    (organ_files / "left_lung.nii.gz").rename(organ_files / "right_lung.nii.gz")
    (organ_files / "kept.nii.gz").rename(organ_files / "left_lung.nii.gz")
    loaded = load_item(item_of(folder, "lungs", "segmentations", ""))
    assert "Its right lung lies to the left of its left lung." in loaded.notes


def test_masks_that_do_not_fit_the_scan_are_doubted(folder) -> None:
    solid = np.roll(make_ct().voxels, 5, axis=1)
    write_volume(folder / "ct.nii.gz", solid, make_ct().grid, overwrite=True)
    loaded = load_item(item_of(folder, "lungs"))
    assert any("may be of another scan or patient" in note for note in loaded.notes)


def test_a_map_needs_no_mask_and_takes_one_if_there_is(folder, organ_files) -> None:
    bare = load_item(item_of(folder, "nodule", None, "", kind="attention"))
    assert (bare.mask, bare.others, bare.mask_sha256) == (None, None, "")
    over = load_item(item_of(folder, "nodule", kind="attention"))
    assert over.mask is None
    assert over.others is not None
    assert "heart" in over.others.organs
    beside = load_item(item_of(folder, "nodule", "segmentations", "", kind="attention"))
    assert beside.others is None
    assert "has none of nodule" in beside.notes[-1]


# -- nothing is read twice ---------------------------------------------------------------------


def test_the_next_organ_of_a_scan_reads_neither_ct_nor_label_map_again(folder) -> None:
    first = load_item(item_of(folder, "heart"))
    (folder / "ct.nii.gz").unlink()
    second = load_item(item_of(folder, "left_lung"), previous=first)
    assert second.ct.voxels is first.ct.voxels
    assert second.others is first.others
    assert second.mask is not None
    assert second.mask[PLACES["left_lung"]]
    assert not second.mask[PLACES["heart"]]
    assert second.mask_sha256 == first.mask_sha256
    with pytest.raises(HirescamError, match="no such file"):
        load_item(replace(item_of(folder), series="2"), previous=first)


def test_a_label_map_that_was_replaced_meanwhile_is_read_again(folder) -> None:
    first = load_item(item_of(folder, "heart"))
    exchanged = make_labels({"heart": 3, "left_lung": 2})
    write_volume(folder / "labels.nii.gz", exchanged, make_ct().grid, overwrite=True)
    second = load_item(item_of(folder, "heart"), previous=first)
    assert second.mask is not None
    assert second.mask[PLACES["left_lung"]]
    assert second.mask_sha256 != first.mask_sha256


def test_another_table_is_another_mask(folder) -> None:
    first = load_item(item_of(folder, "heart"))
    (folder / "table.csv").write_text("organ,values\nheart,1\n")
    other = item_of(folder, "heart", table=str(folder / "table.csv"))
    second = load_item(other, previous=first)
    assert second.mask is not None
    assert second.mask[PLACES["right_lung"]]


# -- the hash ----------------------------------------------------------------------------------


def test_the_hash_is_that_of_the_file(folder) -> None:
    expected = hashlib.sha256((folder / "labels.nii.gz").read_bytes()).hexdigest()
    item = item_of(folder)
    assert mask_sha256(item) == expected
    assert load_mask(item, load_ct(item)).sha256 == expected


def test_the_hash_of_a_folder_tells_of_the_judged_organ_alone(folder, organ_files) -> None:
    lungs, heart = (item_of(folder, name, "segmentations", "") for name in ("lungs", "heart"))
    before = mask_sha256(lungs), mask_sha256(heart)
    assert before[0] != before[1]
    (organ_files / "left_lung.nii.gz").write_bytes(b"another")
    assert mask_sha256(lungs) != before[0]
    assert mask_sha256(heart) == before[1]


# -- what cannot be shown ----------------------------------------------------------------------


def shifted(folder: Path) -> None:
    affine = make_ct().affine.copy()
    affine[2, 3] += 12
    write_volume(folder / "odd.nii.gz", make_labels(), Grid(SHAPE, affine))


def elsewhere(folder: Path) -> None:
    affine = make_ct().affine.copy()
    affine[0, 3] += 1000
    write_volume(folder / "odd.nii.gz", make_labels(), Grid(SHAPE, affine))


def intensities(folder: Path) -> None:
    write_volume(folder / "odd.nii.gz", make_ct().voxels, make_ct().grid)


def cut(folder: Path) -> None:
    whole = (folder / "labels.nii.gz").read_bytes()
    (folder / "odd.nii.gz").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: None, "odd.nii.gz: there is no such mask. Put it back"),
        (shifted, "ending 12 mm short of its right end"),
        (elsewhere, "lies wholly outside the CT"),
        (intensities, "holds no labels"),
        (cut, "odd.nii.gz"),
    ],
)
def test_a_mask_that_cannot_be_shown_is_one_sentence(folder, damage, words) -> None:
    damage(folder)
    with pytest.raises(HirescamError, match=words) as caught:
        load_item(item_of(folder, mask="odd.nii.gz"))
    assert caught.value.remedy


def test_an_organ_that_the_mask_does_not_tell_of_is_named(folder, organ_files) -> None:
    with pytest.raises(HirescamError, match="it has no aorta; it tells of"):
        load_item(item_of(folder, "aorta"))
    with pytest.raises(HirescamError, match="it has no file of aorta"):
        load_item(item_of(folder, "aorta", "segmentations", ""))


def test_a_ct_that_moved_or_is_a_mask_is_refused(folder) -> None:
    moved = replace(item_of(folder), ct=folder / "gone.nii.gz")
    with pytest.raises(HirescamError, match=r"gone.nii.gz: there is no such file"):
        load_item(moved)
    with pytest.raises(HirescamError, match="it holds labels, no CT"):
        load_item(replace(item_of(folder), ct=folder / "labels.nii.gz"))


def test_loading_tells_how_far_it_is_and_can_be_stopped(folder) -> None:
    told: list[tuple[int, int]] = []
    load_item(item_of(folder), progress=lambda *at: told.append(at))
    shares = [done / total for done, total in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    first = load_item(item_of(folder))
    for previous in (None, first):
        with pytest.raises(Cancelled):
            load_item(item_of(folder), previous=previous, should_stop=lambda: True)
