"""The guarantee is read off the head: said to hold exactly where it holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import ConvThenLinear
from torch import nn

from napari_hirescam.attention import attention_maps
from napari_hirescam.attention.capture import run_and_capture
from napari_hirescam.attention.faithfulness import examine_head, probe_head
from napari_hirescam.models.dry_run import dry_run
from napari_hirescam.models.head import HeadCannotBeReplayedError, HeadTape


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


IMAGE = torch.zeros(1, 1, 4, 4, 4)


def pooled(activation: torch.Tensor) -> torch.Tensor:
    return activation.mean((2, 3, 4))


class BiasIgnored(nn.Linear):
    """Has a bias that takes no part."""

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        return activation @ self.weight.T


class Sum(torch.autograd.Function):
    """A cube under the name of one of torch's linear operations."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 3 * ctx.saved_tensors[0] ** 2


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
LINEAR_HEADS |= {
    "a constant that is no layer's bias": Function(lambda a: pooled(a) + torch.ones(3)),
    "a linear function with somebody's weights": Function(
        lambda a: nn.functional.linear(pooled(a), torch.ones(2, 3), torch.tensor([3.0, -1.0]))
    ),
    "a temperature in place": Function(lambda a: pooled(a).add_(1).div_(2)),
    "weights computed anew": nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(192, 2))
    ),
    "a linear layer of one's own that leaves its bias out": nn.Sequential(
        nn.Flatten(), BiasIgnored(192, 2)
    ),
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
    # What follows is hidden from gradients.
    "gt": Function(lambda a: pooled(a * (a > 0))),
    "argmax": Function(lambda a: pooled(a)[:, a.mean((0, 2, 3, 4)).argmax() :][:, :1]),
    "detach": Function(lambda a: pooled(a * a.detach())),
    "numbers out of its tensors": Function(lambda a: pooled(a) * a.std().item()),
    "Sum": Function(lambda a: Sum.apply(pooled(a))),
}


@pytest.mark.parametrize("name", LINEAR_HEADS)
def test_linear_heads_are_exact(name) -> None:
    torch.manual_seed(0)
    result = attention_maps(Head(LINEAR_HEADS[name]), torch.randn(1, 1, 4, 4, 4), "cells")
    assert result.guarantee.holds, result.guarantee.reason
    total = result.maps["hirescam"].sum((1, 2, 3), dtype=np.float64) + result.bias
    assert np.abs(total - result.logits).max() < 1e-5 * np.abs(result.logits).max() + 1e-6


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
    guarantee = examine_head(run, "cells")
    assert not guarantee.holds
    assert "no gradient leads" in guarantee.reason


@pytest.mark.parametrize("frozen", ["backbone", "everything"])
def test_a_network_that_switches_gradients_off_by_itself(frozen) -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.Conv3d(1, 3, 1)
            self.fc = nn.Linear(192, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                features = self.cells(x)
                if frozen == "everything":
                    return self.fc(features.flatten(1))
            return self.fc(features.flatten(1))

    torch.manual_seed(0)
    network = Frozen().eval()
    assert examine_head(dry_run(network, (1, 1, 4, 4, 4), "cells"), "cells").holds
    result = attention_maps(network, torch.randn(1, 1, 4, 4, 4), "cells")
    assert result.guarantee.holds
    assert np.allclose(result.bias, network.fc.bias.detach())
    total = result.maps["hirescam"].sum((1, 2, 3)) + result.bias
    assert np.allclose(total, result.logits, atol=1e-6)


def test_scores_that_are_cut_off_from_the_layer_are_refused() -> None:
    with pytest.raises(ValueError, match="no gradient leads"):
        attention_maps(Head(Function(lambda a: pooled(a.detach()))), IMAGE, "cells")


def test_the_head_is_replayed_for_another_activation() -> None:
    """Views, writes in place, several outputs: as if the head had been called itself."""

    def head(a: torch.Tensor) -> torch.Tensor:
        first, second = torch.relu(a).flatten(1).chunk(2, dim=1)
        first += 1
        second[:, 3].mul_(2)
        return torch.cat((first, second.sigmoid()), 1).T[:5].T * a.shape[1]

    activation = torch.randn(1, 3, 4, 4, 4)
    with HeadTape(activation) as tape:
        logits = head(activation.clone())
    other = torch.randn(1, 3, 4, 4, 4)
    kept = other.clone()
    assert torch.equal(tape.replay(other, logits), head(other.clone()))
    assert torch.equal(other, kept)


def test_a_head_that_writes_into_a_constant_is_not_replayed() -> None:
    buffer = torch.zeros(1, 3)
    activation = torch.randn(1, 3, 4, 4, 4)
    with HeadTape(activation) as tape:
        buffer[:, :2] = activation.mean((2, 3, 4))[:, :2]
        logits = buffer * 2
    with pytest.raises(HeadCannotBeReplayedError, match="constant"):
        tape.replay(torch.zeros_like(activation), logits)


def test_a_head_that_only_looks_linear_does_not_pass_the_test() -> None:
    """The last guard: other activations, whatever the operations are called."""
    torch.manual_seed(0)
    network = Head(LINEAR_HEADS["flatten and linear"]).eval()
    captured = run_and_capture(
        network,
        torch.randn(1, 1, 4, 4, 4),
        "cells",
        slices_per_chunk=8,
        progress=lambda _done, _total: None,
        should_stop=lambda: False,
    )
    assert probe_head(captured, "cells")[0].holds
    for curved in (lambda a: captured.head(a).abs(), lambda a: captured.head(a) ** 3):
        guarantee, bias = probe_head(replace(captured, head=curved), "cells")
        assert not guarantee.holds
        assert "put to the test" in guarantee.reason
        assert np.isnan(bias).all()


def test_what_the_layer_gave_is_kept_though_its_input_is_overwritten() -> None:
    """A layer may hand its input through, and somebody may write into that input later."""

    class Aliased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(1, 3, 1)
            self.same = nn.Identity()
            self.fc = nn.Linear(192, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            before = self.conv(x)
            after = self.same(before)
            scores = self.fc(after.flatten(1))
            before += 100
            return scores

    torch.manual_seed(0)
    network = Aliased().eval()
    image = torch.randn(1, 1, 4, 4, 4)
    result = attention_maps(network, image, "same")
    with torch.no_grad():
        weights = network.fc.weight.reshape(2, 3, 4, 4, 4)
        expected = (network.conv(image) * weights).sum(1)
    assert np.allclose(result.maps["hirescam"], expected.numpy(), atol=1e-6)
