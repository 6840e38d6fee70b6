"""The networks of the paper's natural images and of the nodule experiment."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from real_networks import load_real

from napari_hirescam.attention import attention_maps
from napari_hirescam.errors import ModelFileError
from napari_hirescam.models.architectures import build_by_name, default_target_layer
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.models.weights import load_into, read_state_dict

SEGMENT_HEADS = {"vgg16-256-64": (64, 2, 2), "vgg16-64": (64, 2, 2), "vgg16-3x3": (512, 1, 1)}


def build(name: str, rows: int, columns: int, labels: int = 3) -> torch.nn.Module:
    given = InputSpec(shape=(1, rows, columns), layout="slice", channels=3)
    torch.manual_seed(0)
    return build_by_name(name, labels, {}, Path("model.yaml"), given).eval()


@pytest.mark.parametrize(
    ("name", "features"), [("vgg16-256-64", 6400), ("vgg16-64", 6400), ("vgg16-3x3", 4608)]
)
def test_heads_have_the_grids_of_the_paper(name: str, features: int) -> None:
    """320x320 pixels become 10x10x64, 10x10x64 and 3x3x512."""
    assert build(name, 320, 320, labels=20).fc.weight.shape == (20, features)


@pytest.mark.parametrize("name", SEGMENT_HEADS)
def test_hirescam_is_exact_at_the_last_convolution(name: str) -> None:
    side = 96 if name == "vgg16-3x3" else 64
    network = build(name, side, side)
    raw = attention_maps(
        network, torch.randn(1, 3, side, side), default_target_layer(network) or ""
    )
    channels, rows, columns = SEGMENT_HEADS[name]
    assert network.fc.in_features == channels * rows * columns
    assert raw.maps["hirescam"].shape == (3, 1, rows, columns)
    assert raw.guarantee.holds
    total = raw.maps["hirescam"].sum((1, 2, 3)) + raw.bias
    assert total == pytest.approx(raw.logits, abs=1e-4)
    if rows * columns > 1:
        assert not raw.guarantee.same_picture


@pytest.mark.parametrize("name", ["vgg16-64", "vgg16-3x3"])
def test_an_image_too_small_for_the_head_is_refused(name: str) -> None:
    with pytest.raises(ModelFileError, match="too small"):
        build(name, 31, 320)


def test_the_registered_nodule_network_scores_as_the_users_own(shared_dir, luna_weights) -> None:
    theirs, shape, layer, _ = load_real("luna", shared_dir)
    given = InputSpec(shape=(32, 48, 48), fit="window")
    ours = build_by_name("luna-nodule", 2, {}, Path("model.yaml"), given).eval()
    load_into(ours, read_state_dict(luna_weights), luna_weights)
    assert default_target_layer(ours) == layer
    patch = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 1000 - 900
    assert torch.equal(ours(patch), theirs(patch))


def test_a_patch_too_small_for_the_nodule_network_is_refused() -> None:
    with pytest.raises(ModelFileError, match="too small"):
        build_by_name(
            "luna-nodule", 2, {}, Path("model.yaml"), InputSpec(shape=(15, 48, 48), fit="window")
        )
