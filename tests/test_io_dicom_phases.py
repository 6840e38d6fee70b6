"""Stacks that share one DICOM series are told apart or refused, and never mixed.

Each phase shows the made-up patient with HU shifted by another amount, so that a single slice
of the wrong phase would show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_factory import Slice, expected_hu, make_series, make_slice, refuses, save_all
from pydicom.uid import generate_uid

from napari_hirescam import io
from napari_hirescam.io import ChoiceNeededError, Item

SHIFT = 300  # HU between phases; from slice to slice the patient changes by 22


def phases(count: int = 2, n: int = 5, **each: list[object]) -> list[list[Slice]]:
    """Phases in one series; `each` gives a tag's value for each phase, or None."""
    uid = generate_uid()
    made = []
    for p in range(count):
        tags = {keyword: values[p] for keyword, values in each.items()}
        made.append(make_series(n, series_uid=uid, shift_hu=SHIFT * p, InstanceNumber=1))
        for one in made[-1]:
            one.name = f"{(7 * p + len(one.name)) % 5}_{p}_{one.name}"
            for keyword, value in tags.items():
                setattr(one.dataset, keyword, value)
    return made


def save_phases(made: list[list[Slice]], folder: Path) -> Path:
    return save_all([one for phase in made for one in phase], folder)


def offered(path: Path) -> tuple[Item, ...]:
    with pytest.raises(ChoiceNeededError, match="in one series") as caught:
        io.read_volume(path)
    assert caught.value.items == io.list_items(path)
    return caught.value.items


def assert_phases(path: Path, count: int = 2, n: int = 5) -> list[str]:
    """Each item is one whole phase, in order. Returns their titles."""
    items = offered(path)
    assert len(items) == count
    for p, item in enumerate(items):
        volume = io.read_volume(path, series=item.key)
        assert volume.voxels.shape[0] == item.n_slices == n
        assert np.abs(volume.voxels - SHIFT * p - expected_hu(volume.grid)).max() < 1.01
        assert volume.name == item.title
    return [item.title for item in items]


@pytest.mark.parametrize(
    ("keyword", "values", "named"),
    [
        ("TemporalPositionIdentifier", [2, 10], ["time point 2", "time point 10"]),
        ("TriggerTime", [90, 350], ["trigger time 90.0 ms", "trigger time 350.0 ms"]),
        ("AcquisitionNumber", [1, 2], ["acquisition 1", "acquisition 2"]),
        ("ConvolutionKernel", ["B30f", "B70f"], ["kernel B30f", "kernel B70f"]),
        ("SliceThickness", [1, 5], ["1.0 mm thick", "5.0 mm thick"]),
        ("KVP", [80, 140], ["80.0 kV", "140.0 kV"]),
        ("ContrastBolusAgent", ["", "OMNI 300"], ["stack 1 of 2", "contrast agent OMNI 300"]),
        ("AcquisitionTime", ["081500", "081530"], ["stack 1 of 2", "stack 2 of 2"]),
        (
            "ImageType",
            [["DERIVED", "SECONDARY", "MIP"], ["ORIGINAL", "PRIMARY", "AXIAL"]],
            ["derived secondary mip", "original primary axial"],
        ),
    ],
)
def test_phases_are_told_apart_by_what_the_headers_say(tmp_path, keyword, values, named):
    save_phases(phases(**{keyword: values}), tmp_path)
    assert assert_phases(tmp_path) == [f"made up, {name}" for name in named]


def test_times_of_day_are_never_shown(tmp_path):
    save_phases(phases(AcquisitionTime=["081500", "081530"]), tmp_path)
    volume = io.read_volume(tmp_path, series="3-1")
    assert "0815" not in repr(volume.source.facts) + repr(volume.source.notes) + volume.name
    assert "0815" not in repr(volume.source.details) + repr(io.list_items(tmp_path))


def test_phases_within_phases_are_all_offered(tmp_path):
    made = phases(4, TemporalPositionIdentifier=[1, 1, 2, 2], AcquisitionNumber=[1, 2, 1, 2])
    save_phases(made, tmp_path)
    assert assert_phases(tmp_path, 4)[2] == "made up, time point 2, acquisition 1"


