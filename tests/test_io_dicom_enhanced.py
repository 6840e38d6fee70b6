"""Enhanced multi-frame files: each frame is described and read like a slice of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_factory import AXIAL, TILTED, assert_is_patient, hu_at
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    SegmentationStorage,
    generate_uid,
)

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom.decode import BadSliceError, stored_pixels, stored_slices
from napari_hirescam.io.dicom.header import read_headers
from napari_hirescam.io.dicom.pixels import read_voxels
from napari_hirescam.io.reading import Reading
from napari_hirescam.source import DisplayWindow
from napari_hirescam.volume import Quantity

SIZE = (40, 33)
SPACING = (0.8, 0.6)


def item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def enhanced(
    heights: list[float],
    *,
    slopes: list[float] | None = None,
    share_orientation: bool = True,
    orientation: tuple[float, ...] = AXIAL,
) -> FileDataset:
    """A multi-frame CT of the patient with frames at these heights, in this order."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2"
    dataset.SeriesNumber, dataset.SeriesDescription = 3, "enhanced"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = SIZE
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.NumberOfFrames = len(heights)
    plane = item(ImageOrientationPatient=list(orientation))
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=list(SPACING), SliceThickness=2.5)],
        FrameVOILUTSequence=[
            item(WindowCenter=40, WindowWidth=400, WindowCenterWidthExplanation="SOFT")
        ],
        CTReconstructionSequence=[item(ConvolutionKernel="B70f")],
        CTImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])],
    )
    if share_orientation:
        shared.PlaneOrientationSequence = [plane]
    dataset.SharedFunctionalGroupsSequence = [shared]
    per_frame, pixels = [], []
    row, column = np.mgrid[: SIZE[0], : SIZE[1]]
    for k, height in enumerate(heights):
        slope = slopes[k] if slopes else 1.0
        position = np.array([-20.0, -30.0, height])
        groups = item(
            PlanePositionSequence=[item(ImagePositionPatient=position.tolist())],
            PixelValueTransformationSequence=[
                item(RescaleSlope=slope, RescaleIntercept=-2048, RescaleType="HU")
            ],
            FrameContentSequence=[
                item(StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[1, k + 1])
            ],
        )
        if not share_orientation:
            groups.PlaneOrientationSequence = [plane]
        per_frame.append(groups)
        place = (
            position
            + column[..., None] * SPACING[1] * np.array(orientation[:3])
            + row[..., None] * SPACING[0] * np.array(orientation[3:])
        )
        pixels.append(np.rint((hu_at(place) + 2048) / slope).astype(np.uint16))
    dataset.PerFrameFunctionalGroupsSequence = per_frame
    dataset.PixelData = np.stack(pixels).tobytes()
    return dataset


def saved(dataset: FileDataset, folder: Path) -> Path:
    path = folder / "enhanced.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


HEIGHTS = [44.0, 40.0, 46.0, 42.0]  # shuffled


def test_each_frame_has_the_header_of_a_slice(tmp_path):
    headers = read_headers(saved(enhanced(HEIGHTS), tmp_path))
    assert [h.frame for h in headers] == [1, 2, 3, 4]
    assert [h.position_mm for h in headers] == [(-20.0, -30.0, z) for z in HEIGHTS]
    first = headers[0]
    assert (first.orientation, first.spacing_mm, first.size) == (AXIAL, SPACING, SIZE)
    assert (first.rescale, first.rescale_type) == ((1.0, -2048.0), "HU")
    assert (first.thickness_mm, first.kernel) == (2.5, "B70f")
    assert first.windows == (DisplayWindow("SOFT", 40.0, 400.0),)
    assert first.image_type == ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
    assert first.stack_id == "1"
    assert (first.frames, first.problem) == (1, "")
    assert not first.is_localizer


@pytest.mark.parametrize("share", [True, False])
def test_what_frames_share_and_what_they_have_of_their_own_is_the_same(tmp_path, share):
    headers = read_headers(saved(enhanced(HEIGHTS, share_orientation=share), tmp_path))
    assert {h.orientation for h in headers} == {AXIAL}


@pytest.mark.parametrize(
    "syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless],
    ids=["plain", "RLE", "JPEG-LS", "JPEG 2000"],
)  # fmt: skip
def test_frames_in_any_order_and_coding_become_the_patient(tmp_path, syntax: UID | None):
    dataset = enhanced(HEIGHTS, slopes=[1.0, 2.0, 1.0, 3.0])
    if syntax is not None:
        dataset.compress(syntax, generate_instance_uid=False)
    path = saved(dataset, tmp_path)
    volume = io.read_volume(path)
    assert volume.voxels.shape == (4, *SIZE)
    assert_is_patient(volume, within_hu=2)
    assert volume.source is not None
    # The stored grid counts slices upwards: 40 (frame 2), 42, 44, 46 mm.
    assert [frame and frame.number for frame in volume.source.frames] == [2, 4, 1, 3]


