"""AxialNet: a 2-D network over axial slices, one linear layer, the mean over slices.

Draelos & Carin, arXiv 2111.12215 and 2011.08891; facts of the layout from the author's public
code. The author's state-dict keys (``features.*``, ``conv2d.*``, ``fc.*``) load unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from napari_hirescam.models.borrow import SplitNetwork

# Modules of MONAI's ResNet ahead of its stages: convolution, batch norm, ReLU, max pool.
_STEM_MODULES = 4


def _resnet18_trunk(channels: Sequence[int], stages: int, *, stem_pool: bool) -> nn.Sequential:
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


class AxialNet(SplitNetwork, nn.Module):
    """Multiple-instance classifier: each axial image is an instance, the CT is the bag.

    Parameters
    ----------
    n_labels
        Width of the output.
    grid
        Cells along rows and columns that leave the custom convolutions: the kernel of the one
        fully connected layer. 6 for the paper's 420 x 420 input.
    trunk_channels, trunk_stages, stem_pool
        Widths of the four ResNet-18 stages, how many of them are used, and whether the stem's
        max pool is kept. The defaults are the paper's; smaller ones make a small model.
    conv_channels
        Widths of the custom 3 x 3 convolutions (no padding).

    Notes
    -----
    Input [1, S, 3, H, W]; output logits [1, n_labels]. Any number of slices S is accepted.
    """

    def __init__(
        self,
        n_labels: int,
        grid: int = 6,
        *,
        trunk_channels: Sequence[int] = (64, 128, 256, 512),
        trunk_stages: int = 4,
        stem_pool: bool = True,
        conv_channels: Sequence[int] = (64, 32, 16, 16),
    ) -> None:
        super().__init__()
        self.features = _resnet18_trunk(trunk_channels, trunk_stages, stem_pool=stem_pool)
        layers: list[nn.Module] = []
        width = trunk_channels[trunk_stages - 1]
        for next_width in conv_channels:
            layers += [nn.Conv2d(width, next_width, kernel_size=3), nn.ReLU()]
            width = next_width
        self.conv2d = nn.Sequential(*layers)
        self.fc = nn.Conv2d(width, n_labels, kernel_size=grid, stride=grid)

    def trunk(self, images: Tensor) -> Tensor:
        """Map axial images [S, 3, H, W] to their feature maps [S, F, h, w]."""
        activation: Tensor = self.conv2d(self.features(images))
        return activation

    def head(self, activation: Tensor) -> Tensor:
        """Map the feature maps of all slices [S, F, h, w] to logits [1, n_labels].

        The one linear layer scores each slice, the mean over slices scores the CT.
        """
        per_slice: Tensor = self.fc(activation)
        return per_slice.flatten(1).mean(dim=0, keepdim=True)

    def halves(
        self, target_layer: str
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None:
        """Offer the trunk and the head if the network can be cut at `target_layer`."""
        if target_layer == self.default_target_layer:
            return self.trunk, self.head
        return None

    @property
    def default_target_layer(self) -> str:
        """The last ReLU of the custom convolutions: what the linear layer reads."""
        return f"conv2d.{len(self.conv2d) - 1}"

    def forward(self, ct: Tensor) -> Tensor:
        """Score one CT [1, S, 3, H, W]; returns logits [1, n_labels]."""
        if ct.ndim != 5 or ct.shape[0] != 1 or ct.shape[2] != 3:
            raise ValueError(f"AxialNet takes one CT as [1, S, 3, H, W], not {tuple(ct.shape)}")
        return self.head(self.trunk(ct[0]))
