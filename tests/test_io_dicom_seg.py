"""DICOM segmentations: what we write lies on the CT for everyone, what others write is read."""

from __future__ import annotations

import json
from dataclasses import fields

import highdicom as hd
import nrrd
import numpy as np
import pydicom
import pytest
from archives import unpack
from dicom_factory import SAGITTAL, TILTED, save_all
from nifti_factory import save
from pydicom.uid import generate_uid
from seg_cases import PATIENT, blobs, enhanced, others_seg, patient_series, read_series

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import ChoiceNeededError, ConsentNeededError
from napari_hirescam.io.dicom.seg_write import write_seg
from napari_hirescam.source import Repair, Segment
from napari_hirescam.volume import Grid, Quantity

PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
OBLIQUE = (0.954, -0.208, 0.215, 0.279, 0.88, -0.384)
SEGMENTS = (Segment(5, "Leber, groß", (1.0, 0.0, 0.0)), Segment(52, "kidney_left"))


def write(ct, path, mask=None, grid=None, **options):
    return write_seg(
        path,
        blobs(ct.voxels.shape) if mask is None else mask,
        grid or ct.grid,
        like=ct.source,
        **options,
    )


# --- writing


def test_a_mask_comes_back_with_its_values_names_and_colours_on_the_very_grid(tmp_path):
    ct = read_series(tmp_path / "ct")
    path = write(ct, tmp_path / "ct" / "seg.dcm", segments=SEGMENTS, description="two organs")

    mask = io.read_volume(path)

    np.testing.assert_array_equal(mask.voxels, blobs(ct.voxels.shape))
    np.testing.assert_array_equal(mask.affine, ct.affine)
    np.testing.assert_array_equal(mask.source.grid.affine, ct.source.grid.affine)
    assert mask.quantity is Quantity.LABELS
    assert mask.name == "two organs"
    assert [(s.value, s.name) for s in mask.segments] == [(5, "Leber, groß"), (52, "kidney_left")]
    np.testing.assert_allclose(mask.segments[0].colour, (1, 0, 0), atol=0.01)
    assert mask.segments[1].details["type"] == ("64033007", "SCT", "Kidney")
    assert mask.segments[1].details["modifier"] == ("7771000", "SCT", "Left")
    assert mask.source.frames == ct.source.frames


def test_others_read_the_same_pixels_over_the_same_slices(tmp_path):
    ct = read_series(tmp_path / "ct")
    mask = blobs(ct.voxels.shape)
    seg = hd.seg.segread(write(ct, tmp_path / "seg.dcm", segments=SEGMENTS))

    on_file = io.on_source_grid(mask, ct, 0)  # [column, row, slice]
    uids = [frame.sop_instance_uid for frame in ct.source.frames]
    pixels = seg.get_pixels_by_source_instance(uids, combine_segments=True)
    numbers = np.zeros(53, np.uint8)
    numbers[[5, 52]] = 1, 2
    np.testing.assert_array_equal(pixels, numbers[on_file].transpose(2, 1, 0))
    assert seg.get_segment_description(2).segment_label == "kidney_left"
    assert seg.SegmentsOverlap == "NO"
    # Only slices on which something is drawn are in the file.
    assert seg.NumberOfFrames == 3


def test_it_belongs_to_the_patient_and_the_study_and_says_who_made_it(tmp_path):
    ct = read_series(tmp_path / "ct")
    provenance = {"software": "x", "repairs": []}
    path = write(ct, tmp_path / "seg.dcm", description="a" * 100, provenance=provenance)
    seg, source = pydicom.dcmread(path), pydicom.dcmread(ct.source.frames[0].path)
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "AccessionNumber"):
        assert seg[name].value == source[name].value
    # Written in another character set than the CT's.
    assert seg.PatientName == "Müller^Jörg"
    assert seg.StudyDescription == "Schädel für Jörg"
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert seg.Manufacturer == "napari-hirescam"
    assert seg.ContentDescription == "a" * 64
    assert json.loads(seg.private_block(0x99, "NAPARI-HIRESCAM")[1].value) == provenance
    assert [s.SegmentAlgorithmType for s in seg.SegmentSequence] == ["MANUAL", "MANUAL"]
    referenced = seg.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    assert len(referenced.ReferencedInstanceSequence) == 6


def test_a_mask_made_by_a_method_is_automatic_and_names_it(tmp_path):
    ct = read_series(tmp_path / "ct")
    seg = pydicom.dcmread(write(ct, tmp_path / "seg.dcm", provenance={"method": "hirescam"}))
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert seg.SegmentSequence[0].SegmentAlgorithmName == "hirescam"


