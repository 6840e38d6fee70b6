"""A network that looks at one known block: its map must lie where the block lies in the patient.

The networks here halve the grid five times by the kernel (1/2, 1, 1/2), no batch norm, no ReLU.
Their cells, 32 voxels apart, are then hats that add up to one, and the mean of the cells'
positions, weighted by the map, is exactly the weighted mean position of what is not air. No
training and no luck are needed: where the placed map lies can be compared with a known place.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.networks.nets import EfficientNetBN
from networks import classifier_of
from nifti_factory import save
from torch import Tensor, nn
from torch.nn import functional

from napari_hirescam.attention import Explanation, explain
from napari_hirescam.attention.measured_field import measured_field
from napari_hirescam.attention.placement import receptive_field
from napari_hirescam.io import read_volume
from napari_hirescam.models.dry_run import dry_run
from napari_hirescam.models.spec import InputSpec, OutputSpec
from napari_hirescam.volume import Volume

STRIDE = 32
HALF = torch.tensor([0.5, 1.0, 0.5])
AIR, BRIGHT = -1000, 600
#: From RAS mm of a NIfTI file to (I, P, L).
TO_IPL = np.array([[0, 0, -1], [0, -1, 0], [-1, 0, 0]])


class Halving(nn.Module):
    """Five convolutions of stride 2 and padding 1, in two or three dimensions, then the mean."""

    def __init__(self, dims: int, *, gate: bool = False) -> None:
        super().__init__()
        convolution = nn.Conv3d if dims == 3 else nn.Conv2d
        kernel = HALF
        for _ in range(dims - 1):
            kernel = kernel[..., None] * HALF
        layers = [convolution(1, 1, 3, stride=2, padding=1, bias=False) for _ in range(5)]
        for layer in layers:
            layer.weight.data = kernel[None, None] / kernel.sum()
        self.cells = nn.Sequential(*layers)
        self.gate = nn.Linear(1, 1) if gate else None
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        cells = self.cells(x)
        return cells.flatten(1).mean(1, keepdim=True)


class HalvingGated(Halving):
    """Squeeze and excitation ahead of the cells: all of them are scaled by one number."""

    def __init__(self) -> None:
        super().__init__(3, gate=True)
        self.last = nn.Conv3d(1, 1, 1, bias=False)
        nn.init.ones_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.cells(x)
        gate = torch.sigmoid(self.gate(functional.adaptive_avg_pool3d(cells, 1).flatten(1)))
        return self.last(cells * gate[:, :, None, None, None]).flatten(1).mean(1, keepdim=True)


class HalvingSlices(Halving):
    """The same in each slice, the slices of [1, 1, S, h, w] being the batch."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, ct: Tensor) -> Tensor:
        return super().forward(ct[0].transpose(0, 1)).mean(0, keepdim=True)


def with_block(shape: tuple[int, ...], block: tuple[int, ...]) -> np.ndarray:
    """Air, and a bright block of 3 x 3 x 3 voxels around `block`."""
    stored = np.full(shape, AIR, np.int16)
    stored[tuple(slice(k - 1, k + 2) for k in block)] = BRIGHT
    return stored


def seen(volume: Volume, network: nn.Module, **spec: object) -> Explanation:
    settings_ = {"window_hu": (-1000, 1000), "padding": -1000.0, **spec}
    output = OutputSpec(over_slices="mean" if spec.get("layout") == "slices" else None)
    layer = "last" if isinstance(network, HalvingGated) else "cells"
    model = classifier_of(network.eval(), layer, InputSpec(**settings_), 1, output=output)
    result = explain(volume, model)
    assert result.verified("label 0")
    assert result.placement_note == "" or "scaled by values" in result.placement_note
    return result


def centroid_mm(result: Explanation, placement: str) -> np.ndarray:
    """Mean place of the cells, weighted by the raw map, in (I, P, L) mm."""
    attention = result.map("label 0", placement=placement)
    index = np.argwhere(attention.values > 0)
    weights = attention.values[tuple(index.T)]
    return attention.grid.to_world((index * weights[:, None]).sum(0) / weights.sum())


def turned(degrees: float) -> np.ndarray:
    """Rotate about two axes, as a tilted gantry and a turned head do."""
    a, b = np.radians([degrees, degrees / 2])
    about_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    about_z = [[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]]
    return np.array(about_x) @ np.array(about_z)


def test_in_an_oblique_flipped_anisotropic_scan_the_map_lies_on_the_block(tmp_path: Path) -> None:
    spacing = np.array([0.9, 0.8, 2.5])
    ras = np.eye(4)
    ras[:3, :3] = turned(17) @ np.diag([-1, 1, -1]) @ np.diag(spacing)
    ras[:3, 3] = 60, -40, 110
    block = (71, 40, 25)
    place = TO_IPL @ (ras[:3, :3] @ block + ras[:3, 3])
    scan = read_volume(save(tmp_path / "scan.nii.gz", with_block((112, 112, 48), block), ras))
    assert "resampled once" in " ".join(scan.source.notes)
    result = seen(scan, Halving(3), shape=(160, 160, 160), spacing_mm=(1, 1, 1))
    assert result.cell_mm() == pytest.approx((32, 32, 32))
    away = centroid_mm(result, "receptive_field") - place
    assert np.abs(away).max() <= 1.0  # one voxel of the network's input


