"""DICOM series whose stored numbers become HU in awkward ways, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from torture.cases import Catalogue
from torture.dicom_series import Series, put_pixels, put_raw, series, stored_numbers
from torture.judge import Made, Verdict, hu_at

numbers = Catalogue()
case = numbers.case
RIGHT, REPAIRED, REFUSED = Verdict.RIGHT, Verdict.REPAIRED, Verdict.REFUSED


def _pad(made: Series, stored: int, dtype: str = "<i2") -> Series:
    """Give the border of each slice a stored number that means nothing was measured."""
    padded = np.zeros((*made.scan.size, len(made.slices)), bool)
    padded[0] = padded[-1] = padded[:, 0] = True
    for dataset in made.slices:
        pixels = dataset.pixel_array.copy()
        pixels[padded[:, :, 0].T] = stored
        dataset.PixelData = pixels.astype(dtype).tobytes()
    made.scan = replace(made.scan, padded=padded)
    return made


def _put_padding_tag(made: Series, tag: int, vr: str, number: int) -> Series:
    for dataset in made.slices:
        dataset.add_new(tag, vr, number)
    return made


@case("black and white swapped (MONOCHROME1)")
def monochrome1(folder: Path) -> Made:
    return series().set(PhotometricInterpretation="MONOCHROME1").save(folder)


@case("presentation LUT says inverse")
def inverse_presentation(folder: Path) -> Made:
    return series().set(PresentationLUTShape="INVERSE").save(folder)


@case("signed pixels")
def signed(folder: Path) -> Made:
    return series(dtype="<i2", intercept=0).save(folder)


@case("padding of -2000 in signed pixels", remark="(?i)padding")
def padding(folder: Path) -> Made:
    made = _pad(series(dtype="<i2", intercept=0), -2000)
    return _put_padding_tag(made, 0x00280120, "SS", -2000).save(folder)


@case("padding of -2000 written as unsigned 63536", remark="(?i)padding")
def padding_as_unsigned(folder: Path) -> Made:
    made = _pad(series(dtype="<i2", intercept=-1024), -2000)
    return _put_padding_tag(made, 0x00280120, "US", 63536).save(folder)


@case("padding of 0 in unsigned pixels", remark="(?i)padding")
def padding_zero(folder: Path) -> Made:
    made = _pad(series(intercept=-1024), 0, "<u2")
    return _put_padding_tag(made, 0x00280120, "US", 0).save(folder)


@case("a range of padding values", remark="(?i)padding")
def padding_range(folder: Path) -> Made:
    made = _pad(series(dtype="<i2", intercept=0), -2000)
    for k, dataset in enumerate(made.slices):
        pixels = dataset.pixel_array.copy()
        pixels[0] = -2000 - 7 * k
        dataset.PixelData = pixels.tobytes()
    _put_padding_tag(made, 0x00280120, "SS", -2000)
    return _put_padding_tag(made, 0x00280121, "SS", -2100).save(folder)


@case("a padding value that never occurs")
def padding_unused(folder: Path) -> Made:
    return _put_padding_tag(series(dtype="<i2"), 0x00280120, "SS", -3024).save(folder)


@case("12 bits, overlays in the bits above")
def junk_bits(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        stored = dataset.pixel_array.astype("<u2")
        assert stored.max() < 4096, "the case needs 12 bits"
        junk = np.arange(stored.size).reshape(stored.shape) % 16 << 12
        dataset.PixelData = (stored | junk.astype("<u2")).astype("<u2").tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11
    return made.save(folder)


@case("12 bits signed, overlays in the bits above")
def junk_bits_signed(folder: Path) -> Made:
    made = series(dtype="<i2", intercept=0)
    for dataset in made.slices:
        stored = dataset.pixel_array.astype("<i2").view("<u2") & 0x0FFF
        junk = np.arange(stored.size).reshape(stored.shape) % 16 << 12
        dataset.PixelData = (stored | junk.astype("<u2")).astype("<u2").tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11
    return made.save(folder)


@case("12 bits stored at the upper end of 16", {RIGHT, REFUSED}, because="(?i)bit")
def high_bits(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.PixelData = (dataset.pixel_array.astype("<u2") << 4).astype("<u2").tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 15
    return made.save(folder)


@case("8 bits, slope 8")
def eight_bits(folder: Path) -> Made:
    return series(dtype="u1", slope=8, intercept=-1024).save(folder)


@case("8 bits, odd number of pixels")
def eight_bits_odd(folder: Path) -> Made:
    return series(dtype="u1", slope=8, intercept=-1024, size=(9, 7)).save(folder)


@case("32 bits")
def thirty_two_bits(folder: Path) -> Made:
    return series(dtype="<i4", intercept=0).save(folder)


@case("32 bits unsigned, offset of 2 to the 20")
def thirty_two_bits_unsigned(folder: Path) -> Made:
    return series(dtype="<u4", intercept=-1048576).save(folder)


@case("pixels as floating point", {RIGHT, REFUSED}, because="(?i)float", kind="")
def float_pixels(folder: Path) -> Made:
    made = series(intercept=0, dtype="<i2")
    points = made.scan.points()
    for k, dataset in enumerate(made.slices):
        stored = stored_numbers(points[:, :, k], hu_at, 1, 0, "<f4")
        put_pixels(dataset, stored)
        dataset.BitsAllocated = 32
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
        dataset.FloatPixelData = stored.tobytes()
    return made.save(folder)


@case("slope 0.5", kind="f")
def half_slope(folder: Path) -> Made:
    return series(slope=0.5, intercept=-1024).save(folder)


@case("slope 2")
def double_slope(folder: Path) -> Made:
    return series(slope=2, intercept=-1024).save(folder)


@case("intercept -1023.5", kind="f")
def fractional_intercept(folder: Path) -> Made:
    return series(intercept=-1023.5).save(folder)


@case("negative slope")
def negative_slope(folder: Path) -> Made:
    return series(slope=-1, intercept=3000).save(folder)


@case("intercept -8192")
def deep_intercept(folder: Path) -> Made:
    return series(intercept=-8192).save(folder)


@case("metal of 45000 HU, more than 16 bits hold")
def metal(folder: Path) -> Made:
    def with_metal(points: np.ndarray) -> np.ndarray:
        hu = hu_at(points)
        return np.where(np.abs(points[..., 2] - 44) < 0.1, hu + 45000, hu)

    return series(value=with_metal).save(folder)


def _mixed(folder: Path, slopes: tuple[float, ...], intercepts: tuple[float, ...]) -> Made:
    made = series()
    points = made.scan.points()
    for k, dataset in enumerate(made.slices):
        dataset.RescaleSlope, dataset.RescaleIntercept = slopes[k], intercepts[k]
        put_pixels(dataset, stored_numbers(points[:, :, k], hu_at, slopes[k], intercepts[k], "<u2"))
    # Readers may cut the fraction off after rounding.
    made.scan = replace(made.scan, within=max(1.3, 0.51 * max(slopes)))
    return made.save(folder)


@case("intercept differs per slice")
def intercept_per_slice(folder: Path) -> Made:
    return _mixed(folder, (1,) * 5, (-1024, -1000, -1024, -2048, -1500))


@case("slope and intercept differ per slice, as in PET", kind="f")
def slope_per_slice(folder: Path) -> Made:
    return _mixed(folder, (1, 0.5, 0.25, 0.75, 1.5), (-1024, -1000, -1024, -2048, -1500))


@case("no rescale in any slice", quantity="unknown", remark="(?i)rescale|HU")
def no_rescale(folder: Path) -> Made:
    made = series(intercept=0, dtype="<i2")
    return made.set(RescaleSlope=None, RescaleIntercept=None, RescaleType=None).save(folder)


@case(
    "no rescale in one slice",
    {REPAIRED, REFUSED},
    repairs=("leave-out-odd", "insert-missing"),
    because="(?i)HU|rescale",
)
def one_without_rescale(folder: Path) -> Made:
    made = series(7)
    del made.slices[3].RescaleSlope, made.slices[3].RescaleIntercept
    made.scan = replace(made.scan, levels=(0, 1, 2, 4, 5, 6))
    return made.save(folder)


@case("rescale to US, not to HU", quantity="unknown", remark="(?i)US|not HU")
def rescale_us(folder: Path) -> Made:
    return series().set(RescaleType="US").save(folder)


@case("rescale to nothing named")
def rescale_unnamed(folder: Path) -> Made:
    return series().set(RescaleType=None).save(folder)


@case("slope 0", REFUSED, because="(?i)slope")
def zero_slope(folder: Path) -> Made:
    return series().set(RescaleSlope=0).save(folder)


@case("slope that is not a number", REFUSED, because="(?i)slope|rescale|number")
def nan_slope(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        put_raw(dataset, "RescaleSlope", b"nan ")
    return made.save(folder)


@case("intercept with a decimal comma", {RIGHT, REFUSED}, because="(?i)intercept|rescale|number")
def comma(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        put_raw(dataset, "RescaleIntercept", b"-1024,0 ")
    return made.save(folder)


@case("spaces around the numbers")
def spaces(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        put_raw(dataset, "RescaleIntercept", b" -1024  ")
        put_raw(dataset, "RescaleSlope", b"  1.000 ")
    return made.save(folder)


@case("a lookup table to HU that is not a line", {RIGHT, REFUSED}, because="(?i)table|LUT|linear")
def modality_lut(folder: Path) -> Made:
    made = series().set(RescaleSlope=None, RescaleIntercept=None, RescaleType=None)
    points = made.scan.points()
    for k, dataset in enumerate(made.slices):
        put_pixels(dataset, stored_numbers(points[:, :, k], hu_at, 1, -1024, "<u2"))
        table = Dataset()
        table.LUTDescriptor = [2048, 0, 16]
        table.ModalityLUTType = "HU"
        table.add_new(0x00283006, "OW", (np.arange(2048) - 1024).astype("<i2").tobytes())
        dataset.ModalityLUTSequence = [table]
    return made.save(folder)


@case("window presets, one of them inverted by a VOI LUT function")
def windows(folder: Path) -> Made:
    made = series().set(
        WindowCenter=[-600, 40],
        WindowWidth=[1500, 400],
        WindowCenterWidthExplanation=["LUNG", "MEDIASTINUM"],
        VOILUTFunction="SIGMOID",
    )
    return made.save(folder)


@case("real-world value mapping beside the rescale")
def real_world_map(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        item = Dataset()
        item.RealWorldValueSlope, item.RealWorldValueIntercept = 3.0, 17.0
        item.add_new(0x00409216, "US", 0)
        item.add_new(0x00409211, "US", 4095)
        dataset.RealWorldValueMappingSequence = [item]
    return made.save(folder)


@case("smallest and largest pixel values are wrong")
def wrong_extremes(folder: Path) -> Made:
    made = series()
    for dataset in made.slices:
        dataset.add_new(0x00280106, "US", 500)
        dataset.add_new(0x00280107, "US", 600)
    return made.save(folder)


@case("no air and no bone: a narrow range of soft tissue")
def narrow(folder: Path) -> Made:
    return series(value=lambda points: 40 + 0.05 * hu_at(points)).save(folder)


@case("magnetic resonance", quantity="unknown", remark="(?i)MR")
def magnetic_resonance(folder: Path) -> Made:
    made = series(intercept=0, value=lambda p: hu_at(p) + 800)
    made.set(Modality="MR", RescaleSlope=None, RescaleIntercept=None, RescaleType=None)
    for dataset in made.slices:
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    return made.save(folder)


@case("PET in Bq/ml, a slope for each slice", quantity="unknown", remark="(?i)PT|PET|BQML", kind="")
def positron(folder: Path) -> Made:
    made = series(intercept=0, value=lambda p: hu_at(p) + 800)
    points = made.scan.points()
    for k, dataset in enumerate(made.slices):
        slope = 0.5 + 0.25 * k
        dataset.Modality, dataset.Units, dataset.RescaleSlope = "PT", "BQML", slope
        dataset.RescaleType = "BQML"
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        put_pixels(dataset, stored_numbers(points[:, :, k], made.scan.value, slope, 0, "<u2"))
    made.scan = replace(made.scan, within=0.8)
    return made.save(folder)
