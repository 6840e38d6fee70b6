"""The paper's network: sizes, the author's state-dict keys, one linear layer at the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_hirescam.attention import attention_maps
from napari_hirescam.models.axialnet import AxialNet


def small_axialnet(n_labels: int = 4) -> AxialNet:
    """Make a narrow AxialNet for 128 x 128 images that leaves a 4 x 4 grid."""
    torch.manual_seed(0)
    network = AxialNet(
        n_labels, 4, trunk_channels=(4, 8, 8, 8), trunk_stages=3, conv_channels=(8, 6)
    )
    return network.eval()


def test_parameters_at_80_and_83_labels() -> None:
    assert sum(p.numel() for p in AxialNet(80).parameters()) == 11_543_056
    assert sum(p.numel() for p in AxialNet(83).parameters()) == 11_544_787


def test_state_dict_keys_are_the_authors() -> None:
    """Keys of torchvision's ResNet-18 without its last two children, and the two heads."""
    keys = set(AxialNet(80).state_dict())
    assert {k.split(".")[0] for k in keys} == {"features", "conv2d", "fc"}
    assert {"features.0.weight", "features.1.running_mean", "features.4.0.conv1.weight"} <= keys
    assert {"features.5.0.downsample.0.weight", "features.7.1.bn2.bias"} <= keys
    assert {f"conv2d.{i}.{p}" for i in (0, 2, 4, 6) for p in ("weight", "bias")} <= keys
    assert {"fc.weight", "fc.bias"} <= keys
    assert AxialNet(80).fc.weight.shape == (80, 16, 6, 6)
    assert "features.0.bias" not in keys


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_any_number_of_slices(slices) -> None:
    with torch.no_grad():
        assert small_axialnet()(torch.zeros(1, slices, 3, 128, 128)).shape == (1, 4)


def test_the_score_of_a_ct_is_the_mean_over_its_slices() -> None:
    network = small_axialnet()
    ct = torch.randn(1, 3, 3, 128, 128)
    with torch.no_grad():
        each = torch.cat([network(ct[:, k : k + 1]) for k in range(3)])
        assert torch.allclose(network(ct), each.mean(0, keepdim=True), atol=1e-6)


def test_a_batch_of_cts_is_refused() -> None:
    with pytest.raises(ValueError, match="one CT"):
        small_axialnet()(torch.zeros(2, 3, 3, 128, 128))


def test_chunks_of_slices_change_nothing() -> None:
    network = small_axialnet()
    ct = torch.randn(1, 7, 3, 128, 128)
    whole = attention_maps(network, ct, "conv2d.3", slices_per_chunk=7)
    parts = attention_maps(network, ct, "conv2d.3", slices_per_chunk=2)
    for method, maps in whole.maps.items():
        assert np.allclose(maps, parts.maps[method], atol=1e-6)
    assert np.allclose(whole.logits, parts.logits, atol=1e-6)


def test_closed_form_equals_autograd() -> None:
    """HiResCAM = w * A / S summed over features; Grad-CAM the same with w averaged."""
    network = small_axialnet()
    ct = torch.randn(1, 5, 3, 128, 128)
    result = attention_maps(network, ct, "conv2d.3")
    with torch.no_grad():
        activation = network.trunk(ct[0])
        weight = network.fc.weight
        hirescam = torch.einsum("sfhw,kfhw->kshw", activation, weight) / 5
        gradcam = torch.einsum("sfhw,kf->kshw", activation, weight.mean((2, 3))) / 5
    assert np.allclose(result.maps["hirescam"], hirescam.numpy(), atol=1e-7)
    assert np.allclose(result.maps["gradcam"], gradcam.numpy(), atol=1e-7)


def test_80_labels_at_the_papers_image_size_add_up_to_their_logits() -> None:
    torch.manual_seed(1)
    network = AxialNet(80).eval()
    result = attention_maps(network, torch.randn(1, 2, 3, 420, 420) * 0.3, "conv2d.7")
    total = result.maps["hirescam"].sum(axis=(1, 2, 3), dtype=np.float64) + result.bias
    scale = np.maximum(np.abs(result.logits), np.abs(result.bias))
    assert result.maps["hirescam"].shape == (80, 2, 6, 6)
    assert result.guarantee.holds
    assert (np.abs(total - result.logits) / scale).max() < 1e-4
    wrong = result.maps["gradcam"].sum(axis=(1, 2, 3), dtype=np.float64) + result.bias
    assert (np.abs(wrong - result.logits) / scale).max() > 1e-2
