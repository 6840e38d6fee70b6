"""MetaImage in: every voxel in its place with its value, or a plain refusal."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from metaimage_factory import bytes_of, save
from nrrd_factory import CT, ORIGIN, RNG, each_place, value_at

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError
from napari_hirescam.source import Repair
from napari_hirescam.volume import Quantity

SOME = [(0, 0, 0), (5, 6, 7), (1, 4, 2)]


def refused(path, reason):
    with pytest.raises(VolumeError, match=reason) as caught:
        io.read_volume(path)
    assert caught.value.subject
    assert caught.value.remedy
    return caught.value


# --- Values and places ---------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["<i2", ">i2", "<i4", "<i8", "<f4", "<f8"])
def test_each_voxel_is_found_at_its_place_in_the_patient(tmp_path, compressed, kind):
    volume = io.read_volume(save(tmp_path / "ct.mha", CT.astype(kind), compressed=compressed))

    smaller = {"<f8": np.float32, "<i8": np.int16}
    expected = smaller.get(kind, np.dtype(kind).newbyteorder("="))
    assert volume.voxels.dtype == expected
    assert volume.voxels.dtype.isnative
    assert volume.quantity is Quantity.HU
    assert (volume.name, volume.source.format) == ("ct", "MetaImage")
    assert (volume.source.orientation, volume.source.notes) == ("LPS", ())
    for index in SOME:
        assert value_at(volume, each_place(index)) == CT[index]


@pytest.mark.parametrize("compressed", [False, True])
def test_what_itk_writes_is_read_as_itk_reads_it(tmp_path, compressed):
    sitk = pytest.importorskip("SimpleITK")
    angle = np.radians(3e-3)  # too little to be resampled
    turn = [np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, -1]
    image = sitk.GetImageFromArray(CT.T.copy())
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((4, -5, 6))
    image.SetDirection(turn)
    for name in ("ct.mha", "ct.mhd"):
        sitk.WriteImage(image, str(tmp_path / name), compressed)
        volume = io.read_volume(tmp_path / name)
        assert volume.source.notes == ()
        assert volume.source.orientation == "LPI"
        for index in SOME:
            place = image.TransformIndexToPhysicalPoint(index)
            assert value_at(volume, place) == CT[index]
            stored = volume.source.grid.to_world(index)
            np.testing.assert_allclose((stored[2], stored[1], -stored[0]), place, atol=1e-6)


def test_the_rows_of_the_matrix_are_the_directions_of_the_axes(tmp_path):
    # The first axis runs to posterior, the second to the right.
    volume = io.read_volume(
        save(tmp_path / "ct.mha", TransformMatrix="0 1 0 -1 0 0 0 0 1", AnatomicalOrientation="???")
    )
    steps = np.array([[0, 0.7, 0], [-0.7, 0, 0], [0, 0, 2.5]])
    for index in SOME:
        assert value_at(volume, each_place(index, steps)) == CT[index]
    assert volume.source.orientation == "PRS"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("TransformMatrix", "Rotation"),
        ("TransformMatrix", "Orientation"),
        ("Offset", "Position"),
        ("Offset", "Origin"),
        ("ElementSpacing", "ElementSize"),
        ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
        ("ElementSpacing", "elementspacing"),
    ],
)
def test_fields_are_known_by_all_their_names(tmp_path, name, other):
    value = {
        "TransformMatrix": "-1 0 0 0 1 0 0 0 1",
        "Offset": "1 2 3",
        "ElementSpacing": "2 3 4",
        "BinaryDataByteOrderMSB": "True",
    }[name]
    voxels = CT.astype(">i2" if "MSB" in name else "<i2")
    usual = io.read_volume(save(tmp_path / "a.mha", voxels, **{name: value}))
    path = save(tmp_path / "b.mha", voxels, **{name: None, other: value})
    volume = io.read_volume(path)
    assert volume.grid.same_place_as(usual.grid)
    np.testing.assert_array_equal(volume.voxels, usual.voxels)


def test_the_size_of_a_voxel_may_differ_from_the_spacing(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.mha", ElementSize="0.7 0.7 5"))
    assert volume.spacing_mm == (2.5, 0.7, 0.7)


def test_letters_that_contradict_the_matrix_are_said_and_not_believed(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.mha", AnatomicalOrientation="LPS"))
    assert value_at(volume, ORIGIN) == CT[0, 0, 0]
    assert "AnatomicalOrientation is LPS" in volume.source.notes[0]


@pytest.mark.parametrize(("unit", "per_mm"), [("um", 1000), ("cm", 0.1), ("mm", 1)])
def test_lengths_in_other_units_become_millimetres(tmp_path, unit, per_mm):
    path = save(
        tmp_path / "ct.mha",
        DistanceUnits=unit,
        ElementSpacing=" ".join(str(x * per_mm) for x in (0.7, 0.7, 2.5)),
        Offset=" ".join(str(x * per_mm) for x in ORIGIN),
    )
    volume = io.read_volume(path)
    np.testing.assert_allclose(volume.spacing_mm, (2.5, 0.7, 0.7))
    assert value_at(volume, ORIGIN) == CT[0, 0, 0]
    assert bool(volume.source.notes) == (unit != "mm")


def test_text_voxels_are_read(tmp_path):
    content = " ".join(str(x) for x in CT.ravel("F")).encode()
    path = save(tmp_path / "ct.mha", content=content, BinaryData="False")
    np.testing.assert_array_equal(io.read_volume(path).voxels[::-1], CT.T)


def test_an_order_of_bytes_that_is_not_told_is_said(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.mha", BinaryDataByteOrderMSB=None))
    assert value_at(volume, ORIGIN) == CT[0, 0, 0]
    assert "little-endian was assumed" in volume.source.notes[0]
    mask = save(tmp_path / "m.mha", np.ones((2, 2, 2), np.uint8), BinaryDataByteOrderMSB=None)
    assert io.read_volume(mask).source.notes == ()


def test_the_geometry_is_kept_as_written(tmp_path):
    geometry = io.read_volume(save(tmp_path / "ct.mha")).source.stored_geometry
    assert geometry["Offset"] == "-90.5 -120.25 -300"
    assert geometry["ElementSpacing"] == "0.7 0.7 2.5"


def test_nothing_that_could_name_the_patient_is_repeated(tmp_path):
    path = save(tmp_path / "ct.mha", Name="Doe", Comment="Jane", **{"0010|0010": "Doe^Jane"})
    told = repr(io.read_volume(path).source) + repr(io.list_items(path))
    assert "Doe" not in told
    assert "Jane" not in told


# --- Where the voxels lie ------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
def test_voxels_may_lie_in_a_file_beside_the_header(tmp_path, compressed):
    (tmp_path / "ct.bin").write_bytes(bytes_of(CT, compressed=compressed))
    header = save(tmp_path / "ct.mhd", compressed=compressed, data_file="ct.bin")
    volume = io.read_volume(header)
    assert volume.name == "ct"
    np.testing.assert_array_equal(volume.voxels[::-1], CT.T)


@pytest.mark.parametrize("skip", ["4", "-1"])
def test_a_header_of_the_data_file_is_left_out(tmp_path, skip):
    (tmp_path / "ct.raw").write_bytes(b"abcd" + bytes_of(CT))
    header = save(tmp_path / "ct.mhd", data_file="ct.raw", HeaderSize=skip)
    np.testing.assert_array_equal(io.read_volume(header).voxels[::-1], CT.T)


@pytest.mark.parametrize("word", ["LIST", "LIST 2", "LIST 2D"])
def test_voxels_may_lie_in_a_list_of_slices(tmp_path, word):
    names = [f"slice {9 - k}.raw" for k in range(8)]
    for k, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes_of(CT[:, :, k]))
    header = save(tmp_path / "ct.mhd", data_file=word, content="\n".join(names).encode())
    np.testing.assert_array_equal(io.read_volume(header).voxels[::-1], CT.T)


def test_voxels_may_lie_in_numbered_slices(tmp_path):
    for k in range(8):
        (tmp_path / f"s{k + 1:02d}.raw").write_bytes(bytes_of(CT[:, :, k]))
    header = save(tmp_path / "ct.mhd", data_file="s%02d.raw 1 8 1")
    np.testing.assert_array_equal(io.read_volume(header).voxels[::-1], CT.T)


@pytest.mark.parametrize("name", ["../ct.raw", "/etc/passwd", "a/../../ct.raw", "C:\\ct.raw"])
def test_a_header_cannot_reach_out_of_its_folder(tmp_path, name):
    (tmp_path / "inner").mkdir()
    (tmp_path / "ct.raw").write_bytes(bytes_of(CT))
    refused(save(tmp_path / "inner" / "ct.mhd", data_file=name), "in another folder")


def test_a_data_file_that_is_not_there_is_named(tmp_path):
    refused(save(tmp_path / "ct.mhd", data_file="ct.raw"), "'ct.raw', is not beside it")


# --- A place that is not told, several volumes ---------------------------------------------


@pytest.mark.parametrize("field", ["TransformMatrix", "Offset", "ElementSpacing"])
def test_a_place_that_is_not_told_is_assumed_on_the_users_word_only(tmp_path, field):
    path = save(tmp_path / "ct.mha", **{field: None})
    with pytest.raises(ConsentNeededError, match=f"lacks {field}"):
        io.read_volume(path)
    (item,) = io.list_items(path)
    assert item.needs == (Repair.ASSUME_PLACE,)
    assert io.picture_of(path, "").grey.shape == (7, 6)
    volume = io.read_volume(path, allow=["assume-place"])
    assert [done.repair for done in volume.source.repaired] == [Repair.ASSUME_PLACE]
    assert volume.source.stored_geometry == {}
    origin = np.zeros(3) if field == "Offset" else ORIGIN
    assert value_at(volume, origin) == CT[0, 0, 0]
    wanted = (1, 1, 1) if field == "ElementSpacing" else (2.5, 0.7, 0.7)
    np.testing.assert_allclose(volume.spacing_mm, wanted)


@pytest.mark.parametrize("compressed", [False, True])
def test_one_of_several_volumes_is_asked_for_and_read(tmp_path, compressed):
    phases = RNG.integers(-1024, 1500, (6, 7, 8, 3)).astype(np.int16)
    path = save(
        tmp_path / "ct.mha",
        phases,
        compressed=compressed,
        TransformMatrix=" ".join(str(x) for x in np.eye(4, dtype=int).ravel()),
        Offset="-90.5 -120.25 -300 0",
        ElementSpacing="0.7 0.7 2.5 1",
    )
    with pytest.raises(ChoiceNeededError, match="3 volumes") as question:
        io.read_volume(path)
    assert question.value.items == io.list_items(path)
    for k in range(3):
        volume = io.read_volume(path, series=str(k + 1))
        assert volume.source.item == str(k + 1)
        np.testing.assert_array_equal(volume.voxels[::-1], phases[..., k].T)


# --- Refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"DimSize": None}, "lacks the field 'DimSize'"),
        ({"ElementType": None}, "lacks the field 'ElementType'"),
        ({"ElementType": "MET_STRING"}, "of the type 'MET_STRING'"),
        ({"ElementType": "MET_USHORT_ARRAY"}, "several numbers"),
        ({"ElementNumberOfChannels": "3"}, "several numbers"),
        ({"ElementNumberOfChannels": "x"}, "no whole number"),
        ({"ElementToIntensityFunctionSlope": "2"}, "scales the voxels"),
        ({"ElementToIntensityFunctionOffset": "-1024"}, "scales the voxels"),
        ({"NDims": "4"}, "image size"),
        ({"NDims": "2", "DimSize": "6 56"}, "two-dimensional"),
        ({"DimSize": "6 7 1"}, "two-dimensional"),
        ({"DimSize": "-6 -7 8"}, "image size"),
        ({"DimSize": "6 7 9"}, "incomplete"),
        ({"DimSize": "6 7 7"}, "more data follow"),
        ({"DimSize": "32767 32767 32767"}, "incomplete: its header announces"),
        ({"ElementSpacing": "0.7 0.7 0"}, "have no place"),
        ({"ElementSpacing": "0.7 0.7 nan"}, "not 3 numbers"),
        ({"ElementSpacing": "0.7,0.7,2.5"}, "not 3 numbers"),
        ({"ElementSpacing": "0.7 0.7"}, "not 3 numbers"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "have no place"),
        ({"TransformMatrix": "1 0 0 0 1 0"}, "not 9 numbers"),
        ({"Position": "9 9 9"}, "'offset' twice"),
        ({"BinaryDataByteOrderMSB": "perhaps"}, "neither True nor False"),
        ({"CompressedData": "True"}, "compressed data are not sound"),
        ({"HeaderSize": "20"}, "where the voxels begin"),
        ({"HeaderSize": "-2"}, "where the voxels begin"),
        ({"HeaderSize": "many"}, "no whole number"),
        ({"ObjectType": "Tube", "Comment": "x"}, "no image|does not begin like"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(tmp_path, changes, reason):
    refused(save(tmp_path / "ct.mha", **changes), reason)


def test_a_header_that_announces_more_than_can_be_packed_is_refused_at_once(tmp_path):
    path = save(tmp_path / "ct.mha", compressed=True, DimSize="4000 400 2")
    refused(path, "its header announces")


@pytest.mark.parametrize("size", ["10", "99999999", "-1"])
def test_a_wrong_size_of_the_compressed_voxels_is_refused(tmp_path, size):
    path = save(tmp_path / "ct.mha", compressed=True, CompressedDataSize=size)
    refused(path, "bytes of compressed voxels")


def test_any_flipped_byte_of_compressed_voxels_is_noticed(tmp_path):
    packed = bytes_of(CT, compressed=True)
    for place in range(0, len(packed), 3):
        content = bytearray(packed)
        content[place] ^= 0x10
        path = save(tmp_path / "ct.mha", compressed=True, content=bytes(content))
        try:
            volume = io.read_volume(path)
        except VolumeError:
            continue
        # Padding may change; the voxels may not.
        np.testing.assert_array_equal(volume.voxels[::-1], CT.T)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_breaks_off_or_goes_on_is_refused(tmp_path, compressed):
    packed = bytes_of(CT, compressed=compressed)
    for cut in (1, 4, len(packed) // 2, len(packed)):
        path = save(tmp_path / "ct.mha", compressed=compressed, content=packed[:-cut])
        refused(path, "incomplete")
    path = save(tmp_path / "ct.mha", compressed=compressed, content=packed + b"x")
    refused(path, "more data follow")


def test_not_enough_memory_is_said_before_it_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_hirescam.io.reading.available_memory", lambda: 1000)
    refused(save(tmp_path / "ct.mha"), "GiB of memory")


def test_a_header_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_hirescam.io.metaimage.header._LONGEST_HEADER", 3000)
    path = tmp_path / "ct.mha"
    path.write_bytes(b"ObjectType = Image\nNDims = 3\n" + b"Comment = x\n" * 1000)
    refused(path, "no end")
    path.write_bytes(b"ObjectType = Image\nNDims = 3\nDimSize = 3 3 3\n")
    refused(path, "no end")
    path.write_bytes(b"ObjectType = Image\nNDims = 3\nnonsense\n")
    refused(path, "line without '='")


# --- Progress, recognition, what is not needed ---------------------------------------------


def test_progress_is_told_in_bytes_and_reading_stops_when_asked(tmp_path):
    path = save(tmp_path / "ct.mha", np.zeros((256, 256, 160), np.int16), compressed=True)
    seen = []
    io.read_volume(path, progress=lambda done, total: seen.append((done, total)))
    size = 256 * 256 * 160 * 2
    assert seen[0] == (0, size)
    assert seen[-1] == (size, size)
    with pytest.raises(Cancelled):
        io.read_volume(path, should_stop=lambda: True)


def test_files_are_recognised_by_content_not_by_name(tmp_path):
    assert io.can_read(save(tmp_path / "noname"))
    (tmp_path / "text.mha").write_text("ObjectType = Image but no more")
    assert not io.can_read(tmp_path / "text.mha")


def test_itk_is_not_needed(tmp_path):
    path = save(tmp_path / "ct.mha", compressed=True)
    code = (
        "import sys; sys.modules['SimpleITK'] = None; sys.modules['itk'] = None\n"
        "from napari_hirescam import io\n"
        f"assert io.read_volume({str(path)!r}).voxels.shape == (8, 7, 6)"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)  # noqa: S603 - our own code


def test_itk_itself_passes_damaged_voxels_on(tmp_path):
    """Why the bytes are not left to ITK; should this ever fail, ITK has been mended."""
    sitk = pytest.importorskip("SimpleITK")
    packed = bytearray(bytes_of(CT, compressed=True))
    packed[len(packed) // 2] ^= 0x10
    path = save(tmp_path / "ct.mha", compressed=True, content=bytes(packed))
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert read.shape == CT.T.shape
    assert (read != CT.T).any()
    refused(path, "damaged")