def test_nothing_that_identifies_the_patient_gets_into_what_is_read(tmp_path):
    ct = read_series(tmp_path / "ct")
    mask = io.read_volume(write(ct, tmp_path / "seg.dcm", segments=SEGMENTS))
    told = " ".join(str(getattr(mask.source, field.name)) for field in fields(mask.source))
    told += mask.name + str(mask.segments) + str(io.list_items(mask.source.path))
    for value in PATIENT.values():
        if value != PATIENT["SpecificCharacterSet"]:
            assert value not in told


def test_a_description_that_names_the_patient_is_left_out(tmp_path):
    ct = read_series(tmp_path / "ct", PatientName="Einwort^Jan")
    path = write(ct, tmp_path / "seg.dcm", description="Lesions of EINWORT")
    mask = io.read_volume(path)
    told = f"{mask.name} {mask.source.details} {mask.source.facts} {io.list_items(path)}"
    assert "einwort" not in told.lower()


def test_a_mask_beside_its_ct_is_not_written_as_an_empty_one(tmp_path):
    ct = read_series(tmp_path / "ct")
    mask = np.ones(ct.voxels.shape, np.uint8)
    aside = Grid(mask.shape, ct.affine + np.outer([0, 0, 1, 0], [0, 0, 0, 500.0]))
    with pytest.raises(VolumeError, match="would be empty"):
        write(ct, tmp_path / "seg.dcm", mask, aside)
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.parametrize("is_alone", [False, True])
def test_over_a_series_whose_positions_are_rounded(tmp_path, is_alone):
    slices = patient_series(8)
    for k, one in enumerate(slices):
        one.dataset.ImagePositionPatient = [-20, -30, f"{40 + 0.625 * k + 1e-9:.1f}"]
    ct = io.read_volume(save_all(slices, tmp_path / "ct"))
    painted = np.zeros(ct.voxels.shape, np.uint8)
    painted[:, 2:4, 3:6] = 7
    folder = tmp_path / ("alone" if is_alone else "ct")
    folder.mkdir(exist_ok=True)

    mask = io.read_volume(write(ct, folder / "seg.dcm", painted))

    assert mask.source.grid.same_place_as(ct.source.grid, 1e-6)
    np.testing.assert_array_equal(mask.voxels, painted)


@pytest.mark.parametrize("orientation", [PRONE, SAGITTAL, TILTED, OBLIQUE])
def test_each_slices_pixels_are_the_nearest_voxels_of_a_turned_or_straightened_ct(
    tmp_path, orientation
):
    step = (2.0, 0, 0) if orientation is SAGITTAL else (0, 0, 2.0)
    ct = read_series(tmp_path / "ct", 7, orientation=orientation, step=step)
    painted = np.zeros(ct.voxels.shape, np.uint8)
    painted[np.random.default_rng(1).random(ct.voxels.shape) < 0.3] = 9
    path = write(ct, tmp_path / "ct" / "seg.dcm", painted)

    mask = io.read_volume(path)

    assert mask.source.grid.same_place_as(ct.source.grid, 1e-6)
    on_file = io.on_source_grid(painted, ct, 0)
    seg = hd.seg.segread(path)
    pixels = seg.get_pixels_by_source_instance(
        [frame.sop_instance_uid for frame in ct.source.frames], combine_segments=True
    )
    np.testing.assert_array_equal(pixels * 9, on_file.transpose(2, 1, 0))


def test_a_mask_on_the_files_own_grid_gives_the_same_file_as_one_on_the_volumes(tmp_path):
    ct = read_series(tmp_path / "ct", 7, orientation=SAGITTAL, step=(2.0, 0, 0))
    mask = blobs(ct.voxels.shape)
    on_file = io.on_source_grid(mask, ct, 0)
    one = pydicom.dcmread(write(ct, tmp_path / "one.dcm", mask))
    two = pydicom.dcmread(write(ct, tmp_path / "two.dcm", on_file, ct.export_grid))
    assert one.PixelData == two.PixelData


