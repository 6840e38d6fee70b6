"""``organs``: regions as a label map on the CT's grid, their volumes and doubts, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest
from test_cli import run
from test_mask_files import PLACES, SHAPE, make_ct, make_labels

from napari_hirescam.errors import OrganError
from napari_hirescam.io import read_volume, write_volume
from napari_hirescam.organs import OrganMap, read_organs
from napari_hirescam.organs.organ_tables import PARTITION


@pytest.fixture
def ct(tmp_path):
    volume = make_ct()
    return write_volume(tmp_path / "ct.nii.gz", volume.voxels, volume.grid)


@pytest.fixture
def found(monkeypatch):
    """Stands in for PARTITION, which blocks of 27 voxels are too small for."""
    asked = []

    def find(volume, *, rough=False, progress=None, should_stop=None):
        asked.append(rough)
        if not rough:
            raise OrganError(volume.name, "no lungs were found", "Take rough regions")
        return OrganMap(make_labels(), volume.affine, PARTITION, "rough regions", ("it is rough",))

    monkeypatch.setattr("napari_hirescam.organs.find_organs", find)
    return asked


@pytest.fixture
def masks(tmp_path):
    return write_volume(tmp_path / "masks.nii.gz", make_labels(), make_ct().grid)


def test_regions_are_written_with_names_and_told_with_volumes_and_doubts(
    ct, found, tmp_path
) -> None:
    out = tmp_path / "organs.nii.gz"
    code, text = run("organs", ct, "--rough", "--out", out)
    assert code == 0, text
    assert found == [True]
    saved = read_volume(out)
    assert saved.grid.same_place_as(make_ct().grid)
    assert [(one.value, one.name) for one in saved.segments] == [
        (1, "right_lung"),
        (2, "heart; mediastinum; great_vessel"),
        (3, "left_lung"),
    ]
    for organ, place in PLACES.items():
        assert saved.voxels[place] in PARTITION[organ]
    # 27 voxels of 16 mm3 are 0.43 ml.
    assert "By rough regions" in text
    assert "Doubt: it is rough." in text


def test_volumes_are_those_of_the_regions(ct, masks, tmp_path) -> None:
    big = write_volume(
        tmp_path / "big.nii.gz", np.full(SHAPE, 2, np.uint8), make_ct().grid
    )  # 1440 voxels of 16 mm3
    out = tmp_path / "organs.nrrd"
    code, text = run("organs", ct, "--masks", big, "--table", "partition", "--out", out)
    assert code == 0, text
    assert "heart, mediastinum, great_vessel │ 2 │ 23 │" in text
    assert "Not a voxel of: right_lung, left_lung, lungs." in text
    assert np.array_equal(read_volume(out).voxels, np.full(SHAPE, 2))


def test_where_nothing_is_found_the_status_is_1_and_nothing_is_written(ct, found, tmp_path) -> None:
    out = tmp_path / "organs.nii.gz"
    code, text = run("organs", ct, "--out", out)
    assert code == 1
    assert "no lungs were found. Take rough regions (--rough)." in text
    assert not out.exists()


def test_masks_come_onto_the_grid_of_the_ct(ct, tmp_path) -> None:
    larger = make_ct().grid.affine.copy()
    larger[:3, 3] -= 3 * np.diag(larger)[:3]
    from napari_hirescam.volume import Grid

    labels = np.pad(make_labels(), 3)
    masks = write_volume(tmp_path / "m.nii.gz", labels, Grid(labels.shape, larger))
    out = tmp_path / "organs.nii.gz"
    code, text = run("organs", ct, "--masks", masks, "--table", "partition", "--out", out)
    assert code == 0, text
    assert "Note: The masks (12 x 18 x 26) were resampled onto the grid of the CT" in text
    assert np.array_equal(read_volume(out).voxels, make_labels())


def test_values_without_names_ask_for_a_table(ct, masks, tmp_path) -> None:
    code, text = run("organs", ct, "--masks", masks, "--out", tmp_path / "o.nii.gz")
    assert code == 1
    assert "which of its values (1, 2, 3) is which organ" in text
    table = tmp_path / "table.csv"
    table.write_text("organ,values\nRight lung,1\n")
    code, text = run(
        "organs", ct, "--masks", masks, "--table", table, "--out", tmp_path / "o.nii.gz"
    )
    assert code == 0, text
    assert "right_lung │ 1 │" in text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--out", "organs.txt"], "does not say in which format"),
        (["--out", "ct.nii.gz"], "there is a file of this name"),
        (["--out", "o.nii.gz", "--table", "partition"], "no masks to read by it"),
        (["--out", "o.nii.gz", "--masks", "masks.nii.gz", "--rough"], "masks are not made"),
        (["--out", "o.nii.gz", "--masks", "masks.nii.gz", "--table", "t.csv"], "no such table"),
    ],
)
def test_wrong_options_are_met_before_the_ct_is_read(
    ct, masks, tmp_path, monkeypatch, options, reason
) -> None:
    monkeypatch.chdir(tmp_path)
    ct.write_bytes(b"no CT at all")
    code, text = run("organs", ct, *options)
    assert code == 1
    assert reason in text


def test_dicom_is_refused_before_organs_are_looked_for(ct, found, tmp_path) -> None:
    code, text = run("organs", ct, "--rough", "--out", tmp_path / "organs.dcm")
    assert code == 1
    assert "not read from a DICOM series" in text
    assert not found


def test_a_folder_that_is_not_there_is_met_before_organs_are_looked_for(ct, found, tmp_path):
    code, text = run("organs", ct, "--rough", "--out", tmp_path / "none" / "organs.nii.gz")
    assert code == 1
    assert "there is no folder for it" in text
    assert found == []


def test_over_a_dicom_series_they_become_a_segmentation(found, tmp_path, monkeypatch) -> None:
    from test_io_dicom_seg import read_series

    ct = read_series(tmp_path / "ct")
    labels = np.zeros(ct.voxels.shape, np.uint8)
    labels[2, 3, 7] = 3
    monkeypatch.setattr(
        "napari_hirescam.organs.find_organs",
        lambda volume, **_: OrganMap(labels, volume.affine, PARTITION, "PARTITION"),
    )
    out = tmp_path / "organs.dcm"
    code, text = run("organs", tmp_path / "ct", "--out", out)
    assert code == 0, text
    # The file has one slice; those that are left out are empty.
    assert np.array_equal(read_organs(out, None, ct).labels, labels)


def test_an_existing_file_is_replaced_when_told(ct, masks, tmp_path) -> None:
    out = tmp_path / "organs.nii.gz"
    out.write_bytes(b"old")
    asked = ("organs", ct, "--masks", masks, "--table", "partition", "--out", out)
    assert run(*asked)[0] == 1
    assert out.read_bytes() == b"old"
    assert run(*asked, "--overwrite")[0] == 0
    assert np.array_equal(read_volume(out).voxels, make_labels())
