"""The zoo: networks the engine must explain, each with what is expected of it.

Every entry says how to build the network, what goes in, the layer to explain, and what is true
of it: whether the guarantee holds there (and if not, a word of the reason), which layer the table
of layers should offer, and how the places of its cells are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from networks import ConvThenLinear, GlobalPoolThenLinear, SumOfVoxels, classifier_of, plain_input
from torch import Tensor, nn
from zoo_networks import (
    LABELS,
    AttentionOverSlices,
    Branches,
    ByEinsum,
    Checkpointed,
    ForwardKeywords,
    GatedCells,
    KeepsState,
    LSTMOverSlices,
    OwnNoGrad,
    OwnSigmoid,
    Plain,
    ResidualInPlace,
    Scores,
    Several,
    SharedReLU,
    SliceNetwork,
    SlicesAsBatch,
    Squeezed,
    TransformerOverCells,
    Upsampled,
    VisionTransformer,
    WithHead,
    random_statistics,
)

from napari_hirescam.attention import GuaranteeState
from napari_hirescam.models import Classifier
from napari_hirescam.models.architectures import build_by_name
from napari_hirescam.models.spec import OutputSpec

EXACT, SAME, LOCAL = GuaranteeState.EXACT, GuaranteeState.IDENTICAL, GuaranteeState.LOCAL
ARITHMETIC, MEASURED, UNKNOWN = "arithmetic", "measured", "not known"


@dataclass(frozen=True)
class Inhabitant:
    """One network of the zoo.

    Parameters
    ----------
    build
        Makes the network, in eval mode.
    shape
        Of its input, batch axis included.
    layer
        Target layer.
    state, because
        Expected guarantee; for a local approximation a word of the reason.
    preferred
        Layer that the table should offer first; "" where that is `layer`.
    placed
        How the cells' places are known.
    output, read
        Where the logits are: for the engine, and for the independent oracle (None: at the layer
        `output.layer`).
    layout
        Of the model's input section.
    no_captum
        Why captum cannot serve as an oracle; "" where it can.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    layer: str
    state: GuaranteeState
    because: str = ""
    preferred: str = ""
    placed: str = ARITHMETIC
    output: OutputSpec = field(default_factory=OutputSpec)
    read: Callable[[Any], Tensor] | None = lambda returned: returned
    layout: str = "volume"
    no_captum: str = ""

    @property
    def n_labels(self) -> int:
        """Width of the output."""
        return 1 if self.build in ONE_LABEL else LABELS


def named(name: str, **arguments: Any) -> Callable[[], nn.Module]:
    """Build a registered architecture, as a model file would."""
    return partial(build_by_name, name, LABELS, arguments, Path("model.yaml"))


def with_head(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return partial(WithHead, make)


def flat_linear(*after: nn.Module, width: int = LABELS) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(6 * 64, width), *after)


def pooled_linear() -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, LABELS))


def weight_normed() -> nn.Module:
    linear = nn.Linear(6 * 64, LABELS)
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(linear))


def frozen() -> nn.Module:
    return Plain().requires_grad_(False)


def partly_frozen() -> nn.Module:
    network = Plain()
    network.first.requires_grad_(False)
    return network


def channels_last() -> nn.Module:
    return Plain().to(memory_format=torch.channels_last_3d)


def double() -> nn.Module:
    return Plain().double()


def traced_by_fx() -> nn.Module:
    return torch.fx.symbolic_trace(Plain().eval())


def as_dict(scores: Tensor, extra: Tensor) -> Any:
    return {"severity": extra, "disease": scores}


def as_tuple(scores: Tensor, extra: Tensor) -> Any:
    return extra, scores


def as_named_tuple(scores: Tensor, extra: Tensor) -> Any:
    return Scores(extra, scores)


def mean_of_rows(scores: Tensor) -> Tensor:
    return scores.mean(0, keepdim=True)


def max_of_rows(scores: Tensor) -> Tensor:
    return scores.amax(0, keepdim=True)


def one_row(scores: Tensor) -> Tensor:
    return scores.reshape(1, -1)


