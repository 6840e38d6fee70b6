"""What gradients do not show must not pass for exact: ways around the layer, gates, lengths."""

from __future__ import annotations

import pytest
import torch
from networks import classifier_of, plain_input, random_ct
from torch import Tensor, nn

from napari_hirescam.attention import examine_target_layer, explain, target_layers
from napari_hirescam.attention.result import GuaranteeState
from napari_hirescam.models import Classifier

SIZE = (8, 8, 8)


class Cells(nn.Module):
    """[1, 1, 8, 8, 8] -> 4 feature maps on 4x4x4 cells, and what a linear head needs."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv3d(1, 4, 3, stride=2, padding=1)
        self.fc = nn.Linear(4 * 64, 3)
        self.side = nn.Linear(512, 3)
        self.register_buffer("level", torch.zeros(3))

    def scores(self, x: Tensor) -> Tensor:
        return self.fc(self.cells(x / 1000).flatten(1))


class Gate(Cells):
    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x) + (x.mean() > -500).float()


class Detached(Cells):
    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x) + self.side(x.detach().flatten(1))


class SideWithoutGradient(Cells):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            side = self.side(x.flatten(1))
        return self.scores(x) + side


class AllWithoutGradient(Cells):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            cells, side = self.cells(x / 1000), self.side(x.flatten(1))
        return self.fc(cells.flatten(1)) + side


class IntoABuffer(Cells):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.level[1:].copy_(x.mean().expand(2))
        return self.scores(x) + self.level


class ScaledByANumber(Cells):
    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x) / (1 + float(x.std()))


class WritesIntoItsInput(Cells):
    def forward(self, x: Tensor) -> Tensor:
        x.div_(1000)
        return self.fc(self.cells(x).flatten(1)) + self.side(x.flatten(1))


AROUND = [
    Gate,
    Detached,
    SideWithoutGradient,
    AllWithoutGradient,
    IntoABuffer,
    ScaledByANumber,
    WritesIntoItsInput,
]


def classifier(network: nn.Module, size: tuple[int, int, int] = SIZE) -> Classifier:
    return classifier_of(network.eval(), "cells", plain_input(size, spacing_mm=(1, 1, 1)), 3)


@pytest.mark.parametrize("network", AROUND, ids=lambda kind: kind.__name__)
def test_what_the_image_adds_around_the_layer_unseen_by_gradients_is_no_bias(network) -> None:
    model = classifier(network())
    result = explain(random_ct(SIZE), model)
    (row,) = (row for row in target_layers(model) if row.name == "cells")
    assert not result.guarantee.holds
    assert "around cells" in result.guarantee.reason or "cannot be" in result.guarantee.reason
    assert not row.guarantee.holds
    assert not examine_target_layer(model).guarantee.holds


class ThroughTheLayerOnly(Cells):
    """All manners of the above, but nothing past the layer."""

    def forward(self, x: Tensor) -> Tensor:
        x.div_(1000)
        with torch.no_grad():
            x = torch.where(x > 0, x, x / 2).detach()
        cells = self.cells(x)
        cells += 1
        return self.fc(cells.flatten(1))


class ScaledByANumberAhead(Cells):
    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x / (1 + float(x.abs().max())))


@pytest.mark.parametrize("network", [ThroughTheLayerOnly, ScaledByANumberAhead])
def test_what_is_unseen_ahead_of_the_layer_costs_nothing(network) -> None:
    model = classifier(network())
    result = explain(random_ct(SIZE), model)
    (row,) = (row for row in target_layers(model) if row.name == "cells")
    assert result.guarantee.state is row.guarantee.state is GuaranteeState.EXACT
    assert all(result.verified(label) for label in result.labels)


class GateBehind(Cells):
    def forward(self, x: Tensor) -> Tensor:
        cells = self.cells(x / 1000)
        with torch.no_grad():
            gate = 1 + (cells.abs().mean() > 1e6).float()  # alike for all that is tried
        return self.fc(cells.flatten(1)) * gate


class DividedByALength(Cells):
    def forward(self, x: Tensor) -> Tensor:
        cells = self.cells(x / 1000)
        return self.fc(cells.flatten(1)) / len(torch.unique(cells))


@pytest.mark.parametrize("network", [GateBehind, DividedByALength])
def test_a_head_that_hides_from_gradients_that_it_is_not_linear_is_found(network) -> None:
    model = classifier(network())
    result = explain(random_ct(SIZE), model)
    (row,) = (row for row in target_layers(model) if row.name == "cells")
    assert not result.guarantee.holds
    assert not row.guarantee.holds


class PoolsAPart(nn.Module):
    """One window of 3 over 4 cells: the last cell of each axis is never read."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.cells = nn.Conv3d(1, 4, 3, stride=2, padding=1)
        self.pool = nn.AvgPool3d(kernel)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.cells(x / 1000)).flatten(1))


class PooledSlices(nn.Module):
    """Slices as batch, each pooled; brought together by weights of their own, or by the mean."""

    def __init__(self, *, weighted: bool) -> None:
        super().__init__()
        self.cells = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)
        self.weights = nn.Linear(8, 1) if weighted else None

    def forward(self, x: Tensor) -> Tensor:
        by_slice = self.fc(self.cells(x[0, 0][:, None] / 1000).mean((2, 3)))
        if self.weights is None:
            return by_slice.mean(0, keepdim=True)
        return self.weights(by_slice.T).T


@pytest.mark.parametrize(
    ("network", "same"),
    [
        (PoolsAPart(3), False),
        (PoolsAPart(4), True),
        (PooledSlices(weighted=True), False),
        (PooledSlices(weighted=False), True),
    ],
    ids=["a part", "all", "weighted slices", "mean of slices"],
)
def test_grad_cam_is_the_same_picture_only_where_every_cell_weighs_the_same(network, same) -> None:
    model = classifier(network)
    result = explain(random_ct(SIZE), model)
    (row,) = (row for row in target_layers(model) if row.name == "cells")
    expected = GuaranteeState.IDENTICAL if same else GuaranteeState.EXACT
    assert result.guarantee.state is row.guarantee.state is expected
    assert result.verified("label 0")
    assert result.verified("label 0", "gradcam") == same


class OneFeatureByPlace(nn.Module):
    """All features are pooled but one, which has a weight for each cell."""

    def __init__(self, feature: int) -> None:
        super().__init__()
        self.cells = nn.Conv3d(1, 100, 3, padding=1, stride=2)
        self.fc, self.by_place, self.feature = nn.Linear(100, 3), nn.Linear(64, 3), feature

    def forward(self, x: Tensor) -> Tensor:
        cells = self.cells(x / 1000)
        return self.fc(cells.mean((2, 3, 4))) + self.by_place(cells[:, self.feature].flatten(1))


@pytest.mark.parametrize("feature", [0, 1, 98])
def test_one_feature_with_weights_of_its_own_per_place_makes_two_pictures(feature) -> None:
    result = explain(random_ct(SIZE), classifier(OneFeatureByPlace(feature)))
    assert result.guarantee.state is GuaranteeState.EXACT


class CastsByItself(Cells):
    """Switches autocast on for itself, as networks trained in mixed precision do."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            scores = self.scores(x)
        return scores.float()


def test_a_network_that_switches_autocast_on_by_itself_is_explained() -> None:
    model = classifier(CastsByItself())
    result = explain(random_ct(SIZE), model)
    plain = model.logits(model.prepare(random_ct(SIZE))).numpy()
    assert result.logits == pytest.approx(plain)
    assert result.maps["hirescam"].any()
