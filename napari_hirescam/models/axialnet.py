"""AxialNet and its variants: a 2-D network over axial slices, one linear layer, a pool over slices.

Draelos & Carin, arXiv 2111.12215 and 2011.08891; facts of the layout from the author's public
code. The author's state-dict keys (``features.*``, ``conv2d.*``, ``fc.*``) load unchanged.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from napari_hirescam.models.borrow import SplitNetwork

# Modules of MONAI's ResNet ahead of its stages: convolution, batch norm, ReLU, max pool.
_STEM_MODULES = 4
_RESNET18_CHANNELS = (64, 128, 256, 512)
#: Images the paper's 405 slices make, and cells along rows and columns of ResNet-18's last
#: stage at 420 x 420.
PAPER_IMAGES = 135
RESNET_GRID = 14


def resnet18_trunk(
    channels: Sequence[int] = _RESNET18_CHANNELS, stages: int = 4, *, stem_pool: bool = True
) -> nn.Sequential:
    """Make ResNet-18 up to its last stage, for images of three channels.

    Parameters
    ----------
    channels
        Widths of the four stages.
    stages
        How many of them are used.
    stem_pool
        Whether the max pool ahead of the stages is kept.
    """
    # torchvision would swap a CPU build of torch for gigabytes of CUDA; MONAI's ResNet-18 with
    # these settings has the same layers in the same order, hence the same state-dict keys.
    from monai.networks.nets.resnet import ResNet

    network = ResNet(
        "basic",
        [2, 2, 2, 2],
        list(channels),
        spatial_dims=2,
        n_input_channels=3,
        conv1_t_size=7,
        conv1_t_stride=2,
        no_max_pool=False,
        shortcut_type="B",
        bias_downsample=False,
    )
    layers = list(network.children())[: _STEM_MODULES + stages]
    if not stem_pool:
        layers[_STEM_MODULES - 1] = nn.Identity()
    return nn.Sequential(*layers)


class AxialTrunkNetwork(SplitNetwork, nn.Module):
    """What the family shares: a trunk that sees one axial image at a time, and a head.

    Parameters
    ----------
    trunk_channels, trunk_stages, stem_pool
        Widths of the four ResNet-18 stages, how many of them are used, and whether the stem's
        max pool is kept. The defaults are the paper's; smaller ones make a small model.
    conv_channels
        Widths of the custom 3 x 3 convolutions (no padding) that follow; none leaves them out.
    last_relu
        Whether a ReLU follows the last of them too.

    Notes
    -----
    Input [1, S, 3, H, W]; output logits [1, n_labels].
    """

    def __init__(
        self,
        *,
        trunk_channels: Sequence[int] = _RESNET18_CHANNELS,
        trunk_stages: int = 4,
        stem_pool: bool = True,
        conv_channels: Sequence[int] = (64, 32, 16, 16),
        last_relu: bool = True,
    ) -> None:
        super().__init__()
        self.features = resnet18_trunk(trunk_channels, trunk_stages, stem_pool=stem_pool)
        layers: list[nn.Module] = []
        width = trunk_channels[trunk_stages - 1]
        for next_width in conv_channels:
            layers += [nn.Conv2d(width, next_width, kernel_size=3), nn.ReLU()]
            width = next_width
        self.conv2d = nn.Sequential(*(layers if last_relu else layers[:-1]))
        self.trunk_width = width

    def trunk(self, images: Tensor) -> Tensor:
        """Map axial images [S, 3, H, W] to their feature maps [S, F, h, w]."""
        activation: Tensor = self.conv2d(self.features(images))
        return activation

    @abstractmethod
    def head(self, activation: Tensor) -> Tensor:
        """Map the feature maps of all slices [S, F, h, w] to logits [1, n_labels]."""

    @property
    def last_trunk_layer(self) -> str:
        """The layer after which the slices meet."""
        if len(self.conv2d):
            return f"conv2d.{len(self.conv2d) - 1}"
        return f"features.{len(self.features) - 1}"

    @property
    def default_target_layer(self) -> str:
        """The layer to explain: here what the head reads."""
        return self.last_trunk_layer

    def halves(
        self, target_layer: str
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None:
        """Offer the trunk and the head if the network can be cut at `target_layer`."""
        if target_layer == self.last_trunk_layer:
            return self.trunk, self.head
        return None

    def forward(self, ct: Tensor) -> Tensor:
        """Score one CT [1, S, 3, H, W]; returns logits [1, n_labels]."""
        if ct.ndim != 5 or ct.shape[0] != 1 or ct.shape[2] != 3:
            name = type(self).__name__
            raise ValueError(f"{name} takes one CT as [1, S, 3, H, W], not {tuple(ct.shape)}")
        return self.head(self.trunk(ct[0]))


class AxialNet(AxialTrunkNetwork):
    """Multiple-instance classifier: each axial image is an instance, the CT is the bag.

    Parameters
    ----------
    n_labels
        Width of the output.
    grid
        Cells along rows and columns that leave the custom convolutions: the kernel of the one
        fully connected layer. 6 for the paper's 420 x 420 input.
    trunk_channels, trunk_stages, stem_pool, conv_channels
        See :class:`AxialTrunkNetwork`.

    Notes
    -----
    Any number of slices S is accepted.
    """

    def __init__(
        self,
        n_labels: int,
        grid: int = 6,
        *,
        trunk_channels: Sequence[int] = _RESNET18_CHANNELS,
        trunk_stages: int = 4,
        stem_pool: bool = True,
        conv_channels: Sequence[int] = (64, 32, 16, 16),
        last_relu: bool = True,
    ) -> None:
        super().__init__(
            trunk_channels=trunk_channels,
            trunk_stages=trunk_stages,
            stem_pool=stem_pool,
            conv_channels=conv_channels,
            last_relu=last_relu,
        )
        self.fc = nn.Conv2d(self.trunk_width, n_labels, kernel_size=grid, stride=grid)

    def head(self, activation: Tensor) -> Tensor:
        """Score each slice by the one linear layer, and the CT by the mean over slices."""
        per_slice: Tensor = self.fc(activation)
        return self.over_slices(per_slice.flatten(1))

    def over_slices(self, per_slice: Tensor) -> Tensor:
        """Turn the scores of slices [S, n_labels] into those of the CT [1, n_labels]."""
        return per_slice.mean(dim=0, keepdim=True)


class AxialNetMaxPool(AxialNet):
    """Ablation: the highest slice scores the CT. Only that slice has a gradient."""

    def over_slices(self, per_slice: Tensor) -> Tensor:
        """Take the maximum over slices."""
        return per_slice.amax(dim=0, keepdim=True)


class AxialNetSigmoid(AxialNet):
    """Ablation: each slice's sigmoid, then the mean. The output is a probability, not a logit."""

    def over_slices(self, per_slice: Tensor) -> Tensor:
        """Take the mean over slices of their probabilities."""
        return torch.sigmoid(per_slice).mean(dim=0, keepdim=True)


