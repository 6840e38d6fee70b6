"""Volumes in numpy's archives: the data set RAD-ChestCT, others that say how they lie, and not."""

from __future__ import annotations

import csv
import io as bytes_io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import ChoiceNeededError, ConsentNeededError, reading
from napari_hirescam.io.npz import rad_chestct
from napari_hirescam.source import Repair
from napari_hirescam.volume import Quantity

RNG = np.random.default_rng(5)
CT = RNG.integers(-1000, 1001, (8, 7, 7)).astype(np.int16)
ASSUMED = {"allow": ["assume-place"]}


def rad(folder, voxels=CT, name="trn12345.npz", **arrays):
    np.savez_compressed(folder / name, **(arrays or {"ct": voxels}))
    return folder / name


def table(path, *rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def metadata(folder, **changes):
    row = {
        "VolumeAcc_DEID": "trn12345.npz",
        "NoteAcc_DEID": "trn12345",
        "MRN_DEID": "mrn00007",
        "PatientAge": "061Y",
        "ConvolutionKernel": "CHEST",
        "orig_yxspacing": "0.703125",
        "orig_zdiff": "0.625",
        "zdiffs_all_equal": "True",
        "orig_orientation": "1,0,0,0,1,0",
        "final_square": "7",
        "final_numslices": "8",
        "final_spacing": "0.8",
    } | changes
    # Another volume, whose row names this one in passing.
    other = row | {
        "VolumeAcc_DEID": "trn1234.npz",
        "NoteAcc_DEID": "trn1234",
        "MRN_DEID": "as trn12345",
        "final_square": "9",
    }
    table(folder / "CT_Scan_Metadata_Complete_35747.csv", other, row)


def fact(volume, name):
    return next(entry for entry in volume.source.facts if entry.name == name)


# --- RAD-ChestCT ---------------------------------------------------------------------------


def test_a_file_of_rad_chestct_lies_as_published_and_stays_as_stored(tmp_path):
    metadata(tmp_path)
    volume = io.read_volume(rad(tmp_path))
    np.testing.assert_array_equal(volume.voxels, CT)
    assert volume.voxels.dtype == np.int16
    assert volume.quantity is Quantity.HU
    assert volume.source.format == "RAD-ChestCT"
    assert volume.source.orientation == "IPL"
    assert volume.spacing_mm == pytest.approx((0.8, 0.8, 0.8))
    # Index 3, 2, 1 is 2.4 mm towards the feet, 1.6 mm to the back, 0.8 mm to the left.
    assert volume.grid.to_world((3, 2, 1)) == pytest.approx((2.4, 1.6, 0.8))
    assert fact(volume, "Kernel").value == "CHEST"
    assert "from the first voxel" in volume.source.notes[0]
    assert len(volume.source.notes) == 1
    assert volume.source.repaired == ()


def test_without_its_tables_the_file_is_read_and_that_is_said(tmp_path):
    volume = io.read_volume(rad(tmp_path))
    assert volume.spacing_mm == pytest.approx((0.8, 0.8, 0.8))
    assert any("no table beside it says so" in note for note in volume.source.notes)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("final_spacing", "1.0", r"says final_spacing 1\.0, not 0\.8"),
        ("final_numslices", "400", "says final_numslices 400, not 8"),
        ("final_square", "512", "final_square 512"),
        ("orig_orientation", "0,1,0,0,0,-1", "gives the orientation 0,1,0,0,0,-1"),
        ("final_spacing", "narrow", "final_spacing narrow"),
    ],
)
def test_metadata_that_contradict_the_file_are_asked_about(tmp_path, column, value, reason):
    metadata(tmp_path, **{column: value})
    path = rad(tmp_path)
    with pytest.raises(ConsentNeededError, match=reason) as caught:
        io.read_volume(path)
    assert caught.value.repairs == (Repair.ASSUME_PLACE,)
    (item,) = io.list_items(path)
    assert item.needs == (Repair.ASSUME_PLACE,)
    volume = io.read_volume(path, **ASSUMED)
    assert volume.source.repaired[0].asked


