"""VGG-16 with the three heads of the paper's natural-image experiment (arXiv 2011.08891).

Convolutions of VGG-16 (configuration D of Simonyan & Zisserman, arXiv 1409.1556) up to and with
the last pool, a small convolutional head, and one linear layer, so that HiResCAM is exact.
The state dict has three parts: ``features.{0,2,5,...,28}.{weight,bias}``, named as torchvision
names them, ``conv.{0,2}.{weight,bias}`` and ``fc.{weight,bias}``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

#: Channels of the 3x3 convolutions between the pools.
_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_SHRINKS = 1 << len(_STAGES)


class VGG16(nn.Module):
    """VGG-16's convolutions, a head of convolutions, one fully connected layer.

    Parameters
    ----------
    n_labels
        Number of outputs.
    shape
        (slices, rows, columns) of the input; slices is 1, for an image.
    channels
        Of the head's convolutions, in order.
    kernel, stride
        Of each of them.
    """

    def __init__(
        self,
        n_labels: int,
        shape: Sequence[int | None] = (1, 320, 320),
        *,
        channels: Sequence[int],
        kernel: int = 1,
        stride: int = 1,
    ) -> None:
        super().__init__()
        rows, columns = (_cells(length, kernel, stride) for length in shape[-2:])
        self.features = nn.Sequential(*_features())
        layers: list[nn.Module] = []
        width = _STAGES[-1][-1]
        for channel in channels:
            layers += [nn.Conv2d(width, channel, kernel, stride=stride), nn.ReLU(inplace=True)]
            width = channel
        self.conv = nn.Sequential(*layers)
        self.fc = nn.Linear(width * rows * columns, n_labels)

    @property
    def default_target_layer(self) -> str:
        """Output of the last convolution of the head, which the linear layer reads."""
        return f"conv.{len(self.conv) - 1}"

    def forward(self, image: Tensor) -> Tensor:
        """Score images [B, 3, rows, columns]: logits [B, K]."""
        scores: Tensor = self.fc(self.conv(self.features(image)).flatten(1))
        return scores


class VGG16Conv256x64(VGG16):
    """Head of two 1x1 convolutions, 512 to 256 to 64 channels: 10x10 cells of a 320x320 image."""

    def __init__(self, n_labels: int, shape: Sequence[int | None] = (1, 320, 320)) -> None:
        super().__init__(n_labels, shape, channels=(256, 64))


class VGG16Conv64(VGG16):
    """Head of one 1x1 convolution, 512 to 64 channels: 10x10 cells of a 320x320 image."""

    def __init__(self, n_labels: int, shape: Sequence[int | None] = (1, 320, 320)) -> None:
        super().__init__(n_labels, shape, channels=(64,))


class VGG16Conv3x3(VGG16):
    """Head of one 3x3 convolution of stride 3, 512 channels: 3x3 cells of a 320x320 image."""

    def __init__(self, n_labels: int, shape: Sequence[int | None] = (1, 320, 320)) -> None:
        super().__init__(n_labels, shape, channels=(512,), kernel=3, stride=3)


def _features() -> list[nn.Module]:
    layers: list[nn.Module] = []
    width = 3
    for stage in _STAGES:
        for channel in stage:
            layers += [nn.Conv2d(width, channel, 3, padding=1), nn.ReLU(inplace=True)]
            width = channel
        layers.append(nn.MaxPool2d(2))
    return layers


def _cells(length: int | None, kernel: int, stride: int) -> int:
    if length is None:
        raise ValueError("VGG-16 with a linear layer needs images of a fixed size")
    cells = (length // _SHRINKS - kernel) // stride + 1
    if cells < 1:
        raise ValueError(f"images of {length} pixels are too small for this head")
    return cells
