"""Maps that carry a graph: the same as explain()'s, by either way, and trained through rightly."""

from __future__ import annotations

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from networks import ConvThenLinear, GlobalPoolThenLinear
from torch import nn

from napari_hirescam.attention import GuaranteeState, attention_maps
from napari_hirescam.errors import HirescamError, SettingsError
from napari_hirescam.models.axialnet import AxialNet, AxialNet3DConv, AxialNetMaxPool
from napari_hirescam.models.dry_run import UnknownLayerError
from napari_hirescam.models.spec import OutputSpec
from napari_hirescam.training.attention import TrainableAttention
from napari_hirescam.training.mask_loss import mask_loss

SMALL = {"trunk_channels": (4, 4, 4, 4), "trunk_stages": 1, "conv_channels": (4,)}
CT = (1, 4, 3, 25, 25)
VOLUME = (1, 1, 6, 8, 10)


class TwoLayers(nn.Module):
    """A head of two linear layers with a ReLU between, as CT-Net's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 3, 3, padding=1)
        self.act = nn.ReLU()
        self.fc1, self.fc2 = nn.Linear(3 * 480, 5), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.fc1(self.act(self.conv(x)).flatten(1)).relu())


class WholeGridConv(nn.Module):
    """A convolution over the whole grid is a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 3, 3, padding=1)
        self.act = nn.ReLU()
        self.over_all = nn.Conv3d(3, 2, (6, 8, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.over_all(self.act(self.conv(x))).flatten(1)


class PooledInPlane(nn.Module):
    """Rows and columns are averaged, the slices have weights of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 3, 3, padding=1)
        self.fc = nn.Linear(3 * 6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).mean(dim=(3, 4)).flatten(1))


class Slices(nn.Module):
    """A 2-D network: [S, 1, h, w] -> [S, K]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.act = nn.ReLU()
        self.fc = nn.Linear(3 * 80, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.act(self.conv(x)).flatten(1))


def seeded(make, **arguments) -> nn.Module:
    torch.manual_seed(0)
    return make(**arguments).double().eval()


def noise(shape: tuple[int, ...], seed: int = 1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=draw, dtype=torch.float64)


MEAN = OutputSpec(over_slices="mean")
#: Networks whose head is one linear layer; whether a batch is taken at once.
LINEAR = {
    "AxialNet": (lambda: seeded(AxialNet, n_labels=3, grid=5, **SMALL), "conv2d.1", CT, False),
    "AxialNet, a weight per slice": (
        lambda: seeded(AxialNet3DConv, n_labels=3, slices=4, grid=5, **SMALL),
        "conv2d.1",
        CT,
        False,
    ),
    "flattened": (lambda: seeded(ConvThenLinear), "pool", VOLUME, True),
    "global average": (lambda: seeded(GlobalPoolThenLinear), "act", VOLUME, True),
    "over the whole grid": (lambda: seeded(WholeGridConv), "act", VOLUME, True),
    "averaged in plane": (lambda: seeded(PooledInPlane), "conv", VOLUME, True),
}
#: Networks for which only the double backward is left, and why the guarantee fails (or not).
OTHERS = {
    "two layers": (lambda: seeded(TwoLayers), "act", VOLUME, "relu"),
    "highest slice": (
        lambda: seeded(AxialNetMaxPool, n_labels=2, grid=5, **SMALL),
        "conv2d.1",
        CT,
        "maximum",
    ),
    "ahead of a ReLU in place": (lambda: seeded(ConvThenLinear), "conv2", VOLUME, "relu"),
    # Linear as well, but no parameter is its gradient: each weight serves eight cells.
    "ahead of a pool": (lambda: seeded(ConvThenLinear), "act2", VOLUME, None),
}
EVERY = {**{k: v[:3] for k, v in LINEAR.items()}, **{k: v[:3] for k, v in OTHERS.items()}}


def both_ways(attention: TrainableAttention, batch: torch.Tensor):
    """Maps by the weights, and with the weights taken away."""
    logits, maps = attention(batch)
    weights, attention._weights = attention._weights, None
    again, doubled = attention(batch)
    attention._weights = weights
    assert torch.equal(again, logits)
    return logits, maps, doubled


class TestMaps:
    @pytest.mark.parametrize(
        ("name", "method"),
        [
            *((name, "hirescam") for name in EVERY),
            ("AxialNet", "gradcam"),
            ("two layers", "gradcam"),
        ],
    )
    def test_they_are_what_explain_draws(self, name: str, method: str) -> None:
        make, layer, shape = EVERY[name]
        network = make()
        attention = TrainableAttention(network, layer, shape, method=method)
        given = noise(shape)
        logits, maps = attention(given)
        explained = attention_maps(network, given, layer, methods=(method,))
        assert maps.shape[2:] == attention.cells
        assert logits[0].tolist() == pytest.approx(explained.logits.tolist())
        found = maps[0].detach().numpy()
        assert found == pytest.approx(explained.maps[method], rel=1e-5, abs=1e-7)

    @pytest.mark.parametrize(
        ("name", "method"), [*((name, "hirescam") for name in LINEAR), ("flattened", "gradcam")]
    )
    def test_closed_form_and_double_backward_are_one(self, name: str, method: str) -> None:
        make, layer, shape, _ = LINEAR[name]
        attention = TrainableAttention(make(), layer, shape, method=method)
        assert attention.closed_form
        assert attention.guarantee.holds
        _, maps, doubled = both_ways(attention, noise(shape))
        assert torch.allclose(maps, doubled, rtol=1e-10, atol=1e-14)
        assert maps.abs().max() > 0

    @pytest.mark.parametrize("name", LINEAR)
    def test_cells_and_bias_make_up_the_score(self, name: str) -> None:
        make, layer, shape, _ = LINEAR[name]
        network = make()
        logits, maps = TrainableAttention(network, layer, shape)(noise(shape))
        bias = attention_maps(network, noise(shape), layer).bias
        sums = maps[0].sum(dim=(1, 2, 3)).detach().numpy()
        assert sums + bias == pytest.approx(logits[0].detach().numpy(), abs=1e-10)

    @pytest.mark.parametrize("name", OTHERS)
    def test_elsewhere_it_says_what_holds(self, name: str) -> None:
        make, layer, shape, obstacle = OTHERS[name]
        attention = TrainableAttention(make(), layer, shape)
        assert not attention.closed_form
        if obstacle is None:
            assert attention.guarantee.holds
        else:
            assert attention.guarantee.state is GuaranteeState.LOCAL
            assert obstacle in attention.guarantee.reason.lower()

    def test_the_papers_scale_is_the_scores_times_the_slices(self) -> None:
        network = seeded(AxialNet, n_labels=3, grid=5, **SMALL)
        given = noise(CT)
        _, scores = TrainableAttention(network, "conv2d.1", CT)(given)
        _, papers = TrainableAttention(network, "conv2d.1", CT, scale="per_slice")(given)
        assert torch.allclose(papers, 4 * scores, rtol=1e-12)
        _, of_cells = TrainableAttention(network, "conv2d.1", CT, scale="per_cell")(given)
        assert torch.allclose(of_cells, 4 * 5 * 5 * scores, rtol=1e-12)
        # A times w, as the paper writes it: not divided by the slices, no bias.
        activation = network.trunk(given[0])
        by_hand = torch.einsum("sfhw,kfhw->kshw", activation, network.fc.weight)
        assert torch.allclose(papers[0], by_hand, rtol=1e-10)
        per_slice = network.fc(activation).flatten(1) - network.fc.bias
        assert torch.allclose(papers[0].sum(dim=(2, 3)).T, per_slice, rtol=1e-8)

    def test_any_number_of_slices(self) -> None:
        network = seeded(AxialNet, n_labels=3, grid=5, **SMALL)
        attention = TrainableAttention(network, "conv2d.1", CT)
        for slices in (1, 5, 7):
            _, maps, doubled = both_ways(attention, noise((1, slices, *CT[2:])))
            assert maps.shape == (1, 3, slices, 5, 5)
            assert torch.allclose(maps, doubled, rtol=1e-10, atol=1e-14)

    def test_the_call_of_a_layer_that_runs_twice(self) -> None:
        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.act = nn.Conv3d(1, 1, 3, padding=1), nn.Softplus()
                self.fc = nn.Linear(480, 2)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.fc(self.act(self.conv(self.act(self.conv(x)))).flatten(1))

        network = seeded(Twice)
        for layer, linear in (("act", True), ("act#2", True), ("act#1", False)):
            attention = TrainableAttention(network, layer, VOLUME)
            assert attention.closed_form is linear
            _, maps = attention(noise(VOLUME))
            expected = attention_maps(network, noise(VOLUME), layer).maps["hirescam"]
            assert maps[0].detach().numpy() == pytest.approx(expected, rel=1e-5, abs=1e-7)

    def test_scores_read_ahead_of_the_networks_own_sigmoid(self) -> None:
        class WithSigmoid(GlobalPoolThenLinear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(x).sigmoid_()

        network, output = seeded(WithSigmoid), OutputSpec(layer="fc")
        attention = TrainableAttention(network, "act", VOLUME, output)
        assert attention.closed_form
        logits, maps = attention(noise((2, *VOLUME[1:])))
        assert torch.allclose(logits.sigmoid(), network(noise((2, *VOLUME[1:]))))
        assert torch.allclose(maps.sum(dim=(2, 3, 4)) + network.fc.bias, logits)


class TestBatches:
    @pytest.mark.parametrize("name", LINEAR)
    def test_cts_together_are_cts_one_by_one(self, name: str) -> None:
        make, layer, shape, at_once = LINEAR[name]
        attention = TrainableAttention(make(), layer, shape)
        assert attention.takes_batches is at_once
        batch = noise((3, *shape[1:]))
        for weights in (attention._weights, None):
            attention._weights = weights
            logits, maps = attention(batch)
            single = [attention(batch[k : k + 1]) for k in range(3)]
            assert torch.allclose(logits, torch.cat([part[0] for part in single]))
            assert torch.allclose(maps, torch.cat([part[1] for part in single]))
        assert torch.allclose(attention.logits(batch), logits)

    def test_slices_that_are_the_batch_stay_with_their_ct(self) -> None:
        network = seeded(Slices)
        attention = TrainableAttention(network, "act", (4, 1, 8, 10), MEAN)
        assert attention.closed_form
        batch = noise((2, 4, 1, 8, 10))
        logits, maps, doubled = both_ways(attention, batch)
        assert maps.shape == (2, 2, 4, 8, 10)
        assert torch.allclose(logits, torch.stack([network(ct).mean(dim=0) for ct in batch]))
        assert torch.allclose(maps, doubled, rtol=1e-10, atol=1e-14)
        for k in range(2):
            expected = attention_maps(network, batch[k], "act", output=MEAN).maps["hirescam"]
            assert maps[k].detach().numpy() == pytest.approx(expected, rel=1e-5, abs=1e-7)

    def test_single_slices_of_a_2d_network(self) -> None:
        attention = TrainableAttention(seeded(Slices), "act", (1, 1, 8, 10))
        assert attention.takes_batches
        assert attention(noise((5, 1, 8, 10)))[1].shape == (5, 2, 1, 8, 10)

    def test_a_batch_norm_in_training_sees_the_whole_batch_once(self) -> None:
        network = seeded(ConvThenLinear).train()
        twin = deepcopy(network)
        logits, _ = TrainableAttention(network, "pool", VOLUME)(noise((3, *VOLUME[1:])))
        assert torch.allclose(logits, twin(noise((3, *VOLUME[1:]))))
        assert torch.equal(network.norm.running_mean, twin.norm.running_mean)
        assert int(network.norm.num_batches_tracked) == 1


def loss_of(attention: TrainableAttention, batch: torch.Tensor) -> torch.Tensor:
    """Cross-entropy + mask loss, with regions and targets that do not matter."""
    logits, maps = attention(batch)
    allowed = noise(tuple(maps.shape), seed=5) > 0.5
    targets = (noise(tuple(logits.shape), seed=6) > 0).to(logits)
    classes = nn.functional.binary_cross_entropy_with_logits(logits, targets)
    return classes + 10 * mask_loss(maps, allowed)


class TestGradients:
    @pytest.mark.parametrize(
        ("name", "training"), [*((name, False) for name in LINEAR), ("flattened", True)]
    )
    def test_both_ways_give_all_weights_the_same_gradient(self, name: str, training: bool) -> None:
        make, layer, shape, _ = LINEAR[name]
        network = make().train(training)
        attention = TrainableAttention(network, layer, shape)
        weights, found = attention._weights, []
        for way in (weights, None):
            attention._weights = way
            network.zero_grad()
            loss_of(attention, noise((2, *shape[1:]))).backward()
            found.append([p.grad.clone() for p in network.parameters()])
        assert attention._weights is None
        assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-12) for a, b in zip(*found, strict=True))
        assert all(gradient.abs().max() > 0 for gradient in found[0][:1])

    @pytest.mark.parametrize(
        ("name", "method"),
        [("AxialNet", "hirescam"), ("global average", "gradcam"), ("two layers", "hirescam")],
    )
    def test_finite_differences(self, name: str, method: str) -> None:
        make, layer, shape = EVERY[name]
        network = make()
        attention = TrainableAttention(network, layer, shape, method=method, scale="per_slice")
        batch = noise(shape)
        loss_of(attention, batch).backward()
        for seed in range(3):
            directions = [noise(tuple(p.shape), seed=90 + seed) for p in network.parameters()]
            found = sum(
                float((p.grad * d).sum())
                for p, d in zip(network.parameters(), directions, strict=True)
            )
            ahead, behind = (
                self._moved_by(step, network, directions, attention, batch)
                for step in (1e-6, -1e-6)
            )
            assert found == pytest.approx((ahead - behind) / 2e-6, rel=1e-4)

    @staticmethod
    def _moved_by(step, network, directions, attention, batch) -> float:
        with torch.no_grad():
            for parameter, direction in zip(network.parameters(), directions, strict=True):
                parameter.add_(step * direction)
            loss = float(loss_of(attention, batch))
            for parameter, direction in zip(network.parameters(), directions, strict=True):
                parameter.sub_(step * direction)
        return loss

    def test_training_moves_attention_inside(self) -> None:
        """Right half forbidden; after some steps less of the positive attention is there."""
        network = seeded(GlobalPoolThenLinear)
        attention = TrainableAttention(network, "act", VOLUME, scale="per_cell")
        allowed = torch.zeros(1, 3, 6, 8, 10, dtype=torch.bool)
        allowed[..., :5] = True
        given = noise(VOLUME)
        losses = []
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(30):
            optimizer.zero_grad()
            loss = mask_loss(attention(given)[1], allowed)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] - 0.05
        assert losses == sorted(losses, reverse=True)

    def test_a_frozen_trunk_stays_frozen(self) -> None:
        for name in ("AxialNet", "two layers"):
            make, layer, shape = EVERY[name]
            network = make()
            attention = TrainableAttention(network, layer, shape)
            heads = [p for n, p in network.named_parameters() if n.startswith("fc")]
            for parameter in network.parameters():
                parameter.requires_grad_(any(parameter is head for head in heads))
            loss_of(attention, noise(shape)).backward()
            assert all(head.grad.abs().max() > 0 for head in heads)
            assert all(p.grad is None for p in network.parameters() if not p.requires_grad)