def test_inserted_and_evened_slices_are_not_in_the_series_and_not_in_the_file(tmp_path):
    slices = patient_series(7)
    del slices[3]
    ct = io.read_volume(save_all(slices, tmp_path / "gap"), allow=["insert-missing"])
    everywhere = np.ones(ct.voxels.shape, np.uint8)
    seg = pydicom.dcmread(write(ct, tmp_path / "gap.dcm", everywhere))
    assert ct.voxels.shape[0] == 7
    assert seg.NumberOfFrames == 6

    slices = patient_series(7, SpacingBetweenSlices=2.0)
    for k, one in enumerate(slices[4:]):
        one.dataset.ImagePositionPatient[2] = 50 + 3 * k
    ct = io.read_volume(save_all(slices, tmp_path / "uneven"), allow=["even-spacing"])
    seg = pydicom.dcmread(write(ct, tmp_path / "uneven.dcm", np.ones(ct.voxels.shape, np.uint8)))
    heights = [
        float(item.PlanePositionSequence[0].ImagePositionPatient[2])
        for item in seg.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(heights) == [40, 42, 44, 46, 50, 53, 56]
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert "SpacingBetweenSlices" not in measures


def test_over_an_enhanced_multi_frame_ct(tmp_path):
    path = enhanced(patient_series(6), tmp_path / "ct" / "enhanced.dcm")
    ct = io.read_volume(path)
    seg_path = write(ct, tmp_path / "ct" / "seg.dcm", segments=SEGMENTS)
    mask = io.read_volume(seg_path)
    np.testing.assert_array_equal(mask.voxels, blobs(ct.voxels.shape))
    assert mask.grid.same_place_as(ct.grid, 1e-6)
    seg = pydicom.dcmread(seg_path)
    source = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    uid = pydicom.dcmread(path).SOPInstanceUID
    assert source.SourceImageSequence[0].ReferencedSOPInstanceUID == uid
    number = int(source.SourceImageSequence[0].ReferencedFrameNumber)
    positions = {frame.number: frame.position_lps_mm for frame in ct.source.frames}
    place = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    np.testing.assert_allclose(positions[number], [float(x) for x in place])


def test_a_mask_that_was_read_can_be_changed_and_written_again(tmp_path):
    ct = read_series(tmp_path / "ct")
    mask = io.read_volume(write(ct, tmp_path / "ct" / "seg.dcm", segments=SEGMENTS))
    changed = mask.voxels.copy()
    changed[2, 0, 0] = 52
    path = write_seg(
        tmp_path / "ct" / "again.dcm", changed, mask.grid, like=mask.source, segments=mask.segments
    )
    again = io.read_volume(path)
    np.testing.assert_array_equal(again.voxels, changed)
    assert [dict(s.details) for s in again.segments] == [dict(s.details) for s in mask.segments]


def test_no_warning_tells_an_unusual_name(tmp_path, recwarn):
    ct = read_series(tmp_path / "ct", PatientName="Einwort")
    path = write(ct, tmp_path / "seg.dcm")
    assert pydicom.dcmread(path).PatientName == "Einwort"
    assert not [warning for warning in recwarn if "Einwort" in str(warning.message)]


def test_anonymised_headers_with_things_missing_or_wrong_do_not_stop_it(tmp_path):
    wrong = {"PatientSex": "unknown", "StudyDate": "2020-03-04"}
    slices = patient_series(5, **wrong)
    for k, one in enumerate(slices):
        one.dataset.ImageOrientationPatient = [1, k * 1e-6, 0, 0, 1, 0]
        del one.dataset.PatientName, one.dataset.PatientID, one.dataset.SeriesNumber
    ct = io.read_volume(save_all(slices, tmp_path / "ct"))
    path = write(ct, tmp_path / "ct" / "seg.dcm")
    np.testing.assert_array_equal(io.read_volume(path).voxels, blobs(ct.voxels.shape))
    seg = pydicom.dcmread(path)
    assert (seg.PatientSex, seg.StudyDate, seg.PatientID) == ("", "", "")


def test_what_cannot_be_written_is_refused_with_the_way_out(tmp_path):
    ct = read_series(tmp_path / "ct")
    mask = blobs(ct.voxels.shape)

    def refuses(reason, source=ct.source, values=mask, **options):
        with pytest.raises(VolumeError, match=reason) as caught:
            write_seg(tmp_path / "seg.dcm", values, ct.grid, like=source, **options)
        assert caught.value.remedy
        for value in PATIENT.values():
            assert value not in str(caught.value)

    nifti = io.read_volume(save(tmp_path / "ct.nii"))
    refuses("was not read from a DICOM series", nifti.source)
    refuses("was not read from a DICOM series", None)
    refuses("from -1 to 0", values=np.zeros(mask.shape, np.int16) - (mask > 0))
    refuses("empty", values=np.zeros_like(mask))
    with pytest.raises(ValueError, match="whole numbers"):
        write_seg(tmp_path / "seg.dcm", mask / 2, ct.grid, like=ct.source)
    with pytest.raises(ValueError, match="does not lie"):
        write_seg(tmp_path / "seg.dcm", mask[1:], ct.grid, like=ct.source)
    victim = ct.source.frames[2].path
    saved = victim.read_bytes()
    victim.write_bytes(ct.source.frames[3].path.read_bytes())
    refuses("not the one that was read")
    victim.unlink()
    refuses("no longer there")
    victim.write_bytes(saved)
    assert not (tmp_path / "seg.dcm").exists()
    write(ct, tmp_path / "seg.dcm")
    refuses("file of this name")


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "FrameOfReferenceUID"])
def test_a_series_without_what_must_be_repeated_is_refused(tmp_path, missing):
    slices = patient_series(5)
    for one in slices:
        delattr(one.dataset, missing)
    ct = io.read_volume(save_all(slices, tmp_path / "ct"))
    with pytest.raises(VolumeError, match=missing):
        write(ct, tmp_path / "seg.dcm")


