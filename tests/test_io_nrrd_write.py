"""NRRD files as pynrrd, SimpleITK and 3D Slicer read them."""

from __future__ import annotations

import json

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own manual calls it so
from nifti_factory import RNG

from napari_hirescam import io
from napari_hirescam.errors import VolumeError
from napari_hirescam.io.frame import IPL_TO_LPS
from napari_hirescam.source import Segment
from napari_hirescam.volume import Grid

ALL_TYPES = [
    "bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
    "float32", "float64",
]  # fmt: skip
OBLIQUE = np.array([[0, 0.5, -2.0, 7.25], [0.1, 0.7, 0.2, -3], [0.8, 0, 0.1, 11], [0, 0, 0, 1]])


@pytest.mark.parametrize("kind", ALL_TYPES)
def test_what_was_written_reads_back_the_same_with_pynrrd(tmp_path, kind):
    values = (RNG.random((4, 5, 6)) * 9).astype(kind)
    path = io.write_volume(tmp_path / "map.nrrd", values, Grid(values.shape, OBLIQUE))

    stored, header = nrrd.read(str(path))

    assert stored.dtype == {"bool": "uint8", "float16": "float32"}.get(kind, kind)
    np.testing.assert_array_equal(stored, values)
    lps = IPL_TO_LPS @ OBLIQUE
    assert header["space"] == "left-posterior-superior"
    np.testing.assert_array_equal(header["space directions"], lps[:3, :3].T)  # to the last bit
    np.testing.assert_array_equal(header["space origin"], lps[:3, 3])
    assert list(tmp_path.iterdir()) == [path]


def test_a_marked_voxel_lies_at_its_place_for_itk(tmp_path):
    values = np.zeros((4, 5, 6), np.int16)
    values[1, 2, 3] = 77
    affine = np.zeros((4, 4))
    affine[[0, 1, 2, 3], [1, 2, 0, 3]] = [2.0, -0.7, 0.5, 1]  # permuted and flipped, right angles
    affine[:3, 3] = [30, 20, 10]
    path = io.write_volume(tmp_path / "map.nrrd", values, Grid(values.shape, affine))

    image = sitk.ReadImage(str(path))

    inferior, posterior, left = affine[:3, :3] @ [1, 2, 3] + affine[:3, 3]
    index = image.TransformPhysicalPointToIndex((left, posterior, -inferior))
    assert image[index] == 77


def test_description_and_provenance_survive_line_ends_backslashes_and_umlauts(tmp_path):
    provenance = {"model": "nodule", "name": 'Grün\nand "\\n" said', "path": "C:\\scans"}
    path = io.write_volume(
        tmp_path / "map.nrrd",
        np.zeros((2, 2, 2), np.uint8),
        Grid((2, 2, 2), np.eye(4)),
        description="first line\r\nencoding: raw",
        provenance=provenance,
    )
    header = nrrd.read_header(str(path))
    assert header["encoding"] == "gzip"
    assert header["content"] == "first line encoding: raw"
    # pynrrd leaves the escapes in; undone, they are the text.
    text = header["provenance"].replace("\\n", "\n").replace("\\\n", "\\n").replace("\\\\", "\\")
    assert json.loads(text) == provenance


def test_segments_are_written_as_slicer_names_them_and_ours_read_again(tmp_path):
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1:3, 2, 3:6] = 10
    mask[0, 0, 0] = 51
    segments = (Segment(10, "oberer Lappen, äußerer", (1.0, 0.5, 0.0)), Segment(51, "heart"))
    grid = Grid(mask.shape, np.eye(4))

    path = io.write_volume(tmp_path / "mask.seg.nrrd", mask, grid, segments=segments)

    header = nrrd.read_header(str(path))
    assert header["Segment0_Name"].startswith("oberer Lappen")  # pynrrd drops the umlaut
    assert header["Segment0_LabelValue"] == "10"
    assert header["Segment0_Extent"] == "1 2 2 2 3 5"
    assert header["Segment0_Color"] == "1 0.5 0"
    assert header["Segment1_Name"] == "heart"
    read = io.read_volume(path)
    assert [(s.value, s.name, s.colour) for s in read.segments] == [
        (10, "oberer Lappen, äußerer", (1.0, 0.5, 0.0)),
        (51, "heart", None),
    ]
    np.testing.assert_array_equal(io.on_source_grid(read.voxels, read, 0), mask)


def test_the_geometry_text_of_the_source_is_repeated_letter_for_letter(tmp_path):
    values = RNG.integers(-1000, 900, (3, 4, 5)).astype(np.int16)
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: RAS\nsizes: 3 4 5\n"
        "space directions: (-0.70,0,0) (0,-0.7000,0.0) (0,0,2.50)\nkinds: domain domain domain\n"
        "endian: little\nencoding: raw\nspace origin: (10.0,2e1,-300)\n\n"
    )
    (tmp_path / "ct.nrrd").write_bytes(head.encode() + values.tobytes(order="F"))
    ct = io.read_volume(tmp_path / "ct.nrrd")

    path = io.write_volume(tmp_path / "map.nrrd", values, ct.source.grid, like=ct.source)

    written = path.read_bytes().split(b"\n\n")[0].decode().splitlines()
    for line in head.splitlines():
        if line.startswith("space"):
            assert line in written
    # Elsewhere the source's place would be a lie.
    shifted = ct.source.grid.affine.copy()
    shifted[0, 3] += 0.5
    moved = Grid(values.shape, shifted)
    path = io.write_volume(tmp_path / "moved.nrrd", values, moved, like=ct.source)
    assert io.read_volume(path).source.grid.same_place_as(moved, 1e-9)


def test_no_header_is_written_apart_from_its_voxels(tmp_path):
    grid = Grid((2, 2, 2), np.eye(4))
    with pytest.raises(VolumeError, match="its name does not say in which format"):
        io.write_volume(tmp_path / "map.nhdr", np.zeros((2, 2, 2), np.int16), grid)
    assert list(tmp_path.iterdir()) == []