@pytest.mark.parametrize("turns", [False, True], ids=["one after the other", "in turns"])
@pytest.mark.parametrize("downwards", [False, True])
def test_phases_are_told_apart_by_their_numbers(tmp_path, turns, downwards):
    made = phases(2)
    for p, phase in enumerate(made):
        for k, one in enumerate(phase[::-1] if downwards else phase):
            one.dataset.InstanceNumber = 2 * k + p if turns else 5 * p + k
    save_phases(made, tmp_path)
    assert assert_phases(tmp_path) == ["made up, stack 1 of 2", "made up, stack 2 of 2"]


def test_phases_are_told_apart_by_what_they_show_where_nothing_else_does(tmp_path):
    made = phases(3)
    save_phases(made, tmp_path)
    items = offered(tmp_path)
    shifts = set()
    for item in items:
        volume = io.read_volume(tmp_path, series=item.key)
        error = volume.voxels - expected_hu(volume.grid)
        shifts.add(round(float(error.mean()) / SHIFT))
        assert np.ptp(error) < 2.01
    assert shifts == {0, 1, 2}


def test_phases_that_resemble_each_other_too_much_are_refused(tmp_path):
    made = phases(2)
    rng = np.random.default_rng(0)
    for one in [one for phase in made for one in phase]:
        one.dataset.PixelData = rng.integers(0, 2000, 54).astype(np.uint16).tobytes()
    save_phases(made, tmp_path)
    refuses(tmp_path, "same place as .* shows something else", names=".dcm")


def test_numbers_that_fit_neither_order_do_not_count(tmp_path):
    made = phases(2)
    numbers = iter([3, 1, 4, 0, 9, 5, 8, 2, 7, 6])
    for one in [one for phase in made for one in phase]:
        one.dataset.InstanceNumber = next(numbers)
    save_phases(made, tmp_path)
    for item in offered(tmp_path):  # told apart by what they show instead
        volume = io.read_volume(tmp_path, series=item.key)
        assert np.ptp(volume.voxels - expected_hu(volume.grid)) < 2.01


def test_numbers_that_contradict_what_the_slices_show_are_refused(tmp_path):
    made = phases(2)
    # By place: 0 and 5, 1 and 6, ..., as if one phase were numbered after the other.
    numbers = iter([0, 6, 2, 3, 9, 5, 1, 7, 8, 4])
    for one in [one for phase in made for one in phase]:
        one.dataset.InstanceNumber = next(numbers)
    save_phases(made, tmp_path)
    refuses(tmp_path, "same place as .* shows something else", names=".dcm")


def test_equal_pixels_that_stand_for_other_hu_are_no_copies(tmp_path):
    made = phases(2, AcquisitionNumber=[1, 2], RescaleIntercept=[-1024, -1024 + SHIFT])
    for one, other in zip(*made, strict=True):
        other.dataset.PixelData = one.dataset.PixelData
    save_phases(made, tmp_path)
    assert_phases(tmp_path)


def test_one_slice_that_is_there_twice_with_other_pixels_is_refused(tmp_path):
    uid = generate_uid()
    twice = make_series(5, series_uid=uid, shift_hu=SHIFT)[2]
    twice.name = "again.dcm"
    save_all([*make_series(5, series_uid=uid), twice], tmp_path)
    refuses(tmp_path, "same place as .* shows something else", names="again.dcm")


def test_slices_of_air_alone_are_no_copies_of_each_other(tmp_path):
    made = phases(2, AcquisitionNumber=[1, 2])
    for phase in made:
        phase[4].dataset.PixelData = bytes(108)
    save_phases(made, tmp_path)
    for item in offered(tmp_path):
        volume = io.read_volume(tmp_path, series=item.key)
        assert volume.voxels.shape[0] == 5
        assert (volume.voxels[0] == -1024).all()


