"""A 2-D classifier of CT slices: one convolution and one linear layer."""

import torch
from torch import nn


class SimpleCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.layer2 = nn.Sequential(nn.Linear(32 * 112 * 112, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer2(self.layer1(x).flatten(1))
