"""Networks by name: the paper family, MONAI's classifiers, and the shipped lists of labels."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_hirescam.attention.raw import attention_maps
from napari_hirescam.errors import ModelFileError
from napari_hirescam.models import monai_networks
from napari_hirescam.models.architectures import (
    architecture_names,
    build_by_name,
    default_target_layer,
)
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.borrow import SplitNetwork
from napari_hirescam.models.label_lists import label_list_names, read_label_list
from napari_hirescam.models.spec import InputSpec

FILE = Path("model.yaml")
TRIPLES = InputSpec(shape=(9, 128, 128), layout="axial_triples")
SMALL_TRUNK = {"trunk_channels": [4, 6, 8, 8], "trunk_stages": 3}
# Arguments that make a small network of each name that takes [1, 3, 3, 128, 128].
SMALL = {
    "axialnet": {**SMALL_TRUNK, "conv_channels": [8, 6], "grid": 4},
    "axialnet-maxpool": {**SMALL_TRUNK, "conv_channels": [8, 6], "grid": 4},
    "axialnet-sigmoid": {**SMALL_TRUNK, "conv_channels": [8, 6], "grid": 4},
    "axialnet-nocustomconv": {**SMALL_TRUNK, "grid": 8},
    "axialnet-bigger": {**SMALL_TRUNK, "conv_channels": [8, 6], "grid": 4},
    "axialnet-3dconv": {**SMALL_TRUNK, "conv_channels": [8, 6], "grid": 4},
    "bodycam": {**SMALL_TRUNK, "conv_channels": [8, 6]},
    "avgpool-mil": {**SMALL_TRUNK, "conv_channels": [8, 6]},
    "deepsets-mil": {**SMALL_TRUNK, "conv_channels": [8, 6]},
}


def build(name: str, n_labels: int = 3, given: InputSpec | None = None, **arguments) -> nn.Module:
    torch.manual_seed(0)
    return build_by_name(name, n_labels, arguments, FILE, given).eval()


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "n_labels", "arguments", "count"),
    [
        ("axialnet", 80, {}, 11_543_056),
        ("axialnet", 83, {}, 11_544_787),
        ("axialnet-maxpool", 80, {}, 11_543_056),
        ("axialnet-sigmoid", 80, {}, 11_543_056),
        ("axialnet-nocustomconv", 80, {}, 19_204_752),
        ("axialnet-bigger", 80, {}, 19_992_208),
        # 11 496 896 of the trunk, then 16 x 135 x 6 x 6 weights and one bias for each label
        ("axialnet-3dconv", 80, {}, 11_496_896 + 80 * (16 * 135 * 36 + 1)),
        ("bodycam", 80, {}, 11_498_256),
        ("avgpool-mil", 80, {}, 11_503_184),
        ("deepsets-mil", 80, {}, 11_503_728),
        ("ctnet", 83, {"slices": 134}, 12_411_779),
        ("ctnet", 80, {}, 12_413_216),
        ("bodyconv", 80, {}, 12_399_072),
        ("3dconv", 80, {}, 5_765_744),
    ],
)
def test_the_paper_family_has_the_published_numbers_of_parameters(
    name, n_labels, arguments, count
) -> None:
    with torch.device("meta"):
        network = build_by_name(name, n_labels, arguments, FILE)
    assert parameters(network) == count


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("axialnet", {"features", "conv2d.0", "conv2d.2", "conv2d.4", "conv2d.6", "fc"}),
        ("axialnet-nocustomconv", {"features", "fc"}),
        ("axialnet-bigger", {"features", "conv2d.0", "conv2d.2", "fc"}),
        (
            "ctnet",
            {"features"}
            | {f"reducingconvs.{k}" for k in (0, 2, 4)}
            | {f"classifier.{k}" for k in (0, 3, 6)},
        ),
        (
            "3dconv",
            {f"reducingconvs.{k}" for k in (0, 2, 4, 6, 8, 10)}
            | {f"classifier.{k}" for k in (0, 3, 6)},
        ),
        (
            "deepsets-mil",
            {"features", "conv2d.0", "conv2d.2", "conv2d.4", "conv2d.6"}
            | {"mlp1.0", "mlp1.2", "mlp2.0", "mlp2.2"},
        ),
    ],
)
def test_the_state_dict_keys_are_the_authors(name, keys) -> None:
    with torch.device("meta"):
        state = build_by_name(name, 80, {}, FILE).state_dict()
    found = {k.rpartition(".")[0] for k in state}
    assert {"features" if k.startswith("features") else k for k in found} == keys


@pytest.mark.parametrize("name", SMALL)
def test_the_variants_take_their_slices_in_chunks(name) -> None:
    """Cut at the layer the head reads, a network gives what it gives in one piece."""
    network = build(name, given=TRIPLES, **SMALL[name])
    ct = torch.randn(1, 3, 3, 128, 128)
    layer = default_target_layer(network)
    assert isinstance(network, SplitNetwork)
    trunk, head = network.halves(layer)
    with torch.no_grad():
        whole = network(ct)
        parts = head(torch.cat([trunk(ct[0, k : k + 1]) for k in range(3)]))
    assert whole.shape == (1, 3)
    assert torch.allclose(parts, whole, atol=1e-6)
    assert network.halves("features.0") is None


def test_ablations_differ_only_in_what_they_do_over_slices() -> None:
    """The same weights: the mean, the maximum, the mean of sigmoids of the slices' scores."""
    mean = build("axialnet", **SMALL["axialnet"])
    per_slice = mean.fc(mean.trunk(torch.randn(5, 3, 128, 128))).flatten(1)
    expected = {
        "axialnet": per_slice.mean(0),
        "axialnet-maxpool": per_slice.max(0).values,
        "axialnet-sigmoid": per_slice.sigmoid().mean(0),
    }
    for name, scores in expected.items():
        network = build(name, **SMALL[name])
        assert torch.equal(network.over_slices(per_slice)[0], scores)


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("axialnet", True),
        ("axialnet-nocustomconv", True),
        ("axialnet-bigger", True),
        ("axialnet-3dconv", True),
        ("bodycam", True),
        ("axialnet-maxpool", False),
        ("axialnet-sigmoid", False),
        ("avgpool-mil", False),
        ("deepsets-mil", False),
    ],
)
def test_the_guarantee_of_each_variant_is_the_papers(name, holds) -> None:
    network = build(name, given=TRIPLES, **SMALL[name])
    layer = default_target_layer(network)
    ct = torch.randn(1, 3, 3, 128, 128)
    raw = attention_maps(network, ct, layer, methods=("hirescam", "gradcam"))
    assert raw.guarantee.holds == holds
    if holds:
        sums = raw.maps["hirescam"].sum(axis=(1, 2, 3))
        assert sums + raw.bias == pytest.approx(raw.logits, abs=1e-5)
    # Of these only the CAM architecture averages its gradients away.
    same = np.allclose(raw.maps["hirescam"], raw.maps["gradcam"], rtol=1e-4, atol=1e-7)
    assert same == (name == "bodycam")


