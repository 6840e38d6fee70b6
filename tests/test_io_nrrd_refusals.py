"""NRRD files that hold no sound volume: each is refused with its reason, none is guessed at."""

from __future__ import annotations

import time

import numpy as np
import pytest
from nrrd_factory import CT, STEPS, bytes_of, save, text_of, vectors

from napari_hirescam import io
from napari_hirescam.errors import VolumeError


def refused(path, reason):
    with pytest.raises(VolumeError, match=reason) as caught:
        io.read_volume(path)
    assert caught.value.subject
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "block"}, "of the type 'block'"),
        ({"type": None}, "lacks the field 'type'"),
        ({"sizes": None}, "lacks the field 'sizes'"),
        ({"encoding": None}, "lacks the field 'encoding'"),
        ({"encoding": "zrl"}, "'zrl', which is not known"),
        ({"endian": None}, "order of bytes"),
        ({"endian": "middle"}, "order of bytes"),
        ({"dimension": "4"}, "image size"),
        ({"dimension": "three"}, "cannot be understood"),
        ({"sizes": "6 7 -8"}, "image size"),
        ({"sizes": "6 7 0"}, "image size"),
        ({"sizes": "6 7 9"}, "incomplete"),
        ({"sizes": "32767 32767 32767"}, "incomplete: its header announces 70,3"),
        ({"sizes": "6 7 99999999999999999999999"}, "incomplete: its header announces"),
        ({"sizes": "6 7 8.9"}, "image size"),
        ({"sizes": "6 7 inf"}, "image size"),
        ({"sizes": "6 7 7"}, "more data follow"),
        ({"space_directions": "(0.7,0,0) (0,0.7,0)"}, "2 space directions for 3 axes"),
        ({"space_directions": "(0.7,0,0) (0,0.7,0) (0.7,0.7,0)"}, "have no place"),
        ({"space_directions": "(0.7,0,0) (0,0.7,0) (0,0,0)"}, "have no place"),
        ({"space_directions": "(0.7,0,0) (0,0.7,0) (0,0,inf)"}, "not vectors"),
        ({"space_directions": "(0.7,0,0) (0,0.7,0) none"}, "two-dimensional"),
        ({"space_directions": "(0.7,0) (0,0.7) (1,1)"}, "not vectors"),
        ({"space_directions": "0.7 0.7 2.5"}, "cannot be understood"),
        ({"spacings": "0.7 0.7 5"}, "spacings contradict"),
        ({"spacings": "0.7 0.7"}, "2 spacings for 3 axes"),
        ({"space": "left-posterior-superior-time"}, "time is one of its coordinates"),
        ({"byte_skip": "-2"}, "where the voxels begin"),
        ({"line_skip": "-1"}, "where the voxels begin"),
        ({"byte_skip": "999999"}, "incomplete"),
        ({"line_skip": "99"}, "no 99 lines"),
        ({"space_units": '"mm'}, "cannot be understood"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(tmp_path, changes, reason):
    refused(save(tmp_path / "ct.nrrd", content=bytes_of(CT), **changes), reason)


def test_header_lines_that_make_no_sense_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "ct.nrrd"
    path.write_bytes(b"NRRD0005\nno colon here\n\n")
    refused(path, "line without a colon")
    path.write_bytes(text_of(CT).replace(b"endian", b"space: RAS\nendian") + bytes_of(CT))
    refused(path, "'space' twice")
    path.write_bytes(text_of(CT).replace(b"NRRD0005", b"NRRD0009") + bytes_of(CT))
    refused(path, "unknown version")
    monkeypatch.setattr("napari_hirescam.io.nrrd.header._LONGEST_HEADER", 5000)
    path.write_bytes(b"NRRD0005\n" + b"# x\n" * 5_000)
    refused(path, "no end")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("RGB-color", "colours"),
        ("RGBA-color", "colours"),
        ("vector", "'vector'"),
        ("3D-symmetric-matrix", "'3d-symmetric-matrix'"),
        ("complex", "'complex'"),
    ],
)
def test_voxels_that_are_no_single_numbers_are_refused_as_what_they_are(tmp_path, kind, what):
    path = save(
        tmp_path / "v.nrrd",
        np.zeros((3, 6, 7, 8), np.uint8),
        space_directions=f"none {vectors(STEPS)}",
        kinds=f"{kind} domain domain domain",
    )
    refused(path, what)


def test_more_than_one_list_of_volumes_is_refused(tmp_path):
    path = save(
        tmp_path / "v.nrrd",
        np.zeros((2, 2, 6, 7, 8), np.uint8),
        space_directions=f"none none {vectors(STEPS)}",
        kinds="list time domain domain domain",
    )
    refused(path, "5 axes, and only three")


@pytest.mark.parametrize("sizes", ["42 8", "6 7 1", "336"])
def test_a_flat_image_is_refused(tmp_path, sizes):
    n = len(sizes.split())
    directions = " ".join(vectors(STEPS).split()[:n])
    path = save(
        tmp_path / "f.nrrd",
        sizes=sizes,
        dimension=str(n),
        space_directions=directions,
        kinds=None,
    )
    refused(path, "two-dimensional|cannot be understood")


def test_a_segmentation_in_which_nothing_was_drawn_is_called_that(tmp_path):
    path = save(tmp_path / "m.seg.nrrd", np.zeros((1, 1, 1), np.uint8), pairs={"Segment0_ID": "a"})
    refused(path, "segmentation without voxels")