def test_phases_of_which_each_file_is_there_twice(tmp_path):
    made = phases(2, AcquisitionNumber=[1, 2])
    save_phases(made, tmp_path / "one")
    save_phases(made, tmp_path / "two" / "copy")
    items = offered(tmp_path)
    assert [item.n_slices for item in items] == [5, 5]
    notes = [" ".join(io.read_volume(tmp_path, series=item.key).source.notes) for item in items]
    assert any("10 slices are there twice" in note for note in notes)


def test_a_file_stands_for_its_phase(tmp_path):
    made = phases(2, AcquisitionNumber=[1, 2])
    save_phases(made, tmp_path)
    for p, phase in enumerate(made):
        volume = io.read_volume(tmp_path / phase[3].name)
        assert np.abs(volume.voxels - SHIFT * p - expected_hu(volume.grid)).max() < 1.01
        assert volume.source.item == f"3-{p + 1}"
        assert any("Not read" in note for note in volume.source.notes)


def test_acquisitions_one_above_the_other_are_one_scan(tmp_path):
    slices = make_series(8)
    for k, one in enumerate(slices):
        one.dataset.AcquisitionNumber = 1 + k // 4
    volume = io.read_volume(save_all(slices, tmp_path))
    assert len(volume.voxels) == 8
    assert np.abs(volume.voxels - expected_hu(volume.grid)).max() < 1.01


def test_acquisitions_that_overlap_are_two(tmp_path):
    uid = generate_uid()
    low = make_series(5, series_uid=uid, AcquisitionNumber=1)
    high = make_series(
        5, series_uid=uid, AcquisitionNumber=2, origin=(-20.0, -30.0, 47.0), shift_hu=SHIFT
    )
    for one in high:
        one.name = "high_" + one.name
    save_all([*low, *high], tmp_path)
    assert_phases(tmp_path)


# --- Two scans that an anonymiser gave one UID ---------------------------------------------


@pytest.mark.parametrize(
    ("other", "tags"),
    [
        ({"origin": (-25.0, -31.0, 40.7)}, {}),
        ({"origin": (-20.0, -30.0, 40.0)}, {"FrameOfReferenceUID": ["1.2.3", "1.2.4"]}),
        ({"origin": (-20.0, -30.0, 41.3)}, {"StudyInstanceUID": ["1.2.3", "1.2.4"]}),
        ({"origin": (-20.0, -30.0, 40.7), "step": (0.0, 0.0, 2.5)}, {"SeriesNumber": [3, 4]}),
        ({"step": (0.0, 0.0, -2.0)}, {"PatientPosition": ["HFS", "FFS"]}),
    ],
    ids=["other place", "other frame", "other study", "other number", "other way round"],
)
def test_two_scans_under_one_uid_are_told_apart(tmp_path, other, tags):
    uid = generate_uid()
    for p, options in enumerate([{}, other]):
        own = {keyword: values[p] for keyword, values in tags.items()}
        slices = make_series(6, series_uid=uid, shift_hu=SHIFT * p, **options, **own)
        save_all(slices, tmp_path / f"scan{p}")
    items = io.list_items(tmp_path)
    assert [item.n_slices for item in items] == [6, 6]
    for item in items:
        volume = io.read_volume(tmp_path, series=item.key)
        error = volume.voxels - expected_hu(volume.grid)
        assert np.ptp(error) < 2.01


@pytest.mark.parametrize(
    "tags",
    [
        {"ConvolutionKernel": ["B30f", "B70f"]},
        {"SeriesNumber": [3, 4]},
        {"StudyInstanceUID": ["1.2.3", "1.2.4"]},
        {},
    ],
    ids=["kernel", "number", "study", "numbered twice"],
)
def test_two_stacks_that_mesh_to_an_even_one_are_not_mixed(tmp_path, tags):
    uid = generate_uid()
    for p in range(2):
        own = {keyword: values[p] for keyword, values in tags.items()}
        slices = make_series(
            6, series_uid=uid, shift_hu=SHIFT * p, origin=(-20.0, -30.0, 40.0 + p), **own
        )
        save_all(slices, tmp_path / f"scan{p}")
    with pytest.raises(ChoiceNeededError) as caught:
        io.read_volume(tmp_path)
    for p, item in enumerate(caught.value.items):
        volume = io.read_volume(tmp_path, series=item.key)
        assert volume.spacing_mm[0] == pytest.approx(2.0)
        assert np.abs(volume.voxels - SHIFT * p - expected_hu(volume.grid)).max() < 1.01


