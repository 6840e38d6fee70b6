"""Randomising weights: a map that shows what was learned must change when it is forgotten."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import (
    ConvThenLinear,
    GlobalPoolThenLinear,
    classifier_of,
    plain_input,
    random_ct,
)
from test_axialnet import small_axialnet
from torch import nn

from napari_hirescam.attention import METHODS, attention_maps, attention_method
from napari_hirescam.errors import AttributionError, Cancelled
from napari_hirescam.evaluation.explanation_tests import randomisation_test
from napari_hirescam.evaluation.forgetting import randomise_layer
from napari_hirescam.evaluation.randomisation import Randomisation, randomise_weights


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    torch.manual_seed(3)


@pytest.fixture
def given_volume() -> torch.Tensor:
    return torch.randn(1, 1, 6, 8, 10)


@pytest.fixture
def edges():
    """A method that ignores the network: where the brightness of a feature changes along rows."""

    # The activation is used for its shape alone: the picture is the same for every network.
    @attention_method("edges", title="Edges", formula="none", source="a test")
    def detect(activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        d, h, w = activation.shape[1:]
        return torch.linspace(-1, 1, d * h * w).reshape(d, h, w) ** 3

    yield "edges"
    del METHODS["edges"]


def alike(*, spearman: list[list[float]], absolute: float = 0.0) -> Randomisation:
    table = np.asarray(spearman, dtype=np.float64)
    flat = np.full_like(table, absolute)
    counts = np.arange(table.shape[1])
    return Randomisation(("fc", "conv")[: len(counts) - 1], counts, 1, 60, table, table, flat, flat)


def test_a_map_of_random_weights_is_no_longer_the_original(given_volume) -> None:
    result = randomise_weights(ConvThenLinear(), given_volume, "pool", 1)
    assert result.layers == ("fc", "conv2", "norm", "conv1")
    assert result.counts.tolist() == [0, 1, 2, 3, 4]
    assert result.above == 1
    assert result.spearman.shape == result.pearson.shape == (3, 5)
    assert (result.spearman[:, 0] == 1).all()
    assert abs(result.ends_at) < 0.3
    assert result.follows_weights
    assert not result.ignores_weights


def test_a_picture_that_ignores_the_weights_is_called_out(given_volume, edges) -> None:
    volume = random_ct((6, 8, 10))
    classifier = classifier_of(ConvThenLinear(), "pool", plain_input((6, 8, 10)), 3)
    finding = randomisation_test(volume, classifier, "label 0", edges)
    assert finding.curves.spearman == pytest.approx(np.ones((3, 5)))
    assert finding.curves.spearman_absolute == pytest.approx(np.ones((3, 5)))
    assert finding.curves.ignores_weights
    assert "does not depend on what the network learned" in finding.sentences()[0]


def test_a_map_that_follows_the_weights_is_said_to(given_volume) -> None:
    volume = random_ct((6, 8, 10))
    classifier = classifier_of(ConvThenLinear(), "pool", plain_input((6, 8, 10)), 3)
    headline, *_, note = randomisation_test(volume, classifier, "label 0").sentences()
    assert "all 4 layers random" in headline
    assert "the picture depends on what the network learned" in headline
    assert "60 cells, mean of 3 runs" in note


def test_only_layers_above_the_target_layer_leave_the_feature_maps_alone(given_volume) -> None:
    """With one feature, another head changes the sign of the map and no more."""
    network = nn.Sequential()
    network.add_module("conv", nn.Conv3d(1, 1, 3, padding=1))
    network.add_module("pool", nn.AdaptiveAvgPool3d(1))
    network.add_module("flat", nn.Flatten())
    network.add_module("fc", nn.Linear(1, 2))
    result = randomise_weights(network, given_volume, "conv", 0)
    assert result.layers == ("fc", "conv")
    assert np.abs(result.spearman[:, 1]) == pytest.approx(np.ones(3))
    assert result.spearman_absolute[:, 1] == pytest.approx(np.ones(3))
    assert (result.spearman_absolute[:, 2] < 0.99).all()


def test_slices_on_the_batch_axis() -> None:
    network = small_axialnet()
    layer = network.default_target_layer
    result = randomise_weights(network, torch.randn(1, 3, 3, 120, 120), layer, 0, repeats=1)
    assert result.layers[0] == "fc"
    assert result.above == 1
    assert result.counts[-1] == len(result.layers)
    assert len(result.counts) <= 14


def test_a_deep_network_forgets_several_layers_between_maps(given_volume) -> None:
    layers = [nn.Conv3d(1 if k == 0 else 2, 2, 1) for k in range(20)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(2, 2))
    result = randomise_weights(network, given_volume, "19", 0, repeats=1, max_points=5)
    assert len(result.layers) == 21
    assert result.counts[0] == 0
    assert result.counts[1] == 1  # the one layer above the target layer comes by itself
    assert result.counts[-1] == 21
    assert len(result.counts) == 6


def test_how_many_layers_forget_at_once_does_not_change_what_they_become(given_volume) -> None:
    network = ConvThenLinear()
    fine = randomise_weights(network, given_volume, "pool", 0, repeats=1)
    coarse = randomise_weights(network, given_volume, "pool", 0, repeats=1, max_points=2)
    assert len(coarse.counts) == 3
    assert coarse.spearman[0, -1] == fine.spearman[0, -1]


def test_runs_differ_and_a_seed_repeats_them(given_volume) -> None:
    network = ConvThenLinear()
    first = randomise_weights(network, given_volume, "pool", 0)
    again = randomise_weights(network, given_volume, "pool", 0)
    other = randomise_weights(network, given_volume, "pool", 0, seed=1)
    assert np.array_equal(first.spearman, again.spearman)
    assert len(set(first.spearman[:, -1])) == 3
    assert not np.array_equal(first.spearman, other.spearman)


# -- the users' own is not touched -------------------------------------------------------------


def test_the_network_and_the_random_state_are_left_as_they_were(given_volume) -> None:
    network = ConvThenLinear().train()
    network.fc.weight.requires_grad_(False)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    maps = attention_maps(network, given_volume, "pool").maps["hirescam"]
    state = torch.get_rng_state()
    randomise_weights(network, given_volume, "pool", 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert network.training
    assert not network.fc.weight.requires_grad
    assert not any(module._forward_hooks for module in network.modules())
    again = attention_maps(network, given_volume, "pool").maps["hirescam"]
    assert np.array_equal(again, maps)


def test_a_stop_is_heard(given_volume) -> None:
    network = ConvThenLinear()
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    told: list[float] = []
    with pytest.raises(Cancelled):
        randomise_weights(
            network, given_volume, "pool", 0,
            progress=lambda done, total: told.append(done / total),
            should_stop=lambda: bool(told) and told[-1] > 0.3,
        )  # fmt: skip
    assert 0.3 < told[-1] < 0.5
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_progress_grows_to_its_end(given_volume) -> None:
    told: list[float] = []
    randomise_weights(
        ConvThenLinear(), given_volume, "pool", 0,
        progress=lambda done, total: told.append(done / total),
    )  # fmt: skip
    assert told[-1] == 1
    # The number of maps is known once the layers are: only then may the bar jump, and forwards.
    assert told == sorted(told)


class KeepsWhatItSaw(ConvThenLinear):
    """Holds a tensor that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = self.fc.weight * 2


