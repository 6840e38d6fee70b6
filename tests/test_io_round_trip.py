"""A mask or map on a volume goes back into a file where the CT's file has it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from dicom_factory import TILTED, make_series, save_all
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_factory import CT, save

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.frame import RAS_TO_IPL
from napari_hirescam.source import Repair, Segment
from napari_hirescam.volume import Grid

ALL_48 = list(product(permutations(range(3)), product((1, -1), repeat=3)))
GEOMETRY = [
    "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x",
    "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
]  # fmt: skip


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def ball(volume, centre_mm, radius_mm: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, volume.voxels.shape), indexing="ij"), -1)
    away = np.linalg.norm(volume.grid.to_world(index) - centre_mm, axis=-1)
    return (away <= radius_mm).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize(("order", "signs"), ALL_48)
def test_a_straight_volume_goes_back_bit_for_bit_in_each_of_48_orientations(
    tmp_path, order, signs, suffix
):
    ras = np.eye(4)
    ras[:3, :3] = np.eye(3)[:, list(order)] @ np.diag(np.array(signs) * [0.7, 0.8, 2.5])
    ras[:3, 3] = [11.3, -20.7, 300.1]
    ct = io.read_volume(save(tmp_path / "ct.nii", ras=ras))
    mark = (ct.voxels.shape[0] - 1, 2, 3)
    painted = np.zeros(ct.voxels.shape, np.uint8)
    painted[mark] = 7

    back = io.on_source_grid(ct.voxels, ct, 1)
    np.testing.assert_array_equal(back, CT)
    assert back.dtype == CT.dtype
    path = io.write_volume(
        tmp_path / f"mask{suffix}",
        io.on_source_grid(painted, ct, 0),
        ct.export_grid,
        like=ct.source,
    )

    read = io.read_volume(path)
    np.testing.assert_array_equal(read.voxels, painted)
    assert read.grid.same_place_as(ct.grid, 1e-4)
    assert read.source.grid.same_place_as(ct.source.grid, 1e-4)
    place = ct.grid.to_world(mark)
    assert read.voxels[tuple(np.rint(read.grid.to_index(place)).astype(int))] == 7


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(
    "fields",
    [
        {"sform": 1, "qform": 1},
        {"sform": 2, "qform": 0},
        {"sform": 0, "qform": 4},
        {"sform": 3, "qform": 1, "xyzt_units": 2 | 8},
        {"sform": 1, "qform": 1, "xyzt_units": 0},
    ],
)
def test_the_fields_that_place_a_nifti_are_taken_over_bit_for_bit(tmp_path, fields, kind):
    ras = np.eye(4)
    ras[:3, :3] = rotation(17) @ np.diag([-0.703125, 0.7031251, 1.23456789])
    ras[:3, 3] = [11.3, -20.7, 300.1]
    ct = io.read_volume(save(tmp_path / "ct.nii", ras=ras, kind=kind, **fields))

    io.write_volume(tmp_path / "map.nii.gz", CT, ct.export_grid, like=ct.source)

    before, after = nib.load(tmp_path / "ct.nii").header, nib.load(tmp_path / "map.nii.gz").header
    for name in GEOMETRY:
        assert before[name].tobytes() == after[name].tobytes(), name
    assert after["sizeof_hdr"] == before["sizeof_hdr"]


def test_of_two_forms_that_disagree_only_the_chosen_one_is_written(tmp_path):
    path = save(tmp_path / "ct.nii", qform=1, qoffset_x=-80.0)
    for repair, kept, dropped in (
        (Repair.USE_SFORM, "sform_code", "qform_code"),
        (Repair.USE_QFORM, "qform_code", "sform_code"),
    ):
        ct = io.read_volume(path, allow=[repair])
        io.write_volume(tmp_path / "map.nii", CT, ct.export_grid, like=ct.source, overwrite=True)
        header = nib.load(tmp_path / "map.nii").header
        assert (int(header[kept]), int(header[dropped])) == (1, 0)
        again = io.read_volume(tmp_path / "map.nii")  # and there is nothing left to ask
        assert again.source.grid.same_place_as(ct.source.grid)


def test_a_grid_that_is_not_the_files_own_gets_its_own_fields(tmp_path):
    ct = io.read_volume(save(tmp_path / "ct.nii"))
    moved = ct.source.grid.affine.copy()
    moved[0, 3] += 0.5
    grid = Grid(CT.shape, moved)
    path = io.write_volume(tmp_path / "map.nii", CT, grid, like=ct.source)
    assert io.read_volume(path).source.grid.same_place_as(grid)


def test_a_source_that_says_something_else_than_its_fields_is_not_believed(tmp_path):
    ct = io.read_volume(save(tmp_path / "ct.nii"))
    wrong = dict(ct.source.stored_geometry) | {"srow_x": np.array([0, 1, 0, 5], np.float32)}
    like = replace(ct.source, stored_geometry=wrong)
    path = io.write_volume(tmp_path / "map.nii", CT, ct.export_grid, like=like)
    assert io.read_volume(path).source.grid.same_place_as(ct.export_grid)


@settings(max_examples=15, deadline=None)
@given(
    degrees=st.floats(3, 40),
    offset=st.tuples(*[st.floats(-100, 100)] * 3),
    shear=st.sampled_from([0.0, 0.25]),
    suffix=st.sampled_from([".nii.gz", ".nrrd"]),
)
def test_what_is_painted_on_an_oblique_or_tilted_volume_lies_there_in_the_file(
    tmp_path_factory, degrees, offset, shear, suffix
):
    folder = tmp_path_factory.mktemp("oblique")
    ras = np.eye(4)
    ras[:3, :3] = rotation(degrees) @ np.diag([1.0, 1.0, 1.5])
    ras[:3, 2] += shear * ras[:3, 1]
    ras[:3, 3] = offset
    stored = np.random.default_rng(0).integers(-1000, 500, (20, 22, 18)).astype(np.int16)
    ct = io.read_volume(save(folder / "ct.nii", stored, ras))
    assert not ct.source.grid.is_axis_aligned
    file_grid = ct.export_grid
    centre = file_grid.to_world([9, 11, 8])
    radius = 5.0
    painted = ball(ct, centre, radius)

    mask = io.on_source_grid(painted, ct, 0)
    path = io.write_volume(folder / f"mask{suffix}", mask, file_grid, like=ct.source)

    assert mask.shape == stored.shape
    assert mask.dtype == np.uint8
    inside = np.argwhere(mask == 1)
    assert np.linalg.norm(file_grid.to_world(inside.mean(axis=0)) - centre) < 0.5
    away = np.linalg.norm(
        file_grid.to_world(np.stack(np.meshgrid(*map(np.arange, mask.shape), indexing="ij"), -1))
        - centre,
        axis=-1,
    )
    # Twice the nearest voxel: no point moves further than half a voxel's diagonal each time.
    reach = np.linalg.norm(ct.spacing_mm)
    assert (away[mask == 1] <= radius + reach).all()
    assert (mask[away <= radius - reach] == 1).all()
    again = io.read_volume(path)
    assert again.source.grid.same_place_as(file_grid, 1e-3)


def test_a_map_is_interpolated_back_to_what_it_was_and_reaches_the_outermost_voxels(tmp_path):
    ras = np.eye(4)
    ras[:3, :3] = rotation(20) @ np.diag([1.0, 1.2, 2.0])
    ct = io.read_volume(save(tmp_path / "ct.nii", np.full((9, 9, 9), -50, np.int16), ras))
    index = np.stack(np.meshgrid(*map(np.arange, ct.voxels.shape), indexing="ij"), -1)
    plane = (ct.grid.to_world(index) @ [2.0, -3.0, 5.0] + 1000).astype(np.float32)

    back = io.on_source_grid(plane, ct, 1)

    grid = ct.export_grid
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    expected = grid.to_world(index) @ [2.0, -3.0, 5.0] + 1000
    assert back.dtype == np.float32
    assert (back > 0).all()  # nothing fell off at a border
    # Linear interpolation is exact for a linear function, but for a hair at the border, where
    # the straight grid may end before the stored corner.
    assert np.abs(back - expected).max() < 0.05


def test_booleans_and_half_precision_keep_their_type_through_resampling(tmp_path):
    ct = io.read_volume(save_all(make_series(6, orientation=TILTED), tmp_path / "tilted"))
    for kind in (bool, np.float16):
        values = np.ones(ct.voxels.shape, kind)
        assert io.on_source_grid(values, ct, 0 if kind is bool else 1).dtype == kind


def test_a_tilted_dicom_series_gets_its_mask_back_on_its_own_pixels(tmp_path):
    ct = io.read_volume(save_all(make_series(8, orientation=TILTED), tmp_path / "tilted"))
    centre = ct.export_grid.to_world([4, 3, 4])
    painted = ball(ct, centre, 2.5)
    mask = io.on_source_grid(painted, ct, 0)
    path = io.write_volume(tmp_path / "mask.nii.gz", mask, ct.export_grid, like=ct.source)
    image = nib.load(path)
    place = RAS_TO_IPL @ image.affine @ [4, 3, 4, 1]
    np.testing.assert_allclose(place[:3], centre, atol=1e-3)
    assert np.asarray(image.dataobj)[4, 3, 4] == 1
    assert np.asarray(image.dataobj)[0, 0, 0] == 0


def test_segment_names_travel_in_nifti_and_nrrd(tmp_path):
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 2, 3], mask[2, 2, 2] = 5, 52
    segments = (Segment(5, 'Leber <"ä">', (0.0, 0.5, 1.0)), Segment(52, "aorta & friends"))
    for name in ("mask.nii.gz", "mask.nrrd"):
        path = io.write_volume(
            tmp_path / name, mask, Grid(mask.shape, np.eye(4)), segments=segments
        )
        read = io.read_volume(path)
        assert [(s.value, s.name) for s in read.segments] == [(5, 'Leber <"ä">'),
                                                              (52, "aorta & friends")]  # fmt: skip
        np.testing.assert_allclose(read.segments[0].colour, (0.0, 0.5, 1.0), atol=1e-3)


def test_repairs_and_where_it_came_from_travel_in_the_provenance(tmp_path):
    slices = make_series(6)
    del slices[3]
    ct = io.read_volume(save_all(slices, tmp_path / "ct"), allow=["insert-missing"])
    said = ct.source.as_provenance()
    assert said["ct"] == "made up"
    assert [(done["repair"], done["asked"]) for done in said["repairs"]] == [
        ("insert-missing", True)
    ]
    # A mask on the repaired volume is written on the regular grid that came of it.
    mask = np.ones(ct.voxels.shape, np.uint8)
    back = io.on_source_grid(mask, ct, 0)
    assert back.shape == ct.export_grid.shape
    assert back.shape[2] == 6
    assert back.all()


def test_a_name_that_says_no_format_is_refused(tmp_path):
    with pytest.raises(VolumeError) as caught:
        io.write_volume(tmp_path / "map.tiff", CT, Grid(CT.shape, np.eye(4)))
    assert ".nii.gz" in caught.value.remedy


def test_values_that_are_not_on_the_volume_are_a_mistake_in_the_program(tmp_path):
    ct = io.read_volume(save(tmp_path / "ct.nii"))
    with pytest.raises(ValueError, match="are not on a volume"):
        io.on_source_grid(CT[1:], ct, 0)
