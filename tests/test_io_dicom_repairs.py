"""DICOM series with a fault: refused with a question, and mended and marked if it is answered.

What was measured must lie where it was measured, with its own HU, and what was not must be
marked; the made-up patient is `dicom_factory.hu_at`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_factory import (
    TILTED,
    Slice,
    assert_is_patient,
    expected_hu,
    make_series,
    make_slice,
    refuses,
    save_all,
)
from pydicom.uid import JPEGLSLossless, generate_uid

from napari_hirescam import io
from napari_hirescam.io import ConsentNeededError, reading
from napari_hirescam.io.frame import IPL_TO_LPS
from napari_hirescam.source import Repair
from napari_hirescam.volume import Quantity, Volume


def asks_for(
    path: Path, *repairs: Repair, allow: tuple[str, ...] = (), reason: str | None = None
) -> None:
    """Reading asks for these repairs, and says in the remedy how to allow each."""
    with pytest.raises(ConsentNeededError, match=reason) as caught:
        io.read_volume(path, allow=allow)
    assert caught.value.repairs == repairs
    assert all(str(repair) in caught.value.remedy for repair in repairs)


def assert_measured_is_patient(volume: Volume, within_hu: float = 1.01) -> None:
    error = np.abs(volume.voxels - expected_hu(volume.grid))
    assert error[~volume.invalid].max() < within_hu


def stack_at(*heights: float, **options: object) -> list[Slice]:
    uid = generate_uid()
    return [
        make_slice((-20, -30, 40 + z), series_uid=uid, name=f"{k:03d}.dcm", **options)
        for k, z in enumerate(heights)
    ]


# --- Missing slices ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "told"),
    [((3,), "1 slice is missing"), ((3, 4), "2 slices are"), ((2, 6), "2 slices are missing")],
)
def test_missing_slices_are_inserted_blank_and_marked_when_allowed(tmp_path, lost, told):
    slices = [one for k, one in enumerate(make_series(9)) if k not in lost]
    save_all(slices, tmp_path)
    asks_for(tmp_path, Repair.INSERT_MISSING, reason=told)

    volume = io.read_volume(tmp_path, allow=["insert-missing"])
    assert volume.voxels.shape == (9, 6, 9)
    assert volume.voxels.dtype == np.int16
    assert_measured_is_patient(volume)
    blank = [8 - k for k in lost]  # the volume runs from head to foot
    assert (volume.voxels[blank] == -1024).all()
    assert volume.invalid[blank].all()
    assert volume.invalid.sum() == volume.invalid[blank].size
    (repaired,) = volume.source.repaired
    assert (repaired.repair, repaired.asked) == (Repair.INSERT_MISSING, True)
    assert told in repaired.what
    assert repaired.what in volume.source.notes


def test_inserted_slices_have_no_file(tmp_path):
    slices = make_series(5)
    lost = slices.pop(2)
    volume = io.read_volume(save_all(slices, tmp_path), allow=[Repair.INSERT_MISSING])
    frames = volume.source.frames
    assert [frame is None for frame in frames] == [False, False, True, False, False]
    assert frames[3].position_lps_mm == (-20, -30, 46)
    assert frames[3].path.name == slices[2].name != lost.name
    assert volume.source.grid.shape == (9, 6, 5)


def test_a_missing_slice_of_a_tilted_scan_leaves_the_others_in_place(tmp_path):
    slices = make_series(12, orientation=TILTED, size=(20, 12))
    del slices[5]
    volume = io.read_volume(save_all(slices, tmp_path), allow=["insert-missing"])
    assert [one.repair for one in volume.source.repaired] == [
        Repair.INSERT_MISSING,
        Repair.STRAIGHTEN,
    ]
    stored = volume.source.grid.to_index(volume.grid.to_world(np.argwhere(~volume.invalid)))
    deep = ((stored >= 0) & (stored <= np.array(volume.source.grid.shape) - 1)).all(axis=1)
    error = np.abs(volume.voxels - expected_hu(volume.grid))[~volume.invalid]
    assert error[deep].max() < 1.01


def test_a_series_of_which_most_is_missing_is_not_filled_up(tmp_path):
    save_all(stack_at(0, 2, 4, 106), tmp_path)
    refuses(tmp_path, "too unevenly")
    refuses(tmp_path, "too unevenly", allow=[Repair.EVEN_SPACING, Repair.INSERT_MISSING])


# --- Uneven spacing ---------------------------------------------------------------------------


def test_uneven_slices_are_interpolated_and_marked_when_allowed(tmp_path):
    save_all(stack_at(0, 2, 4, 6, 9, 12, 15), tmp_path)
    asks_for(tmp_path, Repair.EVEN_SPACING, reason="unevenly spaced, by 2.00 to 3.00 mm")

    volume = io.read_volume(tmp_path, allow=["even-spacing"])
    assert volume.spacing_mm == pytest.approx((2.0, 0.8, 0.6))
    assert volume.voxels.dtype == np.int16
    # From head to foot: 16 (beyond the last), 14, 12, 10, 8, 6, 4, 2, 0 mm.
    measured = [not slice_.any() for slice_ in volume.invalid]
    assert measured == [False, False, True, False, False, True, True, True, True]
    assert_measured_is_patient(volume, within_hu=0.51)
    # The patient's HU are linear along the stack, so what lies between is known as well.
    assert np.abs(volume.voxels - expected_hu(volume.grid))[1:].max() < 1.01
    (repaired,) = volume.source.repaired
    assert repaired.repair is Repair.EVEN_SPACING
    assert "4 of 9 slices are not measured" in repaired.what
    heights = [frame.position_lps_mm[2] - 40 for frame in volume.source.frames]
    assert heights == pytest.approx([0, 2, 4, 6, 9, 12, 15])


def test_interpolated_whole_numbers_are_rounded(tmp_path):
    slices = stack_at(0, 2, 4, 6, 9, 12)
    for k, one in enumerate(slices):
        one.dataset.PixelData = np.full(54, 1024 + (k == 4), np.uint16).tobytes()
    volume = io.read_volume(save_all(slices, tmp_path), allow=["even-spacing"])
    # At 8 mm, two thirds of the way from 0 HU at 6 mm to 1 HU at 9 mm.
    assert volume.voxels[::-1][4].max() == volume.voxels[::-1][4].min() == 1


def test_a_spacing_that_doubles_is_interpolated_or_taken_for_gaps(tmp_path):
    save_all(stack_at(0, 2, 4, 6, 10, 14, 18), tmp_path)
    asks_for(tmp_path, Repair.EVEN_SPACING, Repair.INSERT_MISSING, reason="spacing changes")
    for repair in (Repair.EVEN_SPACING, Repair.INSERT_MISSING):
        volume = io.read_volume(tmp_path, allow=[repair])
        assert [one.repair for one in volume.source.repaired] == [repair]
        assert volume.voxels.shape[0] == 10
        assert [bool(one.all()) for one in volume.invalid][::-1] == [
            False, False, False, False, True, False, True, False, True, False,
        ]  # fmt: skip
        assert_measured_is_patient(volume)
    assert volume.voxels[1].max() == -1024
    both = io.read_volume(tmp_path, allow=[Repair.EVEN_SPACING, Repair.INSERT_MISSING])
    assert both.source.repaired[0].repair is Repair.EVEN_SPACING


@pytest.mark.parametrize("jitter", [1e-4, 0.004, 0.009])
def test_a_little_jitter_needs_no_repair(tmp_path, jitter):
    heights = [2.0 * k + jitter * (-1) ** k / 2 for k in range(8)]
    volume = io.read_volume(save_all(stack_at(*heights), tmp_path))
    assert volume.source.repaired == ()
    assert volume.invalid is None
    assert_is_patient(volume)


def test_small_differences_that_add_up_are_no_jitter(tmp_path):
    heights = np.cumsum([1.0] * 40 + [1.0099] * 40)
    asks_for(save_all(stack_at(*heights), tmp_path), Repair.EVEN_SPACING)


def test_five_percent_of_jitter_is_uneven(tmp_path):
    heights = [2.0 * k + 0.05 * (-1) ** k for k in range(8)]
    save_all(stack_at(*heights), tmp_path)
    asks_for(tmp_path, Repair.EVEN_SPACING)
    volume = io.read_volume(tmp_path, allow=[Repair.EVEN_SPACING])
    inner = (volume.voxels - expected_hu(volume.grid))[1:-1]
    assert np.abs(inner).max() < 1.01


def test_evening_out_beyond_memory_is_refused(tmp_path, monkeypatch):
    save_all(stack_at(0, 2, 4, 6, 9, 12, 40), tmp_path)  # 21 slices, each voxel 3 bytes
    monkeypatch.setattr(reading, "available_memory", lambda: 21 * 54 * 3)
    assert len(io.read_volume(tmp_path, allow=["even-spacing"]).voxels) == 21
    monkeypatch.setattr(reading, "available_memory", lambda: 21 * 54 * 3 - 1)
    refuses(tmp_path, "GiB of memory", allow=["even-spacing"])


# --- Odd slices -------------------------------------------------------------------------------


def broken_off(one: Slice, folder: Path) -> None:
    path = one.save(folder)
    path.write_bytes(path.read_bytes()[:-20])


def broken_header(one: Slice, folder: Path) -> None:
    path = one.save(folder)
    path.write_bytes(path.read_bytes()[:500])


def broken_code(one: Slice, folder: Path) -> None:
    """Damage that shows only when the pixels are decoded."""
    one.dataset.compress(JPEGLSLossless)
    one.dataset.PixelData = one.dataset.PixelData[:24] + bytes(len(one.dataset.PixelData) - 24)
    one.save(folder)


def without(*keywords: str, **tags: object):
    def spoil(one: Slice, folder: Path) -> None:
        for keyword in keywords:
            delattr(one.dataset, keyword)
        one.dataset.update(dict(tags.items()))
        one.save(folder)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (broken_off, "incomplete"),
        (broken_header, "cannot be understood"),
        (broken_code, "cannot be decoded|compressed picture"),
        (without("RescaleSlope"), "how its numbers become HU"),
        (without("ImagePositionPatient"), "does not say where it lies"),
        (without(RescaleSlope=0), "rescale slope is 0"),
        (without(PixelSpacing=[0.8, 0.7]), "mm apart"),
        (without(ImageOrientationPatient=list(TILTED)), "another direction"),
        (without(HighBit=14), "two ways to read"),
    ],
)
def test_one_odd_slice_is_left_out_when_allowed_and_leaves_a_gap(tmp_path, spoil, reason):
    slices = make_series(7)
    for one in slices[:3] + slices[4:]:
        one.save(tmp_path)
    spoil(slices[3], tmp_path)
    asks_for(tmp_path, Repair.LEAVE_OUT_ODD, reason=reason)
    asks_for(tmp_path, Repair.INSERT_MISSING, allow=("leave-out-odd",), reason="1 slice is miss")

    volume = io.read_volume(tmp_path, allow=["leave-out-odd", "insert-missing"])
    assert volume.voxels.shape[0] == 7
    assert_measured_is_patient(volume)
    assert [bool(one.all()) for one in volume.invalid] == [k == 3 for k in range(7)]
    left_out, inserted = volume.source.repaired
    assert left_out.repair is Repair.LEAVE_OUT_ODD
    assert slices[3].name in left_out.what
    assert inserted.repair is Repair.INSERT_MISSING


def test_an_odd_slice_at_the_end_leaves_no_gap(tmp_path):
    slices = make_series(6)
    slices[5] = make_slice((-20, -30, 50), series_uid=slices[0].dataset.SeriesInstanceUID,
                           name="odd.dcm", size=(5, 9))  # fmt: skip
    volume = io.read_volume(save_all(slices, tmp_path), allow=["leave-out-odd"])
    assert_is_patient(volume)
    assert volume.voxels.shape[0] == 5
    assert "5 x 9 pixels, the others are 6 x 9" in volume.source.repaired[0].what


def test_many_undecodable_slices_are_no_odd_ones(tmp_path):
    slices = make_series(8)
    for k, one in enumerate(slices):
        (broken_code if k in {2, 4} else without())(one, tmp_path)
    refuses(tmp_path, "cannot be decoded|compressed picture", names=".dcm", allow=list(Repair))


def test_slices_that_wander_sideways_are_refused_whatever_is_allowed(tmp_path):
    uid = generate_uid()
    slices = [
        make_slice((3.0 * np.sin(k), 0, 2.0 * k), series_uid=uid, name=f"{k}.dcm") for k in range(9)
    ]
    refuses(save_all(slices, tmp_path), "off a straight stack", allow=list(Repair))


# --- Tilt and turn ----------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-20.0, 15.0])
def test_a_tilt_is_straightened_unasked_and_told_with_its_angle(tmp_path, degrees):
    angle = np.radians(degrees)
    tilted = (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(-np.sin(angle)))
    slices = make_series(12, orientation=tilted, size=(20, 12), GantryDetectorTilt=degrees)
    volume = io.read_volume(save_all(slices, tmp_path))
    (repaired,) = volume.source.repaired
    assert (repaired.repair, repaired.asked) == (Repair.STRAIGHTEN, False)
    assert f"tilted by {abs(degrees):.1f} degrees" in repaired.what
    # Outside the leaning stack nothing was measured.
    stored = volume.source.grid.to_index(
        volume.grid.to_world(np.argwhere(np.ones(volume.voxels.shape)))
    )
    outside = ((stored < -0.5) | (stored > np.array(volume.source.grid.shape) - 0.5)).any(axis=1)
    np.testing.assert_array_equal(volume.invalid.ravel()[outside], True)
    assert (volume.voxels.ravel()[outside] == -1024).all()
    deep = ((stored >= 0) & (stored <= np.array(volume.source.grid.shape) - 1)).all(axis=1)
    assert not volume.invalid.ravel()[deep].any()
    error = np.abs(volume.voxels - expected_hu(volume.grid)).ravel()[deep]
    assert error.max() < 1.01
    facts = {fact.name: fact for fact in volume.source.facts}
    assert facts["Tilt"].value == f"{abs(degrees):.1f} degrees"
    assert facts["Tilt"].remark


def test_a_tilted_detector_with_slices_along_its_normal_has_no_tilt(tmp_path):
    normal = np.cross(TILTED[:3], TILTED[3:])
    slices = make_series(12, orientation=TILTED, size=(20, 12), step=tuple(2.0 * normal))
    volume = io.read_volume(save_all(slices, tmp_path))
    facts = {fact.name: fact.value for fact in volume.source.facts}
    assert facts["Tilt"] == "0.0 degrees"
    assert facts["Angle to the patient's axes"] == "15.0 degrees"
    assert volume.source.repaired[0].repair is Repair.STRAIGHTEN


# --- No place ---------------------------------------------------------------------------------


def numbered(n: int = 5, **tags: object) -> list[Slice]:
    slices = make_series(n, origin=(0.0, 0.0, 0.0), **{"ImagePositionPatient": None, **tags})
    for k, one in enumerate(slices):
        one.dataset.InstanceNumber = 11 + k
    return slices


@pytest.mark.parametrize(
    "spacing", [{"SpacingBetweenSlices": 2.0, "SliceThickness": 3.0}, {"SliceThickness": 2.0}]
)
def test_slices_without_a_place_are_stacked_by_number_when_allowed(tmp_path, spacing):
    save_all(numbered(**spacing), tmp_path)
    asks_for(tmp_path, Repair.ASSUME_PLACE, reason="where it lies in the patient")
    volume = io.read_volume(tmp_path, allow=["assume-place"])
    # These slices were made from the origin upwards, so the assumption happens to be right.
    assert_is_patient(volume)
    assert IPL_TO_LPS[:3, :3] @ volume.source.grid.to_world((0, 0, 0)) == pytest.approx((0, 0, 0))
    (repaired,) = volume.source.repaired
    assert repaired.repair is Repair.ASSUME_PLACE
    assert "number 11 as the lowest, 2 mm apart" in repaired.what


def test_a_number_that_is_missing_is_a_gap(tmp_path):
    slices = numbered(SliceThickness=2.0)
    del slices[2]
    save_all(slices, tmp_path)
    asks_for(tmp_path, Repair.INSERT_MISSING, allow=("assume-place",))


def test_slices_without_directions_are_taken_for_axial_when_allowed(tmp_path):
    save_all(make_series(5, ImageOrientationPatient=None), tmp_path)
    asks_for(tmp_path, Repair.ASSUME_PLACE)
    volume = io.read_volume(tmp_path, allow=["assume-place"])
    assert_is_patient(volume)
    assert "taken for axial" in volume.source.repaired[0].what


@pytest.mark.parametrize(
    ("tags", "lacks"),
    [({}, "slice spacing"), ({"SliceThickness": 2.0, "InstanceNumber": 4}, "instance numbers")],
)
def test_without_place_and_order_nothing_can_be_assumed(tmp_path, tags, lacks):
    slices = numbered(**tags)
    for one in slices:
        one.dataset.InstanceNumber = tags.get("InstanceNumber", one.dataset.InstanceNumber)
    refuses(save_all(slices, tmp_path), lacks, names=".dcm", allow=list(Repair))


def test_without_the_size_of_its_pixels_a_series_is_no_volume(tmp_path):
    slices = make_series(5, PixelSpacing=None)
    refuses(save_all(slices, tmp_path), "pixel spacing", names=".dcm", allow=list(Repair))


# --- What the numbers are ---------------------------------------------------------------------


def test_a_slope_of_zero_throughout_is_refused(tmp_path):
    slices = make_series(5, RescaleSlope=0)
    refuses(save_all(slices, tmp_path), "slope is 0", names=".dcm", allow=list(Repair))


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_other_scans_are_read_but_not_called_hu(tmp_path, modality):
    volume = io.read_volume(save_all(make_series(5, Modality=modality), tmp_path))
    assert volume.quantity is Quantity.UNKNOWN
    assert volume.source.notes[0] == f"It is {modality}, not CT: its numbers are not HU."
    assert_is_patient(volume)


def test_numbers_that_cannot_be_hu_are_remarked_on(tmp_path):
    volume = io.read_volume(save_all(make_series(5, RescaleIntercept=0), tmp_path))
    assert volume.quantity is Quantity.HU
    assert "do not look like HU" in volume.source.notes[0]


# --- Positions written in tenths of a millimetre ---


def rounded(*places: int, step: float = 0.625) -> list[Slice]:
    """The patient every `step` mm, as a scanner tells it that writes tenths."""
    slices = stack_at(*(step * k for k in places))
    for k, one in zip(places, slices, strict=True):
        one.dataset.ImagePositionPatient = [-20, -30, f"{40 + step * k + 1e-9:.1f}"]
    return slices


@pytest.mark.parametrize("step", [0.625, 1.25, 0.75])
def test_rounding_does_not_make_slices_uneven(tmp_path, step):
    volume = io.read_volume(save_all(rounded(*range(12), step=step), tmp_path / "ct"))
    assert volume.invalid is None
    assert volume.source.repaired == ()
    assert volume.source.notes[0].startswith("The slices seem ")
    assert f"taken for {volume.spacing_mm[0]:.3f} mm" in volume.source.notes[0]
    assert volume.spacing_mm[0] == pytest.approx(step, abs=0.1 / 11)
    assert np.abs(volume.voxels - expected_hu(volume.grid)).max() < 0.1 * 11 + 0.6  # HU per mm
    spread = next(f for f in volume.source.facts if f.name.startswith("Spacing by position"))
    assert spread.remark == "the positions are rounded to 0.1 mm"


def test_a_slice_that_is_missing_among_rounded_ones_is_asked_for(tmp_path):
    path = save_all(rounded(0, 1, 2, 3, 4, 7, 8, 9, 10, 11), tmp_path / "ct")
    asks_for(path, Repair.INSERT_MISSING, reason="2 slices are missing")
    volume = io.read_volume(path, allow=["insert-missing"])
    assert volume.voxels.shape[0] == 12
    assert volume.invalid.any(axis=(1, 2)).nonzero()[0].size == 2


def test_a_spacing_that_changes_is_no_rounding(tmp_path):
    # From 0.6 to 0.7 mm for good: the slices drift away from any even step.
    heights = [0.6 * k for k in range(12)] + [0.6 * 11 + 0.7 * k for k in range(1, 13)]
    slices = stack_at(*heights)
    for height, one in zip(heights, slices, strict=True):
        one.dataset.ImagePositionPatient = [-20, -30, f"{40 + height:.1f}"]
    asks_for(save_all(slices, tmp_path / "ct"), Repair.EVEN_SPACING)
