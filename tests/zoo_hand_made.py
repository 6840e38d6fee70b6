"""Networks as people write them in the zoo; see zoo_networks.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from networks import ConvThenLinear, GlobalPoolThenLinear, SumOfVoxels
from torch import Tensor, nn
from zoo_inhabitant import EXACT, LOCAL, MEASURED, SAME, UNKNOWN, Inhabitant
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
)

from napari_hirescam.models.spec import OutputSpec


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


CUBE = (1, 1, 8, 8, 8)
_slices = partial(Inhabitant, shape=(1, 1, 6, 16, 16), layer="cells")
_plain = partial(Inhabitant, shape=CUBE, layer="cells")

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
    "sum of voxels": Inhabitant(SumOfVoxels, (1, 1, 3, 4, 5), "see", SAME, n_labels=1),
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
    "recomputes its blocks": _plain(Checkpointed, state=EXACT, placed=MEASURED),
    "linear layer as an Einstein sum": _plain(ByEinsum, state=EXACT),
    "one label, squeezed": _plain(Squeezed, state=EXACT, read=one_row, n_labels=1,
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
