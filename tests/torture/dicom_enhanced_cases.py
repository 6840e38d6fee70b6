"""CT in one multi-frame object: enhanced, legacy converted, and what only looks like it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import RLELossless, generate_uid

from torture.cases import Catalogue
from torture.dicom_series import Series, new_dataset, put_pixels, series, turned
from torture.judge import Made, Verdict, later_hu_at

enhanced = Catalogue()
case = enhanced.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CT = "1.2.840.10008.5.1.4.1.1.2.2"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def _item(**tags: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset


def multi_frame(
    slices: list[FileDataset],
    *,
    sop_class: str = ENHANCED_CT,
    shared: bool = True,
    stacks: list[str] | None = None,
    times: list[int] | None = None,
) -> FileDataset:
    """One object with the slices as frames, in the order given.

    `shared` puts what frames have in common into the shared groups, else it stands in each.
    """
    first = slices[0]
    made = new_dataset(sop_class)
    made.Modality = "MR" if sop_class == ENHANCED_MR else "CT"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(made, keyword, getattr(first, keyword))
    made.SeriesNumber, made.InstanceNumber, made.SeriesDescription = 3, 1, "Thorax enhanced"
    made.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    put_pixels(made, np.stack([one.pixel_array for one in slices]))
    made.NumberOfFrames = len(slices)

    def common(one: FileDataset) -> dict[str, object]:
        rescale = _item(
            RescaleIntercept=one.RescaleIntercept,
            RescaleSlope=one.RescaleSlope,
            RescaleType="HU",
        )
        measures = _item(PixelSpacing=one.PixelSpacing, SliceThickness=one.SliceThickness)
        direction = _item(ImageOrientationPatient=one.ImageOrientationPatient)
        return {
            "PixelMeasuresSequence": [measures],
            "PlaneOrientationSequence": [direction],
            "PixelValueTransformationSequence": [rescale],
        }

    made.SharedFunctionalGroupsSequence = [_item(**(common(first) if shared else {}))]
    made.PerFrameFunctionalGroupsSequence = []
    for k, one in enumerate(slices):
        content = _item(FrameAcquisitionNumber=1, DimensionIndexValues=[1, k + 1])
        if stacks is not None:
            content.StackID = stacks[k]
        content.InStackPositionNumber = k + 1
        if times is not None:
            content.TemporalPositionIndex = times[k]
        group = _item(
            FrameContentSequence=[content],
            PlanePositionSequence=[_item(ImagePositionPatient=one.ImagePositionPatient)],
            **({} if shared else common(one)),
        )
        made.PerFrameFunctionalGroupsSequence.append(group)
    return made


def _save(folder: Path, dataset: FileDataset, *made: Series, at_folder: bool = True) -> Made:
    path = folder / "enhanced.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return Made(folder if at_folder else path, tuple(one.scan for one in made))


@case("enhanced multi-frame")
def regular(folder: Path) -> Made:
    made = series()
    return _save(folder, multi_frame(made.slices), made, at_folder=False)


@case("enhanced multi-frame, frames shuffled")
def shuffled(folder: Path) -> Made:
    made = series()
    frames = [made.slices[k] for k in (3, 0, 4, 2, 1)]
    return _save(folder, multi_frame(frames), made)


@case("enhanced multi-frame, everything stated per frame")
def per_frame(folder: Path) -> Made:
    made = series()
    return _save(folder, multi_frame(made.slices[::-1], shared=False), made)


@case("enhanced multi-frame, rescale differs per frame")
def per_frame_rescale(folder: Path) -> Made:
    made = series()
    for k, dataset in enumerate(made.slices):
        pixels = dataset.pixel_array + 10 * k
        dataset.PixelData = pixels.astype("<u2").tobytes()
        dataset.RescaleIntercept = -1024 - 10 * k
    return _save(folder, multi_frame(made.slices, shared=False), made)


@case("enhanced multi-frame, tilted gantry", remark="(?i)tilt|straight")
def tilted(folder: Path) -> Made:
    made = series(7, orientation=turned(15, 0, 0), step=(0, 0, 2.0))
    return _save(folder, multi_frame(made.slices), made)


@case("enhanced multi-frame, two stacks", ASKED)
def two_stacks(folder: Path) -> Made:
    first = series()
    second = series(orientation=(1, 0, 0, 0, 0, -1), value=later_hu_at)
    frames = [*first.slices, *second.slices]
    return _save(
        folder, multi_frame(frames, shared=False, stacks=["1"] * 5 + ["2"] * 5), first, second
    )


@case("enhanced multi-frame, two times", ASKED)
def two_times(folder: Path) -> Made:
    first, second = series(), series(value=later_hu_at)
    frames = [one for pair in zip(first.slices, second.slices, strict=True) for one in pair]
    return _save(folder, multi_frame(frames, times=[1, 2] * 5), first, second)


@case(
    "enhanced multi-frame, a frame is missing",
    REPAIRED,
    repairs=("insert-missing",),
    because="(?i)missing",
)
def frame_missing(folder: Path) -> Made:
    made = series(7).without(3)
    return _save(folder, multi_frame(made.slices), made)


@case("enhanced multi-frame, RLE")
def run_length(folder: Path) -> Made:
    made = series()
    dataset = multi_frame(made.slices[::-1])
    dataset.compress(RLELossless, generate_instance_uid=False)
    return _save(folder, dataset, made)


@case(
    "enhanced multi-frame, pixels end within the fourth of five frames",
    {REPAIRED, REFUSED},
    repairs=("leave-out-odd",),
    because="(?i)pixel|frame|short|end",
)
def short(folder: Path) -> Made:
    made = series()
    dataset = multi_frame(made.slices)
    dataset.PixelData = dataset.PixelData[: -2 * 72 - 20]
    made.scan = replace(made.scan, levels=(0, 1, 2))
    return _save(folder, dataset, made)


@case(
    "enhanced multi-frame, fewer functional groups than frames", REFUSED, because="(?i)frame|group"
)
def groups_short(folder: Path) -> Made:
    made = series()
    dataset = multi_frame(made.slices)
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    return _save(folder, dataset, made)


@case("enhanced multi-frame, window and padding per frame")
def padded(folder: Path) -> Made:
    made = series(dtype="<i2", intercept=0)
    mask = np.zeros((9, 8, 5), bool)
    mask[0] = True
    for dataset in made.slices:
        pixels = dataset.pixel_array.copy()
        pixels[:, 0] = -2000
        dataset.PixelData = pixels.tobytes()
    made.scan = replace(made.scan, padded=mask)
    dataset = multi_frame(made.slices)
    dataset.add_new(0x00280120, "SS", -2000)
    return _save(folder, dataset, made)


@case("legacy converted enhanced CT")
def legacy(folder: Path) -> Made:
    made = series()
    frames = [made.slices[k] for k in (1, 0, 4, 3, 2)]
    return _save(folder, multi_frame(frames, sop_class=LEGACY_CT, shared=False), made)


@case("enhanced MR", quantity="unknown", remark="(?i)MR")
def resonance(folder: Path) -> Made:
    made = series(intercept=0, value=lambda p: later_hu_at(p) + 900)
    return _save(folder, multi_frame(made.slices, sop_class=ENHANCED_MR), made)


@case("one stack over two enhanced objects", {RIGHT, ASKED, REFUSED}, because=".")
def two_objects(folder: Path) -> Made:
    made = series(8)
    for k, part in enumerate((made.slices[::2], made.slices[1::2])):
        dataset = multi_frame(part)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(folder / f"part{k}.dcm", enforce_file_format=True)
    halves = tuple(replace(made.scan, levels=made.scan.levels[k::2]) for k in (0, 1))
    return Made(folder, (made.scan, *halves))


@case("multi-frame picture without geometry", REFUSED, because="(?i)frame|where|position|place")
def secondary_capture(folder: Path) -> Made:
    made = series()
    dataset = new_dataset("1.2.840.10008.5.1.4.1.1.7.3")
    dataset.Modality, dataset.SeriesInstanceUID = "CT", generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    put_pixels(dataset, np.stack([one.pixel_array for one in made.slices]))
    dataset.NumberOfFrames = 5
    return _save(folder, dataset, made, at_folder=False)