@pytest.mark.parametrize(
    ("name", "given", "cells"),
    [
        # CT-Net's slices become channels: only the trunk's cells lie somewhere in the CT.
        ("ctnet", InputSpec(shape=(6, 224, 224), layout="axial_triples"), (2, 7, 7)),
        ("bodyconv", InputSpec(shape=(162, 192, 192), layout="axial_triples"), (2, 1, 1)),
        ("3dconv", InputSpec(shape=(81, 81, 162)), (1, 1, 2)),
    ],
)
def test_three_linear_layers_are_a_local_approximation(name, given, cells) -> None:
    small = {"trunk_channels": [2, 2, 2, 32]}
    arguments = {"ctnet": {**small, "grid": 7}, "bodyconv": {**small, "grid": 6}}.get(name, {})
    network = build(name, given=given, **arguments)
    depth, rows, columns = given.shape
    shape = (1, 1, *given.shape) if name == "3dconv" else (1, depth // 3, 3, rows, columns)
    layer = default_target_layer(network)
    raw = attention_maps(network, torch.randn(shape), layer, methods=("hirescam",))
    assert raw.maps["hirescam"].shape == (3, *cells)
    assert not raw.guarantee.holds


def test_axialnet_refuses_what_is_no_ct_of_images() -> None:
    with pytest.raises(ValueError, match=r"AxialNet takes one CT as \[1, S, 3, H, W\]"):
        AxialNet(2, trunk_channels=(2, 2, 2, 2))(torch.zeros(1, 1, 9, 128, 128))


def test_every_architecture_has_a_name() -> None:
    names = architecture_names()
    assert {"axialnet", "ctnet", "3dconv", "bodycam"} <= set(names)
    assert {"monai.DenseNet121", "monai.resnet18", "monai.SEResNet50", "monai.ViT"} <= set(names)
    # Parts of other networks, segmentation networks and second spellings are not offered.
    for absent in ("monai.UNet", "monai.ResNetFeatures", "monai.Critic", "monai.densenet121"):
        assert absent not in names


@pytest.mark.parametrize(
    ("name", "arguments", "given", "target"),
    [
        ("monai.resnet10", {}, InputSpec(shape=(32, 32, 32)), "layer4"),
        ("monai.resnet10", {}, InputSpec(shape=(1, 64, 64), layout="slice"), "layer4"),
        ("monai.DenseNet121", {}, InputSpec(shape=(32, 48, 32)), "class_layers.relu"),
        (
            "monai.DenseNet121",
            {},
            InputSpec(shape=(1, 64, 64), layout="slice"),
            "class_layers.relu",
        ),
        ("monai.Densenet121", {}, InputSpec(shape=(32, 32, 32)), "class_layers.relu"),
        ("monai.SEResNet50", {}, InputSpec(shape=(32, 32, 32), channels=3), "layer4"),
        (
            "monai.EfficientNetBN",
            {"model_name": "efficientnet-b0"},
            InputSpec(shape=(32, 64, 32)),
            "_avg_pooling.features",
        ),
        (
            "monai.Classifier",
            {"channels": [4, 8], "strides": [2, 2]},
            InputSpec(shape=(16, 16, 16)),
            "net.layer_1",
        ),
    ],
)
def test_monais_classifiers_are_built_and_explained(name, arguments, given, target) -> None:
    """Dimensions, channels and outputs come from the model file; the guarantee holds."""
    network = build(name, 4, given, **arguments)
    assert default_target_layer(network) == target
    size = given.shape[1:] if given.layout == "slice" else given.shape
    x = torch.randn(1, given.channels, *size)
    raw = attention_maps(network, x, target, methods=("hirescam",))
    assert raw.logits.shape == (4,)
    assert raw.guarantee.holds
    sums = raw.maps["hirescam"].sum(axis=(1, 2, 3))
    assert sums + raw.bias == pytest.approx(raw.logits, rel=1e-4, abs=1e-4)


def test_naming_the_last_features_of_efficientnet_changes_nothing_else() -> None:
    from monai.networks.nets import EfficientNetBN

    torch.manual_seed(0)
    plain = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, num_classes=3)
    plain.eval()
    named = build("monai.EfficientNetBN", model_name="efficientnet-b0")
    named.load_state_dict(plain.state_dict(), strict=True)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(named(x), plain(x))


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("monai.resnet18", {"num_classes": 7}, "'num_classes' is 7, and there are 3 labels"),
        ("monai.DenseNet121", {"out_channels": 2}, "'out_channels' is 2, and there are 3 labels"),
        ("axialnet", {"n_labels": 5}, "'n_labels' is 5, and there are 3 labels"),
        ("monai.DenseNet121", {"pretrained": True}, "'pretrained' would fetch"),
        ("monai.resnet18", {"pretrained": "weights.pt"}, "'pretrained' would fetch"),
        ("monai.resnet18", {"act": [FILE]}, "'act' holds a list, which is no plain value"),
        ("monai.resnet18", {"colour": "red"}, "do not fit: .*colour"),
        ("monai.UNet", {}, "'monai.UNet' is not known"),
        ("monai.os", {}, "'monai.os' is not known"),
        ("resnet18", {}, r"'resnet18' is not known \(the nearest are .*monai\.resnet18"),
        ("ctne", {}, r"the nearest is ctnet\)"),
        ("densenet121", {}, r"the nearest are .*monai\.DenseNet121"),
        ("ctnet", {"slices": 3, "grid": 2}, "nothing is left of"),
    ],
)
def test_senseless_names_and_arguments_are_refused(name, arguments, words) -> None:
    with pytest.raises(ModelFileError, match=words):
        build_by_name(name, 3, arguments, FILE)


