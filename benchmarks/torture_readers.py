"""How other readers open a scan, each by the call its own documentation shows.

Where a call has options that suit a CT, they are set; where a folder holds several series, the
largest is taken. Each returns (voxels, 4x4 from index to LPS mm), several of them if it hands
out several volumes at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Found = list[tuple[np.ndarray, np.ndarray]]
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def by_simpleitk(path: Path) -> Found:
    """`ImageSeriesReader` for a series, `ReadImage` for a file."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if path.is_dir():
        names = _itk_series(SimpleITK.ImageSeriesReader, path)
        image = SimpleITK.ReadImage(names[0] if len(names) == 1 else names)
    elif _is_slice(path):
        reader = SimpleITK.ImageSeriesReader
        uid = SimpleITK.ImageFileReader()
        uid.SetFileName(str(path))
        uid.ReadImageInformation()
        names = reader.GetGDCMSeriesFileNames(str(path.parent), uid.GetMetaData("0020|000e"))
        image = SimpleITK.ReadImage(names)
    else:
        image = SimpleITK.ReadImage(str(path))
    voxels = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise ValueError("it holds vectors")
    spacing, origin = image.GetSpacing(), image.GetOrigin()
    turn = np.array(image.GetDirection()).reshape(len(spacing), -1)
    affine = np.eye(4)
    affine[:3, :3] = turn[:3, :3] * np.array(spacing[:3])
    affine[:3, 3] = origin[:3]
    return [(one.T, affine) for one in (voxels if voxels.ndim == 4 else [voxels])]


def _itk_series(reader: Any, folder: Path) -> list[str]:
    """The largest series of the folder, or of the folders in it if it has none itself."""
    uids = reader.GetGDCMSeriesIDs(str(folder))
    nested = not uids
    if nested:
        inner = (path for path in folder.rglob("*") if path.is_dir())
        uids = {uid for path in inner for uid in reader.GetGDCMSeriesIDs(str(path))}
    found = [
        reader.GetGDCMSeriesFileNames(str(folder), uid, recursive=nested) for uid in sorted(uids)
    ]
    if not found:
        raise ValueError("no DICOM series")
    return list(max(found, key=len))


def _is_slice(path: Path) -> bool:
    """Say whether a file is one DICOM slice of several."""
    if path.name == "DICOMDIR" or path.suffix == ".zip":
        return False
    with path.open("rb") as stream:
        head = stream.read(132)
    return head[128:] == b"DICM" and len(list(path.parent.iterdir())) > 1


def by_nibabel(path: Path) -> Found:
    """`nibabel.load`."""
    import nibabel

    image = nibabel.load(path)
    voxels = np.asanyarray(image.dataobj)
    affine = RAS_TO_LPS @ image.affine
    if voxels.ndim == 4:
        return [(voxels[..., k], affine) for k in range(voxels.shape[3])]
    return [(voxels, affine)]


