"""DICOM series that lie awkwardly, or lie about where they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.uid import generate_uid

from torture.cases import Catalogue
from torture.dicom_series import COUNT, put_raw, series, turned
from torture.judge import Made, Verdict, hu_at

geometry = Catalogue()
case = geometry.case
RIGHT, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.REPAIRED, Verdict.REFUSED
INSERT, EVEN, LEAVE_OUT = "insert-missing", "even-spacing", "leave-out-odd"
TILT_SAID = "(?i)straight|tilt|resampl|oblique"


@case("plain")
def plain(folder: Path) -> Made:
    return series().save(folder)


@case("instance numbers run backwards")
def backwards(folder: Path) -> Made:
    made = series()
    for k, dataset in enumerate(made.slices):
        dataset.InstanceNumber = COUNT - k
    return made.save(folder)


@case("all instance numbers alike")
def constant_numbers(folder: Path) -> Made:
    return series().set(InstanceNumber=1).save(folder)


@case("no instance numbers")
def no_numbers(folder: Path) -> Made:
    return series().set(InstanceNumber=None).save(folder)


@case("instance numbers with gaps and at random")
def gappy_numbers(folder: Path) -> Made:
    made = series()
    for dataset, number in zip(made.slices, (40, 3, 17, 900, 5), strict=True):
        dataset.InstanceNumber = number
    return made.save(folder)


@case("slices acquired downwards")
def downwards(folder: Path) -> Made:
    return series(step=(0, 0, -2.0)).save(folder)


@case("feet first, supine")
def feet_first(folder: Path) -> Made:
    return series(orientation=(-1, 0, 0, 0, 1, 0)).set(PatientPosition="FFS").save(folder)


@case("head first, prone")
def prone(folder: Path) -> Made:
    return series(orientation=(-1, 0, 0, 0, -1, 0)).set(PatientPosition="HFP").save(folder)


@case("feet first, prone")
def feet_first_prone(folder: Path) -> Made:
    return series(orientation=(1, 0, 0, 0, -1, 0)).set(PatientPosition="FFP").save(folder)


@case("decubitus, right side down")
def decubitus(folder: Path) -> Made:
    return series(orientation=(0, 1, 0, -1, 0, 0)).set(PatientPosition="HFDR").save(folder)


@case("sagittal slices")
def sagittal(folder: Path) -> Made:
    return series(orientation=(0, 1, 0, 0, 0, -1)).save(folder)


@case("coronal slices, from back to front")
def coronal(folder: Path) -> Made:
    return series(orientation=(1, 0, 0, 0, 0, -1), step=(0, -1.5, 0)).save(folder)


@case("oblique by 20 degrees", remark=TILT_SAID)
def oblique(folder: Path) -> Made:
    return series(7, orientation=turned(20, 0, 0)).save(folder)


@case("oblique about two axes", remark=TILT_SAID)
def doubly_oblique(folder: Path) -> Made:
    return series(7, orientation=turned(18, -25, 0)).save(folder)


@case("turned in the plane of the slice by 30 degrees", remark=TILT_SAID)
def in_plane(folder: Path) -> Made:
    return series(orientation=turned(0, 0, 30)).save(folder)


@case("oblique coronal, as a reformat", remark=TILT_SAID)
def oblique_coronal(folder: Path) -> Made:
    made = series(7, orientation=turned(-78, 0, 6))
    return made.set(ImageType=["DERIVED", "SECONDARY", "MPR"]).save(folder)


@case("gantry tilted by +15 degrees", remark="(?i)tilt|straight")
def tilt_forward(folder: Path) -> Made:
    made = series(7, orientation=turned(15, 0, 0), step=(0, 0, 2.0))
    return made.set(GantryDetectorTilt=15).save(folder)


@case("gantry tilted by -20 degrees, feet first", remark="(?i)tilt|straight")
def tilt_back(folder: Path) -> Made:
    row, column = (-1.0, 0, 0), turned(-20, 0, 0)[3:]
    made = series(7, orientation=(*row, *column), step=(0, 0, -2.0))
    return made.set(GantryDetectorTilt=-20).save(folder)


@case("gantry tilted, the tag says 0", remark="(?i)tilt|straight")
def tilt_unsaid(folder: Path) -> Made:
    made = series(7, orientation=turned(12, 0, 0), step=(0, 0, 2.0))
    return made.set(GantryDetectorTilt=0).save(folder)


@case("tilt already corrected, the tag still says 15")
def tilt_corrected(folder: Path) -> Made:
    return series().set(GantryDetectorTilt=15).save(folder)


@case("tilted slices whose positions step along their normal", remark=TILT_SAID)
def tilt_with_normal_steps(folder: Path) -> Made:
    return series(7, orientation=turned(15, 0, 0)).set(GantryDetectorTilt=15).save(folder)


@case("gantry tilted, with padding", remark="(?i)tilt|straight")
def tilt_with_padding(folder: Path) -> Made:
    made = series(7, orientation=turned(15, 0, 0), step=(0, 0, 2.0), dtype="<i2")
    padded = np.zeros((9, 8, 7), bool)
    padded[0] = padded[-1] = padded[:, 0] = True
    for dataset in made.slices:
        numbers = dataset.pixel_array.copy()
        numbers[padded[:, :, 0].T] = -2000
        dataset.PixelData = numbers.astype("<i2").tobytes()
        dataset.PixelPaddingValue = -2000
    made.scan = replace(made.scan, padded=padded)
    return made.save(folder)


@case("rows twice as far apart as columns")
def anisotropic(folder: Path) -> Made:
    return series(spacing=(1.2, 0.6)).save(folder)


@case("columns twice as far apart as rows, wide picture")
def anisotropic_wide(folder: Path) -> Made:
    return series(spacing=(0.5, 1.0), size=(17, 4)).save(folder)


@case("directions with noise of 1e-5")
def noisy_directions(folder: Path) -> Made:
    made = series()
    noise = np.random.default_rng(3).normal(0, 1e-5, (COUNT, 6))
    for dataset, off in zip(made.slices, noise, strict=True):
        exact = np.array([1.0, 0, 0, 0, 1, 0]) + off
        dataset.ImageOrientationPatient = [f"{x:.8f}" for x in exact]
    return made.save(folder)


@case("directions not quite of unit length")
def short_directions(folder: Path) -> Made:
    return series().set(ImageOrientationPatient=[0.9995, 0, 0, 0, 1.0004, 0]).save(folder)


@case("directions of length two", {RIGHT, REFUSED}, because="(?i)orientation|direction")
def long_directions(folder: Path) -> Made:
    return series().set(ImageOrientationPatient=[2, 0, 0, 0, 2, 0]).save(folder)


@case("directions not perpendicular", REFUSED, because="(?i)orientation|direction|perpendicular")
def skew_directions(folder: Path) -> Made:
    return series().set(ImageOrientationPatient=[1, 0, 0, 0.5, 0.8660254, 0]).save(folder)


@case("positions with more digits than DICOM allows")
def many_digits(folder: Path) -> Made:
    made = series(origin=(-21.123456789, -32.987654321, 40.555555555))
    for k, dataset in enumerate(made.slices):
        text = f"-21.1234567890123456\\-32.9876543210123456\\{40.555555555 + 2 * k:.16f}"
        put_raw(dataset, "ImagePositionPatient", text.encode() + b" " * (len(text) % 2))
    return made.save(folder)


@case("positions in exponent notation")
def exponents(folder: Path) -> Made:
    made = series(origin=(-21.0, 0.0, 40.0))
    for k, dataset in enumerate(made.slices):
        dataset.ImagePositionPatient = ["-2.1e+01", "1.1e-15", f"{40 + 2 * k:.6e}"]
    return made.save(folder)


@case(
    "no PixelSpacing, only that of the detector",
    {REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)spacing",
)
def imager_spacing(folder: Path) -> Made:
    made = series().set(PixelSpacing=None, ImagerPixelSpacing=[0.8, 0.6])
    made.scan = replace(made.scan, anywhere=True)
    return made.save(folder)


@case(
    "no direction",
    {REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)orientation|where it lies|direction",
)
def no_direction(folder: Path) -> Made:
    made = series().set(ImageOrientationPatient=None, SpacingBetweenSlices=2)
    made.scan = replace(made.scan, anywhere=True)
    return made.save(folder)


@case("positions that are not numbers", REFUSED, because="(?i)position|where|number|nan|finite")
def nan_positions(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        put_raw(dataset, "ImagePositionPatient", b"nan\\nan\\nan ")
    return made.save(folder)


@case("far from the origin, a metre down the table")
def far_away(folder: Path) -> Made:
    def nearby(points: np.ndarray) -> np.ndarray:
        return hu_at(points + np.array([0, 0, 1480.0]))

    return series(origin=(-21, -32, -1440), value=nearby).save(folder)


@case("the frame of reference differs between slices", {RIGHT, REFUSED}, because="(?i)frame of ref")
def other_frames(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.FrameOfReferenceUID = generate_uid()
    return made.save(folder)
