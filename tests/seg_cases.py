"""A CT series that belongs to somebody, and segmentations of it as other programs write them."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from dicom_factory import make_series, save_all
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from napari_hirescam import io

PATIENT = {
    "PatientName": "Müller^Jörg",
    "PatientID": "P-4711",
    "PatientBirthDate": "19500102",
    "StudyDate": "20200304",
    "AccessionNumber": "A-99",
    "InstitutionName": "General Hospital",
    "StudyDescription": "Schädel für Jörg",
    "SpecificCharacterSet": "ISO_IR 100",
}


def patient_series(n: int = 6, **options):
    """Slices with all that a segmentation must repeat."""
    study = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid()}
    return make_series(n, **{**study, **PATIENT, **options})


def read_series(folder: Path, n: int = 6, *, allow=(), **options):
    return io.read_volume(save_all(patient_series(n, **options), folder), allow=allow)


def blobs(shape: tuple[int, int, int]) -> np.ndarray:
    """A mask with the values 5 and 52; the first and the last slice are empty."""
    mask = np.zeros(shape, np.uint8)
    mask[1, 2:5, 1:4] = 5
    mask[shape[0] - 3, 1, 2:7] = 52
    mask[shape[0] - 3, 4, 0] = 5
    return mask


def enhanced(slices, path: Path) -> Path:
    """The same series as one multi-frame file."""
    for one in slices:
        tags = one.dataset
        tags.StudyTime = tags.ContentTime = "101112"
        tags.SeriesDate = tags.ContentDate = tags.AcquisitionDate = tags.StudyDate
        tags.SeriesTime = tags.AcquisitionTime = "101112"
        tags.AcquisitionNumber, tags.StudyID, tags.PatientSex = 1, "1", "O"
        tags.Manufacturer, tags.SliceThickness, tags.RescaleType = "made up", 2.0, "HU"
        tags.KVP = 120
        tags.ReferringPhysicianName = ""
    image = hd.legacy.LegacyConvertedEnhancedCTImage(
        [one.dataset for one in slices],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path)
    return path


def others_seg(path: Path, folder: Path, pixels: np.ndarray, names, kind="BINARY", **options):
    """A segmentation by highdicom over the series in a folder, [slice, row, column(, segment)]."""
    sources = [pydicom.dcmread(file) for file in folder.iterdir() if file != path]
    sources.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    for source in sources:
        source.StudyTime, source.StudyID, source.PatientSex = "", "", "O"
        source.SliceThickness = 2.0
    segments = [
        hd.seg.SegmentDescription(
            k, name, codes.SCT.Organ, codes.SCT.Liver, "MANUAL",
            display_color=hd.color.CIELabColor.from_rgb(255, 0, 0),
        )
        for k, name in enumerate(names, start=1)
    ]  # fmt: skip
    seg = hd.seg.Segmentation(
        sources, pixels, kind, segments, generate_uid(), 7, generate_uid(), 1, "somebody", "else",
        "1", "0", series_description="theirs", **options,
    )  # fmt: skip
    seg.save_as(path)
    return path
