"""The elements in front of the pixels: read our way and pydicom's, the bytes are the same."""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from dicom_factory import make_slice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from napari_hirescam.errors import VolumeError
from napari_hirescam.io.dicom import by_pydicom as dicom_by_pydicom
from napari_hirescam.io.dicom import elements as dicom_elements
from napari_hirescam.io.dicom.decode import pixel_problem
from napari_hirescam.io.dicom.element_values import WANTED
from napari_hirescam.io.dicom.elements import Elements, read_elements
from napari_hirescam.io.dicom.header import is_dicom, read_headers
from napari_hirescam.io.dicom.slice_header import SliceHeader

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def dataset_of(**tags: object) -> pydicom.FileDataset:
    return make_slice((1.5, -2.25, 3.0), series_uid="1.2.3", **tags).dataset


def as_bytes(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    fresh = Dataset()
    fresh.update(dataset)
    fresh.file_meta = dataset.file_meta
    fresh.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    pydicom.dcmwrite(out, fresh, enforce_file_format=True)
    return out.getvalue()


def data_set_start(content: bytes) -> int:
    """Where the data set begins, by the group length of the meta information."""
    return 144 + int.from_bytes(content[140:144], "little")


def header_of(content: bytes, folder: Path) -> SliceHeader:
    path = folder / "slice.dcm"
    path.write_bytes(content)
    return read_headers(path)[0]


def ours(content: bytes) -> Elements:
    found = read_elements(io.BytesIO(content), WANTED)
    assert found is not None
    return found


def without_vr(elements: Elements) -> tuple[object, ...]:
    values = {tag: element.value.rstrip(b" \0") for tag, element in elements.values.items()}
    return values, elements.sequences, elements.pixels_at, elements.transfer_syntax


def by_pydicom(content: bytes) -> Elements:
    stream = dicom_by_pydicom.Clipped(io.BytesIO(content), len(content))
    return dicom_by_pydicom.by_pydicom(stream, WANTED)


nested = st.recursive(
    st.builds(Dataset),
    lambda inner: st.lists(inner, max_size=2).map(
        lambda items: pydicom.dataset.Dataset.from_json(
            {"00081140": {"vr": "SQ", "Value": [d.to_json_dict() for d in items]}}
        )
    ),
    max_leaves=4,
)


@QUICK
@given(
    syntax=st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
    texts=st.dictionaries(
        st.sampled_from(["SeriesDescription", "ConvolutionKernel", "BodyPartExamined",
                         "SeriesNumber", "InstitutionName", "StudyDescription"]),
        st.text("ABC123", max_size=9), max_size=6,
    ),
    private=st.binary(max_size=70_000).filter(lambda b: len(b) % 2 == 0),
    inner=nested,
    undefined=st.booleans(),
)  # fmt: skip
def test_the_walk_finds_what_pydicom_finds(syntax, texts, private, inner, undefined):
    dataset = dataset_of()
    for keyword, value in texts.items():
        setattr(dataset, keyword, "1" if keyword == "SeriesNumber" else value)
    dataset.private_block(0x0019, "MAKER", create=True).add_new(1, "OB", private)
    dataset.SourceImageSequence = [inner]
    dataset["SourceImageSequence"].is_undefined_length = undefined
    content = as_bytes(dataset, syntax)
    assert without_vr(ours(content)) == without_vr(by_pydicom(content))


@pytest.mark.parametrize("size", [10, 40_000, 3_000_000])
def test_an_element_longer_than_what_is_read_at_once_is_passed_over(tmp_path, size):
    dataset = dataset_of()
    dataset.private_block(0x0019, "MAKER", create=True).add_new(1, "OB", bytes(size))
    content = as_bytes(dataset)
    header = header_of(content, tmp_path)
    assert header.pixels_at == (len(content) - 108, 108)
    assert pixel_problem(header) == ""


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian,
     DeflatedExplicitVRLittleEndian],
)  # fmt: skip
def test_each_encoding_gives_the_same_header(tmp_path, syntax):
    plain = header_of(as_bytes(dataset_of()), tmp_path)
    header = header_of(as_bytes(dataset_of(), syntax), tmp_path)
    same = ("position_mm", "orientation", "spacing_mm", "rescale", "size", "series_uid",
            "modality", "bits_stored", "is_signed")  # fmt: skip
    for name in same:
        assert getattr(header, name) == getattr(plain, name), name
    assert header.position_mm == (1.5, -2.25, 3.0)
    assert header.is_big_endian == (syntax == ExplicitVRBigEndian)


@pytest.mark.parametrize("declared", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_what_is_written_counts_and_not_what_is_declared(tmp_path, declared):
    written = {ImplicitVRLittleEndian: ExplicitVRLittleEndian}.get(declared, ImplicitVRLittleEndian)
    content = as_bytes(dataset_of(), written)
    lie = as_bytes(dataset_of(), declared)
    content = lie[: data_set_start(lie)] + content[data_set_start(content) :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom's, which napari would show for each file
        header = header_of(content, tmp_path)
    assert header.transfer_syntax == declared
    assert header.pixels_at == (len(content) - 108, 108)
    assert header.position_mm == (1.5, -2.25, 3.0)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_files_without_preamble_and_meta_information_are_dicom(tmp_path, syntax):
    content = as_bytes(dataset_of(), syntax)
    bare = content[data_set_start(content) :]
    assert is_dicom(bare)
    assert header_of(bare, tmp_path).position_mm == (1.5, -2.25, 3.0)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08\0", b"P6 640 480 255", b"\x89PNG\r\n", b"PK\x03\x04", bytes(132),
     b"\0\x08\0\x16\0\0\0\x1a", b"\x1f\x8b\x08\0"],
)  # fmt: skip
def test_other_files_are_not(content):
    assert not is_dicom(content)