def _series_of(path: Path) -> list[Any]:
    """All data sets under a path that pydicom reads, of the largest series."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    if not path.is_dir() and not _is_slice(path):
        return [pydicom.dcmread(path)]
    groups = defaultdict(list)
    for file in sorted((path if path.is_dir() else path.parent).rglob("*")):
        if not file.is_file() or file.name == "DICOMDIR":
            continue
        try:
            dataset = pydicom.dcmread(file)
        except InvalidDicomError:  # junk that lies beside the slices
            continue
        if "Rows" in dataset:
            groups[dataset.SeriesInstanceUID].append(dataset)
    if not groups:
        raise ValueError("no DICOM image")
    if not path.is_dir():
        return groups[pydicom.dcmread(path).SeriesInstanceUID]
    return max(groups.values(), key=len)


def by_highdicom(path: Path) -> Found:
    """`get_volume_from_series`, or `imread(...).get_volume()` for a multi-frame object."""
    import highdicom

    plain = {"apply_presentation_lut": False, "apply_real_world_transform": False}
    datasets = _series_of(path)
    if len(datasets) == 1 and "NumberOfFrames" in datasets[0]:
        image = highdicom.imread(datasets[0].filename)
        volume = image.get_volume(**plain)
    else:
        volume = highdicom.get_volume_from_series(datasets, **plain)
    return [(np.asarray(volume.array), volume.affine)]


def by_pydicom(path: Path) -> Found:
    """What scripts do by hand: sort by height, scale each slice, take the first for all."""
    from pydicom.pixels import apply_rescale

    datasets = _series_of(path)
    along_row, along_column = np.array(datasets[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along_row, along_column)
    datasets.sort(key=lambda one: float(normal @ np.array(one.ImagePositionPatient, float)))
    voxels = np.stack([apply_rescale(one.pixel_array, one) for one in datasets])
    first, second = (np.array(one.ImagePositionPatient, float) for one in datasets[:2])
    between_rows, between_columns = map(float, datasets[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3] = np.column_stack(
        [second - first, along_column * between_rows, along_row * between_columns, first]
    )
    return [(voxels, affine)]


def by_dicom2nifti(path: Path) -> Found:
    """`dicom_series_to_nifti`, without turning the result."""
    import tempfile

    import dicom2nifti
    import nibabel

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "ct.nii"
        source = path if path.is_dir() else path.parent
        dicom2nifti.dicom_series_to_nifti(source, made, reorient_nifti=False)
        image = nibabel.load(made)
        return [(np.array(image.dataobj), RAS_TO_LPS @ image.affine)]


def by_pynrrd(path: Path) -> Found:
    """`nrrd.read`; what the header says of the place put together by hand."""
    import nrrd

    voxels, header = nrrd.read(str(path))
    space = str(header["space"])
    signs = {"left-posterior-superior": (1, 1, 1), "RAS": (-1, -1, 1), "LAS": (1, -1, 1)}
    affine = np.eye(4)
    directions = np.array(header["space directions"], float)
    axes = [k for k in range(len(directions)) if np.isfinite(directions[k]).all()]
    affine[:3, :3] = directions[axes].T
    affine[:3, 3] = header["space origin"]
    affine = np.diag([*signs[space], 1.0]) @ affine
    if voxels.ndim == 4 and "list" in header["kinds"]:
        times = next(k for k in range(4) if k not in axes)
        return [(one, affine) for one in np.moveaxis(voxels, times, 0)]
    return [(voxels, affine)]


def _by_monai(reader: str) -> Callable[[Path], Found]:
    def read(path: Path) -> Found:
        import torch
        from monai.transforms import LoadImage

        torch.set_num_threads(1)
        if path.is_file() and _is_slice(path):
            path = path.parent
        image = LoadImage(reader=reader, image_only=True)(path)
        voxels, affine = np.asarray(image), np.asarray(image.affine)
        if voxels.ndim == 4:
            return [(voxels[..., k], RAS_TO_LPS @ affine) for k in range(voxels.shape[3])]
        return [(voxels, RAS_TO_LPS @ affine)]

    read.__doc__ = f"`LoadImage(reader={reader!r})`."
    return read


READERS: dict[str, tuple[str, tuple[str, ...], Callable[[Path], Found]]] = {
    # name in the table: (module it needs, families it reads, the call)
    "SimpleITK": ("SimpleITK", ("DICOM", "NIfTI", "NRRD", "MetaImage"), by_simpleitk),
    "nibabel": ("nibabel", ("NIfTI",), by_nibabel),
    "pynrrd": ("nrrd", ("NRRD",), by_pynrrd),
    "highdicom": ("highdicom", ("DICOM",), by_highdicom),
    "pydicom, by hand": ("pydicom", ("DICOM",), by_pydicom),
    "dicom2nifti": ("dicom2nifti", ("DICOM",), by_dicom2nifti),
    "MONAI, PydicomReader": ("monai", ("DICOM",), _by_monai("PydicomReader")),
    "MONAI, ITKReader": (
        "itk",
        ("DICOM", "NIfTI", "NRRD", "MetaImage"),
        _by_monai("ITKReader"),
    ),
    "MONAI, NibabelReader": ("monai", ("NIfTI",), _by_monai("NibabelReader")),
    "MONAI, NrrdReader": ("monai", ("NRRD",), _by_monai("NrrdReader")),
}
