"""A prepared network computes what the network computes, with fewer operations."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from napari_hirescam.attention import attention_maps
from napari_hirescam.errors import Cancelled
from napari_hirescam.models.axialnet import AxialNet
from napari_hirescam.models.dry_run import UnknownLayerError
from napari_hirescam.models.faster_layers import PackedConvolution
from napari_hirescam.models.prepared import Preparation, prepare_network
from napari_hirescam.models.slab_stem import PooledConvolution
from napari_hirescam.models.spec import OutputSpec

SHAPE = (1, 1, 12, 12, 12)


def lived_in(network: nn.Module) -> nn.Module:
    """Give the batch norms the statistics of a network that was trained."""
    draw = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            for values, low, high in [
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.3, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.3, 0.3),
            ]:
                if values is not None:
                    values.data.uniform_(low, high, generator=draw)
    return network.eval()


class Small(nn.Module):
    """conv -> norm -> act -> conv2 -> norm2 -> act -> mean -> fc, for others to change."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv3d(1, 8, 3, padding=1, bias=False), nn.BatchNorm3d(8)
        self.conv2, self.norm2 = nn.Conv3d(8, 8, 3, padding=1), nn.BatchNorm3d(8)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 3)
        lived_in(self)

    def features(self, x: Tensor) -> Tensor:
        return self.act(self.norm2(self.conv2(self.act(self.norm(self.conv(x))))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3, 4)))


def monai_network(name: str, layer: str, **arguments: object) -> Callable[[], tuple]:
    def build() -> tuple[nn.Module, tuple[int, ...], str]:
        from monai.networks import nets

        torch.manual_seed(1)
        shape = (1, 1, *[32] * int(arguments["spatial_dims"]))
        return lived_in(getattr(nets, name)(**arguments)), shape, layer

    return build


def axialnet() -> tuple[nn.Module, tuple[int, ...], str]:
    torch.manual_seed(1)
    network = AxialNet(4, grid=3, trunk_channels=(8, 8, 16, 16), conv_channels=(8, 8))
    return lived_in(network), (1, 5, 3, 200, 200), "conv2d.3"


REAL = {
    "resnet-3d": monai_network(
        "resnet10", "layer3", spatial_dims=3, n_input_channels=1, num_classes=3, widen_factor=0.25
    ),
    "resnet-bottleneck-2d": monai_network(
        "resnet50", "layer2", spatial_dims=2, n_input_channels=1, num_classes=3, widen_factor=0.25
    ),
    "densenet-3d": monai_network(
        "DenseNet",
        "features.denseblock2",
        spatial_dims=3,
        in_channels=1,
        out_channels=3,
        init_features=8,
        growth_rate=8,
        block_config=(2, 2),
    ),
    "seresnet-3d": monai_network(
        "SENet",
        "layer2",
        spatial_dims=3,
        in_channels=1,
        block="se_resnet_bottleneck",
        layers=(1, 1, 1, 1),
        groups=1,
        reduction=16,
        dropout_prob=None,
        inplanes=64,
        downsample_kernel_size=1,
        input_3x3=False,
        num_classes=3,
    ),
    "efficientnet-2d": monai_network(
        "EfficientNetBN",
        "_conv_head",
        model_name="efficientnet-b0",
        spatial_dims=2,
        in_channels=1,
        num_classes=3,
        pretrained=False,
    ),
    "axialnet": axialnet,
}


@pytest.mark.parametrize("name", REAL)
def test_maps_and_scores_stay_what_they_were(name) -> None:
    network, shape, layer = REAL[name]()
    given = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    expected = attention_maps(network, given, layer)
    prepared = prepare_network(network, shape, layer)
    assert prepared.folded >= 1
    found = attention_maps(prepared.network, given, layer)
    assert np.allclose(found.logits, expected.logits, atol=1e-5 * abs(expected.logits).max())
    for key, maps in expected.maps.items():
        assert np.abs(found.maps[key] - maps).max() <= 1e-5 * np.abs(maps).max()


