"""NRRD in: every voxel in its place with its value, whichever way the file is written."""

from __future__ import annotations

import nrrd
import numpy as np
import pytest
from nrrd_factory import (
    CT,
    ORIGIN,
    RNG,
    STEPS,
    bytes_of,
    each_place,
    save,
    text_of,
    value_at,
    vectors,
)

from napari_hirescam import io
from napari_hirescam.errors import Cancelled
from napari_hirescam.io.asking import ChoiceNeededError, ConsentNeededError
from napari_hirescam.source import Repair
from napari_hirescam.volume import Quantity

SOME = [(0, 0, 0), (5, 6, 7), (1, 4, 2)]


# --- Values and places ---------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "hex", "ascii"])
@pytest.mark.parametrize("kind", ["<i2", ">i2", "<i4", "<f4"])
def test_each_voxel_is_found_at_its_place_in_the_patient(tmp_path, encoding, kind):
    voxels = CT.astype(kind)
    volume = io.read_volume(save(tmp_path / "ct.nrrd", voxels, encoding))

    assert volume.voxels.dtype == np.dtype(kind).newbyteorder("=")
    assert volume.voxels.dtype.isnative
    assert volume.quantity is Quantity.HU
    assert (volume.name, volume.source.format) == ("ct", "NRRD")
    assert (volume.source.orientation, volume.source.notes) == ("LPS", ())
    assert volume.invalid is None
    for index in SOME:
        assert value_at(volume, each_place(index)) == CT[index]


def test_double_precision_becomes_single(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.nrrd", CT.astype(np.float64) + 0.25))
    assert volume.voxels.dtype == np.float32
    assert value_at(volume, ORIGIN) == CT[0, 0, 0] + 0.25


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LAS", (1, -1, 1)),
    ],
)
def test_the_space_is_understood_by_its_name(tmp_path, space, signs):
    volume = io.read_volume(save(tmp_path / "ct.nrrd", space=space))
    for index in SOME:
        assert value_at(volume, each_place(index) * signs) == CT[index]


def test_a_left_handed_grid_is_read_and_reported(tmp_path):
    steps = np.diag([0.7, -0.7, 2.5])
    volume = io.read_volume(save(tmp_path / "ct.nrrd", space_directions=vectors(steps)))
    for index in SOME:
        assert value_at(volume, each_place(index, steps)) == CT[index]
    assert volume.source.orientation == "LAS"
    assert ("Handedness", "left-handed") in {(f.name, f.value) for f in volume.source.facts}


