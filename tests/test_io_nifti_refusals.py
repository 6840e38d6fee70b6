"""NIfTI files that are damaged, incomplete or no CT volume are refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_factory import CT, RNG, patch, save

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import reading
from napari_hirescam.volume import Grid


def refuses(path: Path, reason: str) -> None:
    with pytest.raises(VolumeError, match=reason) as caught:
        io.read_volume(path)
    assert path.name in caught.value.subject
    assert caught.value.remedy


def test_missing_empty_and_foreign_files_are_refused(tmp_path):
    refuses(tmp_path / "none.nii.gz", "there is no such file")
    (tmp_path / "empty.nii.gz").touch()
    refuses(tmp_path / "empty.nii.gz", "empty")
    (tmp_path / "text.nii").write_text("not an image, whatever its name says " * 20)
    refuses(tmp_path / "text.nii", "does not begin like a NIfTI")
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"nor this" * 100))
    refuses(tmp_path / "text.nii.gz", "does not begin like")
    (tmp_path / "folder").mkdir()
    refuses(tmp_path / "folder", "no DICOM file was found")


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, name, part):
    path = save(tmp_path / name, RNG.integers(-1024, 999, (40, 40, 20)).astype(np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: max(400, int(len(content) * part))])
    refuses(path, "incomplete")


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_data_after_the_last_voxel_are_refused(tmp_path, name):
    path = save(tmp_path / name)
    path.write_bytes(path.read_bytes() + b"x" * 16)
    refuses(path, "more data follow|not sound")


def test_more_voxels_than_announced_are_refused(tmp_path):
    path = tmp_path / "ct.nii.gz"
    plain = save(tmp_path / "ct.nii")
    path.write_bytes(gzip.compress(plain.read_bytes() + b"\0\0"))
    refuses(path, "more data follow")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_anywhere_in_a_compressed_file_is_noticed(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "flipped.nii.gz"
    grid = Grid((5, 6, 7), np.diag([2.0, 0.7, 0.7, 1]))
    io.write_volume(path, CT[:5, :6, :7], grid, overwrite=True)
    content = bytearray(path.read_bytes())
    # Bytes 3 to 9 of gzip are flags, a date and a system, which say nothing of the voxels.
    position = data.draw(st.integers(10, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        volume = io.read_volume(path)
    except VolumeError:
        return
    # Between two blocks of gzip lie bits that stand for nothing.
    np.testing.assert_array_equal(volume.voxels, CT[:5, :6, :7])
    np.testing.assert_allclose(volume.affine, grid.affine, rtol=1e-6)


@pytest.mark.parametrize(
    ("offset", "content", "reason"),
    [
        (40, np.array([2, 6, 56, 1], np.int16), "two-dimensional"),
        (40, np.array([3, 6, 56, 1], np.int16), "two-dimensional"),
        (40, np.array([0, 6, 7, 8], np.int16), "image size"),
        (40, np.array([3, 6, -7, 8], np.int16), "image size"),
        (40, np.array([3, 32767, 32767, 32767], np.int16), "incomplete"),
        (70, np.array([128], np.int16), "colours"),
        (70, np.array([32], np.int16), "complex64"),
        (70, np.array([77], np.int16), "number type"),
        (108, np.array([np.nan], np.float32), "where the voxels begin"),
        (280, np.array([np.inf], np.float32), "affine"),
        (280, np.zeros(12, np.float32), "affine"),
        (284, np.array([1e5], np.float32), "perpendicular"),
        (252, np.zeros(2, np.int16), "sform and qform codes are both 0"),
        (344, np.frombuffer(b"ni1\0", np.uint8), "NIfTI pair .* the other is missing"),
        (344, np.frombuffer(b"n+2\0", np.uint8), "Analyze"),
        (112, np.array([2, np.nan], np.float32), "values cannot be known"),
        (112, np.array([np.inf, 0], np.float32), "values cannot be known"),
        (108, np.array([352.5], np.float32), "where the voxels begin"),
        (108, np.array([1e9], np.float32), "begin so late"),
        (108, np.array([-352], np.float32), "where the voxels begin"),
        (70, np.array([1], np.int16), "single bits"),
        (70, np.array([1536], np.int16), "128-bit numbers"),
        (344, np.zeros(4, np.uint8), "Analyze"),
    ],
)
def test_headers_that_cannot_be_true_or_used_are_refused(tmp_path, offset, content, reason):
    path = patch(save(tmp_path / "odd.nii"), offset, content.tobytes())
    refuses(path, reason)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_header_gives_a_volume_or_a_plain_refusal(tmp_path_factory, data):
    path = save(tmp_path_factory.getbasetemp() / "damaged.nii", qform=1)
    for _ in range(data.draw(st.integers(1, 3))):
        patch(path, data.draw(st.integers(0, 347)), data.draw(st.binary(min_size=1, max_size=4)))
    try:
        volume = io.read_volume(path)
    except VolumeError as exc:
        subject = exc.subject
    else:
        subject = str(volume.source.path)
        assert np.isfinite(volume.voxels).all()
        assert volume.grid.is_axis_aligned
    assert subject == str(path)


def test_a_qform_that_is_no_rotation_is_refused_where_nothing_else_is_there(tmp_path):
    path = save(tmp_path / "ct.nii", sform=0, qform=1)
    refuses(patch(path, 256, np.float32(5).tobytes()), "orientation is not valid")


def test_a_volume_of_nothing_but_nan_is_refused(tmp_path):
    refuses(save(tmp_path / "ct.nii", np.full((4, 5, 6), np.nan, np.float32)), "NaN")


def test_a_volume_beyond_memory_is_refused_before_it_is_allocated(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "available_memory", lambda: 1000)
    refuses(save(tmp_path / "ct.nii.gz"), "GiB of memory")


def test_memory_is_not_judged_where_the_system_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "available_memory", lambda: None)
    assert io.read_volume(save(tmp_path / "ct.nii.gz")).voxels.size == CT.size


def test_available_memory_is_a_sensible_number_of_bytes():
    available = reading.available_memory()
    assert available is None or 1 << 24 < available < 1 << 50


@pytest.mark.parametrize("offset", [1e9, -1e30])
def test_a_place_far_from_any_scanner_is_refused(tmp_path, offset):
    path = patch(save(tmp_path / "far.nii"), 292, np.float32(offset).tobytes())
    refuses(path, "km away from the scanner")


def test_a_grid_that_would_grow_out_of_all_measure_is_refused(tmp_path):
    # Columns of 0.01 x 0.01 x 20 mm that stand on a corner: 336 would become a billion.
    u, v, w = np.array([1, -1, 0]), np.array([1, 1, -2]), np.array([1, 1, 1])
    ras = np.eye(4)
    ras[:3, :3] = np.column_stack(
        [0.01 * u / 2**0.5, 0.01 * v / 6**0.5, 20 * w / 3**0.5],
    )
    refuses(save(tmp_path / "thin.nii", ras=ras), "far from perpendicular")
