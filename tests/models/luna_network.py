"""A nodule classifier as a user would bring it: their own Python beside their weights.

Layout read off the published LUNA16 weights: input [1, 1, 32, 48, 48] in HU, two logits.
"""

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions and a pool."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels_in, channels, kernel_size=3, padding=1)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(channels, channels, kernel_size=3, padding=1)
        self.relu2 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu1(self.conv1(x))
        return self.maxpool(self.relu2(self.conv2(x)))


class NoduleNet(nn.Module):
    """Batch norm, four blocks, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.tail_batchnorm = nn.BatchNorm3d(1)
        self.block1 = Block(1, 8)
        self.block2 = Block(8, 16)
        self.block3 = Block(16, 32)
        self.block4 = Block(32, 64)
        self.head_linear = nn.Linear(64 * 2 * 3 * 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.tail_batchnorm(x)
        x = self.block4(self.block3(self.block2(self.block1(x))))
        return self.head_linear(x.flatten(1))
