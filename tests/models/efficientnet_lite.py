"""EfficientNet-Lite0: inverted residuals without squeeze and excitation, ReLU6, one linear layer.

Convolutions pad as TensorFlow's 'SAME' does, one more cell after than before.
"""

import torch
from torch import nn
from torch.nn import functional

# repeats, kernel, stride, expansion, channels
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


class SameConv2d(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            lack = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [lack // 2, lack - lack // 2]
        return super().forward(functional.pad(x, pads))


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    def __init__(
        self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        if expansion != 1:
            self._expand_conv = SameConv2d(channels_in, wide, 1, bias=False)
            self._bn0 = norm(wide)
        self._depthwise_conv = SameConv2d(
            wide, wide, kernel, stride=stride, groups=wide, bias=False
        )
        self._bn1 = norm(wide)
        self._project_conv = SameConv2d(wide, channels, 1, bias=False)
        self._bn2 = norm(channels)
        self._relu = nn.ReLU6(inplace=True)  # one module, called twice
        self.expands = expansion != 1
        self.adds = stride == 1 and channels_in == channels

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        x = given
        if self.expands:
            x = self._relu(self._bn0(self._expand_conv(x)))
        x = self._relu(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + given if self.adds else x


class EfficientNetLite0(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, stride=2, bias=False)
        self._bn0 = norm(32)
        layers = []
        channels = 32
        for repeats, kernel, stride, expansion, width in STAGES:
            for k in range(repeats):
                layers.append(Block(channels, width, kernel, stride if k == 0 else 1, expansion))
                channels = width
        self._blocks = nn.ModuleList(layers)
        self._conv_head = SameConv2d(channels, 1280, 1, bias=False)
        self._bn1 = norm(1280)
        self._fc = nn.Linear(1280, 1000)
        self._relu = nn.ReLU6(inplace=False)
        self._last_relu = nn.ReLU6(inplace=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._relu(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = self._last_relu(self._bn1(self._conv_head(x)))
        return self._fc(x.mean(dim=(2, 3)))
