"""Where a cell lies: the arithmetic of receptive fields, checked by known and measured places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import ConvThenLinear, classifier_of, plain_input, random_ct
from torch import nn

from napari_hirescam.attention import examine_target_layer, explain
from napari_hirescam.attention.placement import (
    PlacementUnknownError,
    cells_by_receptive_field,
    cells_by_stretch,
    receptive_field,
)
from napari_hirescam.errors import AttributionError
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.dry_run import dry_run


def test_axialnets_cells_lie_32_pixels_apart_from_128_on() -> None:
    """Four unpadded convolutions cut the border: cell i is centred on pixel 32 (i + 4)."""
    run = dry_run(AxialNet(3).eval(), (1, 4, 3, 420, 420), "conv2d.7")
    slices, rows, columns = receptive_field(run).axes
    assert run.activation_shape == (4, 16, 6, 6)
    assert (slices.stride, slices.centre, slices.size) == (1, 0, 1)
    for axis in (rows, columns):
        assert [axis.centre + axis.stride * i for i in range(6)] == [
            128, 160, 192, 224, 256, 288,
        ]  # fmt: skip
        assert axis.size > 420


def test_the_stretched_map_tiles_the_input_as_in_the_paper() -> None:
    affine = cells_by_stretch((135, 6, 6), (135, 420, 420))
    assert [affine[1, 1] * i + affine[1, 3] for i in (0, 5)] == [34.5, 384.5]
    assert affine[0].tolist() == [1, 0, 0, 0]


def test_padded_residual_networks_centre_cell_k_on_stride_times_k() -> None:
    from monai.networks.nets import resnet18

    network = resnet18(spatial_dims=3, n_input_channels=1, num_classes=2, conv1_t_stride=2).eval()
    run = dry_run(network, (1, 1, 64, 96, 128), "layer4")
    assert [(r.stride, r.centre) for r in receptive_field(run).axes] == [(32, 0)] * 3


def test_even_pools_shift_the_centre_by_half_a_voxel() -> None:
    run = dry_run(ConvThenLinear((8, 8, 8)).eval(), (1, 1, 8, 8, 8), "pool")
    assert [(r.stride, r.centre, r.size) for r in receptive_field(run).axes] == [(2, 0.5, 6)] * 3


@pytest.mark.parametrize("layer", ["1", "3", "5", "7"])
def test_the_arithmetic_is_what_gradients_measure(layer) -> None:
    """The voxels with a gradient for a cell are exactly the receptive field."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(1, 2, (3, 5, 1), stride=(2, 1, 1), padding=(1, 0, 0)),
        nn.Sigmoid(),  # a ReLU that is off would hide voxels from the measurement
        nn.Conv3d(2, 2, 3, dilation=(1, 2, 1), padding=(0, 2, 1)),
        nn.Sigmoid(),
        nn.AvgPool3d(2, stride=(1, 2, 2)),
        nn.Identity(),
        nn.Conv3d(2, 2, (1, 3, 2), stride=(1, 1, 2)),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.LazyLinear(2),
    ).eval()
    shape = (14, 36, 30)
    network(torch.zeros(1, 1, *shape))
    reaches = receptive_field(dry_run(network, (1, 1, *shape), layer)).axes
    image = torch.randn(1, 1, *shape, requires_grad=True)
    activation = network[: int(layer) + 1](image)
    cell = tuple(n // 2 for n in activation.shape[2:])
    total = sum(
        torch.autograd.grad(activation[(0, f, *cell)], image, retain_graph=True)[0].abs()
        for f in range(2)
    )
    for axis, reach in enumerate(reaches):
        other = tuple(a for a in range(5) if a != axis + 2)
        seen = np.flatnonzero(total.sum(other).numpy())
        low = reach.stride * cell[axis] + reach.low
        assert (seen[0], seen[-1]) == (low, low + reach.size - 1)


def test_a_network_that_reads_one_block_is_shown_at_that_block() -> None:
    """An untrained head that weighs one cell only: the map's peak is that cell's place in mm."""
    network = nn.Sequential(
        nn.Conv3d(1, 1, 3, stride=4, padding=1, bias=False), nn.Flatten(), nn.LazyLinear(1)
    )
    network(torch.zeros(1, 1, 32, 40, 48))
    nn.init.ones_(network[0].weight)
    nn.init.zeros_(network[2].weight)
    cell = (2, 3, 7)
    with torch.no_grad():
        network[2].weight[0, np.ravel_multi_index(cell, (8, 10, 12))] = -1.0
    ct = random_ct((32, 40, 48), (2.5, 0.7, 0.9))
    ct.voxels[8, 12, 28] = -3000
    classifier = classifier_of(network, "0", plain_input((32, 40, 48)), 1)
    result = explain(ct, classifier)
    attention = result.map("label 0")
    peak = np.unravel_index(np.abs(attention.values).argmax(), attention.values.shape)
    assert peak == cell
    assert attention.grid.to_world(peak) == pytest.approx((8 * 2.5, 12 * 0.7, 28 * 0.9))
    assert result.receptive_field_mm == pytest.approx((7.5, 2.1, 2.7))
    stretched = result.map("label 0", placement="stretch")
    # The stretch would draw it 1.5 voxels off at stride 4, (stride - 1) / 2.
    assert stretched.grid.to_world(peak) == pytest.approx((9.5 * 2.5, 13.5 * 0.7, 29.5 * 0.9))


def test_unknown_operations_are_said_and_the_map_is_stretched() -> None:
    class Folding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.Conv3d(1, 2, 1)
            self.fc = nn.Linear(128, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.cells(torch.roll(x, 1, 2)).flatten(1))

    with pytest.raises(PlacementUnknownError, match="Roll"):
        receptive_field(dry_run(Folding().eval(), (1, 1, 4, 4, 4), "cells"))
    classifier = classifier_of(Folding(), "cells", plain_input((4, 4, 4)), 1)
    assert "Roll" in examine_target_layer(classifier).placement_note


def test_a_shift_that_arithmetic_cannot_follow_is_measured() -> None:
    """Rolling by two slices moves every cell by two slices; gradients see it."""

    class Shifting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.Conv3d(1, 2, 2, stride=2)
            self.fc = nn.Linear(2 * 6 * 5 * 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.cells(torch.roll(x, -2, 2)).flatten(1))

    shape = (12, 10, 8)
    classifier = classifier_of(Shifting(), "cells", plain_input(shape), 1)
    result = explain(random_ct(shape, (3.0, 1.0, 1.0)), classifier)
    assert result.default_placement == "receptive_field"
    assert "measured" in result.placement_note
    assert "Roll" in result.placement_note
    affine = result.map("label 0").affine
    assert affine.diagonal() == pytest.approx([6.0, 2.0, 2.0, 1.0], rel=0.1)
    # Cell 0 reads slices 2 and 3 of 3 mm, unequally: its place is known to half a voxel.
    assert affine[:3, 3] == pytest.approx([3 * 2.5, 0.5, 0.5], abs=1.5)
    stretched = result.map("label 0", placement="stretch").affine
    assert stretched[0, 3] == pytest.approx(3 * 0.5)


def test_what_can_neither_be_followed_nor_measured_is_stretched() -> None:
    class Everywhere(nn.Module):
        """Each cell hears the whole image: it has no place."""

        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(64, 64)
            self.cells = nn.Conv3d(1, 1, 1)
            self.fc = nn.Linear(64, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.cells(self.mix(x.flatten(1)).reshape(x.shape)).flatten(1))

    torch.manual_seed(0)
    classifier = classifier_of(Everywhere(), "cells", plain_input((4, 4, 4)), 1)
    result = explain(random_ct((4, 4, 4)), classifier)
    assert result.default_placement == "stretch"
    assert "regular grid" in result.placement_note
    assert "stretched over the input" in result.placement_note


def test_cells_by_receptive_field_uses_stride_and_centre() -> None:
    run = dry_run(ConvThenLinear((8, 8, 8)).eval(), (1, 1, 8, 8, 8), "pool")
    affine = cells_by_receptive_field(receptive_field(run).axes)
    assert affine.diagonal().tolist() == [2, 2, 2, 1]
    assert affine[:3, 3].tolist() == [0.5, 0.5, 0.5]


class Folded(nn.Module):
    """Reads the slices as channels, or one slice only: no cell belongs to one slice."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.cells = nn.Conv2d(24 if way == "channels" else 1, 2, 1)
        self.fc = nn.Linear(2 * 24 * 24, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = x[:, 0] if self.way == "channels" else x[:, :, 12]
        return self.fc(self.cells(image).flatten(1))


def test_slices_that_went_in_as_feature_maps_share_one_cell() -> None:
    run = dry_run(Folded("channels").eval(), (1, 1, 24, 24, 24), "cells")
    slices, rows, _ = receptive_field(run).axes
    assert (slices.stride, slices.centre, slices.size) == (24, 11.5, 24)
    assert (rows.stride, rows.centre) == (1, 0)


def test_the_one_slice_that_a_network_reads_is_where_its_map_lies() -> None:
    run = dry_run(Folded("one slice").eval(), (1, 1, 24, 24, 24), "cells")
    with pytest.raises(PlacementUnknownError, match="one slice of several"):
        receptive_field(run)
    classifier = classifier_of(Folded("one slice"), "cells", plain_input((24, 24, 24)), 1)
    result = explain(random_ct((24, 24, 24), (2.0, 1.0, 1.0)), classifier)
    assert result.map("label 0").grid.to_world((0, 0, 0))[0] == pytest.approx(12 * 2.0)


class FeaturesLast(nn.Module):
    """A block that puts its features last, normalises them, and puts them back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(4)
        self.mix = nn.Linear(4, 4)
        self.aside = nn.Identity()
        self.back = nn.Identity()
        self.fc = nn.Linear(4 * 3 * 4 * 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.aside(self.norm(self.conv(x).permute(0, 2, 3, 4, 1)))
        return self.fc(self.back(x.permute(0, 4, 1, 2, 3)).flatten(1))


def test_features_that_were_last_for_a_while_move_nothing() -> None:
    run = dry_run(FeaturesLast().eval(), (1, 1, 6, 8, 10), "back")
    axes = receptive_field(run).axes
    assert [(r.stride, r.centre, r.size) for r in axes] == [(2, 0, 3)] * 3


@pytest.mark.parametrize("layer", ["norm", "mix", "aside"])
def test_a_layer_with_its_features_last_is_refused(layer) -> None:
    """Taken for [1, F, d, h, w] its map would lie across the patient, and be called exact."""
    network = FeaturesLast()
    if layer == "mix":
        network.norm = nn.Sequential(network.norm, network.mix)
        del network.mix
        layer = "norm.1"
    classifier = classifier_of(network, layer, plain_input((6, 8, 10)), 1)
    with pytest.raises(AttributionError, match=r"feature maps|features on the last axis"):
        explain(random_ct((6, 8, 10)), classifier)


class Arranged(nn.Module):
    """Puts copies side by side, or multiplies by a value of the whole image."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.whole = nn.Conv3d(1, 1, 4)
        self.cells = nn.Conv3d(1, 2, 1)
        self.fc = nn.Linear(2 * 128 if way == "aside" else 128, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([x, x], 2) if self.way == "aside" else x * self.whole(x)
        return self.fc(self.cells(x).flatten(1))


def test_copies_side_by_side_are_not_placed() -> None:
    run = dry_run(Arranged("aside").eval(), (1, 1, 4, 4, 4), "cells")
    with pytest.raises(PlacementUnknownError, match="side by side"):
        receptive_field(run)


def test_a_gate_from_the_whole_image_moves_nothing_and_is_said() -> None:
    run = dry_run(Arranged("gate").eval(), (1, 1, 4, 4, 4), "cells")
    field = receptive_field(run)
    assert [(r.stride, r.centre) for r in field.axes] == [(1, 0)] * 3
    assert "whole input" in field.note


def test_a_network_that_does_not_run_on_the_meta_device_is_traced_with_zeros() -> None:
    class Adapting(ConvThenLinear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x / (1 + float(x.abs().max())))

    classifier = classifier_of(Adapting((6, 8, 10)), "pool", plain_input((6, 8, 10)), 3)
    result = explain(random_ct((6, 8, 10)), classifier)
    assert result.guarantee.holds
    assert result.default_placement == "receptive_field"
    assert result.verified("label 1")


@pytest.mark.parametrize(
    "crop", [(-2, 0, 0, 0, 0, 0), (0, -3, -3, 1, 2, -1), (1, 0, -1, -2, -4, 0)]
)
def test_a_crop_is_a_padding_with_less_than_nothing(crop) -> None:
    """torch stores the negative numbers of a padding as huge positive ones."""
    network = nn.Sequential(nn.ConstantPad3d(crop, 0.0), nn.Conv3d(1, 2, 3, stride=2))
    (d, r, c) = receptive_field(dry_run(_scored(network), (1, 1, 12, 12, 12), "0.1")).axes
    assert [axis.low for axis in (d, r, c)] == [-crop[4], -crop[2], -crop[0]]
    assert [axis.size for axis in (d, r, c)] == [3, 3, 3]


def _scored(network: nn.Module) -> nn.Module:
    return nn.Sequential(network, nn.AdaptiveAvgPool3d(1), nn.Flatten())
