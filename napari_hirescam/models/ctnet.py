"""CT-Net and the 3-D networks it is compared with: convolutions, then three linear layers.

Draelos et al., arXiv 2002.04752, and the comparisons of arXiv 2011.08891; facts of the layout
and the state-dict keys from the author's public code. With three linear layers and ReLUs between
them none of these has HiResCAM's guarantee.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from napari_hirescam.models.axialnet import PAPER_IMAGES, RESNET_GRID, AxialTrunkNetwork

#: (kernel, stride) along depth, rows, columns of the three reducing convolutions.
_REDUCING = (((3, 3, 3), (3, 1, 1)), ((3, 3, 3), (3, 1, 1)), ((3, 2, 2), (3, 2, 2)))
_REDUCING_CHANNELS = (64, 32, 16)
#: The same of ThreeDConv, and its widths.
_THIRDS = (((3, 3, 3), (3, 3, 3)),) * 4 + (((1, 1, 1), (1, 1, 1)),) * 2
_THIRDS_CHANNELS = (64, 128, 256, 512, 128, 64)
_Sizes = tuple[int, int, int]
_Steps = Sequence[tuple[_Sizes, _Sizes]]


class CTNet(AxialTrunkNetwork):
    """ResNet-18 per image; its slices then are the *channels* of 3-D convolutions over features.

    Parameters
    ----------
    n_labels
        Width of the output.
    slices
        Images S of a CT: 134 in the CT-Net paper, 135 in the AxialNet papers.
    grid
        Cells along rows and columns of the trunk's last stage.
    dropout
        Used in training only.
    **trunk
        See :class:`~napari_hirescam.models.axialnet.AxialTrunkNetwork`.

    Notes
    -----
    The 3-D convolutions mix the slices, so no layer after the trunk has places in the CT.
    """

    def __init__(
        self,
        n_labels: int,
        slices: int = PAPER_IMAGES,
        grid: int = RESNET_GRID,
        *,
        dropout: float = 0.5,
        **trunk: Any,
    ) -> None:
        super().__init__(conv_channels=(), **trunk)
        self.reducingconvs = _convolutions(slices, _REDUCING, _REDUCING_CHANNELS)
        cells = _cells((self.trunk_width, grid, grid), _REDUCING)
        self.classifier = _three_linear(_REDUCING_CHANNELS[-1] * cells, n_labels, dropout)

    def head(self, activation: Tensor) -> Tensor:
        """Score the feature maps of all slices [S, F, h, w]."""
        scores: Tensor = self.classifier(self.reducingconvs(activation[None]).flatten(1))
        return scores


class BodyConv(AxialTrunkNetwork):
    """ResNet-18 per image, then 3-D convolutions over slices, rows and columns.

    Parameters
    ----------
    n_labels, slices, grid, dropout, **trunk
        As of :class:`CTNet`.
    """

    def __init__(
        self,
        n_labels: int,
        slices: int = PAPER_IMAGES,
        grid: int = RESNET_GRID,
        *,
        dropout: float = 0.5,
        **trunk: Any,
    ) -> None:
        super().__init__(conv_channels=(), **trunk)
        self.reducingconvs = _convolutions(self.trunk_width, _REDUCING, _REDUCING_CHANNELS)
        cells = _cells((slices, grid, grid), _REDUCING)
        self.classifier = _three_linear(_REDUCING_CHANNELS[-1] * cells, n_labels, dropout)

    @property
    def default_target_layer(self) -> str:
        """The last ReLU of the 3-D convolutions, on a grid of [5, 5, 5] in the paper."""
        return f"reducingconvs.{len(self.reducingconvs) - 1}"

    def head(self, activation: Tensor) -> Tensor:
        """Score the feature maps of all slices [S, F, h, w]."""
        volume = activation.transpose(0, 1)[None]
        scores: Tensor = self.classifier(self.reducingconvs(volume).flatten(1))
        return scores


class ThreeDConv(nn.Module):
    """3-D convolutions from the voxels on, without a pretrained trunk.

    Parameters
    ----------
    n_labels
        Width of the output.
    shape
        Voxels of the input along depth, rows and columns.
    dropout
        Used in training only.

    Notes
    -----
    Input [1, 1, d, h, w] (layout 'volume'); output logits [1, n_labels].
    """

    def __init__(
        self, n_labels: int, shape: Sequence[int] = (405, 420, 420), *, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.reducingconvs = _convolutions(1, _THIRDS, _THIRDS_CHANNELS)
        cells = _cells(shape, _THIRDS)
        self.classifier = _three_linear(_THIRDS_CHANNELS[-1] * cells, n_labels, dropout)

    @property
    def default_target_layer(self) -> str:
        """The last ReLU of the convolutions."""
        return f"reducingconvs.{len(self.reducingconvs) - 1}"

    def forward(self, ct: Tensor) -> Tensor:
        """Score one CT [1, 1, d, h, w]; returns logits [1, n_labels]."""
        scores: Tensor = self.classifier(self.reducingconvs(ct).flatten(1))
        return scores


def _convolutions(width: int, steps: _Steps, channels: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for (kernel, stride), next_width in zip(steps, channels, strict=True):
        layers += [nn.Conv3d(width, next_width, kernel, stride), nn.ReLU()]
        width = next_width
    return nn.Sequential(*layers)


def _cells(shape: Sequence[int], steps: _Steps) -> int:
    """Count the cells that unpadded convolutions leave of `shape`."""
    sizes = list(shape)
    for kernel, stride in steps:
        sizes = [(n - k) // s + 1 for n, k, s in zip(sizes, kernel, stride, strict=True)]
    if min(sizes) < 1:
        raise ValueError(f"nothing is left of {list(shape)} after the convolutions")
    return math.prod(sizes)


def _three_linear(width: int, n_labels: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, 128),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(128, 96),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(96, n_labels),
    )
