"""Several volumes in one file, pairs of files, extensions, pictures and numbers of all types."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nifti_factory import CT, RAS, patch, save, value_at

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import ChoiceNeededError
from napari_hirescam.io.assembling import assemble
from napari_hirescam.volume import Quantity

SERIES = np.stack([CT, CT + 1, CT + 2], -1)


# --- Several volumes -----------------------------------------------------------------------


def test_a_file_of_several_volumes_asks_which(tmp_path):
    path = save(tmp_path / "perfusion.nii.gz", SERIES)
    with pytest.raises(ChoiceNeededError, match="holds 3 volumes") as caught:
        io.read_volume(path)
    assert caught.value.items == io.list_items(path)
    assert [item.key for item in caught.value.items] == ["1", "2", "3"]
    item = caught.value.items[2]
    assert item.title == "volume 3 of 3"
    assert (item.n_slices, item.size) == (8, (7, 6))
    assert item.spacing_mm == pytest.approx((2.5, 0.7, 0.7))
    assert item.is_readable


@pytest.mark.parametrize("name", ["p.nii", "p.nii.gz"])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_each_of_several_volumes_is_read_alone(tmp_path, name, k):
    volume = io.read_volume(save(tmp_path / name, SERIES), series=str(k + 1))
    assert volume.name == f"p volume {k + 1}"
    assert volume.source.item == str(k + 1)
    for index in [(0, 0, 0), (5, 6, 7), (1, 4, 2)]:
        assert value_at(volume, (RAS @ np.append(index, 1))[:3]) == CT[index] + k


@pytest.mark.parametrize("key", ["0", "4", "-1", "x", "²", "1.0"])
def test_a_volume_that_is_not_there_is_answered_with_those_that_are(tmp_path, key):
    with pytest.raises(ChoiceNeededError, match="holds 3 volumes and no") as caught:
        io.read_volume(save(tmp_path / "p.nii", SERIES), series=key)
    assert len(caught.value.items) == 3


def test_a_file_of_one_volume_has_one_item_and_knows_no_second(tmp_path):
    path = save(tmp_path / "ct.nii")
    (item,) = io.list_items(path)
    assert (item.key, item.title, item.n_slices) == ("", "ct.nii", 8)
    assert io.read_volume(path, series="").voxels.size == CT.size
    assert io.read_volume(path, series="1").source.item == ""
    with pytest.raises(VolumeError, match="holds one volume and no '2'"):
        io.read_volume(path, series="2")


def test_damage_in_a_volume_that_was_not_asked_for_is_noticed(tmp_path):
    path = save(tmp_path / "p.nii.gz", SERIES)
    content = bytearray(path.read_bytes())
    content[-200] ^= 1  # in the last volume
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="not sound"):
        io.read_volume(path, series="1")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(VolumeError, match="incomplete"):
        io.read_volume(path, series="1")


def test_progress_of_a_volume_among_several_counts_all_that_is_gone_through(tmp_path):
    seen = []
    path = save(tmp_path / "p.nii.gz", SERIES)
    io.read_volume(path, series="2", progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (SERIES.nbytes, SERIES.nbytes)


def test_vectors_and_tensors_are_refused_by_what_they_are(tmp_path):
    field = np.zeros((6, 7, 8, 1, 3), np.float32)
    with pytest.raises(VolumeError, match=r"holds 3 numbers \(displacement vector\)"):
        io.read_volume(save(tmp_path / "f.nii", field, intent_code=1006))
    with pytest.raises(VolumeError, match=r"3 numbers \(a vector, tensor or colour"):
        io.read_volume(save(tmp_path / "f.nii", field))


def test_axes_counted_but_left_empty_are_put_up_with(tmp_path):
    path = patch(save(tmp_path / "ct.nii"), 40, np.array([5, 6, 7, 8, 0, 0], "i2").tobytes())
    assert io.read_volume(path).voxels.shape == (8, 7, 6)


# --- Pairs ---------------------------------------------------------------------------------


def pair(folder, name="ct", *, compressed=False):
    ending = ".gz" if compressed else ""
    image = nib.Nifti1Pair(CT, RAS)
    image.to_filename(folder / f"{name}.img{ending}")
    return folder / f"{name}.hdr{ending}", folder / f"{name}.img{ending}"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("half", [0, 1])
def test_either_half_of_a_pair_opens_both(tmp_path, compressed, half):
    path = pair(tmp_path, compressed=compressed)[half]
    assert io.can_read(path)
    volume = io.read_volume(path)
    assert volume.name == "ct"
    assert volume.source.path == path
    for index in [(0, 0, 0), (5, 6, 7), (1, 4, 2)]:
        assert value_at(volume, (RAS @ np.append(index, 1))[:3]) == CT[index]
    assert "pair" in next(f.value for f in volume.source.facts if f.name == "Format")


def test_half_a_pair_is_refused_by_what_is_missing(tmp_path):
    header, image = pair(tmp_path)
    image.unlink()
    with pytest.raises(VolumeError, match="the other is missing"):
        io.read_volume(header)


def test_a_pair_whose_image_is_too_short_or_too_long_is_refused(tmp_path):
    header, image = pair(tmp_path)
    content = image.read_bytes()
    image.write_bytes(content[:-1])
    with pytest.raises(VolumeError, match="incomplete"):
        io.read_volume(header)
    image.write_bytes(content + b"x")
    with pytest.raises(VolumeError, match="more data follow"):
        io.read_volume(header)


@pytest.mark.parametrize("half", [".hdr", ".img"])
def test_analyze_is_refused_by_name_whichever_half_is_given(tmp_path, half):
    nib.AnalyzeImage(CT, np.eye(4)).to_filename(tmp_path / "old.img")
    assert io.can_read(tmp_path / f"old{half}")
    with pytest.raises(VolumeError, match="Analyze file, which cannot tell left from right"):
        io.read_volume(tmp_path / f"old{half}")


def test_an_img_file_of_another_kind_is_not_claimed(tmp_path):
    (tmp_path / "disk.img").write_bytes(bytes(4096))
    assert not io.can_read(tmp_path / "disk.img")
    (tmp_path / "disk.hdr").write_text("ENVI description")
    assert not io.can_read(tmp_path / "disk.img")


# --- The header's sins ---------------------------------------------------------------------


def test_a_nifti_2_file_sent_as_text_is_refused(tmp_path):
    path = patch(save(tmp_path / "ct.nii", kind=nib.Nifti2Image), 8, b"\n\n\x1a\n")
    with pytest.raises(VolumeError, match="transferred as text"):
        io.read_volume(path)


def test_a_header_that_leaves_open_where_the_voxels_begin_is_read_and_noted(tmp_path):
    path = patch(save(tmp_path / "ct.nii"), 108, np.float32(0).tobytes())
    volume = io.read_volume(path)
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]
    assert "does not say where the voxels begin" in volume.source.notes[0]


def extended(path, *extensions, flag=1):
    """A file with the given (size, code, content) in its header; the size may be a lie."""
    plain = save(path).read_bytes()
    block = b"".join(struct.pack("<2i", size, code) + text for size, code, text in extensions)
    header = bytearray(plain[:348])
    header[108:112] = np.float32(352 + len(block)).tobytes()
    path.write_bytes(bytes(header) + bytes([flag, 0, 0, 0]) + block + plain[352:])
    return path


def test_extensions_are_passed_over_and_named_by_their_kind(tmp_path):
    path = extended(
        tmp_path / "ct.nii", (32, 6, b"Jane Doe, 1. 1. 1970".ljust(24)), (16, 2, b" " * 8)
    )
    volume = io.read_volume(path)
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]
    (fact,) = [f for f in volume.source.facts if f.name == "Extensions"]
    assert fact.value == "comment, dicom"
    assert "Jane" not in str(volume.source)


@pytest.mark.parametrize("size", [2**31 - 1, -16, 0, 7, 4096])
def test_an_extension_of_impossible_length_is_left_out_with_a_note(tmp_path, size):
    path = extended(tmp_path / "ct.nii", (size, 6, b"x" * 24))
    volume = io.read_volume(path)
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]
    assert "extension of the header is damaged" in volume.source.notes[0]


def test_extensions_of_a_compressed_file_are_found_too(tmp_path):
    plain = extended(tmp_path / "ct.nii", (32, 6, b"y" * 24))
    packed = tmp_path / "packed.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    names = [f.value for f in io.read_volume(packed).source.facts if f.name == "Extensions"]
    assert names == ["comment"]


# --- Numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_number_type_in_both_byte_orders(tmp_path, name, order, kind):
    values = (
        np.arange(-60, 60).reshape(4, 5, 6) if kind[0] != "u" else np.arange(120).reshape(4, 5, 6)
    )
    image = nib.Nifti1Image(values.astype(kind), np.diag([-1, -1, 1, 1.0]), dtype=np.dtype(kind))
    header = image.header.as_byteswapped(order)
    nib.Nifti1Image(values.astype(kind), None, header).to_filename(tmp_path / name)

    volume = io.read_volume(tmp_path / name)

    # Stored axes to left, posterior and superior: slices are turned, rows and columns kept.
    np.testing.assert_array_equal(volume.voxels, values.transpose(2, 1, 0)[::-1])
    assert volume.voxels.dtype.isnative
    expected = {"i8": "i2", "u8": "i2", "f8": "f4"}.get(kind, kind)
    if volume.quantity is not Quantity.LABELS:
        assert volume.voxels.dtype == np.dtype(expected)


@pytest.mark.parametrize(
    ("kind", "slope", "intercept", "expected"),
    [
        ("i2", 1, -1024, "i2"),
        ("u2", 1, -1024, "i2"),
        ("u1", 10, -1000, "i2"),
        ("i2", -1, 0, "i2"),
        ("i4", 1, -1024, "i2"),
        ("i4", 1, 100_000, "i4"),
        ("i8", 1, 2.0**40, "i8"),
        ("i2", 0.5, 0, "f4"),
        ("i2", 1, 0.25, "f4"),
        ("f4", 2, -1000, "f4"),
        ("f8", 1, -1024, "f4"),
    ],
)
def test_slope_and_intercept_keep_whole_numbers_whole(tmp_path, kind, slope, intercept, expected):
    stored = np.arange(120).reshape(4, 5, 6).astype(kind)
    path = save(tmp_path / "ct.nii.gz", stored, np.diag([-1, -1, 1, 1.0]))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:120] = np.array([slope, intercept], np.float32).tobytes()
    path.write_bytes(gzip.compress(content))

    volume = io.read_volume(path)

    wanted = stored.astype(float).transpose(2, 1, 0)[::-1] * slope + intercept
    np.testing.assert_array_equal(volume.voxels, wanted)
    assert volume.voxels.dtype == np.dtype(expected)


def test_numbers_beyond_single_precision_count_as_none(tmp_path):
    values = CT.astype(np.float64)
    values[1, 2, 3] = 1e300
    volume = io.read_volume(save(tmp_path / "ct.nii", values))
    assert np.isfinite(volume.voxels).all()
    assert int(volume.invalid.sum()) == 1
    assert value_at(volume, (RAS @ [1, 2, 3, 1])[:3]) == -1024


def test_voxels_without_a_number_stay_marked_through_turning_and_resampling(tmp_path):
    values = np.full((9, 9, 9), 50, np.float32)
    values[0] = -1000
    values[6, 4, 4] = np.nan
    angle = np.deg2rad(20)
    for ras in (
        np.diag([-1, 1, 1, 1.0]),
        np.array(
            [
                [np.cos(angle), -np.sin(angle), 0, 0],
                [np.sin(angle), np.cos(angle), 0, 0],
                [0, 0, 1, 0],
                [0, 0, 0, 1],
            ]
        ),
    ):
        volume = io.read_volume(save(tmp_path / "ct.nii", values, ras))
        r, a, s = (ras @ [6, 4, 4, 1])[:3]
        index = tuple(np.rint(volume.grid.to_index((-s, -a, -r))).astype(int))
        assert volume.invalid[index]
        centre = tuple(np.rint(volume.grid.to_index(-(ras @ [3, 4, 4, 1])[2::-1])).astype(int))
        assert not volume.invalid[centre]
        assert volume.voxels[centre] == pytest.approx(50)


def test_a_voxel_on_the_very_border_is_either_measured_or_marked():
    # Turned and unturned, rounding puts such a voxel on different sides of the border; one of
    # twenty sheared grids with round numbers has some.
    random = np.random.default_rng(1)
    for _ in range(200):
        turned = np.eye(3)[random.permutation(3)] * random.choice([-1, 1], 3)
        shear = np.eye(3)
        shear[1, 2] = random.integers(1, 9) / 16 * random.choice([-1, 1])
        affine = np.eye(4)
        affine[:3, :3] = shear @ turned * random.integers(5, 30, 3) / 10
        stored = np.full(random.integers(4, 9, 3), -250, np.float32)
        volume = assemble(Path("ct"), "NIfTI", stored, affine, name="ct")
        if volume.invalid is not None:
            assert (volume.voxels[~volume.invalid] == -250).all()
            assert (volume.voxels == -1024).any()


def test_an_8_bit_picture_is_not_taken_for_a_mask(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 20)).astype(np.uint8)
    assert io.read_volume(save(tmp_path / "mr.nii", noise)).quantity is Quantity.UNKNOWN
    blocks = np.repeat(np.repeat(np.repeat(noise[:7, :7, :7], 4, 0), 4, 1), 4, 2)
    assert io.read_volume(save(tmp_path / "seg.nii", blocks)).quantity is Quantity.LABELS


def test_a_file_that_calls_itself_a_mask_but_is_none_is_judged_by_its_numbers(tmp_path):
    volume = io.read_volume(save(tmp_path / "x.nii", CT, intent_code=1002))
    assert volume.quantity is Quantity.HU
    assert "calls itself a mask" in volume.source.notes[0]


# --- Pictures ------------------------------------------------------------------------------


def landmark():
    """Air, with a bright block in the left posterior quarter of the middle slice."""
    values = np.full((20, 16, 9), -1000, np.int16)
    values[12:18, 10:14, 4] = 300
    return values


@pytest.mark.parametrize(
    ("signs", "flips"),
    [((-1, -1, 1), ()), ((1, 1, 1), (0, 1)), ((1, -1, -1), (0,))],
)
def test_pictures_stand_head_up_with_the_patients_left_on_the_right(tmp_path, signs, flips):
    # Stored to left and posterior the block has high indices; other files are flipped copies.
    values = np.flip(landmark(), flips)
    path = save(tmp_path / "ct.nii.gz", values, np.diag([*signs, 1.0]))
    seen = []
    io.read_volume(path, preview=seen.append)
    assert len(seen) == 1
    for picture in (seen[0], io.picture_of(path, "")):
        assert picture.grey.shape == (16, 20)
        bright = np.argwhere(picture.grey > 128)
        np.testing.assert_array_equal([bright.min(0), bright.max(0)], [[10, 12], [13, 17]])


def test_the_picture_of_a_file_that_needs_a_word_needs_none(tmp_path):
    path = save(tmp_path / "ct.nii", landmark(), sform=0)
    assert io.picture_of(path, "").grey.max() > 128
    path = patch(save(tmp_path / "q.nii", landmark(), qform=1), 280, bytes(48))
    assert io.picture_of(path, "").grey.max() > 128


def test_pictures_of_one_among_several_volumes(tmp_path):
    dark = np.full_like(landmark(), -1000)
    path = save(tmp_path / "p.nii", np.stack([dark, landmark()], -1), np.diag([-1, -1, 1, 1.0]))
    assert io.picture_of(path, "1").grey.max() < 10
    assert io.picture_of(path, "2").grey.max() > 128
