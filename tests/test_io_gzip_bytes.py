"""Bytes from plain files, gzip streams and zip members: all of them, checked, or none."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hirescam.errors import Cancelled, VolumeError
from napari_hirescam.io import gzip_bytes, zip_member
from napari_hirescam.io.ends import Ends
from napari_hirescam.io.reading import Reading

VALUES = np.random.default_rng(3).integers(-1024, 1500, 40_000).astype(np.int16)
CONTENT = VALUES.tobytes()


def read_gzip(path, n=VALUES.size, *, offset=0, reading=None):
    array = np.zeros(n, np.int16)
    with gzip_bytes.open_stream(path, offset=offset, compressed=True) as stream:
        gzip_bytes.fill(path, stream, array, reading or Reading())
    return array


def read_member(path, name="ct"):
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    array = np.zeros(info.file_size // 2, np.int16)
    with zip_member.open_member(path, info) as stream:
        gzip_bytes.fill(path, stream, array, Reading())
    return array


def zipped(path, content=CONTENT, method=zipfile.ZIP_DEFLATED, *, force_zip64=False):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("before", b"something else" * 100)
        with archive.open("ct", "w", force_zip64=force_zip64) as member:
            member.write(content)
    return path


# --- gzip ----------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("offset", [0, 17])
def test_gzip_of_one_or_several_members_at_any_offset_is_read_whole(tmp_path, members, offset):
    parts = np.array_split(np.frombuffer(CONTENT, np.uint8), members)
    path = tmp_path / "a.gz"
    path.write_bytes(b"x" * offset + b"".join(gzip.compress(part.tobytes()) for part in parts))
    np.testing.assert_array_equal(read_gzip(path, offset=offset), VALUES)


def test_a_gzip_stream_cut_anywhere_is_incomplete(tmp_path):
    whole = gzip.compress(CONTENT)
    path = tmp_path / "cut.gz"
    for length in (0, 5, 10, 100, len(whole) // 2, len(whole) - 9, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(VolumeError, match=r"cut\.gz: the file is incomplete"):
            read_gzip(path)


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (gzip.compress(b"xy", mtime=0), "more data follow"),
        (b"g", "incomplete"),
        (b"garbage" * 9, "not sound"),
    ],
)
def test_what_follows_the_last_byte_is_refused(tmp_path, tail, reason):
    path = tmp_path / "long.gz"
    path.write_bytes(gzip.compress(CONTENT) + tail)
    with pytest.raises(VolumeError, match=reason):
        read_gzip(path)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_changes_no_value_unnoticed(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    path, few = folder / "flipped.gz", VALUES[:300]
    content = bytearray(gzip.compress(few.tobytes(), mtime=0))
    content[data.draw(st.integers(10, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        array = read_gzip(path, few.size)
    except VolumeError:
        return
    # Some bits between blocks stand for nothing.
    np.testing.assert_array_equal(array, few)


def test_each_byte_of_the_checksum_and_length_counts(tmp_path):
    whole = gzip.compress(CONTENT)
    for place in range(-8, 0):
        content = bytearray(whole)
        content[place] ^= 1
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(VolumeError, match="not sound"):
            read_gzip(tmp_path / "a.gz")


def test_reading_goes_by_steps_that_report_and_can_be_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(gzip_bytes, "STEP_BYTES", 8000)
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT))
    seen = []
    read_gzip(path, reading=Reading(progress=lambda *at: seen.append(at)))
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) == 11
    assert all(a[0] < b[0] for a, b in pairwise(seen))

    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        read_gzip(path, reading=Reading(should_stop=lambda: next(answers)))


@pytest.mark.parametrize("place", [0, 399, 400, 20_000, 39_999])
def test_the_ends_of_the_range_are_found_wherever_they_lie_and_steps_cut(
    tmp_path, monkeypatch, place
):
    monkeypatch.setattr(gzip_bytes, "STEP_BYTES", 801)  # which cuts numbers in two
    values = VALUES.astype(np.float32)
    values[place] = 5000
    values[-1 - place] = -6000
    path = tmp_path / "a.gz"
    for last, expected in ((values[7], (-6000, 5000)), (np.nan, (np.nan, np.nan))):
        values[7] = last
        path.write_bytes(gzip.compress(values.tobytes()))
        array, ends = np.empty_like(values), Ends()
        with gzip_bytes.open_stream(path, compressed=True) as stream:
            gzip_bytes.fill(path, stream, array, Reading(), ends=ends)
        np.testing.assert_array_equal(ends.result(), expected)


def test_bytes_passed_over_are_checked_like_those_that_are_kept(tmp_path):
    path = tmp_path / "a.gz"
    content = bytearray(gzip.compress(CONTENT))
    path.write_bytes(content)
    array = np.zeros(10, np.int16)
    with gzip_bytes.open_stream(path, compressed=True) as stream:
        gzip_bytes.pass_over(path, stream, 2000, Reading())
        gzip_bytes.fill_part(path, stream, array, Reading())
        gzip_bytes.pass_over(path, stream, len(CONTENT) - 2020, Reading())
        gzip_bytes.check_end(path, stream)
    np.testing.assert_array_equal(array, VALUES[1000:1010])
    with (
        pytest.raises(VolumeError, match="5 announced bytes are missing"),
        gzip_bytes.open_stream(path, compressed=True) as stream,
    ):
        gzip_bytes.pass_over(path, stream, len(CONTENT) + 5, Reading())


def test_claims_beyond_what_deflate_can_hold_are_refused(tmp_path):
    path = tmp_path / "bomb.gz"
    gzip_bytes.check_claim(path, 100_000, 100, compressed=True)
    gzip_bytes.check_claim(path, 100, 100, compressed=False)
    with pytest.raises(VolumeError, match=r"announces 200,000 bytes, more than the 100"):
        gzip_bytes.check_claim(path, 200_000, 100, compressed=True)
    with pytest.raises(VolumeError, match="announces 101 bytes"):
        gzip_bytes.check_claim(path, 101, 100, compressed=False)
    # The most that deflate itself makes of zeros stays within the limit.
    packed = gzip.compress(bytes(10_000_000), 9)
    gzip_bytes.check_claim(path, 10_000_000, len(packed), compressed=True)


# --- zip members ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("force_zip64", [False, True])
def test_members_are_read_whole_stored_or_deflated(tmp_path, method, force_zip64):
    path = zipped(tmp_path / "a.zip", method=method, force_zip64=force_zip64)
    np.testing.assert_array_equal(read_member(path), VALUES)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_damaged_byte_of_a_member_is_noticed(tmp_path, method):
    path = zipped(tmp_path / "a.zip", method=method)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("ct")
    first = info.header_offset + 30 + len("ct")
    for place in np.linspace(first, first + info.compress_size - 1, 60).astype(int):
        content = bytearray(whole)
        content[place] ^= 0x10
        path.write_bytes(content)
        with pytest.raises(VolumeError, match=r"a\.zip: the file is (damaged|incomplete)"):
            read_member(path)


def test_a_member_longer_than_its_directory_says_is_refused(tmp_path):
    path = zipped(tmp_path / "a.zip")
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("ct")
    info.file_size -= 2
    with (
        pytest.raises(VolumeError, match=r"more data follow|not sound"),
        zip_member.open_member(path, info) as stream,
    ):
        gzip_bytes.fill(path, stream, np.zeros(VALUES.size - 1, np.int16), Reading())


def test_members_that_break_off_or_are_not_there_are_refused(tmp_path):
    path = zipped(tmp_path / "a.zip")
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("ct")
    content = path.read_bytes()
    path.write_bytes(content[: info.header_offset + 200])
    with pytest.raises(VolumeError, match="ct in it breaks off"):
        zip_member.open_member(path, info).__enter__()
    info.header_offset += 1
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="not where it should be"):
        zip_member.open_member(path, info).__enter__()


def test_encrypted_and_strangely_packed_members_are_refused(tmp_path):
    path = zipped(tmp_path / "a.zip", method=zipfile.ZIP_BZIP2)
    with pytest.raises(VolumeError, match="packed by a method"):
        read_member(path)
    path = zipped(tmp_path / "b.zip")
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("ct")
    info.flag_bits |= 1
    with pytest.raises(VolumeError, match="encrypted"):
        zip_member.open_member(path, info).__enter__()


def test_the_first_bytes_of_a_gzip_stream_and_of_none():
    content = gzip.compress(b"abcdef" * 5000)
    assert gzip_bytes.first_bytes(content[:60], 6) == b"abcdef"
    assert gzip_bytes.first_bytes(b"\x1f\x8bnothing", 6) == b""
    packed = zlib.compressobj(wbits=-15)
    raw = packed.compress(CONTENT) + packed.flush()
    trailer = struct.pack("<2I", zlib.crc32(CONTENT), len(CONTENT))
    framed = gzip_bytes.GZIP_MAGIC + b"\x08" + bytes(6) + b"\xff" + raw + trailer
    assert gzip.GzipFile(fileobj=io.BytesIO(framed)).read() == CONTENT
