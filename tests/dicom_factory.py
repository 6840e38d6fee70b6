"""Tiny CT series whose HU are known at known places in the patient, and their ailments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.frame import IPL_TO_LPS
from napari_hirescam.volume import Grid, Volume

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
TILT = np.radians(15)
TILTED = (1.0, 0.0, 0.0, 0.0, float(np.cos(TILT)), float(-np.sin(TILT)))


def hu_at(lps_mm: np.ndarray) -> np.ndarray:
    """The patient: HU rise differently along each axis, so every mix-up shows. [..., 3] mm."""
    return np.rint(lps_mm @ np.array([2.0, 5.0, 11.0]) - 600)


@dataclass
class Slice:
    """One file to be: the data set, and the numbers in it."""

    dataset: FileDataset
    name: str

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        self.dataset.save_as(path, enforce_file_format=True)
        return path


def make_slice(
    position: tuple[float, ...],
    *,
    series_uid: str,
    orientation: tuple[float, ...] = AXIAL,
    spacing: tuple[float, float] = (0.8, 0.6),
    size: tuple[int, int] = (6, 9),
    slope: float = 1.0,
    intercept: float = -1024.0,
    signed: bool = False,
    shift_hu: float = 0.0,
    name: str = "slice.dcm",
    **tags: object,
) -> Slice:
    """One slice of the patient.

    `spacing` is (between rows, between columns); `shift_hu` makes it another patient, or the
    same one with a contrast agent; `tags` overrides data elements by keyword, and
    removes those given as None.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID = series_uid
    dataset.SeriesNumber = 3
    dataset.SeriesDescription = "made up"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.SamplesPerPixel = 1
    dataset.Rows, dataset.Columns = size
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(signed)
    dataset.ImagePositionPatient = [f"{x:.6f}" for x in position]
    dataset.ImageOrientationPatient = [f"{x:.10f}" for x in orientation]
    dataset.PixelSpacing = list(spacing)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    row, column = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    place = (
        np.array(position)
        + column[..., None] * spacing[1] * along_row
        + row[..., None] * spacing[0] * along_column
    )
    stored = np.rint((hu_at(place) + shift_hu - intercept) / slope)
    dataset.PixelData = stored.astype(np.int16 if signed else np.uint16).tobytes()
    for keyword, value in tags.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return Slice(dataset, name)


def make_series(
    n: int = 5,
    *,
    origin: tuple[float, ...] = (-20.0, -30.0, 40.0),
    step: tuple[float, ...] = (0.0, 0.0, 2.0),
    series_uid: str | None = None,
    **slice_options: object,
) -> list[Slice]:
    """Slices in the order of `step`, named in another."""
    uid = series_uid or generate_uid()
    names = np.random.default_rng(0).permutation(n)
    return [
        make_slice(
            tuple(np.array(origin) + k * np.array(step)),
            series_uid=uid,
            name=f"{uid[-4:]}_{names[k]:03d}.dcm",
            **{"InstanceNumber": k, **slice_options},
        )
        for k in range(n)
    ]


def save_all(slices: list[Slice], folder: Path) -> Path:
    for one in slices:
        one.save(folder)
    return folder


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
