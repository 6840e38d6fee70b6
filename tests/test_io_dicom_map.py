"""DICOM parametric maps: what we write lies on the CT for everyone, what others write is read."""

from __future__ import annotations

import json

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_factory import SAGITTAL, TILTED, save_all
from networks import classifier_of, plain_input
from nifti_factory import save
from pydicom.uid import generate_uid
from seg_cases import enhanced, patient_series, read_series
from test_point_end_to_end import SumOfVoxels

from napari_hirescam import io
from napari_hirescam.attention import explain
from napari_hirescam.attention.export import save_maps
from napari_hirescam.errors import VolumeError
from napari_hirescam.io import ChoiceNeededError
from napari_hirescam.io.dicom.map_write import write_parametric_map
from napari_hirescam.volume import Quantity


def attention(shape) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def write(ct, path, values, grid=None, **options):
    return write_parametric_map(path, values, grid or ct.grid, like=ct.source, **options)


def test_a_map_comes_back_with_the_same_numbers_on_the_very_grid(tmp_path):
    ct = read_series(tmp_path / "ct")
    values = attention(ct.voxels.shape)
    values[2, 3, 4] = 99

    read = io.read_volume(
        write(ct, tmp_path / "ct" / "map.dcm", values, description="HiResCAM nodule")
    )

    np.testing.assert_array_equal(read.voxels, values)
    np.testing.assert_array_equal(read.affine, ct.affine)
    assert read.voxels.dtype == np.float32
    assert read.quantity is Quantity.UNKNOWN
    assert read.name == "HiResCAM nodule"
    assert read.source.format == "DICOM Parametric Map"


def test_others_read_the_same_numbers_over_the_same_slices(tmp_path):
    ct = read_series(tmp_path / "ct", orientation=SAGITTAL, step=(2.0, 0, 0))
    values = attention(ct.voxels.shape)
    path = write(ct, tmp_path / "map.dcm", values, description="one")

    image = hd.imread(path)

    uids = [frame.sop_instance_uid for frame in ct.source.frames]
    pixels = image.get_pixels_by_source_instance(uids, apply_real_world_transform=True)
    on_file = io.on_source_grid(values, ct, 1).transpose(2, 1, 0)
    np.testing.assert_array_equal(pixels, on_file)


def test_it_says_of_whom_it_is_what_it_shows_and_how_it_came_about(tmp_path):
    ct = read_series(tmp_path / "ct")
    provenance = {"model": "nodules", "method": "hirescam", "repairs": []}
    values = attention(ct.voxels.shape)
    path = write(
        ct, tmp_path / "map.dcm", values, description="HiResCAM nodule", provenance=provenance
    )
    stored, source = pydicom.dcmread(path), pydicom.dcmread(ct.source.frames[0].path)
    assert stored.PatientID == source.PatientID
    assert stored.StudyInstanceUID == source.StudyInstanceUID
    assert stored.DerivationDescription == "HiResCAM nodule; model: nodules"
    assert json.loads(stored.private_block(0x99, "NAPARI-HIRESCAM")[1].value) == provenance
    mapping = stored.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == values.max()
    assert stored.NumberOfFrames == 6


def test_over_a_tilted_series_it_is_interpolated_at_the_slices_own_pixels(tmp_path):
    ct = read_series(tmp_path / "ct", 8, orientation=TILTED)
    index = np.stack(np.meshgrid(*map(np.arange, ct.voxels.shape), indexing="ij"), -1)
    linear = (ct.grid.to_world(index) @ [1.0, -2.0, 3.0] + 500).astype(np.float32)
    path = write(ct, tmp_path / "map.dcm", linear)

    image = hd.imread(path)

    pixels = image.get_pixels_by_source_instance(
        [frame.sop_instance_uid for frame in ct.source.frames], apply_real_world_transform=True
    )
    grid = ct.export_grid
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    expected = (grid.to_world(index) @ [1.0, -2.0, 3.0] + 500).transpose(2, 1, 0)
    assert np.abs(pixels - expected).max() < 0.01


