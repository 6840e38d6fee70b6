"""A small 3-D network that tells lung nodules in patches of chest CT, of the LUNA16 kind.

The layout of a published network: batch norm on the input, four blocks of two 3x3x3
convolutions and a pool, one linear layer, so that HiResCAM is exact at ``block4``. State dict:
``tail_batchnorm.*``, ``block{1..4}.conv{1,2}.{weight,bias}``, ``head_linear.{weight,bias}``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

_WIDTHS = (8, 16, 32, 64)


class NoduleBlock(nn.Module):
    """Two convolutions with ReLU, then a pool that halves each axis."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels_in, channels, 3, padding=1)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.relu2 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(2)

    def forward(self, given: Tensor) -> Tensor:
        """Map [B, C, d, h, w] to [B, channels, d/2, h/2, w/2]."""
        features = self.relu2(self.conv2(self.relu1(self.conv1(given))))
        pooled: Tensor = self.maxpool(features)
        return pooled


class NoduleNet(nn.Module):
    """Scores a patch.

    Parameters
    ----------
    n_labels
        Number of outputs.
    shape
        (slices, rows, columns) of the patch.
    """

    default_target_layer = "block4"

    def __init__(self, n_labels: int = 2, shape: Sequence[int | None] = (32, 48, 48)) -> None:
        super().__init__()
        cells = 1
        for length in shape:
            if length is None or length < 2 ** len(_WIDTHS):
                raise ValueError(f"a patch of {tuple(shape)} voxels is too small or of no size")
            cells *= length // 2 ** len(_WIDTHS)
        self.tail_batchnorm = nn.BatchNorm3d(1)
        self.block1 = NoduleBlock(1, _WIDTHS[0])
        self.block2 = NoduleBlock(_WIDTHS[0], _WIDTHS[1])
        self.block3 = NoduleBlock(_WIDTHS[1], _WIDTHS[2])
        self.block4 = NoduleBlock(_WIDTHS[2], _WIDTHS[3])
        self.head_linear = nn.Linear(_WIDTHS[3] * cells, n_labels)

    def forward(self, patch: Tensor) -> Tensor:
        """Score patches [B, 1, d, h, w] of HU: logits [B, K]."""
        features = self.block2(self.block1(self.tail_batchnorm(patch)))
        scores: Tensor = self.head_linear(self.block4(self.block3(features)).flatten(1))
        return scores