def test_a_network_that_cannot_be_copied_is_one_sentence() -> None:
    volume = random_ct((6, 8, 10))
    classifier = classifier_of(KeepsWhatItSaw(), "pool", plain_input((6, 8, 10)), 3)
    with pytest.raises(AttributionError, match="the network cannot be copied"):
        randomisation_test(volume, classifier, "label 0")


# -- how one layer forgets ---------------------------------------------------------------------


def test_a_layer_is_reset_by_itself() -> None:
    def forgotten(seed: int) -> torch.Tensor:
        layer = nn.Linear(5, 3)
        nn.init.constant_(layer.weight, 100.0)
        randomise_layer(layer, seed)
        return layer.weight.detach()

    assert forgotten(1).abs().max() <= 5**-0.5
    assert torch.equal(forgotten(1), forgotten(1))
    assert not torch.equal(forgotten(1), forgotten(2))


def test_a_batch_norm_forgets_its_statistics_too() -> None:
    norm = nn.BatchNorm3d(2)
    nn.init.constant_(norm.weight, 3.0)
    norm.running_mean.fill_(7.0)
    randomise_layer(norm, seed=1)
    assert norm.weight.tolist() == [1, 1]
    assert norm.running_mean.tolist() == [0, 0]


def test_parameters_without_a_reset_are_drawn_anew_with_their_own_spread() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(5 + 2 * torch.randn(4000))

    layer = Own()
    before = layer.scale.clone()
    randomise_layer(layer, seed=1)
    assert not torch.equal(layer.scale, before)
    assert layer.scale.mean().item() == pytest.approx(5, abs=0.2)
    assert layer.scale.std().item() == pytest.approx(2, abs=0.1)
    assert layer.scale.requires_grad


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_weights_behind_a_norm_of_their_own_are_not_forgotten_by_halves() -> None:
    """torch's reset of such a layer writes into a product, which the next pass makes again."""
    layer = nn.utils.weight_norm(nn.Linear(6, 4))
    direction = layer.weight_v.clone()
    randomise_layer(layer, seed=1)
    assert not torch.equal(layer.weight_v, direction)


def test_a_reset_that_wants_arguments_is_not_called() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.arange(8.0))

        def reset_parameters(self, gain: float) -> None:
            raise AssertionError(gain)

    layer = Own()
    randomise_layer(layer, seed=1)
    assert not torch.equal(layer.weight, torch.arange(8.0))


# -- words -------------------------------------------------------------------------------------


def test_between_the_two_the_picture_is_partly_the_cts() -> None:
    result = alike(spearman=[[1, 0.95, 0.7], [1, 0.9, 0.6]])
    assert not result.ignores_weights
    assert not result.follows_weights
    assert result.ends_at == pytest.approx(0.65)


def test_one_low_point_on_the_way_is_enough_not_to_be_flat() -> None:
    assert alike(spearman=[[1, 0.97, 0.96]]).ignores_weights
    assert not alike(spearman=[[1, 0.3, 0.96]]).ignores_weights


def test_maps_that_are_the_same_everywhere_have_no_correlation() -> None:
    network = GlobalPoolThenLinear()
    nn.init.zeros_(network.conv.weight)
    nn.init.constant_(network.conv.bias, -1.0)  # nothing passes the ReLU
    result = randomise_weights(network, torch.randn(1, 1, 4, 4, 4), "act", 0, repeats=1)
    assert np.isnan(result.spearman).all()
    assert not result.ignores_weights
    assert result.ends_at == 0


def test_unrelated_maps_of_few_cells_can_look_alike() -> None:
    assert alike(spearman=[[1, 0, 0]]).by_chance == pytest.approx(1.96 / 59**0.5)