def test_a_header_cut_short_anywhere_is_refused_or_has_a_problem(tmp_path):
    content = as_bytes(dataset_of())
    whole = header_of(content, tmp_path)
    for end in range(132, len(content), 5):
        try:
            header = header_of(content[:end], tmp_path)
        except VolumeError as exc:
            assert exc.remedy  # noqa: PT017 - either of two outcomes is right
        else:
            assert pixel_problem(header), end
            for name in ("position_mm", "orientation", "rescale"):
                assert getattr(header, name) in {None, getattr(whole, name)}, (end, name)


@QUICK
@given(
    place=st.integers(0, 2000), value=st.integers(0, 255),
    syntax=st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]),
)  # fmt: skip
def test_a_changed_byte_is_a_header_or_an_error_to_show(tmp_path, place, value, syntax):
    content = bytearray(as_bytes(dataset_of(), syntax))
    content[place % len(content)] = value
    try:
        header_of(bytes(content), tmp_path)
    except VolumeError as exc:
        assert exc.reason  # noqa: PT017 - either of two outcomes is right


@pytest.mark.parametrize(
    ("charset", "text"),
    [("ISO_IR 192", "thorax naïve ÖÄ 肺"), ("ISO_IR 100", "Schädel"),
     (["", "ISO 2022 IR 87"], "胸部"), ("ISO_IR 144", "Лёгкие")],
)  # fmt: skip
def test_descriptions_are_read_in_their_character_set(tmp_path, charset, text):
    dataset = dataset_of(SpecificCharacterSet=charset, SeriesDescription=text)
    assert header_of(as_bytes(dataset), tmp_path).description == text


def test_group_lengths_odd_lengths_and_trailing_garbage_do_no_harm(tmp_path):
    dataset = dataset_of()
    content = as_bytes(dataset)
    start = data_set_start(content)
    group_length = b"\x08\0\0\0UL\x04\0" + bytes([200, 0, 0, 0])
    odd = b"\x08\0\x05\0CS\x09\0ISO_IR 10"
    changed = content[:start] + group_length + odd + content[start:] + b"garbage" * 9
    # The garbage is no element; what precedes it stands.
    header = header_of(changed, tmp_path)
    assert header.position_mm == (1.5, -2.25, 3.0)
    assert header.pixels_at == (len(content) + len(group_length) + len(odd) - 108, 108)


def test_deflated_content_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    content = as_bytes(dataset_of(), DeflatedExplicitVRLittleEndian)
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = engine.compress(bytes(20 << 20)) + engine.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(content[: data_set_start(content)] + bomb)
    monkeypatch.setattr(dicom_elements, "available_memory", lambda: 8 << 20)
    with pytest.raises(VolumeError, match="too large for the memory"):
        read_headers(path)


def test_a_damaged_length_does_not_reserve_gigabytes(tmp_path):
    content = bytearray(as_bytes(dataset_of(), ImplicitVRLittleEndian))
    place = content.index(b"\x20\0\x0e\0")  # the series UID's length
    content[place + 4 : place + 8] = b"\xf0\xff\xff\x7f"
    asked: list[int] = []

    class Stream(io.BytesIO):
        def read(self, count: int | None = -1) -> bytes:
            asked.append(count or 0)
            return super().read(count)

    read_elements(Stream(bytes(content)), WANTED)
    assert max(asked) <= max(len(content), 32 << 10)


def test_elements_out_of_order_are_left_to_pydicom(monkeypatch):
    content = as_bytes(dataset_of())
    start = data_set_start(content)
    late = b"\x08\0\x70\0LO\x06\0nobody"
    asked: list[bool] = []
    plainly = dicom_by_pydicom.by_pydicom
    monkeypatch.setattr(
        dicom_by_pydicom, "by_pydicom", lambda *args: asked.append(True) or plainly(*args)
    )
    in_order = ours(content)
    assert asked == []
    found = ours(content[:start] + late + content[start:])
    assert asked == [True]
    assert found.values[0x00080070].value == b"nobody"
    assert found.values[0x00200032] == in_order.values[0x00200032]


def test_a_small_file_is_not_inflated_without_end(monkeypatch):
    monkeypatch.setattr(dicom_elements, "_HARMLESS", 1 << 16)
    engine = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    deflated = engine.compress(bytes(1 << 22)) + engine.flush()
    with pytest.raises(ValueError, match="more than 200 times its size"):
        dicom_elements.inflate(deflated)
    monkeypatch.setattr(dicom_elements, "_HARMLESS", 1 << 22)
    assert dicom_elements.inflate(deflated) == bytes(1 << 22)