def test_every_norm_that_alone_reads_a_convolution_is_gone() -> None:
    network, shape, layer = REAL["resnet-3d"]()
    prepared = prepare_network(network, shape, layer)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm3d)]
    assert prepared.folded == len(norms) > 8
    assert not [m for m in prepared.network.modules() if isinstance(m, nn.BatchNorm3d)]
    assert dict(prepared.network.named_modules()).keys() == dict(network.named_modules()).keys()


def test_norms_that_read_sums_stay() -> None:
    """DenseNet's blocks begin with a norm of what was put together: that one must stay."""
    network, shape, layer = REAL["densenet-3d"]()
    kept = dict(prepare_network(network, shape, layer).network.named_modules())
    block = "features.denseblock1.denselayer2.layers"
    assert isinstance(kept[f"{block}.norm1"], nn.BatchNorm3d)
    assert isinstance(kept[f"{block}.norm2"], nn.Identity)


def test_double_precision_is_kept_to_twelve_digits() -> None:
    network = Small().double()
    given = torch.randn(SHAPE, dtype=torch.float64)
    prepared = prepare_network(network, given, "norm2")
    assert prepared.folded == 2
    with torch.no_grad():
        assert torch.allclose(prepared.network(given), network(given), rtol=1e-12, atol=1e-13)


def test_a_norm_after_a_linear_layer_is_folded() -> None:
    class WithHiddenLayer(Small):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.norm1 = nn.Linear(8, 8), nn.BatchNorm1d(8)
            lived_in(self)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.norm1(self.hidden(self.features(x).mean((2, 3, 4)))))

    prepared = prepare_network(WithHiddenLayer(), SHAPE, "act")
    assert prepared.folded == 3
    assert isinstance(prepared.network.norm1, nn.Identity)


# Networks with one reason each to leave `conv2` and `norm2` alone; `conv` and `norm` can go.


class ReadsConvolutionTwice(Small):
    def features(self, x: Tensor) -> Tensor:
        x = self.conv2(self.act(self.norm(self.conv(x))))
        return self.act(self.norm2(x) + x)


class ChangesConvolutionInPlace(Small):
    def features(self, x: Tensor) -> Tensor:
        x = self.conv2(self.act(self.norm(self.conv(x))))
        x.clamp_(-1, 1)
        return self.act(self.norm2(x))


class CallsConvolutionTwice(Small):
    def features(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.conv(x)))
        return self.act(self.norm2(self.conv2(self.conv2(x))))


class CallsNormTwice(Small):
    def features(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.conv(x)))
        return self.act(self.norm2(self.norm2(self.conv2(x))))


class BorrowsTheWeight(Small):
    def features(self, x: Tensor) -> Tensor:
        return super().features(x) + self.conv2.weight.mean()


class KeepsTheOutput(Small):
    def features(self, x: Tensor) -> Tensor:
        self.last = self.conv2(self.act(self.norm(self.conv(x))))
        return self.act(self.norm2(self.last))


class ReturnsTheOutput(Small):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inner = self.conv2(self.act(self.norm(self.conv(x))))
        return self.fc(self.act(self.norm2(inner)).mean((2, 3, 4))), inner


class SharesTheWeight(Small):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv3d(8, 8, 3, padding=1)
        self.other.weight = self.conv2.weight

    def features(self, x: Tensor) -> Tensor:
        return self.other(super().features(x))


class Parametrised(Small):
    def __init__(self) -> None:
        super().__init__()
        parametrizations.weight_norm(self.conv2)


class Hooked(Small):
    def __init__(self) -> None:
        super().__init__()
        self.conv2.register_forward_hook(lambda _m, _a, output: 2 * output)


class NormalisesByTheBatch(Small):
    def __init__(self) -> None:
        super().__init__()
        self.norm2 = nn.BatchNorm3d(8, track_running_stats=False)


