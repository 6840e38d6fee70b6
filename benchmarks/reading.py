"""How fast scans are read, and in how much memory, beside what others take for the same file.

Each reading happens in a process of its own, which has imported everything it needs before the
clock starts; the readers take turns, on files that have just been written or read. A ratio
above 1 means that much longer than this package.

    python benchmarks/reading.py
    python benchmarks/reading.py --only dicom --turns 7 --slices 300
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

OURS = "napari-hirescam"
Prepared = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One format: how to write the file, who reads it, and what we promise.

    Parameters
    ----------
    write
        Puts the scan [slice, row, column] under the folder and returns the path to read.
    readers
        By name; given the path, imports what it needs and returns what is to be timed.
    bars
        How many times faster we mean to be, by the other reader's name.
    """

    write: Callable[[Path, np.ndarray], Path]
    readers: dict[str, Callable[[Path], Prepared]]
    bars: dict[str, float] = field(default_factory=dict)


def made_up_scan(n_slices: int) -> np.ndarray:
    """An int16 CT of 512 x 512 pixels per slice: a body in air, with the noise of a scanner."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[-1:1:512j, -1:1:512j]
    body = np.where(row**2 / 0.5 + column**2 / 0.8 < 1, 40, -1000)
    noise = rng.normal(0, 12, (8, 512, 512))
    scan = np.empty((n_slices, 512, 512), np.int16)
    for k in range(n_slices):
        scan[k] = np.maximum(np.rint(body + noise[k % 8] + 30 * np.sin(k / 9)), -1024)
    return scan


# DICOM: one uncompressed file per slice, 16 bits unsigned, as scanners send them.


def write_dicom(folder: Path, scan: np.ndarray) -> Path:
    """A CT series, 1 mm slices, names not in order."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    place = folder / "dicom"
    place.mkdir()
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    names = np.random.default_rng(1).permutation(len(scan))
    for k, plane in enumerate(scan):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        one.SeriesInstanceUID, one.StudyInstanceUID = series, study
        one.FrameOfReferenceUID = frame
        one.Modality, one.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.SeriesDescription, one.SeriesNumber, one.InstanceNumber = "made up", 3, k + 1
        one.Manufacturer, one.ConvolutionKernel, one.KVP = "nobody", "B70f", 120
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.Rows, one.Columns = plane.shape
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
        one.PixelSpacing, one.SliceThickness = [0.7, 0.7], 1
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [-180, -180, k]
        one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
        one.WindowCenter, one.WindowWidth = [40, -600], [400, 1500]
        _add_what_scanners_add(one, k)
        one.PixelData = (plane.astype(np.int32) + 1024).astype(np.uint16).tobytes()
        one.save_as(place / f"IM{names[k]:06d}", enforce_file_format=True)
    return place


def _add_what_scanners_add(one: Any, k: int) -> None:
    """Bring a header to some 130 elements; a scanner's own has 90 to 250."""
    from pydicom.dataset import Dataset
    from pydicom.uid import CTImageStorage, generate_uid

    one.StudyDescription, one.ProtocolName, one.BodyPartExamined = "chest", "thorax", "CHEST"
    one.ScanOptions, one.PatientPosition, one.RotationDirection = "SPIRAL", "HFS", "CW"
    one.DataCollectionDiameter, one.ReconstructionDiameter = 500, 358.4
    one.DistanceSourceToDetector, one.DistanceSourceToPatient = 1040, 570
    one.GantryDetectorTilt, one.TableHeight, one.ExposureTime = 0, 160.5, 500
    one.XRayTubeCurrent, one.Exposure, one.FilterType, one.GeneratorPower = 120, 60, "WEDGE", 16
    one.FocalSpots, one.SingleCollimationWidth, one.TotalCollimationWidth = 1.2, 0.6, 38.4
    one.TableSpeed, one.SpiralPitchFactor, one.CTDIvol = 23, 1.2, 8.1
    one.SliceLocation, one.AcquisitionNumber = k, 1
    one.SmallestImagePixelValue, one.LargestImagePixelValue = 0, 1200
    referenced = Dataset()
    referenced.ReferencedSOPClassUID = CTImageStorage
    referenced.ReferencedSOPInstanceUID = generate_uid()
    one.ReferencedImageSequence = [referenced, referenced]
    one["ReferencedImageSequence"].is_undefined_length = True
    one.SourceImageSequence = [referenced]
    for group in (0x0019, 0x0021, 0x0051):
        block = one.private_block(group, "MADE UP SCANNER", create=True)
        for element in range(24):
            block.add_new(element, "LO", f"private value {element}")


def ours(path: Path) -> Prepared:
    """Read with this package, whatever the format."""
    # As for the others, imported before the clock starts.
    import numpy.ma  # noqa: F401
    import pydicom.pixels  # noqa: F401

    from napari_hirescam import io

    return lambda: io.read_volume(path).voxels


def dicom_pydicom(path: Path) -> Prepared:
    """What one finds in most scripts: read all, sort, stack, rescale."""
    import pydicom

    def read() -> np.ndarray:
        slices = [pydicom.dcmread(file) for file in path.iterdir()]
        slices.sort(key=lambda one: one.ImagePositionPatient[2])
        first = slices[0]
        stored = np.stack([one.pixel_array for one in slices]).astype(np.int16)
        return stored * int(first.RescaleSlope) + np.int16(first.RescaleIntercept)

    return read


def dicom_simpleitk(path: Path) -> Prepared:
    """ImageSeriesReader with the files as GDCM orders them."""
    import SimpleITK as sitk  # noqa: N813 - as everybody calls it

    def read() -> np.ndarray:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        return sitk.GetArrayFromImage(reader.Execute())

    return read


