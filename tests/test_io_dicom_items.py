"""What is told about DICOM series: lists, pictures, facts; and nothing that names the patient."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import SAGITTAL, TILTED, assert_is_patient, make_series, make_slice, save_all
from pydicom.uid import generate_uid

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import ChoiceNeededError
from napari_hirescam.io.dicom import reader as dicom
from napari_hirescam.io.dicom import scan as dicom_scan
from napari_hirescam.source import DisplayWindow, Repair

WHOSE = {
    "PatientName": "Doe^Jane",
    "PatientID": "PID-4711",
    "PatientBirthDate": "19620503",
    "PatientSex": "F",
    "PatientAge": "064Y",
    "StudyDate": "20260131",
    "SeriesDate": "20260131",
    "AcquisitionDate": "20260131",
    "StudyTime": "081522",
    "AccessionNumber": "ACC-0815",
    "InstitutionName": "St. Nowhere",
    "ReferringPhysicianName": "Who^Doctor",
    "OperatorsName": "Nemo",
    "StationName": "CT-17",
}


def told(volume: object) -> dict[str, str]:
    return {fact.name: fact.value for fact in volume.source.facts}


def remarks(volume: object) -> dict[str, str]:
    return {fact.name: fact.remark for fact in volume.source.facts if fact.remark}


# --- Lists ------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A scout, two CT, one of them with a gap, an MR, a picture and a report."""
    folder = tmp_path / "study"
    save_all(make_series(1, SeriesNumber=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), folder)
    thin = make_series(7, SeriesNumber=2, SeriesDescription="lung", ConvolutionKernel="B70f")
    save_all(thin, folder / "a")
    gap = make_series(6, SeriesNumber=10, SeriesDescription="soft", SliceThickness=3)
    del gap[2]
    save_all(gap, folder / "b")
    save_all(make_series(5, SeriesNumber=4, Modality="MR", SeriesDescription="T1"), folder)
    save_all(make_series(1, SeriesNumber=5, SamplesPerPixel=3), folder)
    save_all(make_series(1, SeriesNumber=6, Modality="SR"), folder)
    return folder


def test_all_that_is_there_is_listed_by_number(study):
    items = {item.key: item for item in io.list_items(study)}
    assert list(items) == ["1", "2", "4", "5", "6", "10"]
    assert [item.kind for item in items.values()] == ["localizer", "CT", "MR", "CT", "SR", "CT"]
    assert items["2"].title == "lung"
    assert items["2"].n_slices == 7
    assert items["2"].size == (6, 9)
    assert items["2"].spacing_mm == pytest.approx((2.0, 0.8, 0.6))
    assert items["2"].kernel == "B70f"
    assert (items["2"].problem, items["2"].needs) == ("", ())
    assert items["10"].facts["thickness"] == "3 mm"
    assert items["10"].needs == (Repair.INSERT_MISSING,)
    assert "1 slice is missing" in items["10"].problem
    assert [key for key, item in items.items() if not item.is_readable] == ["1", "5", "6"]
    assert "localizer" in items["1"].problem
    assert "colour" in items["5"].problem
    assert "report" in items["6"].problem


def test_the_choice_offers_the_same_list(study):
    with pytest.raises(ChoiceNeededError) as caught:
        io.read_volume(study)
    assert caught.value.items == io.list_items(study)
    assert "holds 2 series" in caught.value.reason  # the CT; an MR is not meant beside them


def test_an_item_that_no_repair_can_help_asks_for_none(tmp_path):
    slices = make_series(3)
    one = slices[1].save(tmp_path)
    save_all(slices, tmp_path)
    one.write_bytes(one.read_bytes()[:-20])
    (item,) = io.list_items(tmp_path)
    assert item.needs == ()
    assert not item.is_readable
    assert "2 slices" in item.problem


def test_one_ct_goes_before_other_scans_and_reports(study):
    shutil.rmtree(study / "b")
    volume = io.read_volume(study)
    assert volume.name == "lung"
    assert sum(note.startswith("Not read: series") for note in volume.source.notes) == 4


def test_one_scan_that_is_no_ct_is_read_if_there_is_no_ct(study):
    shutil.rmtree(study / "a")
    shutil.rmtree(study / "b")
    assert io.read_volume(study).name == "T1"


def test_a_scan_with_a_gap_is_a_candidate_too(study):
    shutil.rmtree(study / "a")
    with pytest.raises(VolumeError, match="1 slice is missing"):
        io.read_volume(study)
    assert io.read_volume(study, allow=["insert-missing"]).name == "soft"


