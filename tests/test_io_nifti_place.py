"""Where a NIfTI file lies: said once, twice, or not at all."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nifti_factory import CT, RAS, patch, save, value_at

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import ChoiceNeededError, ConsentNeededError
from napari_hirescam.source import Repair


def fact(volume, name):
    return next(entry for entry in volume.source.facts if entry.name == name)


def shifted_qform(path, mm):
    """A file whose qform lies some mm to the right of its sform."""
    return patch(save(path, qform=1), 268, np.float32(RAS[0, 3] + mm).tobytes())


# --- Two forms -----------------------------------------------------------------------------


def test_two_forms_that_differ_are_settled_by_the_user_alone(tmp_path):
    path = shifted_qform(tmp_path / "ct.nii", 3)
    with pytest.raises(ConsentNeededError, match=r"sform and qform lie up to 3\.0 mm") as caught:
        io.read_volume(path)
    assert caught.value.repairs == (Repair.USE_SFORM, Repair.USE_QFORM)
    (item,) = io.list_items(path)
    assert item.needs == caught.value.repairs
    assert "3.0 mm" in item.problem


@pytest.mark.parametrize(("answer", "moved"), [("use-sform", 0), ("use-qform", 3)])
def test_the_form_the_user_chose_places_the_volume_and_is_remembered(tmp_path, answer, moved):
    volume = io.read_volume(shifted_qform(tmp_path / "ct.nii", 3), allow=[answer])
    assert value_at(volume, RAS[:3, 3] + [moved, 0, 0]) == CT[0, 0, 0]
    (repaired,) = volume.source.repaired
    assert (repaired.repair, repaired.asked) == (Repair(answer), True)
    assert repaired.what in volume.source.notes
    assert "3.0 mm" in repaired.what
    assert fact(volume, "sform and qform").value == "up to 3 mm apart"
    assert fact(volume, "sform and qform").remark


def test_agreeing_to_both_forms_is_no_answer(tmp_path):
    path = shifted_qform(tmp_path / "ct.nii", 3)
    with pytest.raises(ConsentNeededError):
        io.read_volume(path, allow=["use-sform", "use-qform"])


def test_forms_that_differ_by_rounding_alone_are_one(tmp_path):
    volume = io.read_volume(shifted_qform(tmp_path / "ct.nii", 0.09))
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]
    assert volume.source.repaired == ()
    assert volume.source.notes == ()


def test_a_difference_at_the_far_corner_counts(tmp_path):
    # A qform turned by two degrees about the first voxel, where both forms agree.
    cosine, sine = np.cos(np.deg2rad(2)), np.sin(np.deg2rad(2))
    turn = np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    image = nib.Nifti1Image(np.zeros((40, 40, 9), np.int16), RAS)
    image.set_qform(RAS @ turn, 1)
    path = tmp_path / "ct.nii"
    image.to_filename(path)
    with pytest.raises(ConsentNeededError, match=r"up to 1\.3 mm"):
        io.read_volume(path)


def test_a_broken_sform_beside_a_good_qform_asks_for_the_qform_alone(tmp_path):
    path = patch(save(tmp_path / "ct.nii", qform=1), 280, np.zeros(12, np.float32).tobytes())
    with pytest.raises(ConsentNeededError, match="sform is not finite and invertible") as caught:
        io.read_volume(path)
    assert caught.value.repairs == (Repair.USE_QFORM,)
    volume = io.read_volume(path, allow=["use-qform"])
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]


@pytest.mark.parametrize("sizes", [(0, 0, 0), (-0.7, 0.7, 2.5), (np.nan, 1, 1)])
def test_voxel_sizes_that_are_none_spoil_the_qform_only(tmp_path, sizes):
    path = save(tmp_path / "ct.nii", qform=1)
    patch(path, 80, np.array(sizes, np.float32).tobytes())
    volume = io.read_volume(path)
    assert value_at(volume, RAS[:3, 3]) == CT[0, 0, 0]
    assert "voxel sizes are not positive" in volume.source.notes[0]
    alone = patch(save(tmp_path / "q.nii", sform=0, qform=1), 80, np.array(sizes, "f4").tobytes())
    with pytest.raises(VolumeError, match="voxel sizes are not positive"):
        io.read_volume(alone)


@pytest.mark.parametrize(("qfac", "letters"), [(0, "RAS"), (1, "RAS"), (-1, "RAI")])
def test_the_handedness_in_pixdim_turns_the_slices_and_zero_means_one(tmp_path, qfac, letters):
    ras = np.diag([0.7, 0.7, 2.5, 1])
    path = save(tmp_path / "ct.nii", ras=ras, sform=0, qform=1)
    patch(path, 76, np.float32(qfac).tobytes())
    assert io.read_volume(path).source.orientation == letters


# --- No form -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "at", "number"),
    [(nib.Nifti1Image, 256, np.float32), (nib.Nifti2Image, 352, np.float64)],
)
def test_a_half_turn_may_be_rounded_to_single_precision(tmp_path, kind, at, number):
    # about an axis between back and head, as of a patient table that is tilted
    halves = np.deg2rad(np.linspace(1, 44, 12)).astype(np.float32)
    for c, d in zip(np.sin(halves), np.cos(halves), strict=True):
        file = save(tmp_path / "a.nii", kind=kind, sform=0, qform=1)
        volume = io.read_volume(patch(file, at, np.array([0, c, d], number).tobytes()))
        c, d = float(c), float(d)
        j = [0, c * c - d * d, 2 * c * d]  # where the second axis points, (R, A, S)
        ras = np.array([90.5, 120.25, -300]) + 3 * 0.7 * np.array(j)
        stored = volume.source.grid.to_world([0, 3, 0])
        np.testing.assert_allclose(stored, -ras[::-1], atol=1e-4)


def test_a_file_without_a_place_is_read_only_on_the_users_word_and_marked(tmp_path):
    path = save(tmp_path / "ct.nii", sform=0)
    with pytest.raises(ConsentNeededError, match="codes are both 0") as caught:
        io.read_volume(path)
    assert caught.value.repairs == (Repair.ASSUME_PLACE,)

    volume = io.read_volume(path, allow=["assume-place"])

    # The axes run to right, front and head from the origin, as the standard's first method.
    assert volume.source.orientation == "RAS"
    for index in [(0, 0, 0), (5, 6, 7), (1, 4, 2)]:
        assert value_at(volume, np.array(index) * [0.7, 0.7, 2.5]) == CT[index]
    (repaired,) = volume.source.repaired
    assert (repaired.repair, repaired.asked) == (Repair.ASSUME_PLACE, True)
    assert "Left and right may be exchanged" in volume.source.notes[0]
    assert volume.source.stored_geometry == {}
    assert fact(volume, "Place").value == "assumed"


@pytest.mark.parametrize("sizes", [(0, 0.7, 2.5), (0.7, -1, 2.5), (1, 1, np.inf)])
def test_without_a_place_and_voxel_sizes_there_is_nothing_to_assume(tmp_path, sizes):
    path = patch(save(tmp_path / "ct.nii", sform=0), 80, np.array(sizes, "f4").tobytes())
    with pytest.raises(VolumeError, match="nor how large its voxels are"):
        io.read_volume(path, allow=["assume-place"])


# --- Units ---------------------------------------------------------------------------------


def test_unknown_units_are_taken_for_millimetres_and_the_report_says_so(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.nii", xyzt_units=0))
    unit = fact(volume, "Unit of length")
    assert (unit.value, unit.remark) == ("not given, taken for mm", "")
    assert volume.source.notes == ()


def test_units_no_ct_can_have_are_remarked_on(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.nii", xyzt_units=1))  # 0.7 metres a voxel
    assert any("not plausible for a CT" in note for note in volume.source.notes)


def test_time_units_in_the_same_byte_do_not_matter(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.nii", xyzt_units=2 | 8))
    assert volume.spacing_mm == pytest.approx((2.5, 0.7, 0.7))
    assert volume.source.notes == ()


# --- The report, and what a writer needs ---------------------------------------------------


def test_the_report_tells_forms_spacing_units_numbers_and_file(tmp_path):
    path = save(
        tmp_path / "ct.nii.gz", qform=2, descrip=b"made by hand", intent_code=1001, xyzt_units=2
    )
    facts = {entry.name: entry.value for entry in io.read_volume(path).source.facts}
    assert facts["sform"] == "code 1 (scanner)"
    assert facts["qform"] == "code 2 (aligned)"
    assert facts["Voxel size in the header"] == "0.7 x 0.7 x 2.5"
    assert facts["Unit of length"] == "mm"
    assert facts["Type in the file"] == "int16"
    assert facts["Format"] == "NIfTI-1, single file, little-endian, gzip"
    assert facts["Intent"] == "estimate"


def test_the_free_text_is_told_only_with_what_identifies_the_patient(tmp_path):
    text = b"TE=2.1;Time=101530 Jane Doe"
    file = save(tmp_path / "ct.nii", descrip=text, db_name=b"4711", intent_name=b"Doe's map")
    volume = io.read_volume(file)
    source = volume.source
    told = f"{source.facts} {source.details} {source.notes} {source.as_provenance()} {volume.name}"
    for secret in ("Doe", "4711", "101530"):
        assert secret not in told
    identifying = {fact.name: fact.value for fact in io.identifying_facts(file)}
    assert identifying == {
        "Description": "TE=2.1;Time=101530 Jane Doe",
        "Name in a database": "4711",
        "Name of the intent": "Doe's map",
    }


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("big_endian", [False, True])
def test_the_fields_of_the_place_are_kept_for_a_writer_bit_for_bit(tmp_path, kind, big_endian):
    path = save(tmp_path / "ct.nii", kind=kind, qform=1)
    if big_endian:
        image = nib.load(path)
        image = kind(CT, None, image.header.as_byteswapped(">"))
        image.to_filename(path)
    header = nib.load(path).header
    kept = io.read_volume(path).source.stored_geometry
    assert kept["sizeof_hdr"] == (348 if kind is nib.Nifti1Image else 540)
    for name in kept:
        if name != "sizeof_hdr":
            value = np.asarray(header[name])
            native = value.astype(value.dtype.newbyteorder("="))
            assert np.asarray(kept[name]).tobytes() == native.tobytes()
    assert {"pixdim", "srow_x", "quatern_b", "qoffset_z", "sform_code", "xyzt_units"} <= set(kept)


def test_a_display_window_in_the_header_is_offered(tmp_path):
    volume = io.read_volume(save(tmp_path / "ct.nii", cal_min=-1000, cal_max=400))
    (window,) = volume.source.windows
    assert (window.centre, window.width) == (-300, 1400)
    assert io.read_volume(save(tmp_path / "no.nii")).source.windows == ()


def test_questions_are_volume_errors_too():
    assert issubclass(ConsentNeededError, VolumeError)
    assert issubclass(ChoiceNeededError, VolumeError)