# --- Damage --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "hex", "ascii"])
def test_a_file_that_breaks_off_is_refused(tmp_path, encoding):
    packed = bytes_of(CT, encoding)
    for cut in (1, 3, len(packed) // 2, len(packed)):
        content = packed[: len(packed) - cut]
        if encoding == "ascii" and cut < 4:
            content = packed[: packed.rstrip(b"0123456789-").rfind(b" ")]
        refused(
            save(tmp_path / "ct.nrrd", encoding=encoding, content=content),
            "incomplete|not all written|not sound",
        )


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_any_flipped_byte_of_compressed_voxels_is_noticed(tmp_path, encoding):
    packed = bytes_of(CT, encoding)
    for place in range(0, len(packed), 5):
        content = bytearray(packed)
        content[place] ^= 0x20
        path = save(tmp_path / "ct.nrrd", encoding=encoding, content=bytes(content))
        try:
            volume = io.read_volume(path)
        except VolumeError:
            continue
        # What does not count (a time stamp, say) may change; the voxels may not.
        np.testing.assert_array_equal(volume.voxels[::-1], CT.T)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "hex", "ascii"])
def test_more_voxels_than_announced_are_refused(tmp_path, encoding):
    more = np.concatenate([CT, CT[:, :, :1]], axis=2)
    path = save(tmp_path / "ct.nrrd", encoding=encoding, content=bytes_of(more, encoding))
    refused(path, "more data follow")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_more_or_fewer_volumes_than_announced_are_refused_whichever_is_asked_for(
    tmp_path, encoding
):
    for n in (2, 4):
        path = save(
            tmp_path / "ct.nrrd",
            encoding=encoding,
            content=bytes_of(np.stack([CT] * n, axis=3), encoding),
            sizes="6 7 8 3",
            dimension="4",
            space_directions=f"{vectors(STEPS)} none",
            kinds="domain domain domain list",
        )
        with pytest.raises(VolumeError, match="incomplete" if n == 2 else "more data follow"):
            io.read_volume(path, series="1")


@pytest.mark.parametrize("content", [b"1 2 x", b"1.5 " * 336, b"99999 " * 336, b"\xff " * 336])
def test_text_that_is_no_number_of_its_type_is_refused(tmp_path, content):
    content = content.ljust(700, b" ")
    path = save(tmp_path / "ct.nrrd", encoding="ascii", content=content)
    refused(path, "not all written as numbers")


@pytest.mark.parametrize("sizes", ["32767 32767 32767", "4000 400 2"])
def test_a_header_that_announces_more_than_can_be_packed_is_refused_at_once(tmp_path, sizes):
    path = save(tmp_path / "ct.nrrd", encoding="gzip", sizes=sizes)
    refused(path, "its header announces")


def test_not_enough_memory_is_said_before_it_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_hirescam.io.reading.available_memory", lambda: 1000)
    refused(save(tmp_path / "ct.nrrd"), "GiB of memory")


# --- Data files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../ct.raw",
        "sub/../../ct.raw",
        "/etc/passwd",
        "..\\ct.raw",
        "C:\\ct.raw",
        "\\\\server\\share\\ct.raw",
        "C:ct.raw",
    ],
)
def test_a_header_cannot_reach_out_of_its_folder(tmp_path, name):
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "ct.raw").write_bytes(bytes_of(CT))
    header = folder / "ct.nhdr"
    header.write_bytes(text_of(CT, data_file=name))
    assert "one folder" in refused(header, "in another folder").remedy
    header.write_bytes(text_of(CT).rstrip(b"\n") + b"\ndata file: LIST 3\n" + name.encode())
    refused(header, "in another folder")


def test_a_data_file_that_is_not_there_is_named(tmp_path):
    header = tmp_path / "ct.nhdr"
    header.write_bytes(text_of(CT, data_file="ct.raw"))
    refused(header, "'ct.raw', is not beside it")
    (tmp_path / "ct.raw").mkdir()
    refused(header, "'ct.raw', is not beside it")


def test_a_data_file_that_is_too_short_is_named(tmp_path):
    for k in range(8):
        (tmp_path / f"{k}.raw").write_bytes(bytes_of(CT[:, :, k])[: 80 if k == 5 else None])
    header = tmp_path / "ct.nhdr"
    header.write_bytes(text_of(CT, data_file="%d.raw 0 7 1"))
    assert refused(header, "incomplete").subject.endswith("5.raw")
    (tmp_path / "5.raw").write_bytes(bytes_of(CT[:, :, 5]) + b"more")
    refused(header, "more data follow")


@pytest.mark.parametrize(
    "named",
    [
        "LIST 9",
        "LIST x",
        "LIST",
        "%d.raw 0 6 1",
        "%d.raw 0 7 0",
        "%d.raw 0 99999999999 1",
        "%s.raw 0 7 1",
        "%d%d.raw 0 7 1",
        "%d.raw a b c",
    ],
)
def test_data_files_that_do_not_fit_are_refused(tmp_path, named):
    header = tmp_path / "ct.nhdr"
    header.write_bytes(text_of(CT).rstrip(b"\n") + f"\ndata file: {named}\n".encode())
    refused(header, "files|way not known|no data file")


@pytest.mark.parametrize("named", ["%d.raw 1 3000000 1", "LIST\n" + "1.raw\n" * 20_000])
def test_a_short_header_cannot_ask_for_millions_of_files(tmp_path, named):
    n = 3_000_000 if "%" in named else 20_000
    (tmp_path / "1.raw").write_bytes(bytes(84))
    header = tmp_path / "ct.nhdr"
    header.write_bytes(
        text_of(CT, sizes=f"6 7 {n}").rstrip(b"\n") + f"\ndata file: {named}\n".encode()
    )
    refused(header, "in more than 16,384 files")


def test_a_vector_that_never_ends_is_refused_at_once(tmp_path):
    header = save(tmp_path / "ct.nrrd", space_origin="1 " * 100_000)
    start = time.perf_counter()
    refused(header, "cannot be understood")
    assert time.perf_counter() - start < 2  # looking for its end at each blank takes ten
