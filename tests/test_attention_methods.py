"""What the maps are: identities, hand-computed cases, and an independent library's results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from captum.testing.helpers.basic_models import BasicModel_ConvNet_One_Conv
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ConvThenLinear, GlobalPoolThenLinear, SumOfVoxels
from torch import nn

from napari_hirescam.attention import (
    METHODS,
    RawAttention,
    attention_maps,
    attention_method,
)


def relative_residual(result: RawAttention) -> float:
    """Compute |sum(HiResCAM) + bias - logit| of the worst label, relative to the numbers in it."""
    total = result.maps["hirescam"].reshape(len(result.logits), -1).sum(1, dtype=np.float64)
    scale = np.maximum(np.abs(result.logits), np.abs(result.bias)).clip(1e-3)
    return float((np.abs(total + result.bias - result.logits) / scale).max())


def captum_maps(network: nn.Module, layer: nn.Module, given_: torch.Tensor, k: int) -> dict:
    """Both raw maps by captum: gradient times activation summed over features, and Grad-CAM."""
    product = LayerGradientXActivation(network, layer).attribute(given_, target=k)
    gradcam = LayerGradCam(network, layer).attribute(given_, target=k)
    return {
        "hirescam": product.sum(1).detach().numpy()[0],
        "gradcam": gradcam.detach().numpy()[0, 0],
    }


def test_captums_published_hand_computed_case() -> None:
    """Captum's own test network and numbers (Grad-CAM at conv1 for an image of 0..15)."""
    network = BasicModel_ConvNet_One_Conv()
    image = torch.arange(16.0).view(1, 1, 4, 4)
    result = attention_maps(network, image, "conv1")
    assert result.maps["gradcam"][0, 0].tolist() == [[11.25, 13.5], [20.25, 22.5]]
    # By hand: conv1 gives [-5, 4, 31, 40] and [-30, -21, 6, 15]; the gradients behind the ReLU
    # are [0, 1, 1, 1] and [0, 0, -1, -1].
    assert result.maps["hirescam"][0, 0].tolist() == [[0, 4], [25, 25]]


@pytest.mark.parametrize("layer", ["conv1", "norm", "act1", "conv2", "act2", "pool"])
def test_raw_maps_equal_captums_on_a_3d_network(layer) -> None:
    torch.manual_seed(2)
    # Captum's hooks do not copy, so its network must not overwrite in place.
    network = ConvThenLinear(inplace=False).eval()
    image = torch.randn(1, 1, 6, 8, 10)
    result = attention_maps(network, image, layer)
    for k in range(3):
        for method, expected in captum_maps(network, getattr(network, layer), image, k).items():
            largest = np.abs(expected).max()
            assert largest > 0
            assert np.abs(result.maps[method][k] - expected).max() <= 1e-5 * largest


@pytest.mark.parametrize("layer", ["conv1", "norm", "act1", "conv2", "act2"])
def test_in_place_operations_after_the_layer_change_nothing(layer) -> None:
    torch.manual_seed(3)
    plain = ConvThenLinear(inplace=False).eval()
    overwriting = ConvThenLinear(inplace=True).eval()
    overwriting.load_state_dict(plain.state_dict())
    image = torch.randn(1, 1, 6, 8, 10)
    expected = attention_maps(plain, image, layer).maps
    found = attention_maps(overwriting, image, layer).maps
    for method, maps in expected.items():
        assert np.array_equal(found[method], maps)