# NIfTI: one file, stored to the right, front and head, as converters write it.


def nifti(name: str) -> Callable[[Path, np.ndarray], Path]:
    """Write a NIfTI file of that name; gzip at level 6, as nibabel does by itself."""

    def write(folder: Path, scan: np.ndarray) -> Path:
        import nibabel as nib

        affine = np.diag([-0.7, -0.7, 1.0, 1.0])
        nib.openers.Opener.default_compresslevel = 6
        nib.Nifti1Image(scan.transpose(2, 1, 0), affine).to_filename(folder / name)
        return folder / name

    return write


def nifti_nibabel(path: Path) -> Prepared:
    """The stored numbers, without the detour over float64 of `get_fdata`."""
    import nibabel as nib

    return lambda: np.asarray(nib.load(path, mmap=False).dataobj).transpose(2, 1, 0)


def nifti_simpleitk(path: Path) -> Prepared:
    """ReadImage and a copy of its array."""
    import SimpleITK as sitk  # noqa: N813 - as everybody calls it

    return lambda: sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


# npz: as RAD-ChestCT comes, one compressed array of square slices, named by its scan.


def write_npz(folder: Path, scan: np.ndarray) -> Path:
    """Write one array `ct`, clipped to -1000 ... 1000."""
    np.savez_compressed(folder / "trn12345.npz", ct=np.clip(scan, -1000, 1000))
    return folder / "trn12345.npz"


def npz_numpy(path: Path) -> Prepared:
    """Read it with numpy itself."""
    return lambda: np.load(path, allow_pickle=False)["ct"]


CASES: dict[str, Case] = {
    "nii.gz": Case(
        nifti("scan.nii.gz"),
        {OURS: ours, "nibabel": nifti_nibabel, "SimpleITK": nifti_simpleitk},
        {"nibabel": 2.5, "SimpleITK": 2.0},
    ),
    "nii": Case(
        nifti("scan.nii"),
        {OURS: ours, "nibabel": nifti_nibabel, "SimpleITK": nifti_simpleitk},
    ),
    "npz": Case(write_npz, {OURS: ours, "numpy": npz_numpy}, {"numpy": 1.8}),
    "dicom": Case(
        write_dicom,
        {OURS: ours, "pydicom": dicom_pydicom, "SimpleITK": dicom_simpleitk},
        {"pydicom": 4.0, "SimpleITK": 3.0},
    ),
}


def peak_bytes() -> int:
    """The most memory this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    # macOS counts in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(case: str, reader: str, path: Path) -> None:
    """Read once and print what it took, for the process that asked."""
    prepared = CASES[case].readers[reader](path)
    before = peak_bytes()
    start = time.perf_counter()
    voxels = np.asarray(prepared())
    seconds = time.perf_counter() - start
    total = int(voxels[:, ::64, ::64].sum(dtype=np.int64))
    memory = peak_bytes() - before
    print(json.dumps({"seconds": seconds, "memory": memory, "total": total}))


def in_own_process(case: str, reader: str, path: Path) -> dict[str, float]:
    """Call :func:`measure` in a fresh interpreter."""
    command = [sys.executable, __file__, "--once", case, reader, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(name: str, turns: int, n_slices: int) -> bool:
    """Print one table; say whether all bars are met."""
    case = CASES[name]
    scan = made_up_scan(n_slices)
    raw, shape = scan.nbytes, scan.shape
    with tempfile.TemporaryDirectory() as folder:
        path = case.write(Path(folder), scan)
        del scan
        runs: dict[str, list[dict[str, float]]] = {reader: [] for reader in case.readers}
        for turn in range(turns + 1):
            for reader, kept in runs.items():
                found = in_own_process(name, reader, path)
                if turn > 0:  # the first warms the cache
                    kept.append(found)
    print(
        f"\n{name}: {shape[2]} x {shape[1]} x {shape[0]} int16, {raw / 1e6:.0f} MB, {turns} turns"
    )
    print(f"{'':24}{'best s':>9}{'median s':>10}{'x best':>8}{'x median':>10}{'memory/volume':>15}")
    best = {reader: min(run["seconds"] for run in kept) for reader, kept in runs.items()}
    middle = {
        reader: statistics.median(run["seconds"] for run in kept) for reader, kept in runs.items()
    }
    memory = {reader: max(run["memory"] for run in kept) for reader, kept in runs.items()}
    good = True
    for reader in runs:
        ratios = best[reader] / best[OURS], middle[reader] / middle[OURS]
        bar = case.bars.get(reader)
        verdict = ""
        if bar is not None:
            met = min(ratios) >= bar
            verdict = f"  bar {bar:g}: {'met' if met else 'MISSED'}"
            good &= met
        if reader == OURS:
            met = memory[reader] <= 1.6 * raw
            verdict = f"  bar 1.6 for memory: {'met' if met else 'MISSED'}"
            good &= met
        print(
            f"{reader:24}{best[reader]:9.3f}{middle[reader]:10.3f}{ratios[0]:8.2f}"
            f"{ratios[1]:10.2f}{memory[reader] / raw:15.2f}{verdict}"
        )
        if runs[reader][0]["total"] != runs[OURS][0]["total"]:
            print(f"{'':24}its numbers are not the same")
    return good


def main() -> int:
    """Compare the readers of all formats, or of those asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=sorted(CASES), default=sorted(CASES))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--once", nargs=3, metavar=("CASE", "READER", "PATH"))
    options = parser.parse_args()
    if options.once:
        measure(options.once[0], options.once[1], Path(options.once[2]))
        return 0
    good = [compare(name, options.turns, options.slices) for name in options.only]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