def test_stretched_maps_miss_it_by_half_a_stride(tmp_path: Path) -> None:
    """What every library does: (k + 1/2) times the stride, minus 1/2, instead of k times."""
    block = (40, 61, 50)
    stored = with_block((128, 128, 128), block)
    scan = read_volume(save(tmp_path / "scan.nii.gz", stored, np.diag([-1.0, -1, -1, 1])))
    result = seen(scan, Halving(3), shape=(128, 128, 128))
    place = np.array(block)[::-1]  # the file's axes run to L, P and I
    assert centroid_mm(result, "receptive_field") == pytest.approx(place, abs=0.01)
    missed = centroid_mm(result, "stretch") - place
    assert missed == pytest.approx([15.5] * 3, abs=0.01)
    raw = torch.tensor(result.map("label 0").values)[None, None]
    full = functional.interpolate(raw, scale_factor=STRIDE, mode="trilinear")[0, 0].numpy()
    axes = [full.sum(tuple({0, 1, 2} - {k})) for k in range(3)]
    upsampled = [(profile * np.arange(128)).sum() / profile.sum() for profile in axes]
    assert (np.array(upsampled) - place >= 15).all()


letters = [
    "".join(letters)
    for order in itertools.permutations(("IS", "PA", "LR"))
    for letters in itertools.product(*order)
]


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    order=st.permutations(range(3)),
    spacing=st.tuples(*[st.floats(0.5, 3.0)] * 3),
    orientation=st.sampled_from(letters),
    block=st.tuples(*[st.integers(34, 60)] * 3),
)
def test_whatever_the_order_of_axes_in_file_and_network(
    tmp_path: Path, signs, order, spacing, orientation, block
) -> None:
    ras = np.eye(4)
    ras[:3, :3] = (np.eye(3)[list(order)] * signs) @ np.diag(spacing)
    ras[:3, 3] = 11, -7, 5
    scan = read_volume(save(tmp_path / "scan.nii", with_block((96, 96, 96), block), ras))
    result = seen(scan, Halving(3), shape=(96, 96, 96), orientation=orientation)
    place = TO_IPL @ (ras[:3, :3] @ block + ras[:3, 3])
    assert np.abs(centroid_mm(result, "receptive_field") - place).max() <= 0.01 * max(spacing)
    # Half a pixel short of half a stride, the other way where the network's axis runs backwards.
    missed = centroid_mm(result, "stretch") - place
    per_axis = np.array(scan.spacing_mm) * 15.5
    assert np.abs(missed) == pytest.approx(per_axis, rel=0.01)


def three_d_with_gate() -> tuple[nn.Module, dict[str, object]]:
    return HalvingGated(), {"shape": (96, 96, 96)}


def slices_turned_into_a_batch() -> tuple[nn.Module, dict[str, object]]:
    return HalvingSlices(), {"shape": (40, 96, 96)}


def slices_given_as_a_batch() -> tuple[nn.Module, dict[str, object]]:
    return Halving(2), {"shape": (40, 96, 96), "layout": "slices"}


@pytest.mark.parametrize(
    "make", [three_d_with_gate, slices_turned_into_a_batch, slices_given_as_a_batch]
)
def test_gates_and_trunks_over_slices_leave_the_block_where_it_is(make) -> None:
    network, spec = make()
    block, spacing = (21, 40, 62), np.array([2.5, 0.7, 0.8])
    if isinstance(network, HalvingGated):
        block = (45, 40, 62)
    volume = Volume(with_block(spec["shape"], block), np.diag([*spacing, 1.0]), "CT")
    result = seen(volume, network, **spec)
    assert centroid_mm(result, "receptive_field") == pytest.approx(block * spacing, abs=0.02)


@pytest.mark.parametrize("layer", ["_blocks.0.0", "_blocks.1.1", "_blocks.2.3"])
def test_padding_that_is_not_the_same_on_both_sides_is_reckoned_with(layer) -> None:
    """EfficientNet pads for each size of input anew, more behind than before; and it has gates."""
    torch.manual_seed(0)
    network = EfficientNetBN(
        "efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=1, num_classes=2
    ).eval()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):  # so that a cell feels its field evenly, and no gate
            even = 0.0 if "_se_" in name else 1 / module.weight[0].numel()
            nn.init.constant_(module.weight, even)
    shape = (1, 1, 128, 128)
    field = receptive_field(dry_run(network, shape, layer))
    measured = measured_field(network, shape, layer)
    rows = field.axes[1]
    # The first convolution pads by (0, 1): its cell 0 is centred on voxel 1, not on 0.
    assert rows.centre > 0
    assert "whole input" in field.note
    for known, felt in zip(field.axes[1:], measured.axes[1:], strict=True):
        middle = 128 / known.stride / 2
        assert felt.stride == pytest.approx(known.stride, rel=0.05)
        place = known.centre + known.stride * middle
        assert felt.centre + felt.stride * middle == pytest.approx(place, abs=0.5)


def test_arithmetic_and_measurement_agree_within_half_a_voxel() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(1, 8, 3, stride=2, padding=1),
        nn.Softplus(),
        nn.Conv3d(8, 8, (3, 2, 3), stride=(1, 2, 2), padding=(1, 0, 1)),
        nn.Softplus(),
        nn.AvgPool3d(2, stride=(2, 1, 1)),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    ).eval()
    shape = (1, 1, 48, 48, 48)
    known = receptive_field(dry_run(network, shape, "4")).axes
    felt = measured_field(network, shape, "4").axes
    assert [axis.stride for axis in known] == [4, 4, 4]
    for by_arithmetic, by_gradient in zip(known, felt, strict=True):
        assert by_gradient.stride == pytest.approx(4, abs=0.1)
        here, there = (axis.centre + axis.stride * 5 for axis in (by_arithmetic, by_gradient))
        assert there == pytest.approx(here, abs=0.5)