# --- reading what others write


def overlapping(shape=(6, 6, 9)):
    pixels = np.zeros((*shape, 2), np.uint8)
    pixels[1:4, 2:4, 3:6, 0] = 1
    pixels[3, 3:5, 5:8, 1] = 1
    return pixels


def test_overlapping_segments_are_asked_for_one_by_one(tmp_path):
    ct = read_series(tmp_path / "ct")
    pixels = overlapping()
    path = others_seg(tmp_path / "ct" / "seg.dcm", tmp_path / "ct", pixels, ["one", "two"])
    whole, *singles = io.list_items(path)[-3:]
    assert not whole.is_readable
    with pytest.raises(ChoiceNeededError) as caught:
        io.read_volume(path)
    assert [item.key for item in caught.value.items] == [item.key for item in singles]
    for k, item in enumerate(singles):
        mask = io.read_volume(path, series=item.key)
        assert [s.name for s in mask.segments] == [("one", "two")[k]]
        # Slices ascend in z; (I, P, L) begins at the top.
        np.testing.assert_array_equal(mask.voxels != 0, pixels[::-1, :, :, k] != 0)
        assert mask.grid.same_place_as(ct.grid, 1e-6)
        assert io.picture_of(path, item.key).grey.any()


def test_segments_side_by_side_are_one_mask_or_each_alone(tmp_path):
    read_series(tmp_path / "ct")
    pixels = np.zeros((6, 6, 9), np.uint8)
    pixels[1:4, 2:4, 3:6], pixels[3, 5, 5:8] = 1, 2
    for kind in ("BINARY", "LABELMAP"):
        path = tmp_path / "ct" / f"{kind}.dcm"
        others_seg(path, tmp_path / "ct", pixels, ["a", "b"], kind)
        np.testing.assert_array_equal(io.read_volume(path).voxels, pixels[::-1])
        uid = pydicom.dcmread(path).SOPInstanceUID
        alone = io.read_volume(path, series=f"{uid}/2")
        np.testing.assert_array_equal(alone.voxels, 2 * (pixels[::-1] == 2))
        with pytest.raises(VolumeError, match="no segment or map '3'"):
            io.read_volume(path, series=f"{uid}/3")
        path.unlink()


def test_a_fractional_segment_is_an_image_from_0_to_1(tmp_path):
    read_series(tmp_path / "ct")
    fractions = np.zeros((6, 6, 9))
    fractions[2, 2, 3:8] = [0.2, 0.4, 0.6, 0.8, 1.0]
    path = others_seg(
        tmp_path / "ct" / "seg.dcm", tmp_path / "ct", fractions[..., None], ["a"], "FRACTIONAL"
    )
    image = io.read_volume(path)
    assert image.quantity is Quantity.UNKNOWN
    assert image.voxels.dtype == np.float32
    np.testing.assert_allclose(image.voxels, fractions[::-1], atol=0.5 / 255)
    path.unlink()
    two = np.stack([fractions, fractions], axis=-1)
    path = others_seg(tmp_path / "ct" / "two.dcm", tmp_path / "ct", two, ["a", "b"], "FRACTIONAL")
    with pytest.raises(ChoiceNeededError) as caught:
        io.read_volume(path)
    image = io.read_volume(path, series=caught.value.items[1].key)
    np.testing.assert_allclose(image.voxels, fractions[::-1], atol=0.5 / 255)