def test_one_frame_is_read_alone_as_in_its_turn(tmp_path):
    dataset = enhanced(HEIGHTS)
    dataset.compress(RLELossless, generate_instance_uid=False)
    headers = read_headers(saved(dataset, tmp_path))
    chosen = [headers[2], headers[0]]
    for header, pixels in zip(chosen, stored_slices(chosen), strict=True):
        np.testing.assert_array_equal(pixels, stored_pixels(header))
        assert pixels[0, 0] == hu_at(np.array(header.position_mm)) + 2048


def test_tilted_frames_keep_their_orientation(tmp_path):
    headers = read_headers(saved(enhanced(HEIGHTS, orientation=TILTED), tmp_path))
    np.testing.assert_allclose(headers[0].orientation, TILTED)


def test_a_file_cut_short_names_the_first_frame_that_is_not_whole(tmp_path):
    path = saved(enhanced(HEIGHTS), tmp_path)
    path.write_bytes(path.read_bytes()[: -SIZE[0] * SIZE[1] * 2 - 5])
    headers = read_headers(path)
    with pytest.raises(BadSliceError, match="incomplete") as caught:
        read_voxels(path, headers, Quantity.HU, Reading())
    assert caught.value.header.frame == 3


def test_the_last_frame_does_not_reach_into_what_follows_the_pixels(tmp_path):
    dataset = enhanced(HEIGHTS)
    dataset.PixelData = dataset.PixelData[:-100]
    dataset.add_new(0xFFFCFFFC, "OB", bytes(500))  # data set trailing padding
    headers = read_headers(saved(dataset, tmp_path))
    stored_pixels(headers[2])
    with pytest.raises(BadSliceError, match="2540 of 2640 bytes"):
        stored_pixels(headers[3])


def test_a_frame_s_own_group_goes_before_the_shared_one(tmp_path):
    dataset = enhanced(HEIGHTS)
    dataset.PerFrameFunctionalGroupsSequence[1].PixelMeasuresSequence = [
        item(PixelSpacing=[0.9, 0.9])
    ]
    spacings = [header.spacing_mm for header in read_headers(saved(dataset, tmp_path))]
    assert spacings == [SPACING, (0.9, 0.9), SPACING, SPACING]


def test_frames_and_their_groups_must_agree_in_number(tmp_path):
    dataset = enhanced(HEIGHTS)
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    with pytest.raises(VolumeError, match="describes 3 frames and says it has 4"):
        read_headers(saved(dataset, tmp_path))


@pytest.mark.parametrize("value", [[1.0, 2.0], [0.0, 0.0, float("inf")]])
def test_a_damaged_group_is_refused(tmp_path, value):
    dataset = enhanced(HEIGHTS)
    group = dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    group["ImagePositionPatient"].value = [str(x) for x in value][:2] + (
        ["1e999"] if len(value) == 3 else []
    )
    with pytest.raises(VolumeError, match="cannot be understood"):
        read_headers(saved(dataset, tmp_path))


def test_a_frame_without_rescale_has_none_rather_than_a_neighbours(tmp_path):
    dataset = enhanced(HEIGHTS)
    del dataset.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence
    headers = read_headers(saved(dataset, tmp_path))
    assert [h.rescale is None for h in headers] == [False, True, False, False]


def test_many_pictures_without_a_place_are_one_object_with_a_problem(tmp_path):
    dataset = enhanced(HEIGHTS)
    dataset.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    del dataset.PerFrameFunctionalGroupsSequence
    (header,) = read_headers(saved(dataset, tmp_path))
    assert "4 pictures" in header.problem
    with pytest.raises(BadSliceError, match="where each of them lies"):
        stored_pixels(header)


def test_a_segmentation_is_one_object_whatever_its_frames_say(tmp_path):
    dataset = enhanced(HEIGHTS)
    dataset.SOPClassUID, dataset.Modality = SegmentationStorage, "SEG"
    (header,) = read_headers(saved(dataset, tmp_path))
    assert (header.modality, header.frames) == ("SEG", 4)
    assert "no slices" in header.problem


def test_the_enhanced_ct_of_dcmqi_equals_its_classic_series(shared_dir):
    folder = shared_dir / "data" / "tricky" / "enhanced"
    frames = read_headers(folder / "dcmqi_23x38x3_multiframe_ct.dcm")
    classic = [read_headers(path)[0] for path in (folder / "dcmqi_23x38x3_classic").iterdir()]
    by_height = {header.position_mm: header for header in classic}
    assert len(frames) == 3
    for frame in frames:
        single = by_height[frame.position_mm]
        assert (frame.orientation, frame.spacing_mm) == (single.orientation, single.spacing_mm)
        np.testing.assert_array_equal(stored_pixels(frame), stored_pixels(single))
