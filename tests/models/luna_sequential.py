"""Two more LUNA16 nodule classifiers, layouts read off their weights.

Four blocks of two convolutions and a pool in one Sequential, then one linear layer over
1 x 3 x 3 cells: windows of 16 to 31 slices of 48 x 48 fit, in HU.
"""

import torch
from torch import nn


def blocks(widths: list[tuple[int, int]]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 1
    for first, second in widths:
        layers += [nn.Conv3d(channels, first, 3, padding=1), nn.ReLU(inplace=True)]
        layers += [nn.Conv3d(first, second, 3, padding=1), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool3d(2)]
        channels = second
    return layers


class Growing(nn.Module):
    """The 'redo': 8, 16, 32, 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.input_batchnorm = nn.BatchNorm3d(1)
        self.convAndPool_seq = nn.Sequential(*blocks([(8, 8), (16, 16), (32, 32), (64, 64)]))
        self.fullyConnected_layer = nn.Linear(576, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.convAndPool_seq(self.input_batchnorm(x))
        return self.fullyConnected_layer(x.flatten(1))


class Shrinking(nn.Module):
    """The alternate: 64 channels first, 4 at the end, the batch norm inside the Sequential."""

    def __init__(self) -> None:
        super().__init__()
        layers = blocks([(64, 32), (32, 16), (16, 8), (8, 4)])
        self.convAndPool_seq = nn.Sequential(nn.BatchNorm3d(1), *layers)
        self.fullyConnected_layer = nn.Linear(36, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fullyConnected_layer(self.convAndPool_seq(x).flatten(1))
