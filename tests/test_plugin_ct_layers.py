"""CT volumes become layers and layers become CT volumes, without losing their place."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Image, Labels
from plugin_cases import make_volume, write_ct

from napari_hirescam.errors import InputError
from napari_hirescam.io import read_volume
from napari_hirescam.plugin.ct_layers import (
    HU_RANGE,
    METADATA_KEY,
    layer_from_volume,
    placement_doubt,
    volume_from_layer,
    widen_contrast_range,
)
from napari_hirescam.volume import Quantity, Volume


def _layer(volume: Volume) -> Image:
    voxels, options, kind = layer_from_volume(volume)
    assert kind == "image"
    return Image(voxels, **options)


def test_a_voxel_lies_in_the_layer_where_it_lies_in_the_patient():
    volume = make_volume()
    layer = _layer(volume)
    np.testing.assert_allclose(layer.data_to_world((3, 5, 7)), volume.grid.to_world((3, 5, 7)))
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.axis_labels == ("inferior", "posterior", "left")


def test_a_volume_comes_back_from_its_layer_without_a_copy():
    volume = make_volume()
    back = volume_from_layer(_layer(volume))
    assert np.shares_memory(back.voxels, volume.voxels)
    assert back.grid.same_place_as(volume.grid)
    assert back.quantity is Quantity.HU


def test_a_moved_and_scaled_layer_counts_where_it_is_now():
    layer = _layer(make_volume())
    layer.translate = np.add(layer.translate, (1, 2, 3))
    layer.affine = np.diag([2.0, 1.0, 1.0, 1.0])
    back = volume_from_layer(layer)
    np.testing.assert_allclose(back.grid.to_world((4, 5, 6)), layer.data_to_world((4, 5, 6)))
    assert "Moved" in placement_doubt(layer)


def test_a_layer_turned_round_by_a_negative_scale_keeps_every_value_in_place():
    volume = make_volume()
    layer = Image(volume.voxels, scale=(-6, 4, -4), translate=(10, 20, 30))
    back = volume_from_layer(layer)
    assert back.grid.is_axis_aligned
    index = back.grid.to_index(layer.data_to_world((5, 6, 7))).round().astype(int)
    assert back.voxels[tuple(index)] == volume.voxels[5, 6, 7]


def test_the_file_stays_the_export_grid_only_while_the_layer_is_unmoved(tmp_path):
    volume = read_volume(write_ct(tmp_path / "ct.nii.gz"))
    layer = _layer(volume)
    assert volume_from_layer(layer).source is volume.source
    assert placement_doubt(layer) == ""
    layer.translate = np.add(layer.translate, (0, 0, 5))
    assert volume_from_layer(layer).source is None


def test_metadata_is_plain_json(tmp_path):
    layer = _layer(read_volume(write_ct(tmp_path / "ct.nii.gz")))
    assert json.loads(json.dumps(layer.metadata[METADATA_KEY]))["format"] == "NIfTI"


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Image(np.zeros((4, 5, 6)), name="turned", rotate=30), "rotated or sheared"),
        (Image(np.zeros((2, 4, 5, 6)), name="film"), "not 4 axes"),
        (Image(np.zeros((4, 5, 6, 3)), name="photo", rgb=True), "not colours"),
        (
            Image([np.zeros((8, 8, 8)), np.zeros((4, 4, 4))], name="pyramid", multiscale=True),
            "several resolutions",
        ),
    ],
    ids=["rotated", "4-D", "RGB", "multiscale"],
)
def test_what_is_not_one_axis_aligned_volume_is_refused(layer, words):
    with pytest.raises(InputError, match=words) as refusal:
        volume_from_layer(layer)
    assert refusal.value.subject == layer.name


def test_an_image_of_another_reader_is_taken_but_doubted():
    layer = Image(make_volume().voxels)
    assert volume_from_layer(layer).quantity is Quantity.HU
    assert "another reader" in placement_doubt(layer)


def test_an_image_without_air_is_not_taken_for_hounsfield_units():
    assert volume_from_layer(Image(np.ones((4, 4, 4)))).quantity is Quantity.UNKNOWN


def test_the_contrast_slider_reaches_over_the_hu_scale():
    layer = _layer(make_volume())
    window = layer.contrast_limits
    widen_contrast_range(layer)
    assert layer.contrast_limits_range[1] == HU_RANGE[1]
    assert layer.contrast_limits == window


def test_a_label_volume_becomes_a_labels_layer():
    volume = replace(make_volume(), quantity=Quantity.LABELS)
    voxels, options, kind = layer_from_volume(volume)
    assert kind == "labels"
    assert Labels(np.maximum(voxels, 0), **options).axis_labels[0] == "inferior"
