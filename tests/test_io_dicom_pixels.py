"""From the bytes of DICOM slices to voxels: each number is known beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import AXIAL, SAGITTAL, make_slice
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import reading
from napari_hirescam.io.dicom import decode as dicom_decode
from napari_hirescam.io.dicom.decode import BadSliceError, pixel_problem, stored_pixels
from napari_hirescam.io.dicom.files import find_slices
from napari_hirescam.io.dicom.header import read_headers
from napari_hirescam.io.dicom.pixels import read_voxels, slice_picture
from napari_hirescam.io.dicom.slice_header import SliceHeader
from napari_hirescam.io.quantity import AIR_HU
from napari_hirescam.io.reading import Reading
from napari_hirescam.volume import Quantity

NUMBERS = np.arange(54).reshape(6, 9) * 13 + 7


def written(folder: Path, numbers: np.ndarray, *, name: str = "a.dcm", **tags) -> SliceHeader:
    """A slice that stores just these numbers, in their own type."""
    one = make_slice((0, 0, 0), series_uid="1.2.3", size=numbers.shape, name=name)
    bits = numbers.dtype.itemsize * 8
    one.dataset.BitsAllocated = one.dataset.BitsStored = bits
    one.dataset.HighBit = tags.get("BitsStored", bits) - 1
    one.dataset.PixelRepresentation = int(numbers.dtype.kind == "i")
    one.dataset.PixelData = numbers.tobytes() + b"\0" * (numbers.nbytes % 2)
    if bits == 8:
        one.dataset["PixelData"].VR = "OB"
    syntax = tags.pop("syntax", None)
    for keyword, value in tags.items():
        if value is None:
            delattr(one.dataset, keyword)
        else:
            setattr(one.dataset, keyword, value)
    if syntax is not None:
        one.dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if syntax.is_encapsulated:
            one.dataset.compress(syntax, generate_instance_uid=False)
        elif not syntax.is_little_endian:
            big = Dataset()
            big.update(one.dataset)
            big.file_meta = one.dataset.file_meta
            big.PixelData = numbers.astype(numbers.dtype.newbyteorder(">")).tobytes()
            big.file_meta.TransferSyntaxUID = syntax
            big.save_as(folder / name, enforce_file_format=True)
            return read_headers(folder / name)[0]
        one.dataset.file_meta.TransferSyntaxUID = syntax
    return read_headers(one.save(folder))[0]


def voxels_of(*headers: SliceHeader, quantity: Quantity = Quantity.HU, **options):
    return read_voxels(headers[0].path.parent, headers, quantity, Reading(**options))


# Stored numbers.


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_integers_of_all_sizes_come_as_they_were_stored(tmp_path, kind):
    limits = np.iinfo(kind)
    numbers = np.array([[limits.min, limits.max, 1], [0, 5, 7]], kind)
    pixels = stored_pixels(written(tmp_path, numbers))
    np.testing.assert_array_equal(pixels, numbers)
    assert pixels.dtype == numbers.dtype


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
    ids=lambda syntax: syntax.name,
)
@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_all_transfer_syntaxes_give_the_same_numbers(tmp_path, syntax, kind):
    numbers = np.tile(NUMBERS - (300 if kind == "i2" else 0), (8, 8)).astype(kind)
    header = written(tmp_path, numbers, syntax=syntax)
    assert header.transfer_syntax == syntax
    np.testing.assert_array_equal(stored_pixels(header), numbers)
    read = voxels_of(header)
    np.testing.assert_array_equal(read.voxels[0], numbers.astype(int) - 1024)
    assert read.voxels.dtype == np.int16
    assert (read.low, read.high) == (int(numbers.min()) - 1024, int(numbers.max()) - 1024)


def test_compression_that_was_undone_without_saying_so_is_seen(tmp_path):
    header = written(tmp_path, NUMBERS.astype("u2"))
    content = header.path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    header.path.write_bytes(content)
    (header,) = read_headers(header.path)
    assert header.transfer_syntax == RLELossless
    np.testing.assert_array_equal(stored_pixels(header), NUMBERS)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_the_stored_ones_are_no_part_of_the_number(tmp_path, signed):
    numbers = (NUMBERS - (300 if signed else 0)).astype("i2" if signed else "u2")
    overlay = (NUMBERS % 2 << 14).astype("u2") | 0x1000
    junk = ((numbers.view("u2") & 0x0FFF) | overlay).view(numbers.dtype)
    read = voxels_of(written(tmp_path, junk, BitsStored=12))
    np.testing.assert_array_equal(read.voxels[0], numbers.astype(int) - 1024)
    assert "bits above the 12 stored ones" in read.notes[0]


@pytest.mark.parametrize("padding", [None, -32768])
def test_numbers_wider_than_the_stored_bits_say_are_read_whole(tmp_path, padding):
    # As anonymisers leave it that write HU with 16 bits and the header as it was.
    numbers = np.array([[-1024, -3, 0, 7], [2047, 2100, 3071, 8000]], "i2")
    if padding is not None:
        numbers[0, 0] = padding
    tags = {} if padding is None else {"PixelPaddingValue": padding}
    header = written(tmp_path, numbers, BitsStored=12, HighBit=11, RescaleIntercept=0, **tags)
    read = voxels_of(header)
    expected = numbers.astype(int)
    if padding is not None:
        expected[0, 0] = -1024
    np.testing.assert_array_equal(read.voxels[0], expected)
    assert "more than the 12 bits" in " ".join(read.notes)


def test_sixteen_stored_bits_or_clean_ones_are_not_remarked_on(tmp_path):
    assert voxels_of(written(tmp_path, NUMBERS.astype("u2"), BitsStored=12)).notes == ()


# From stored numbers to HU.


def test_unsigned_numbers_do_not_wrap_around_below_zero(tmp_path):
    header = written(tmp_path, np.array([[0, 1], [1023, 4095]], "u2"))
    read = voxels_of(header)
    assert read.voxels.tolist() == [[[-1024, -1023], [-1, 3071]]]
    assert read.voxels.dtype == np.int16


def test_each_slice_is_rescaled_by_its_own_tags(tmp_path):
    first = written(tmp_path, np.array([[10, 20]], "u2"), name="a", RescaleIntercept=-100)
    second = written(tmp_path, np.array([[10, 20]], "i2"), name="b", RescaleSlope=3)
    third = written(tmp_path, np.array([[10, 20]], "i2"), name="c", RescaleSlope=-2)
    assert voxels_of(first, second, third).voxels[:, 0].tolist() == [
        [-90, -80], [-994, -964], [-1044, -1064],
    ]  # fmt: skip


def test_numbers_beyond_16_bits_widen_the_whole_volume_and_no_other(tmp_path):
    headers = [written(tmp_path, np.array([[k, 2 * k]], "u2"), name=f"{k}") for k in range(20)]
    headers[13] = written(tmp_path, np.array([[0, 65535]], "u2"), name="13")
    read = voxels_of(*headers)
    assert read.voxels.dtype == np.int32
    expected = [[k - 1024, 2 * k - 1024] for k in range(20)]
    expected[13] = [-1024, 64511]
    assert read.voxels[:, 0].tolist() == expected
    assert (read.low, read.high) == (-1024, 64511)


def test_fractions_give_single_precision(tmp_path):
    read = voxels_of(written(tmp_path, np.array([[1, 3]], "u2"), RescaleSlope=0.5))
    assert read.voxels.dtype == np.float32
    assert read.voxels.tolist() == [[[-1023.5, -1022.5]]]


def test_numbers_no_ct_has_are_refused(tmp_path):
    header = written(tmp_path, np.array([[1, 2**32 - 1]], "u4"))
    with pytest.raises(BadSliceError, match="are no CT"):
        voxels_of(header)


def test_monochrome1_is_a_matter_of_display(tmp_path):
    header = written(tmp_path, NUMBERS.astype("u2"), PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(voxels_of(header).voxels[0], NUMBERS - 1024)


@pytest.mark.parametrize(
    ("text", "slope"), [("2,0", 2.0), (" 2.50 ", 2.5), ("+2e0", 2.0), ("0,977", 0.977)]
)
def test_rescale_tags_written_in_odd_ways_are_understood(tmp_path, text, slope):
    header = written(tmp_path, NUMBERS.astype("u2"), RescaleSlope="1.234")
    content = header.path.read_bytes()
    place = content.index(b"1.234")
    size = len(text) + len(text) % 2
    element = content[place - 2 : place + 6]
    assert element[:2] == b"\x06\x00"
    swapped = bytes([size, 0]) + text.encode().ljust(size)
    header.path.write_bytes(content[: place - 2] + swapped + content[place + 6 :])
    assert read_headers(header.path)[0].rescale == (slope, -1024.0)


@pytest.mark.parametrize("text", ["1,024", "abc", "1_000", "nan", "inf", "1\\2"])
def test_rescale_tags_that_cannot_be_trusted_are_refused(tmp_path, text):
    header = written(tmp_path, NUMBERS.astype("u2"), RescaleSlope="1.234")
    content = header.path.read_bytes()
    header.path.write_bytes(content.replace(b"1.234 ", text.encode().ljust(6)))
    with pytest.raises(VolumeError, match="RescaleSlope"):
        read_headers(header.path)


# Padding.


@pytest.mark.parametrize(
    ("stored", "tags"),
    [
        (-2000, {"PixelPaddingValue": -2000}),
        (-2000, {"PixelPaddingValue": 63536}),  # the wrong sign
        (-1999, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}),
        (-1999, {"PixelPaddingValue": -1990, "PixelPaddingRangeLimit": -2000}),
    ],
)
def test_padding_turns_to_air_and_is_marked_as_not_measured(tmp_path, stored, tags):
    numbers = NUMBERS.astype("i2")
    numbers[2, 3:5] = stored
    header = written(tmp_path, numbers)
    import pydicom

    dataset = pydicom.dcmread(header.path)
    for keyword, value in tags.items():
        dataset.add_new(keyword, "SS" if value < 0 else "US", value)
    dataset.save_as(header.path)
    read = voxels_of(read_headers(header.path)[0])
    assert read.voxels[0, 2, 3:5].tolist() == [AIR_HU, AIR_HU]
    assert read.invalid is not None
    assert np.argwhere(read.invalid).tolist() == [[0, 2, 3], [0, 2, 4]]
    assert read.voxels[0, 0, 0] == NUMBERS[0, 0] - 1024
    assert read.low == NUMBERS.min() - 1024
    assert "2 padding voxels" in read.notes[0]


def test_unsigned_padding_with_all_bits_set_is_found_before_they_are_cleared(tmp_path):
    numbers = NUMBERS.astype("u2")
    numbers[0, 0] = 63536
    read = voxels_of(written(tmp_path, numbers, BitsStored=12, PixelPaddingValue=63536))
    assert read.voxels[0, 0, 0] == AIR_HU
    assert read.invalid is not None
    assert int(read.invalid.sum()) == 1
    assert read.voxels.dtype == np.int16


def test_padding_of_what_is_not_hu_keeps_its_number_but_is_marked(tmp_path):
    header = written(tmp_path, NUMBERS.astype("i2"), PixelPaddingValue=7)
    read = voxels_of(header, quantity=Quantity.UNKNOWN)
    assert read.voxels[0, 0, 0] == 7 - 1024
    assert read.invalid is not None
    assert read.invalid[0, 0, 0]


def test_a_padding_value_within_tissue_counts_only_if_it_fills_a_corner(tmp_path):
    water = np.full((6, 9), 50, "i2")
    water[2, 2] = 0
    tags = {"RescaleIntercept": 0, "PixelPaddingValue": 0}
    read = voxels_of(written(tmp_path, water, **tags))
    assert read.invalid is None
    assert read.voxels[0, 2, 2] == 0
    water[0] = 0
    read = voxels_of(written(tmp_path, water, **tags))
    assert read.invalid is not None
    assert int(read.invalid.sum()) == 10


def test_a_slice_of_nothing_but_padding_is_air(tmp_path):
    blank = written(tmp_path, np.full((2, 2), -2000, "i2"), name="a", PixelPaddingValue=-2000)
    body = written(tmp_path, np.full((2, 2), 1000, "i2"), name="b")
    read = voxels_of(blank, body)
    assert read.voxels.ravel().tolist() == [AIR_HU] * 4 + [-24] * 4
    assert (read.low, read.high) == (-24, -24)


# What cannot be read.


def test_pixels_cut_short_are_refused_and_never_filled_up(tmp_path):
    header = written(tmp_path, NUMBERS.astype("u2"))
    header.path.write_bytes(header.path.read_bytes()[:-3])
    assert pixel_problem(header) == "its pixels are incomplete: 105 of 108 bytes are there"
    with pytest.raises(BadSliceError, match="105 of 108 bytes") as caught:
        voxels_of(header)
    assert caught.value.header == header


@pytest.mark.parametrize(
    "syntax", [DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless]
)
@pytest.mark.parametrize("cut", [12, 30, 200])
def test_packed_pixels_cut_short_are_refused(tmp_path, syntax, cut):
    numbers = np.random.default_rng(0).integers(0, 4000, (48, 48)).astype("u2")
    header = written(tmp_path, numbers, syntax=syntax)
    header.path.write_bytes(header.path.read_bytes()[:-cut])
    with pytest.raises(VolumeError) as caught:
        voxels_of(*read_headers(header.path))
    wanted = "ends early" if syntax == DeflatedExplicitVRLittleEndian else "incomplete: "
    assert wanted in caught.value.reason


def test_a_jpeg_without_its_end_is_refused_even_in_a_whole_item(tmp_path):
    """The decoder would make up the rest."""
    header = written(tmp_path, NUMBERS.astype("u2"), syntax=JPEGLSLossless)
    content = header.path.read_bytes()
    end = content.rindex(b"\xff\xd9")
    header.path.write_bytes(content[: end - 8] + bytes(10) + content[end + 2 :])
    with pytest.raises(BadSliceError, match="it has no end"):
        stored_pixels(header)


@pytest.mark.parametrize(("extra", "is_fine"), [(1, True), (8, True), (12, False), (108, False)])
def test_more_pixels_than_a_little_padding_are_another_picture(tmp_path, extra, is_fine):
    header = written(
        tmp_path, NUMBERS.astype("u2"), PixelData=NUMBERS.astype("u2").tobytes() + bytes(extra)
    )
    assert (pixel_problem(header) == "") == is_fine


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"HighBit": 11}, "two ways"),
        ({"HighBit": 15, "BitsStored": 12}, "two ways"),
        ({"PixelRepresentation": None}, "signed"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "stand for colours"),
        ({"NumberOfFrames": 2}, "2 pictures"),
        ({"PixelData": None}, "pixels are missing"),
        ({"Rows": None}, "no image"),
        ({"BitsAllocated": 12}, "12 bits per pixel"),
    ],
)
def test_what_is_no_slice_of_numbers_says_why(tmp_path, tags, reason):
    one = {**tags, "Modality": "MR"} if "Rows" in tags else tags
    header = written(tmp_path, NUMBERS.astype("u2"))
    import pydicom

    dataset = pydicom.dcmread(header.path)
    for keyword, value in one.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(header.path)
    (header,) = read_headers(header.path)
    assert reason in header.problem
    with pytest.raises(BadSliceError, match=reason):
        stored_pixels(header)


def test_a_missing_decoder_is_named_with_the_command_that_brings_it(tmp_path, monkeypatch):
    header = written(tmp_path, NUMBERS.astype("u2"), syntax=JPEGLSLossless)
    monkeypatch.setattr(dicom_decode, "_can_decode", lambda _: False)
    with pytest.raises(BadSliceError, match=r"JPEG-LS Lossless.*pip install .*pyjpegls"):
        stored_pixels(header)


def test_a_compressed_picture_of_another_size_is_refused_before_it_is_decoded(
    tmp_path, monkeypatch
):
    header = written(tmp_path, NUMBERS.astype("u2"), syntax=JPEGLSLossless)
    content = bytearray(header.path.read_bytes())
    frame = content.index(b"\xff\xf7")
    content[frame + 5 : frame + 7] = b"\xff\xff"
    header.path.write_bytes(content)
    monkeypatch.setattr("pydicom.pixels.utils.iter_pixels", None)
    with pytest.raises(BadSliceError, match="65535"):
        stored_pixels(header)


def test_the_first_bad_slice_in_order_is_the_one_named(tmp_path):
    headers = [written(tmp_path, NUMBERS.astype("u2"), name=f"{k:02}") for k in range(20)]
    for k in (5, 10, 17):
        headers[k].path.write_bytes(headers[k].path.read_bytes()[:-1])
    with pytest.raises(BadSliceError) as caught:
        voxels_of(*headers, preview=lambda _: None)
    assert caught.value.header is headers[5]


def test_a_volume_that_does_not_fit_is_refused_before_any_pixel_is_read(tmp_path, monkeypatch):
    header = written(tmp_path, NUMBERS.astype("u2"))
    monkeypatch.setattr(reading, "available_memory", lambda: 100)
    monkeypatch.setattr(dicom_decode, "_plain", None)
    with pytest.raises(VolumeError, match="memory"):
        voxels_of(header)


# Floating point, lossy.


@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", "f4"),
                                               ("DoubleFloatPixelData", "f8")])  # fmt: skip
def test_floating_point_pixels_become_single_precision(tmp_path, keyword, kind):
    numbers = (NUMBERS / 8).astype(kind)
    bits = numbers.dtype.itemsize * 8
    header = written(
        tmp_path, NUMBERS.astype("u2"), PixelData=None, BitsAllocated=bits,
        **{keyword: numbers.tobytes()},
    )  # fmt: skip
    read = voxels_of(header)
    assert read.voxels.dtype == np.float32
    np.testing.assert_array_equal(read.voxels[0], numbers - 1024)


def test_loss_is_told(tmp_path):
    kept = written(tmp_path, NUMBERS.astype("u2"), name="a")
    lossy = written(tmp_path, NUMBERS.astype("u2"), name="b", LossyImageCompression="01")
    assert voxels_of(kept).notes == ()
    assert "loss of detail" in voxels_of(lossy).notes[-1]
    near = written(tmp_path, NUMBERS.astype("u2"), name="c", syntax=JPEGLSNearLossless)
    assert near.lossy


# Progress, preview.


def test_the_middle_slice_is_shown_before_the_rest_and_progress_never_goes_back(tmp_path):
    headers = [written(tmp_path, np.full((6, 9), 200 * k, "u2"), name=f"{k:02}") for k in range(9)]
    seen: list[object] = []
    voxels_of(
        *headers,
        preview=lambda picture: seen.append(picture.grey),
        progress=lambda done, total: seen.append((done, total)),
    )
    grey, *steps = seen
    assert isinstance(grey, np.ndarray)
    assert (grey == round((4 * 200 - 1024 + 1000) / 1400 * 255)).all()
    assert steps == [(k, 9) for k in range(1, 10)]


def test_a_wish_to_stop_is_honoured_between_slices(tmp_path, monkeypatch):
    headers = [written(tmp_path, NUMBERS.astype("u2"), name=f"{k:03}") for k in range(60)]
    read: list[SliceHeader] = []
    plain = dicom_decode._plain
    monkeypatch.setattr(
        dicom_decode, "_plain", lambda header, into: read.append(header) or plain(header, into)
    )
    with pytest.raises(Cancelled):
        voxels_of(*headers, should_stop=lambda: len(read) > 3)
    assert len(read) <= 32  # what may be read ahead


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        (AXIAL, (0, 0)),
        ((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), (-1, -1)),  # prone, say
        (SAGITTAL, (0, 0)),
        ((0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (-1, 0)),  # upside down
        ((0.0, 0.0, -1.0, 1.0, 0.0, 0.0), (0, 0)),  # coronal, lying on its side
    ],
)
def test_pictures_have_the_head_or_the_front_up_and_the_left_on_the_right(
    tmp_path, orientation, corner
):
    numbers = np.zeros((6, 9), "u2")
    numbers[0, 0] = 3000
    header = written(
        tmp_path, numbers, ImageOrientationPatient=list(orientation), PixelSpacing=[0.8, 0.6]
    )
    picture = slice_picture(header, Quantity.HU)
    assert picture.grey[corner] == 255
    assert int((picture.grey == 255).sum()) == 1
    lies_on_its_side = abs(orientation[2]) == 1
    assert picture.grey.shape == ((9, 6) if lies_on_its_side else (6, 9))
    assert picture.pixel_mm == ((0.6, 0.8) if lies_on_its_side else (0.8, 0.6))


# Files of other people.


def test_pydicom_s_own_test_files_decode_as_pydicom_decodes_them_or_say_why_not():
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    found = find_slices(folder, Reading())
    assert all(error.reason and error.remedy for error in found.damaged)
    equal = refused = 0
    for header in found.headers:
        try:
            pixels = stored_pixels(header)
        except BadSliceError:
            refused += 1
            continue
        dataset = pydicom.dcmread(header.path, force=True)
        np.testing.assert_array_equal(pixels, dataset.pixel_array, str(header.path))
        equal += 1
    # The wheel brings 101 slices: colours, plans and doses are refused, MR and CT are read.
    assert equal >= 40
    assert refused >= 40


def test_one_slice_in_all_codings_of_the_standards_body(shared_dir):
    folder = shared_dir / "data" / "tricky" / "wg04_ct_compressed"
    plain = stored_pixels(read_headers(folder / "CT1_UNC.dcm")[0])
    for name in ("J2KR", "JLSL", "JPLL", "RLE"):
        (header,) = read_headers(folder / f"CT1_{name}.dcm")
        np.testing.assert_array_equal(stored_pixels(header), plain, name)
        assert not header.lossy
    (near,) = read_headers(folder / "CT1_JLSN.dcm")
    assert np.abs(stored_pixels(near).astype(int) - plain).max() <= 4
    assert near.lossy
    assert read_headers(folder / "CT1_J2KI.dcm")[0].lossy


def test_run_lengths_that_cannot_fill_a_slice_are_not_decoded(tmp_path, monkeypatch):
    # The decoder would make room for the 8 GiB that this header claims.
    header = written(tmp_path, np.tile(NUMBERS, (8, 8)).astype("u2"), syntax=RLELossless)
    hostile = replace(header, size=(65535, 65535))
    monkeypatch.setattr("pydicom.pixels.utils.iter_pixels", None)
    with pytest.raises(BadSliceError, match="too few"):
        stored_pixels(hostile)