def test_without_its_series_the_planes_say_where_it_lies_and_gaps_are_background(tmp_path):
    ct = read_series(tmp_path / "ct", 8)
    mask = np.zeros(ct.voxels.shape, np.uint8)
    mask[[1, 3, 6], 2, 5] = 1  # steps of 2 and 3 slices: the distance comes from the header
    alone = tmp_path / "alone" / "seg.dcm"
    alone.parent.mkdir()
    read = io.read_volume(write(ct, alone, mask))
    assert read.voxels.shape == (6, 6, 9)
    np.testing.assert_array_equal(read.voxels, mask[1:7])
    np.testing.assert_allclose(read.grid.to_world((0, 0, 0)), ct.grid.to_world((1, 0, 0)))
    assert any("3 slices" in note for note in read.source.notes)


@pytest.mark.parametrize("offset", [(3.3, 0, 0), (0, 0, 0.9), (0, 0, 40)])
def test_planes_that_lie_on_no_slice_of_the_series_beside_it_keep_their_own_place(tmp_path, offset):
    ct = read_series(tmp_path / "ct")
    mask = np.zeros(ct.voxels.shape, np.uint8)
    mask[2:5, 2, 3] = 1
    path = write(ct, tmp_path / "ct" / "seg.dcm", mask)
    dataset = pydicom.dcmread(path)
    for item in dataset.PerFrameFunctionalGroupsSequence:
        place = item.PlanePositionSequence[0]
        place.ImagePositionPatient = list(np.add(place.ImagePositionPatient, offset))
    dataset.save_as(path)
    read = io.read_volume(path)
    assert read.source.frames == ()
    left, posterior, superior = offset
    np.testing.assert_allclose(
        read.grid.to_world(np.argwhere(read.voxels)[0]),
        np.add(ct.grid.to_world((2, 2, 3)), (-superior, posterior, left)),
        atol=1e-6,
    )


def test_a_file_that_is_named_is_read_whatever_else_its_series_holds(tmp_path):
    ct = read_series(tmp_path / "ct")
    (tmp_path / "seg").mkdir()
    path = write(ct, tmp_path / "seg" / "one.dcm")
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SegmentSequence[0].SegmentLabel = "another"
    other = path.with_name("two.dcm")
    dataset.save_as(other)
    assert io.read_volume(other).segments[0].name == "another"
    assert io.read_volume(path).segments[0].name == "label 5"


def test_planes_that_no_step_explains_are_evened_out_only_when_asked(tmp_path):
    ct = read_series(tmp_path / "ct", 5)
    alone = tmp_path / "alone" / "seg.dcm"
    alone.parent.mkdir()
    write(ct, alone, np.ones(ct.voxels.shape, np.uint8))
    dataset = pydicom.dcmread(alone)
    for item in dataset.PerFrameFunctionalGroupsSequence:
        place = item.PlanePositionSequence[0].ImagePositionPatient
        if place[2] > 44:
            place[2] += 0.7
    dataset.save_as(alone)
    with pytest.raises(ConsentNeededError, match=r"2\.00 to 2\.70 mm apart") as caught:
        io.read_volume(alone)
    assert caught.value.repairs == (Repair.EVEN_SPACING,)
    read = io.read_volume(alone, allow=["even-spacing"])
    assert read.spacing_mm[0] == pytest.approx(2.0)
    assert [done.repair for done in read.source.repaired] == [Repair.EVEN_SPACING]
    assert read.invalid is not None
    heights = -read.grid.to_world([(k, 0, 0) for k in range(read.voxels.shape[0])])[:, 0]
    measured = np.array([40, 42, 44, 46.7, 48.7])
    on_plane = np.abs(heights[:, None] - measured).min(axis=1) < 0.01
    np.testing.assert_array_equal(read.invalid.all(axis=(1, 2)), ~on_plane)


def damaged(path, tmp_path, change):
    dataset = pydicom.dcmread(path)
    change(dataset)
    broken = tmp_path / "broken" / "seg.dcm"
    broken.parent.mkdir(exist_ok=True)
    dataset.save_as(broken)
    return broken


