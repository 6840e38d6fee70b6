"""What is written is complete, reads back the same and lies where the CT lies."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_factory import CT, RAS, RNG, patch, save

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.volume import Grid

ALL_TYPES = ["bool", "uint8", "int16", "uint16", "int32", "float16", "float32", "float64"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", ALL_TYPES)
def test_what_was_written_reads_back_the_same_with_nibabel(tmp_path, suffix, kind):
    values = (RNG.random((4, 5, 6)) * 9).astype(kind)
    grid = Grid(values.shape, np.diag([2.5, 0.75, 0.5, 1]))

    path = io.write_volume(tmp_path / f"map{suffix}", values, grid)

    image = nib.load(path)
    stored = np.asanyarray(image.dataobj)
    assert stored.dtype == {"bool": "uint8", "float16": "float32"}.get(kind, kind)
    np.testing.assert_array_equal(stored, values)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    # The first index runs to inferior: 2.5 mm down in RAS.
    np.testing.assert_array_equal(image.affine[:3, 0], [0, 0, -2.5])
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=30, deadline=None)
@given(
    order=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from([1, -1])] * 3),
    shear=st.sampled_from([0.0, 0.3]),
    spacing=st.tuples(*[st.floats(0.25, 7, width=32)] * 3),
    offset=st.tuples(*[st.floats(-500, 500, width=32)] * 3),
)
def test_a_result_on_the_stored_grid_has_the_very_affine_of_the_ct(
    tmp_path_factory, order, signs, shear, spacing, offset
):
    folder = tmp_path_factory.getbasetemp()
    ras = np.eye(4)
    ras[:3, :3] = np.eye(3)[:, order] @ np.diag(np.array(signs) * spacing)
    ras[:3, :3] += shear * np.roll(ras[:3, :3], 1, axis=0)
    ras[:3, 3] = offset
    ct = io.read_volume(save(folder / "ct.nii", ras=ras))
    grid = ct.source.grid

    io.write_volume(folder / "map.nii", CT, grid, overwrite=True)

    before, after = nib.load(folder / "ct.nii"), nib.load(folder / "map.nii")
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(after.dataobj, before.dataobj)
    again = io.read_volume(folder / "map.nii")
    np.testing.assert_array_equal(again.voxels, ct.voxels)
    np.testing.assert_array_equal(again.affine, ct.affine)


def test_a_result_goes_onto_a_ct_whose_header_leaves_the_handedness_at_zero(tmp_path):
    # By the standard that means 1; nibabel asks for it.
    file = save(tmp_path / "ct.nii", sform=0, qform=1)
    ct = io.read_volume(patch(file, 76, np.float32(0).tobytes()))
    written = io.write_volume(tmp_path / "map.nii", CT, ct.source.grid, like=ct.source)
    np.testing.assert_allclose(nib.load(written).affine, RAS, atol=1e-4)
    assert nib.load(written).header["quatern_d"] == nib.load(file).header["quatern_d"]


def test_a_sheared_grid_is_written_without_a_qform_that_could_not_hold_it(tmp_path):
    affine = np.diag([2.0, 1, 1, 1])
    affine[0, 1] = 0.5
    path = io.write_volume(tmp_path / "map.nii", CT, Grid(CT.shape, affine))
    header = nib.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)


def test_description_and_provenance_travel_in_the_header(tmp_path):
    provenance = {"model": "nodule", "sha256": "0" * 64, "name": "Grün"}
    path = io.write_volume(
        tmp_path / "map.nii.gz",
        CT,
        Grid(CT.shape, np.eye(4)),
        description="ü" * 60,
        provenance=provenance,
    )
    header = nib.load(path).header
    comment = header.extensions[0]
    assert comment.get_code() == 6
    assert json.loads(comment.get_content()) == provenance
    assert bytes(nib.load(path).header["descrip"].item()).decode() == "ü" * 39


def test_equal_content_gives_equal_files(tmp_path):
    grid = Grid(CT.shape, np.eye(4))
    first = io.write_volume(tmp_path / "a.nii.gz", CT, grid, provenance={"a": 1, "b": 2})
    second = io.write_volume(tmp_path / "b.nii.gz", CT, grid, provenance={"b": 2, "a": 1})
    assert first.read_bytes() == second.read_bytes()


def test_an_existing_file_is_only_replaced_when_that_was_said(tmp_path):
    path = save(tmp_path / "map.nii.gz")
    before = path.read_bytes()
    grid = Grid(CT.shape, np.eye(4))
    with pytest.raises(VolumeError, match=r"map\.nii\.gz: there is a file of this name"):
        io.write_volume(path, CT, grid)
    assert path.read_bytes() == before
    io.write_volume(path, CT + 1, grid, overwrite=True)
    np.testing.assert_array_equal(nib.load(path).dataobj, CT + 1)


def test_places_and_names_that_do_not_work_are_refused_and_nothing_is_left(tmp_path):
    grid = Grid(CT.shape, np.eye(4))
    with pytest.raises(VolumeError, match=r"map\.nii: it cannot be written"):
        io.write_volume(tmp_path / "no folder" / "map.nii", CT, grid)
    with pytest.raises(VolumeError, match=r"End it in \.nii\.gz"):
        io.write_volume(tmp_path / "map.png", CT, grid)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_leaves_neither_half_a_file_nor_a_lost_old_one(tmp_path, monkeypatch):
    path = save(tmp_path / "map.nii.gz")
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(VolumeError, match="No space left on device"):
        io.write_volume(path, CT, Grid(CT.shape, np.eye(4)), overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_array_that_is_not_on_the_grid_is_a_mistake_in_the_program(tmp_path):
    with pytest.raises(ValueError, match="do not lie on a grid"):
        io.write_volume(tmp_path / "map.nii", CT[1:], Grid(CT.shape, np.eye(4)))
    with pytest.raises(ValueError, match="complex"):
        io.write_volume(tmp_path / "map.nii", CT.astype(complex), Grid(CT.shape, np.eye(4)))
