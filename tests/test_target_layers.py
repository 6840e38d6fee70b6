"""The table of target layers: what can be explained, and what holds there."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import ResNet
from networks import (
    ConvThenLinear,
    GlobalPoolThenLinear,
    classifier_of,
    plain_input,
    random_ct,
)
from torch import nn

from napari_hirescam.attention import GuaranteeState, explain, target_layers
from napari_hirescam.errors import Cancelled
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.dry_run import UnknownLayerError
from napari_hirescam.models.spec import InputSpec

SHAPE = (6, 8, 10)


def by_name(classifier, **more):
    return {row.name: row for row in target_layers(classifier, **more)}


def preferred(classifier) -> str:
    (row,) = (row for row in target_layers(classifier) if row.preferred)
    return row.name


def test_each_layer_comes_with_its_grid_and_what_holds_there() -> None:
    classifier = classifier_of(
        ConvThenLinear(SHAPE), "pool", plain_input(SHAPE, spacing_mm=(2.0, 1.0, 0.5)), 3
    )
    rows = by_name(classifier)
    assert list(rows) == ["input", "conv1", "norm", "act1", "conv2", "act2", "pool"]
    assert rows["pool"].channels == 4
    assert rows["pool"].cells == (3, 4, 5)
    assert rows["pool"].cell_mm == (4.0, 2.0, 1.0)
    assert rows["pool"].receptive_field_mm == (12.0, 6.0, 3.0)
    assert rows["conv2"].cells == SHAPE
    holds = [name for name, row in rows.items() if row.guarantee.holds]
    assert holds == ["act2", "pool"]
    assert "ReLU" in rows["conv2"].guarantee.reason


def test_of_the_layers_where_the_guarantee_holds_the_finest_grid_is_offered() -> None:
    assert preferred(classifier_of(ConvThenLinear(SHAPE), "pool", plain_input(SHAPE), 3)) == "act2"


def test_global_pooling_is_known_to_make_both_methods_one() -> None:
    classifier = classifier_of(GlobalPoolThenLinear(), "act", plain_input(SHAPE), 3)
    rows = by_name(classifier)
    assert rows["act"].guarantee.state is GuaranteeState.IDENTICAL
    assert rows["act"].preferred
    assert "pool" not in rows  # one cell is no map


def test_without_a_linear_head_the_last_layer_with_a_grid_is_offered() -> None:
    class TwoLayers(ConvThenLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).sigmoid()

    classifier = classifier_of(TwoLayers(SHAPE), "pool", plain_input(SHAPE), 3)
    assert preferred(classifier) == "pool"
    assert not any(row.guarantee.holds for row in target_layers(classifier))


def test_axialnet_offers_the_layer_the_paper_explains() -> None:
    spec = InputSpec(shape=(12, 140, 140), layout="axial_triples", spacing_mm=(1.0, 0.8, 0.8))
    network = AxialNet(2, 1, trunk_channels=(4, 4, 4, 4), conv_channels=(4, 4), trunk_stages=4)
    classifier = classifier_of(network, "conv2d.3", spec, 2)
    rows = by_name(classifier)
    assert rows["conv2d.3"].preferred
    assert rows["conv2d.3"].cell_mm == pytest.approx((3.0, 25.6, 25.6))
    assert rows["input"].cells == (4, 140, 140)


def test_a_layer_that_runs_twice_is_listed_once_per_call() -> None:
    torch.manual_seed(0)
    network = ResNet("basic", [1, 1, 1, 1], [4, 4, 4, 4], n_input_channels=1, num_classes=2)
    classifier = classifier_of(network.eval(), "layer4", plain_input((32, 32, 32)), 2)
    rows = by_name(classifier)
    assert {"layer4.0.act#1", "layer4"} <= set(rows)
    assert "layer4.0.act#2" not in rows  # what layer4 hands on
    assert not rows["layer4.0.act#1"].guarantee.holds
    ct = random_ct((32, 32, 32))
    whole = explain(ct, classifier)
    last = explain(ct, classifier.with_target_layer("layer4.0.act"))
    first = explain(ct, classifier.with_target_layer("layer4.0.act#1"))
    assert (whole.maps["hirescam"] == last.maps["hirescam"]).all()
    assert not (first.maps["hirescam"] == last.maps["hirescam"]).all()
    assert not first.guarantee.holds


@pytest.mark.parametrize("name", ["input", "conv1", "act1", "act2", "pool"])
def test_what_the_table_says_is_what_a_run_finds(name) -> None:
    torch.manual_seed(0)
    classifier = classifier_of(ConvThenLinear(SHAPE), "pool", plain_input(SHAPE), 3)
    row = by_name(classifier)[name]
    result = explain(random_ct(SHAPE), classifier.with_target_layer(name))
    assert row.guarantee.state is result.guarantee.state
    assert result.maps["hirescam"].shape[1:] == row.cells


def test_hirescam_at_the_input_is_gradient_times_input() -> None:
    torch.manual_seed(0)
    classifier = classifier_of(ConvThenLinear(SHAPE), "input", plain_input(SHAPE), 3)
    ct = random_ct(SHAPE)
    given = classifier.tensor_of(classifier.prepare(ct)).clone().requires_grad_(True)
    classifier.network.eval()(given)[0, 1].backward()
    result = explain(ct, classifier)
    expected = (given.grad * given)[0, 0].detach().numpy()
    assert result.maps["hirescam"][1] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert result.cell_mm() == (1, 1, 1)


def test_a_layer_that_is_not_there_offers_the_nearest_names() -> None:
    classifier = classifier_of(ConvThenLinear(SHAPE), "pool", plain_input(SHAPE), 3)
    with pytest.raises(UnknownLayerError, match="conv1"):
        classifier.with_target_layer("conv3")


def test_cells_take_the_spacing_of_a_ct_whose_own_spacing_is_kept() -> None:
    spec = plain_input(SHAPE, orientation="SPL")
    classifier = classifier_of(ConvThenLinear(SHAPE), "pool", spec, 3)
    assert by_name(classifier)["pool"].cell_mm is None
    ct = random_ct(SHAPE, (2.5, 0.7, 0.8))
    assert by_name(classifier, volume=ct)["pool"].cell_mm == pytest.approx((5.0, 1.4, 1.6))


def test_listing_can_be_cancelled() -> None:
    classifier = classifier_of(ConvThenLinear(SHAPE), "pool", plain_input(SHAPE), 3)
    with pytest.raises(Cancelled):
        target_layers(classifier, should_stop=lambda: True)


def test_layers_that_return_several_tensors_are_left_out_and_refused_by_name() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = nn.LSTM(8, 4, batch_first=True)
            self.conv = nn.Conv3d(1, 1, 1)
            self.fc = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen, _ = self.pair(self.conv(x).flatten(1, 3))
            return self.fc(seen[:, -1])

    classifier = classifier_of(Pair(), "conv", plain_input((2, 3, 8)), 1)
    assert "pair" not in by_name(classifier)
    with pytest.raises(Exception, match=r"'pair' returns a tuple"):
        explain(random_ct((2, 3, 8)), classifier.with_target_layer("pair"))