class TestTraining:
    def test_what_follows_in_place_overwrites_nothing(self) -> None:
        """A map is of what the layer made, not of what was written over it."""

        class Shifted(GlobalPoolThenLinear):
            def __init__(self, *, in_place: bool) -> None:
                super().__init__()
                self.in_place = in_place

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                made = self.act(self.conv(x))
                shifted = made.add_(3) if self.in_place else made + 3
                return self.fc(self.pool(shifted).flatten(1))

        found, expected = (
            TrainableAttention(seeded(Shifted, in_place=way), "act", VOLUME)
            for way in (True, False)
        )
        assert found.closed_form
        for maps, maps_expected in zip(
            both_ways(found, noise(VOLUME)), both_ways(expected, noise(VOLUME)), strict=True
        ):
            assert torch.allclose(maps, maps_expected, rtol=1e-10)

    def test_dropout_in_the_head_ends_the_closed_form(self) -> None:
        """In training a score is made of what dropout left, and the maps must be as well."""

        class Dropped(GlobalPoolThenLinear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                pooled = self.pool(self.act(self.conv(x))).flatten(1)
                return self.fc(nn.functional.dropout(pooled, 0.5, self.training))

        network = seeded(Dropped)
        attention = TrainableAttention(network, "act", VOLUME)
        assert attention.closed_form
        network.train()
        torch.manual_seed(0)
        logits, maps = attention(noise((2, *VOLUME[1:])))
        assert not attention.closed_form
        assert torch.allclose(maps.sum(dim=(2, 3, 4)) + network.fc.bias, logits)
        # It was dropout that spoke: without it the same check leaves the closed form alone.
        other = seeded(GlobalPoolThenLinear)
        kept = TrainableAttention(other, "act", VOLUME)
        other.train()
        kept(noise(VOLUME))
        assert kept.closed_form

    @pytest.mark.parametrize("gate", ["parameter", "norm", "norm without weights"])
    def test_what_does_nothing_yet_is_not_overlooked(self, gate: str) -> None:
        """A gate of one and a fresh batch norm let the weights through, until they learn."""

        class Gated(GlobalPoolThenLinear):
            def __init__(self) -> None:
                super().__init__()
                self.gate = nn.Parameter(torch.ones(5)) if gate == "parameter" else None
                norm = nn.BatchNorm1d(5, affine=gate == "norm")
                self.norm = norm if gate.startswith("norm") else nn.Identity()

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                pooled = self.norm(self.pool(self.act(self.conv(x))).flatten(1))
                return self.fc(pooled if self.gate is None else pooled * self.gate.exp().log())

        attention = TrainableAttention(seeded(Gated), "act", VOLUME)
        assert attention.guarantee.holds
        assert not attention.closed_form

    @pytest.mark.parametrize("name", ["AxialNet", "flattened", "two layers"])
    def test_nobody_notices_that_it_was_made(self, name: str) -> None:
        make, layer, shape = EVERY[name]
        network = make().train()
        before = {k: v.clone() for k, v in network.state_dict().items()}
        drawn = torch.get_rng_state()
        TrainableAttention(network, layer, shape)
        assert torch.equal(torch.get_rng_state(), drawn)
        assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
        assert all(module.training for module in network.modules())
        assert all(p.requires_grad and p.grad is None for p in network.parameters())
        assert not any(module._forward_hooks for module in network.modules())

    @pytest.mark.parametrize(
        ("name", "switched_off"),
        [("AxialNet", torch.no_grad), ("flattened", torch.inference_mode)]
        + [("two layers", mode) for mode in (torch.no_grad, torch.inference_mode)],
    )
    def test_validation_gives_the_same_without_a_graph(self, name: str, switched_off) -> None:
        make, layer, shape = EVERY[name]
        attention = TrainableAttention(make(), layer, shape)
        logits, maps = attention(noise(shape))
        with switched_off():
            # Moved to a device within, a batch is an inference tensor.
            given = noise(shape) + 0
            quiet_logits, quiet_maps = attention(given)
            assert not torch.is_grad_enabled()
        assert torch.equal(quiet_logits, logits)
        assert torch.allclose(quiet_maps, maps, rtol=1e-12)
        assert not quiet_maps.requires_grad
        assert not quiet_logits.requires_grad
        assert torch.is_grad_enabled()

    @pytest.mark.parametrize(
        ("name", "training"), [("AxialNet", False), ("flattened", True), ("two layers", True)]
    )
    def test_mixed_precision_gives_maps_in_single_precision(self, name, training) -> None:
        make, layer, shape = EVERY[name]
        network = make().float()
        attention = TrainableAttention(network, layer, shape)
        closed = attention.closed_form
        network.train(training)
        batch = noise((2, *shape[1:])).float()
        whole = attention(batch)[1].detach()
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            _, maps = attention(batch)
            loss_of(attention, batch).backward()
        assert attention.closed_form is closed
        assert maps.dtype == torch.float32
        maps = maps.detach()
        if closed:  # elsewhere rounding opens and shuts ReLUs of the head
            assert float((maps - whole).abs().max()) < 0.05 * float(whole.abs().max())
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())

    def test_a_sent_one_still_shares_its_network(self) -> None:
        network = seeded(ConvThenLinear)
        attention = TrainableAttention(network, "pool", VOLUME)
        sent, twin = pickle.loads(pickle.dumps((attention, network)))  # noqa: S301 - our own
        assert sent.network is twin
        assert torch.equal(sent(noise(VOLUME))[1], attention(noise(VOLUME))[1])