def test_labels_and_lung_box_come_from_the_tables_beside_the_file(tmp_path):
    table(
        tmp_path / "imgtrain_Abnormality_and_Location_Labels.csv",
        {"NoteAcc_DEID": "trn00001", "nodule*left_upper": "0", "nodule*lung": "0", "mass*rib": "1"},
        {"NoteAcc_DEID": "trn12345", "nodule*left_upper": "1", "nodule*lung": "1", "mass*rib": "0"},
    )
    table(
        tmp_path / "Extrema_5747.csv",
        {
            "NoteAcc_DEID": "trn12345",
            "sup_axis0min": 1,
            "inf_axis0max": 7,
            "ant_axis1min": 2,
            "pos_axis1max": 6,
            "rig_axis2min": 0,
            "lef_axis2max": 7,
        },
    )
    volume = io.read_volume(rad(tmp_path))
    assert volume.source.details["abnormalities"] == {"nodule": ["left_upper", "lung"]}
    assert volume.source.details["lung_box"] == [(1, 7), (2, 6), (0, 7)]
    assert fact(volume, "Abnormalities").value == "nodule (left_upper, lung)"
    assert fact(volume, "Lung box").value == "5 x 3 x 6 mm"


@pytest.mark.parametrize("ends", [(1, "nan"), (1, "inf"), (1, ""), (1, 9), (-1, 5), (5, 5), (6, 2)])
def test_a_lung_box_that_is_none_is_said_and_left_out(tmp_path, ends):
    names = "sup_axis0min inf_axis0max ant_axis1min pos_axis1max rig_axis2min lef_axis2max"
    row = dict(zip(names.split(), [*ends, 2, 6, 0, 7], strict=True))
    table(tmp_path / "Extrema_35747.csv", {"NoteAcc_DEID": "trn12345", **row})
    volume = io.read_volume(rad(tmp_path))
    assert "lung_box" not in volume.source.details
    assert fact(volume, "Lung box").remark


def test_nothing_of_the_patient_is_taken_from_the_tables(tmp_path):
    metadata(tmp_path)
    told = str(io.read_volume(rad(tmp_path)).source)
    assert "mrn00007" not in told
    assert "061Y" not in told


def test_a_table_that_is_none_does_not_stop_the_reading(tmp_path):
    (tmp_path / "Extrema_1.csv").write_bytes(b"\xff\xfe\x00trn12345\x00\n\xff\x00trn12345,1\n")
    (tmp_path / "imgtrain_Abnormality_and_Location_Labels.csv").write_text("")
    volume = io.read_volume(rad(tmp_path))
    assert "Extrema_1.csv" in fact(volume, "Table").remark


def test_a_table_is_looked_through_once_for_all_scans_beside_it_until_it_changes(tmp_path):
    def labels(nodule):
        rows = [
            {"NoteAcc_DEID": f"trn{k:05d}", "nodule*lung": nodule(k), "x": '"a, b"'}
            for k in range(12340, 12350)
        ]
        table(tmp_path / "imgtrain_Abnormality_and_Location_Labels.csv", *rows)

    def found(k):
        volume = io.read_volume(rad(tmp_path, name=f"trn{k:05d}.npz"))
        return "nodule" in volume.source.details["abnormalities"]

    labels(lambda k: k % 2)
    rad_chestct._places_of_rows.cache_clear()
    assert [found(k) for k in range(12340, 12350)] == [False, True] * 5
    assert rad_chestct._places_of_rows.cache_info().misses == 1
    labels(lambda k: 100 + (k + 1) % 2)  # another size, whatever the clock's resolution
    assert found(12340)
    assert rad_chestct._places_of_rows.cache_info().misses == 2


@pytest.mark.parametrize(
    ("name", "voxels"),
    [
        ("patient7.npz", CT),
        ("trn12345.npz", CT.astype(np.int32)),
        ("trn12345.npz", CT[:, :5]),
        ("trn12345.npz", CT + np.int16(500)),
    ],
)
def test_what_only_resembles_the_data_set_is_asked_about(tmp_path, name, voxels):
    path = rad(tmp_path, voxels, name)
    with pytest.raises(ConsentNeededError, match="how large its voxels are"):
        io.read_volume(path)
    volume = io.read_volume(path, **ASSUMED)
    assert volume.source.format == "npz"
    assert volume.spacing_mm == (1, 1, 1)
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert "1 mm" in volume.source.repaired[0].what


# --- Files that say how they lie -----------------------------------------------------------


@pytest.mark.parametrize("direction", [1, -1])
def test_spacing_and_heights_beside_an_array_place_it(tmp_path, direction):
    heights = -200.5 + 2.0 * np.arange(8)[::direction]
    path = rad(
        tmp_path,
        name="a.npz",
        p1_hu=CT,
        p1_spacing_zyx=np.array([2.0, 0.7, 0.6]),
        p1_z_mm=heights,
        p1_diagnosis=np.array("pneumonia"),
    )
    volume = io.read_volume(path)
    assert volume.spacing_mm == pytest.approx((2.0, 0.7, 0.6))
    assert volume.source.orientation == ("SPL" if direction == 1 else "IPL")
    for k in (0, 3, 7):
        index = np.rint(volume.grid.to_index((-heights[k], 1.4, 1.8))).astype(int)
        assert volume.voxels[tuple(index)] == CT[k, 2, 3]
    assert "as in DICOM" in volume.source.notes[0]