ONE_LABEL: set[Callable[[], nn.Module]] = {Squeezed, SumOfVoxels}
CUBE = (1, 1, 8, 8, 8)
IMAGES = (1, 5, 3, 128, 128)
TRUNK = {"trunk_channels": [4, 6, 8, 8], "trunk_stages": 3}
CUSTOM = {**TRUNK, "conv_channels": [8, 6]}
LINES = {"spatial_dims": 3, "n_input_channels": 1}
_axial = partial(Inhabitant, shape=IMAGES, layer="conv2d.3", layout="axial_triples")
_slices = partial(Inhabitant, shape=(1, 1, 6, 16, 16), layer="cells")
_plain = partial(Inhabitant, shape=CUBE, layer="cells")

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
        named("monai.resnet10", **LINES), (1, 1, 48, 48, 48), "layer4", SAME
    ),
    "MONAI ResNet-18, 3-D": Inhabitant(
        named("monai.resnet18", **LINES), (1, 1, 48, 48, 48), "layer4", SAME
    ),
    "MONAI ResNet-50, 3-D": Inhabitant(
        named("monai.ResNet", block="bottleneck", layers=[3, 4, 6, 3], **LINES,
              block_inplanes=[4, 8, 12, 16]), (1, 1, 48, 48, 48), "layer4", SAME,
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
        (1, 1, 64, 64, 64), "class_layers.relu", SAME,
    ),
    "MONAI DenseNet-121, 2-D": Inhabitant(
        named("monai.DenseNet121", spatial_dims=2, in_channels=3), (1, 3, 64, 64),
        "class_layers.relu", SAME, layout="slice",
    ),
    "MONAI SE-ResNet-50, 2-D": Inhabitant(
        named("monai.SEResNet50", spatial_dims=2, in_channels=3), (1, 3, 64, 64), "layer4", SAME,
        layout="slice",
    ),
    "MONAI SENet, 3-D": Inhabitant(
        named("monai.SENet", spatial_dims=3, in_channels=1, block="se_bottleneck",
              layers=[1, 1, 1, 1], groups=8, reduction=16), (1, 1, 48, 48, 48), "layer4", SAME,
    ),
    "MONAI EfficientNet-B0, 2-D": Inhabitant(
        named("monai.EfficientNetBN", model_name="efficientnet-b0", spatial_dims=2, in_channels=3),
        (1, 3, 64, 64), "_avg_pooling.features", SAME, layout="slice",
    ),
    "MONAI EfficientNet-B0, 3-D": Inhabitant(
        named("monai.EfficientNetBN", model_name="efficientnet-b0", spatial_dims=3, in_channels=1),
        (1, 1, 64, 64, 64), "_avg_pooling.features", SAME,
    ),
    "MONAI Classifier, 3-D": Inhabitant(
        named("monai.Classifier", in_shape=[1, 16, 16, 16], channels=[4, 8], strides=[2, 2]),
        (1, 1, 16, 16, 16), "net.layer_1", EXACT,
    ),
}  # fmt: skip

