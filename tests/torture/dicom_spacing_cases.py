"""DICOM series whose slices are unevenly spaced, missing or of the wrong place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torture.cases import Catalogue
from torture.dicom_series import series, turned
from torture.judge import Made, Verdict

spacings = Catalogue()
case = spacings.case
RIGHT, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.REPAIRED, Verdict.REFUSED
INSERT, EVEN, LEAVE_OUT = "insert-missing", "even-spacing", "leave-out-odd"
TILT_SAID = "(?i)straight|tilt|resampl|oblique"


@case("slices overlap: thicker than their distance")
def overlapping(folder: Path) -> Made:
    return series(step=(0, 0, 1.25)).set(SliceThickness=2.5).save(folder)


@case("slices thinner than their distance")
def thin(folder: Path) -> Made:
    return series(step=(0, 0, 10.0)).set(SliceThickness=1).save(folder)


@case("SpacingBetweenSlices is wrong", remark="(?i)spacing.?between")
def wrong_spacing_tag(folder: Path) -> Made:
    return series().set(SpacingBetweenSlices=7.5).save(folder)


@case("SpacingBetweenSlices is negative")
def negative_spacing_tag(folder: Path) -> Made:
    return series().set(SpacingBetweenSlices=-2).save(folder)


@case("SliceLocation runs against the positions")
def wrong_location(folder: Path) -> Made:
    made = series()
    for k, dataset in enumerate(made.slices):
        dataset.SliceLocation = 100 - 3 * k
    return made.save(folder)


@case("positions off by 1e-4 mm")
def tiny_jitter(folder: Path) -> Made:
    return series(shift=lambda k: (0, 0, 1e-4 * (-1) ** k)).save(folder)


@case("positions off by 0.4 % of a step")
def small_jitter(folder: Path) -> Made:
    made = series(shift=lambda k: (0, 0, 0.004 * (-1) ** k))
    made.scan = replace(made.scan, within=0.6)  # the positions are taken for even
    return made.save(folder)


@case("positions off by 5 % of a step", REPAIRED, repairs=(EVEN,), because="(?i)spac")
def large_jitter(folder: Path) -> Made:
    heights = [0, 0.95, 2.05, 3.0, 3.95, 5.05, 6.0]
    return series(heights).save(folder)


@case("positions rounded to 0.01 mm, slices 0.625 mm apart")
def rounded_positions(folder: Path) -> Made:
    return series(9, step=(0, 0, 0.625), digits=2).save(folder)


@case(
    "the distance doubles midway",
    REPAIRED,
    repairs=(EVEN, INSERT),
    because="(?i)spac|missing",
)
def spacing_doubles(folder: Path) -> Made:
    return series([0, 1, 2, 3, 5, 7, 9]).save(folder)


@case("the distance grows from 2 to 3 mm midway", REPAIRED, repairs=(EVEN,), because="(?i)spac")
def spacing_grows(folder: Path) -> Made:
    return series([0, 1, 2, 3, 4.5, 6, 7.5]).save(folder)


@case("the first and the last slice are missing")
def ends_missing(folder: Path) -> Made:
    return series(7).without(0, 6).save(folder)


@case("one slice is missing", REPAIRED, repairs=(INSERT,), because="(?i)missing")
def one_missing(folder: Path) -> Made:
    return series(7).without(3).save(folder)


@case("three slices are missing at two places", REPAIRED, repairs=(INSERT,), because="(?i)missing")
def several_missing(folder: Path) -> Made:
    return series(10).without(2, 3, 7).save(folder)


@case("a slice is missing in a tilted series", REPAIRED, repairs=(INSERT,), because="(?i)missing")
def missing_in_tilted(folder: Path) -> Made:
    return series(8, orientation=turned(15, 0, 0), step=(0, 0, 2.0)).without(4).save(folder)


@case(
    "most slices are missing: every third is there, then all",
    {REPAIRED, REFUSED},
    repairs=(INSERT, EVEN),
    because="(?i)missing|spac",
)
def mostly_missing(folder: Path) -> Made:
    return series([0, 3, 6, 9, 12, 13, 14]).save(folder)


@case(
    "no position in any slice",
    {REPAIRED, REFUSED},
    repairs=("assume-place",),
    because="(?i)position|where it lies",
)
def no_position(folder: Path) -> Made:
    made = series().set(ImagePositionPatient=None, SpacingBetweenSlices=2)
    made.scan = replace(made.scan, anywhere=True)
    return made.save(folder)


@case(
    "no position in one slice",
    {REPAIRED, REFUSED},
    repairs=(LEAVE_OUT, INSERT),
    because="(?i)position|where it lies",
)
def one_without_position(folder: Path) -> Made:
    made = series(7)
    del made.slices[3].ImagePositionPatient
    made.scan = replace(made.scan, levels=(0, 1, 2, 4, 5, 6))
    return made.save(folder)


@case(
    "one slice turned by a degree",
    {REPAIRED, REFUSED},
    repairs=(LEAVE_OUT, INSERT),
    because="(?i)direction|orient|turned",
)
def one_turned(folder: Path) -> Made:
    made, odd = series(7), series(7, orientation=turned(0, 0, 1))
    odd.slices[3].SeriesInstanceUID = made.uid
    made.slices[3] = odd.slices[3]
    made.scan = replace(made.scan, levels=(0, 1, 2, 4, 5, 6))
    return made.save(folder)


@case(
    "one slice with another pixel spacing",
    {REPAIRED, REFUSED},
    repairs=(LEAVE_OUT, INSERT),
    because="(?i)apart|spac",
)
def one_spaced(folder: Path) -> Made:
    made, odd = series(7), series(7, spacing=(0.9, 0.7))
    odd.slices[3].SeriesInstanceUID = made.uid
    made.slices[3] = odd.slices[3]
    made.scan = replace(made.scan, levels=(0, 1, 2, 4, 5, 6))
    return made.save(folder)


@case(
    "one slice smaller",
    {REPAIRED, REFUSED},
    repairs=(LEAVE_OUT, INSERT),
    because="(?i)pixels|size|rows",
)
def one_smaller(folder: Path) -> Made:
    made, odd = series(7), series(7, size=(7, 6))
    odd.slices[3].SeriesInstanceUID = made.uid
    made.slices[3] = odd.slices[3]
    made.scan = replace(made.scan, levels=(0, 1, 2, 4, 5, 6))
    return made.save(folder)


@case("slices along a curve", REFUSED, because="(?i)line|shift|straight|curve|along")
def curved(folder: Path) -> Made:
    return series(7, shift=lambda k: (0.5 * (k - 3) ** 2, 0, 0)).save(folder)


@case("the table moved sideways midway", REFUSED, because="(?i)line|shift|straight")
def moved_table(folder: Path) -> Made:
    return series(8, shift=lambda k: (0, 3.0 if k > 3 else 0, 0)).save(folder)


@case("all slices at one place", REFUSED, because="(?i)same place|position|phase|one slice")
def one_place(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.ImagePositionPatient = [-21, -32, 40]
    return made.save(folder)


@case("a rotating series, as a cine of projections", REFUSED, because=".")
def rotating(folder: Path) -> Made:
    made = series(8)
    for k, dataset in enumerate(made.slices):
        dataset.ImageOrientationPatient = [f"{x:.8f}" for x in turned(0, 0, 45 * k)]
        dataset.ImagePositionPatient = [-21, -32, 40]
    return made.save(folder)


@case("two slices only", REFUSED, because="(?i)slices")
def two_slices(folder: Path) -> Made:
    return series(2).save(folder)


@case("one slice only", REFUSED, because="(?i)slice")
def one_slice(folder: Path) -> Made:
    return series(1).save(folder)