class OtherConvolution(Small):
    class Doubled(nn.Conv3d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    def __init__(self) -> None:
        super().__init__()
        self.conv2 = self.Doubled(8, 8, 3, padding=1)


@pytest.mark.parametrize(
    "network_type",
    [
        ReadsConvolutionTwice,
        ChangesConvolutionInPlace,
        CallsConvolutionTwice,
        CallsNormTwice,
        BorrowsTheWeight,
        KeepsTheOutput,
        ReturnsTheOutput,
        SharesTheWeight,
        Parametrised,
        Hooked,
        NormalisesByTheBatch,
        OtherConvolution,
    ],
)
def test_a_pair_that_is_not_alone_is_left_alone(network_type) -> None:
    network = network_type().eval()
    given = torch.randn(SHAPE)
    prepared = prepare_network(network, given, "norm")
    assert prepared.folded == 1
    assert not prepared.notes
    assert isinstance(prepared.network.norm, nn.Identity)
    assert isinstance(prepared.network.norm2, nn.BatchNorm3d)
    with torch.no_grad():
        pair = network(given), prepared.network(given)
    for plain, fast in zip(*(p if isinstance(p, tuple) else (p,) for p in pair), strict=True):
        assert torch.allclose(plain, fast, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("layer", "folded"), [("conv", 1), ("norm", 2), ("conv2", 1), ("act", 2)])
def test_the_output_of_the_target_layer_is_not_folded_away(layer, folded) -> None:
    network, given = Small(), torch.randn(SHAPE)
    prepared = prepare_network(network, given, layer)
    assert prepared.folded == folded
    seen = []
    for each in (network, prepared.network):
        each.get_submodule(layer).register_forward_hook(lambda _m, _a, out: seen.append(out + 0))
        with torch.no_grad():
            each(given)
    assert torch.allclose(seen[0], seen[len(seen) // 2], rtol=1e-5, atol=1e-6)


def test_convolutions_are_reordered_only_where_no_gradient_is_taken() -> None:
    network = Small()
    below = prepare_network(network, SHAPE, "norm2").network
    assert isinstance(below.conv2, PackedConvolution) == torch.backends.mkldnn.is_available()
    above = prepare_network(network, SHAPE, "norm").network
    assert type(above.conv2) is nn.Conv3d


class WithStem(Small):
    """conv -> norm -> relu -> pool -> conv2 -> ..., for others to change."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool3d(3, 2, 1)

    def stem(self, x: Tensor) -> Tensor:
        return self.pool(self.relu(self.norm(self.conv(x))))

    def features(self, x: Tensor) -> Tensor:
        return self.act(self.norm2(self.conv2(self.stem(x))))


class WithoutNorm(WithStem):
    def stem(self, x: Tensor) -> Tensor:
        return self.pool(self.relu(self.conv(x)))


class OutOfPlace(WithStem):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()


class ReadsReluTwice(OutOfPlace):
    def stem(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        return self.pool(x) + x.mean()


class ReadsNormTwice(OutOfPlace):
    def stem(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return self.pool(self.relu(x)) + x.mean()


class CallsReluTwice(WithStem):
    def features(self, x: Tensor) -> Tensor:
        return self.relu(super().features(x))


class CallsPoolTwice(WithStem):
    def stem(self, x: Tensor) -> Tensor:
        return self.pool(super().stem(x))


class ClampsBetween(WithStem):
    def stem(self, x: Tensor) -> Tensor:
        return self.pool(self.relu(self.norm(self.conv(x))).clamp(max=0.2))


class ChangesReluInPlace(WithStem):
    def stem(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        x.clamp_(max=0.2)
        return self.pool(x)


class HookedRelu(WithStem):
    def __init__(self) -> None:
        super().__init__()
        self.relu.register_forward_hook(lambda _m, _a, output: 2 * output)


class HookedPool(WithStem):
    def __init__(self) -> None:
        super().__init__()
        self.pool.register_forward_pre_hook(lambda _m, args: (2 * args[0],))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="only with oneDNN")
@pytest.mark.parametrize(
    ("network_type", "layer", "in_slabs"),
    [
        (WithStem, "act", 1),
        (WithoutNorm, "act", 1),
        (OutOfPlace, "act", 1),
        (WithStem, "pool", 1),
        (WithStem, "relu", 0),
        (WithStem, "norm", 0),
        (WithStem, "conv", 0),
        (ReadsReluTwice, "act", 0),
        (ReadsNormTwice, "act", 0),
        (CallsReluTwice, "act", 0),
        (CallsPoolTwice, "act", 0),
        (ClampsBetween, "act", 0),
        (ChangesReluInPlace, "act", 0),
        (HookedRelu, "act", 0),
        (HookedPool, "act", 0),
    ],
)
def test_a_stem_goes_in_slabs_where_nobody_looks_inside(network_type, layer, in_slabs) -> None:
    network, given = network_type().eval(), torch.randn(SHAPE)
    prepared = prepare_network(network, given, layer)
    assert not prepared.notes
    assert prepared.in_slabs == in_slabs
    assert isinstance(prepared.network.conv, PooledConvolution) == bool(in_slabs)
    assert dict(prepared.network.named_modules()).keys() == dict(network.named_modules()).keys()
    with torch.no_grad():
        assert torch.allclose(prepared.network(given), network(given), rtol=1e-5, atol=1e-6)
        larger = torch.randn(2, 1, 15, 14, 13)
        assert torch.allclose(prepared.network(larger), network(larger), rtol=1e-5, atol=1e-6)


def test_the_users_network_is_not_touched() -> None:
    network = Small().train()
    network.conv.requires_grad_(False)
    network.fc.bias.grad = torch.ones(3)
    before = copy.deepcopy(network.state_dict())
    random_state = torch.get_rng_state()
    prepared = prepare_network(network, SHAPE, "act")
    with torch.no_grad():
        prepared.network(torch.randn(SHAPE, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(module.training for module in network.modules())
    assert [p.requires_grad for p in network.parameters()] == [False] + [True] * 8
    assert torch.equal(network.fc.bias.grad, torch.ones(3))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in prepared.network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_copy_is_frozen_and_shares_what_stays_the_same() -> None:
    network = Small()
    copied = prepare_network(network, SHAPE, "act").network
    assert not any(p.requires_grad for p in copied.parameters())
    assert copied.fc.weight.data_ptr() == network.fc.weight.data_ptr()


def test_state_that_a_network_keeps_starts_where_it_stood() -> None:
    class Counts(Small):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("runs", torch.tensor(7))
            self.history: list[int] = [1]

        def forward(self, x: Tensor) -> Tensor:
            self.runs += 1
            self.history.append(0)
            return super().forward(x)

    network = Counts()
    prepared = prepare_network(network, SHAPE, "act")
    assert prepared.folded == 2
    for each in (network, prepared.network):
        assert (int(each.runs), each.history) == (7, [1])


def test_logits_are_read_where_the_model_file_says() -> None:
    class Dictionary(Small):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"aux": x, "scores of the CT": super().forward(x).sigmoid_()}

    network = Dictionary()
    with_entry = OutputSpec(entry="scores of the CT")
    assert prepare_network(network, SHAPE, "act", with_entry).folded == 2
    assert prepare_network(network, SHAPE, "act", OutputSpec(layer="fc")).folded == 2
    refused = prepare_network(network, SHAPE, "act", OutputSpec(entry="logits"))
    assert refused.network is network
    assert "logits" in refused.notes[0]


def test_a_network_that_needs_the_plain_memory_layout_gets_it() -> None:
    class Views(Small):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(1, 8, 5, padding=2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.norm(self.conv(x)))
            return self.fc(x.view(1, -1)[:, :8])

    network, given = Views(), torch.randn(SHAPE)
    prepared = prepare_network(network, given, "act")
    assert prepared.folded == 1
    assert any("view" in note for note in prepared.notes)
    with torch.no_grad():
        assert torch.allclose(prepared.network(given), network(given), rtol=1e-5, atol=1e-6)


class Random(Small):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class LooksAtItsNorm(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.norm.num_features


class Dead(Small):
    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.norm2.bias, -1e6)


class HoldsAGraph(Small):
    def __init__(self) -> None:
        super().__init__()
        self.scale = self.fc.weight.sum()


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (Random(), "differ"),
        (LooksAtItsNorm(), "num_features"),
        (Dead(), "dead"),
        (HoldsAGraph(), "deepcopy"),
        (Small().half(), "float16"),
        (nn.Sequential(nn.Flatten(), nn.Linear(12**3, 3)), "nothing"),
        (torch.jit.script(Small()), "TorchScript"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_cannot_be_proven_is_left_as_it_is_with_the_reason(network, why) -> None:
    layer = "1" if isinstance(network, nn.Sequential) else "act"
    result = prepare_network(network, SHAPE, layer)
    assert result.network is network
    assert (result.folded, result.packed, result.is_prepared) == (0, 0, False)
    assert why in " ".join(result.notes)


def test_training_on_makes_a_preparation_out_of_date() -> None:
    network = Small()
    prepared = prepare_network(network, SHAPE, "act")
    assert prepared.is_current(network)
    network(torch.randn(SHAPE))
    assert prepared.is_current(network)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.randn(SHAPE)).sum().backward()
    optimiser.step()
    assert not prepared.is_current(network)
    again = prepare_network(network, SHAPE, "act")
    network.train()(torch.randn(SHAPE))  # the running statistics move
    assert not again.is_current(network)
    assert Preparation(network).is_current(network)


def test_a_cancel_is_heard() -> None:
    asked = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 6

    with pytest.raises(Cancelled):
        prepare_network(Small(), SHAPE, "act", should_stop=should_stop)
    assert len(asked) == 7


def test_a_layer_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownLayerError, match="conv2"):
        prepare_network(Small(), SHAPE, "conv9")


@pytest.mark.parametrize("part", ["conv.weight", "norm.running_mean", "prior"])
def test_a_change_that_torch_does_not_count_makes_a_preparation_out_of_date(part) -> None:
    """Writing to `.data`, as weight clipping and averaging do; a buffer of one's own."""
    network = Small()
    network.register_buffer("prior", torch.zeros(3))
    prepared = prepare_network(network, SHAPE, "act")
    changed = network.get_parameter(part) if part == "conv.weight" else network.get_buffer(part)
    before = changed.detach().clone()
    changed.data.add_(0.1).neg_()
    assert not prepared.is_current(network)
    changed.data.copy_(before)
    assert prepared.is_current(network)
    changed.data.neg_() if before.any() else changed.data.sub_(1)
    assert not prepared.is_current(network)


class NormOnlyForSome(Small):
    """Leaves its first batch norm out where the input is dark."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv(x)
        if x.mean() > 0:
            first = self.norm(first)
        return self.fc(self.act(self.norm2(self.conv2(first))).mean((2, 3, 4)))


def test_a_network_that_decides_by_its_input_is_not_prepared_on_one_input() -> None:
    network = NormOnlyForSome()
    result = prepare_network(network, torch.ones(SHAPE), "act")
    assert result.network is network
    assert "may depend on its input" in result.notes[0]


class WritesIntoItsInput(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(1).mul_(3))


def test_the_input_of_a_network_that_writes_into_it_is_left_for_the_pass_that_counts() -> None:
    given = torch.randn(SHAPE)
    before = given.clone()
    result = prepare_network(WritesIntoItsInput(), given, "act")
    assert result.is_prepared
    assert torch.equal(given, before)
