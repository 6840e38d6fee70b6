"""Networks as people write them, each with one manner that is known to mislead an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

LABELS = 3


def block(channels_in: int, channels: int, **more: Any) -> nn.Sequential:
    """Convolution, batch norm, ReLU in place, in three dimensions."""
    return nn.Sequential(
        nn.Conv3d(channels_in, channels, 3, padding=1, **more),
        nn.BatchNorm3d(channels),
        nn.ReLU(inplace=True),
    )


class Plain(nn.Module):
    """[1, 1, 8, 8, 8] -> two blocks -> flatten -> one linear layer; others change one thing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = block(1, 4)
        self.cells = block(4, 6, stride=2)
        self.fc = nn.Linear(6 * 64, LABELS)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.cells(self.first(x)))

    def head(self, a: Tensor) -> Any:
        return self.fc(a.flatten(1))


class WithHead(Plain):
    """Plain up to the cells, then a head given as a module over [1, 6, 4, 4, 4]."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.fc = make()

    def head(self, a: Tensor) -> Any:
        return self.fc(a)


class ResidualInPlace(Plain):
    """The batch norm's output is added to, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm3d(6)

    def head(self, a: Tensor) -> Tensor:
        second = self.norm(self.conv(a))
        second += a
        return self.fc(functional.relu(second, inplace=True).flatten(1))


class SharedReLU(Plain):
    """One ReLU module after both convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.conv1 = nn.Conv3d(1, 6, 3, padding=1, stride=2)
        self.conv2 = nn.Conv3d(6, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.conv2(self.act(self.conv1(x)))))


class SlicesAsBatch(nn.Module):
    """[1, 1, S, 16, 16]: a 2-D trunk over slices, then `gather` over the slices' scores."""

    def __init__(self, gather: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.gather = gather
        self.cells = nn.Sequential(
            nn.Conv2d(1, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace=True)
        )
        self.fc = nn.Linear(5 * 64, LABELS)

    def forward(self, ct: Tensor) -> Tensor:
        images = ct[0].transpose(0, 1)
        return self.gather(self.fc(self.cells(images).flatten(1)))


class AttentionOverSlices(SlicesAsBatch):
    """Slices are weighed by a softmax over scores of their own."""

    def __init__(self) -> None:
        super().__init__(lambda scores: scores)
        self.weigh = nn.Linear(5 * 64, 1)

    def forward(self, ct: Tensor) -> Tensor:
        features = self.cells(ct[0].transpose(0, 1)).flatten(1)
        weights = self.weigh(features).softmax(0)
        return self.fc((weights * features).sum(0, keepdim=True))


class LSTMOverSlices(SlicesAsBatch):
    """Slices are read one after the other by a recurrent layer."""

    def __init__(self) -> None:
        super().__init__(lambda scores: scores)
        self.read = nn.LSTM(5 * 64, 8, batch_first=True)
        self.fc = nn.Linear(8, LABELS)

    def forward(self, ct: Tensor) -> Tensor:
        features = self.cells(ct[0].transpose(0, 1)).flatten(1)
        return self.fc(self.read(features[None])[0][:, -1])


class SliceNetwork(nn.Module):
    """[S, 3, 32, 32]: an ordinary 2-D classifier; slices may come as its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.fc = nn.Linear(8 * 64, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.cells(x).flatten(1))


class Scores(NamedTuple):
    """What a network with an auxiliary output returns."""

    image: Tensor
    scores: Tensor


class Several(Plain):
    """Returns its logits among other things."""

    def __init__(self, pack: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.pack = pack

    def head(self, a: Tensor) -> Any:
        return self.pack(super().head(a), a.mean())


class OwnSigmoid(Plain):
    """Ends with a sigmoid of its own, in place."""

    def head(self, a: Tensor) -> Tensor:
        return super().head(a).sigmoid_()


class KeepsState(Plain):
    """Counts its calls in a buffer, remembers what it saw in attributes, and grows a list."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.last: Tensor | None = None
        self.shapes: list[tuple[int, ...]] = []
        self.seen = {"count": 0}

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x.mean()
        self.shapes.append(tuple(x.shape))
        self.seen["count"] += 1
        self.newly_made = len(self.shapes)
        return super().forward(x)


class OwnNoGrad(Plain):
    """A frozen trunk that switches gradients off by itself."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.cells(self.first(x))
        return self.head(features)


class Branches(Plain):
    """Two scales of the same cells, put side by side, and a skip from the cells themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv3d(6, 6, 3, padding=2, dilation=2)
        self.fc = nn.Linear(6 * (64 + 8 + 64), LABELS)

    def head(self, a: Tensor) -> Tensor:
        parts = [self.wide(a), functional.avg_pool3d(a, 2), a]
        return self.fc(torch.cat([part.flatten(1) for part in parts], 1))


class Upsampled(Plain):
    """The cells are brought to a finer grid, with no ReLU after, ahead of the linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6 * 512, LABELS)

    def head(self, a: Tensor) -> Tensor:
        finer = functional.interpolate(a, scale_factor=2, mode="trilinear", align_corners=False)
        return self.fc(finer.flatten(1))


class Checkpointed(Plain):
    """Recomputes its blocks in training to save memory."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.cells, self.first(x), use_reentrant=False))


class ByEinsum(Plain):
    """One linear layer written as an Einstein sum."""

    def head(self, a: Tensor) -> Tensor:
        weights = self.fc.weight.unflatten(1, (6, 4, 4, 4))
        return torch.einsum("bfdhw,kfdhw->bk", a, weights) + self.fc.bias


class Squeezed(Plain):
    """One label, and the batch axis squeezed away."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6 * 64, 1)

    def head(self, a: Tensor) -> Tensor:
        return super().head(a).squeeze()


class GatedCells(Plain):
    """Squeeze and excitation ahead of the cells: a gate from the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool3d(1), nn.Conv3d(6, 3, 1), nn.ReLU(), nn.Conv3d(3, 6, 1), nn.Sigmoid()
        )
        self.last = nn.Conv3d(6, 6, 1)

    def head(self, a: Tensor) -> Tensor:
        return super().head(self.last(a * self.gate(a)))


class ForwardKeywords(Plain):
    """Its blocks are called by keyword, through a wrapper's attribute access."""

    class _Wrap(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *, image: Tensor) -> Tensor:
            return self.inner(image)

    def __init__(self) -> None:
        super().__init__()
        self.wrapped = self._Wrap(self.cells)
        del self.cells

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.wrapped(image=self.first(x)))


class TransformerOverCells(Plain):
    """Cells become tokens that attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
        self.fc = nn.Linear(6, LABELS)

    def head(self, a: Tensor) -> Tensor:
        return self.fc(self.attend(a.flatten(2).transpose(1, 2)).mean(1))


class VisionTransformer(nn.Module):
    """[1, 1, 16, 16, 16] -> 2 x 2 x 2 patches -> tokens [1, 8, C] that attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv3d(1, 12, 8, stride=8)
        self.encoder = nn.TransformerEncoderLayer(12, 2, 16, batch_first=True)
        self.fc = nn.Linear(12, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.fc(self.encoder(tokens).mean(1))


def random_statistics(network: nn.Module) -> nn.Module:
    """Make an untrained network uneven: batch norms with statistics and biases of their own."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
    return network.eval()