def test_damaged_files_are_refused_for_what_is_wrong_with_them(tmp_path):
    ct = read_series(tmp_path / "ct")
    path = write(ct, tmp_path / "seg.dcm")

    def refuses(reason, change):
        broken = damaged(path, tmp_path, change)
        with pytest.raises(VolumeError, match=reason) as caught:
            io.read_volume(broken)
        assert caught.value.remedy

    def cut(dataset):
        dataset.PixelData = dataset.PixelData[:4]

    def one_more(dataset):
        dataset.NumberOfFrames = 4

    def placeless(dataset):
        del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence

    def nameless(dataset):
        group = dataset.PerFrameFunctionalGroupsSequence[1].SegmentIdentificationSequence[0]
        group.ReferencedSegmentNumber = 9

    def shifted(dataset):
        # Frames 2 and 3 show two segments of one slice.
        place = dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0]
        place.ImagePositionPatient[0] += 3

    def unknown(dataset):
        dataset.SegmentationType = "SOMETHING"

    refuses("of .* bytes are there", cut)
    refuses("announces 4 frames and describes 3", one_more)
    refuses("frame 2 does not say where it lies", placeless)
    refuses("frame 2 shows a segment that is not described", nameless)
    refuses("shifted by up to", shifted)
    refuses("kind of segmentation", unknown)


def test_flipped_bits_are_refused_or_read_and_never_anything_else(tmp_path):
    ct = read_series(tmp_path / "ct", 4)
    content = write(ct, tmp_path / "seg.dcm").read_bytes()
    random = np.random.default_rng(11)
    broken = tmp_path / "alone" / "broken.dcm"
    broken.parent.mkdir()
    refused = 0
    for _ in range(120):
        mutated = bytearray(content)
        for place in random.integers(132, len(content), 3):
            mutated[place] ^= 1 << random.integers(8)
        broken.write_bytes(mutated)
        try:
            io.read_volume(broken)
        except VolumeError:
            refused += 1
    assert 0 < refused < 120


# --- real files


def test_dcmqi_s_liver_lies_on_its_ct_as_its_nrrd_says(shared_dir):
    folder = shared_dir / "data" / "tricky" / "seg_dcmqi"
    mask = io.read_volume(folder / "seg_liver.dcm")
    stored, _ = nrrd.read(str(folder / "liver_seg.nrrd"))
    np.testing.assert_array_equal(io.on_source_grid(mask.voxels, mask, 0), stored)
    ct = io.read_volume(folder / "ct_01.dcm")
    np.testing.assert_array_equal(mask.affine, ct.affine)
    assert [(s.name, s.details["type"][2]) for s in mask.segments] == [("Liver", "Liver")]
    assert 20 < np.median(ct.voxels[mask.voxels == 1]) < 200


def test_a_real_segmentation_alone_lies_where_its_nrrd_says(shared_dir):
    folder = shared_dir / "data" / "tricky" / "enhanced"
    mask = io.read_volume(folder / "dcmqi_23x38x3_label.seg.dcm")
    stored = io.read_volume(folder / "dcmqi_23x38x3_label.nrrd")
    np.testing.assert_array_equal(mask.voxels, stored.voxels)
    assert mask.grid.same_place_as(stored.grid, 0.01)


def test_a_mask_over_a_real_enhanced_ct(shared_dir, tmp_path):
    ct = io.read_volume(
        shared_dir / "data" / "tricky" / "enhanced" / "dcmqi_23x38x3_multiframe_ct.dcm"
    )
    mask = (np.random.default_rng(0).random(ct.voxels.shape) < 0.5).astype(np.uint8)
    read = io.read_volume(write_seg(tmp_path / "seg.dcm", mask, ct.grid, like=ct.source))
    np.testing.assert_array_equal(read.voxels, mask)
    assert read.grid.same_place_as(ct.grid, 1e-3)


def test_a_mask_over_a_real_tilted_ct_lies_on_its_own_pixels(shared_dir, tmp_path):
    unpack(shared_dir / "data" / "tricky" / "d2n_gantrytilting.tar.xz", tmp_path / "ct")
    reference = generate_uid()
    for file in (tmp_path / "ct").rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.FrameOfReferenceUID = reference  # whoever made it anonymous took it away
        dataset.save_as(file)
    ct = io.read_volume(tmp_path / "ct")
    assert not ct.source.grid.is_axis_aligned
    dense = (np.random.default_rng(5).random(ct.voxels.shape) < 0.5).astype(np.uint8)
    on_file = io.on_source_grid(dense, ct, 0)
    assert 0.4 < on_file.mean() < 0.6
    seg = hd.seg.segread(write(ct, tmp_path / "seg.dcm", dense))
    uids = [frame.sop_instance_uid for frame in ct.source.frames]
    pixels = seg.get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(pixels, on_file.transpose(2, 1, 0))