def test_series_that_share_a_number_or_have_none_still_have_keys(tmp_path):
    for k, number in enumerate([3, 3, None, None]):
        save_all(make_series(4, SeriesNumber=number, SeriesDescription=f"n{k}"), tmp_path)
    items = io.list_items(tmp_path)
    assert [item.key for item in items] == ["3-1", "3-2", "none-1", "none-2"]
    for item in items:
        assert io.read_volume(tmp_path, series=item.key).name == item.title
    with pytest.raises(ChoiceNeededError, match="holds 2 series"):
        io.read_volume(tmp_path, series="3")


def test_a_series_split_over_folders_is_one(tmp_path):
    slices = make_series(6)
    save_all(slices[:3], tmp_path / "a")
    save_all(slices[3:], tmp_path / "b" / "c")
    assert_is_patient(io.read_volume(tmp_path))
    assert len(io.list_items(tmp_path)) == 1


# --- Pictures ---------------------------------------------------------------------------------


def test_the_picture_is_of_the_middle_slice_alone(tmp_path, monkeypatch):
    slices = make_series(5)
    pixels = np.full((6, 9), 24, np.uint16)
    pixels[0, 0] = 1424
    slices[2].dataset.PixelData = pixels.tobytes()
    save_all(slices, tmp_path)
    for k in (0, 1, 3, 4):
        path = tmp_path / slices[k].name
        path.write_bytes(path.read_bytes()[:-50])  # not even whole
    picture = io.picture_of(tmp_path, "3")
    assert picture.grey.shape == (6, 9)
    assert picture.pixel_mm == (0.8, 0.6)
    assert picture.grey[0, 0] == 255  # 400 HU
    assert (picture.grey.ravel()[1:] == 0).all()  # -1000 HU


def test_a_sagittal_picture_stands_head_up(tmp_path):
    slices = make_series(3, orientation=SAGITTAL, step=(2.0, 0, 0), origin=(0, 0, 60.0))
    save_all(slices, tmp_path)
    grey = io.picture_of(tmp_path, "3").grey.astype(int)
    # The patient's HU grow towards the head and towards the back.
    assert grey[0, 0] > grey[-1, 0]
    assert grey[0, -1] > grey[0, 0]


def test_a_key_that_is_not_there_has_no_picture(tmp_path):
    save_all(make_series(3), tmp_path)
    with pytest.raises(VolumeError, match="no item '9'"):
        io.picture_of(tmp_path, "9")


def test_what_is_no_picture_is_said(tmp_path):
    save_all(make_series(1, Modality="SR", Rows=None, Columns=None), tmp_path)
    with pytest.raises(VolumeError, match="structured report"):
        io.picture_of(tmp_path, "3")


# --- The last scan is remembered ---------------------------------------------------------------


@pytest.fixture
def scans(monkeypatch) -> list[Path]:
    """Count how often headers are read."""
    counted: list[Path] = []
    find = dicom_scan.find_slices

    def count(path: Path, reading: object) -> object:
        counted.append(path)
        return find(path, reading)

    monkeypatch.setattr(dicom_scan, "find_slices", count)
    return counted


def make_old(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 100,) * 2)


def test_a_folder_is_scanned_once_for_list_pictures_and_reading(study, scans):
    make_old(study)
    for item in io.list_items(study):
        if item.is_readable:
            io.picture_of(study, item.key)
    io.read_volume(study, series="2")
    assert len(scans) == 1


@pytest.mark.parametrize("change", ["touch", "add", "remove"])
def test_a_folder_that_changes_is_scanned_again(study, scans, change):
    make_old(study)
    assert len(io.list_items(study)) == 6
    victim = next((study / "a").iterdir())
    if change == "touch":
        os.utime(victim, (time.time() - 50,) * 2)
    elif change == "add":
        shutil.copy2(victim, study / "a" / "again.dcm")
    else:
        victim.unlink()
    io.list_items(study)
    assert len(scans) == 2


def test_files_that_changed_just_now_are_not_relied_on(study, scans):
    io.list_items(study)
    io.list_items(study)
    assert len(scans) == 2


def test_listing_stops_when_asked(study):
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        io.list_items(study, should_stop=lambda: next(asked) >= 5)


# --- Facts ------------------------------------------------------------------------------------


