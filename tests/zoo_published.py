"""Published networks in the zoo: the paper family and MONAI's classifiers, narrow and small."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from zoo_inhabitant import EXACT, LOCAL, SAME, Inhabitant
from zoo_networks import LABELS

from napari_hirescam.models.architectures import build_by_name


def named(name: str, **arguments: Any) -> Callable[[], nn.Module]:
    """Build a registered architecture, as a model file would."""
    return partial(build_by_name, name, LABELS, arguments, Path("model.yaml"))


IMAGES = (1, 5, 3, 128, 128)
TRUNK = {"trunk_channels": [4, 6, 8, 8], "trunk_stages": 3}
CUSTOM = {**TRUNK, "conv_channels": [8, 6]}
NARROW = {"block_inplanes": [4, 8, 12, 16]}
LINES = {"spatial_dims": 3, "n_input_channels": 1}
_axial = partial(Inhabitant, shape=IMAGES, layer="conv2d.3", layout="axial_triples")

PAPER_FAMILY = {
    "AxialNet": _axial(named("axialnet", **CUSTOM, grid=4), state=EXACT),
    "AxialNet, max over slices": _axial(
        named("axialnet-maxpool", **CUSTOM, grid=4), state=LOCAL, because="maximum"
    ),
    "AxialNet, sigmoid of slices": _axial(
        named("axialnet-sigmoid", **CUSTOM, grid=4), state=LOCAL, because="sigmoid"
    ),
    "AxialNet, no custom convolutions": _axial(
        named("axialnet-nocustomconv", **TRUNK, grid=8), layer="features.6", state=EXACT
    ),
    "AxialNet, bigger": _axial(
        named("axialnet-bigger", **CUSTOM, grid=4), layer="conv2d.2", preferred="conv2d.1",
        state=EXACT,
    ),
    "AxialNet, 3-D linear layer": _axial(
        named("axialnet-3dconv", **CUSTOM, grid=4, slices=5), state=EXACT
    ),
    "BodyCAM": _axial(named("bodycam", **CUSTOM), state=SAME),
    "AvgPool MIL": _axial(named("avgpool-mil", **CUSTOM), state=LOCAL, because="ReLU"),
    "DeepSets MIL": _axial(named("deepsets-mil", **CUSTOM), state=LOCAL, because="ReLU"),
    "CT-Net": _axial(
        named("ctnet", trunk_channels=[2, 2, 2, 32], grid=7, slices=2),
        shape=(1, 2, 3, 224, 224), layer="features.7", state=LOCAL, because="ReLU",
    ),
    "3-D convolutions (3DConv)": Inhabitant(
        named("3dconv", shape=[81, 81, 162]), (1, 1, 81, 81, 162), "reducingconvs.11",
        state=LOCAL, because="ReLU",
    ),
}  # fmt: skip

MONAI = {
    "MONAI ResNet-10, 3-D": Inhabitant(
        named("monai.ResNet", block="basic", layers=[1, 1, 1, 1], **LINES, **NARROW),
        (1, 1, 48, 48, 48), "layer4", SAME,
    ),
    "MONAI ResNet-18, 3-D": Inhabitant(
        named("monai.ResNet", block="basic", layers=[2, 2, 2, 2], **LINES, **NARROW),
        (1, 1, 48, 48, 48), "layer4", SAME,
    ),
    "MONAI ResNet-50, 3-D": Inhabitant(
        named("monai.ResNet", block="bottleneck", layers=[3, 4, 6, 3], **LINES,
              **NARROW), (1, 1, 48, 48, 48), "layer4", SAME,
    ),
    "MONAI ResNet-18, 2-D": Inhabitant(
        named("monai.resnet18", spatial_dims=2, n_input_channels=3), (1, 3, 64, 64), "layer4",
        SAME, layout="slice",
    ),
    "MONAI ResNet-18, 2-D, ahead of the last addition": Inhabitant(
        named("monai.resnet18", spatial_dims=2, n_input_channels=3), (1, 3, 64, 64),
        "layer4.1.bn2", LOCAL, "ReLU", preferred="layer4", layout="slice",
    ),
    "MONAI DenseNet-121, 3-D": Inhabitant(
        named("monai.DenseNet121", spatial_dims=3, in_channels=1, init_features=8, growth_rate=4),
        (1, 1, 64, 32, 32), "class_layers.relu", SAME,
    ),
    "MONAI DenseNet, 2-D": Inhabitant(
        named("monai.DenseNet", spatial_dims=2, in_channels=3, init_features=8, growth_rate=4,
              block_config=[2, 3]), (1, 3, 64, 64), "class_layers.relu", SAME, layout="slice",
    ),
    "MONAI SE-ResNet-50, 2-D": Inhabitant(
        named("monai.SEResNet50", spatial_dims=2, in_channels=3), (1, 3, 64, 64), "layer4", SAME,
        layout="slice",
    ),
    "MONAI SENet, 2-D": Inhabitant(
        named("monai.SENet", spatial_dims=2, in_channels=1, block="se_bottleneck",
              layers=[1, 1, 1, 1], groups=8, reduction=16), (1, 1, 64, 64), "layer4", SAME,
        layout="slice",
    ),
    "MONAI EfficientNet-B0, 2-D": Inhabitant(
        named("monai.EfficientNetBN", model_name="efficientnet-b0", spatial_dims=2, in_channels=3),
        (1, 3, 64, 64), "_avg_pooling.features", SAME, layout="slice",
    ),
    "MONAI EfficientNet-B0, 3-D": Inhabitant(
        named("monai.EfficientNetBN", model_name="efficientnet-b0", spatial_dims=3, in_channels=1),
        (1, 1, 64, 32, 32), "_avg_pooling.features", SAME,
    ),
    "MONAI Classifier, 3-D": Inhabitant(
        named("monai.Classifier", in_shape=[1, 16, 16, 16], channels=[4, 8], strides=[2, 2]),
        (1, 1, 16, 16, 16), "net.layer_1", EXACT,
    ),
}  # fmt: skip
