"""DICOM series that are no sound CT volume are refused, with the file and a remedy."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dicom_factory import (
    TILTED,
    assert_is_patient,
    make_series,
    make_slice,
    refuses,
    save_all,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    JPEG2000Lossless,
    SegmentationStorage,
    generate_uid,
)

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import reading
from napari_hirescam.io.dicom import decode as dicom_decode


def test_a_missing_slice_is_refused_and_its_place_told(tmp_path):
    slices = make_series(8)
    del slices[3]
    refuses(save_all(slices, tmp_path), r"1 slice is missing.*between 44\.00 and 48\.00 mm")


def test_a_spacing_that_changes_midway_is_refused(tmp_path):
    uid = generate_uid()
    heights = [0, 2, 4, 6, 9, 12, 15]
    slices = [make_slice((0, 0, z), series_uid=uid, name=f"{z}.dcm") for z in heights]
    refuses(save_all(slices, tmp_path), "unevenly spaced, by 2.00 to 3.00 mm")


def test_slices_that_wander_sideways_are_refused(tmp_path):
    uid = generate_uid()
    slices = [
        make_slice((0.5 * (k % 2), 0, 2.0 * k), series_uid=uid, name=f"{k}.dcm") for k in range(6)
    ]
    refuses(save_all(slices, tmp_path), "off a straight stack")


def test_an_anonymiser_that_gave_each_slice_its_own_series_is_suspected(tmp_path):
    slices = make_series(6)
    for one in slices:
        one.dataset.SeriesInstanceUID = generate_uid()
    refuses(save_all(slices, tmp_path), "6 series of one or two slices each.*anonymiser")


def test_slices_that_all_lie_at_one_place_are_no_volume(tmp_path):
    slices = make_series(5, step=(0.0, 0.0, 0.0))
    for k, one in enumerate(slices):
        one.dataset.PixelData = bytes([k]) * 108
    refuses(save_all(slices, tmp_path), "all its 5 slices lie at the same place")
    for one in slices:
        one.dataset.InstanceNumber = 1
    refuses(save_all(slices, tmp_path / "unnumbered"), "all its 5 slices lie at the same place")


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_slices_are_no_volume(tmp_path, count):
    refuses(save_all(make_series(count), tmp_path), "which is not a volume")


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_slices_that_do_not_say_where_they_lie_are_refused(tmp_path, tag):
    slices = make_series(5, **{tag: None})
    refuses(save_all(slices, tmp_path), "where it lies in the patient", names=".dcm")


def test_one_slice_without_position_is_named(tmp_path):
    slices = make_series(5)
    del slices[2].dataset.ImagePositionPatient
    refuses(save_all(slices, tmp_path), "where it lies", names=slices[2].name)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"size": (5, 9)}, "5 x 9 pixels, the others are 6 x 9"),
        ({"spacing": (0.8, 0.7)}, "mm apart"),
        ({"orientation": TILTED}, "another direction"),
    ],
)
def test_one_slice_unlike_the_others_is_named(tmp_path, odd, reason):
    uid = generate_uid()
    slices = make_series(6, series_uid=uid)
    slices[5] = make_slice((-20, -30, 50), series_uid=uid, name="odd.dcm", **odd)
    refuses(save_all(slices, tmp_path), reason, names="odd.dcm")
    refuses(tmp_path / slices[2].name, reason, names="odd.dcm")


@pytest.mark.parametrize(
    ("modality", "reason"),
    [
        ("US", "it holds US and no CT images"),
        ("SR", "a structured report"),
        ("RTSTRUCT", "RT contours"),
        ("PR", "a presentation state"),
        ("DOC", "a document"),
    ],
)
def test_what_is_no_scan_is_refused_by_what_it_is(tmp_path, modality, reason):
    refuses(save_all(make_series(5, Modality=modality), tmp_path), reason, names="")


def test_a_file_that_is_no_scan_is_named_itself(tmp_path):
    slices = make_series(3, Modality="RTSTRUCT")
    save_all(slices, tmp_path)
    for one in slices:
        refuses(tmp_path / one.name, "RT contours", names=one.name)


def test_a_folder_of_localizers_is_refused(tmp_path):
    slices = make_series(4, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    refuses(save_all(slices, tmp_path), "only localizer")


def test_several_pictures_in_one_file_without_their_places_are_refused(tmp_path):
    slices = make_series(1, NumberOfFrames=3)
    refuses(save_all(slices, tmp_path), "holds 3 pictures and does not say where", names=".dcm")


def test_colour_pictures_are_refused(tmp_path):
    slices = make_series(3, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    refuses(save_all(slices, tmp_path), "colour picture", names=".dcm")


def test_a_truncated_file_is_named_whether_its_header_or_pixels_end(tmp_path):
    slices = make_series(5)
    save_all(slices, tmp_path)
    victim = tmp_path / slices[4].name
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-20])
    refuses(tmp_path, "pixels are incomplete: 88 of 108 bytes", names=victim.name)
    victim.write_bytes(whole[:500])
    refuses(tmp_path, "cannot be understood", names=victim.name)


# pydicom remarks on the damage itself, too.
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_damaged_file_elsewhere_is_mentioned(tmp_path):
    slices = make_series(5)
    save_all(slices, tmp_path / "ct")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 99)
    volume = io.read_volume(tmp_path)
    assert_is_patient(volume)
    assert "bad.dcm" in volume.source.notes[0]


@cache
def sound_series() -> dict[str, bytes]:
    """Names and contents of four files, the same for every example."""
    with TemporaryDirectory() as folder:
        save_all(make_series(4, series_uid="1.2.3"), Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# pydicom remarks on the damage itself, too.
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_a_volume_or_a_plain_refusal(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    files = sound_series()
    victim = data.draw(st.sampled_from(sorted(files)))
    for name, content in files.items():
        damaged = bytearray(content)
        if name == victim:
            for _ in range(data.draw(st.integers(1, 4))):
                position = data.draw(st.integers(128, 800))
                damaged[position % len(damaged)] = data.draw(st.integers(0, 255))
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(damaged)
    try:
        volume = io.read_volume(folder)
    except VolumeError as exc:
        subject = exc.subject
    else:
        subject = str(volume.source.path)
        assert volume.grid.is_axis_aligned
    assert subject.startswith(str(folder))


def test_numbers_that_become_hu_by_a_table_are_refused(tmp_path):
    table = Dataset()
    table.LUTDescriptor = [2, 0, 16]
    table.ModalityLUTType = "HU"
    table.LUTData = b"\0\0\1\0"
    slices = make_series(4, RescaleSlope=None, RescaleIntercept=None)
    for one in slices:
        one.dataset.ModalityLUTSequence = [table]
    refuses(save_all(slices, tmp_path), "by a table", names=".dcm")


@pytest.mark.parametrize("n_series", [1, 2])
def test_a_mask_is_not_opened_in_place_of_a_ct_that_cannot_be_read(tmp_path, n_series):
    for _ in range(n_series):
        save_all(make_series(2), tmp_path)
    mask = make_slice((0, 0, 0), series_uid="1.2.3", name="seg.dcm", Modality="SEG")
    mask.dataset.SOPClassUID = SegmentationStorage
    mask.save(tmp_path)
    refuses(tmp_path, "only 2 slices")


def test_slices_that_lie_in_a_damaged_place_are_refused(tmp_path):
    slices = make_series(5, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    refuses(save_all(slices, tmp_path), "perpendicular")


def test_an_unknown_encoding_is_refused_with_its_name(tmp_path):
    slices = make_series(4)
    for one in slices:
        one.dataset.PixelData = encapsulate([b"\0" * 10])
        one.dataset["PixelData"].is_undefined_length = True
        one.dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    refuses(save_all(slices, tmp_path), r"MPEG2 .* 1\.2\.840\.10008\.1\.2\.4\.100", names=".dcm")


def test_a_missing_decoder_is_named_by_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_decode, "_can_decode", lambda syntax: syntax != JPEG2000Lossless)
    slices = make_series(4)
    for one in slices:
        one.dataset.PixelData = encapsulate([b"\0" * 10])
        one.dataset["PixelData"].is_undefined_length = True
        one.dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    refuses(save_all(slices, tmp_path), "pip install .*pylibjpeg-openjpeg", names=".dcm")


def test_a_series_beyond_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "available_memory", lambda: 100)
    refuses(save_all(make_series(5), tmp_path), "GiB of memory")


@pytest.mark.parametrize("number", [b"\xb3 ", b"- ", b"--"])
def test_a_series_number_that_is_no_number_does_no_harm(tmp_path, number):
    folder = save_all(make_series(4), tmp_path / "series")
    for path in folder.iterdir():
        content = path.read_bytes()
        field = b"\x20\x00\x11\x00IS\x02\x00"
        assert field in content
        path.write_bytes(content.replace(field + b"3 ", field + number))
    assert io.read_volume(folder).voxels.shape[0] == 4


@pytest.mark.parametrize(
    ("filler", "reason"),
    [(bytes(8), "filled with zeros"), (b"\x08\0\x05\0CS\0\0", "has no end")],
    ids=["zeros", "empty elements"],
)
def test_a_header_that_never_ends_is_given_up(tmp_path, monkeypatch, filler, reason):
    # A copy that broke off and left room filled with zeros: minutes of empty elements.
    monkeypatch.setattr("napari_hirescam.io.dicom.by_pydicom._MOST_READS", 1000)
    folder = save_all(make_series(4), tmp_path / "ct")
    file = next(folder.iterdir())
    sound = file.read_bytes()
    file.write_bytes(sound[: sound.index(b"\x28\0\x02\0US")] + filler * 100_000)
    refuses(file, reason)