HAND_MADE = {
    "pooled cells, flattened": Inhabitant(
        ConvThenLinear, (1, 1, 6, 8, 10), "pool", EXACT, preferred="act2"
    ),
    "ReLU in place right after the target": Inhabitant(
        ConvThenLinear, (1, 1, 6, 8, 10), "conv2", LOCAL, "ReLU", preferred="act2"
    ),
    "the target is itself a ReLU in place": Inhabitant(
        ConvThenLinear, (1, 1, 6, 8, 10), "act2", EXACT
    ),
    "global average pooling": Inhabitant(GlobalPoolThenLinear, (1, 1, 5, 6, 7), "act", SAME),
    "sum of voxels": Inhabitant(SumOfVoxels, (1, 1, 3, 4, 5), "see", SAME),
    "addition in place after a batch norm": _plain(
        ResidualInPlace, layer="norm", state=LOCAL, because="ReLU",
    ),
    "frozen": _plain(frozen, state=EXACT),
    "partly frozen": _plain(partly_frozen, state=EXACT),
    "slices as batch, mean": _slices(partial(SlicesAsBatch, mean_of_rows), state=EXACT),
    "slices as batch, maximum": _slices(
        partial(SlicesAsBatch, max_of_rows), state=LOCAL, because="maximum"
    ),
    "slices as batch, attention": _slices(AttentionOverSlices, state=LOCAL, because="softmax"),
    "slices as batch, LSTM": _slices(LSTMOverSlices, state=LOCAL, because="recurrent layer"),
    "2-D network, mean over its slices": Inhabitant(
        SliceNetwork, (6, 3, 32, 32), "cells", EXACT, layout="slices",
        output=OutputSpec(over_slices="mean"), read=mean_of_rows,
    ),
    "2-D network, maximum over its slices": Inhabitant(
        SliceNetwork, (6, 3, 32, 32), "cells", LOCAL, "maximum", layout="slices",
        output=OutputSpec(over_slices="max"), read=max_of_rows,
    ),
    "dict of outputs": _plain(
        partial(Several, as_dict), state=EXACT, output=OutputSpec(entry="disease"),
        read=lambda returned: returned["disease"],
    ),
    "tuple of outputs": _plain(
        partial(Several, as_tuple), state=EXACT, output=OutputSpec(entry=1),
        read=lambda returned: returned[1],
    ),
    "named tuple of outputs": _plain(
        partial(Several, as_named_tuple), state=EXACT, output=OutputSpec(entry="scores"),
        read=lambda returned: returned.scores,
    ),
    "shared ReLU, first call": _plain(
        SharedReLU, layer="act#1", state=LOCAL, because="ReLU", preferred="act#2",
        no_captum="it takes every call of a module at once",
    ),
    "shared ReLU, last call": _plain(
        SharedReLU, layer="act", state=EXACT, preferred="act#2",
        no_captum="it takes every call of a module at once",
    ),
    "channels last": _plain(channels_last, state=EXACT),
    "double precision": _plain(double, state=EXACT),
    "keeps state": _plain(KeepsState, state=EXACT),
    "switches gradients off by itself": _plain(
        OwnNoGrad, state=EXACT, placed=UNKNOWN,
        no_captum="no gradient reaches its layer",
    ),
    "its own sigmoid, logits ahead of it": _plain(
        OwnSigmoid, state=EXACT, output=OutputSpec(layer="fc"), read=None,
        no_captum="it explains what a network returns only",
    ),
    "its own sigmoid, explained as it is": _plain(OwnSigmoid, state=LOCAL, because="sigmoid"),
    "two linear layers, nothing between": _plain(
        with_head(lambda: flat_linear(nn.Linear(4, LABELS), width=4)), state=EXACT
    ),
    "two linear layers, ReLU between": _plain(
        with_head(lambda: flat_linear(nn.ReLU(), nn.Linear(4, LABELS), width=4)),
        state=LOCAL, because="ReLU",
    ),
    "pooled, batch norm, dropout, linear": _plain(
        with_head(lambda: nn.Sequential(
            nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.BatchNorm1d(6), nn.Dropout(0.5),
            nn.Linear(6, LABELS))), state=SAME,
    ),
    "layer norm ahead of the linear layer": _plain(
        with_head(lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(384), nn.Linear(384, LABELS))),
        state=LOCAL, because="layer norm",
    ),
    "pooled to a coarser grid, then linear": _plain(
        with_head(lambda: nn.Sequential(
            nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Linear(48, LABELS))), state=EXACT,
    ),
    "convolution over the whole grid": _plain(
        with_head(lambda: nn.Sequential(nn.Conv3d(6, LABELS, 4), nn.Flatten())), state=EXACT
    ),
    "weights computed anew": _plain(with_head(weight_normed), state=EXACT),
    "branches side by side": _plain(Branches, state=EXACT),
    "upsampled cells": _plain(Upsampled, state=EXACT),
    "recomputes its blocks": _plain(Checkpointed, state=EXACT),
    "linear layer as an Einstein sum": _plain(ByEinsum, state=EXACT),
    "one label, squeezed": _plain(Squeezed, state=EXACT, read=one_row,
                                  no_captum="it asks for a batch axis"),
    "gate from the whole image": _plain(GatedCells, layer="last", state=EXACT),
    "called by keyword": _plain(ForwardKeywords, layer="wrapped", state=EXACT),
    "cells attend to each other": _plain(
        TransformerOverCells, state=LOCAL, because="attention"
    ),
    "vision transformer, its patches": Inhabitant(
        VisionTransformer, (1, 1, 16, 16, 16), "patches", LOCAL, "attention"
    ),
    "traced by torch.fx": _plain(traced_by_fx, layer="cells.2", state=EXACT),
    "in a data-parallel wrapper": _plain(
        lambda: nn.DataParallel(Plain()), layer="module.cells", state=EXACT
    ),
}  # fmt: skip

ZOO: dict[str, Inhabitant] = {**PAPER_FAMILY, **MONAI, **HAND_MADE}


@cache
def network_of(name: str) -> nn.Module:
    """Build a network once; the engine leaves it as it is, and so do the tests."""
    torch.manual_seed(0)
    return random_statistics(ZOO[name].build())


def input_of(name: str, seed: int = 1) -> Tensor:
    """Make an input in the network's precision."""
    shape = ZOO[name].shape
    generator = torch.Generator().manual_seed(seed)
    kind = next((p.dtype for p in network_of(name).parameters()), torch.float32)
    return torch.randn(shape, generator=generator).to(kind)


@cache
def classifier_named(name: str) -> Classifier:
    """Wrap a network as if it had come from a model folder."""
    here = ZOO[name]
    more: dict[str, Any] = {"layout": here.layout, "scale_to": (-1.0, 1.0), "spacing_mm": (1, 1, 1)}
    if here.layout == "axial_triples":
        shape = (here.shape[1] * 3, *here.shape[3:])
    elif here.layout == "volume":
        shape = here.shape[2:]
    else:
        shape = (1 if here.layout == "slice" else here.shape[0], *here.shape[2:])
        more["channels"] = here.shape[1]
    return classifier_of(
        network_of(name), here.layer, plain_input(shape, **more), here.n_labels, output=here.output
    )