def test_a_scan_whose_kernel_changes_half_way_is_one(tmp_path):
    slices = make_series(8)
    for k, one in enumerate(slices):
        one.dataset.ConvolutionKernel = "B30f" if k < 4 else "B70f"
    volume = io.read_volume(save_all(slices, tmp_path))
    assert len(volume.voxels) == 8
    facts = {fact.name: fact.value for fact in volume.source.facts}
    assert facts["Kernel"] == "B30f and others"


def test_a_frame_of_reference_of_its_own_for_each_slice_is_no_reason_to_part_them(tmp_path):
    slices = make_series(6)
    for one in slices:
        one.dataset.FrameOfReferenceUID = generate_uid()
    assert len(io.read_volume(save_all(slices, tmp_path)).voxels) == 6


def test_two_series_are_never_joined_even_where_they_fit(tmp_path):
    save_all(make_series(4, SeriesNumber=1), tmp_path)
    save_all(make_series(4, SeriesNumber=2, origin=(-20.0, -30.0, 48.0)), tmp_path)
    with pytest.raises(ChoiceNeededError):
        io.read_volume(tmp_path)
    assert len(io.read_volume(tmp_path, series="2").voxels) == 4


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("StudyInstanceUID", [generate_uid(), generate_uid()]),
        ("FrameOfReferenceUID", [generate_uid(), generate_uid()]),
        ("PatientPosition", ["HFS", "FFS"]),
    ],
)
def test_adjoining_stacks_of_two_scans_are_two(tmp_path, keyword, values):
    # An anonymiser that gives both one series UID: where the first ends, the second begins.
    made = phases(**{keyword: values})
    for k, one in enumerate(made[1]):
        one.dataset.ImagePositionPatient = [-20, -30, 50 + 2 * k]
    items = offered(save_phases(made, tmp_path / "ct"))
    assert [item.n_slices for item in items] == [5, 5]


def test_a_frame_of_reference_of_its_own_for_each_slice_parts_nothing(tmp_path):
    # As anonymisers leave it that make up every UID anew.
    slices = make_series(6)
    for one in slices:
        one.dataset.FrameOfReferenceUID = generate_uid()
    assert io.read_volume(save_all(slices, tmp_path / "ct")).voxels.shape[0] == 6


@pytest.mark.parametrize("second_begins_at", [1, 6])
def test_stacks_in_turns_are_told_by_their_numbers(tmp_path, second_begins_at):
    made = phases()
    for p, phase in enumerate(made):
        for k, one in enumerate(phase):
            one.dataset.ImagePositionPatient = [-20, -30, 40 + 2 * k + p]
            one.dataset.InstanceNumber = k + (second_begins_at if p else 1)
    items = offered(save_phases(made, tmp_path / "ct"))
    assert [item.n_slices for item in items] == [5, 5]


@pytest.mark.parametrize("restart", [False, True], ids=["numbered on", "numbered anew"])
@pytest.mark.parametrize(("count", "offset"), [(3, 1.0), (2, 1.0)], ids=["three", "unevenly"])
def test_stacks_in_turns_of_three_or_at_odd_distances_are_told_by_their_numbers(
    tmp_path, count, offset, restart
):
    made = phases(count)
    for p, phase in enumerate(made):
        for k, one in enumerate(phase):
            one.dataset.ImagePositionPatient = [-20, -30, 40 + 3 * k + offset * p]
            one.dataset.InstanceNumber = k + 1 + (0 if restart else 5 * p)
            one.dataset.PixelData = make_slice(
                (-20, -30, 40 + 3 * k + offset * p), series_uid="1", shift_hu=SHIFT * p
            ).dataset.PixelData
    assert_phases(save_phases(made, tmp_path / "ct"), count)
