"""Folders with more than one DICOM series, phase or kind of object."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import generate_uid

from torture.cases import Catalogue
from torture.dicom_series import Series, new_dataset, save_datasets, series, turned
from torture.judge import Made, Verdict, hu_at, later_hu_at

groups = Catalogue()
case = groups.case
RIGHT, ASKED, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.ASKED, Verdict.REPAIRED, Verdict.REFUSED
LOCALIZER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _both(folder: Path, *several: Series) -> Made:
    for k, one in enumerate(several):
        save_datasets(one.slices, folder, prefix=f"{'cab'[k % 3]}{k}")
    return Made(folder, tuple(one.scan for one in several))


def _two_phases() -> tuple[Series, Series]:
    """Two series that share UID and places."""
    first, second = series(), series(value=later_hu_at)
    second.set(SeriesInstanceUID=first.uid, StudyInstanceUID=first.slices[0].StudyInstanceUID)
    for k, dataset in enumerate(second.slices):
        dataset.InstanceNumber = len(first.slices) + k + 1
    return first, second


@case("two series", ASKED)
def two_series(folder: Path) -> Made:
    return _both(folder, series(number=2), series(number=4, value=later_hu_at))


@case("three series of different directions", ASKED)
def three_series(folder: Path) -> Made:
    return _both(
        folder,
        series(number=2),
        series(number=3, orientation=(1, 0, 0, 0, 0, -1)),
        series(number=4, orientation=(0, 1, 0, 0, 0, -1), size=(7, 11)),
    )


@case("two patients", ASKED)
def two_patients(folder: Path) -> Made:
    other = series(value=later_hu_at, origin=(5, 5, 20))
    other.set(PatientName="Musterfrau^Zweite", PatientID="PID4711b")
    return _both(folder, series(), other)


@case("two series, in folders of their own", ASKED)
def two_folders(folder: Path) -> Made:
    first, second = series(number=2), series(number=2, value=later_hu_at)
    save_datasets(first.slices, folder / "one")
    save_datasets(second.slices, folder / "two")
    return Made(folder, (first.scan, second.scan))


@case("a scout with the UID of the series")
def localizer_inside(folder: Path) -> Made:
    made = series()
    scout = series(2, orientation=(1, 0, 0, 0, 0, -1), size=(20, 30), origin=(-60, -30, 90))
    scout.set(SeriesInstanceUID=made.uid, ImageType=LOCALIZER)
    save_datasets(scout.slices, folder, prefix="scout")
    return made.save(folder)


@case("an axial scout with the UID of the series")
def axial_localizer(folder: Path) -> Made:
    made, scout = series(), series(1, origin=(-21, -32, 45))
    scout.set(SeriesInstanceUID=made.uid, ImageType=LOCALIZER)
    save_datasets(scout.slices, folder, prefix="scout")
    return made.save(folder)


@case("a scout series beside the CT")
def localizer_beside(folder: Path) -> Made:
    scout = series(2, orientation=(1, 0, 0, 0, 0, -1), size=(20, 30), number=1)
    save_datasets(scout.set(ImageType=LOCALIZER).slices, folder, prefix="scout")
    return series().save(folder)


@case("scouts only", REFUSED, because="(?i)locali[sz]er|scout")
def only_localizers(folder: Path) -> Made:
    scout = series(2, orientation=(1, 0, 0, 0, 0, -1), size=(20, 30), number=1)
    return scout.set(ImageType=LOCALIZER).save(folder)


@case("two phases told apart by acquisition number", ASKED)
def by_acquisition(folder: Path) -> Made:
    first, second = _two_phases()
    second.set(AcquisitionNumber=2)
    return _both(folder, first, second)


@case("two phases told apart by temporal position", ASKED)
def by_temporal_position(folder: Path) -> Made:
    first, second = _two_phases()
    first.set(TemporalPositionIdentifier=1)
    second.set(TemporalPositionIdentifier=2)
    return _both(folder, first, second)


@case("two phases of the heart beat, told apart by trigger time", ASKED)
def by_trigger(folder: Path) -> Made:
    first, second = _two_phases()
    first.set(TriggerTime=75)
    second.set(TriggerTime=625)
    return _both(folder, first, second)


@case("two phases told apart by the acquisition time", {ASKED, REFUSED}, because="(?i)phase|place")
def by_time(folder: Path) -> Made:
    first, second = _two_phases()
    first.set(AcquisitionTime="101500.000")
    second.set(AcquisitionTime="101730.000")
    return _both(folder, first, second)


@case(
    "two phases told apart by nothing but their content", {ASKED, REFUSED}, because="(?i)phase|pla"
)
def by_nothing(folder: Path) -> Made:
    first, second = _two_phases()
    for one, other in zip(first.slices, second.slices, strict=True):
        other.InstanceNumber = one.InstanceNumber
    return _both(folder, first, second)


@case("two phases, one lacks a slice", {ASKED, REPAIRED, REFUSED}, because="(?i)phase|miss|place")
def one_phase_short(folder: Path) -> Made:
    first, second = _two_phases()
    second.set(AcquisitionNumber=2)
    return _both(folder, first, second.without(4))


@case("acquisition number differs in every slice of one scan")
def acquisition_per_slice(folder: Path) -> Made:
    made = series()
    for k, dataset in enumerate(made.slices):
        dataset.AcquisitionNumber = k + 1
    return made.save(folder)


@case("trigger time differs in every slice of one scan")
def trigger_per_slice(folder: Path) -> Made:
    made = series()
    for k, dataset in enumerate(made.slices):
        dataset.TriggerTime = 75 + k
    return made.save(folder)


@case("two energies at the same places", {ASKED, REFUSED}, because="(?i)phase|place|energ")
def two_energies(folder: Path) -> Made:
    first, second = _two_phases()
    second.set(KVP=80)
    return _both(folder, first, second)


@case("two kernels under one UID", {ASKED, REFUSED}, because="(?i)phase|place|kernel")
def two_kernels(folder: Path) -> Made:
    first, second = _two_phases()
    second.set(ConvolutionKernel="B70f")
    return _both(folder, first, second)


@case("one UID for two scans of different spacing", ASKED)
def shared_uid(folder: Path) -> Made:
    first = series()
    second = series(4, spacing=(1.0, 0.9), value=later_hu_at, origin=(-10, -10, 10))
    return _both(folder, first, second.set(SeriesInstanceUID=first.uid))


@case("one UID for two scans of different distance, same places", {ASKED, REFUSED}, because=".")
def shared_uid_same_places(folder: Path) -> Made:
    first = series(9, step=(0, 0, 1.0))
    second = series(5, value=later_hu_at).set(SeriesInstanceUID=first.uid, ConvolutionKernel="B70f")
    return _both(folder, first, second)


@case(
    "one UID for two scans far apart", {ASKED, REPAIRED, REFUSED}, because="(?i)missing|spac|apart"
)
def shared_uid_apart(folder: Path) -> Made:
    first = series()
    second = series(origin=(-21, -32, 140)).set(SeriesInstanceUID=first.uid)
    return _both(folder, first, second)


@case("one UID for an original and its coronal reformat", {RIGHT, ASKED})
def derived_inside(folder: Path) -> Made:
    first = series()
    second = series(orientation=(1, 0, 0, 0, 0, -1), size=(9, 5))
    second.set(SeriesInstanceUID=first.uid, ImageType=["DERIVED", "SECONDARY", "REFORMATTED"])
    return _both(folder, first, second)


@case(
    "one UID for every slice: the anonymiser gave each its own",
    {RIGHT, ASKED, REFUSED},
    because=".",
)
def uid_per_slice(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.SeriesInstanceUID = generate_uid()
    return made.save(folder)


@case("the same SOP instance UID in every slice")
def one_instance_uid(folder: Path) -> Made:
    made = series()
    uid = generate_uid()
    for dataset in made.slices:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    return made.save(folder)


@case(
    "all identifying tags and UIDs emptied by an anonymiser",
    {RIGHT, REFUSED},
    because="(?i)uid|series",
)
def emptied(folder: Path) -> Made:
    made = series().set(
        PatientName="", PatientID="", StudyInstanceUID="", SeriesInstanceUID="", SeriesDate=""
    )
    made.set(FrameOfReferenceUID="", SeriesNumber=None, SeriesDescription="")
    return made.save(folder)


def _beside(folder: Path, other: FileDataset) -> Made:
    other.save_as(folder / "beside.dcm", enforce_file_format=True)
    return series().save(folder)


def _other(sop_class: str, modality: str) -> FileDataset:
    dataset = new_dataset(sop_class)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = modality, 77, 1
    dataset.SeriesDescription = "beside"
    return dataset


@case("structures (RTSTRUCT) beside the CT")
def structures(folder: Path) -> Made:
    other = _other("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT")
    region = Dataset()
    region.ROINumber, region.ROIName = 1, "PTV"
    other.StructureSetROISequence = [region]
    return _beside(folder, other)


@case("a dose report beside the CT")
def dose_report(folder: Path) -> Made:
    other = _other("1.2.840.10008.5.1.4.1.1.88.67", "SR")
    other.ValueType = "CONTAINER"
    return _beside(folder, other)


@case("a presentation state beside the CT")
def presentation(folder: Path) -> Made:
    return _beside(folder, _other("1.2.840.10008.5.1.4.1.1.11.1", "PR"))


@case("a report as PDF beside the CT")
def pdf(folder: Path) -> Made:
    other = _other("1.2.840.10008.5.1.4.1.1.104.1", "DOC")
    other.EncapsulatedDocument = b"%PDF-1.4 nothing"
    return _beside(folder, other)


def _colour(sop_class: str = "1.2.840.10008.5.1.4.1.1.7") -> FileDataset:
    other = _other(sop_class, "CT")
    other.SamplesPerPixel, other.PhotometricInterpretation = 3, "RGB"
    other.PlanarConfiguration, other.Rows, other.Columns = 0, 6, 7
    other.BitsAllocated = other.BitsStored = 8
    other.HighBit, other.PixelRepresentation = 7, 0
    other.PixelData = bytes(range(126))
    other["PixelData"].VR = "OB"
    return other


@case("a coloured screenshot beside the CT")
def screenshot(folder: Path) -> Made:
    return _beside(folder, _colour())


@case("a coloured screenshot alone", REFUSED, because="(?i)colour|RGB|screen", is_volume=False)
def screenshot_alone(folder: Path) -> Made:
    path = folder / "screen.dcm"
    _colour().save_as(path, enforce_file_format=True)
    return Made(path)


@case("structures alone", REFUSED, because="(?i)RTSTRUCT|structure|contour")
def structures_alone(folder: Path) -> Made:
    path = folder / "rs.dcm"
    _other("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT").save_as(path, enforce_file_format=True)
    return Made(path)


@case("PET of the same patient beside the CT", {RIGHT, ASKED})
def pet_beside(folder: Path) -> Made:
    pet = series(4, spacing=(4, 4), step=(0, 0, 4), intercept=0, value=lambda p: hu_at(p) + 700)
    pet.set(Modality="PT", Units="BQML", RescaleType="BQML", SeriesNumber=9)
    for dataset in pet.slices:
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    save_datasets(pet.slices, folder, prefix="pet")
    return series().save(folder)


@case("segmentation (SEG) beside its CT")
def segmentation_beside(folder: Path) -> Made:
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept

    made = series()
    paths = save_datasets(made.slices, folder)
    sources = [pydicom.dcmread(path) for path in paths]
    for dataset in sources:
        for keyword in ("PatientSex", "StudyTime", "ReferringPhysicianName"):
            setattr(dataset, keyword, getattr(dataset, keyword, ""))
    mask = np.zeros((len(sources), 8, 9), np.uint8)
    mask[:, 2:5, 3:7] = 1
    code = CodedConcept("10200004", "SCT", "Liver")
    described = hd.seg.SegmentDescription(
        1, "liver", CodedConcept("123037004", "SCT", "Anatomical Structure"), code, "MANUAL"
    )
    made_seg = hd.seg.Segmentation(
        sources, mask, "BINARY", [described], generate_uid(), 20, generate_uid(), 1,
        "maker", "model", "1", "serial",
    )  # fmt: skip
    made_seg.save_as(folder / "seg.dcm")
    return Made(folder, (made.scan,))


@case("one oblique series and its straight twin", ASKED)
def oblique_twin(folder: Path) -> Made:
    return _both(folder, series(number=2), series(7, number=3, orientation=turned(20, 0, 0)))


@case("a stack and a lone slice of another series")
def lone_slice(folder: Path) -> Made:
    save_datasets(series(1, number=9, origin=(0, 0, 7)).slices, folder, prefix="lone")
    return series().save(folder)


@case("the study's CT with thin and thick slices under two UIDs", ASKED)
def thin_and_thick(folder: Path) -> Made:
    study = generate_uid()
    thin = series(9, step=(0, 0, 1.0), number=2, study=study)
    return _both(folder, thin, series(3, step=(0, 0, 4.0), number=3, study=study))


@case("volumes after volumes: four phases", ASKED)
def four_phases(folder: Path) -> Made:
    made = []
    for phase in range(4):
        made.append(series(4, value=lambda p, phase=phase: hu_at(p) + 40 * phase))
        made[-1].set(SeriesInstanceUID=made[0].uid, TemporalPositionIdentifier=phase + 1)
        made[-1].set(NumberOfTemporalPositions=4)
    return _both(folder, *(replace(one) for one in made))