def test_the_facts_of_a_sound_series_hold_no_remark(tmp_path):
    slices = make_series(
        5, SliceThickness=2, SpacingBetweenSlices=2, ConvolutionKernel="B30f", KVP=120,
        PatientPosition="FFS", Manufacturer="ACME", RescaleType="HU", FrameOfReferenceUID="1.2.3",
        WindowCenter=[-600, 40], WindowWidth=[1500, 400],
        WindowCenterWidthExplanation=["LUNG", "SOFT"],
    )  # fmt: skip
    volume = io.read_volume(save_all(slices, tmp_path))
    facts = told(volume)
    assert remarks(volume) == {}
    assert facts["Stored axes grow to"] == "left, posterior, superior (LPS)"
    assert facts["Count"] == "5"
    assert facts["Spacing by position, least / median / greatest"] == "2 / 2 / 2 mm"
    assert facts["Thickness, as stated"] == "2 mm"
    assert facts["Tilt"] == "0.0 degrees"
    assert facts["Rescale slope, intercept"] == "1, -1024"
    assert facts["Rescale type"] == "HU"
    assert facts["Stored as"] == "16 of 16 bits, unsigned"
    assert facts["Kernel"] == "B30f"
    assert facts["Tube voltage"] == "120 kV"
    assert facts["Patient lies"] == "feet first, on the back"
    assert volume.source.windows == (
        DisplayWindow("LUNG", -600, 1500),
        DisplayWindow("SOFT", 40, 400),
    )
    details = volume.source.details
    assert details["frame_of_reference_uid"] == "1.2.3"
    assert details["series_uid"] == slices[0].dataset.SeriesInstanceUID
    uids = {one.dataset.SOPInstanceUID for one in slices} | {details["series_uid"]}
    assert not any(uid in fact.value for fact in volume.source.facts for uid in uids)


@pytest.mark.parametrize(
    ("tags", "name", "remark"),
    [
        ({"SpacingBetweenSlices": 5}, "Spacing between slices, as stated", "contradicts"),
        ({"LossyImageCompression": "01"}, "Compression", "not quite as measured"),
        ({"Modality": "MR"}, "Modality", "not CT"),
    ],
)
def test_what_is_noteworthy_is_remarked_on(tmp_path, tags, name, remark):
    volume = io.read_volume(save_all(make_series(5, **tags), tmp_path))
    assert remark in remarks(volume)[name]
    assert_is_patient(volume)  # positions are believed, numbers are left alone


@pytest.mark.parametrize(
    ("tags", "name", "value"),
    [
        ({"SliceThickness": 5}, "Thickness, as stated", "5 mm; the slices overlap by 3 mm"),
        ({"SliceThickness": 1}, "Thickness, as stated", "1 mm; 1 mm between the slices were not"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "Display, as stated", "inverted"),
    ],
)
def test_what_is_usual_is_told_without_a_remark(tmp_path, tags, name, value):
    volume = io.read_volume(save_all(make_series(5, **tags), tmp_path))
    assert value in told(volume)[name]
    assert remarks(volume) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"orientation": SAGITTAL, "step": (2.0, 0.0, 0.0)},
        {"orientation": TILTED, "step": (0.0, 2 * TILTED[4] * 0.2588, 2 * TILTED[4])},
    ],
)
def test_a_slice_location_along_any_axis_is_no_contradiction(tmp_path, options):
    slices = make_series(5, **options)
    for one in slices:
        one.dataset.SliceLocation = float(one.dataset.ImagePositionPatient[2])
    volume = io.read_volume(save_all(slices, tmp_path))
    assert "Slice location, as stated" not in remarks(volume)


def test_slice_locations_that_contradict_the_positions_are_remarked_on(tmp_path):
    slices = make_series(5)
    for k, one in enumerate(slices):
        one.dataset.SliceLocation = 5 * k
    volume = io.read_volume(save_all(slices, tmp_path))
    assert "contradicts" in remarks(volume)["Slice location, as stated"]
    assert_is_patient(volume)


def test_a_rescale_that_differs_from_slice_to_slice_is_told_as_a_range(tmp_path):
    uid = generate_uid()
    slices = [
        make_slice((0, 0, 2.0 * k), series_uid=uid, slope=1 + k, intercept=-1024 - k, name=f"{k}")
        for k in range(3)
    ]
    volume = io.read_volume(save_all(slices, tmp_path))
    assert told(volume)["Rescale slope, intercept"] == "1 to 3, -1026 to -1024"
    assert remarks(volume)["Rescale slope, intercept"] == "differs from slice to slice"


