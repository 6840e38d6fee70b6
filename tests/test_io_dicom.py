"""DICOM series: HU at known places in the patient, or a plain refusal; never a guess.

The made-up patient's HU are a linear function of place (`dicom_factory.hu_at`), so that a
volume can be checked voxel by voxel whatever way its slices were cut.
"""

from __future__ import annotations

import shutil
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from dicom_factory import SAGITTAL, hu_at, make_series, make_slice, save_all
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import dicom, reading
from napari_hirescam.io.frame import IPL_TO_LPS
from napari_hirescam.volume import Grid, Quantity, Volume

TILT = np.radians(15)
TILTED = (1.0, 0.0, 0.0, 0.0, float(np.cos(TILT)), float(-np.sin(TILT)))


def expected_hu(grid: Grid) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return hu_at(grid.to_world(index) @ IPL_TO_LPS[:3, :3].T)


def assert_is_patient(volume: Volume, within_hu: float = 1.01) -> None:
    assert volume.grid.is_axis_aligned
    assert np.abs(volume.voxels - expected_hu(volume.grid)).max() < within_hu


def refuses(path: Path, reason: str, *, names: str = "", **options) -> None:
    with pytest.raises(VolumeError, match=reason) as caught:
        io.read_volume(path, **options)
    assert (names or path.name) in caught.value.subject
    assert caught.value.remedy


# --- Series that are read ----------------------------------------------------------------------


def test_slices_are_ordered_by_place_not_by_name_or_number(tmp_path):
    slices = make_series(6)
    for k, one in enumerate(slices):
        one.dataset.InstanceNumber = 100 - k
    volume = io.read_volume(save_all(slices, tmp_path / "ct"))

    assert_is_patient(volume)
    assert volume.voxels.shape == (6, 6, 9)
    assert volume.voxels.dtype == np.int16
    assert volume.spacing_mm == pytest.approx((2.0, 0.8, 0.6))
    assert volume.quantity is Quantity.HU
    assert volume.name == "made up"
    assert volume.source.format == "DICOM"
    assert volume.source.notes == ()
    assert volume.source.details["slices"] == 6


def test_the_stored_grid_counts_columns_rows_and_slices(tmp_path):
    volume = io.read_volume(save_all(make_series(5), tmp_path))
    assert volume.source.grid.shape == (9, 6, 5)
    assert volume.source.orientation == "LPS"
    # Column 1, row 2, slice 3 of the files, in LPS mm.
    place = IPL_TO_LPS[:3, :3] @ volume.source.grid.to_world((1, 2, 3))
    np.testing.assert_allclose(place, (-20 + 0.6, -30 + 2 * 0.8, 40 + 3 * 2.0), atol=1e-6)


def test_instance_numbers_may_all_be_equal(tmp_path):
    assert_is_patient(io.read_volume(save_all(make_series(5, InstanceNumber=1), tmp_path)))


@pytest.mark.parametrize(
    ("options", "letters"),
    [
        ({"step": (0.0, 0.0, -2.0)}, "LPS"),
        ({"orientation": SAGITTAL, "step": (2.0, 0.0, 0.0)}, "PIR"),
        ({"orientation": (1.0, 0, 0, 0, 0, -1.0), "step": (0.0, 1.5, 0.0)}, "LIP"),
        ({"orientation": (-1.0, 0, 0, 0, -1.0, 0)}, "RAS"),
    ],
    ids=["listed downwards", "sagittal", "coronal", "prone"],
)
def test_any_cut_through_the_patient_ends_up_in_the_same_frame(tmp_path, options, letters):
    volume = io.read_volume(save_all(make_series(5, **options), tmp_path))
    assert_is_patient(volume)
    assert volume.source.orientation == letters


def test_each_slice_is_rescaled_by_its_own_tags(tmp_path):
    uid = generate_uid()
    slices = [
        make_slice(
            (0, 0, 40 + 2.0 * k), series_uid=uid, slope=1 + k, intercept=-1024 + 7 * k, name=f"{k}"
        )
        for k in range(4)
    ]
    volume = io.read_volume(save_all(slices, tmp_path))
    assert_is_patient(volume, within_hu=2.01)  # a slope of 4 stores HU in steps of 4
    assert volume.voxels.dtype == np.int16


def test_a_fractional_slope_gives_single_precision(tmp_path):
    volume = io.read_volume(save_all(make_series(5, slope=0.25), tmp_path))
    assert_is_patient(volume)
    assert volume.voxels.dtype == np.float32