class TestRefusals:
    def test_the_input_is_no_layer(self) -> None:
        with pytest.raises(SettingsError, match="own input"):
            TrainableAttention(seeded(ConvThenLinear), "input", VOLUME)

    def test_a_layer_that_does_not_exist(self) -> None:
        with pytest.raises(UnknownLayerError, match="pool"):
            TrainableAttention(seeded(ConvThenLinear), "pol", VOLUME)

    def test_a_layer_that_no_score_depends_on(self) -> None:
        class Aside(GlobalPoolThenLinear):
            def __init__(self) -> None:
                super().__init__()
                self.aside = nn.Conv3d(5, 1, 1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                features = self.act(self.conv(x))
                self.aside(features)
                return self.fc(self.pool(features).flatten(1))

        with pytest.raises(SettingsError, match="no gradient leads"):
            TrainableAttention(seeded(Aside), "aside", VOLUME)

    def test_an_input_that_does_not_suit_the_network(self) -> None:
        with pytest.raises(SettingsError, match="fails on an input") as caught:
            TrainableAttention(seeded(ConvThenLinear), "pool", (1, 1, 4, 4, 4))
        assert isinstance(caught.value, HirescamError)

    @pytest.mark.parametrize("word", ["method", "scale"])
    def test_unknown_words(self, word: str) -> None:
        with pytest.raises(ValueError, match="unknown"):
            TrainableAttention(seeded(ConvThenLinear), "pool", VOLUME, **{word: "layercam"})

    def test_part_of_the_score_that_goes_around_the_layer(self) -> None:
        class Around(GlobalPoolThenLinear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(x) + x.mean(dim=(1, 2, 3, 4))[:, None]

        attention = TrainableAttention(seeded(Around), "act", VOLUME)
        assert attention.guarantee.state is GuaranteeState.LOCAL
        assert "goes around" in attention.guarantee.reason


def test_the_maps_of_the_paper_by_hand() -> None:
    """Two slices of one cell, two features: A times w, and the mean over slices."""
    network = seeded(AxialNet, n_labels=1, grid=5, **SMALL)
    attention = TrainableAttention(network, "conv2d.1", CT)
    with torch.no_grad():
        network.fc.weight.zero_()
        network.fc.weight[0, 2, 1, 3] = 8.0
        activation = network.trunk(noise(CT)[0])
        _, maps = attention(noise(CT))
    expected = np.zeros((4, 5, 5))
    expected[:, 1, 3] = 8.0 * activation[:, 2, 1, 3].numpy() / 4
    assert maps[0, 0].numpy() == pytest.approx(expected)