class AxialNetNoCustomConv(AxialNet):
    """Ablation: the linear layer reads ResNet-18's last stage itself."""

    def __init__(
        self,
        n_labels: int,
        grid: int = RESNET_GRID,
        *,
        trunk_channels: Sequence[int] = _RESNET18_CHANNELS,
        trunk_stages: int = 4,
        stem_pool: bool = True,
    ) -> None:
        super().__init__(
            n_labels,
            grid,
            trunk_channels=trunk_channels,
            trunk_stages=trunk_stages,
            stem_pool=stem_pool,
            conv_channels=(),
        )


class AxialNetBigger(AxialNet):
    """Later variant: two wide convolutions without a ReLU after the second, a grid of 10."""

    def __init__(
        self,
        n_labels: int,
        grid: int = 10,
        *,
        trunk_channels: Sequence[int] = _RESNET18_CHANNELS,
        trunk_stages: int = 4,
        stem_pool: bool = True,
        conv_channels: Sequence[int] = (512, 512),
    ) -> None:
        super().__init__(
            n_labels,
            grid,
            trunk_channels=trunk_channels,
            trunk_stages=trunk_stages,
            stem_pool=stem_pool,
            conv_channels=conv_channels,
            last_relu=False,
        )


class AxialNet3DConv(AxialTrunkNetwork):
    """Variant whose one linear layer has weights for each slice too, so that S is fixed.

    Parameters
    ----------
    n_labels
        Width of the output.
    slices
        Images S of a CT.
    grid
        Cells along rows and columns that leave the custom convolutions.
    trunk_channels, trunk_stages, stem_pool, conv_channels
        See :class:`AxialTrunkNetwork`.
    """

    def __init__(
        self,
        n_labels: int,
        slices: int = PAPER_IMAGES,
        grid: int = 6,
        *,
        trunk_channels: Sequence[int] = _RESNET18_CHANNELS,
        trunk_stages: int = 4,
        stem_pool: bool = True,
        conv_channels: Sequence[int] = (64, 32, 16, 16),
    ) -> None:
        super().__init__(
            trunk_channels=trunk_channels,
            trunk_stages=trunk_stages,
            stem_pool=stem_pool,
            conv_channels=conv_channels,
        )
        kernel = (slices, grid, grid)
        self.fc = nn.Conv3d(self.trunk_width, n_labels, kernel_size=kernel, stride=kernel)

    def head(self, activation: Tensor) -> Tensor:
        """Score the CT [S, F, h, w] by the one linear layer over all slices."""
        scores: Tensor = self.fc(activation.transpose(0, 1)[None])
        return scores.flatten(1)