def test_a_residual_addition_in_place_changes_nothing() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv3d(1, 2, 3, padding=1)
            self.conv2 = nn.Conv3d(2, 2, 3, padding=1)
            self.fc = nn.Linear(2 * 64, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = torch.relu(self.conv1(x))
            second = self.conv2(first)
            second += first
            return self.fc(torch.relu(second).flatten(1))

    torch.manual_seed(4)
    network = Residual().eval()
    image = torch.randn(1, 1, 4, 4, 4)
    result = attention_maps(network, image, "conv2")
    expected = captum_maps(network, network.conv2, image, 0)["gradcam"]
    with torch.no_grad():
        first = torch.relu(network.conv1(image))
    activation = network.conv2(first).detach().requires_grad_(True)
    score = network.fc(torch.relu(activation + first).flatten(1))[0, 0]
    (gradient,) = torch.autograd.grad(score, activation)
    by_hand = (gradient * activation).sum(1)[0].detach().numpy()
    assert np.allclose(result.maps["hirescam"][0], by_hand, atol=1e-6)
    assert np.allclose(result.maps["gradcam"][0], expected, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(*[st.sampled_from([2, 4, 6])] * 3),
    n_labels=st.integers(1, 6),
    channels=st.integers(1, 6),
)
def test_hirescam_plus_bias_is_the_logit_for_one_linear_layer(
    seed, shape, n_labels, channels
) -> None:
    torch.manual_seed(seed)
    network = ConvThenLinear(shape, n_labels, channels)
    network.norm.running_mean.normal_()
    network.norm.running_var.uniform_(0.5, 2)
    result = attention_maps(network, torch.randn(1, 1, *shape), "pool")
    assert result.guarantee.holds
    assert relative_residual(result) < 1e-4


def test_the_bias_is_that_of_the_linear_layer() -> None:
    network = ConvThenLinear()
    result = attention_maps(network, torch.randn(1, 1, 6, 8, 10), "pool")
    assert np.allclose(result.bias, network.fc.bias.detach().numpy())


def test_two_linear_layers_without_anything_between_are_still_exact() -> None:
    class TwoLinear(ConvThenLinear):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
            self.second[0].running_mean.normal_()
            nn.init.normal_(self.second[0].bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(super().forward(x))

    torch.manual_seed(5)
    result = attention_maps(TwoLinear(), torch.randn(1, 1, 6, 8, 10), "pool")
    assert result.guarantee.holds
    assert relative_residual(result) < 1e-5


def test_gradcam_equals_hirescam_behind_global_average_pooling() -> None:
    torch.manual_seed(6)
    result = attention_maps(GlobalPoolThenLinear(), torch.randn(1, 1, 5, 6, 7), "act")
    assert np.allclose(result.maps["hirescam"], result.maps["gradcam"], atol=1e-7)
    assert result.guarantee.same_picture
    assert relative_residual(result) < 1e-5


def test_the_two_methods_differ_for_a_flattened_linear_layer() -> None:
    torch.manual_seed(7)
    result = attention_maps(ConvThenLinear(), torch.randn(1, 1, 6, 8, 10), "pool")
    assert not result.guarantee.same_picture
    hirescam, gradcam = (result.maps[m].ravel() for m in ("hirescam", "gradcam"))
    assert np.corrcoef(hirescam, gradcam)[0, 1] < 0.9


def test_the_map_of_a_network_that_adds_up_voxels_is_the_image() -> None:
    image = torch.randn(1, 1, 3, 4, 5)
    result = attention_maps(SumOfVoxels(), image, "see")
    assert np.array_equal(result.maps["hirescam"][0], image[0, 0].numpy())


def test_a_method_of_ones_own_is_one_decorated_function() -> None:
    @attention_method("absolute", title="Absolute", formula="sum |A|", source="a test")
    def absolute(activation: torch.Tensor, _gradient: torch.Tensor) -> torch.Tensor:
        return activation.abs().sum(0)

    try:
        result = attention_maps(
            ConvThenLinear(), torch.randn(1, 1, 6, 8, 10), "conv1", methods=["absolute"]
        )
    finally:
        del METHODS["absolute"]
    assert (result.maps["absolute"] >= 0).all()
    assert np.array_equal(result.maps["absolute"][0], result.maps["absolute"][2])


def test_the_closed_form_is_left_out_where_the_head_is_not_linear() -> None:
    torch.manual_seed(0)
    network = ConvThenLinear((6, 8, 10))
    given = torch.randn(1, 1, 6, 8, 10)
    every = list(METHODS)
    assert list(attention_maps(network, given, "pool", methods=every).maps) == every
    maps = attention_maps(network, given, "conv1", methods=every).maps
    assert set(every) - set(maps) == {"closed_form"}
    with pytest.raises(ValueError, match="no closed form at conv1"):
        attention_maps(network, given, "conv1", methods=["closed_form"])