@pytest.mark.parametrize("signed", [False, True])
def test_air_is_minus_1024_however_it_is_stored(tmp_path, signed):
    slices = make_series(4, signed=signed, intercept=0.0 if signed else -1024.0)
    for one in slices:
        pixels = np.frombuffer(one.dataset.PixelData, "<i2" if signed else "<u2").copy()
        pixels[0] = -1024 if signed else 0
        one.dataset.PixelData = pixels.tobytes()
    volume = io.read_volume(save_all(slices, tmp_path))
    assert (volume.voxels[:, 0, 0] == -1024).all()


def test_numbers_beyond_16_bits_widen_the_volume(tmp_path):
    slices = make_series(4, intercept=0.0)
    slices[2].dataset.PixelData = np.full(54, 60_000, np.uint16).tobytes()
    volume = io.read_volume(save_all(slices, tmp_path))
    assert volume.voxels.dtype == np.int32
    assert volume.voxels.max() == 60_000


def test_an_inverted_display_does_not_invert_hu(tmp_path):
    slices = make_series(5, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    assert_is_patient(io.read_volume(save_all(slices, tmp_path)))


def test_bits_above_those_declared_as_stored_are_ignored(tmp_path):
    slices = make_series(5, BitsStored=12, HighBit=11)
    for one in slices:
        pixels = np.frombuffer(one.dataset.PixelData, np.uint16) | 0xA000
        one.dataset.PixelData = pixels.tobytes()
    assert_is_patient(io.read_volume(save_all(slices, tmp_path)))


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_becomes_air_and_is_counted(tmp_path, padding):
    slices = make_series(4, signed=True)
    for one in slices:
        one.dataset.add_new(0x00280120, "SS" if padding < 0 else "US", padding)
        pixels = np.frombuffer(one.dataset.PixelData, "<i2").copy()
        pixels[:3] = -2000
        one.dataset.PixelData = pixels.tobytes()
    volume = io.read_volume(save_all(slices, tmp_path))
    assert (volume.voxels[:, 0, :3] == -1024).all()
    assert volume.voxels.min() == -1024
    assert volume.source.notes[0].startswith("12 padding voxels")


def test_a_range_of_padding_values_becomes_air(tmp_path):
    slices = make_series(4, signed=True)
    for one in slices:
        one.dataset.add_new(0x00280120, "SS", -2000)
        one.dataset.add_new(0x00280121, "SS", -1990)
        pixels = np.frombuffer(one.dataset.PixelData, "<i2").copy()
        pixels[:3] = -2000, -1995, -1990
        one.dataset.PixelData = pixels.tobytes()
    assert io.read_volume(save_all(slices, tmp_path)).voxels.min() == -1024


def test_a_tilted_gantry_is_straightened_and_the_stored_grid_kept(tmp_path):
    slices = make_series(12, orientation=TILTED, size=(20, 12))
    volume = io.read_volume(save_all(slices, tmp_path))

    inside = volume.voxels != -1024
    index = np.argwhere(inside)
    stored = volume.source.grid.to_index(volume.grid.to_world(index))
    # At the border the outermost voxel is repeated for half a voxel, which is not linear.
    deep = ((stored >= 0) & (stored <= np.array(volume.source.grid.shape) - 1)).all(axis=1)
    error = np.abs(volume.voxels - expected_hu(volume.grid))[inside][deep]
    assert deep.sum() > 1500
    assert error.max() < 1.01
    assert "15.0 degrees" in volume.source.notes[0]
    # The stored grid is sheared: slices tilt, the table moves straight.
    shear = volume.source.grid.affine[:3, 1] @ volume.source.grid.affine[:3, 2]
    assert abs(shear) > 0.1


def test_jitter_in_the_directions_is_no_obstacle(tmp_path):
    slices = make_series(5)
    for k, one in enumerate(slices):
        off = 1e-4 * (-1) ** k
        one.dataset.ImageOrientationPatient = [1, off, 0, -off, 1, 0]
    volume = io.read_volume(save_all(slices, tmp_path))
    assert_is_patient(volume)
    assert volume.source.notes == ()


def test_exact_duplicates_are_left_out_and_named(tmp_path):
    slices = make_series(5)
    save_all(slices, tmp_path)
    shutil.copy(tmp_path / slices[2].name, tmp_path / "zz_copy.dcm")
    volume = io.read_volume(tmp_path)
    assert_is_patient(volume)
    assert len(volume.voxels) == 5
    assert volume.source.notes == (
        "1 slice is there twice, with the same pixels; the copies were left out (zz_copy.dcm).",
    )


def test_a_localizer_inside_the_series_is_left_out_and_named(tmp_path):
    uid = generate_uid()
    slices = make_series(5, series_uid=uid)
    scout = make_slice(
        (-20, -30, 0),
        series_uid=uid,
        name="scout.dcm",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    volume = io.read_volume(save_all([*slices, scout], tmp_path))
    assert_is_patient(volume)
    assert volume.source.notes == ('Not read: series 3 "made up" (localizer, 1 file).',)


def test_other_files_in_the_folder_do_not_matter(tmp_path):
    save_all(make_series(5), tmp_path / "deep" / "down")
    (tmp_path / "deep" / "notes.txt").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    assert io.can_read(tmp_path)
    assert_is_patient(io.read_volume(tmp_path))


@pytest.mark.parametrize("syntax", [RLELossless, DeflatedExplicitVRLittleEndian, JPEGLSLossless])
def test_encoded_series_give_the_same_hu(tmp_path, syntax):
    if syntax == JPEGLSLossless:
        pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed")
    slices = make_series(4)
    for one in slices:
        if syntax.is_encapsulated:
            one.dataset.compress(syntax)
        else:
            one.dataset.file_meta.TransferSyntaxUID = syntax
    assert_is_patient(io.read_volume(save_all(slices, tmp_path)))


def test_old_files_without_preamble_are_read(tmp_path):
    for one in make_series(4):
        one.dataset.preamble = None
        one.dataset.file_meta.clear()
        one.dataset.save_as(tmp_path / one.name, implicit_vr=True, little_endian=True)
    assert io.can_read(tmp_path)
    assert_is_patient(io.read_volume(tmp_path))


def test_the_volume_is_written_back_where_it_came_from(tmp_path):
    ct = io.read_volume(save_all(make_series(5), tmp_path / "ct"))
    path = io.write_nifti(tmp_path / "ct.nii.gz", ct.voxels, ct.grid)
    again = io.read_volume(path)
    np.testing.assert_array_equal(again.voxels, ct.voxels)
    assert again.grid.same_place_as(ct.grid)


# --- Choosing a series ------------------------------------------------------------------------


@pytest.fixture
def two_series(tmp_path: Path) -> Path:
    short = make_series(4, series_uid="1.2.3.4", SeriesNumber=2, SeriesDescription="lung")
    long = make_series(7, series_uid="1.2.3.55", SeriesNumber=5, SeriesDescription="soft")
    save_all(short, tmp_path / "study")
    save_all(long, tmp_path / "study")
    return tmp_path / "study"


def test_the_series_with_the_most_slices_is_read_and_the_other_named(two_series):
    volume = io.read_volume(two_series)
    assert len(volume.voxels) == 7
    assert volume.source.notes == ('Not read: series 2 "lung" (CT, 4 files).',)


@pytest.mark.parametrize("wanted", ["1.2.3.4", "2"])
def test_a_series_can_be_asked_for_by_uid_or_number(two_series, wanted):
    volume = io.read_volume(two_series, series=wanted)
    assert_is_patient(volume)
    assert volume.name == "lung"
    assert io.read_volume(two_series, series="1.2.3.5").name == "soft"


@pytest.mark.parametrize(("wanted", "reason"), [("1.2.3", "more than one series"), ("9", "no ser")])
def test_an_unclear_wish_is_answered_with_what_there_is(two_series, wanted, reason):
    with pytest.raises(VolumeError, match=reason) as caught:
        io.read_volume(two_series, series=wanted)
    assert "lung" in caught.value.remedy
    assert "1.2.3.55" in caught.value.remedy


def test_one_file_stands_for_its_series_in_its_own_folder(two_series):
    save_all(make_series(20, origin=(0, 0, 200.0)), two_series / "deeper")
    one = next(path for path in two_series.iterdir() if path.name.startswith("2.3.4"[-4:]))
    volume = io.read_volume(one)
    assert volume.name == "lung"
    assert len(volume.voxels) == 4


def test_a_second_stack_under_the_same_uid_is_not_mixed_in(tmp_path):
    uid = generate_uid()
    axial = make_series(8, series_uid=uid)
    sagittal = make_series(5, series_uid=uid, orientation=SAGITTAL, step=(2.0, 0, 0))
    save_all(axial, tmp_path)
    save_all(sagittal, tmp_path / "reformat")
    volume = io.read_volume(tmp_path)
    assert_is_patient(volume)
    assert len(volume.voxels) == 8
    assert len(volume.source.notes) == 1


# --- Refusals -----------------------------------------------------------------------------------


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


def test_two_phases_at_one_place_are_refused(tmp_path):
    uid = generate_uid()
    first, second = make_series(5, series_uid=uid), make_series(5, series_uid=uid, intercept=-1000)
    for one in second:
        one.name = "phase2_" + one.name
    refuses(save_all([*first, *second], tmp_path), "same place as .* shows something else")


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


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_other_modalities_are_named(tmp_path, modality):
    refuses(save_all(make_series(5, Modality=modality), tmp_path), f"it holds {modality}")


def test_a_folder_of_localizers_is_refused(tmp_path):
    slices = make_series(4, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    refuses(save_all(slices, tmp_path), "only localizer")


def test_multi_frame_files_are_refused_for_now(tmp_path):
    slices = make_series(1, NumberOfFrames=3)
    refuses(save_all(slices, tmp_path), "multi-frame file, which is not supported", names=".dcm")


def test_colour_pictures_are_refused(tmp_path):
    slices = make_series(3, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    refuses(save_all(slices, tmp_path), "colour picture", names=".dcm")


def test_a_truncated_file_is_named_whether_its_header_or_pixels_end(tmp_path):
    slices = make_series(5)
    save_all(slices, tmp_path)
    victim = tmp_path / slices[4].name
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-20])
    refuses(tmp_path, "pixels cannot be decoded", names=victim.name)
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
    monkeypatch.setattr(dicom, "_can_decode", lambda syntax: syntax != JPEG2000Lossless)
    slices = make_series(4)
    for one in slices:
        one.dataset.PixelData = encapsulate([b"\0" * 10])
        one.dataset["PixelData"].is_undefined_length = True
        one.dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    refuses(save_all(slices, tmp_path), "Install pylibjpeg-openjpeg", names=".dcm")


def test_a_series_beyond_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "available_memory", lambda: 100)
    refuses(save_all(make_series(5), tmp_path), "GiB of memory")


# --- What the numbers are -----------------------------------------------------------------------


def test_a_series_without_rescale_is_not_called_hu(tmp_path):
    slices = make_series(5, intercept=0.0, RescaleSlope=None, RescaleIntercept=None)
    volume = io.read_volume(save_all(slices, tmp_path))
    assert volume.quantity is Quantity.UNKNOWN
    assert "no rescale slope" in volume.source.notes[0]


def test_one_slice_without_rescale_among_others_is_refused(tmp_path):
    slices = make_series(5)
    del slices[1].dataset.RescaleIntercept
    refuses(save_all(slices, tmp_path), "how its numbers become HU", names=slices[1].name)


@pytest.mark.parametrize(("kind", "quantity"), [("HU", Quantity.HU), ("US", Quantity.UNKNOWN)])
def test_the_declared_kind_of_numbers_is_believed(tmp_path, kind, quantity):
    volume = io.read_volume(save_all(make_series(5, RescaleType=kind), tmp_path))
    assert volume.quantity is quantity
    assert bool(volume.source.notes) == (quantity is Quantity.UNKNOWN)


# --- Progress ---------------------------------------------------------------------------------


def test_progress_counts_slices(tmp_path):
    seen = []
    io.read_volume(
        save_all(make_series(4), tmp_path), progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("after", [0, 3, 7])
def test_reading_stops_when_asked_while_scanning_or_decoding(tmp_path, after):
    asked = iter(range(100))
    with pytest.raises(Cancelled):
        io.read_volume(save_all(make_series(5), tmp_path), should_stop=lambda: next(asked) >= after)


# --- Real scans -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def unpacked(shared_dir, tmp_path_factory):
    """Unpack an archive of the shared data once, and give its folder."""
    folders: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("series")
            with tarfile.open(shared_dir / "data" / name) as archive:
                archive.extractall(folders[name], filter="data")
        return folders[name]

    return unpack


def test_a_whole_chest_ct_with_names_out_of_order(unpacked):
    volume = io.read_volume(unpacked("dlwpt_lung_ct/C3N-00247_LUNG3.0_B70f_99slices_dicom.tar.xz"))
    assert volume.voxels.shape == (99, 512, 512)
    assert volume.spacing_mm == pytest.approx((3.0, 0.564453125, 0.564453125))
    assert volume.quantity is Quantity.HU
    assert volume.voxels.min() == -1024
    assert volume.source.notes == ()
    # Lowest slice at S = -288 mm, so the last along I.
    assert volume.grid.to_world((98, 0, 0)) == pytest.approx((288, -287.2, -143.2), abs=0.1)
    # The order of slices is the anatomy's: neighbours resemble each other.
    slabs = volume.voxels[:, ::8, ::8].astype(float)
    assert np.abs(slabs[1:] - slabs[:-1]).mean() < 0.8 * np.abs(slabs[5:] - slabs[:-5]).mean()


def test_a_jpeg_2000_series_and_its_labels_in_another_orientation_coincide(shared_dir):
    ct = io.read_volume(shared_dir / "data/totalseg/dicom_j2k_20slices")
    labels = io.read_volume(shared_dir / "data/totalseg/dicom_j2k_20slices_totalseg_labels.nii.gz")
    assert (ct.source.orientation, labels.source.orientation) == ("LPS", "LAS")
    assert ct.voxels.shape == labels.voxels.shape
    assert (
        np.abs(
            ct.grid.to_index(labels.grid.corners_mm()) - ct.grid.to_index(ct.grid.corners_mm())
        ).max()
        < 0.05
    )
    means = {
        name: ct.voxels[np.isin(labels.voxels, codes)].mean()
        for name, codes in {"vertebrae": range(26, 51), "lungs": range(10, 15)}.items()
        if np.isin(labels.voxels, codes).any()
    }
    assert means
    assert means.get("vertebrae", 999) > 100
    assert means.get("lungs", -999) < -500


@pytest.mark.parametrize("patient", ["0001", "0002"])
def test_radiologists_nodule_outlines_lie_on_the_nodule(unpacked, shared_dir, patient):
    ct = io.read_volume(unpacked(f"lidc/LIDC-IDRI-{patient}_partial_dicom.tar.xz"))
    mask = io.read_volume(shared_dir / f"data/lidc/LIDC-IDRI-{patient}_nodule_readers.nii.gz")
    assert ct.grid.same_place_as(mask.grid, tolerance_mm=0.01)
    agreed = mask.voxels >= 2
    assert int(agreed.sum()) == {"0001": 5428, "0002": 932}[patient]
    grown = np.zeros_like(agreed)
    z, y, x = (slice(max(0, i.min() - 6), i.max() + 7) for i in np.nonzero(agreed))
    grown[z, y, x] = True
    around = ct.voxels[grown & (mask.voxels == 0)]
    # A nodule is denser than the lung that surrounds it.
    assert ct.voxels[agreed].mean() > around[around < -500].mean() + 100


def test_a_real_tilted_gantry_is_straightened(unpacked):
    volume = io.read_volume(unpacked("tricky/d2n_gantrytilting.tar.xz"))
    assert "resampled once" in volume.source.notes[0]
    assert volume.source.grid.shape[2] == 4


def test_a_real_oblique_series_is_straightened(shared_dir):
    volume = io.read_volume(shared_dir / "data/tricky/rtstruct/tests/oriented_data")
    assert "28.3 degrees" in " ".join(volume.source.notes)
    corner = volume.source.grid.to_world((0, 0, 0))
    assert IPL_TO_LPS[:3, :3] @ corner == pytest.approx((123, -432, 30))


def test_padding_of_a_real_series_becomes_air(shared_dir):
    volume = io.read_volume(shared_dir / "data/tricky/seg_dcmqi")
    assert volume.voxels.min() == -1024
    assert "padding" in volume.source.notes[0]
    assert "SEG" in volume.source.notes[1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tricky/d2n_notavolume.tar.xz", "same place as"),
        ("tricky/d2n_sliceincrement_001.tar.xz", "1 slice is missing"),
    ],
)
def test_real_series_that_are_no_stack_are_refused(unpacked, name, reason):
    with pytest.raises(VolumeError, match=reason):
        io.read_volume(unpacked(name))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("corrupt/fo_CT1_IVRLE_BigEndian_undefined_length.dcm", "cannot be understood"),
        ("corrupt/fo_CT_RGB_FreezePattern.dcm", "colour picture"),
        ("corrupt/fo_CT_localizer_surview.dcm", "only localizer"),
        ("corrupt/fo_GE_disc_tilt5.5.dcm", "one slice|cannot be understood"),
        ("enhanced/dcmqi_23x38x3_multiframe_ct.dcm", "multi-frame"),
        ("enhanced/dcmqi_23x38x3_label.seg.dcm", "SEG"),
        ("rtstruct/tests/mock_data/rt.dcm", "RTSTRUCT"),
        ("rtstruct/tests/one_slice_data", "only one slice"),
    ],
)
def test_real_files_that_are_no_ct_volume_are_refused(shared_dir, name, reason):
    with pytest.raises(VolumeError, match=reason):
        io.read_volume(shared_dir / "data/tricky" / name)
