"""A 3-D DenseNet for nodules of 32^3 voxels, layout read off its weights.

Its forward applies its own sigmoid and squeezes the batch axis away, as its author's does.
"""

import torch
from torch import nn

GROWTH, BOTTLENECK, LAYERS = 16, 64, 4


class DenseLayer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=False),
            nn.Conv3d(channels, BOTTLENECK, 1),
            nn.BatchNorm3d(BOTTLENECK),
            nn.ReLU(inplace=True),
            nn.Conv3d(BOTTLENECK, GROWTH, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.net(x)], dim=1)


def dense_block(channels: int) -> nn.Sequential:
    return nn.Sequential(*(DenseLayer(channels + k * GROWTH) for k in range(LAYERS)))


def transition(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm3d(channels),
        nn.ReLU(inplace=True),
        nn.Conv3d(channels, channels // 2, 1),
        nn.AvgPool3d(2),
    )


class NoduleDenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv3d(1, 32, 3, padding=1))
        channels = 32
        for number in (1, 2, 3, 4):
            setattr(self, f"denseblock{number}", dense_block(channels))
            channels += LAYERS * GROWTH
            if number < 4:
                setattr(self, f"trans{number}", transition(channels))
                channels //= 2
        self.trans4 = nn.Sequential(
            nn.BatchNorm3d(channels), nn.ReLU(inplace=True), nn.AvgPool3d(4)
        )
        self.output = nn.Sequential(nn.Flatten(), nn.Linear(channels, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        for number in (1, 2, 3, 4):
            x = getattr(self, f"trans{number}")(getattr(self, f"denseblock{number}")(x))
        return self.output(x).squeeze()
