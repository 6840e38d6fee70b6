"""Sound DICOM series of the made-up patient, for the cases to spoil."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from torture.judge import Made, Scan, hu_at

#: Whoever reads the scan must not find these in what the reader tells of it.
IDENTIFYING = {
    "PatientName": "Musterfrau^Erika",
    "PatientID": "PID4711",
    "PatientBirthDate": "19640812",
    "AccessionNumber": "ACC90210",
    "InstitutionName": "Charlottenklinik",
    "ReferringPhysicianName": "Hausarzt^Heinz",
    "OperatorsName": "Knipser^Karl",
    "StudyDate": "20191224",
    "SeriesDate": "20191224",
    "StudyID": "STUDY815",
}

AXIAL = (1.0, 0, 0, 0, 1, 0)
COUNT, SIZE, SPACING, ORIGIN = 5, (9, 8), (0.8, 0.6), (-21.0, -32.0, 40.0)


def turned(*degrees_about_lps: float) -> tuple[float, ...]:
    """Row and column direction of an axial slice, turned about L, then P, then S."""
    matrix = np.eye(3)
    for axis, angle in enumerate(degrees_about_lps):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        one, two = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[one, one], turn[two, two], turn[one, two], turn[two, one] = c, c, -s, s
        matrix = turn @ matrix
    return (*matrix[:, 0], *matrix[:, 1])


@dataclass
class Series:
    """Data sets in the order of their levels, and the truth of them."""

    slices: list[FileDataset]
    scan: Scan

    @property
    def uid(self) -> str:
        """Of the series."""
        return str(self.slices[0].SeriesInstanceUID)

    def set(self, **tags: object) -> Series:
        """Give all slices these tags; None removes one."""
        for dataset in self.slices:
            for keyword, value in tags.items():
                if value is None:
                    dataset.pop(keyword, None)
                else:
                    setattr(dataset, keyword, value)
        return self

    def without(self, *indices: int, still_true: bool = True) -> Series:
        """Drop slices; the truth then knows nothing of them either."""
        kept = [k for k in range(len(self.slices)) if k not in indices]
        levels = tuple(self.scan.levels[k] for k in kept) if still_true else self.scan.levels
        return Series([self.slices[k] for k in kept], replace(self.scan, levels=levels))

    def save(self, folder: Path, *, prefix: str = "", suffix: str = ".dcm") -> Made:
        """Write the slices under names that say nothing of their order."""
        save_datasets(self.slices, folder, prefix=prefix, suffix=suffix)
        return Made(folder, (self.scan,))


def stored_numbers(
    points: np.ndarray,
    value: Callable[[np.ndarray], np.ndarray],
    slope: float,
    intercept: float,
    dtype: str,
) -> np.ndarray:
    """The numbers of a slice, [row, column]: `points` is [column, row, 3]."""
    numbers = (value(points).T - intercept) / slope
    if np.dtype(dtype).kind != "f":
        numbers = np.rint(numbers)
        limits = np.iinfo(dtype)
        assert limits.min <= numbers.min(), "the case does not fit its own type"
        assert numbers.max() <= limits.max, "the case does not fit its own type"
    return numbers.astype(dtype)


def new_dataset(sop_class: str = CTImageStorage) -> FileDataset:
    """An object with what every file of a patient has."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    for keyword, text in IDENTIFYING.items():
        setattr(dataset, keyword, text)
    return dataset


def put_raw(dataset: Dataset, keyword: str, content: bytes, vr: str = "DS") -> None:
    """Set an element to bytes that pydicom would refuse to write or change."""
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(content), content, 0, False, True)


def put_pixels(dataset: Dataset, numbers: np.ndarray) -> None:
    """Set the pixels and what describes them."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = numbers.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = numbers.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(numbers.dtype.kind == "i")
    dataset.PixelData = numbers.tobytes() + b"\0" * (numbers.nbytes % 2)
    dataset["PixelData"].VR = "OB" if numbers.dtype.itemsize == 1 else "OW"


def series(
    levels: Sequence[float] | int = COUNT,
    *,
    size: tuple[int, int] = SIZE,
    spacing: tuple[float, float] = SPACING,
    origin: Sequence[float] = ORIGIN,
    orientation: Sequence[float] = AXIAL,
    step: Sequence[float] | None = None,
    value: Callable[[np.ndarray], np.ndarray] = hu_at,
    slope: float = 1.0,
    intercept: float = -1024.0,
    dtype: str = "<u2",
    number: int = 3,
    study: str | None = None,
    shift: Callable[[int], Sequence[float]] = lambda k: (0, 0, 0),
    digits: int = 6,
) -> Series:
    """A series as a scanner writes it.

    Parameters
    ----------
    levels
        Of the slices, in steps, or how many.
    size
        (columns, rows).
    spacing
        (between rows, between columns), in DICOM's order.
    step
        From slice to slice, LPS mm; 2 mm along the normal by default.
    shift
        Moves the position that slice `k` says and is measured at.
    """
    heights = tuple(map(float, range(levels) if isinstance(levels, int) else levels))
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    if step is None:
        step = 2 * np.cross(along_row, along_column)
    affine = np.eye(4)
    affine[:3] = np.column_stack([along_row * spacing[1], along_column * spacing[0], step, origin])
    scan = Scan(affine, size, heights, value, within=0.51 * abs(slope))
    grid = scan.points()
    uid, frame, study = generate_uid(), generate_uid(), study or generate_uid()
    slices = []
    for k in range(len(heights)):
        offset = np.array(shift(k), dtype=float)
        dataset = new_dataset()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, uid
        dataset.FrameOfReferenceUID = frame
        dataset.Modality = "CT"
        dataset.SeriesNumber, dataset.InstanceNumber = number, k + 1
        dataset.AcquisitionNumber = 1
        dataset.SeriesDescription = f"Thorax {number}"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.ConvolutionKernel, dataset.KVP = "B30f", 120
        dataset.PatientPosition = "HFS"
        dataset.SliceThickness = round(float(np.linalg.norm(step)), 4)
        place = grid[0, 0, k] + offset
        dataset.ImagePositionPatient = [f"{x:.{digits}f}" for x in place]
        dataset.ImageOrientationPatient = [f"{x:.10f}" for x in orientation]
        dataset.PixelSpacing = list(spacing)
        dataset.SliceLocation = round(float(place[2]), 3)
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        dataset.RescaleType = "HU"
        numbers = stored_numbers(grid[:, :, k] + offset, value, slope, intercept, dtype)
        put_pixels(dataset, numbers)
        slices.append(dataset)
    return Series(slices, scan)


def save_datasets(
    datasets: Iterable[FileDataset], folder: Path, *, prefix: str = "", suffix: str = ".dcm"
) -> list[Path]:
    """Write data sets under shuffled names; returns their paths in the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = list(datasets)
    names = np.random.default_rng(len(listed)).permutation(len(listed))
    paths = [folder / f"{prefix}IM{names[k]:05d}{suffix}" for k in range(len(listed))]
    for dataset, path in zip(listed, paths, strict=True):
        dataset.save_as(path, enforce_file_format=True)
    return paths