def test_over_an_enhanced_multi_frame_ct(tmp_path):
    ct = io.read_volume(enhanced(patient_series(6), tmp_path / "ct" / "enhanced.dcm"))
    values = attention(ct.voxels.shape)
    read = io.read_volume(write(ct, tmp_path / "ct" / "map.dcm", values))
    np.testing.assert_array_equal(read.voxels, values)
    assert read.grid.same_place_as(ct.grid, 1e-6)


def test_what_cannot_be_written_is_refused_with_the_way_out(tmp_path):
    ct = read_series(tmp_path / "ct")
    values = attention(ct.voxels.shape)
    nifti = io.read_volume(save(tmp_path / "ct.nii"))
    path = tmp_path / "map.dcm"
    with pytest.raises(VolumeError, match="was not read from a DICOM series") as caught:
        io.write_volume(path, values, ct.grid, like=nifti.source)
    assert "NIfTI" in caught.value.remedy
    values[1, 1, 1] = np.nan
    with pytest.raises(VolumeError, match="no finite numbers"):
        write(ct, path, values)
    with pytest.raises(ValueError, match="does not lie"):
        write(ct, path, values[1:])
    assert not path.exists()


def others(folder, pixels, mappings, path):
    sources = [pydicom.dcmread(file) for file in folder.iterdir()]
    sources.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    for source in sources:
        source.StudyTime, source.StudyID, source.PatientSex = "", "", "O"
        source.SliceThickness = 2.0
    hd.pm.ParametricMap(
        sources, pixels, generate_uid(), 5, generate_uid(), 1, "somebody", "else", "1", "0",
        contains_recognizable_visual_features=False, real_world_value_mappings=mappings,
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=1, window_width=2)],
        series_description="theirs",
    ).save_as(path)  # fmt: skip
    return path


def mapping(name, slope, intercept, value_range):
    return hd.pm.RealWorldValueMapping(
        name[:16], name, hd.sr.CodedConcept("1", "UCUM", "no units"), value_range, slope, intercept
    )


def test_stored_integers_become_values_by_their_slope(tmp_path):
    read_series(tmp_path / "ct")
    pixels = np.random.default_rng(0).integers(0, 4000, (6, 6, 9)).astype(np.uint16)
    path = tmp_path / "ct" / "map.dcm"
    others(tmp_path / "ct", pixels, [mapping("ADC", 0.5, -100.0, (0, 4000))], path)
    read = io.read_volume(path)
    np.testing.assert_allclose(read.voxels, pixels[::-1] * 0.5 - 100)


def test_several_maps_in_one_file_are_asked_for(tmp_path):
    read_series(tmp_path / "ct")
    pixels = np.random.default_rng(0).normal(size=(6, 6, 9, 2)).astype(np.float32)
    maps = [[mapping(name, 1.0, 0.0, (-9.0, 9.0))] for name in ("first", "second")]
    path = others(tmp_path / "ct", pixels, maps, tmp_path / "map.dcm")
    with pytest.raises(ChoiceNeededError, match="2 maps overlap") as caught:
        io.read_volume(path)
    for k, item in enumerate(caught.value.items):
        read = io.read_volume(path, series=item.key)
        np.testing.assert_array_equal(read.voxels, pixels[::-1, :, :, k])
    assert [item.title for item in caught.value.items] == ["theirs: first", "theirs: second"]


def test_attention_of_a_dicom_series_is_saved_over_it(tmp_path):
    ct = io.read_volume(save_all(patient_series(4), tmp_path / "ct"))
    spec = plain_input(ct.voxels.shape)
    result = explain(ct, classifier_of(SumOfVoxels(), "see", spec, 1))

    files = save_maps(result, ct, ["label 0"], ["hirescam"], tmp_path / "ct", map_format="dicom")

    assert files[0].name == "made_up_label_0_hirescam.dcm"
    read = io.read_volume(files[0])
    np.testing.assert_allclose(
        io.on_source_grid(read.voxels, read, 1),
        result.map("label 0").on_grid(ct.export_grid),
        rtol=1e-5,
        atol=1e-5,
    )
    nifti = io.read_volume(save(tmp_path / "ct.nii"))
    with pytest.raises(VolumeError, match="cannot be written as DICOM"):
        save_maps(result, nifti, ["label 0"], ["hirescam"], tmp_path / "out", map_format="dicom")
    assert not (tmp_path / "out").exists()