def test_spacing_alone_leaves_head_or_feet_open(tmp_path):
    path = rad(tmp_path, name="a.npz", vol=CT, spacing_zyx=np.array([2, 1, 1.0]))
    with pytest.raises(ConsentNeededError, match="to the head or to the feet"):
        io.read_volume(path)
    assert io.read_volume(path, **ASSUMED).spacing_mm == pytest.approx((2, 1, 1))


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"spacing_zyx": np.array([2, 0, 1.0])}, "not three positive lengths"),
        ({"spacing_zyx": np.array([2, 1.0])}, "not three positive lengths"),
        ({"spacing_zyx": np.array([2, 1, np.nan])}, "not three positive lengths"),
        ({"z_mm": np.arange(7.0)}, "height of 7 slices"),
        ({"z_mm": np.array([0, 1, 2, 3, 4, 5, 6, 8.0])}, "not evenly spaced: from 1 to 2 mm"),
        ({"z_mm": np.zeros(8)}, "not evenly spaced"),
    ],
)
def test_descriptions_that_cannot_be_true_are_refused(tmp_path, extra, reason):
    arrays = {"v_hu": CT, "spacing_zyx": np.ones(3), "z_mm": np.arange(8.0)} | extra
    with pytest.raises(VolumeError, match=reason):
        io.read_volume(rad(tmp_path, name="a.npz", **arrays))


def test_heights_are_believed_before_a_spacing_that_contradicts_them(tmp_path):
    arrays = {"v": CT, "spacing_zyx": np.array([5, 1, 1.0]), "z_mm": np.arange(8.0)}
    volume = io.read_volume(rad(tmp_path, name="a.npz", **arrays))
    assert volume.spacing_mm == pytest.approx((1, 1, 1))
    assert "the heights were believed" in volume.source.notes[1]


def test_of_several_volumes_the_user_chooses_by_name(tmp_path):
    arrays = {f"{n}_hu": CT + np.int16(k) for k, n in enumerate("abc")}
    arrays |= {f"{n}_spacing_zyx": np.ones(3) for n in "abc"}
    arrays |= {f"{n}_z_mm": np.arange(8.0) for n in "ab"}
    path = rad(tmp_path, name="many.npz", **arrays)
    with pytest.raises(ChoiceNeededError, match="holds 3 volumes") as caught:
        io.read_volume(path)
    assert [item.key for item in caught.value.items] == ["a_hu", "b_hu", "c_hu"]
    assert [bool(item.problem) for item in caught.value.items] == [False, False, True]
    assert caught.value.items == io.list_items(path)
    volume = io.read_volume(path, series="b_hu")
    assert volume.name == "many b_hu"
    np.testing.assert_array_equal(np.sort(volume.voxels, None), np.sort(CT + 1, None))
    with pytest.raises(ChoiceNeededError, match="no 'x'"):
        io.read_volume(path, series="x")
    assert io.picture_of(path, "c_hu").grey.shape == (7, 7)


# --- Numbers and archives ------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["i1", "u1", ">i2", "u2", "i4", ">f4", "f8", "f2", "i8", "?"])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_number_type_and_order(tmp_path, order, kind, compressed):
    values = np.asarray(CT[:, :5] % 100, order=order).astype(kind)
    values = np.asarray(values, order=order)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", v=values[None])
    volume = io.read_volume(tmp_path / "a.npz", **ASSUMED)
    np.testing.assert_array_equal(volume.voxels, values)
    assert volume.voxels.dtype.isnative
    assert volume.voxels.dtype.itemsize <= 4


def test_nan_in_an_array_is_marked(tmp_path):
    values = CT.astype(np.float32)
    values[1, 2, 3] = np.nan
    volume = io.read_volume(rad(tmp_path, values), **ASSUMED)
    assert volume.voxels[1, 2, 3] == -1024
    assert np.argwhere(volume.invalid).tolist() == [[1, 2, 3]]


def test_files_without_a_volume_are_refused_or_left_to_others(tmp_path):
    crops = rad(tmp_path, name="crops.npz", voxel=np.zeros((9, 4, 4, 4), "u1"), label=np.zeros(9))
    with pytest.raises(VolumeError, match=r"voxel 9 x 4 x 4 x 4, label 9"):
        io.read_volume(crops)
    assert not io.can_read(rad(tmp_path, name="table.npz", a=np.zeros((3, 3)), b=np.zeros(4)))
    assert io.can_read(rad(tmp_path, name="ct.npz"))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert not io.can_read(tmp_path / "other.zip")


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('code in the file was run')",)