def test_frames_name_the_files_in_the_order_of_the_stored_grid(tmp_path):
    slices = make_series(5)
    volume = io.read_volume(save_all(slices, tmp_path))
    frames = volume.source.frames
    assert [frame.path.name for frame in frames] == [one.name for one in slices]
    assert [frame.sop_instance_uid for frame in frames] == [
        one.dataset.SOPInstanceUID for one in slices
    ]
    assert [frame.position_lps_mm[2] for frame in frames] == [40, 42, 44, 46, 48]
    assert {frame.number for frame in frames} == {None}


# --- Whose it is ------------------------------------------------------------------------------


def test_nothing_tells_whose_scan_it_is(tmp_path):
    folder = tmp_path / "1.2.840.113619.2.55.3.604688119"
    save_all(make_series(5, SeriesDescription=None, **WHOSE), folder)
    save_all(make_series(4, SeriesNumber=9, SeriesDescription=None, **WHOSE), folder)
    with pytest.raises(ChoiceNeededError) as caught:
        io.read_volume(folder)
    volume = io.read_volume(folder, series="3")
    source = volume.source
    said = [
        volume.name, caught.value.reason, caught.value.remedy, *map(repr, caught.value.items),
        *source.notes, *map(repr, source.facts), *map(repr, source.details.values()),
        *map(repr, source.repaired), *map(repr, source.windows), source.item,
    ]  # fmt: skip
    for value in WHOSE.values():
        if len(value) > 1:
            assert not [text for text in said if value in text], value


@pytest.mark.parametrize(
    ("folder", "tags", "name"),
    [
        ("x", {"SeriesDescription": "Thorax 1.0"}, "Thorax 1.0"),
        ("x", {"SeriesDescription": None}, "CT series 3"),
        ("x", {"SeriesDescription": "Jane Doe thorax", "PatientName": "Doe^Jane"}, "CT series 3"),
        ("x", {"SeriesDescription": "pid4711 lung", "PatientID": "PID-4711"}, "CT series 3"),
        ("x", {"SeriesDescription": "Lung", "PatientName": "Lu^Ng"}, "CT series 3"),
        ("x", {"SeriesDescription": "Lung CT", "PatientName": "CT^Lu"}, "Lung CT"),
        ("x", {"SeriesDescription": "Chest", "InstitutionName": "Chest Clinic"}, "Chest"),
        (
            "x",
            {"SeriesDescription": "Chest clinic 1", "InstitutionName": "Chest Clinic"},
            "CT series 3",
        ),
        (
            "Doe_Jane",
            {"SeriesDescription": None, "SeriesNumber": None, "PatientName": "Doe^Jane"},
            "CT",
        ),
        ("case07", {"SeriesDescription": None, "SeriesNumber": None}, "case07"),
        ("1.2.840.113619.2.55", {"SeriesDescription": None, "SeriesNumber": None}, "CT"),
        ("9f8b1c2d3e4f5a6b7c8d", {"SeriesDescription": None, "SeriesNumber": None}, "CT"),
    ],
)
def test_a_volume_is_named_by_its_series_and_never_by_a_uid(tmp_path, folder, tags, name):
    save_all(make_series(3, **tags), tmp_path / folder)
    assert io.read_volume(tmp_path / folder).name == name


def test_whose_scan_it_is_is_told_only_when_asked(tmp_path):
    save_all(make_series(3, **WHOSE), tmp_path)
    told_now = {fact.name: fact.value for fact in dicom.identifying_facts(tmp_path)}
    assert told_now["Patient's name"] == "Doe^Jane"
    assert told_now["Patient ID"] == "PID-4711"
    assert told_now["Birth date"] == "19620503"
    assert told_now["Study date"] == "20260131"
    assert told_now["Institution"] == "St. Nowhere"
    assert io.identifying_facts(tmp_path) == dicom.identifying_facts(tmp_path)


def test_of_two_patients_in_a_folder_both_are_told(tmp_path):
    save_all(make_series(3, SeriesNumber=1, PatientName="Doe^Jane"), tmp_path)
    other = make_series(3, SeriesNumber=2, PatientName="Roe^Rick")
    save_all(other, tmp_path)
    told_now = {fact.name: fact.value for fact in io.identifying_facts(tmp_path)}
    assert told_now["Patient's name"] == "Doe^Jane; Roe^Rick"
    (fact,) = io.identifying_facts(tmp_path / other[0].name)
    assert fact.value == "Roe^Rick"
