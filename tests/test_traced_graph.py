"""What must not mislead the trace of a network: writes in place, repeats, detours, wrappers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import ConvThenLinear, classifier_of, plain_input, random_ct
from torch import Tensor, nn
from zoo_networks import Branches, Checkpointed, OwnNoGrad, Plain, SharedReLU

from napari_hirescam.attention import examine_target_layer, explain, target_layers
from napari_hirescam.models import Classifier
from napari_hirescam.models.architectures import build_by_name, default_target_layer

SIZE = (8, 8, 8)


def classifier(network: nn.Module, layer: str, size: tuple[int, int, int] = SIZE) -> Classifier:
    return classifier_of(network.eval(), layer, plain_input(size, spacing_mm=(1, 1, 1)), 3)


def test_a_relu_in_place_is_not_taken_for_part_of_the_layer_ahead_of_it() -> None:
    model = classifier(ConvThenLinear((6, 8, 10)), "conv2", (6, 8, 10))
    before = examine_target_layer(model).guarantee
    after = explain(random_ct((6, 8, 10)), model).guarantee
    assert not before.holds
    assert "ReLU" in before.reason
    assert before == after


def test_the_last_call_of_a_repeated_layer_has_a_place_though_no_number_is_given() -> None:
    result = explain(random_ct(SIZE), classifier(SharedReLU(), "act"))
    numbered = explain(random_ct(SIZE), classifier(SharedReLU(), "act#2"))
    assert result.placement_note == ""
    assert result.receptive_field_mm == (7, 7, 7)
    assert np.array_equal(result.map("label 0").affine, numbered.map("label 0").affine)


@pytest.mark.parametrize("layer", ["wide", "cells"])
def test_a_layer_that_the_image_goes_around_does_not_explain_the_whole_score(layer) -> None:
    """The other branches would be counted as bias, and they change with the image."""
    model = classifier(Branches(), layer)
    (row,) = (row for row in target_layers(model) if row.name == layer)
    result = explain(random_ct(SIZE), model)
    assert result.guarantee.holds == (layer == "cells")
    assert row.guarantee == result.guarantee == examine_target_layer(model).guarantee
    if layer == "wide":
        assert "goes around wide" in result.guarantee.reason
        assert np.isnan(result.bias).all()
        assert not result.verified("label 0")


def test_a_residual_branch_of_a_linear_sum_is_not_offered() -> None:
    settings = {"in_shape": [1, 16, 16, 16], "channels": [4, 8], "strides": [2, 2]}
    network = build_by_name("monai.Classifier", 3, settings, "model.yaml")
    rows = {row.name: row for row in target_layers(classifier(network, "net.layer_1", (16,) * 3))}
    assert not rows["net.layer_1.residual"].guarantee.holds
    assert rows["net.layer_1"].guarantee.holds
    assert rows["net.layer_1"].preferred


def test_a_block_that_computes_itself_anew_is_explained() -> None:
    model = classifier(Checkpointed(), "cells")
    result = explain(random_ct(SIZE), model)
    assert result.guarantee.holds
    assert all(result.verified(label) for label in result.labels)
    (row,) = (row for row in target_layers(model) if row.preferred)
    assert row.name == "cells"


def test_a_data_parallel_wrapper_is_traced_as_the_network_in_it() -> None:
    network = Plain()
    wrapped = classifier(nn.DataParallel(network), "module.cells")
    bare = classifier(network, "cells")
    ct = random_ct(SIZE)
    assert np.array_equal(explain(ct, wrapped).maps["hirescam"], explain(ct, bare).maps["hirescam"])
    inside = examine_target_layer(wrapped).receptive_field_mm
    assert inside == examine_target_layer(bare).receptive_field_mm == (5, 5, 5)


def test_a_network_that_cannot_be_traced_is_still_explained() -> None:
    class Stubborn(Plain):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad or not x.any():
                raise RuntimeError("no gradients here")
            return super().forward(x)

    result = explain(random_ct(SIZE), classifier(Stubborn(), "cells"))
    assert not result.guarantee.holds  # what goes around the layer was not seen
    assert "could not be traced" in result.guarantee.reason
    assert result.default_placement == "stretch"
    assert "no gradients here" in result.placement_note


def test_the_last_layer_of_a_trunk_without_gradients_is_offered() -> None:
    model = classifier(OwnNoGrad(), "cells")
    (row,) = (row for row in target_layers(model) if row.preferred)
    assert row.name == "cells"
    assert row.guarantee == explain(random_ct(SIZE), model).guarantee
    assert row.guarantee.holds


SMALL = {"trunk_channels": [4, 6, 8, 8], "trunk_stages": 3, "conv_channels": [8, 6]}


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        # Their last layers have features last, or channels where the slices were, or one cell
        # for each slice: none of them tells places in the patient apart.
        ("avgpool-mil", SMALL, (15, 128, 128)),
        ("deepsets-mil", SMALL, (15, 128, 128)),
        ("axialnet-maxpool", {**SMALL, "grid": 4}, (15, 128, 128)),
        ("ctnet", {"trunk_channels": [2, 2, 2, 32], "grid": 7, "slices": 2}, (6, 224, 224)),
    ],
)
def test_where_the_guarantee_holds_nowhere_a_layer_with_places_is_offered(
    name, arguments, shape
) -> None:
    torch.manual_seed(0)
    network = build_by_name(name, 3, arguments, "model.yaml").eval()
    spec = plain_input(shape, layout="axial_triples", spacing_mm=(1, 1, 1))
    model = classifier_of(network, default_target_layer(network), spec, 3)
    (row,) = (row for row in target_layers(model) if row.preferred)
    assert row.name == default_target_layer(network)
    assert row.receptive_field_mm is not None


def test_channels_in_the_place_of_slices_have_no_place() -> None:
    arguments = {"trunk_channels": [2, 2, 2, 32], "grid": 7, "slices": 2}
    network = build_by_name("ctnet", 3, arguments, "model.yaml").eval()
    spec = plain_input((6, 224, 224), layout="axial_triples", spacing_mm=(1, 1, 1))
    rows = target_layers(classifier_of(network, "features.7", spec, 3))
    (row,) = (row for row in rows if row.name == "reducingconvs.3")
    assert row.receptive_field_mm is None
    assert "for slices are feature maps" in row.placement_note
