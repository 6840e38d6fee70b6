"""Small networks whose attention can be worked out by hand, and a way to run the engine on them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from napari_hirescam.models import Classifier, ModelSpec
from napari_hirescam.models.spec import InputSpec
from napari_hirescam.volume import Volume


class ConvThenLinear(nn.Module):
    """[1, 1, d, h, w] -> convolutions -> flatten -> one linear layer: the paper's class."""

    def __init__(
        self,
        shape: tuple[int, int, int] = (6, 8, 10),
        n_labels: int = 3,
        channels: int = 4,
        *,
        inplace: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(1, channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(channels)
        self.act1 = nn.ReLU(inplace=inplace)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.act2 = nn.ReLU(inplace=inplace)
        self.pool = nn.AvgPool3d(2)
        cells = channels * (shape[0] // 2) * (shape[1] // 2) * (shape[2] // 2)
        self.fc = nn.Linear(cells, n_labels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act1(self.norm(self.conv1(x)))
        x = self.pool(self.act2(self.conv2(x)))
        return self.fc(x.flatten(1))


class GlobalPoolThenLinear(nn.Module):
    """The CAM architecture: global average pooling ahead of the linear layer."""

    def __init__(self, n_labels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 5, 3, padding=1)
        self.act = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(5, n_labels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.act(self.conv(x))).flatten(1))


class SumOfVoxels(nn.Module):
    """One label whose logit is the sum of the (windowed) voxels: the map is the input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv3d(1, 1, 1, bias=False)
        nn.init.ones_(self.see.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.see(x).flatten(1).sum(1, keepdim=True)


def classifier_of(
    network: nn.Module, layer: str, input_spec: InputSpec, n_labels: int, **more: object
) -> Classifier:
    """Wrap a network made in a test as if it had come from a model folder."""
    fields = {
        "name": "test model",
        "architecture": {"name": "axialnet"},
        "weights": "none.safetensors",
        "labels": tuple(f"label {k}" for k in range(n_labels)),
        "input": input_spec,
        "target_layer": layer,
    }
    spec = ModelSpec(**{**fields, **more})
    return Classifier(spec, network, device="cpu")


def plain_input(shape: tuple[int, int, int], **more: object) -> InputSpec:
    """Make an input section that leaves HU as they are."""
    settings = {"shape": shape, "window_hu": (-3000, 3000), "scale_to": None, **more}
    return InputSpec(**settings)


def random_ct(
    shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1, 1, 1), seed: int = 0
) -> Volume:
    """Make a CT of noise at a spacing in mm."""
    rng = np.random.default_rng(seed)
    voxels = rng.integers(-1000, 400, shape).astype(np.int16)
    return Volume(voxels, np.diag([*spacing, 1.0]), "noise")
