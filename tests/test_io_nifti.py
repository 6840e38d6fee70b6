"""NIfTI in and out: every voxel in its place with its value, or a plain refusal."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import reading
from napari_hirescam.volume import Grid, Quantity

RAS = np.array([[-0.7, 0, 0, 90.5], [0, -0.7, 0, 120.25], [0, 0, 2.5, -300], [0, 0, 0, 1]])
RNG = np.random.default_rng(7)
CT = RNG.integers(-1024, 1500, (6, 7, 8)).astype(np.int16)


def save(path: Path, voxels=CT, ras=RAS, *, sform=1, qform=0, kind=nib.Nifti1Image, **fields):
    """A NIfTI file as other software writes it; `fields` overrides header fields."""
    image = kind(voxels, ras, dtype=voxels.dtype)
    image.set_sform(ras, sform)
    image.set_qform(ras, qform)
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def patch(path: Path, offset: int, content: bytes) -> Path:
    """Overwrite bytes of an uncompressed file."""
    whole = bytearray(path.read_bytes())
    whole[offset : offset + len(content)] = content
    path.write_bytes(whole)
    return path


def value_at(volume, ras_mm) -> float:
    s, p, left = ras_mm[2], -ras_mm[1], -ras_mm[0]
    index = np.rint(volume.grid.to_index((-s, p, left))).astype(int)
    return volume.voxels[tuple(index)]


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


def test_when_sform_and_qform_differ_the_sform_is_used_and_the_user_told(tmp_path):
    path = save(tmp_path / "ct.nii", qform=1)
    patch(path, 268, np.float32(RAS[0, 3] + 3).tobytes())  # qoffset_x
    volume = io.read_volume(path)
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]
    assert volume.source.notes == (
        "The file's sform and qform disagree by up to 3.0 mm; the sform was used.",
    )


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
        (RNG.random((6, 7, 8)).astype(np.float32), Quantity.UNKNOWN),
        (RNG.integers(0, 118, (6, 7, 8)).astype(np.uint8), Quantity.LABELS),
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


# --- Refusals ------------------------------------------------------------------------------


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
    refuses(tmp_path / "text.nii", "does not begin like a NIfTI or DICOM file")
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
    io.write_nifti(path, CT[:5, :6, :7], grid, overwrite=True)
    content = bytearray(path.read_bytes())
    # Bytes 3 to 9 of gzip are flags, a date and a system, which say nothing of the voxels.
    position = data.draw(st.integers(10, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"flipped\.nii\.gz"):
        io.read_volume(path)


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
        (344, np.frombuffer(b"ni1\0", np.uint8), "NIfTI pair"),
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


def test_a_series_of_volumes_is_refused_with_their_number(tmp_path):
    refuses(save(tmp_path / "perfusion.nii.gz", np.stack([CT] * 5, -1)), "holds 5 volumes")


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


# --- Progress and recognition --------------------------------------------------------------


def test_progress_is_told_in_bytes_and_ends_with_all(tmp_path):
    path = tmp_path / "large.nii.gz"
    voxels = np.zeros((256, 256, 160), np.int16)  # 20 MiB, three steps
    io.write_nifti(path, voxels, Grid(voxels.shape, np.eye(4)))
    seen = []
    io.read_volume(path, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, voxels.nbytes)
    assert seen[-1] == (voxels.nbytes, voxels.nbytes)
    assert len(seen) >= 4
    assert all(a[0] < b[0] for a, b in pairwise(seen))


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


# --- Writing -------------------------------------------------------------------------------

ALL_TYPES = ["bool", "uint8", "int16", "uint16", "int32", "float16", "float32", "float64"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", ALL_TYPES)
def test_what_was_written_reads_back_the_same_with_nibabel(tmp_path, suffix, kind):
    values = (RNG.random((4, 5, 6)) * 9).astype(kind)
    grid = Grid(values.shape, np.diag([2.5, 0.75, 0.5, 1]))

    path = io.write_nifti(tmp_path / f"map{suffix}", values, grid)

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

    io.write_nifti(folder / "map.nii", CT, grid, overwrite=True)

    before, after = nib.load(folder / "ct.nii"), nib.load(folder / "map.nii")
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(after.dataobj, before.dataobj)
    again = io.read_volume(folder / "map.nii")
    np.testing.assert_array_equal(again.voxels, ct.voxels)
    np.testing.assert_array_equal(again.affine, ct.affine)


def test_a_sheared_grid_is_written_without_a_qform_that_could_not_hold_it(tmp_path):
    affine = np.diag([2.0, 1, 1, 1])
    affine[0, 1] = 0.5
    path = io.write_nifti(tmp_path / "map.nii", CT, Grid(CT.shape, affine))
    header = nib.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)


def test_description_and_provenance_travel_in_the_header(tmp_path):
    provenance = {"model": "nodule", "sha256": "0" * 64, "name": "Grün"}
    path = io.write_nifti(
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
    assert io.read_volume(path).source.details["description"] == "ü" * 39


def test_equal_content_gives_equal_files(tmp_path):
    grid = Grid(CT.shape, np.eye(4))
    first = io.write_nifti(tmp_path / "a.nii.gz", CT, grid, provenance={"a": 1, "b": 2})
    second = io.write_nifti(tmp_path / "b.nii.gz", CT, grid, provenance={"b": 2, "a": 1})
    assert first.read_bytes() == second.read_bytes()


def test_an_existing_file_is_only_replaced_when_that_was_said(tmp_path):
    path = save(tmp_path / "map.nii.gz")
    before = path.read_bytes()
    grid = Grid(CT.shape, np.eye(4))
    with pytest.raises(VolumeError, match=r"map\.nii\.gz: there is a file of this name"):
        io.write_nifti(path, CT, grid)
    assert path.read_bytes() == before
    io.write_nifti(path, CT + 1, grid, overwrite=True)
    np.testing.assert_array_equal(nib.load(path).dataobj, CT + 1)


def test_places_and_names_that_do_not_work_are_refused_and_nothing_is_left(tmp_path):
    grid = Grid(CT.shape, np.eye(4))
    with pytest.raises(VolumeError, match=r"map\.nii: it cannot be written"):
        io.write_nifti(tmp_path / "no folder" / "map.nii", CT, grid)
    with pytest.raises(VolumeError, match=r"End it in \.nii\.gz"):
        io.write_nifti(tmp_path / "map.png", CT, grid)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_leaves_neither_half_a_file_nor_a_lost_old_one(tmp_path, monkeypatch):
    path = save(tmp_path / "map.nii.gz")
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(VolumeError, match="No space left on device"):
        io.write_nifti(path, CT, Grid(CT.shape, np.eye(4)), overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_array_that_is_not_on_the_grid_is_a_mistake_in_the_program(tmp_path):
    with pytest.raises(ValueError, match="do not lie on a grid"):
        io.write_nifti(tmp_path / "map.nii", CT[1:], Grid(CT.shape, np.eye(4)))
    with pytest.raises(ValueError, match="complex"):
        io.write_nifti(tmp_path / "map.nii", CT.astype(complex), Grid(CT.shape, np.eye(4)))


# --- Real scans ------------------------------------------------------------------------------


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
    refuses(shared_dir / "data/tricky/nifti_odd" / name, reason)
