"""Edited masks: where they lie, that they are whole, and that none takes another's place."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nifti_factory import save
from test_io_dicom_seg import read_series
from test_review_loading import folder, item_of, save_as

from napari_hirescam.errors import Cancelled, ReviewError, VolumeError
from napari_hirescam.io import read_volume
from napari_hirescam.io.frame import IPL_TO_RAS
from napari_hirescam.organs import read_organs
from napari_hirescam.review.edited_masks import edits_folder, read_edit, write_edit
from napari_hirescam.review.editing import grow
from napari_hirescam.review.event import Edit
from napari_hirescam.review.form import Plan
from napari_hirescam.review.item import Item
from napari_hirescam.review.loading import LoadedItem, load_item
from napari_hirescam.review.review_file import ReviewFile

__all__ = ["folder"]
BASE = "ab" * 32
NAME = re.compile(r"00001_heart_Dr_Ann_\d{8}T\d{6}Z(_\d)?\.nii\.gz")


@pytest.fixture
def item(folder) -> Item:
    return item_of(folder)


@pytest.fixture
def review(folder, item):
    with ReviewFile.create(folder / "review.db", Plan("hearts"), [item]) as opened:
        yield opened


def edited(loaded: LoadedItem) -> np.ndarray:
    assert loaded.mask is not None
    return grow(loaded.mask, loaded.ct.spacing_mm, by_mm=2).mask.astype(np.uint8)


# -- what is written -------------------------------------------------------------------------------


def test_an_edit_lies_beside_the_review_and_in_its_history(review, item, folder) -> None:
    loaded = load_item(item)
    mask = edited(loaded)
    edit = write_edit(
        review, item, "Dr. Ann", mask, loaded.ct, base_sha256=loaded.mask_sha256, seconds=12
    )
    assert edit.file.parent == edits_folder(review) == folder / "review.db.edits"
    assert NAME.fullmatch(edit.file.name)
    assert edit.sha256 == hashlib.sha256(edit.file.read_bytes()).hexdigest()
    assert np.array_equal(read_edit(edit, loaded.ct), mask != 0)
    verdict = review.verdict("Dr. Ann", 1)
    assert verdict.edit == edit
    (event,) = review.history(1)
    assert (event.kind, event.mask_sha256) == ("edit", loaded.mask_sha256)
    assert list(edits_folder(review).iterdir()) == [edit.file], "no part is left"
    assert load_item(item).mask_sha256 == loaded.mask_sha256, "the judged mask is untouched"


@pytest.mark.parametrize("letters", ["RAS", "LPS", "LAS", "SPL", "IRP", "AIL"])
def test_the_file_has_the_affine_of_the_cts_file_and_points_keep_their_place(
    review, item, folder, letters
) -> None:
    ct = load_item(item).ct
    save_as(folder / "turned.nii.gz", ct.voxels, ct.grid, letters)
    turned = read_volume(folder / "turned.nii.gz")
    mask = np.zeros(turned.voxels.shape, bool)
    mask[1, 2, 17] = True  # inferior, posterior, left
    place_ipl = turned.grid.to_world((1, 2, 17))
    edit = write_edit(review, item, "ann", mask, turned, base_sha256=BASE)

    image, original = nib.load(edit.file), nib.load(folder / "turned.nii.gz")
    assert np.array_equal(image.affine, original.affine)
    assert image.shape == original.shape
    (lit,) = np.argwhere(np.asarray(image.dataobj))
    ras = image.affine @ [*lit, 1]
    assert np.allclose(ras, IPL_TO_RAS @ [*place_ipl, 1])
    assert np.allclose(place_ipl, (-96, -26, -16))
    assert np.array_equal(read_edit(edit, turned), mask)


def test_over_an_oblique_ct_no_voxel_changes_on_the_way(review, item, folder) -> None:
    """Reading resampled this CT; the mask was drawn on what reading made of it."""
    turn = np.deg2rad(20)
    oblique = np.eye(4)
    oblique[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    save(folder / "oblique.nii.gz", ras=oblique @ np.diag([2, 2, 3, 1]))
    ct = read_volume(folder / "oblique.nii.gz")
    assert ct.voxels.shape != ct.export_grid.shape
    rng = np.random.default_rng(5)
    mask = rng.random(ct.voxels.shape) < 0.5
    edit = write_edit(review, item, "ann", mask, ct, base_sha256=BASE)
    assert np.array_equal(read_edit(edit, ct), mask)
    assert np.allclose(nib.load(edit.file).affine, IPL_TO_RAS @ ct.affine)


def test_an_edit_can_be_read_as_a_mask_of_its_organ(review, item) -> None:
    loaded = load_item(item)
    edit = write_edit(review, item, "ann", edited(loaded), loaded.ct, base_sha256=BASE)
    organs = read_organs(edit.file, None, loaded.ct)
    assert np.array_equal(organs.mask(["heart"]), edited(loaded) != 0)


def test_no_edit_takes_the_place_of_another(review, item) -> None:
    loaded = load_item(item)
    rng = np.random.default_rng(1)
    masks = [rng.random(loaded.ct.voxels.shape) < 0.3 for _ in range(3)]
    edits = [write_edit(review, item, "Ann", m, loaded.ct, base_sha256=BASE) for m in masks]
    assert len({edit.file for edit in edits}) == 3
    for edit, mask in zip(edits, masks, strict=True):
        assert np.array_equal(read_edit(edit, loaded.ct), mask)
    assert review.verdict("Ann", 1).edit == edits[-1]
    assert len(review.history(1)) == 3


def test_half_an_edit_of_a_killed_window_goes_with_the_next(review, item) -> None:
    loaded = load_item(item)
    edits_folder(review).mkdir()
    half = edits_folder(review) / ".00001_heart_ann.nii.gz.0a1b.part"
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    edit = write_edit(review, item, "ann", loaded.mask, loaded.ct, base_sha256=BASE)
    assert list(edits_folder(review).iterdir()) == [edit.file]


def test_names_are_fit_for_every_system_and_tell_nothing_of_the_patient(review, folder) -> None:
    item = replace(
        item_of(folder), target="../Lunge/links: äußere", case="SMITH^JOHN", patient="P9"
    )
    loaded = load_item(item_of(folder))
    edit = write_edit(review, item, "Jürgen Ö./..", loaded.mask, loaded.ct, base_sha256=BASE)
    assert edit.file.parent == edits_folder(review)
    assert re.fullmatch(r"00001_Lunge_links_auere_Jurgen_O_\d{8}T\d{6}Z\.nii\.gz", edit.file.name)
    told = gzip.decompress(edit.file.read_bytes()).decode("latin-1")
    assert "edited_from_sha256" in told
    assert "SMITH" not in told
    assert "P9" not in told
    only_signs = write_edit(
        review, item_of(folder), "Лена", loaded.mask, loaded.ct, base_sha256=BASE
    )
    assert "_heart_x_" in only_signs.file.name


def test_a_dicom_copy_lies_beside_it(tmp_path) -> None:
    ct = read_series(tmp_path / "ct")
    mask = np.zeros(ct.voxels.shape, bool)
    mask[2, 3, 5] = True
    (tmp_path / "heart.nii.gz").touch()
    item = Item(1, "c", "p", "mask", "heart", tmp_path / "ct", mask=tmp_path / "heart.nii.gz")
    with ReviewFile.create(tmp_path / "r.db", Plan("hearts"), [item]) as review:
        edit = write_edit(review, item, "ann", mask, ct, base_sha256=BASE, dicom_seg=True)
        (event,) = review.history(1)
    copy = Path(event.value["dicom"])
    assert copy == edit.file.with_name(edit.file.name.replace(".nii.gz", ".dcm"))
    assert np.array_equal(read_organs(copy, None, ct).mask(["heart"]), mask)
    assert np.array_equal(read_edit(edit, ct), mask)


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_dicom_copy_over_another_ct_is_refused_before_anything_is_written(review, item) -> None:
    loaded = load_item(item)
    with pytest.raises(VolumeError, match="cannot be written as DICOM"):
        write_edit(review, item, "ann", loaded.mask, loaded.ct, base_sha256=BASE, dicom_seg=True)
    assert not edits_folder(review).exists()


def test_a_full_disk_leaves_no_half_file_and_no_event(review, item, monkeypatch) -> None:
    loaded = load_item(item)

    def full(*_args) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("napari_hirescam.safe_write.os.fsync", full)
        with pytest.raises(VolumeError, match="No space left on device"):
            write_edit(review, item, "ann", loaded.mask, loaded.ct, base_sha256=BASE)
    assert list(edits_folder(review).iterdir()) == []
    assert review.history(1) == []
    assert write_edit(review, item, "ann", loaded.mask, loaded.ct, base_sha256=BASE).file.exists()


def test_a_folder_that_cannot_be_written_is_told_at_once(review, item) -> None:
    loaded = load_item(item)
    edits_folder(review).write_text("a file where the folder belongs")
    with pytest.raises(ReviewError, match="edited masks cannot be written there"):
        write_edit(review, item, "ann", loaded.mask, loaded.ct, base_sha256=BASE)
    assert review.history(1) == []


def test_a_file_that_could_not_be_recorded_is_kept_and_named(review, item, monkeypatch) -> None:
    loaded = load_item(item)

    def locked(*_args, **_options) -> None:
        raise ReviewError("review.db", "another holds it for too long", "Wait")

    monkeypatch.setattr(review, "record", locked)
    with pytest.raises(ReviewError, match=r"another holds it.*kept as .*00001_heart_ann") as caught:
        write_edit(review, item, "ann", loaded.mask, loaded.ct, base_sha256=BASE)
    (file,) = edits_folder(review).iterdir()
    assert str(file) in str(caught.value)
    edit = Edit(file, hashlib.sha256(file.read_bytes()).hexdigest())
    assert np.array_equal(read_edit(edit, loaded.ct), loaded.mask)


def test_a_file_that_reads_back_differently_is_no_edit(review, item, monkeypatch) -> None:
    loaded = load_item(item)
    assert loaded.mask is not None
    monkeypatch.setattr(
        "napari_hirescam.review.edited_masks.on_source_grid",
        lambda values, *_args, **_options: np.flip(values, 2),
    )
    with pytest.raises(ReviewError, match="reads back differently"):
        write_edit(review, item, "ann", loaded.mask, loaded.ct, base_sha256=BASE)
    assert review.history(1) == []
    assert list(edits_folder(review).iterdir()) == []


def test_writing_can_be_stopped(review, item) -> None:
    loaded = load_item(item)
    with pytest.raises(Cancelled):
        write_edit(
            review,
            item,
            "ann",
            loaded.mask,
            loaded.ct,
            base_sha256=BASE,
            should_stop=lambda: True,
        )
    assert review.history(1) == []


def test_a_mask_of_another_shape_is_a_mistake_of_the_caller(review, item) -> None:
    loaded = load_item(item)
    with pytest.raises(ValueError, match="not on the grid"):
        write_edit(review, item, "ann", np.zeros((2, 2, 2)), loaded.ct, base_sha256=BASE)


def test_an_edit_that_was_changed_moved_or_is_of_another_ct_is_refused(review, item) -> None:
    loaded = load_item(item)
    edit = write_edit(review, item, "ann", loaded.mask, loaded.ct, base_sha256=BASE)
    shifted = loaded.ct.affine.copy()
    shifted[2, 3] += 1
    with pytest.raises(ReviewError, match="not lie on the grid of this CT"):
        read_edit(edit, replace(loaded.ct, affine=shifted))
    whole = bytearray(edit.file.read_bytes())
    whole[len(whole) // 2] ^= 1
    edit.file.write_bytes(whole)
    with pytest.raises(ReviewError, match="its SHA-256 differs"):
        read_edit(edit, loaded.ct)
    edit.file.unlink()
    with pytest.raises(ReviewError, match="the edited mask is not there"):
        read_edit(edit, loaded.ct)