def test_an_oblique_grid_is_straightened_and_what_lies_outside_is_marked(tmp_path):
    angle = np.radians(20)
    turn = np.array(
        [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    voxels = np.full((9, 9, 5), 40, np.int16)
    voxels[0, 0, 0] = -900
    steps = STEPS @ turn
    path = save(tmp_path / "ct.nrrd", voxels, space_directions=vectors(steps))
    volume = io.read_volume(path)

    assert "resampled once" in volume.source.notes[0]
    assert [done.repair for done in volume.source.repaired] == [Repair.STRAIGHTEN]
    middle = each_place((4, 4, 2), steps)
    assert value_at(volume, middle) == 40
    assert volume.invalid is not None
    assert not volume.invalid[
        tuple(np.rint(volume.grid.to_index((-middle[2], *middle[1::-1]))).astype(int))
    ]
    assert (volume.voxels[volume.invalid] == -1024).any()
    assert (volume.voxels[~volume.invalid] != -1024).all()
    # The stored grid stays what results are written on.
    assert volume.export_grid.shape == (9, 9, 5)
    np.testing.assert_allclose(volume.export_grid.spacing_mm, (0.7, 0.7, 2.5))


@pytest.mark.parametrize(
    ("unit", "per_mm"), [("um", 1000), ("microns", 1000), ("cm", 0.1), ("m", 0.001), ("mm", 1)]
)
def test_lengths_in_other_units_become_millimetres(tmp_path, unit, per_mm):
    path = save(
        tmp_path / "ct.nrrd",
        space_units=f'"{unit}" "{unit}" "{unit}"',
        space_directions=vectors(STEPS * per_mm),
        space_origin=vectors([ORIGIN * per_mm]),
    )
    volume = io.read_volume(path)
    np.testing.assert_allclose(volume.spacing_mm, (2.5, 0.7, 0.7))
    for index in SOME:
        assert value_at(volume, each_place(index)) == CT[index]
    assert bool(volume.source.notes) == (unit != "mm")
    assert len(volume.source.notes) <= 1


def test_an_unknown_unit_is_said(tmp_path):
    path = save(tmp_path / "ct.nrrd", space_units='"ell" "ell" "ell"')
    assert "'ell', is unknown" in io.read_volume(path).source.notes[0]


@pytest.mark.parametrize("centerings", ["cell cell cell", "node node node"])
def test_the_origin_is_the_centre_of_the_first_voxel_whatever_the_centering(tmp_path, centerings):
    volume = io.read_volume(save(tmp_path / "ct.nrrd", centerings=centerings))
    assert value_at(volume, ORIGIN) == CT[0, 0, 0]


def test_blanks_within_and_between_vectors_do_not_matter(tmp_path):
    path = save(
        tmp_path / "ct.nrrd",
        space_directions="( 0.7, 0, 0)(0 ,0.7,0)  (0,0,2.5 )",
        space_origin="(-90.5, -120.25, -300)",
    )
    assert value_at(io.read_volume(path), ORIGIN) == CT[0, 0, 0]


@pytest.mark.parametrize("spacings", ["0.7 0.7 2.5", "nan nan nan", "-0.7 0.7 2.5001"])
def test_spacings_beside_directions_do_no_harm_if_they_agree(tmp_path, spacings):
    volume = io.read_volume(save(tmp_path / "ct.nrrd", spacings=spacings))
    assert value_at(volume, each_place((5, 6, 7))) == CT[5, 6, 7]


def test_windows_line_ends_do_not_shift_the_voxels(tmp_path):
    path = tmp_path / "ct.nrrd"
    path.write_bytes(text_of(CT).replace(b"\n", b"\r\n") + bytes_of(CT))
    np.testing.assert_array_equal(io.read_volume(path).voxels[::-1], CT.T)


def test_voxels_without_a_number_become_air_and_are_marked(tmp_path):
    voxels = CT.astype(np.float32)
    voxels[0, 0, 0] = np.nan
    volume = io.read_volume(save(tmp_path / "ct.nrrd", voxels))
    assert value_at(volume, ORIGIN) == -1024
    assert volume.invalid.sum() == 1
    assert volume.invalid[-1, 0, 0]


def test_what_pynrrd_writes_is_read(tmp_path):
    path = tmp_path / "ct.nrrd"
    header = {
        "space": "left-posterior-superior",
        "space directions": STEPS,
        "space origin": ORIGIN,
    }
    nrrd.write(str(path), CT, header, compression_level=1)
    volume = io.read_volume(path)
    for index in SOME:
        assert value_at(volume, each_place(index)) == CT[index]


def test_the_geometry_is_kept_as_written_for_a_writer_to_repeat(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.nrrd", space_units='"mm" "mm" "mm"'))
    assert volume.source.stored_geometry == {
        "space": "left-posterior-superior",
        "space directions": vectors(STEPS),
        "space origin": vectors([ORIGIN]),
        "space units": '"mm" "mm" "mm"',
    }


# --- Where the voxels lie ------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_voxels_may_lie_in_a_file_beside_the_header(tmp_path, encoding):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ct.bin").write_bytes(bytes_of(CT, encoding))
    header = tmp_path / "ct.nhdr"
    header.write_bytes(text_of(CT, encoding, data_file="./sub/ct.bin").rstrip(b"\n"))
    volume = io.read_volume(header)
    assert volume.name == "ct"
    np.testing.assert_array_equal(volume.voxels[::-1], CT.T)


@pytest.mark.parametrize("subdim", ["", " 2", " 3"])
def test_voxels_may_lie_in_a_list_of_files(tmp_path, subdim):
    n_files = 4 if subdim == " 3" else 8
    parts = np.split(CT, n_files, axis=2)
    names = [f"part {k}.raw" for k in range(n_files)]
    for name, part in zip(names, parts, strict=True):
        (tmp_path / name).write_bytes(bytes_of(part))
    header = tmp_path / "ct.nhdr"
    text = text_of(CT).rstrip(b"\n") + f"\ndata file: LIST{subdim}\n".encode()
    header.write_bytes(text + "\n".join(names).encode())
    np.testing.assert_array_equal(io.read_volume(header).voxels[::-1], CT.T)


def test_voxels_may_lie_in_numbered_files(tmp_path):
    for k in range(8):
        (tmp_path / f"s{10 - k:03d}.gz").write_bytes(bytes_of(CT[:, :, k], "gzip"))
    header = tmp_path / "ct.nhdr"
    header.write_bytes(text_of(CT, "gzip", data_file="s%03d.gz 10 3 -1"))
    np.testing.assert_array_equal(io.read_volume(header).voxels[::-1], CT.T)


def test_lines_and_bytes_before_the_voxels_are_left_out(tmp_path):
    (tmp_path / "ct.raw").write_bytes(b"one\ntwo\nxyz" + bytes_of(CT))
    header = tmp_path / "ct.nhdr"
    header.write_bytes(text_of(CT, data_file="ct.raw", line_skip="2", byte_skip="3"))
    np.testing.assert_array_equal(io.read_volume(header).voxels[::-1], CT.T)


def test_bytes_are_left_out_of_the_unpacked_voxels(tmp_path):
    packed = bytes_of(np.frombuffer(b"skip" + CT.tobytes(order="F"), np.uint8), "gzip")
    path = save(tmp_path / "ct.nrrd", encoding="gzip", content=packed, byte_skip="4")
    np.testing.assert_array_equal(io.read_volume(path).voxels[::-1], CT.T)


def test_a_skip_of_minus_one_takes_the_voxels_from_the_end(tmp_path):
    path = save(tmp_path / "ct.nrrd", content=b"whatever" + bytes_of(CT), byte_skip="-1")
    np.testing.assert_array_equal(io.read_volume(path).voxels[::-1], CT.T)


# --- A place that is not told --------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"space": None, "space_dimension": "3"}, "names no space"),
        ({"space": "scanner-xyz"}, "'scanner-xyz'"),
        ({"space": "3D-right-handed"}, "'3d-right-handed'"),
        ({"space_origin": None}, "gives no origin"),
        ({"space_origin": "(nan,nan,nan)"}, "gives no origin"),
    ],
)
def test_a_place_that_is_not_told_is_assumed_on_the_users_word_only(tmp_path, changes, why):
    path = save(tmp_path / "ct.nrrd", **changes)
    with pytest.raises(ConsentNeededError, match=why) as question:
        io.read_volume(path)
    assert question.value.repairs == (Repair.ASSUME_PLACE,)
    (item,) = io.list_items(path)
    assert item.needs == (Repair.ASSUME_PLACE,)
    assert why in item.problem
    assert io.picture_of(path, item.key).grey.shape == (7, 6)

    volume = io.read_volume(path, allow=["assume-place"])
    (done,) = volume.source.repaired
    assert (done.repair, done.asked) == (Repair.ASSUME_PLACE, True)
    assert done.what in volume.source.notes
    assert volume.source.stored_geometry == {}
    origin = ORIGIN if "origin" not in why else np.zeros(3)
    assert value_at(volume, origin) == CT[0, 0, 0]
    np.testing.assert_allclose(volume.spacing_mm, (2.5, 0.7, 0.7))


def test_spacings_alone_tell_the_size_of_a_voxel_but_no_place(tmp_path):
    nowhere = {"space": None, "space_directions": None, "space_origin": None}
    path = save(tmp_path / "ct.nrrd", spacings="0.5 0.6 2", **nowhere)
    with pytest.raises(ConsentNeededError, match="no directions"):
        io.read_volume(path)
    volume = io.read_volume(path, allow=["assume-place"])
    np.testing.assert_allclose(volume.spacing_mm, (2, 0.6, 0.5))
    bare = save(tmp_path / "bare.nrrd", **nowhere)
    with pytest.raises(ConsentNeededError, match="no spacing, so 1 mm would be assumed"):
        io.read_volume(bare)


# --- Several volumes -----------------------------------------------------------------------

PHASES = RNG.integers(-1024, 1500, (6, 7, 8, 3)).astype(np.int16)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize(("axis", "kind"), [(0, "list"), (3, "time"), (3, "list"), (2, "???")])
def test_one_of_several_volumes_is_asked_for_and_read(tmp_path, encoding, axis, kind):
    voxels = np.moveaxis(PHASES, 3, axis)
    directions = vectors(STEPS).split()
    directions.insert(axis, "none")
    kinds = ["domain"] * 3
    kinds.insert(axis, kind)
    path = save(
        tmp_path / "ct.nrrd",
        voxels,
        encoding,
        space_directions=" ".join(directions),
        kinds=" ".join(kinds),
    )
    with pytest.raises(ChoiceNeededError, match="it holds 3 volumes") as question:
        io.read_volume(path)
    assert question.value.items == io.list_items(path)
    assert [item.key for item in question.value.items] == ["1", "2", "3"]
    assert question.value.items[1].title == "volume 2 of 3"
    assert question.value.items[1].spacing_mm == (2.5, 0.7, 0.7)
    assert (question.value.items[1].n_slices, question.value.items[1].size) == (8, (7, 6))
    for k in range(3):
        volume = io.read_volume(path, series=str(k + 1))
        assert volume.source.item == str(k + 1)
        np.testing.assert_array_equal(volume.voxels[::-1], PHASES[..., k].T)
        assert volume.source.stored_geometry["space directions"] == vectors(STEPS)
    with pytest.raises(ChoiceNeededError, match="none of them is called '4'"):
        io.read_volume(path, series="4")


def test_one_of_several_large_volumes_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_hirescam.io.stored_samples.STEP_BYTES", 100)
    for axis in (0, 1, 3):
        directions = vectors(STEPS).split()
        directions.insert(axis, "none")
        path = save(
            tmp_path / f"{axis}.nrrd",
            np.moveaxis(PHASES, 3, axis),
            "gzip",
            space_directions=" ".join(directions),
            kinds=None,
        )
        volume = io.read_volume(path, series="2")
        np.testing.assert_array_equal(volume.voxels[::-1], PHASES[..., 1].T)


def test_a_fourth_axis_of_length_one_is_no_obstacle(tmp_path):
    path = save(tmp_path / "ct.nrrd", CT[None], space_directions=f"none {vectors(STEPS)}")
    np.testing.assert_array_equal(io.read_volume(path).voxels[::-1], CT.T)


# --- What the numbers are ------------------------------------------------------------------


def test_a_mask_is_told_from_a_ct_by_its_numbers(tmp_path):
    mask = RNG.integers(0, 4, (6, 7, 8)).astype(np.uint8)
    assert io.read_volume(save(tmp_path / "m.nrrd", mask)).quantity is Quantity.LABELS
    picture = np.abs(CT) + np.int16(2000)
    assert io.read_volume(save(tmp_path / "p.nrrd", picture)).quantity is Quantity.UNKNOWN


def test_nothing_that_could_name_the_patient_is_repeated(tmp_path):
    secrets = {"PatientName": "Doe^Jane", "DICOM_0010_0020": "4711", "MITK.subject": "Doe"}
    path = save(tmp_path / "ct.nrrd", pairs=secrets, content=None, labels='"Doe" "Doe" "Doe"')
    told = repr(io.read_volume(path).source) + repr(io.list_items(path))
    for secret in ("Doe", "4711", "Jane"):
        assert secret not in told


# --- Progress and recognition --------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_progress_is_told_in_bytes_and_reading_stops_when_asked(tmp_path, encoding):
    path = save(tmp_path / "ct.nrrd", np.zeros((256, 256, 160), np.int16), encoding)
    seen = []
    io.read_volume(path, progress=lambda done, total: seen.append((done, total)))
    size = 256 * 256 * 160 * 2
    assert seen[0] == (0, size)
    assert seen[-1] == (size, size)
    assert len(seen) >= 4
    with pytest.raises(Cancelled):
        io.read_volume(path, should_stop=lambda: len(seen) > 0)


def test_files_are_recognised_by_content_not_by_name(tmp_path):
    assert io.can_read(save(tmp_path / "noname"))
    (tmp_path / "text.nrrd").write_text("nothing")
    assert not io.can_read(tmp_path / "text.nrrd")
