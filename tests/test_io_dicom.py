"""DICOM series: HU at known places in the patient, or a plain refusal; never a guess.

The made-up patient's HU are a linear function of place (`dicom_factory.hu_at`), so that a
volume can be checked voxel by voxel whatever way its slices were cut.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import (
    SAGITTAL,
    TILTED,
    assert_is_patient,
    expected_hu,
    make_series,
    make_slice,
    refuses,
    save_all,
)
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from napari_hirescam import io
from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import ChoiceNeededError
from napari_hirescam.io.frame import IPL_TO_LPS
from napari_hirescam.volume import Quantity

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
    slices = make_series(4, intercept=-1000.0)
    slices[2].dataset.PixelData = np.full(54, 61_000, np.uint16).tobytes()
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


def test_a_scout_that_does_not_call_itself_one_is_left_out_and_named(tmp_path):
    slices = make_series(5)
    scout = make_slice(
        (-20, -30, 60),
        series_uid=slices[0].dataset.SeriesInstanceUID,
        orientation=SAGITTAL,
        size=(20, 15),
        name="scout.dcm",
    )
    volume = io.read_volume(save_all([*slices, scout], tmp_path))
    assert_is_patient(volume)
    assert volume.source.notes == ('Not read: series 3 "made up", sagittal, 20 x 15 (CT, 1 file).',)


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
    path = io.write_volume(tmp_path / "ct.nii.gz", ct.voxels, ct.grid)
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


def test_nobody_guesses_which_of_two_series_is_meant(two_series):
    with pytest.raises(ChoiceNeededError, match="holds 2 series") as caught:
        io.read_volume(two_series)
    assert [(item.key, item.title) for item in caught.value.items] == [("2", "lung"), ("5", "soft")]
    chosen = io.read_volume(two_series, series=caught.value.items[0].key)
    assert_is_patient(chosen)
    assert len(chosen.voxels) == 4
    assert chosen.source.item == "2"
    assert chosen.source.notes == ('Not read: series 5 "soft" (CT, 7 files).',)


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
    assert '2: series 2 "lung"' in caught.value.remedy
    assert '5: series 5 "soft"' in caught.value.remedy


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
    with pytest.raises(ChoiceNeededError, match="2 stacks of slices in one series") as caught:
        io.read_volume(tmp_path)
    shapes = {}
    for item in caught.value.items:
        volume = io.read_volume(tmp_path, series=item.key)
        assert_is_patient(volume)
        assert len(volume.source.notes) == 1
        shapes[item.title] = volume.source.grid.shape
    assert shapes == {
        "made up, axial, 6 x 9": (9, 6, 8),
        "made up, sagittal, 6 x 9": (9, 6, 5),
    }


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


def test_a_ct_that_does_not_say_so_is_known_by_its_class(tmp_path):
    volume = io.read_volume(save_all(make_series(5, Modality=None), tmp_path))
    assert volume.quantity is Quantity.HU
    assert_is_patient(volume)


# --- Progress ---------------------------------------------------------------------------------


def test_progress_grows_through_headers_and_pixels_to_the_end(tmp_path):
    seen = []
    io.read_volume(
        save_all(make_series(4), tmp_path), progress=lambda done, total: seen.append(done / total)
    )
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == 1
    assert len([share for share in seen if share > 0.4]) >= 4


@pytest.mark.parametrize("after", [0, 3, 7])
def test_reading_stops_when_asked_while_scanning_or_decoding(tmp_path, after):
    asked = iter(range(100))
    with pytest.raises(Cancelled):
        io.read_volume(save_all(make_series(5), tmp_path), should_stop=lambda: next(asked) >= after)
