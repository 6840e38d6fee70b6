"""Networks the AxialNet papers compare with that share its trunk: BodyCAM and two MIL baselines.

Draelos & Carin, arXiv 2111.12215; facts of the layout and the state-dict keys from the author's
public code.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from napari_hirescam.models.axialnet import AxialTrunkNetwork

_HIDDEN = 64


class BodyCAM(AxialTrunkNetwork):
    """The CAM architecture: the mean over all cells of all slices, then one linear layer.

    Its HiResCAM, Grad-CAM and CAM are one and the same.

    Parameters
    ----------
    n_labels
        Width of the output.
    **trunk
        See :class:`~napari_hirescam.models.axialnet.AxialTrunkNetwork`.
    """

    def __init__(self, n_labels: int, **trunk: Any) -> None:
        super().__init__(**trunk)
        self.fc = nn.Linear(self.trunk_width, n_labels)

    def head(self, activation: Tensor) -> Tensor:
        """Score the mean of the feature maps [S, F, h, w]."""
        scores: Tensor = self.fc(activation.mean(dim=(0, 2, 3))[None])
        return scores


class AvgPoolMIL(AxialTrunkNetwork):
    """Two linear layers score each cell; the CT's score is the mean over cells and slices.

    Parameters
    ----------
    n_labels
        Width of the output.
    **trunk
        See :class:`~napari_hirescam.models.axialnet.AxialTrunkNetwork`.
    """

    def __init__(self, n_labels: int, **trunk: Any) -> None:
        super().__init__(**trunk)
        self.mlp = _two_layers(self.trunk_width, n_labels)

    def head(self, activation: Tensor) -> Tensor:
        """Score each cell of [S, F, h, w], and the CT by the mean."""
        per_cell: Tensor = self.mlp(activation.movedim(1, -1))
        return per_cell.mean(dim=(0, 1, 2))[None]


class DeepSetsMIL(AxialTrunkNetwork):
    """Cells are transformed one by one, averaged in each slice, and the average is scored.

    Parameters
    ----------
    n_labels
        Width of the output.
    **trunk
        See :class:`~napari_hirescam.models.axialnet.AxialTrunkNetwork`.
    """

    def __init__(self, n_labels: int, **trunk: Any) -> None:
        super().__init__(**trunk)
        width = self.trunk_width
        self.mlp1 = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.mlp2 = _two_layers(width, n_labels)

    def head(self, activation: Tensor) -> Tensor:
        """Score each slice of [S, F, h, w] by its averaged cells, and the CT by the mean."""
        per_slice: Tensor = self.mlp2(self.mlp1(activation.movedim(1, -1)).mean(dim=(1, 2)))
        return per_slice.mean(dim=0, keepdim=True)


def _two_layers(width: int, n_labels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, n_labels))