def test_no_network_ever_fetches_weights(monkeypatch) -> None:
    """EfficientNetBN would, unless told not to."""
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", pytest.fail)
    monkeypatch.setattr("monai.networks.nets.efficientnet.model_zoo.load_url", pytest.fail)
    assert parameters(build("monai.EfficientNetBN", model_name="efficientnet-b0")) > 4_000_000


def test_a_package_that_is_missing_is_named(monkeypatch) -> None:
    """MONAI's ViT needs einops, which it does not bring."""

    def needs_einops(**_arguments: object) -> nn.Module:
        raise ImportError("from einops.layers.torch import Rearrange (No module named 'einops')")

    monkeypatch.setattr(
        "napari_hirescam.models.monai_networks.monai_classifiers", lambda: {"ViT": needs_einops}
    )
    with pytest.raises(ModelFileError, match=r"needs einops, which is not installed\. Install"):
        build("monai.ViT")


def test_only_monais_own_networks_can_be_named() -> None:
    for name, builder in monai_networks.monai_classifiers().items():
        assert builder.__module__.startswith("monai.networks.nets."), name
        assert inspect.isfunction(builder) or issubclass(builder, nn.Module), name


def test_the_shipped_lists_of_labels() -> None:
    assert label_list_names() == ("radchest-9", "radchest-80", "radchest-83")
    eighty = read_label_list("radchest-80")
    assert len(set(eighty)) == 80
    # 29 labels of the heart's group come first, then 51 of the lung.
    assert eighty[0] == "h_great_vessel_aneurysm"
    assert eighty[28:30] == ("heart_transplant", "lung_air_trapping")
    assert sum(label.startswith("lung_") for label in eighty) == 51
    eighty_three = read_label_list("radchest-83")
    assert (len(set(eighty_three)), eighty_three[76]) == (83, "staple")
    assert set(read_label_list("radchest-9")) <= set(eighty_three)
    with pytest.raises(KeyError):
        read_label_list("../label_lists/radchest-80")
