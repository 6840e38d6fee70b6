"""The guarantee is read off the head: said to hold exactly where it holds."""

from __future__ import annotations

import pytest
import torch
from networks import ConvThenLinear
from torch import nn

from napari_hirescam.attention import attention_maps
from napari_hirescam.attention.faithfulness import examine_head
from napari_hirescam.models.dry_run import dry_run


class Head(nn.Module):
    """A feature layer followed by the head under test."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.cells = nn.Conv3d(1, 3, 1)
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x))


class Function(nn.Module):
    """A head given as a function of the activation [1, 3, 4, 4, 4]."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        return self.function(activation)


def pooled(activation: torch.Tensor) -> torch.Tensor:
    return activation.mean((2, 3, 4))


LINEAR_HEADS = {
    "flatten and linear": nn.Sequential(nn.Flatten(), nn.Linear(192, 2)),
    "global average pooling and linear": nn.Sequential(
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 2)
    ),
    "dropout, batch norm and linear in eval mode": nn.Sequential(
        nn.BatchNorm3d(3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 2)
    ),
    "convolution over the whole grid": nn.Sequential(nn.Conv3d(3, 2, 4), nn.Flatten()),
    "mean, slices, scaling by constants": Function(lambda a: 2 * pooled(a)[:, :2] / 3 - 1),
    "concatenation of two parts": Function(lambda a: torch.cat([pooled(a), pooled(a)], 1)),
}
OTHER_HEADS = {
    "ReLU": nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2)),
    "max pooling": nn.Sequential(nn.AdaptiveMaxPool3d(1), nn.Flatten()),
    "maximum": Function(lambda a: a.amax((2, 3, 4))),
    "sigmoid": Function(lambda a: torch.sigmoid(a).mean((2, 3, 4))),
    "softmax": Function(lambda a: torch.softmax(pooled(a), 1)),
    "Mul": Function(lambda a: pooled(a) * pooled(a)),
    "Div": Function(lambda a: pooled(a) / (2 + pooled(a).flip(1))),
    "layer norm": nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.Linear(192, 2)),
    "Exp": Function(lambda a: pooled(a).exp()),
}


@pytest.mark.parametrize("name", LINEAR_HEADS)
def test_linear_heads_are_exact(name) -> None:
    result = attention_maps(Head(LINEAR_HEADS[name]), torch.randn(1, 1, 4, 4, 4), "cells")
    assert result.guarantee.holds, result.guarantee.reason


@pytest.mark.parametrize("name", OTHER_HEADS)
def test_other_heads_are_named_and_not_exact(name) -> None:
    result = attention_maps(Head(OTHER_HEADS[name]), torch.randn(1, 1, 4, 4, 4), "cells")
    assert not result.guarantee.holds
    assert name in result.guarantee.reason


def test_a_layer_ahead_of_the_last_relu_is_not_exact() -> None:
    result = attention_maps(ConvThenLinear(), torch.randn(1, 1, 6, 8, 10), "conv1")
    assert not result.guarantee.holds
    assert "ReLU" in result.guarantee.reason


def test_scores_that_do_not_depend_on_the_layer_are_not_called_exact() -> None:
    class Ignoring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.Conv3d(1, 3, 1)
            self.other = nn.Conv3d(1, 2, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.cells(x)
            return self.other(x).flatten(1)

    run = dry_run(Ignoring().eval(), (1, 1, 4, 4, 4), "cells")
    guarantee = examine_head(run.logits_node, run.head_node, "cells")
    assert not guarantee.holds
    assert "do not depend" in guarantee.reason