def test_pickled_objects_are_never_unpickled(tmp_path):
    trap = np.empty((2, 2, 2), object)
    trap[:] = Trap()
    np.savez(tmp_path / "trap.npz", ct=trap)
    with pytest.raises(VolumeError, match="ct 2 x 2 x 2 of Python objects"):
        io.read_volume(tmp_path / "trap.npz")
    np.savez(tmp_path / "both.npz", ct=CT, more=trap)
    assert io.read_volume(tmp_path / "both.npz", **ASSUMED).voxels.shape == CT.shape


def member(header: str, content: bytes = b"", version=(1, 0)) -> bytes:
    text = header.encode()
    length = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + text + content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "header of its array ct makes no sense"),
        (b"not an array at all", "makes no sense"),
        (member("{'descr': '<i2', 'fortran_order': False, 'shape': (-8, 8, 8)}"), "no sense"),
        (member("{'descr': '<i2', 'fortran_order': False, 'shape': (8.0, 8, 8)}"), "no sense"),
        (member("{'descr': '<i2', 'fortran_order': False}"), "no sense"),
        (member("__import__('os').abort()"), "no sense"),
        (member("(" * 3000), "no sense"),
        (member("{'descr': '<i2'", version=(3, 0)), "no sense"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xffxx", "no sense"),
        (
            member("{'descr': '<i2', 'fortran_order': False, 'shape': (9999, 9999, 9999)}"),
            "announces",
        ),
        (
            member("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 2, 2)}", bytes(15)),
            "announces",
        ),
        (
            member("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 2, 2)}", bytes(17)),
            "announces",
        ),
        (
            member("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 2, 2)}", bytes(64)),
            "none of its arrays",
        ),
    ],
)
def test_headers_that_cannot_be_true_are_refused(tmp_path, content, reason):
    with zipfile.ZipFile(tmp_path / "odd.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ct.npy", content)
    with pytest.raises(VolumeError, match=reason) as caught:
        io.read_volume(tmp_path / "odd.npz")
    assert caught.value.subject.endswith("odd.npz")


def test_a_header_that_claims_to_be_huge_is_not_waited_for(tmp_path):
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as archive:
        archive.writestr("ct.npy", b"\x93NUMPY\x02\x00\x00\x00\x00\x10xx")
    tracemalloc.start()
    with pytest.raises(VolumeError, match="no sense"):
        io.read_volume(tmp_path / "odd.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20  # of the 256 MiB it announces


def test_an_archive_of_countless_arrays_is_refused_before_they_are_looked_at(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for k in range(10_001):
            archive.writestr(f"{k}.npy", b"")
    with pytest.raises(VolumeError, match="more than 10,000 arrays"):
        io.read_volume(tmp_path / "many.npz")


def test_two_arrays_of_one_name_are_refused(tmp_path):
    stream = bytes_io.BytesIO()
    np.save(stream, CT)
    with zipfile.ZipFile(tmp_path / "two.npz", "w") as archive:
        archive.writestr("ct.npy", stream.getvalue())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("ct.npy", stream.getvalue())
    with pytest.raises(VolumeError, match="have one name"):
        io.read_volume(tmp_path / "two.npz")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated_archives_are_refused(tmp_path, part):
    path = rad(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(VolumeError, match="incomplete or damaged"):
        io.read_volume(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("compressed", [False, True])
def test_a_flipped_bit_in_the_archive_changes_no_voxel_unnoticed(
    tmp_path_factory, compressed, data
):
    path = tmp_path_factory.getbasetemp() / "tst00001.npz"
    (np.savez_compressed if compressed else np.savez)(path, ct=CT)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        volume = io.read_volume(path)
    except VolumeError:
        return
    np.testing.assert_array_equal(volume.voxels, CT)


def test_a_volume_beyond_memory_is_refused_before_it_is_allocated(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "available_memory", lambda: 1000)
    with pytest.raises(VolumeError, match="GiB of memory"):
        io.read_volume(rad(tmp_path))


def test_reading_reports_bytes_and_stops_when_asked(tmp_path):
    seen = []
    path = rad(tmp_path)
    io.read_volume(path, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, CT.nbytes)
    assert seen[-1] == (CT.nbytes, CT.nbytes)
    with pytest.raises(Cancelled):
        io.read_volume(path, should_stop=lambda: True)
