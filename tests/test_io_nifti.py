"""NIfTI in and out: every voxel in its place with its value, or a plain refusal."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nifti_factory import CT, RAS, RNG, patch, save, value_at

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.volume import Grid, Quantity

# --- Values and places -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_each_voxel_is_found_at_its_place_in_the_patient(tmp_path, name, kind):
    volume = io.read_volume(save(tmp_path / name, kind=kind))

    assert volume.voxels.dtype == np.int16
    assert volume.voxels.dtype.isnative
    assert volume.quantity is Quantity.HU
    assert volume.name == "ct"
    assert volume.source.format == "NIfTI"
    assert volume.source.orientation == "LPS"
    assert volume.source.notes == ()
    for index in [(0, 0, 0), (5, 6, 7), (1, 4, 2)]:
        place = (RAS @ np.append(index, 1))[:3]
        assert value_at(volume, place) == CT[index]


def test_big_endian_files_come_out_in_native_order(tmp_path):
    image = nib.Nifti1Image(CT, RAS, nib.Nifti1Header(endianness=">"))
    image.to_filename(tmp_path / "ct.nii.gz")
    volume = io.read_volume(tmp_path / "ct.nii.gz")
    assert volume.voxels.dtype.isnative
    assert sorted(volume.voxels.ravel()) == sorted(CT.ravel())


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "expected"),
    [
        (np.int16, np.nan, np.nan, np.int16),
        (np.int16, 0.0, 99.0, np.int16),
        (np.int16, 1.0, 0.0, np.int16),
        (np.uint16, 1.0, -1024.0, np.int16),
        (np.uint16, 1.0, -100_000.0, np.int32),
        (np.uint16, 0.5, -1024.0, np.float32),
        (np.float64, 1.0, 0.0, np.float32),
    ],
)
def test_scaling_is_applied_in_the_smallest_type_that_holds_it(
    tmp_path, stored, slope, intercept, expected
):
    voxels = (CT.astype(int) + 1024).astype(stored)
    path = save(tmp_path / "ct.nii", voxels)
    patch(path, 112, np.array([slope, intercept], np.float32).tobytes())

    volume = io.read_volume(path)

    assert volume.voxels.dtype == expected
    identity = slope == 0 or np.isnan(slope)
    wanted = voxels.astype(float) * (1 if identity else slope) + (0 if identity else intercept)
    np.testing.assert_allclose(value_at(volume, RAS[:3, 3]), wanted[0, 0, 0], atol=1e-3)
    np.testing.assert_allclose(np.sort(volume.voxels, None), np.sort(wanted, None), atol=1e-3)


def test_without_sform_the_qform_places_the_volume(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.nii", sform=0, qform=1))
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]
    assert volume.source.notes == ()


def test_a_broken_qform_beside_a_good_sform_is_only_mentioned(tmp_path):
    path = patch(save(tmp_path / "ct.nii", qform=1), 256, np.float32(5).tobytes())  # quatern_b
    volume = io.read_volume(path)
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]
    assert "qform is not valid" in volume.source.notes[0]


@pytest.mark.parametrize(("code", "per_mm"), [(1, 0.001), (3, 1000.0)])
def test_metres_and_micrometres_become_millimetres(tmp_path, code, per_mm):
    ras = RAS.copy()
    ras[:3] *= per_mm
    volume = io.read_volume(save(tmp_path / "ct.nii", ras=ras, xyzt_units=code))
    np.testing.assert_allclose(volume.spacing_mm, (2.5, 0.7, 0.7), rtol=1e-5)
    assert "converted to mm" in volume.source.notes[0]


def test_unknown_units_are_taken_for_millimetres_without_fuss(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.nii", xyzt_units=0))
    np.testing.assert_allclose(volume.spacing_mm, (2.5, 0.7, 0.7), rtol=1e-5)
    assert volume.source.notes == ()


def test_a_fourth_axis_of_length_one_is_no_obstacle(tmp_path):
    assert io.read_volume(save(tmp_path / "ct.nii", CT[..., None])).voxels.shape == (8, 7, 6)


def test_voxels_without_a_number_become_air_and_are_counted(tmp_path):
    voxels = CT.astype(np.float32)
    voxels[0, 0, :3] = np.nan, np.inf, -np.inf
    volume = io.read_volume(save(tmp_path / "ct.nii.gz", voxels))
    assert value_at(volume, RAS[:3, 3]) == -1024
    assert np.isfinite(volume.voxels).all()
    assert volume.source.notes[0].startswith("3 voxels hold no number")
    assert int(volume.invalid.sum()) == 3
    assert volume.invalid[tuple(np.argwhere(volume.voxels == -1024)[0])]


def test_a_nan_cannot_turn_a_picture_into_a_ct(tmp_path):
    voxels = RNG.random((4, 5, 6)).astype(np.float32)
    voxels[0, 0, 0] = np.nan
    volume = io.read_volume(save(tmp_path / "mr.nii", voxels))
    assert volume.quantity is Quantity.UNKNOWN
    assert volume.voxels.min() >= 0


# --- What the numbers are ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voxels", "quantity"),
    [
        (CT, Quantity.HU),
        (CT.astype(np.float32) + 0.5, Quantity.HU),
        (np.clip(CT, 0, None), Quantity.UNKNOWN),
        (np.clip(CT, -150, 250), Quantity.UNKNOWN),
        (np.where(CT < -900, -1000, 2500).astype(np.int16), Quantity.UNKNOWN),
        (RNG.random((6, 7, 8)).astype(np.float32), Quantity.UNKNOWN),
        (np.kron(RNG.integers(0, 118, (6, 7, 8)), np.ones((2, 2, 2))), Quantity.LABELS),
        # of 60 points, two beside each other
        (
            np.bincount([*range(0, 58 * 31, 31), 1798], range(1, 60), 1800).reshape(10, 12, 15),
            Quantity.LABELS,
        ),
        # greys of the brain, of soft tissue as a byte, and of few counts
        (np.clip(CT // 10, 0, 80), Quantity.UNKNOWN),
        (np.clip(CT // 10, 0, 120).astype(np.uint8) * 2, Quantity.UNKNOWN),
        (np.clip(CT // 20, 0, 30), Quantity.UNKNOWN),
        (RNG.integers(0, 2, (6, 7, 8)).astype(np.float64), Quantity.LABELS),
        (np.zeros((6, 7, 8), np.int16), Quantity.LABELS),
    ],
)
def test_ct_masks_and_others_are_told_apart(tmp_path, voxels, quantity):
    volume = io.read_volume(save(tmp_path / "v.nii.gz", voxels))
    assert volume.quantity is quantity
    assert bool(volume.source.notes) == (quantity is Quantity.UNKNOWN)
    if quantity is Quantity.LABELS:
        assert np.issubdtype(volume.voxels.dtype, np.integer)


def test_numbers_that_are_not_hu_are_named_in_the_note(tmp_path):
    voxels = np.arange(336).reshape(6, 7, 8).astype(np.int16) * 10
    volume = io.read_volume(save(tmp_path / "v.nii.gz", voxels))
    assert volume.source.notes == (
        "Values from 0 to 3350 do not look like HU: a CT has air near -1000.",
    )


def test_a_file_that_calls_itself_labels_is_believed(tmp_path):
    volume = io.read_volume(save(tmp_path / "v.nii.gz", np.abs(CT) * 2, intent_code=1002))
    assert volume.quantity is Quantity.LABELS


# --- Progress and recognition --------------------------------------------------------------


def test_progress_is_told_in_bytes_and_ends_with_all(tmp_path):
    path = tmp_path / "large.nii.gz"
    voxels = np.zeros((256, 256, 160), np.int16)  # 20 MiB, three steps
    io.write_volume(path, voxels, Grid(voxels.shape, np.eye(4)))
    seen = []
    io.read_volume(path, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, voxels.nbytes)
    assert seen[-1] == (voxels.nbytes, voxels.nbytes)
    assert len(seen) >= 4
    assert all(a[0] < b[0] for a, b in pairwise(seen))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it_to_be_filled(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.nii")
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("opening it would wait for ever"))
    assert not io.can_read(tmp_path / "pipe.nii")
    with pytest.raises(VolumeError, match="neither a file nor a folder"):
        io.read_volume(tmp_path / "pipe.nii")


def test_reading_stops_when_asked(tmp_path):
    with pytest.raises(Cancelled):
        io.read_volume(save(tmp_path / "ct.nii.gz"), should_stop=lambda: True)


def test_files_are_recognised_by_content_not_by_name(tmp_path):
    assert io.can_read(save(tmp_path / "a.nii.gz").rename(tmp_path / "noname"))
    assert io.can_read(str(save(tmp_path / "b.nii")))
    (tmp_path / "c.nii.gz").write_text("text")
    assert not io.can_read(tmp_path / "c.nii.gz")
    (tmp_path / "d.nii.gz").write_bytes(gzip.compress(b"something else" * 99))
    assert not io.can_read(tmp_path / "d.nii.gz")
    assert not io.can_read(tmp_path)


@pytest.mark.parametrize("path", ["/no/such/file", "nul\0", None, 3, ["a.nii"]])
def test_asking_whether_something_can_be_read_never_fails(path):
    assert io.can_read(path) is False
