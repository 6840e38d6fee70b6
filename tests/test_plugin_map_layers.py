"""Attention maps as layers: in the right place, reused, styled, and counted out again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image
from plugin_cases import make_explanation

from napari_hirescam.plugin.colormaps import N_SCALES, STRONGEST, positive, signed
from napari_hirescam.plugin.ct_layers import METADATA_KEY
from napari_hirescam.plugin.map_layers import MapLayers
from napari_hirescam.plugin.map_style import MapKey, MapStyle, display_grid, peak_mm
from napari_hirescam.volume import Grid

MINUS = "\N{MINUS SIGN}"
NODULE = MapKey("nodule", "hirescam")
MASS = MapKey("mass", "hirescam")
DIFFERENCE = MapKey("nodule", "hirescam", "gradcam")


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def maps(viewer) -> MapLayers:
    return MapLayers(viewer)


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    spacing=st.tuples(*[st.floats(0.5, 60.0)] * 3),
    origin=st.tuples(*[st.floats(-500.0, 500.0)] * 3),
)
def test_the_display_grid_holds_every_cell_centre_and_ends_where_the_cells_end(
    shape, spacing, origin
):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    cells = Grid(shape, affine)
    fine = display_grid(cells, step_mm=5.0)
    assert (np.array(fine.spacing_mm) <= np.maximum(5.0, spacing) + 1e-9).all()
    for cell in ((0, 0, 0), tuple(n - 1 for n in shape)):
        index = fine.to_index(cells.to_world(cell))
        np.testing.assert_allclose(index, index.round(), atol=1e-6)
    first_edge = fine.to_world((-0.5, -0.5, -0.5))
    np.testing.assert_allclose(first_edge, cells.to_world((-0.5, -0.5, -0.5)), atol=1e-6)
    last_edge = fine.to_world(np.array(fine.shape) - 0.5)
    np.testing.assert_allclose(last_edge, cells.to_world(np.array(shape) - 0.5), atol=1e-6)


def test_a_peak_lies_in_the_layer_at_its_place_in_the_patient(maps):
    explanation = make_explanation({"nodule": (2, 1, 5), "mass": (4, 4, 2)})
    expected_mm = (-290 + 2 * 12, -70 + 1 * 20, -60 + 5 * 20)
    maps.show(explanation, [NODULE], MapStyle())
    layer = maps.layers[NODULE]
    brightest = np.unravel_index(layer.data.argmax(), layer.data.shape)
    np.testing.assert_allclose(layer.data_to_world(brightest), expected_mm, atol=1e-6)
    assert peak_mm(explanation.map(*NODULE[:2])) == pytest.approx(expected_mm)


def test_another_placement_moves_the_layer(maps):
    explanation = make_explanation()
    maps.show(explanation, [NODULE], MapStyle())
    before = np.array(maps.layers[NODULE].translate)
    maps.show(explanation, [NODULE], MapStyle(placement="stretch"))
    np.testing.assert_allclose(maps.layers[NODULE].translate - before, (-10, -10, -10))


def test_a_map_layer_says_what_it_is(maps):
    explanation = make_explanation()
    maps.show(explanation, [NODULE], MapStyle())
    layer = maps.layers[NODULE]
    probability = explanation.probabilities[0]
    assert layer.name == f"HiResCAM: nodule (p = {probability:.2f})"
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.blending == "translucent_no_depth"
    told = json.loads(json.dumps(layer.metadata[METADATA_KEY]))
    assert (told["kind"], told["label"], told["method"]) == ("map", "nodule", "hirescam")
    assert told["guarantee"] == "exact"


def test_the_scale_ends_at_the_maximum_of_the_whole_map(maps):
    explanation = make_explanation()
    maps.show(explanation, [NODULE], MapStyle())
    layer = maps.layers[NODULE]
    assert layer.contrast_limits == [0, 4]
    assert layer.data.min() == 0  # rectified
    assert layer.data.max() == pytest.approx(4)


def test_a_signed_map_is_symmetric_about_zero(maps):
    maps.show(make_explanation(), [NODULE], MapStyle(signed=True))
    layer = maps.layers[NODULE]
    assert layer.contrast_limits == [-4, 4]
    assert layer.data.min() == pytest.approx(-0.01)


def test_a_difference_is_the_raw_one_in_units_of_the_logit(maps):
    explanation = make_explanation()
    maps.show(explanation, [DIFFERENCE], MapStyle(threshold=0.1))
    layer = maps.layers[DIFFERENCE]
    raw = explanation.maps["hirescam"][0] - explanation.maps["gradcam"][0]
    largest = np.abs(raw).max()
    assert layer.contrast_limits == pytest.approx([-largest, largest])
    assert layer.data.min() == pytest.approx(raw.min())
    assert layer.data.max() == pytest.approx(raw.max())
    assert layer.name.startswith(f"HiResCAM {MINUS} Grad-CAM: nodule (p = ")
    assert layer.metadata[METADATA_KEY]["minus"] == "gradcam"
    against, for_it = layer.colormap.map(np.array([0.0, 1.0]))
    assert against[2] > against[0]
    assert for_it[0] > for_it[2]


def test_no_difference_is_shown_empty_rather_than_as_rounding(maps):
    explanation = make_explanation()
    same = explanation.maps["hirescam"] * np.float32(1 + 1e-7)
    explanation.maps["gradcam"] = same
    maps.show(explanation, [DIFFERENCE], MapStyle())
    layer = maps.layers[DIFFERENCE]
    assert not layer.data.any()
    assert layer.contrast_limits == [-1, 1]


def test_blocks_show_each_cell_as_it_was_computed(maps):
    explanation = make_explanation()
    maps.show(explanation, [NODULE], MapStyle(smooth=False))
    layer = maps.layers[NODULE]
    np.testing.assert_array_equal(layer.data, np.maximum(explanation.maps["hirescam"][0], 0))
    assert tuple(layer.scale) == explanation.cell_mm()
    assert layer.interpolation2d == "nearest"
    cell = (2, 1, 5)
    np.testing.assert_allclose(
        layer.data_to_world(cell), explanation.map(*NODULE[:2]).grid.to_world(cell)
    )
    maps.show(explanation, [NODULE], MapStyle(smooth=True))
    assert layer.interpolation2d == "linear"
    assert layer.data.shape > explanation.maps["hirescam"][0].shape


def test_old_maps_carry_the_name_of_their_layer(maps):
    explanation = make_explanation()
    maps.show(explanation, [NODULE], MapStyle())
    plain = maps.layers[NODULE].name
    maps.mark(" [of conv2d.1]")
    assert maps.layers[NODULE].name == f"{plain} [of conv2d.1]"
    maps.show(explanation, [NODULE, MASS], MapStyle())
    assert all(layer.name.endswith(" [of conv2d.1]") for layer in maps.layers.values())
    maps.mark("")
    assert maps.layers[NODULE].name == plain


def test_a_map_without_a_positive_cell_is_shown_empty(maps):
    explanation = make_explanation()
    explanation.maps["hirescam"][0] = -1.0
    maps.show(explanation, [NODULE], MapStyle())
    layer = maps.layers[NODULE]
    assert not layer.data.any()
    assert layer.contrast_limits == [0, 1]


def test_switching_the_label_reuses_the_layer(maps, viewer):
    explanation = make_explanation()
    maps.show(explanation, [NODULE], MapStyle())
    layer = maps.layers[NODULE]
    maps.show(explanation, [MASS], MapStyle())
    assert maps.layers == {MASS: layer}
    assert list(viewer.layers) == [layer]
    fresh = MapLayers(ViewerModel())
    fresh.show(explanation, [MASS], MapStyle())
    np.testing.assert_array_equal(layer.data, fresh.layers[MASS].data)
    assert layer.name == fresh.layers[MASS].name
    assert layer.contrast_limits == fresh.layers[MASS].contrast_limits


def test_unticking_hides_the_layer_and_keeps_it_for_the_next(maps, viewer):
    ct = viewer.add_image(np.zeros((4, 5, 6)))
    explanation = make_explanation()
    maps.show(explanation, [NODULE, MASS], MapStyle())
    mass = maps.layers[MASS]
    nodule = maps.layers[NODULE]
    maps.show(explanation, [MASS], MapStyle())
    assert [layer for layer in viewer.layers if layer.visible] == [ct, mass]
    maps.show(explanation, [MASS, NODULE], MapStyle())
    assert maps.layers[NODULE] is nodule
    assert nodule.visible
    maps.clear()
    assert [layer for layer in viewer.layers if layer.visible] == [ct]
    assert all(layer.data.size == 8 for layer in viewer.layers if layer is not ct)


def test_a_second_run_replaces_the_data_of_a_kept_label(maps):
    maps.show(make_explanation({"nodule": (0, 0, 0)}), [NODULE], MapStyle())
    maps.show(make_explanation({"nodule": (6, 5, 7)}), [NODULE], MapStyle())
    layer = maps.layers[NODULE]
    brightest = np.unravel_index(layer.data.argmax(), layer.data.shape)
    np.testing.assert_allclose(layer.data_to_world(brightest), (-218, 30, 80), atol=1e-6)


def test_a_map_the_user_deletes_is_reported_once(viewer):
    deleted = []
    maps = MapLayers(viewer, deleted.append)
    maps.show(make_explanation(), [NODULE, MASS], MapStyle())
    viewer.layers.remove(maps.layers[MASS])
    assert deleted == [MASS]
    maps.show(make_explanation(), [], MapStyle())
    assert deleted == [MASS]
    (hidden,) = viewer.layers
    assert hidden.name == "unused map"
    viewer.layers.remove(hidden)
    assert deleted == [MASS]
    maps.show(make_explanation(), [NODULE], MapStyle())
    assert list(viewer.layers) == [maps.layers[NODULE]]


def test_labels_shown_together_differ_in_colour_and_keep_it(maps):
    explanation = make_explanation()
    maps.show(explanation, [NODULE, MASS], MapStyle())
    nodule, mass = maps.colour_of("nodule"), maps.colour_of("mass")
    assert nodule != mass
    maps.show(explanation, [MASS, MapKey("effusion", "hirescam")], MapStyle())
    assert maps.colour_of("mass") == mass
    assert maps.colour_of("effusion") == nodule
    assert maps.colour_of("nodule") is None


def test_threshold_and_opacity_change_the_shown_layer_alone(maps):
    maps.show(make_explanation(), [NODULE], MapStyle(threshold=0.2, opacity=0.7))
    layer = maps.layers[NODULE]
    data = layer.data
    maps.restyle(0.5, 0.3)
    assert layer.data is data
    assert layer.opacity == pytest.approx(0.3)
    assert layer.colormap.map(0.49)[0, 3] == 0
    assert layer.colormap.map(0.6)[0, 3] > 0


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.9, 1.0])
@pytest.mark.parametrize("scale", range(N_SCALES + 1))
def test_a_colour_map_is_transparent_up_to_its_threshold_and_strongest_at_the_top(scale, threshold):
    colormap = positive(scale, threshold)
    below = colormap.map(np.linspace(0, threshold, 20) * (1 - 1e-2))[:, 3]
    assert (below < 0.02).all()
    alpha = colormap.map(np.linspace(0, 1, 300))[:, 3]
    assert (np.diff(alpha) >= -1e-6).all()
    if threshold < 1:
        assert alpha[-1] == pytest.approx(STRONGEST)


def test_the_signed_colour_map_is_transparent_in_its_middle_and_differs_at_its_ends():
    colormap = signed(0.2)
    against, middle, for_it = colormap.map(np.array([0.0, 0.5, 1.0]))
    assert middle[3] == 0
    assert against[3] == for_it[3] == pytest.approx(STRONGEST)
    assert against[2] > against[0]  # blue
    assert for_it[0] > for_it[2]  # red


def test_image_layers_of_others_are_never_touched(maps, viewer):
    mine = Image(np.zeros((4, 5, 6)), name="HiResCAM: nodule (p = 0.98)")
    viewer.add_layer(mine)
    maps.show(make_explanation(), [NODULE], MapStyle())
    maps.clear()
    assert [layer for layer in viewer.layers if layer.visible] == [mine]
    assert mine.data.shape == (4, 5, 6)


def test_maps_of_another_ct_are_shown_above_it(viewer):
    """A reused layer would lie under a CT that was opened later."""
    first = viewer.add_image(np.zeros((4, 5, 6)))
    maps = MapLayers(viewer)
    maps.show(make_explanation(), [NODULE], MapStyle(), above=first)
    second = viewer.add_image(np.zeros((4, 5, 6)))
    maps.show(make_explanation(), [NODULE], MapStyle(), above=second)
    assert list(viewer.layers) == [first, second, maps.layers[NODULE]]


def test_the_peak_is_sought_inside_the_ct():
    attention = make_explanation({"nodule": (0, 0, 0)}).map("nodule")
    place = np.array(peak_mm(attention))
    affine = np.eye(4)
    affine[:3, 3] = place + np.array(attention.grid.spacing_mm) * 0.7
    elsewhere = Grid((100, 100, 100), affine)
    found = elsewhere.to_index(peak_mm(attention, elsewhere))
    assert (found >= -0.5).all()
    far = Grid((2, 2, 2), np.diag([1.0, 1.0, 1.0, 1.0]) + 1e6 * np.eye(4, k=3))
    assert peak_mm(attention, far) == tuple(place)
